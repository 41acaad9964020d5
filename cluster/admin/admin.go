// Package admin is what operators ask of a cluster: who belongs to it, where the shards
// of a collection are, and changes of both. The doors call a Desk; Alone is the one of a
// node that is in no cluster.
//
// Messages of the public API are used where they say it all. The other types here say
// more than those do: what REST shows besides, and operations that have no message.
//
// Callers: server/rest; cluster/coordinator and whoever runs a cluster implement Desk.
package admin

import (
	"context"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Desk answers operators. Methods are safe for concurrent use; those that change
// something return when it is agreed on.
type Desk interface {
	// Status tells who belongs to the cluster, as this node sees it.
	Status(ctx context.Context) (*Status, error)
	// Recover has this node catch up with the others from a snapshot of the consensus.
	Recover(ctx context.Context) error
	// RemovePeer takes a node out of the cluster. Without force it must have no shards.
	RemovePeer(ctx context.Context, peer uint64, force bool, timeout time.Duration) error
	// Drain says that a node is to lose its copies, which other nodes get, and gets no new
	// ones; or that it may have some again. Status tells how many it still has.
	Drain(ctx context.Context, peer uint64, draining bool, timeout time.Duration) error
	// HandOver has a node hand over what it leads, the consensus included, to others that
	// have all data. It returns when the node leads nothing that another one could. The
	// consensus goes to the peer to; 0 is any.
	HandOver(ctx context.Context, peer, to uint64, timeout time.Duration) error
	// Lead has a copy lead its shard.
	Lead(ctx context.Context, req *Lead) error

	// MetadataKeys lists the keys of the cluster's metadata, in order.
	MetadataKeys(ctx context.Context) ([]string, error)
	// Metadata returns the JSON text under a key, nil when there is none.
	Metadata(ctx context.Context, key string) ([]byte, error)
	// SetMetadata stores JSON text under a key, or removes the key with nil. With wait
	// it returns when this node knows it.
	SetMetadata(ctx context.Context, key string, value []byte, wait bool) error

	// Telemetry gathers what all nodes tell of themselves.
	Telemetry(ctx context.Context) (*Telemetry, error)

	// Collection tells where the shards of a collection are.
	Collection(ctx context.Context, name string) (*Collection, error)
	// Update carries out an operation on shards and their copies.
	Update(ctx context.Context, req *pb.UpdateCollectionClusterSetupRequest) error
	// Reshard carries out a step of a change of the number of shards.
	Reshard(ctx context.Context, req *Reshard) error
	// ShardKeys lists the keys of a collection with custom sharding, nil of another one.
	ShardKeys(ctx context.Context, collection string) ([]*pb.ShardKey, error)
	// Local returns the reads of this node's copy of one shard, for operators who compare
	// copies.
	Local(collection string, shard uint32) (LocalReads, error)
}

// LocalReads are reads of one copy of a shard.
type LocalReads interface {
	Get(ctx context.Context, req *pb.GetPoints) (*pb.GetResponse, error)
	Scroll(ctx context.Context, req *pb.ScrollPoints) (*pb.ScrollResponse, error)
	Count(ctx context.Context, req *pb.CountPoints) (*pb.CountResponse, error)
}

// Status is a cluster as one node sees it. The zero value is that of a node alone.
type Status struct {
	// Enabled says that there is a cluster; else the rest is empty.
	Enabled bool
	// ID is the identity of the cluster, the same for its whole life; "" until it has one.
	ID string
	// Peer is the node that tells.
	Peer uint64
	// Peers are all nodes.
	Peers map[uint64]Peer
	// Raft is the state of the consensus.
	Raft Raft
	// Consensus says whether the part of the node that follows it works.
	Consensus Consensus
	// SendFailures are what couldn't be sent, by address.
	SendFailures map[string]SendFailure
}

// Peer is a node of a cluster.
type Peer struct {
	// URI is its address.
	URI string
	// Fenced says that it counts as gone, Draining that it is to lose its copies.
	Fenced, Draining bool
	// Zone is where copies of a shard should not all be; "" is none.
	Zone string
	// Replicas is how many copies it has, or is to have; Leads how many shards it leads.
	Replicas, Leads int
}

// Raft is the state of the consensus at one node.
type Raft struct {
	Term, Commit uint64
	// Pending is how many operations are agreed on, but not applied.
	Pending uint64
	// Leader is 0 when none is known.
	Leader uint64
	// Role is "Leader", "Follower", "Candidate" or "PreCandidate"; "" is unknown.
	Role string
	// Voter says that the node counts in elections.
	Voter bool
}

// Consensus says whether a node follows the consensus.
type Consensus struct {
	// Stopped says that it does no more; Err is why, "" when it was told to.
	Stopped bool
	Err     string
	// Updated is when it last did something.
	Updated time.Time
}

// SendFailure is what is wrong with the way to a node.
type SendFailure struct {
	// Count is how many messages failed.
	Count uint64
	// Latest is the last error, At when it was.
	Latest string
	At     time.Time
}

// Replica is one copy of a shard.
type Replica struct {
	// Shard is the shard's number, Key its name with custom sharding.
	Shard uint32
	Key   *pb.ShardKey
	// Peer is the node that has it.
	Peer uint64
	// State is its state in the words of the API.
	State pb.ReplicaState
	// Points is how many it has; only known of copies of the node that tells.
	Points uint64
	// Replication is nil on a node alone.
	Replication *Replication
}

// Replication is what the API has no words for.
type Replication struct {
	// Leader orders the shard's writes, 0 is nobody; Epoch numbers leaderships.
	Leader, Epoch uint64
	// InSync are the peers whose copies have everything that was committed.
	InSync []uint64
	// Lag is how many entries the copy is behind the leader; nil is unknown.
	Lag *uint64
}

// Transfer is a copy being filled from another one.
type Transfer struct {
	*pb.ShardTransferInfo
	// Method is how, nil when it isn't decided; Comment how far it is.
	Method  *pb.ShardTransferMethod
	Comment string
}

// Collection is where the shards of a collection are.
type Collection struct {
	// Peer is the node that tells.
	Peer uint64
	// Shards is how many there are.
	Shards uint64
	// Local are its own copies, Remote those of others.
	Local, Remote []Replica
	// Transfers and Resharding are under way.
	Transfers  []Transfer
	Resharding []*pb.ReshardingInfo
}

// Message returns what the API's message can say.
func (c *Collection) Message() *pb.CollectionClusterInfoResponse {
	m := &pb.CollectionClusterInfoResponse{PeerId: c.Peer, ShardCount: c.Shards, ReshardingOperations: c.Resharding}
	for _, r := range c.Local {
		m.LocalShards = append(m.LocalShards, &pb.LocalShardInfo{ShardId: r.Shard, PointsCount: r.Points, State: r.State, ShardKey: r.Key})
	}
	for _, r := range c.Remote {
		m.RemoteShards = append(m.RemoteShards, &pb.RemoteShardInfo{ShardId: r.Shard, PeerId: r.Peer, State: r.State, ShardKey: r.Key})
	}
	for _, t := range c.Transfers {
		m.ShardTransfers = append(m.ShardTransfers, t.ShardTransferInfo)
	}
	return m
}

// Lead asks for another leader of a shard.
type Lead struct {
	// Collection, Shard and Peer name the copy that is to lead.
	Collection string
	Shard      uint32
	Peer       uint64
	// AcceptDataLoss lets a copy lead that may lack what was acknowledged, where no copy is
	// left that has it all. What it lacks is lost.
	AcceptDataLoss bool
	// Timeout is how long to wait; 0 is the default.
	Timeout time.Duration
}

// Step is a step of a resharding.
type Step uint8

// The steps. Start and Abort are for operators; the others happen by themselves, and are
// there for those who want to take them one by one.
const (
	Start Step = iota + 1
	Abort
	FinishMigratingPoints
	CommitReadRing
	CommitWriteRing
	Finish
)

// Reshard asks for a step of a change of the number of shards.
type Reshard struct {
	// Collection is its name, Step what to do.
	Collection string
	Step       Step
	// UUID, Direction, Peer and Key are for Start. UUID "" is a new one; Peer, when not
	// 0, is to have the new shard; Key is the shard key that is resharded.
	UUID      string
	Direction pb.ReshardingDirection
	Key       *pb.ShardKey
	// Peer and Shard narrow FinishMigratingPoints down, nil to nothing.
	Peer  *uint64
	Shard *uint32
	// Timeout is how long to wait; 0 is the default.
	Timeout time.Duration
}

// Telemetry is what all nodes tell.
type Telemetry struct {
	// Enabled says that there is a cluster.
	Enabled bool
	// Peers are its nodes.
	Peers map[uint64]PeerTelemetry
	// Collections are the collections by name.
	Collections map[string]CollectionTelemetry
}

// PeerTelemetry is what a node tells of itself.
type PeerTelemetry struct {
	// URI is its address.
	URI string
	// Version, Raft and Consensus are those of a node that answered, else nil.
	Answer *PeerAnswer
}

// PeerAnswer is the answer of a node.
type PeerAnswer struct {
	Version   string
	Raft      Raft
	Consensus Consensus
}

// CollectionTelemetry is a collection as seen by all.
type CollectionTelemetry struct {
	// Replicas are all copies.
	Replicas []Replica
	// Transfers and Resharding are under way.
	Transfers  []Transfer
	Resharding []*pb.ReshardingInfo
}

// Alone is the desk of a node that is in no cluster: it has nothing to tell, and refuses
// changes. Whoever knows the node's collections embeds it and answers for them.
type Alone struct{}

var _ Desk = Alone{}

func refused() error {
	return apierror.New(apierror.Standalone, "The node is running in standalone mode: there is no cluster to change")
}

// Status implements Desk.
func (Alone) Status(context.Context) (*Status, error) { return &Status{}, nil }

// Recover implements Desk.
func (Alone) Recover(context.Context) error { return refused() }

// RemovePeer implements Desk.
func (Alone) RemovePeer(context.Context, uint64, bool, time.Duration) error { return refused() }

// Drain implements Desk.
func (Alone) Drain(context.Context, uint64, bool, time.Duration) error { return refused() }

// HandOver implements Desk.
func (Alone) HandOver(context.Context, uint64, uint64, time.Duration) error { return refused() }

// Lead implements Desk.
func (Alone) Lead(context.Context, *Lead) error { return refused() }

// MetadataKeys implements Desk.
func (Alone) MetadataKeys(context.Context) ([]string, error) { return nil, refused() }

// Metadata implements Desk.
func (Alone) Metadata(context.Context, string) ([]byte, error) { return nil, refused() }

// SetMetadata implements Desk.
func (Alone) SetMetadata(context.Context, string, []byte, bool) error { return refused() }

// Telemetry implements Desk.
func (Alone) Telemetry(context.Context) (*Telemetry, error) { return &Telemetry{}, nil }

// Collection implements Desk.
func (Alone) Collection(_ context.Context, name string) (*Collection, error) {
	return nil, apierror.New(apierror.NotFound, "Collection `%s` doesn't exist!", name)
}

// Update implements Desk.
func (Alone) Update(context.Context, *pb.UpdateCollectionClusterSetupRequest) error { return refused() }

// Reshard implements Desk.
func (Alone) Reshard(context.Context, *Reshard) error { return refused() }

// ShardKeys implements Desk.
func (Alone) ShardKeys(context.Context, string) ([]*pb.ShardKey, error) { return nil, nil }

// Local implements Desk.
func (Alone) Local(collection string, _ uint32) (LocalReads, error) {
	return nil, apierror.New(apierror.NotFound, "Collection `%s` doesn't exist!", collection)
}
