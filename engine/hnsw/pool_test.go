package hnsw

import (
	"cmp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestPoolKeepsTheNearest compares a pool with a stable sort.
func TestPoolKeepsTheNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, 3*halved)).Draw(t, "limit")
		most := rapid.SampledFrom([]float32{5, 500}).Draw(t, "most")
		distances := rapid.SliceOfN(rapid.Float32Range(-most, most), 0, 2*limit).Draw(t, "distances")
		var p pool
		p.reset(limit)
		var all []Candidate
		for i, d := range distances {
			d = float32(int(d)) // ties
			all = append(all, Candidate{d, uint32(i)})
			if len(p.items) < limit || d < p.bound() {
				at := p.insert(d, uint32(i))
				require.Equal(t, uint32(i), p.items[at].Row)
			}
		}
		slices.SortStableFunc(all, func(a, b Candidate) int { return cmp.Compare(a.Distance, b.Distance) })
		require.Equal(t, all[:min(limit, len(all))], append([]Candidate(nil), p.items...))
	})
}
