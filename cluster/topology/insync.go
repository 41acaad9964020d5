package topology

import (
	"slices"

	"github.com/sextantdb/sextant/internal/apierror"
)

// AlterInSync changes which copies of a shard are in sync, and perhaps who leads, at the
// request of its leader (R6, R7).
//
// The set may be the record's: then only the version changes, so that what was proposed
// for the old one can't be taken any more. Its leader waits for that.
//
// A copy that was being filled becomes a voter, and a transfer to it is done; after a
// move the copy that it came from is dropped.
type AlterInSync struct {
	// Shard is the shard, Proposer its leader.
	Shard    ShardName
	Proposer PeerID
	// Epoch and Version are those of the record that the proposer knows.
	Epoch, Version uint64
	// InSync is the new set, with the proposer.
	InSync []PeerID
	// Allocs are the copies that are added.
	Allocs map[PeerID]AllocID
	// Leader, when not 0, is to lead in the next epoch; it is in InSync.
	Leader PeerID
}

func (c AlterInSync) apply(s *State) error {
	set := slices.Sorted(slices.Values(c.InSync))
	col, added, err := c.check(s, set)
	if err != nil {
		return err
	}
	s.editShard(c.Shard, func(sh *Shard) {
		sh.Version++ // also for the same set: what was proposed before can't be taken any more
		sh.InSync = set
		for _, p := range added {
			r, _ := sh.Replica(p)
			r.Kind = Voter
			sh.setReplica(r)
		}
		if c.Leader != 0 {
			sh.lead(c.Leader)
		}
	})
	for _, p := range added {
		for _, t := range col.Transfers {
			if t.Shard == c.Shard.Shard && t.To == p && t.ToShard == nil {
				s.finishTransfer(c.Shard, t)
			}
		}
	}
	return nil
}

// check returns the collection and the members of set (sorted) that are new.
func (c AlterInSync) check(s *State, set []PeerID) (col *Collection, added []PeerID, err error) {
	col, sh, err := s.shardOf(c.Shard)
	switch {
	case err != nil:
		return nil, nil, err
	case sh.Epoch != c.Epoch || sh.Version != c.Version || sh.Leader != c.Proposer || sh.Leader == 0:
		return nil, nil, apierror.New(apierror.Precondition, "Shard %d is led by peer %d in epoch %d, version %d; the proposal is peer %d's for epoch %d, version %d",
			sh.ID, sh.Leader, sh.Epoch, sh.Version, c.Proposer, c.Epoch, c.Version)
	case !slices.Contains(set, c.Proposer):
		return nil, nil, apierror.New(apierror.Precondition, "A leader can't leave the copies in sync of shard %d", sh.ID)
	case len(slices.Compact(slices.Clone(set))) != len(set):
		return nil, nil, apierror.New(apierror.Precondition, "A peer is named twice for shard %d", sh.ID)
	case c.Leader != 0 && (!slices.Contains(set, c.Leader) || !s.alive(c.Leader)):
		return nil, nil, apierror.New(apierror.Precondition, "Peer %d can't lead shard %d: it isn't in sync, or gone", c.Leader, sh.ID)
	}
	for _, p := range set {
		if sh.IsInSync(p) {
			continue
		}
		r, ok := sh.Replica(p)
		if !ok || r.Alloc != c.Allocs[p] || !r.Created || r.Kind != Voter && r.Kind != Joining || !s.alive(p) {
			return nil, nil, apierror.New(apierror.Precondition, "Peer %d can't be in sync for shard %d: it has another copy, or is gone", p, sh.ID)
		}
		added = append(added, p)
	}
	return col, added, nil
}

// AlterMany carries out many AlterInSync, each by itself. Their verdicts are the
// Results of Changed.
type AlterMany struct {
	// Alters are carried out in order.
	Alters []AlterInSync
}

func (c AlterMany) apply(s *State) error {
	for _, a := range c.Alters {
		// It checks everything before it changes anything.
		s.changes.Results = append(s.changes.Results, a.apply(s))
	}
	return nil
}
