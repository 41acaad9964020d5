package shard

import (
	"math/rand/v2"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
	"github.com/sextantdb/sextant/internal/timelimit"
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

// BenchmarkSmallOperations changes payloads of single points in memory, many operations
// under way at once: what an operation costs besides its points.
func BenchmarkSmallOperations(b *testing.B) {
	log, err := oplog.Open(oplog.Options{FS: fsx.NewMem(), Dir: "log"})
	require.NoError(b, err)
	s, err := Open(b.Context(), Options{
		FS: fsx.NewMem(), Dir: "shard", Log: log.Stream("shard"), Config: singleVector(benchDim, pb.Distance_Cosine), Manual: true,
	})
	require.NoError(b, err)
	rng := rand.New(rand.NewPCG(1, 1))
	t, err := s.Submit(b.Context(), benchBatch(b, rng, 0, 1000))
	require.NoError(b, err)
	ops := make([]Op, 1000)
	for i := range ops {
		ops[i], err = SetPayload(&pb.SetPayloadPoints{
			PointsSelector: &pb.PointsSelector{PointsSelectorOneOf: &pb.PointsSelector_Points{
				Points: &pb.PointsIdsList{Ids: []*pb.PointId{pb.NewIDNum(uint64(i))}},
			}},
			Payload: map[string]*pb.Value{"n": pb.NewValueInt(rng.Int64())},
		})
		require.NoError(b, err)
	}
	for i := 0; b.Loop(); i++ {
		if t, err = s.Submit(b.Context(), ops[i%len(ops)]); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, t.Applied(b.Context()))
	require.NoError(b, s.Close())
	require.NoError(b, log.Close())
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

// BenchmarkUnindexedFilter searches the graph of 100,000 points with a filter on a
// field without index, of which each candidate's payload is read, and for comparison
// without filter, and with an index on the field.
func BenchmarkUnindexedFilter(b *testing.B) {
	s := benchShard(b)
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 100_000
	for i := 0; i < n; i += 1000 {
		points := make([]*pb.PointStruct, 1000)
		for j := range points {
			p := numbered(i+j, dense(benchVector(rng)...))
			p.Payload["tenth"], p.Payload["half"] = pb.NewValueInt(rng.Int64N(10)), pb.NewValueInt(rng.Int64N(2))
			p.Payload["title"] = pb.NewValueString("a payload has more than the field that is asked for")
			points[j] = p
		}
		t, err := s.Submit(b.Context(), upsertOf(b, points...))
		require.NoError(b, err)
		require.NoError(b, t.Applied(b.Context()))
	}
	require.NoError(b, s.Optimize(b.Context()))
	require.NoError(b, s.Checkpoint(b.Context()))
	queries := make([][]float32, 256)
	for i := range queries {
		queries[i] = benchVector(rng)
	}
	search := func(field string) func(b *testing.B) {
		return func(b *testing.B) {
			b.Helper()
			for i := 0; b.Loop(); i++ {
				q := nearest(queries[i%len(queries)]...)
				if field != "" {
					q.Filter = &pb.Filter{Must: []*pb.Condition{pb.NewMatchInt(field, 1)}}
				}
				ctx, cancel := timelimit.Within(b.Context(), time.Minute) // as the front desk does
				_, err := s.Query(ctx, q)
				cancel()
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("none", search(""))
	b.Run("tenth", search("tenth"))
	b.Run("half", search("half"))
	for _, field := range []string{"tenth", "half"} {
		t, err := s.Submit(b.Context(), CreateIndex(&pb.CreateFieldIndexCollection{
			FieldName: field, FieldType: pb.FieldType_FieldTypeInteger.Enum(),
		}))
		require.NoError(b, err)
		require.NoError(b, t.Applied(b.Context()))
	}
	b.Run("indexed tenth", search("tenth"))
	b.Run("indexed half", search("half"))
}

// BenchmarkChecksum computes the checksum of 20,000 points of 128 dimensions in files.
func BenchmarkChecksum(b *testing.B) {
	s := benchShard(b)
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 20_000
	for i := 0; i < n; i += 1000 {
		t, err := s.Submit(b.Context(), benchBatch(b, rng, i, 1000))
		require.NoError(b, err)
		require.NoError(b, t.Applied(b.Context()))
	}
	require.NoError(b, s.Checkpoint(b.Context()))
	for b.Loop() {
		sum, err := s.Checksum(b.Context())
		require.NoError(b, err)
		require.EqualValues(b, n, sum.Points)
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "points/s")
}
