package hnsw

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// sketch is the signs of the first components.
func (m *matrix) sketch(v []float32) (s distance.Sketch) {
	for j, x := range v[:min(len(v), 128)] {
		if x >= 0 {
			s[j/64] |= 1 << (j % 64)
		}
	}
	return s
}

func (m *matrix) sketchOf(row uint32) distance.Sketch { return m.sketch(m.row(row)) }

// Between small clusters that are equally far from each other nothing leads. A narrow
// search from entries finds the right one all the same, whatever level they are of, with
// fewer distances than one from the top.
func TestSearchFromEntries(t *testing.T) {
	const dim, queries = 64, 400
	for _, c := range []struct{ m, rows, level int }{{16, 9_000, 1}, {4, 18_000, 2}} {
		all := clustered(5, c.rows+queries, dim, 400, 0.2)
		base := &matrix{k: all.k, dim: dim, data: all.data[:c.rows*dim]}
		g := build(t, base, 1, Options{M: c.m, EfConstruct: 64, Kernels: all.k})
		e := g.NewEntries(uint32(c.rows), base.sketchOf)
		require.Equal(t, c.level, e.level)
		require.LessOrEqual(t, len(e.slots), maxEntries)
		var missed, missedFrom, scored, scoredFrom int
		for i := range queries {
			q := all.row(uint32(c.rows + i))
			best := base.nearest(q, 1, nil)[0]
			for _, p := range []struct {
				Params
				missed, scored *int
			}{
				{Params{Ef: 10}, &missed, &scored},
				{Params{Ef: 10, Entries: e, Sketch: base.sketch(q)}, &missedFrom, &scoredFrom},
			} {
				found, stats := g.Search(nil, base.with(q), p.Params)
				require.Len(t, found, 10)
				if found[0].Distance > 2*best {
					*p.missed++
				}
				*p.scored += stats.Scored
			}
		}
		t.Logf("M %d: missed %d with %d distances, from entries %d with %d", c.m, missed, scored, missedFrom, scoredFrom)
		require.LessOrEqual(t, 2*missedFrom, missed+2)
		require.Less(t, scoredFrom, scored)
	}
}

// Entries hold the nodes of a level among the first rows, and nothing when these are few.
func TestEntriesAreTheNodesOfALevel(t *testing.T) {
	m := clustered(6, 6000, 16, 50, 0.5)
	g := build(t, m, 2, Options{M: 8, EfConstruct: 32, Kernels: m.k})
	e := g.NewEntries(4000, m.sketchOf)
	got := map[uint32]bool{}
	for i, slot := range e.slots {
		row := g.upRow[slot]
		require.Equal(t, m.sketchOf(row), e.sketches[i])
		require.False(t, got[row], "row %d twice", row)
		got[row] = true
	}
	for row := range uint32(6000) {
		require.Equal(t, row < 4000 && g.Level(row) >= e.level, got[row], "row %d", row)
	}
	require.Nil(t, g.NewEntries(100, m.sketchOf))
	empty, err := New(Options{Kernels: m.k})
	require.NoError(t, err)
	defer func() { require.NoError(t, empty.Free()) }()
	require.Nil(t, empty.NewEntries(0, m.sketchOf))
}

// Entries made while rows are inserted are good at once.
func TestEntriesBesideInserts(t *testing.T) {
	m := clustered(7, 3000, 16, 20, 0.5)
	g, err := New(Options{M: 4, EfConstruct: 16, Capacity: m.len(), Kernels: m.k})
	require.NoError(t, err)
	defer func() { require.NoError(t, g.Free()) }()
	inserted := make(chan error, 1)
	go func() {
		inserted <- g.Insert(t.Context(), Batch{End: uint32(m.len()), Scorers: m.scorer, Workers: 2})
	}()
	for done := false; !done; {
		select {
		case err := <-inserted:
			require.NoError(t, err)
			done = true
		default:
		}
		e := g.NewEntries(uint32(m.len()), m.sketchOf)
		if e == nil {
			continue
		}
		q := m.row(17)
		found, _ := g.Search(nil, m.with(q), Params{Ef: 5, Entries: e, Sketch: m.sketch(q)})
		require.NotEmpty(t, found)
	}
	require.NotNil(t, g.NewEntries(uint32(m.len()), m.sketchOf))
}
