package vectorindex

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/vector"
)

// TestWritesSearchesAndBackgroundWorkTogether runs an applier, searches, steps and
// checkpoints at once. Documents below `stable` are updated all the time but
// always have a vector: every search must find each of them exactly once.
func TestWritesSearchesAndBackgroundWorkTogether(t *testing.T) {
	const stable, docs, rounds = 60, 400, 40
	cfg := Config{
		Dim: 8, Distance: vector.Euclid, IndexingThresholdKB: 1, FullScanThresholdKB: -1,
		M: 4, EfConstruct: 20, VacuumMin: 50, MaxIndexingThreads: 2,
	}
	f := newFixture(t, cfg)
	rng := rand.New(rand.NewPCG(1, 2))
	for doc := range uint32(docs) {
		f.upsert(doc, randomVector(rng, cfg))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var searches atomic.Int64
	for i := range uint64(2) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(3, i))
			for ctx.Err() == nil {
				if !searchStable(t, f.ix, randomVector(rng, cfg), stable) {
					return
				}
				searches.Add(1)
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := f.ix.Step(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	for range rounds {
		for range 50 {
			doc := uint32(rng.IntN(docs))
			if doc >= stable && rng.IntN(3) == 0 {
				f.delete(doc)
				continue
			}
			f.upsert(doc, randomVector(rng, cfg))
		}
		f.checkpoint() // Freeze between operations, as the shard does
	}
	cancel()
	wg.Wait()
	require.Positive(t, searches.Load())
	f.settle()
	f.reopen()
	for range 20 {
		q := randomVector(rng, cfg)
		hits, _ := f.search(Query{Vector: q, K: 10, Exact: true})
		f.ref.check(t, hits, q, 10, nil)
	}
	require.NoError(t, f.ix.Close())
	require.NoError(t, f.ix.Close())
}

// searchStable searches in all ways for the documents that always have a vector.
func searchStable(t *testing.T, ix *Index, q []float32, stable uint32) bool {
	t.Helper()
	match := func(doc uint32) bool { return doc < stable }
	for _, query := range []Query{
		{Vector: q, K: int(stable), Exact: true, Filter: Filter{Match: match, Estimate: int(stable)}},
		{Vector: q, K: int(stable), Filter: Filter{Match: match, Estimate: int(stable)}},
		{Vector: q, K: 20},
	} {
		hits, profile, err := ix.Search(t.Context(), query)
		if err != nil {
			t.Error(err)
			return false
		}
		seen := map[uint32]bool{}
		for _, h := range hits {
			if seen[h.Doc] {
				t.Errorf("document %d twice", h.Doc)
				return false
			}
			seen[h.Doc] = true
		}
		if query.Filter.Match != nil && len(hits) != int(stable) {
			t.Errorf("plan %s found %d documents of %d", profile.Plan, len(hits), stable)
			return false
		}
	}
	return true
}

// A search took its view before a chunk was added, and finds the rows of that
// chunk in the graph.
func TestGraphThatOutgrewTheView(t *testing.T) {
	for _, raw := range []bool{false, true} {
		f := newFixture(t, Config{Dim: 8, Distance: vector.Euclid, FullScanThresholdKB: -1, IndexingThresholdKB: 1})
		require.NoError(t, f.ix.Close())
		f.o.tuning.capacity = 4096 // the graph stays where it is while it grows
		f.open()
		rng := rand.New(rand.NewPCG(1, 2))
		random := func() []float32 {
			v := make([]float32, 8)
			for i := range v {
				v[i] = rng.Float32()
			}
			return v
		}
		for doc := range uint32(100) {
			f.upsert(doc, random())
		}
		f.settle()
		old := f.ix.acquire()
		graph := old.graph.g
		for doc := range uint32(600) {
			f.upsert(doc, random())
		}
		f.settle()
		require.Same(t, graph, f.ix.current.Load().graph.g)
		require.Greater(t, old.graphRows(), int(old.rows()))

		q := Query{Vector: random(), K: 10, Ef: 300, IgnoreQuantization: raw}
		s := f.ix.getSearch()
		s.ctx, s.q, s.k = t.Context(), &q, q.K
		s.raw.query.prepare(f.ix.format, q.Vector)
		s.held = append(s.held, old)
		s.use(old)
		s.exact.reset(s.k)
		s.approx.reset(0)
		done := s.useCodes()
		tail, err := s.execute(old.gen.live())
		require.NoError(t, err)
		require.LessOrEqual(t, tail, old.rows())
		require.NoError(t, s.scanTail(tail))
		hits, err := s.finish()
		require.NoError(t, err)
		f.ref.check(t, hits, q.Vector, q.K, nil)
		done()
		s.releaseAll()
		f.ix.putSearch(s)
		require.NoError(t, f.ix.Close())
	}
}
