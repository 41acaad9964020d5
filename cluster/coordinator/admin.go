package coordinator

import (
	"context"
	"maps"
	"slices"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Admin returns the desk for operators: the cluster's, or that of a node alone.
func (c *Coordinator) Admin() admin.Desk {
	if c.opts.Admin != nil {
		return clustered{c.opts.Admin, c}
	}
	return alone{c: c}
}

// clustered answers operators of a node in a cluster. What is here is known here.
type clustered struct {
	admin.Desk
	c *Coordinator
}

// Update implements admin.Desk: this node follows before it answers.
func (d clustered) Update(ctx context.Context, req *pb.UpdateCollectionClusterSetupRequest) error {
	err := d.Desk.Update(ctx, req)
	if err == nil {
		d.c.settle()
	}
	return err
}

// Local implements admin.Desk.
func (d clustered) Local(name string, shard uint32) (admin.LocalReads, error) {
	return d.c.LocalReads(name, shard)
}

// alone answers operators of a node that is in no cluster.
type alone struct {
	admin.Alone
	c *Coordinator
}

// Collection implements admin.Desk: all shards are here.
func (a alone) Collection(ctx context.Context, name string) (*admin.Collection, error) {
	col, err := a.c.collection(ctx, name)
	if err != nil {
		return nil, err
	}
	out := &admin.Collection{Shards: uint64(len(col.shards))}
	for _, id := range slices.Sorted(maps.Keys(col.shards)) {
		one := admin.Replica{Shard: id, State: pb.ReplicaState_Active}
		info, err := col.shards[id].describe(ctx)
		if err != nil || info.Status == pb.CollectionStatus_Red {
			one.State = pb.ReplicaState_Dead
		}
		one.Points = info.Points
		out.Local = append(out.Local, one)
	}
	return out, nil
}

// Update implements admin.Desk: that there is no such collection is said first.
func (a alone) Update(ctx context.Context, req *pb.UpdateCollectionClusterSetupRequest) error {
	if _, err := a.c.collection(ctx, req.GetCollectionName()); err != nil {
		return err
	}
	return a.Alone.Update(ctx, req)
}

// Lead implements admin.Desk.
func (a alone) Lead(ctx context.Context, req *admin.Lead) error {
	if _, err := a.c.collection(ctx, req.Collection); err != nil {
		return err
	}
	return a.Alone.Lead(ctx, req)
}

// Reshard implements admin.Desk.
func (a alone) Reshard(ctx context.Context, req *admin.Reshard) error {
	if _, err := a.c.collection(ctx, req.Collection); err != nil {
		return err
	}
	return a.Alone.Reshard(ctx, req)
}

// ShardKeys implements admin.Desk.
func (a alone) ShardKeys(ctx context.Context, name string) ([]*pb.ShardKey, error) {
	_, err := a.c.collection(ctx, name)
	return nil, err
}

// Local implements admin.Desk.
func (a alone) Local(name string, shard uint32) (admin.LocalReads, error) {
	return a.c.LocalReads(name, shard)
}

// LocalReads returns the reads of this node's copy of one shard.
func (c *Coordinator) LocalReads(name string, shard uint32) (*Points, error) {
	col, err := c.atOnce(name)
	if err != nil {
		return nil, err
	}
	if r := col.shards[shard]; r == nil || r.err == nil && here(r.Shard) == nil {
		return nil, apierror.New(apierror.NotFound, "Shard %d of collection `%s` is not on this node", shard, col.Name)
	}
	return &Points{c: c, only: &shard}, nil
}

// here returns the copy of a shard that is in this process, nil when there is none.
func here(s shardcall.Shard) shardcall.Shard {
	if many, ok := s.(shardcall.Copies); ok {
		return many.Here()
	}
	if s.Local() {
		return s
	}
	return nil
}

// restricted returns what a read asks: the shards of the keys that it names, or this node's copy of
// one shard.
func (s *Points) restricted(col *collection, sel *pb.ShardKeySelector) (*scope, error) {
	if s.only == nil {
		return col.toRead(sel)
	}
	one, err := col.shard(*s.only)
	if err != nil {
		return nil, err
	}
	if one = here(one); one == nil {
		return nil, apierror.New(apierror.NotFound, "Shard %d of collection `%s` is not on this node", *s.only, col.Name)
	}
	out := &scope{collection: col, rings: col.oneRing, targets: []target{{Shard: one, id: *s.only}}}
	if sh := col.Shard(*s.only); sh != nil {
		out.targets[0].key = sh.Key
	}
	return out, nil
}

// CollectionClusterInfo tells where the shards of a collection are.
func (s *Collections) CollectionClusterInfo(ctx context.Context, req *pb.CollectionClusterInfoRequest) (*pb.CollectionClusterInfoResponse, error) {
	start := time.Now()
	info, err := s.c.Admin().Collection(ctx, req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	m := info.Message()
	m.Time = since(start)
	return m, nil
}

// UpdateCollectionClusterSetup carries out an operation on shards and their copies.
func (s *Collections) UpdateCollectionClusterSetup(ctx context.Context, req *pb.UpdateCollectionClusterSetupRequest) (*pb.UpdateCollectionClusterSetupResponse, error) {
	if req.GetOperation() == nil {
		return nil, apierror.New(apierror.BadInput, "Cluster operation is missing")
	}
	if err := s.c.Admin().Update(ctx, req); err != nil {
		return nil, err
	}
	return &pb.UpdateCollectionClusterSetupResponse{Result: true}, nil
}

// CreateShardKey gives a collection with custom sharding the shards of one more key.
func (s *Collections) CreateShardKey(ctx context.Context, req *pb.CreateShardKeyRequest) (*pb.CreateShardKeyResponse, error) {
	if req.GetRequest().GetShardKey().GetKey() == nil {
		return nil, apierror.New(apierror.BadInput, "Shard key not specified")
	}
	err := s.c.Admin().Update(ctx, &pb.UpdateCollectionClusterSetupRequest{
		CollectionName: req.GetCollectionName(), Timeout: req.Timeout,
		Operation: &pb.UpdateCollectionClusterSetupRequest_CreateShardKey{CreateShardKey: req.GetRequest()},
	})
	if err != nil {
		return nil, err
	}
	return &pb.CreateShardKeyResponse{Result: true}, nil
}

// DeleteShardKey removes the shards of a key.
func (s *Collections) DeleteShardKey(ctx context.Context, req *pb.DeleteShardKeyRequest) (*pb.DeleteShardKeyResponse, error) {
	if req.GetRequest().GetShardKey().GetKey() == nil {
		return nil, apierror.New(apierror.BadInput, "Shard key not specified")
	}
	err := s.c.Admin().Update(ctx, &pb.UpdateCollectionClusterSetupRequest{
		CollectionName: req.GetCollectionName(), Timeout: req.Timeout,
		Operation: &pb.UpdateCollectionClusterSetupRequest_DeleteShardKey{DeleteShardKey: req.GetRequest()},
	})
	if err != nil {
		return nil, err
	}
	return &pb.DeleteShardKeyResponse{Result: true}, nil
}

// ListShardKeys lists the keys of a collection with custom sharding.
func (s *Collections) ListShardKeys(ctx context.Context, req *pb.ListShardKeysRequest) (*pb.ListShardKeysResponse, error) {
	start := time.Now()
	keys, err := s.c.Admin().ShardKeys(ctx, req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	m := &pb.ListShardKeysResponse{}
	for _, k := range keys {
		m.ShardKeys = append(m.ShardKeys, &pb.ShardKeyDescription{Key: k})
	}
	m.Time = since(start)
	return m, nil
}
