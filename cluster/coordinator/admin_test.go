package coordinator_test

import (
	"context"
	"math/rand/v2"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestOperatorsOfANodeAlone: what there is to see is told, changes are refused.
func TestOperatorsOfANodeAlone(t *testing.T) {
	c := open(t, fsx.NewMem())
	create(t, c, "a", 3)
	rng := rand.New(rand.NewPCG(1, 1))
	var points []*pb.PointStruct
	for id := range uint64(30) {
		points = append(points, randomPoint(rng, id))
	}
	_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "a", Points: points, Wait: new(true)})
	require.NoError(t, err)

	info, err := c.Collections().CollectionClusterInfo(t.Context(), &pb.CollectionClusterInfoRequest{CollectionName: "a"})
	require.NoError(t, err)
	require.Equal(t, uint64(3), info.GetShardCount())
	require.Len(t, info.GetLocalShards(), 3)
	require.Empty(t, info.GetRemoteShards())
	desk := c.Admin()
	var sum uint64
	for i, s := range info.GetLocalShards() {
		require.Equal(t, uint32(i), s.GetShardId())
		require.Equal(t, pb.ReplicaState_Active, s.GetState())
		sum += s.GetPointsCount()
		// The copy alone has what is told of it, and its points are found in it alone.
		local, err := desk.Local("a", s.GetShardId())
		require.NoError(t, err)
		counted, err := local.Count(t.Context(), &pb.CountPoints{CollectionName: "a"})
		require.NoError(t, err)
		require.Equal(t, s.GetPointsCount(), counted.GetResult().GetCount())
		page, err := local.Scroll(t.Context(), &pb.ScrollPoints{CollectionName: "a", Limit: proto.Uint32(100)})
		require.NoError(t, err)
		require.Len(t, page.GetResult(), int(s.GetPointsCount()))
		var ids []*pb.PointId
		for _, p := range points {
			ids = append(ids, p.GetId())
		}
		got, err := local.Get(t.Context(), &pb.GetPoints{CollectionName: "a", Ids: ids})
		require.NoError(t, err)
		require.Len(t, got.GetResult(), int(s.GetPointsCount()))
	}
	require.Equal(t, uint64(30), sum)

	_, err = desk.Local("a", 3)
	require.Equal(t, apierror.NotFound, apierror.KindOf(err))
	_, err = desk.Local("b", 0)
	require.Equal(t, apierror.NotFound, apierror.KindOf(err))
	_, err = c.Collections().CollectionClusterInfo(t.Context(), &pb.CollectionClusterInfoRequest{CollectionName: "b"})
	require.Equal(t, apierror.NotFound, apierror.KindOf(err))
	keys, err := c.Collections().ListShardKeys(t.Context(), &pb.ListShardKeysRequest{CollectionName: "a"})
	require.NoError(t, err)
	require.Empty(t, keys.GetShardKeys())
	status, err := desk.Status(t.Context())
	require.NoError(t, err)
	require.False(t, status.Enabled)

	for i, change := range operatorsChanges(t.Context(), c) {
		require.Equal(t, apierror.Standalone, apierror.KindOf(change("a")), "change %d", i)
		require.Equal(t, apierror.NotFound, apierror.KindOf(change("b")), "change %d", i)
	}
	_, err = c.Collections().CreateShardKey(t.Context(), &pb.CreateShardKeyRequest{CollectionName: "a"})
	require.Equal(t, apierror.BadInput, apierror.KindOf(err))
	_, err = c.Collections().UpdateCollectionClusterSetup(t.Context(), &pb.UpdateCollectionClusterSetupRequest{CollectionName: "a"})
	require.Equal(t, apierror.BadInput, apierror.KindOf(err))
}

func operatorsChanges(ctx context.Context, c *coordinator.Coordinator) []func(collection string) error {
	s := c.Collections()
	return []func(collection string) error{
		func(name string) error {
			_, err := s.UpdateCollectionClusterSetup(ctx, &pb.UpdateCollectionClusterSetupRequest{
				CollectionName: name, Operation: &pb.UpdateCollectionClusterSetupRequest_DropReplica{DropReplica: &pb.Replica{}},
			})
			return err
		},
		func(name string) error {
			_, err := s.CreateShardKey(ctx, &pb.CreateShardKeyRequest{
				CollectionName: name, Request: &pb.CreateShardKey{ShardKey: pb.NewShardKey("k")},
			})
			return err
		},
		func(name string) error {
			_, err := s.DeleteShardKey(ctx, &pb.DeleteShardKeyRequest{
				CollectionName: name, Request: &pb.DeleteShardKey{ShardKey: pb.NewShardKey("k")},
			})
			return err
		},
		func(name string) error {
			return c.Admin().Reshard(ctx, &admin.Reshard{Collection: name, Step: admin.Abort})
		},
	}
}

// twoCopies is a handle that answers from elsewhere, beside a copy in this process.
type twoCopies struct {
	shardcall.Shard
	here shardcall.Shard
}

func (s twoCopies) Here() shardcall.Shard { return s.here }
func (twoCopies) Local() bool             { return false }

// TestLocalReads: the copy of this process is asked, not the one that a read would
// choose.
func TestLocalReads(t *testing.T) {
	c, far := openFar(t)
	create(t, c, "elsewhere", 1)
	_, err := c.LocalReads("elsewhere", 0)
	require.Equal(t, apierror.NotFound, apierror.KindOf(err))

	far.handle = func(s *farShard) shardcall.Shard { return twoCopies{s, s.near} }
	create(t, c, "both", 1)
	far.cut = func() error { return apierror.New(apierror.Unavailable, "no connection") }
	_, err = c.Points().Count(t.Context(), &pb.CountPoints{CollectionName: "both"})
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
	local, err := c.LocalReads("both", 0)
	require.NoError(t, err)
	_, err = local.Count(t.Context(), &pb.CountPoints{CollectionName: "both"})
	require.NoError(t, err)
}

func TestShardsPerNode(t *testing.T) {
	c, err := coordinator.Open(t.Context(), coordinator.Options{FS: fsx.NewMem(), StoragePath: "/storage", ShardsPerNode: 2})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	_, err = c.Collections().Create(t.Context(), &pb.CreateCollection{
		CollectionName: "a", VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 2, Distance: pb.Distance_Dot}),
	})
	require.NoError(t, err)
	info, err := c.Admin().Collection(t.Context(), "a")
	require.NoError(t, err)
	require.EqualValues(t, 2, info.Shards)
}
