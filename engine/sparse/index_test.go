package sparse

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/apierror"
)

func openNew(t tb, cfg Config, l limits) *Index {
	t.Helper()
	ix, err := Open(Options{Config: cfg})
	require.NoError(t, err)
	ix.limits = l
	return ix
}

// settle steps until there is nothing to do.
func settle(t tb, ix *Index) {
	t.Helper()
	for range 1000 {
		more, err := ix.Step(context.Background())
		require.NoError(t, err)
		if !more {
			require.False(t, ix.Pending())
			return
		}
	}
	require.Fail(t, "background work does not end")
}

func TestSearch(t *testing.T) {
	ix := openNew(t, Config{}, defaultLimits)
	require.NoError(t, ix.Upsert(1, []uint32{7, 3}, []float32{2, 1})) // any order
	require.NoError(t, ix.Upsert(2, []uint32{3}, []float32{5}))
	require.NoError(t, ix.Upsert(3, []uint32{9}, []float32{1}))
	require.NoError(t, ix.Upsert(4, nil, nil))
	require.NoError(t, ix.Upsert(5, []uint32{3, 7}, []float32{-1, -2}))

	hits, profile, err := ix.Search(t.Context(), Query{Indices: []uint32{7, 3}, Values: []float32{1, 1}, K: 10})
	require.NoError(t, err)
	require.Equal(t, []vector.Hit{{Doc: 2, Score: 5}, {Doc: 1, Score: 3}, {Doc: 5, Score: -3}}, hits)
	require.Equal(t, "postings", profile.Plan)
	require.Equal(t, 5, ix.Len())
	require.True(t, ix.Has(4))

	indices, values, ok, err := ix.Vector(1)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, []uint32{3, 7}, indices)
	require.Equal(t, []float32{1, 2}, values)

	require.NoError(t, ix.Delete(2))
	require.NoError(t, ix.Delete(2))
	require.False(t, ix.Has(2))
	hits, _, err = ix.Search(t.Context(), Query{Indices: []uint32{3}, Values: []float32{1}, K: 1})
	require.NoError(t, err)
	require.Equal(t, []vector.Hit{{Doc: 1, Score: 1}}, hits)

	out := make([]float32, 4)
	require.NoError(t, ix.Score([]uint32{3}, []float32{2}, []uint32{1, 2, 3, 5}, out))
	require.InDelta(t, 2, out[0], 0)
	require.True(t, math.IsNaN(float64(out[1])) && math.IsNaN(float64(out[2])))
	require.InDelta(t, -2, out[3], 0)
}

func TestSearchOfNothing(t *testing.T) {
	ix := openNew(t, Config{IDF: true}, defaultLimits)
	for _, q := range []Query{
		{K: 10}, {Indices: []uint32{1}, Values: []float32{1}}, {Indices: []uint32{1}, Values: []float32{1}, K: 1 << 40},
	} {
		hits, _, err := ix.Search(t.Context(), q)
		require.NoError(t, err)
		require.Empty(t, hits)
	}
}

func TestIDF(t *testing.T) {
	ix := openNew(t, Config{IDF: true}, smallLimits)
	for doc := range uint32(10) {
		require.NoError(t, ix.Upsert(doc, []uint32{1, 100 + doc}, []float32{1, 1}))
	}
	require.NoError(t, ix.Delete(0))
	settle(t, ix)
	out := make([]float32, 1)
	require.NoError(t, ix.Score([]uint32{1}, []float32{1}, []uint32{3}, out))
	require.InDelta(t, math.Log(0.5/9.5+1), out[0], 1e-6)
	require.NoError(t, ix.Score([]uint32{103}, []float32{2}, []uint32{3}, out))
	require.InDelta(t, 2*math.Log(8.5/1.5+1), out[0], 1e-6)

	ix.SetConfig(Config{})
	require.NoError(t, ix.Score([]uint32{103}, []float32{2}, []uint32{3}, out))
	require.InDelta(t, 2, out[0], 0)
}

