package topology

import (
	"slices"

	"github.com/sextantdb/sextant/internal/apierror"
)

// ReplicasCreated says that a peer has made the places of copies on its disk. Copies
// that the records don't name (any more) are left out.
type ReplicasCreated struct {
	// Peer is the node.
	Peer PeerID
	// Copies are what it has made.
	Copies []HeldReplica
}

func (c ReplicasCreated) apply(s *State) error {
	for _, h := range c.Copies {
		sh := s.Shard(h.Shard)
		if sh == nil {
			continue
		}
		r, ok := sh.Replica(c.Peer)
		if !ok || r.Alloc != h.Alloc || r.Created {
			continue
		}
		r.Created = true
		s.editShard(h.Shard, func(sh *Shard) { sh.setReplica(r) })
	}
	return nil
}

// AddReplica adds a copy that is to be made and filled. One of the same kind that is
// there is no error.
type AddReplica struct {
	// Shard is the shard, Peer who is to hold the copy.
	Shard ShardName
	Peer  PeerID
	// Kind is Joining, Listener or Resharding: a voter is what a copy becomes.
	Kind ReplicaKind
}

func (c AddReplica) apply(s *State) error {
	_, sh, err := s.shardOf(c.Shard)
	if err != nil {
		return err
	}
	if c.Kind != Joining && c.Kind != Listener && c.Kind != Resharding {
		return apierror.New(apierror.BadRequest, "A copy of kind %d can't be added", c.Kind)
	}
	if r, ok := sh.Replica(c.Peer); ok {
		if r.Kind == c.Kind {
			return nil
		}
		return apierror.New(apierror.BadRequest, "Shard %d has a replica on peer %d already", sh.ID, c.Peer)
	}
	if err := s.mayGet(c.Peer); err != nil {
		return err
	}
	s.editShard(c.Shard, func(sh *Shard) {
		sh.setReplica(Replica{Peer: c.Peer, Alloc: s.newAlloc(), Kind: c.Kind})
	})
	return nil
}

// mayGet says why a peer can't get a new copy.
func (s *State) mayGet(p PeerID) error {
	switch peer := s.Peer(p); {
	case peer == nil:
		return noPeer(p)
	case peer.Fenced:
		return gone(p)
	case peer.Draining:
		return apierror.New(apierror.BadRequest, "Peer %d is being drained and gets no replicas", p)
	default:
		return nil
	}
}

// DropReplica removes a copy, and the transfers that it takes part in. It refuses to take
// the last copy that has all data and is there.
type DropReplica struct {
	// Shard is the shard, Peer who holds the copy.
	Shard ShardName
	Peer  PeerID
	// PinUntil, when not 0, keeps the placement as it is then: a user asked.
	PinUntil int64
}

func (c DropReplica) apply(s *State) error {
	col, sh, err := s.shardOf(c.Shard)
	if err != nil {
		return err
	}
	if _, ok := sh.Replica(c.Peer); !ok {
		return noReplica(sh, c.Peer)
	}
	if sh.IsInSync(c.Peer) {
		other := func(p PeerID) bool { return p != c.Peer }
		there := func(p PeerID) bool { return p != c.Peer && s.alive(p) }
		if !slices.ContainsFunc(sh.InSync, other) || s.alive(c.Peer) && !slices.ContainsFunc(sh.InSync, there) {
			return apierror.New(apierror.BadRequest, "Cannot drop last active replica of shard %d", sh.ID)
		}
	}
	s.abortTransfers(col, func(t *Transfer) bool { return t.uses(sh.ID, c.Peer) })
	s.editShard(c.Shard, func(sh *Shard) {
		sh.dropReplica(c.Peer) // an aborted transfer may have done so
		s.settle(sh)
		if c.PinUntil != 0 {
			sh.Pin = Pin{Until: c.PinUntil, Avoid: c.Peer}
		}
	})
	return nil
}
