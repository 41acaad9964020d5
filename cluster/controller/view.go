package controller

import (
	"time"

	"github.com/sextantdb/sextant/cluster/topology"
)

// Now is the time of a call, since any fixed moment; it never goes back in one process.
type Now = time.Duration

// View is what the controller sees of the topology. It isn't changed.
type View struct {
	// Version grows with every change of the topology: with an equal one everything else
	// is equal, too.
	Version uint64
	// Wall is the time in Unix milliseconds, which pins are in.
	Wall int64
	// Peers are the nodes, ascending by ID.
	Peers []topology.Peer
	// Collections are in any order that doesn't change by itself.
	Collections []Collection
}

// Collection is a collection in a View.
type Collection struct {
	// Incarnation names it in shard names.
	Incarnation string
	// Copies is the replication factor, MinInSync how many copies must be in sync for writes; 0 is 1.
	Copies, MinInSync int
	// Shards are the records, ascending by number. A list is never changed: another record
	// is in another list, so that a list that was seen before needn't be looked through.
	Shards []*topology.Shard
	// Transfers are the copies that are being filled, ascending by shard.
	Transfers []Transfer
	// Rules are what is special about single shards; most have none.
	Rules map[uint32]Rule
}

// Rule is what is special about a shard.
type Rule struct {
	// Copies, when not 0, is how many it should have.
	Copies int
	// Pool, when not empty, are the nodes that the user wants it on. Others are used only
	// when none of them is there.
	Pool []topology.PeerID
	// PinnedUntil is until when, in Unix milliseconds, the shard stays as a user placed
	// it: nothing is moved, and copies are added only for those that are gone.
	PinnedUntil int64
	// Avoid is the node that the user took the shard from; 0 is none.
	Avoid topology.PeerID
}

// Transfer is a copy that is being filled.
type Transfer struct {
	// Shard is what is copied, From who has it, To who gets it.
	Shard    uint32
	From, To topology.PeerID
	// Move says that the copy of From goes when that of To is in sync.
	Move bool
	// ByUser says that a user asked for it.
	ByUser bool
	// Points says that points go to another shard: the controller leaves those alone.
	Points bool
}
