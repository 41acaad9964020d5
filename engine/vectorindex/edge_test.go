package vectorindex

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/apierror"
)

// TestVectorsThatAreNotFinite puts NaN and infinities in and searches with them:
// nothing may break, finite vectors are found, and every score is finite.
func TestVectorsThatAreNotFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	odd := [][]float32{{nan, 1, 1}, {inf, 0, 0}, {-inf, inf, nan}, {math.MaxFloat32, math.MaxFloat32, 0}, {0, 0, 0}}
	for _, distance := range distances {
		for _, datatype := range []vector.Datatype{vector.Float32, vector.Float16, vector.Uint8} {
			cfg := Config{
				Dim: 3, Distance: distance, Datatype: datatype, IndexingThresholdKB: 1, FullScanThresholdKB: -1,
				M: 4, EfConstruct: 16,
			}
			f := newFixture(t, cfg)
			rng := rand.New(rand.NewPCG(1, 1))
			for doc := range uint32(600) {
				v := randomVector(rng, cfg)
				if doc%4 == 0 {
					v = odd[int(doc/4)%len(odd)]
				}
				require.NoError(t, f.ix.Upsert(doc, v))
			}
			for range 2 { // before and after background work
				for _, q := range append(odd, []float32{1, 2, 3}) {
					for _, query := range []Query{{Vector: q, K: 20}, {Vector: q, K: 700, Exact: true}, {Vector: q, K: 700}} {
						hits, _ := f.search(query)
						require.Len(t, hits, min(query.K, 600))
						for _, h := range hits {
							require.Less(t, math.Abs(float64(h.Score)), math.Inf(1))
						}
					}
				}
				f.settle()
			}
			f.checkpoint()
			f.reopen()
			require.NoError(t, f.ix.Close())
		}
	}
}

func TestQueriesOutOfRange(t *testing.T) {
	f := complete(t)
	defer func() { require.NoError(t, f.ix.Close()) }()
	q := []float32{1, 2, 3, 4, 5, 6}
	hits, _ := f.search(Query{Vector: q, K: 1 << 40})
	require.Len(t, hits, 399)
	hits, _ = f.search(Query{Vector: q, K: 5, Ef: 1 << 40, Oversampling: 1e30})
	require.Len(t, hits, 5)
	for _, k := range []int{0, -3} {
		hits, _ = f.search(Query{Vector: q, K: k})
		require.Empty(t, hits)
	}
	_, _, err := f.ix.Search(t.Context(), Query{Vector: q[:5], K: 5})
	require.Equal(t, apierror.BadInput, apierror.KindOf(err))
	require.Equal(t, apierror.BadInput, apierror.KindOf(f.ix.Upsert(1, q[:5])))
	require.Equal(t, apierror.BadInput, apierror.KindOf(f.ix.Score(q[:5], nil, nil)))
	hits, _ = f.search(Query{Vector: q, K: 5, Filter: Filter{Docs: roaring.New()}})
	require.Empty(t, hits)
	hits, _ = f.search(Query{Vector: q, K: 5, Filter: Filter{Docs: roaring.BitmapOf(3, 5, 9, 1<<31)}})
	require.Len(t, hits, 2, "5 was deleted, 2^31 never was")
	best, _ := f.search(Query{Vector: q, K: 5, Exact: true})
	hits, _ = f.search(Query{Vector: q, K: 5, Exact: true, ScoreThreshold: &best[2].Score})
	require.Equal(t, best[:3], hits)
}

func TestConfigsOutOfRange(t *testing.T) {
	for _, cfg := range []Config{
		{},
		{Dim: MaxDim + 1, Distance: vector.Dot},
		{Dim: 4},
		{Dim: 4, Distance: 9},
		{Dim: 4, Distance: vector.Dot, Datatype: 7},
	} {
		_, err := Open(Options{Config: cfg})
		require.Equal(t, apierror.Validation, apierror.KindOf(err), "%+v", cfg)
	}
	ix, err := Open(Options{Config: Config{Dim: 4, Distance: vector.Dot}})
	require.NoError(t, err)
	require.Error(t, ix.SetConfig(Config{Dim: 5, Distance: vector.Dot}))
	require.NoError(t, ix.Close())
}

