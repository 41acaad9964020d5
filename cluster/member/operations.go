package member

import (
	"context"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// pinTime is how long a shard stays where a user has put it.
const pinTime = 30 * time.Minute

// Update implements admin.Desk. It returns when the consensus has agreed, not when a copy is filled.
func (a *Admin) Update(ctx context.Context, req *pb.UpdateCollectionClusterSetupRequest) error {
	c, err := a.collection(ctx, req.GetCollectionName())
	if err != nil {
		return err
	}
	timeout := time.Duration(min(req.GetTimeout(), 1<<31)) * time.Second
	if key := req.GetCreateShardKey(); key != nil {
		return a.createKey(ctx, c, key, timeout)
	}
	cmd, err := command(c, req, time.Now().Add(pinTime).UnixMilli())
	if err != nil {
		return err
	}
	if start, ok := cmd.(topology.StartTransfer); ok {
		a.m.awaitRegistered(ctx, start.To)
	}
	return a.change(ctx, timeout, cmd)
}

// registerTime is how long a node that counts as gone is waited for.
const registerTime = 10 * time.Second

// awaitRegistered waits a moment for a node that counts as gone: one that was started just now, and
// answers its users already, comes back any moment.
func (m *Member) awaitRegistered(ctx context.Context, id topology.PeerID) {
	timed, cancel := context.WithTimeout(ctx, registerTime)
	defer cancel()
	// Whether it came back is for the consensus to say.
	_ = m.machine.wait(timed, func(v *view) bool {
		p := v.Peer(id)
		return p == nil || !p.Fenced
	})
}

// collection returns a collection. Another node may have made it a moment ago: that a node doesn't know
// it is said only when it has heard of everything.
func (a *Admin) collection(ctx context.Context, name string) (*topology.Collection, error) {
	c, err := a.m.State().Collection(name)
	if err == nil {
		return c, nil
	}
	timed, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if _, behind := a.m.group.ReadIndex(timed); behind != nil {
		return nil, err
	}
	return a.m.State().Collection(name)
}

// command returns the change of the topology that a request asks for.
func command(c *topology.Collection, req *pb.UpdateCollectionClusterSetupRequest, pin int64) (topology.Command, error) {
	switch op := req.GetOperation().(type) {
	case *pb.UpdateCollectionClusterSetupRequest_MoveShard:
		start, err := startTransfer(c, op.MoveShard, pin)
		start.Move = true
		return start, err
	case *pb.UpdateCollectionClusterSetupRequest_ReplicateShard:
		start, err := startTransfer(c, op.ReplicateShard, pin)
		start.Sync = true
		return start, err
	case *pb.UpdateCollectionClusterSetupRequest_AbortTransfer:
		return topology.AbortTransfer{Transfer: transferKey(c, op.AbortTransfer), Reason: "a user asked"}, nil
	case *pb.UpdateCollectionClusterSetupRequest_RestartTransfer:
		method, ok := methods[op.RestartTransfer.GetMethod()]
		if !ok {
			return nil, unknownMethod(op.RestartTransfer.GetMethod())
		}
		return topology.RestartTransfer{Transfer: transferKey(c, op.RestartTransfer), Method: method}, nil
	case *pb.UpdateCollectionClusterSetupRequest_DropReplica:
		shard := topology.ShardName{Collection: c.Incarnation, Shard: op.DropReplica.GetShardId()}
		return topology.DropReplica{Shard: shard, Peer: topology.PeerID(op.DropReplica.GetPeerId()), PinUntil: pin}, nil
	case *pb.UpdateCollectionClusterSetupRequest_DeleteShardKey:
		return topology.DropShardKey{Collection: c.Name, Key: op.DeleteShardKey.GetShardKey()}, nil
	case *pb.UpdateCollectionClusterSetupRequest_ReplicatePoints:
		return nil, apierror.New(apierror.NotImplemented, "replicate_points: not implemented yet")
	default:
		return nil, apierror.New(apierror.BadInput, "Cluster operation is missing")
	}
}

// transferEnds are what messages about transfers have in common.
type transferEnds interface {
	GetShardId() uint32
	GetToShardId() uint32
	GetFromPeerId() uint64
	GetToPeerId() uint64
}

func transferKey(c *topology.Collection, m transferEnds) topology.TransferKey {
	k := topology.TransferKey{
		Shard: topology.ShardName{Collection: c.Incarnation, Shard: m.GetShardId()},
		From:  topology.PeerID(m.GetFromPeerId()), To: topology.PeerID(m.GetToPeerId()),
	}
	if to := toShard(m); to != nil {
		k.ToShard = to
	}
	return k
}

// toShard returns the other shard that points go to, nil when they stay in theirs.
func toShard(m transferEnds) *uint32 {
	switch m := m.(type) {
	case *pb.MoveShard:
		return m.ToShardId
	case *pb.ReplicateShard:
		return m.ToShardId
	case *pb.AbortShardTransfer:
		return m.ToShardId
	case *pb.RestartTransfer:
		return m.ToShardId
	default:
		return nil
	}
}

func startTransfer(c *topology.Collection, m interface {
	transferEnds
	GetMethod() pb.ShardTransferMethod
}, pin int64,
) (topology.StartTransfer, error) {
	if toShard(m) != nil {
		return topology.StartTransfer{}, apierror.New(apierror.NotImplemented, "transfers to another shard (resharding): not implemented yet")
	}
	k := transferKey(c, m)
	start := topology.StartTransfer{Shard: k.Shard, From: k.From, To: k.To, ByUser: true, PinUntil: pin}
	if method := chosenMethod(m); method != nil {
		name, ok := methods[*method]
		if !ok {
			return start, unknownMethod(*method)
		}
		start.Method = name
	}
	return start, nil
}

// chosenMethod returns the method that a request names, nil for none.
func chosenMethod(m transferEnds) *pb.ShardTransferMethod {
	switch m := m.(type) {
	case *pb.MoveShard:
		return m.Method
	case *pb.ReplicateShard:
		return m.Method
	default:
		return nil
	}
}

func unknownMethod(m pb.ShardTransferMethod) error {
	return apierror.New(apierror.BadRequest, "Transfer method %s can't be asked for", m)
}

// createKey makes the shards of a key, and waits until they can be used.
func (a *Admin) createKey(ctx context.Context, c *topology.Collection, m *pb.CreateShardKey, timeout time.Duration) error {
	ctx, cancel := within(ctx, timeout)
	defer cancel()
	p := c.Config.GetParams()
	shards, copies := p.GetShardNumber(), max(1, p.GetReplicationFactor())
	if m.ShardsNumber != nil {
		shards = m.GetShardsNumber()
	}
	if m.ReplicationFactor != nil {
		copies = m.GetReplicationFactor()
	}
	if shards == 0 || copies == 0 {
		return apierror.New(apierror.Validation, "[shards_number, replication_factor: value 0 invalid, must be 1 or larger]")
	}
	cmd := topology.CreateShardKey{Collection: c.Name, Key: m.GetShardKey(), ReplicationFactor: m.GetReplicationFactor()}
	if m.InitialState != nil {
		cmd.InitialState = m.GetInitialState().String()
	}
	for _, id := range m.GetPlacement() {
		cmd.Pool = append(cmd.Pool, topology.PeerID(id))
	}
	var err error
	if cmd.Placement, err = a.m.place(ctx, c.Name, int(shards), int(copies), cmd.Pool); err != nil {
		return err
	}
	if _, err := a.m.Change(ctx, cmd); err != nil {
		return err
	}
	return a.m.Shards().Ready(ctx, c)
}

// Reshard implements admin.Desk.
func (a *Admin) Reshard(_ context.Context, r *admin.Reshard) error {
	if _, err := a.m.State().Collection(r.Collection); err != nil {
		return err
	}
	return apierror.New(apierror.NotImplemented, "resharding: not implemented yet")
}

// ShardKeys implements admin.Desk.
func (a *Admin) ShardKeys(_ context.Context, collection string) (keys []*pb.ShardKey, err error) {
	c, err := a.m.State().Collection(collection)
	if err != nil {
		return nil, err
	}
	for _, k := range c.Keys {
		keys = append(keys, k.Key)
	}
	return keys, nil
}

// Local implements admin.Desk. Reads are the front desk's: it answers in this one's place.
func (a *Admin) Local(collection string, shard uint32) (admin.LocalReads, error) {
	if _, err := a.m.State().Collection(collection); err != nil {
		return nil, err
	}
	return nil, apierror.New(apierror.NotFound, "Shard %d of collection `%s` can't be read here", shard, collection)
}
