package topology

import pb "github.com/qdrant/go-client/qdrant"

// Progress is what is known about a copy that isn't in sync, from its leader or from
// itself.
type Progress uint8

// How far a copy can be.
const (
	// Unknown: it isn't heard of.
	Unknown Progress = iota
	// Filling: it takes files, or what is missing of the log.
	Filling
	// Following: it takes what the leader writes.
	Following
)

// ReplicaState returns the state of a peer's copy in the terms of the API. ok is false
// when the peer has none.
func ReplicaState(s *State, name ShardName, peer PeerID, progress Progress) (state pb.ReplicaState, ok bool) {
	c := s.Incarnation(name.Collection)
	if c == nil || c.Shard(name.Shard) == nil {
		return 0, false
	}
	sh := c.Shard(name.Shard)
	r, ok := sh.Replica(peer)
	if !ok {
		return 0, false
	}
	switch {
	case !s.alive(peer):
		return pb.ReplicaState_Dead, true
	case !r.Created && r.Kind != Joining:
		return pb.ReplicaState_Initializing, true
	case r.Kind == Listener:
		return pb.ReplicaState_Listener, true
	case r.Kind == Resharding:
		return pb.ReplicaState_Resharding, true
	case sh.IsInSync(peer) && sh.Partial:
		return pb.ReplicaState_Partial, true
	case sh.IsInSync(peer):
		return pb.ReplicaState_Active, true
	case progress == Following:
		return pb.ReplicaState_Partial, true
	case progress == Filling || c.fills(sh.ID, peer):
		return pb.ReplicaState_Recovery, true
	case !r.Created:
		return pb.ReplicaState_Initializing, true
	default:
		return pb.ReplicaState_Dead, true
	}
}

// fills tells whether a transfer to a copy is under way.
func (c *Collection) fills(shard uint32, peer PeerID) bool {
	for _, t := range c.Transfers {
		if t.fills(shard, peer) {
			return true
		}
	}
	return false
}
