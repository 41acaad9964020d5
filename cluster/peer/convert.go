package peer

import (
	"fmt"

	"github.com/sextantdb/sextant/cluster/peer/peerpb"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// overhead is about what an envelope, and an entry, take on the wire without their bodies.
const overhead = 96

// envelopeSize is about how long an envelope is on the wire.
func envelopeSize(e *replication.Envelope) int {
	n := overhead + len(e.Shard.Collection)
	switch m := e.Message.(type) {
	case replication.Append:
		for i := range m.Entries {
			n += overhead + len(m.Entries[i].Body)
		}
	case replication.Hello:
		n += 24 * len(m.Epochs)
	}
	return n
}

// envelopeToPB makes a message of an envelope. Bodies are shared, not copied.
func envelopeToPB(e *replication.Envelope) (*peerpb.Envelope, error) {
	out := &peerpb.Envelope{
		From: uint64(e.From), To: uint64(e.To),
		FromIncarnation: e.FromIncarnation, ToIncarnation: e.ToIncarnation,
		FromAlloc: uint64(e.FromAlloc), Collection: e.Shard.Collection, Shard: e.Shard.Shard, Epoch: e.Epoch,
	}
	switch m := e.Message.(type) {
	case replication.Hello:
		out.Message = &peerpb.Envelope_Hello{Hello: &peerpb.Hello{
			History: m.History, First: m.First, Last: positionToPB(m.Last), Epochs: epochsToPB(m.Epochs), Applied: m.Applied,
		}}
	case replication.Welcome:
		out.Message = &peerpb.Envelope_Welcome{Welcome: &peerpb.Welcome{
			At: positionToPB(m.At), Commit: m.Commit, Last: positionToPB(m.Last), Barrier: m.Barrier,
		}}
	case replication.TakeFiles:
		out.Message = &peerpb.Envelope_TakeFiles{TakeFiles: &peerpb.TakeFiles{History: m.History, Last: positionToPB(m.Last), First: m.First}}
	case replication.Refused:
		out.Message = &peerpb.Envelope_Refused{Refused: &peerpb.Refused{Epoch: m.Epoch}}
	case replication.Append:
		out.Message = &peerpb.Envelope_Append{Append: &peerpb.Append{
			Prev: positionToPB(m.Prev), Entries: entriesToPB(m.Entries),
			First: m.First, Last: m.Last, Commit: m.Commit, Visible: m.Visible,
		}}
	case replication.Appended:
		out.Message = &peerpb.Envelope_Appended{Appended: &peerpb.Appended{
			Durable: m.Durable, Applied: m.Applied, Gap: m.Gap, Full: m.Full,
		}}
	case replication.Confirm:
		out.Message = &peerpb.Envelope_Confirm{Confirm: &peerpb.Confirm{Round: m.Round}}
	case replication.Confirmed:
		out.Message = &peerpb.Envelope_Confirmed{Confirmed: &peerpb.Confirmed{Round: m.Round}}
	default:
		return nil, fmt.Errorf("envelope with an unknown message %T", e.Message)
	}
	return out, nil
}

// envelopeFromPB is the way back. Bodies are shared.
func envelopeFromPB(e *peerpb.Envelope) (replication.Envelope, error) {
	out := replication.Envelope{
		From: topology.PeerID(e.GetFrom()), To: topology.PeerID(e.GetTo()),
		FromIncarnation: e.GetFromIncarnation(), ToIncarnation: e.GetToIncarnation(),
		FromAlloc: topology.AllocID(e.GetFromAlloc()),
		Shard:     topology.ShardName{Collection: e.GetCollection(), Shard: e.GetShard()},
		Epoch:     e.GetEpoch(),
	}
	var err error
	out.Message, err = messageFromPB(e)
	return out, err
}

// messageFromPB is what an envelope says.
func messageFromPB(e *peerpb.Envelope) (replication.Message, error) {
	switch m := e.GetMessage().(type) {
	case *peerpb.Envelope_Hello:
		h := m.Hello
		return replication.Hello{
			History: h.GetHistory(), First: h.GetFirst(), Last: positionFromPB(h.GetLast()),
			Epochs: epochsFromPB(h.GetEpochs()), Applied: h.GetApplied(),
		}, nil
	case *peerpb.Envelope_Welcome:
		w := m.Welcome
		return replication.Welcome{
			At: positionFromPB(w.GetAt()), Commit: w.GetCommit(), Last: positionFromPB(w.GetLast()), Barrier: w.GetBarrier(),
		}, nil
	case *peerpb.Envelope_TakeFiles:
		t := m.TakeFiles
		return replication.TakeFiles{History: t.GetHistory(), Last: positionFromPB(t.GetLast()), First: t.GetFirst()}, nil
	case *peerpb.Envelope_Refused:
		return replication.Refused{Epoch: m.Refused.GetEpoch()}, nil
	case *peerpb.Envelope_Append:
		return appendFromPB(m.Append)
	case *peerpb.Envelope_Appended:
		a := m.Appended
		return replication.Appended{Durable: a.GetDurable(), Applied: a.GetApplied(), Gap: a.GetGap(), Full: a.GetFull()}, nil
	case *peerpb.Envelope_Confirm:
		return replication.Confirm{Round: m.Confirm.GetRound()}, nil
	case *peerpb.Envelope_Confirmed:
		return replication.Confirmed{Round: m.Confirmed.GetRound()}, nil
	}
	return nil, fmt.Errorf("envelope for shard %d of %q says nothing that this version knows", e.GetShard(), e.GetCollection())
}

func positionToPB(p replication.Position) *peerpb.Position {
	return &peerpb.Position{Epoch: p.Epoch, Seq: p.Seq, Chain: p.Chain}
}

func positionFromPB(p *peerpb.Position) replication.Position {
	return replication.Position{Epoch: p.GetEpoch(), Seq: p.GetSeq(), Chain: p.GetChain()}
}

func epochsToPB(all []replication.EpochStart) []*peerpb.EpochStart {
	out := make([]*peerpb.EpochStart, len(all))
	for i, s := range all {
		out[i] = &peerpb.EpochStart{Epoch: s.Epoch, First: s.First}
	}
	return out
}

func epochsFromPB(all []*peerpb.EpochStart) []replication.EpochStart {
	if len(all) == 0 {
		return nil
	}
	out := make([]replication.EpochStart, len(all))
	for i, s := range all {
		out[i] = replication.EpochStart{Epoch: s.GetEpoch(), First: s.GetFirst()}
	}
	return out
}

// entriesToPB makes messages of entries, two allocations for all of them and one for
// each that has an operation's ID.
func entriesToPB(all []replication.Entry) []*peerpb.Entry {
	out := make([]*peerpb.Entry, len(all))
	values := make([]peerpb.Entry, len(all))
	for i := range all {
		e, v := &all[i], &values[i]
		v.Epoch, v.Seq, v.Chain, v.Kind = e.Epoch, e.Seq, e.Chain, uint32(e.Kind)
		v.Op, v.Body = opToPB(e.Op), e.Body
		out[i] = v
	}
	return out
}

func appendFromPB(a *peerpb.Append) (replication.Message, error) {
	out := replication.Append{
		Prev: positionFromPB(a.GetPrev()), First: a.GetFirst(), Last: a.GetLast(),
		Commit: a.GetCommit(), Visible: a.GetVisible(),
	}
	if len(a.GetEntries()) > 0 {
		out.Entries = make([]replication.Entry, len(a.GetEntries()))
	}
	for i, e := range a.GetEntries() {
		if e.GetKind() > 255 {
			return nil, fmt.Errorf("entry %d of an unknown kind %d", e.GetSeq(), e.GetKind())
		}
		out.Entries[i] = replication.Entry{
			Position: replication.Position{Epoch: e.GetEpoch(), Seq: e.GetSeq(), Chain: e.GetChain()},
			Kind:     replication.EntryKind(e.GetKind()),
			Op:       opFromPB(e.GetOp()),
		}
		if len(e.GetBody()) > 0 {
			out.Entries[i].Body = e.GetBody()
		}
	}
	return out, nil
}

// opToPB has no message for the zero ID.
func opToPB(o replication.OpID) *peerpb.OpID {
	if o == (replication.OpID{}) {
		return nil
	}
	return &peerpb.OpID{Peer: uint64(o.Peer), Incarnation: o.Incarnation, Counter: o.Counter}
}

func opFromPB(o *peerpb.OpID) replication.OpID {
	return replication.OpID{Peer: topology.PeerID(o.GetPeer()), Incarnation: o.GetIncarnation(), Counter: o.GetCounter()}
}
