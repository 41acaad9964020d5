package vectorindex

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/vector"
)

// recallSize is how much a recall test does: little by default, what the figures
// are promised for with SEXTANT_RECALL=full (minutes).
type recallSize struct {
	rows, queries, dim, copies int
	seeds                      []uint64
}

func sizeOfRecall() recallSize {
	if os.Getenv("SEXTANT_RECALL") == "full" {
		return recallSize{rows: 60_000, queries: 5000, dim: 64, copies: 1000, seeds: []uint64{1, 2, 3, 4, 5}}
	}
	if os.Getenv("SEXTANT_RECALL") == "mid" {
		return recallSize{rows: 20_000, queries: 500, dim: 64, copies: 300, seeds: []uint64{1}}
	}
	return recallSize{rows: 3000, queries: 100, dim: 32, copies: 100, seeds: []uint64{1}}
}

// hardData are vectors of one kind, and queries like them.
type hardData struct {
	name          string
	distance      vector.Distance
	rows, queries [][]float32
}

// clusters draws vectors around centers in a subspace, as embeddings lie.
func clusters(rng *rand.Rand, n, dim, count int) [][]float32 {
	centers := make([][]float32, count)
	for i := range centers {
		centers[i] = make([]float32, dim)
		for j := range centers[i] {
			centers[i][j] = float32(rng.NormFloat64())
		}
	}
	out := make([][]float32, n)
	for i := range out {
		c, spread := centers[rng.IntN(count)], 0.25+0.25*rng.Float64()
		out[i] = make([]float32, dim)
		for j := range out[i] {
			out[i][j] = c[j] + float32(spread*rng.NormFloat64())
		}
	}
	return out
}

func hardSets(s recallSize) []hardData {
	rng := rand.New(rand.NewPCG(42, 42))
	draw := func() [][]float32 { return clusters(rng, s.rows+s.queries, s.dim, max(s.rows/60, 10)) }
	tails := func(all [][]float32) [][]float32 {
		for _, v := range all {
			length := float32(math.Exp(rng.NormFloat64()))
			for j := range v {
				v[j] *= length
			}
		}
		return all
	}
	duplicated := draw()
	for i := range s.copies {
		duplicated[(i*37)%s.rows] = duplicated[0]
	}
	sets := []hardData{
		{name: "clustered", distance: vector.Euclid, rows: draw()},
		{name: "cosine", distance: vector.Cosine, rows: draw()},
		{name: "tails", distance: vector.Euclid, rows: tails(draw())},
		{name: "tails, inner product", distance: vector.Dot, rows: tails(draw())},
		{name: "duplicated", distance: vector.Euclid, rows: duplicated},
	}
	for i := range sets {
		sets[i].queries = sets[i].rows[s.rows:]
		sets[i].rows = sets[i].rows[:s.rows]
	}
	return sets
}

// builtIndex makes an index of the rows with all background work done.
func builtIndex(tb testing.TB, d hardData, seed uint64, raw bool) *Index {
	tb.Helper()
	cfg := Config{
		Dim: len(d.rows[0]), Distance: d.distance, IndexingThresholdKB: 1, FullScanThresholdKB: -1, EfConstruct: 128,
	}
	ix, err := Open(Options{Config: cfg, Seed: seed, tuning: tuning{codesFrom: 500, noCodes: raw}})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, ix.Close()) })
	for i, v := range d.rows {
		require.NoError(tb, ix.Upsert(uint32(i), v))
	}
	for more := true; more; {
		more, err = ix.Step(tb.Context())
		require.NoError(tb, err)
	}
	return ix
}

// truth is the k-th best score of each query.
func truth(tb testing.TB, ix *Index, queries [][]float32, k int) []float32 {
	tb.Helper()
	out := make([]float32, len(queries))
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(queries); i += workers {
				hits, _, err := ix.Search(tb.Context(), Query{Vector: queries[i], K: k, Exact: true})
				if err != nil || len(hits) != k {
					tb.Errorf("exact search: %d hits, %v", len(hits), err)
					return
				}
				out[i] = hits[k-1].Score
			}
		})
	}
	wg.Wait()
	return out
}

