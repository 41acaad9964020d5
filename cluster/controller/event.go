package controller

import "github.com/sextantdb/sextant/cluster/topology"

// Event is what the controller is told.
type Event interface{ isEvent() }

// Heartbeat is when a node says that it lives.
type Heartbeat struct {
	Process
	Digest
}

// Digest is what a node says about itself.
type Digest struct {
	// Full says that its disk has no room for more copies.
	Full bool
	// Slow says that it is too slow to lead (a stalled disk).
	Slow bool
	// Unreached are the nodes that it can't reach.
	Unreached []topology.PeerID
	// Progress are the transfers to it that are under way.
	Progress []Progress
}

// Progress is how far a transfer is.
type Progress struct {
	Shard topology.ShardName
	// Bytes grows as long as anything arrives.
	Bytes uint64
}

// Refused is when a connection to a node broke, and the next one was refused: its process is
// gone though its machine is there.
type Refused struct {
	// By is who saw it.
	By topology.PeerID
	// Process is the one that is gone.
	Process
}

// BecameLeader is when this node begins to lead the consensus.
type BecameLeader struct {
	// Former led before, 0 if unknown; Heard is when it was last heard of. Others get a
	// whole session.
	Former topology.PeerID
	Heard  Now
}

// LostLeadership is when it ceases to.
type LostLeadership struct{}

func (Heartbeat) isEvent()      {}
func (Refused) isEvent()        {}
func (BecameLeader) isEvent()   {}
func (LostLeadership) isEvent() {}