func TestInvalidVectors(t *testing.T) {
	ix := openNew(t, Config{}, defaultLimits)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for want, v := range map[string]struct {
		indices []uint32
		values  []float32
	}{
		"2 indices and 1 values": {[]uint32{1, 2}, []float32{1}},
		"0 is not a finite":      {[]uint32{1}, []float32{nan}},
		"1 is not a finite":      {[]uint32{1, 2}, []float32{1, inf}},
		"index 5 more than once": {[]uint32{5, 1, 5}, []float32{1, 1, 1}},
	} {
		err := ix.Upsert(1, v.indices, v.values)
		require.ErrorContains(t, err, want)
		require.Equal(t, apierror.Validation, apierror.KindOf(err))
		_, _, err = ix.Search(t.Context(), Query{Indices: v.indices, Values: v.values, K: 1})
		require.ErrorContains(t, err, want)
	}
	require.Zero(t, ix.Len())
}

func TestCancelledSearch(t *testing.T) {
	ix := openNew(t, Config{}, smallLimits)
	for doc := range uint32(8) {
		require.NoError(t, ix.Upsert(doc, []uint32{1}, []float32{1}))
	}
	settle(t, ix)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := ix.Search(ctx, Query{Indices: []uint32{1}, Values: []float32{1}, K: 1})
	require.ErrorIs(t, err, context.Canceled)
	_, err = ix.Step(ctx)
	require.True(t, err == nil || ctx.Err() != nil)
}

func drawConfig(t *rapid.T) Config {
	return Config{
		IDF:      rapid.Bool().Draw(t, "idf"),
		Datatype: rapid.SampledFrom([]vector.Datatype{vector.Float32, vector.Float16}).Draw(t, "datatype"),
	}
}

// drawQuery draws a search over documents up to maxDoc.
func drawQuery(t *rapid.T, dims int, maxDoc uint32) Query {
	q := Query{K: rapid.SampledFrom([]int{0, 1, 3, 10, 1 << 40}).Draw(t, "k")}
	q.Indices, q.Values = drawVector(t, dims)
	if rapid.Bool().Draw(t, "filtered") {
		docs := roaring.BitmapOf(rapid.SliceOf(rapid.Uint32Range(0, maxDoc)).Draw(t, "passing")...)
		if rapid.Bool().Draw(t, "bitmap") {
			q.Filter.Docs = docs
		} else {
			q.Filter.Match = docs.Contains
		}
		q.Filter.Estimate = int(docs.GetCardinality())
	}
	if rapid.Bool().Draw(t, "of a corpus") {
		docs := roaring.BitmapOf(rapid.SliceOf(rapid.Uint32Range(0, maxDoc)).Draw(t, "corpus")...)
		if q.Corpus.Match = docs.Contains; rapid.Bool().Draw(t, "corpus as bitmap") {
			q.Corpus = vector.Filter{Docs: docs}
		}
	}
	if rapid.Bool().Draw(t, "threshold") {
		least := float32(rapid.IntRange(-8, 16).Draw(t, "least")) / 4
		q.ScoreThreshold = &least
	}
	return q
}

func requireAgrees(t tb, ix *Index, o *oracle, q Query) {
	t.Helper()
	got, _, err := ix.Search(context.Background(), q)
	require.NoError(t, err)
	requireHits(t, o.search(q), got, q.K)
}

// Any sequence of operations, with background work in between, gives what the
// oracle gives.
func TestAgreesWithOracle(t *testing.T) {
	const dims, maxDoc = 12, 60
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		ix, o := openNew(t, cfg, smallLimits), newOracle(cfg)
		t.Repeat(map[string]func(*rapid.T){
			"upsert": func(t *rapid.T) {
				doc := rapid.Uint32Range(0, maxDoc).Draw(t, "doc")
				indices, values := drawVector(t, dims)
				require.NoError(t, ix.Upsert(doc, indices, values))
				o.upsert(doc, indices, values)
			},
			"delete": func(t *rapid.T) {
				doc := rapid.Uint32Range(0, maxDoc).Draw(t, "doc")
				require.NoError(t, ix.Delete(doc))
				delete(o.docs, doc)
			},
			"step": func(t *rapid.T) {
				_, err := ix.Step(context.Background())
				require.NoError(t, err)
			},
			"search": func(t *rapid.T) { requireAgrees(t, ix, o, drawQuery(t, dims, maxDoc)) },
			"": func(t *rapid.T) {
				require.Equal(t, len(o.docs), ix.Len())
				doc := rapid.Uint32Range(0, maxDoc).Draw(t, "doc")
				requireVector(t, ix, o, doc)
			},
		})
		settle(t, ix)
		requireAgrees(t, ix, o, drawQuery(t, dims, maxDoc))
	})
}

