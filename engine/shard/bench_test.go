package shard

import (
	"math/rand/v2"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

const benchDim = 128

func benchVector(rng *rand.Rand) []float32 {
	v := make([]float32, benchDim)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

func benchShard(b *testing.B) *Shard {
	b.Helper()
	dir := b.TempDir()
	log, err := oplog.Open(oplog.Options{FS: fsx.OS{}, Dir: dir + "/log"})
	require.NoError(b, err)
	s, err := Open(b.Context(), Options{
		FS: fsx.OS{}, Dir: dir + "/shard", Log: log.Stream("shard"), Config: singleVector(benchDim, pb.Distance_Cosine),
	})
	require.NoError(b, err)
	b.Cleanup(func() {
		require.NoError(b, s.Close())
		require.NoError(b, log.Close())
	})
	return s
}

func benchBatch(b *testing.B, rng *rand.Rand, from, n int) Op {
	b.Helper()
	points := make([]*pb.PointStruct, n)
	for i := range points {
		points[i] = numbered(from+i, dense(benchVector(rng)...))
	}
	return upsertOf(b, points...)
}

// BenchmarkUpsert writes batches of 100 new points of 128 dimensions to a real
// disk and waits for each.
func BenchmarkUpsert(b *testing.B) {
	s := benchShard(b)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		op := benchBatch(b, rng, i*100, 100)
		b.StartTimer()
		t, err := s.Submit(b.Context(), op)
		require.NoError(b, err)
		require.NoError(b, t.Applied(b.Context()))
	}
	b.ReportMetric(float64(100*b.N)/b.Elapsed().Seconds(), "points/s")
}

// BenchmarkQuery searches 20,000 points through the shard and, for comparison,
// through the bare vector index.
func BenchmarkQuery(b *testing.B) {
	s := benchShard(b)
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 20_000
	for i := 0; i < n; i += 1000 {
		t, err := s.Submit(b.Context(), benchBatch(b, rng, i, 1000))
		require.NoError(b, err)
		require.NoError(b, t.Applied(b.Context()))
	}
	require.NoError(b, s.Optimize(b.Context()))
	queries := make([][]float32, 256)
	for i := range queries {
		queries[i] = benchVector(rng)
	}
	b.Run("shard", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := s.Query(b.Context(), nearest(queries[i%len(queries)]...)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("index", func(b *testing.B) {
		x := s.state.Load().dense[""]
		for i := 0; b.Loop(); i++ {
			if _, _, err := x.Search(b.Context(), denseQuery(nil, queries[i%len(queries)], 10, restriction{})); err != nil {
				b.Fatal(err)
			}
		}
	})
}
