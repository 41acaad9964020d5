package vectorindex

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/engine/vector"
)

// Rescoring stops where codes leave no doubt: it compares fewer raw vectors, and
// finds what comparing all candidates finds, on all kinds of data.
func TestRescoringStopsEarly(t *testing.T) {
	sets := hardSets(recallSize{rows: 4000, queries: 200, dim: 64, copies: 100})
	for _, d := range sets {
		t.Run(d.name, func(t *testing.T) {
			ix := builtIndex(t, d, 1, false)
			same, compared, candidates := 0, 0, 0
			for _, v := range d.queries {
				hits, p, err := ix.Search(t.Context(), Query{Vector: v, K: 10, Ef: 100})
				require.NoError(t, err)
				// Of a wide search at least all hits are compared.
				all, _, err := ix.Search(t.Context(), Query{Vector: v, K: 100, Ef: 100})
				require.NoError(t, err)
				best := map[uint32]bool{}
				for _, h := range all[:10] {
					best[h.Doc] = true
				}
				for i, h := range hits {
					if best[h.Doc] || h.Score == all[i].Score {
						same++
					}
				}
				compared += p.Exact
				candidates += 25
			}
			t.Logf("%d of %d hits, %d of %d candidates compared", same, 10*len(d.queries), compared, candidates)
			require.GreaterOrEqual(t, float64(same), 0.99*float64(10*len(d.queries)))
			require.Less(t, compared, candidates)
		})
	}
}

// Who names a narrow search gets one, with all hits asked for, also where some of
// what the graph holds is dead, and also when it is named narrower than the hits.
func TestNarrowSearch(t *testing.T) {
	d := hardSets(recallSize{rows: 4000, queries: 50, dim: 64, copies: 1})[0]
	require.Equal(t, vector.Euclid, d.distance)
	ix := builtIndex(t, d, 1, false)
	count := func(ef int) (scored int) {
		for _, v := range d.queries {
			hits, p, err := ix.Search(t.Context(), Query{Vector: v, K: 10, Ef: ef})
			require.NoError(t, err)
			require.Len(t, hits, 10)
			if ef <= 10 {
				require.LessOrEqual(t, p.Exact, 12+12) // once again when dead rows took the place of live ones
			}
			scored += p.Scored
		}
		return scored
	}
	half, narrow, wide := count(5), count(10), count(25)
	require.Less(t, half, narrow)
	require.Less(t, narrow, wide)
	require.Equal(t, half, count(1), "half of the hits is the least")
	for doc := uint32(0); doc < 4000; doc += 10 {
		ix.Delete(doc)
	}
	count(1)
	count(10)
}

// Over codes of one bit a wider search finds more, as over any others: what the
// walk finds is compared by raw vectors.
func TestWiderSearchOverBitsFindsMore(t *testing.T) {
	all := clusters(rand.New(rand.NewPCG(1, 2)), 4100, 64, 1) // one cloud: the hardest for bits
	d := hardData{distance: vector.Euclid, rows: all[:4000], queries: all[4000:]}
	ix := builtIndex(t, d, 1, false)
	cfg := ix.Config()
	cfg.Quantization = quantization.Config{Method: quantization.Binary}
	require.NoError(t, ix.SetConfig(cfg))
	for more := true; more; {
		var err error
		more, err = ix.Step(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, "bits1", ix.Stats().Codec)
	kth := truth(t, ix, d.queries, 10)
	narrow, _ := recallOf(t, ix, d.queries, kth, Query{K: 10, Ef: 100})
	wide, _ := recallOf(t, ix, d.queries, kth, Query{K: 10, Ef: 1000})
	t.Logf("%.4f, wide %.4f", narrow, wide)
	require.Greater(t, wide, narrow)
}
