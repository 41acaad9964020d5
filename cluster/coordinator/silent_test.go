package coordinator_test

import (
	"context"
	"log/slog"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/fsx"
)

// silent is a shard of which no copy answers.
type silent struct{ shardcall.Shard }

func (*silent) Info(ctx context.Context) (shard.Info, error) {
	<-ctx.Done()
	return shard.Info{}, ctx.Err()
}

// oneSilent makes the second shard of every collection silent.
type oneSilent struct{ coordinator.Shards }

func (s *oneSilent) Open(ctx context.Context, t *topology.Collection, id uint32) (shardcall.Shard, error) {
	h, err := s.Shards.Open(ctx, t, id)
	if id == 1 && err == nil {
		return &silent{h}, nil
	}
	return h, err
}

func (s *oneSilent) Release(h shardcall.Shard) error {
	if one, ok := h.(*silent); ok {
		h = one.Shard
	}
	return s.Shards.Release(h)
}

// Who asks how a collection is isn't kept waiting by a shard that nobody can read: that is the answer.
func TestTheDescriptionOfACollectionDoesNotWaitForAShard(t *testing.T) {
	o := coordinator.Options{FS: fsx.NewMem(), StoragePath: "/storage", Logger: slog.New(slog.DiscardHandler)}
	known, shards, err := coordinator.OpenOwn(o)
	require.NoError(t, err)
	o.Topology, o.Shards = known, &oneSilent{shards}
	c, err := coordinator.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	s := c.Collections()
	_, err = s.Create(t.Context(), &pb.CreateCollection{
		CollectionName: "a", ShardNumber: new(uint32(3)),
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 1, Distance: pb.Distance_Dot}),
	})
	require.NoError(t, err)
	var points []*pb.PointStruct
	for id := range uint64(30) {
		points = append(points, &pb.PointStruct{Id: pb.NewIDNum(id), Vectors: pb.NewVectors(1)})
	}
	_, err = c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "a", Wait: new(true), Points: points})
	require.NoError(t, err)
	got, err := s.Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: "a"})
	require.NoError(t, err)
	info := got.GetResult()
	require.Equal(t, pb.CollectionStatus_Red, info.GetStatus())
	require.NotEmpty(t, info.GetOptimizerStatus().GetError())
	require.Positive(t, info.GetPointsCount(), "the others have answered")
	require.Less(t, info.GetPointsCount(), uint64(30))
}
