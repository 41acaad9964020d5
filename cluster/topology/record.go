package topology

import (
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
)

// PeerID names a node of the cluster, and its voice in the consensus. A node keeps
// its ID as long as it keeps its disk. 0 is nobody.
type PeerID uint64

// AllocID names one copy of a shard on one disk: a disk that was lost and is filled
// again holds another copy. Numbers are given out by the topology, from 1 on, and
// never again.
type AllocID uint64

// Peer is a node of the cluster.
type Peer struct {
	// ID is the node's name.
	ID PeerID
	// URI is where other nodes reach it ("http://host:6335").
	URI string
	// Incarnation numbers the node's processes: it grows with each start. What an
	// earlier process said or is told doesn't count.
	Incarnation uint64
	// Fenced says that the node counts as gone until it registers (again): it leads
	// nothing and isn't elected.
	Fenced bool
	// Draining says that the node is to lose its replicas and gets no new ones.
	Draining bool
	// Zone is where replicas of one shard should not all be.
	Zone string
	// Version is the cluster protocol that the node speaks.
	Version uint32
}

// ReplicaKind says what a replica is for.
type ReplicaKind uint8

// The kinds of replicas.
const (
	// Voter counts: it may be in sync, and lead.
	Voter ReplicaKind = iota
	// Joining is being filled; it becomes a voter when it is in sync.
	Joining
	// Listener gets the log, is never in sync and never read.
	Listener
	// Resharding belongs to a shard that is being made.
	Resharding
)

// Replica is one copy of a shard.
type Replica struct {
	// Peer is the node that has it.
	Peer PeerID
	// Alloc is the copy.
	Alloc AllocID
	// Kind is what it is for.
	Kind ReplicaKind
	// Created says that the node has made the copy's place on its disk. Until then it
	// takes part in nothing, so there is nothing to lose.
	Created bool
}

// Shard is the record of one shard: who holds it, who leads, who is in sync. Values
// handed out by a State are shared: treat them as read-only.
type Shard struct {
	// ID is the shard's number in its collection.
	ID uint32
	// Key is the user's name for it with custom sharding, else nil.
	Key *pb.ShardKey
	// History is the identity of the shard's log. Another one (after an election that
	// gave up data, or a restored snapshot) has nothing in common with it.
	History uint64
	// Epoch numbers leaderships: it grows with every change of the leader, also to
	// none.
	Epoch uint64
	// Version grows with every change of the record: whoever changes it says which
	// version was seen.
	Version uint64
	// Leader orders writes; 0 is nobody.
	Leader PeerID
	// Preferred should lead if it can; 0 is anybody.
	Preferred PeerID
	// Replicas are the copies, ordered by peer, at most one a peer.
	Replicas []Replica
	// InSync are the peers whose copies have everything that was committed, ascending.
	// It is empty only after every such copy was lost.
	InSync []PeerID
}

// Replica returns the copy of a peer; ok is false when it has none.
func (s *Shard) Replica(p PeerID) (r Replica, ok bool) {
	for _, r := range s.Replicas {
		if r.Peer == p {
			return r, true
		}
	}
	return Replica{}, false
}

// IsInSync tells whether a peer's copy has everything that was committed.
func (s *Shard) IsInSync(p PeerID) bool { return slices.Contains(s.InSync, p) }

// ShardName names a shard in the cluster.
type ShardName struct {
	// Collection is the incarnation of the collection.
	Collection string
	// Shard is its number there.
	Shard uint32
}
