package topology

import (
	"cmp"
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
	// Partial says that points are still being moved to a new shard key: its copies are
	// written to, and not read.
	Partial bool
	// Pin is what a user decided about the shard's place.
	Pin Pin
}

// Pin keeps the placement of a shard as a user made it.
type Pin struct {
	// Until is when the pin ends, in Unix milliseconds. The state has no clock: whoever
	// proposes the command says the time, whoever looks compares it with his.
	Until int64
	// Avoid is the peer that the user took the shard from: nothing moves back there
	// meanwhile. 0 is none.
	Avoid PeerID
}

// Held tells whether the pin holds at a time in Unix milliseconds.
func (p Pin) Held(now int64) bool { return now < p.Until }

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

// clone returns a copy whose lists can be changed.
func (s *Shard) clone() *Shard {
	c := *s
	c.Replicas, c.InSync = slices.Clone(s.Replicas), slices.Clone(s.InSync)
	return &c
}

// equal compares everything; a key never changes.
func (s *Shard) equal(o *Shard) bool {
	return s.ID == o.ID && s.History == o.History && s.Epoch == o.Epoch && s.Version == o.Version &&
		s.Leader == o.Leader && s.Preferred == o.Preferred && s.Partial == o.Partial && s.Pin == o.Pin &&
		slices.Equal(s.Replicas, o.Replicas) && slices.Equal(s.InSync, o.InSync)
}

// setReplica adds a copy, in its place among the peers, or replaces the peer's.
func (s *Shard) setReplica(r Replica) {
	i, found := slices.BinarySearchFunc(s.Replicas, r.Peer, func(r Replica, p PeerID) int { return cmp.Compare(r.Peer, p) })
	if found {
		s.Replicas[i] = r
		return
	}
	s.Replicas = slices.Insert(s.Replicas, i, r)
}

// dropReplica removes a peer's copy with its seat. Who leads is left to the caller.
func (s *Shard) dropReplica(p PeerID) {
	s.Replicas = slices.DeleteFunc(s.Replicas, func(r Replica) bool { return r.Peer == p })
	s.unseat(p)
	if s.Preferred == p {
		s.Preferred = 0
	}
}

// unseat takes a peer out of those in sync.
func (s *Shard) unseat(p PeerID) {
	s.InSync = slices.DeleteFunc(s.InSync, func(q PeerID) bool { return q == p })
}

// ShardName names a shard in the cluster.
type ShardName struct {
	// Collection is the incarnation of the collection.
	Collection string
	// Shard is its number there.
	Shard uint32
}

// TransferMethod is how a copy is filled.
type TransferMethod string

// The methods, by their names in the API.
const (
	StreamRecords TransferMethod = "stream_records"
	Snapshot      TransferMethod = "snapshot"
	WALDelta      TransferMethod = "wal_delta"
)

// Transfer is a copy that is being filled. Values handed out by a State are shared:
// treat them as read-only.
type Transfer struct {
	// Shard is what is copied. With ToShard its points go to another shard of the
	// collection.
	Shard   uint32
	ToShard *uint32
	// From has the data, To gets it.
	From, To PeerID
	// Sync says that the source stays (the API's word for a copy).
	Sync bool
	// Method is how it is done; empty is for the controller to decide.
	Method TransferMethod
	// Comment is for people.
	Comment string
	// Alloc is the copy that is filled.
	Alloc AllocID
	// Added says that the copy was made for this transfer, and goes when it is aborted.
	Added bool
	// Move says that the copy of From goes when that of To is in sync.
	Move bool
	// ByUser says that a user asked for it, not the controller.
	ByUser bool
	// Started is the Raft index of the command that (re)started it.
	Started uint64
}

// TransferKey names a transfer.
type TransferKey struct {
	// Shard and ToShard are as in the transfer.
	Shard   ShardName
	ToShard *uint32
	// From and To are its ends.
	From, To PeerID
}

// Key returns the transfer's name in a collection of this incarnation.
func (t *Transfer) Key(collection string) TransferKey {
	return TransferKey{Shard: ShardName{Collection: collection, Shard: t.Shard}, ToShard: t.ToShard, From: t.From, To: t.To}
}

func (k TransferKey) names(t *Transfer) bool {
	return t.Shard == k.Shard.Shard && t.From == k.From && t.To == k.To && equalNumber(t.ToShard, k.ToShard)
}

func equalNumber(a, b *uint32) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// KeyShards are the shards of one key with custom sharding.
type KeyShards struct {
	// Key is the user's name. A number isn't the word with its digits.
	Key *pb.ShardKey
	// ReplicationFactor is how many copies each shard should have; 0 is the
	// collection's.
	ReplicationFactor uint32
	// Pool are the peers on which a user wants the shards, ascending; empty is anywhere.
	Pool []PeerID
	// Shards are the numbers, ascending.
	Shards []uint32
}

// compareKeys orders shard keys: words before numbers.
func compareKeys(a, b *pb.ShardKey) int {
	_, wordA := a.GetKey().(*pb.ShardKey_Keyword)
	_, wordB := b.GetKey().(*pb.ShardKey_Keyword)
	switch {
	case wordA && !wordB:
		return -1
	case wordB && !wordA:
		return 1
	case wordA:
		return cmp.Compare(a.GetKeyword(), b.GetKeyword())
	default:
		return cmp.Compare(a.GetNumber(), b.GetNumber())
	}
}