func requireVector(t tb, ix *Index, o *oracle, doc uint32) {
	t.Helper()
	want, has := o.docs[doc]
	require.Equal(t, has, ix.Has(doc))
	indices, values, ok, err := ix.Vector(doc)
	require.NoError(t, err)
	require.Equal(t, has, ok)
	require.Len(t, indices, len(want))
	for i, term := range indices {
		require.InDelta(t, want[term], values[i], 0)
	}
}

// Parts with several windows and blocks, long and short lists, all pruning.
func TestPruningIsExact(t *testing.T) {
	for _, cfg := range []Config{{}, {IDF: true, Datatype: vector.Float16}} {
		r := rand.New(rand.NewPCG(1, 2))
		ix, o := openNew(t, cfg, limits{sealRows: 1000, sealElements: 1 << 20, maxRows: 9000, maxElements: 1 << 20}), newOracle(cfg)
		const docs, dims = 20_000, 3_000
		for doc := range uint32(docs) {
			indices, values := randomVector(r, dims, 1+r.IntN(12))
			if doc%7 == 0 {
				values[0] = -values[0]
			}
			require.NoError(t, ix.Upsert(doc, indices, values))
			o.upsert(doc, indices, values)
		}
		settle(t, ix)
		for range 2000 {
			doc := uint32(r.IntN(docs))
			require.NoError(t, ix.Delete(doc))
			delete(o.docs, doc)
		}
		pruned := 0
		for n := range 40 {
			q := Query{K: 1 + n%20}
			q.Indices, q.Values = randomVector(r, dims, 1+r.IntN(10))
			if n%3 == 0 {
				q.Values[r.IntN(len(q.Values))] *= -1
			}
			requireAgrees(t, ix, o, q)
			_, profile, err := ix.Search(t.Context(), q)
			require.NoError(t, err)
			q.K = docs
			_, full, err := ix.Search(t.Context(), q)
			require.NoError(t, err)
			pruned += full.Postings - profile.Postings
		}
		require.Positive(t, pruned)
	}
}

func TestFewPassingDocumentsAreScoredOneByOne(t *testing.T) {
	ix := openNew(t, Config{}, limits{sealRows: 100, sealElements: 1 << 20, maxRows: 5000, maxElements: 1 << 20})
	o := newOracle(Config{})
	for doc := range uint32(3000) {
		require.NoError(t, ix.Upsert(doc, []uint32{1, 2}, []float32{1, float32(doc)}))
		o.upsert(doc, []uint32{1, 2}, []float32{1, float32(doc)})
	}
	settle(t, ix)
	q := Query{Indices: []uint32{1, 2}, Values: []float32{1, 1}, K: 5}
	q.Filter.Docs = roaring.BitmapOf(5, 77, 2999, 100_000)
	hits, profile, err := ix.Search(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, "documents", profile.Plan)
	requireHits(t, o.search(q), hits, q.K)
	q.Filter.Docs = roaring.New()
	q.Filter.Docs.AddRange(0, 2500)
	hits, profile, err = ix.Search(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, "postings", profile.Plan)
	requireHits(t, o.search(q), hits, q.K)
}

