package consensus

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/sextantdb/sextant/cluster/topology"
)

// state is what the group itself replicates, beside the machine's state. It is part
// of each snapshot.
type state struct {
	// group is the identity of the group: a random number that another founding, or a
	// new beginning after the loss of the majority, doesn't have.
	group uint64
	// removed are the members that never come back, left those of a group that this one was
	// made from (Reinit): they come back when they are added anew.
	removed, left map[topology.PeerID]struct{}
	// sessions say which proposals were applied, by proposer.
	sessions map[topology.PeerID]*session
}

// session is what is remembered of one node's proposals: those of its newest process.
type session struct {
	incarnation uint64
	// low is the oldest proposal that may still come; applied are those from low on
	// that were applied.
	low     uint64
	applied map[uint64]struct{}
}

func newState(group uint64) *state {
	return &state{
		group: group, removed: map[topology.PeerID]struct{}{}, left: map[topology.PeerID]struct{}{}, sessions: map[topology.PeerID]*session{},
	}
}

func (s *state) isRemoved(id topology.PeerID) bool {
	_, ok := s.removed[id]
	return ok
}

// remove says that a member never comes back.
func (s *state) remove(id topology.PeerID) {
	s.removed[id] = struct{}{}
	delete(s.left, id)
	delete(s.sessions, id)
}

// leave says that a node was a member of the group before: what it has and sends is that one's.
func (s *state) leave(id topology.PeerID) {
	s.left[id] = struct{}{}
	delete(s.sessions, id)
}

// isForeign tells whether what a node says is of no interest to the group.
func (s *state) isForeign(id topology.PeerID) bool {
	_, left := s.left[id]
	return left || s.isRemoved(id)
}

// admit says whether a proposal is to be applied, and remembers it: a member's, and
// not applied before.
func (s *state) admit(e envelope) bool {
	if s.isForeign(e.peer) {
		return false
	}
	x := s.sessions[e.peer]
	if x == nil || x.incarnation < e.incarnation {
		x = &session{incarnation: e.incarnation, low: e.low, applied: map[uint64]struct{}{}}
		s.sessions[e.peer] = x
	}
	if x.incarnation > e.incarnation {
		return false
	}
	if e.low > x.low {
		x.low = e.low
		maps.DeleteFunc(x.applied, func(c uint64, _ struct{}) bool { return c < x.low })
	}
	if x.has(e.counter) {
		return false
	}
	x.applied[e.counter] = struct{}{}
	return true
}

// has says whether a proposal was applied, or was given up by who proposed it.
func (x *session) has(counter uint64) bool {
	_, ok := x.applied[counter]
	return ok || counter < x.low
}

// applied says whether a proposal under way was applied.
func (s *state) applied(id proposalID) bool {
	x := s.sessions[id.peer]
	return x != nil && x.incarnation == id.incarnation && x.has(id.counter)
}

// encode returns the state with the machine's behind it.
func (s *state) encode(machine []byte) []byte {
	b := binary.LittleEndian.AppendUint64([]byte{stateVersion}, s.group)
	for _, set := range []map[topology.PeerID]struct{}{s.removed, s.left} {
		b = binary.AppendUvarint(b, uint64(len(set)))
		for _, id := range slices.Sorted(maps.Keys(set)) {
			b = binary.AppendUvarint(b, uint64(id))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s.sessions)))
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		x := s.sessions[id]
		for _, v := range []uint64{uint64(id), x.incarnation, x.low, uint64(len(x.applied))} {
			b = binary.AppendUvarint(b, v)
		}
		for _, c := range slices.Sorted(maps.Keys(x.applied)) {
			b = binary.AppendUvarint(b, c)
		}
	}
	return append(b, machine...)
}

// decodeState is its inverse; machine is a part of b.
func decodeState(b []byte) (s *state, machine []byte, err error) {
	r := &reader{b: b}
	version := r.byte()
	switch {
	case version > stateVersion:
		return nil, nil, fmt.Errorf("%w: snapshot's state has version %d", ErrNewer, version)
	case version == 0:
		return nil, nil, fmt.Errorf("%w: snapshot's state", ErrCorrupted)
	}
	s = newState(r.uint64())
	for range r.count() {
		s.removed[topology.PeerID(r.uvarint())] = struct{}{}
	}
	if version > 1 {
		for range r.count() {
			s.left[topology.PeerID(r.uvarint())] = struct{}{}
		}
	}
	for range r.count() {
		id := topology.PeerID(r.uvarint())
		x := &session{incarnation: r.uvarint(), low: r.uvarint(), applied: map[uint64]struct{}{}}
		for range r.count() {
			x.applied[r.uvarint()] = struct{}{}
		}
		s.sessions[id] = x
	}
	if r.bad {
		return nil, nil, fmt.Errorf("%w: snapshot's state is cut off", ErrCorrupted)
	}
	return s, r.b, nil
}

// members are who is in the group.
type members struct {
	// voters decide, learners only listen; ascending.
	voters, learners []topology.PeerID
}

func membersOf(c *raftpb.ConfState) members {
	list := func(ids []uint64) []topology.PeerID {
		out := make([]topology.PeerID, len(ids))
		for i, id := range ids {
			out[i] = topology.PeerID(id)
		}
		slices.Sort(out)
		return out
	}
	return members{voters: list(c.GetVoters()), learners: list(c.GetLearners())}
}

func (m members) isVoter(id topology.PeerID) bool   { return slices.Contains(m.voters, id) }
func (m members) isLearner(id topology.PeerID) bool { return slices.Contains(m.learners, id) }
func (m members) has(id topology.PeerID) bool       { return m.isVoter(id) || m.isLearner(id) }

// allows says whether a committed change of members is to be carried out, the same
// on every node. A change may be in the log twice, or late: adding as a learner who
// has become a voter since would take the vote away.
func (m members) allows(c Change, s *state) bool {
	switch c.Kind {
	case AddLearner:
		return validID(c.Peer) && !m.has(c.Peer) && !s.isRemoved(c.Peer)
	case Promote:
		return m.isLearner(c.Peer)
	case Demote:
		return m.isVoter(c.Peer) && len(m.voters) > 1
	case Remove:
		// Who never was a member may be kept from becoming one.
		return validID(c.Peer) && !s.isRemoved(c.Peer) && (!m.isVoter(c.Peer) || len(m.voters) > 1)
	default:
		return false
	}
}