func TestSmallestAndLargestDimension(t *testing.T) {
	for _, dim := range []int{1, MaxDim} {
		cfg := Config{Dim: dim, Distance: vector.Cosine, IndexingThresholdKB: 1, FullScanThresholdKB: -1, M: 4}
		f := newFixture(t, cfg)
		rng := rand.New(rand.NewPCG(9, 9))
		for doc := range uint32(70) {
			f.upsert(doc, randomVector(rng, cfg))
		}
		f.settle()
		q := randomVector(rng, cfg)
		hits, _ := f.search(Query{Vector: q, K: 3, Exact: true})
		f.ref.check(t, hits, q, 3, nil)
		hits, _ = f.search(Query{Vector: q, K: 3})
		f.ref.valid(t, hits, q, 3, nil)
		require.NoError(t, f.ix.Close())
	}
}

func TestCancelledSearches(t *testing.T) {
	f := newFixture(t, Config{Dim: 2, Distance: vector.Euclid})
	rng := rand.New(rand.NewPCG(9, 9))
	for doc := range uint32(20 * block) {
		require.NoError(t, f.ix.Upsert(doc, randomVector(rng, f.o.Config)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := f.ix.Search(ctx, Query{Vector: []float32{0, 0}, K: 1, Exact: true})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, f.ix.Close())
	_, _, err = f.ix.Search(t.Context(), Query{Vector: []float32{0, 0}, K: 1})
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, f.ix.Upsert(1, []float32{0, 0}), ErrClosed)
}

func TestScore(t *testing.T) {
	f := complete(t)
	defer func() { require.NoError(t, f.ix.Close()) }()
	q := []float32{1, 2, 3, 4, 5, 6}
	out := make([]float32, 4)
	require.NoError(t, f.ix.Score(q, []uint32{0, 5, 399, 400}, out))
	require.InDelta(t, f.ref.score(q, f.ref.docs[0]), out[0], 1e-3)
	require.True(t, math.IsInf(float64(out[1]), -1))
	require.InDelta(t, f.ref.score(q, f.ref.docs[399]), out[2], 1e-3)
	require.True(t, math.IsInf(float64(out[3]), -1))
}

// TestTheSameVectorAgainIsFree repeats an upload.
func TestTheSameVectorAgainIsFree(t *testing.T) {
	f := newFixture(t, Config{Dim: 4, Distance: vector.Cosine})
	defer func() { require.NoError(t, f.ix.Close()) }()
	for range 5 {
		for doc := range uint32(10) {
			f.upsert(doc, []float32{float32(doc), 1, 2, 3})
		}
	}
	require.Equal(t, 10, f.ix.Stats().Rows)
}

// TestGrowthRetrainsTheCodec grows the index eightfold: a codec that would hardly be another one stays.
func TestGrowthRetrainsTheCodec(t *testing.T) {
	for name, scale := range map[string]float32{"more of the same": 1, "shorter ones": 0.3} {
		t.Run(name, func(t *testing.T) { growEightfold(t, scale) })
	}
}

func growEightfold(t *testing.T, scale float32) {
	t.Helper()
	f := newFixture(t, Config{Dim: 8, Distance: vector.Euclid, IndexingThresholdKB: 1})
	defer func() { require.NoError(t, f.ix.Close()) }()
	rng := rand.New(rand.NewPCG(9, 9))
	for doc := range uint32(500) {
		f.upsert(doc, randomVector(rng, f.o.Config))
	}
	f.settle()
	first := f.ix.current.Load().codes
	require.EqualValues(t, 500, first.suits.Load())
	for doc := range uint32(4500) {
		v := randomVector(rng, f.o.Config)
		for i := range v {
			v[i] *= scale
		}
		f.upsert(doc, v)
	}
	f.settle()
	now := f.ix.current.Load().codes
	require.Equal(t, scale == 1, now.id == first.id)
	require.EqualValues(t, 4500, now.suits.Load())
	s := f.ix.Stats()
	require.Equal(t, s.Rows, s.Encoded)
	require.Equal(t, s.Rows, s.Indexed)
	q := randomVector(rng, f.o.Config)
	hits, _ := f.search(Query{Vector: q, K: 10})
	f.ref.check(t, hits, q, 10, nil)
}