// One applier, searches and background work at once: every search sees one
// version, in which every document has exactly one of its vectors.
func TestSearchSeesOneVersion(t *testing.T) {
	ix := openNew(t, Config{IDF: true}, limits{sealRows: 16, sealElements: 1 << 20, maxRows: 64, maxElements: 1 << 20})
	const docs = 50
	for doc := range uint32(docs) {
		require.NoError(t, ix.Upsert(doc, []uint32{1}, []float32{1}))
	}
	ctx, stop := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	workers.Go(func() {
		for ctx.Err() == nil {
			if _, err := ix.Step(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	for range 3 {
		workers.Go(func() {
			for ctx.Err() == nil {
				hits, _, err := ix.Search(context.Background(), Query{Indices: []uint32{1}, Values: []float32{1}, K: 1000})
				found := make([]uint32, 0, docs)
				for _, h := range hits {
					found = append(found, h.Doc)
				}
				slices.Sort(found)
				if err != nil || len(found) != docs || len(slices.Compact(found)) != docs {
					t.Errorf("%d hits, %d distinct, %v", len(hits), len(slices.Compact(found)), err)
					return
				}
				if _, _, ok, err := ix.Vector(7); !ok || err != nil {
					t.Errorf("document 7 lost: %v", err)
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 4000 {
		require.NoError(t, ix.Upsert(uint32(r.IntN(docs)), []uint32{1, uint32(10 + i%5)}, []float32{float32(i), 1}))
	}
	stop()
	workers.Wait()
	require.Equal(t, docs, ix.Len())
}

func TestChangeOfDatatype(t *testing.T) {
	ix := openNew(t, Config{}, smallLimits)
	for doc := range uint32(20) {
		require.NoError(t, ix.Upsert(doc, []uint32{1}, []float32{1.0001}))
	}
	settle(t, ix)
	ix.SetConfig(Config{Datatype: vector.Float16})
	settle(t, ix)
	hits, _, err := ix.Search(t.Context(), Query{Indices: []uint32{1}, Values: []float32{1}, K: 100})
	require.NoError(t, err)
	require.Len(t, hits, 20)
	for _, h := range hits {
		require.InDelta(t, 1, h.Score, 0)
	}
	_, values, _, err := ix.Vector(3)
	require.NoError(t, err)
	require.Equal(t, []float32{1.0001}, values)
}

func TestVacuum(t *testing.T) {
	ix := openNew(t, Config{}, smallLimits)
	for doc := range uint32(200) {
		require.NoError(t, ix.Upsert(doc, []uint32{1}, []float32{1}))
	}
	settle(t, ix)
	for doc := range uint32(200) {
		if doc%2 == 0 {
			require.NoError(t, ix.Delete(doc))
		}
	}
	settle(t, ix)
	rows := 0
	for _, p := range ix.view.parts {
		rows += p.rows()
	}
	require.Less(t, rows, 130)
	for doc := range uint32(200) {
		require.NoError(t, ix.Delete(doc))
	}
	settle(t, ix)
	require.Empty(t, ix.view.parts)
}

func TestClose(t *testing.T) {
	ix := openNew(t, Config{}, defaultLimits)
	require.NoError(t, ix.Upsert(1, []uint32{1}, []float32{1}))
	require.NoError(t, ix.Close())
	require.NoError(t, ix.Close())
	require.Zero(t, ix.Len())
}

func TestHalf(t *testing.T) {
	for h := range uint16(0x7c00) {
		v := fromHalf(h)
		require.Equal(t, h, toHalf(v))
		require.Equal(t, h|0x8000, toHalf(-v))
		require.InDelta(t, -v, fromHalf(h|0x8000), 0)
	}
	require.InDelta(t, 1, fromHalf(0x3c00), 0)
	require.InDelta(t, 0x1p-24, fromHalf(1), 0)
	require.InDelta(t, maxHalf, fromHalf(toHalf(1e30)), 0)
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float32Range(-maxHalf, maxHalf).Draw(t, "v")
		got := float64(fromHalf(toHalf(v)))
		require.LessOrEqual(t, math.Abs(got-float64(v)), max(math.Abs(float64(v))*0x1p-11, 0x1p-25))
	})
}

func TestSortByTerm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms := rapid.SliceOf(rapid.Uint32()).Draw(t, "terms")
		want := make([]uint64, len(terms))
		for i, term := range terms {
			want[i] = uint64(term)<<32 | uint64(i)
		}
		slices.Sort(want)
		require.Equal(t, want, sortByTerm(terms, func() {}))
	})
}
