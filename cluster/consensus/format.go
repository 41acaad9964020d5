package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/topology"
)

// The format; docs/format/consensus.md has the tables of bytes.

// ErrCorrupted says that what is stored isn't what was written.
var ErrCorrupted = errors.New("consensus state is corrupted")

// ErrNewer is something written by a later version of the program.
var ErrNewer = errors.New("consensus state of a newer version")

const (
	hardVersion     = 1
	envelopeVersion = 1
	stateVersion    = 2
	snapshotVersion = 1

	hardSize       = 33
	snapshotMagic  = "SXTRAFT\n"
	snapshotHeader = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The kinds of entries on disk.
const (
	entryNormal byte = 1
	entryConf   byte = 2
)

// encodeEntry returns the record of an entry; term and index are the record's
// position.
func encodeEntry(e *raftpb.Entry) ([]byte, error) {
	kind := entryNormal
	switch e.GetType() {
	case raftpb.EntryNormal:
	case raftpb.EntryConfChangeV2:
		kind = entryConf
	default:
		return nil, fmt.Errorf("entry %d has type %v", e.GetIndex(), e.GetType())
	}
	return append([]byte{kind}, e.GetData()...), nil
}

// decodeEntry is its inverse. The entry keeps nothing of b.
func decodeEntry(term, index uint64, b []byte) (*raftpb.Entry, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: entry %d is empty", ErrCorrupted, index)
	}
	var kind raftpb.EntryType
	switch b[0] {
	case entryNormal:
		kind = raftpb.EntryNormal
	case entryConf:
		kind = raftpb.EntryConfChangeV2
	default:
		return nil, fmt.Errorf("%w: entry %d has kind %d", ErrNewer, index, b[0])
	}
	return &raftpb.Entry{Term: &term, Index: &index, Type: &kind, Data: bytes.Clone(b[1:])}, nil
}

// hardState is what a node must not forget.
type hardState struct {
	// term and vote are promises; commit is a hint how far entries may be applied.
	term, vote, commit uint64
	// incarnation numbers the processes that had the directory open.
	incarnation uint64
}

func (h hardState) encode() []byte {
	b := make([]byte, 1, hardSize)
	b[0] = hardVersion
	for _, v := range []uint64{h.term, h.vote, h.commit, h.incarnation} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func decodeHard(b []byte) (hardState, error) {
	if len(b) > 0 && b[0] > hardVersion {
		return hardState{}, fmt.Errorf("%w: hard state of version %d", ErrNewer, b[0])
	}
	if len(b) != hardSize || b[0] != hardVersion {
		return hardState{}, fmt.Errorf("%w: hard state of %d bytes", ErrCorrupted, len(b))
	}
	u := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	return hardState{term: u(1), vote: u(9), commit: u(17), incarnation: u(25)}, nil
}

// proposalID names a proposal, so that trying it again doesn't do it twice.
type proposalID struct {
	// peer proposes; incarnation is its process.
	peer        topology.PeerID
	incarnation uint64
	// counter numbers the process's proposals from 1 on.
	counter uint64
}

// envelope is a proposal as it is in the log.
type envelope struct {
	proposalID
	// low is the oldest counter of the process that was still under way.
	low  uint64
	data []byte
}

func (e envelope) encode() []byte {
	b := make([]byte, 1, 1+4*binary.MaxVarintLen64+len(e.data))
	b[0] = envelopeVersion
	for _, v := range []uint64{uint64(e.peer), e.incarnation, e.counter, e.low} {
		b = binary.AppendUvarint(b, v)
	}
	return append(b, e.data...)
}

// decodeEnvelope is its inverse; data is a part of b.
func decodeEnvelope(b []byte) (envelope, error) {
	r := reader{b: b}
	if v := r.byte(); v > envelopeVersion {
		return envelope{}, fmt.Errorf("%w: proposal of version %d", ErrNewer, v)
	} else if v != envelopeVersion {
		return envelope{}, fmt.Errorf("%w: not a proposal", ErrCorrupted)
	}
	e := envelope{
		proposalID: proposalID{peer: topology.PeerID(r.uvarint()), incarnation: r.uvarint(), counter: r.uvarint()},
		low:        r.uvarint(),
	}
	if r.bad || !validID(e.peer) || e.incarnation == 0 || e.low == 0 || e.counter < e.low {
		return envelope{}, fmt.Errorf("%w: proposal's name", ErrCorrupted)
	}
	e.data = r.b
	return e, nil
}

// encodeSnapshot returns the content of a snapshot file.
func encodeSnapshot(s *raftpb.Snapshot) ([]byte, error) {
	meta, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.GetMetadata())
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	b := make([]byte, 0, snapshotHeader+len(meta)+len(s.GetData())+4)
	b = append(b, snapshotMagic...)
	b = binary.LittleEndian.AppendUint16(b, snapshotVersion)
	b = append(b, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(meta)))
	b = append(b, meta...)
	b = append(b, s.GetData()...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// decodeSnapshot is its inverse; the snapshot's data is a part of b.
func decodeSnapshot(b []byte) (*raftpb.Snapshot, error) {
	if len(b) < snapshotHeader+4 || string(b[:8]) != snapshotMagic {
		return nil, fmt.Errorf("%w: not a snapshot", ErrCorrupted)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return nil, fmt.Errorf("%w: snapshot has checksum %08x, expected %08x", ErrCorrupted, got, sum)
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != snapshotVersion {
		return nil, fmt.Errorf("%w: snapshot of version %d", ErrNewer, v)
	}
	n := uint64(binary.LittleEndian.Uint32(b[12:]))
	body = body[snapshotHeader:]
	if n > uint64(len(body)) {
		return nil, fmt.Errorf("%w: snapshot's metadata", ErrCorrupted)
	}
	meta := &raftpb.SnapshotMetadata{}
	if err := proto.Unmarshal(body[:n], meta); err != nil {
		return nil, fmt.Errorf("%w: snapshot's metadata: %w", ErrCorrupted, err)
	}
	s := &raftpb.Snapshot{Metadata: raftpb.EnsureSnapshotMetadata(meta), Data: body[n:]}
	if err := checkSnapshot(s); err != nil {
		return nil, err
	}
	return s, nil
}

// checkSnapshot says whether a snapshot can be installed, as far as this package
// knows.
func checkSnapshot(s *raftpb.Snapshot) error {
	m := s.GetMetadata()
	c := m.GetConfState()
	if m.GetIndex() == 0 || m.GetTerm() == 0 || len(c.GetVoters()) == 0 {
		return fmt.Errorf("%w: snapshot without position or voters", ErrCorrupted)
	}
	if len(c.GetVotersOutgoing()) > 0 || len(c.GetLearnersNext()) > 0 || c.GetAutoLeave() {
		return fmt.Errorf("%w: snapshot in the middle of a change of members", ErrNewer)
	}
	seen := map[uint64]bool{}
	for _, ids := range [][]uint64{c.GetVoters(), c.GetLearners()} {
		for _, id := range ids {
			if !validID(topology.PeerID(id)) || seen[id] {
				return fmt.Errorf("%w: snapshot's members", ErrCorrupted)
			}
			seen[id] = true
		}
	}
	_, _, err := decodeState(s.GetData())
	return err
}

// reader takes numbers off bytes. bad says that there weren't enough.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.bad, r.b = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// count reads the length of a list whose elements take at least one byte each.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}