// recallOf is the share of hits that are among the k best, and the number of
// queries with none. Equal scores count as equal: of identical vectors any will do.
func recallOf(tb testing.TB, ix *Index, queries [][]float32, kth []float32, q Query) (share float64, zero int) {
	tb.Helper()
	hits := 0
	for i, v := range queries {
		q.Vector = v
		found, profile, err := ix.Search(tb.Context(), q)
		require.NoError(tb, err)
		require.Len(tb, found, q.K)
		if q.Filter.Match == nil && q.Filter.Docs == nil {
			require.Equal(tb, PlanGraph, profile.Plan)
		}
		n := 0
		for _, h := range found {
			if h.Score >= kth[i]-1e-5*float32(math.Abs(float64(kth[i]))) {
				n++
			}
		}
		if n == 0 {
			zero++
		}
		hits += n
	}
	return float64(hits) / float64(q.K*len(queries)), zero
}

// TestRecallOnHardData compares the default index (codes, rescored) with a graph
// on the raw vectors.
func TestRecallOnHardData(t *testing.T) {
	size := sizeOfRecall()
	for _, d := range hardSets(size) {
		t.Run(d.name, func(t *testing.T) {
			for _, seed := range size.seeds {
				raw := builtIndex(t, d, seed, true)
				kth := truth(t, raw, d.queries, 10)
				coded := builtIndex(t, d, seed, false)
				require.NotEmpty(t, coded.Stats().Codec)
				q := Query{K: 10, Ef: 128}
				want, zeroRaw := recallOf(t, raw, d.queries, kth, q)
				got, zero := recallOf(t, coded, d.queries, kth, q)
				t.Logf("seed %d: %s %.4f (zero hits %d), raw %.4f (%d)", seed, coded.Stats().Codec, got, zero, want, zeroRaw)
				require.GreaterOrEqual(t, got, want-0.005)
				require.Zero(t, zero)
			}
		})
	}
}

// TestRecallOfFilteredSearch compares filtered search with exact search.
func TestRecallOfFilteredSearch(t *testing.T) {
	size := sizeOfRecall()
	d := hardSets(size)[0]
	d.queries = d.queries[:min(len(d.queries), 1000)]
	ix := builtIndex(t, d, 1, false)
	for _, percent := range []uint32{2, 10, 30, 50, 90} {
		match := func(doc uint32) bool { return doc*2654435761>>16%100 < percent }
		docs := roaring.New()
		for doc := range uint32(size.rows) {
			if match(doc) {
				docs.Add(doc)
			}
		}
		kth := make([]float32, len(d.queries))
		for i, v := range d.queries {
			hits, _, err := ix.Search(t.Context(), Query{Vector: v, K: 10, Exact: true, Filter: Filter{Docs: docs}})
			require.NoError(t, err)
			kth[i] = hits[9].Score
		}
		for name, filter := range map[string]Filter{
			"with an index":    {Docs: docs},
			"without an index": {Match: match, Estimate: size.rows * int(percent) / 100},
		} {
			got, zero := recallOf(t, ix, d.queries, kth, Query{K: 10, Ef: 128, Filter: filter})
			t.Logf("%d %%, %s: %.4f", percent, name, got)
			require.GreaterOrEqual(t, got, 0.98, "%d %% pass, %s", percent, name)
			require.Zero(t, zero)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	d := hardData{distance: vector.Euclid, rows: clusters(rand.New(rand.NewPCG(1, 1)), 20_000, 128, 300)}
	ix := builtIndex(b, d, 1, false)
	for _, ef := range []int{32, 128} {
		b.Run(fmt.Sprintf("ef=%d", ef), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, _, err := ix.Search(b.Context(), Query{Vector: d.rows[i%len(d.rows)], K: 10, Ef: ef})
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkScanByCodes(b *testing.B) {
	d := hardData{distance: vector.Euclid, rows: clusters(rand.New(rand.NewPCG(1, 1)), 20_000, 128, 300)}
	ix := builtIndex(b, d, 1, false)
	cfg := ix.Config()
	cfg.FullScanThresholdKB = 1 << 20
	require.NoError(b, ix.SetConfig(cfg))
	for i := 0; b.Loop(); i++ {
		_, p, err := ix.Search(b.Context(), Query{Vector: d.rows[i%len(d.rows)], K: 10})
		require.NoError(b, err)
		require.Equal(b, PlanScan, p.Plan)
	}
}
