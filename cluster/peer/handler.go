package peer

import (
	"context"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/cluster/transfer"
)

// Handler is what a node does with what other nodes say. Methods are called by many
// goroutines. Errors reach the caller with their apierror kind and text.
type Handler interface {
	// OnRaft gets messages of the consensus in the order in which they were sent, some
	// perhaps missing, one call at a time. It must not block: while it does, nothing is read from that peer's
	// lane, and its sender forgets what doesn't fit its queue. The bytes are the handler's.
	OnRaft(from From, messages [][]byte)
	// OnReplication is the same for messages between copies. Their stamps are checked:
	// they come from that process, and are meant for this one.
	OnReplication(from From, envelopes []replication.Envelope)
	// Join takes a node into the cluster. The caller needn't know the cluster.
	Join(ctx context.Context, r Join) (Joined, error)
	// Heartbeat hears that a node lives.
	Heartbeat(ctx context.Context, from From, h Heartbeat) (HeartbeatAnswer, error)
	// Call answers a request of this node, or of its copy of a shard.
	Call(ctx context.Context, from From, c Call) ([]byte, error)
	// Command proposes a change of the topology.
	Command(ctx context.Context, from From, command []byte) (Commanded, error)
	// Status tells who the node is. The caller needn't know the cluster.
	Status(ctx context.Context) (Status, error)
	// SendFiles sends the files of this node's copy of a shard; transfer.Exports does.
	SendFiles(ctx context.Context, from From, r transfer.Request, send func(transfer.Chunk) error) error
}

// Join asks to become a member.
type Join struct {
	Peer        topology.PeerID
	URI         string
	Incarnation uint64
	Zone        string
	// Version is the cluster protocol that the node speaks.
	Version uint32
}

// Joined answers it.
type Joined struct {
	// Cluster is the identity of the cluster.
	Cluster string
	// Members are all members.
	Members []Member
}

// Member is a peer and where to reach it.
type Member struct {
	Peer topology.PeerID
	URI  string
}

// Heartbeat says that a process lives.
type Heartbeat struct {
	Incarnation uint64
	// Load is how busy the node is, Digest what there is to say of its shards; opaque
	// here.
	Load, Digest []byte
}

// HeartbeatAnswer answers it.
type HeartbeatAnswer struct {
	// Leader is who leads the consensus, 0 for nobody. One that isn't the peer that was asked
	// is where heartbeats should go.
	Leader topology.PeerID
	// Answer is opaque here.
	Answer []byte
}

// Call is a request on its way to a node, or to its copy of a shard: a read, a write or what else Handlers
// have agreed on.
type Call struct {
	Shard topology.ShardName
	// At is the entry or the version that the request is about, 0 for none.
	At uint64
	// Kind says what Request is; opaque here.
	Kind    uint32
	Request []byte
}

// Commanded answers a command.
type Commanded struct {
	// Index is where it is in the consensus's log.
	Index uint64
	// Result is opaque here.
	Result []byte
}

// Status is who a node is, and what it sees.
type Status struct {
	Identity
	// Version is the cluster protocol that the node speaks.
	Version uint32
	// Leader, Term and Applied are the consensus's as the node sees it.
	Leader        topology.PeerID
	Term, Applied uint64
}
