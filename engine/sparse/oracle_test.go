package sparse

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/vector"
)

// oracle is the index as a map, searched by going over everything.
type oracle struct {
	idf, half bool
	docs      map[uint32]map[uint32]float32
}

func newOracle(cfg Config) *oracle {
	return &oracle{idf: cfg.IDF, half: cfg.Datatype != vector.Float32, docs: make(map[uint32]map[uint32]float32)}
}

func (o *oracle) upsert(doc uint32, indices []uint32, values []float32) {
	v := make(map[uint32]float32)
	for i, t := range indices {
		v[t] = values[i]
	}
	o.docs[doc] = v
}

func (o *oracle) weight(term uint32, value float32, corpus vector.Filter) float64 {
	if !o.idf {
		return float64(value)
	}
	n, df := 0.0, 0.0
	for doc, v := range o.docs {
		if !corpus.Passes(doc) {
			continue
		}
		n++
		if _, ok := v[term]; ok {
			df++
		}
	}
	return float64(value) * math.Log((n-df+0.5)/(df+0.5)+1)
}

// search returns every hit, best first.
func (o *oracle) search(q Query) []vector.Hit {
	weights := make([]float64, len(q.Indices))
	for i, t := range q.Indices {
		weights[i] = o.weight(t, q.Values[i], q.Corpus)
	}
	var hits []vector.Hit
	for doc, v := range o.docs {
		sum, shares := 0.0, false
		for i, t := range q.Indices {
			if x, ok := v[t]; ok {
				if o.half {
					x = fromHalf(toHalf(x))
				}
				sum += weights[i] * float64(x)
				shares = true
			}
		}
		if shares && q.Filter.Passes(doc) && (q.ScoreThreshold == nil || float32(sum) >= *q.ScoreThreshold) {
			hits = append(hits, vector.Hit{Doc: doc, Score: float32(sum)})
		}
	}
	slices.SortFunc(hits, func(a, b vector.Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Doc, b.Doc))
	})
	return hits
}

// tb is what testing.T and rapid.T have in common.
type tb interface {
	require.TestingT
	Helper()
}

// requireHits compares a result with the oracle's: the same scores, and the same
// documents except among scores that are equal up to rounding.
func requireHits(t tb, all, got []vector.Hit, k int) {
	t.Helper()
	want := all[:min(max(k, 0), len(all))]
	require.Len(t, got, len(want))
	scores := make(map[uint32]float32)
	for _, h := range all {
		scores[h.Doc] = h.Score
	}
	seen := make(map[uint32]bool)
	for i, h := range got {
		exact, ok := scores[h.Doc]
		require.True(t, ok, "document %d is no hit", h.Doc)
		require.False(t, seen[h.Doc], "document %d twice", h.Doc)
		seen[h.Doc] = true
		tolerance := 1e-5 * (1 + math.Abs(float64(exact)))
		require.InDelta(t, exact, h.Score, tolerance)
		require.InDelta(t, want[i].Score, h.Score, tolerance)
		if i > 0 {
			require.False(t, worse(got[i-1], h), "hits out of order")
		}
	}
}

// smallLimits make a handful of vectors go through all the life of parts.
var smallLimits = limits{sealRows: 4, sealElements: 64, maxRows: 40, maxElements: 300}

// drawVector draws a vector whose indices collide often.
func drawVector(t *rapid.T, dims int) ([]uint32, []float32) {
	indices := rapid.SliceOfNDistinct(rapid.Uint32Range(0, uint32(dims)), 0, 8, rapid.ID).Draw(t, "indices")
	values := make([]float32, len(indices))
	for i := range values {
		// Few distinct values: ties. Negative ones: bounds of both signs.
		values[i] = float32(rapid.IntRange(-4, 8).Draw(t, "value")) / 4
	}
	return indices, values
}

// randomVector has n elements with Zipf-like indices below dims.
func randomVector(r *rand.Rand, dims, n int) ([]uint32, []float32) {
	v := make(map[uint32]float32)
	for len(v) < n {
		v[uint32(float64(dims)*math.Pow(r.Float64(), 3))] = float32(r.ExpFloat64())
	}
	indices := make([]uint32, 0, n)
	for t := range v {
		indices = append(indices, t)
	}
	slices.Sort(indices)
	values := make([]float32, n)
	for i, t := range indices {
		values[i] = v[t]
	}
	return indices, values
}
