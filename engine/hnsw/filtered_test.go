package hnsw

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// filteredSet is a graph of clustered rows, and queries like them.
func filteredSet(t *testing.T) (base *matrix, g *Graph, queries *matrix) {
	t.Helper()
	const dim, rows, asked = 24, 6000, 100
	all := clustered(11, rows+asked, dim, 40, 0.4)
	base = &matrix{k: all.k, dim: dim, data: all.data[:rows*dim]}
	return base, build(t, base, 1, Options{}), &matrix{k: all.k, dim: dim, data: all.data[rows*dim:]}
}

// How many candidates are kept in order changes neither what a walk finds nor what it follows.
func TestCandidatesBehindThePoolAreFollowedInOrder(t *testing.T) {
	base, g, queries := filteredSet(t)
	walk := func(q []float32, accept func(uint32) bool, expected int) ([]Candidate, Stats) {
		s, sc := g.acquire(), base.with(q)
		defer g.release(s)
		s.scored, s.hops = 0, 0
		p := Params{Ef: 12, Keep: 12, Accept: accept, Expected: expected} // without patience
		require.True(t, g.descend(s, sc, 0, g.beamFor(p)))
		g.walk(s, sc, p)
		return slices.Clone(s.found.items), Stats{s.scored, s.hops}
	}
	behind := 0
	for i := range uint32(queries.len()) {
		q := queries.row(i)
		for name, accept := range map[string]func(uint32) bool{
			"most":     func(row uint32) bool { return mix(uint64(row))%4 != 0 },
			"some":     func(row uint32) bool { return mix(uint64(row))%20 == 0 },
			"far away": func(row uint32) bool { return base.row(row)[0]*q[0] < 0 },
		} {
			want, all := walk(q, accept, 0)
			got, stats := walk(q, accept, 1)
			require.Equal(t, want, got, name)
			require.Equal(t, all, stats, name)
			if stats.Hops > minOrdered {
				behind++
			}
		}
	}
	require.Greater(t, behind, queries.len(), "walks that needed more than the pool")
}

// A walk that is told how many candidates it will follow gives up when none of many brings
// anything, and loses hardly any recall by it.
func TestFilteredWalkGivesUp(t *testing.T) {
	base, g, queries := filteredSet(t)
	for _, modulo := range []int{2, 5, 10} {
		accept := func(row uint32) bool { return mix(uint64(row))%uint64(modulo) == 0 }
		const ef = 16
		var all, patient int
		for i := range uint32(queries.len()) {
			sc := base.with(queries.row(i))
			_, stats := g.Search(nil, sc, Params{Ef: ef, Accept: accept})
			all += stats.Hops
			found, stats := g.Search(nil, sc, Params{Ef: ef, Accept: accept, Expected: ef * modulo})
			patient += stats.Hops
			require.Len(t, found, ef)
		}
		require.Less(t, patient, all)
		r, zero := recall(base, g, queries, Params{Ef: ef, Accept: accept, Expected: ef * modulo})
		t.Logf("one in %d: recall %.4f, %d of %d lists", modulo, r, patient, all)
		require.Greater(t, r, 0.99)
		require.Zero(t, zero)
	}
}

// A walk whose farther candidates aren't wanted ends earlier, has as many candidates, and hardly fewer of the nearest.
func TestFilteredWalkWantsTheNearest(t *testing.T) {
	base, g, queries := filteredSet(t)
	accept := func(row uint32) bool { return mix(uint64(row))%2 == 0 }
	all := Params{Ef: 64, Accept: accept, Expected: 128}
	some := all
	some.Wanted = 12
	var hops [2]int
	for i := range uint32(queries.len()) {
		for j, p := range []Params{all, some} {
			found, stats := g.Search(nil, base.with(queries.row(i)), p)
			require.Len(t, found, 64)
			hops[j] += stats.Hops
		}
	}
	require.Less(t, hops[1], hops[0])
	r, zero := recall(base, g, queries, some)
	t.Logf("recall %.4f, %d of %d lists", r, hops[1], hops[0])
	require.Greater(t, r, 0.995)
	require.Zero(t, zero)
}

// However wrong the expectation is, a walk doesn't give up before it has enough hits.
func TestFilteredWalkFindsWhatIsFarAway(t *testing.T) {
	base, g, queries := filteredSet(t)
	for i := range uint32(queries.len()) {
		q := queries.row(i)
		accept := func(row uint32) bool { return base.row(row)[0]*q[0] < 0 }
		found, _ := g.Search(nil, base.with(q), Params{Ef: 12, Accept: accept, Expected: 1})
		require.Len(t, found, 12)

		found, stats := g.Search(nil, base.with(q), Params{Ef: 12, Accept: func(uint32) bool { return false }, Expected: 1})
		require.Empty(t, found)
		require.GreaterOrEqual(t, stats.Hops, navLimit(12), "everything near is looked through")
	}
}
