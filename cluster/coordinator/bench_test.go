package coordinator_test

import (
	"math/rand/v2"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/internal/fsx"
)

// BenchmarkSearch is a small search through the front desk: most of it is the way
// there and back.
func BenchmarkSearch(b *testing.B) {
	for name, shards := range map[string]uint32{"one shard": 1, "four shards": 4} {
		b.Run(name, func(b *testing.B) {
			c, err := coordinator.Open(b.Context(), coordinator.Options{FS: fsx.NewMem(), StoragePath: "/storage"})
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, c.Close()) })
			_, err = c.Collections().Create(b.Context(), &pb.CreateCollection{
				CollectionName: "a", ShardNumber: &shards, VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 4, Distance: pb.Distance_Dot}),
			})
			require.NoError(b, err)
			rng := rand.New(rand.NewPCG(1, 1))
			var points []*pb.PointStruct
			for id := range uint64(100) {
				points = append(points, &pb.PointStruct{Id: pb.NewIDNum(id), Vectors: pb.NewVectorsDense([]float32{rng.Float32(), 1, 2, 3})})
			}
			_, err = c.Points().Upsert(b.Context(), &pb.UpsertPoints{CollectionName: "a", Wait: new(true), Points: points})
			require.NoError(b, err)
			q := &pb.QueryPoints{CollectionName: "a", Query: pb.NewQuery(1, 2, 3, 4), Limit: new(uint64(10)), WithPayload: pb.NewWithPayload(true)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Points().Query(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
