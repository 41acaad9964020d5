package hnsw

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A walk that nothing nearer comes of gives up, with as many candidates as were asked
// for, and loses hardly any recall by it.
func TestWalkGivesUp(t *testing.T) {
	const dim, rows, queries = 32, 6000, 200
	all := clustered(8, rows+queries, dim, 30, 0.4)
	base := &matrix{k: all.k, dim: dim, data: all.data[:rows*dim]}
	asked := &matrix{k: all.k, dim: dim, data: all.data[rows*dim:]}
	g := build(t, base, 1, Options{M: 16, EfConstruct: 100})
	for _, ef := range []int{10, 48, 96} {
		hops, limit := 0, 0
		for i := range uint32(queries) {
			found, stats := g.Search(nil, base.with(asked.row(i)), Params{Ef: ef})
			require.Len(t, found, ef)
			hops += stats.Hops
			limit += ef
		}
		share, _ := recall(base, g, asked, Params{Ef: ef})
		t.Logf("ef %d: recall %.4f, %d of %d lists", ef, share, hops, limit)
		if ef > 10 { // a narrow walk follows more on its way than it keeps
			require.Less(t, hops, limit)
		}
		require.GreaterOrEqual(t, share, map[int]float64{10: 0.85, 48: 0.98, 96: 0.995}[ef])
	}
	// Fewer rows than candidates: all of them are found.
	few := clustered(9, 40, dim, 3, 0.4)
	found, _ := build(t, few, 1, Options{}).Search(nil, few.with(few.row(0)), Params{Ef: 100})
	require.Len(t, found, 40)
}

// A walk narrower than what it keeps returns as many as were asked for, for fewer
// distances, and all there are of a small graph.
func TestWalkNarrowerThanWhatItKeeps(t *testing.T) {
	const dim, rows, queries = 32, 6000, 200
	all := clustered(8, rows+queries, dim, 30, 0.4)
	base := &matrix{k: all.k, dim: dim, data: all.data[:rows*dim]}
	asked := &matrix{k: all.k, dim: dim, data: all.data[rows*dim:]}
	g := build(t, base, 1, Options{M: 16, EfConstruct: 100})
	scored := map[int]int{}
	for _, ef := range []int{1, 6, 12} {
		for i := range uint32(queries) {
			found, stats := g.Search(nil, base.with(asked.row(i)), Params{Ef: ef, Keep: 12})
			require.Len(t, found, 12)
			scored[ef] += stats.Scored
		}
	}
	require.Less(t, scored[1], scored[6])
	require.Less(t, scored[6], scored[12])
	half, _ := recall(base, g, asked, Params{Ef: 6, Keep: 12})
	full, _ := recall(base, g, asked, Params{Ef: 12})
	t.Logf("recall %.4f at half the width, %.4f", half, full)
	require.Greater(t, half, full-0.1)

	few := clustered(9, 40, dim, 3, 0.4)
	found, _ := build(t, few, 1, Options{}).Search(nil, few.with(few.row(0)), Params{Ef: 1, Keep: 100})
	require.Len(t, found, 40)
}
