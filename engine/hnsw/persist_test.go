package hnsw

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/fsx"
)

// save writes a graph into a file of a new directory.
func save(t *testing.T, g *Graph, rows int) (*segment.Dir, segment.FileInfo) {
	t.Helper()
	fs := fsx.NewMem()
	require.NoError(t, fs.MkdirAll("/d"))
	dir := &segment.Dir{FS: fs, Path: "/d"}
	w, err := dir.Create("graph", Kind, Version)
	require.NoError(t, err)
	require.NoError(t, g.Write(w, rows))
	info, err := w.Finish()
	require.NoError(t, err)
	return dir, info
}

func TestWrittenGraphAnswersTheSame(t *testing.T) {
	m := clustered(11, 2500, 8, 20, 0.4)
	copy(m.row(77), m.row(76)) // a chain
	first := &matrix{k: m.k, dim: m.dim, data: m.data[:2000*8]}
	g := build(t, first, 1, Options{Capacity: 2500})
	require.Equal(t, 1, g.Chained())
	dir, info := save(t, g, 2000)
	for _, mapped := range []bool{false, true} {
		r, err := dir.Open(info, Kind, Version)
		require.NoError(t, err)
		same, rows, err := Read(r, ReadOptions{Mapped: mapped, Options: Options{Capacity: 2500, Kernels: m.k}})
		require.NoError(t, err)
		require.Equal(t, 2000, rows)
		require.Equal(t, mapped, same.ReadOnly())
		for i := range uint32(50) {
			p := Params{Ef: 30}
			want, _ := g.Search(nil, m.with(m.row(2100+i)), p)
			got, _ := same.Search(nil, m.with(m.row(2100+i)), p)
			require.Equal(t, want, got)
		}
		batch := Batch{First: 2000, End: 2500, Scorers: m.scorer}
		if mapped {
			require.ErrorIs(t, same.Insert(t.Context(), batch), ErrReadOnly)
			grown, err := same.Grow(2500)
			require.NoError(t, err)
			require.NoError(t, same.Free())
			same = grown
		}
		require.NoError(t, same.Insert(t.Context(), batch))
		require.Equal(t, 2499, same.Nodes())
		require.NoError(t, same.Free())
		require.NoError(t, same.Free())
		require.NoError(t, r.Close())
	}
	require.NoError(t, g.Insert(t.Context(), Batch{First: 2000, End: 2500, Scorers: m.scorer}))
	all := build(t, m, 1, Options{Capacity: 2500})
	require.True(t, slices.Equal(all.links0, g.links0), "a graph built in two parts is the same")
}

// TestNumbersOutOfRangeAreRefused damages each array of a graph before it is
// written: the checksums are right, the numbers aren't.
func TestNumbersOutOfRangeAreRefused(t *testing.T) {
	m := clustered(12, 600, 4, 5, 0.5)
	copy(m.row(7), m.row(6))
	for name, damage := range map[string]func(g *Graph){
		"level-0 list": func(g *Graph) { g.links0[5] = 600 },
		"chain":        func(g *Graph) { g.chain[3] = 601 },
		"slot's row":   func(g *Graph) { g.upRow[0] = 600 },
		"slot's list":  func(g *Graph) { g.upBase[0] = uint32(g.lists) },
		"upper list":   func(g *Graph) { g.upList[0] = uint32(g.slots) },
		"entry":        func(g *Graph) { g.entry.Store(packEntry(uint32(g.slots), 1)) },
		"entry level":  func(g *Graph) { g.entry.Store(packEntry(0, maxLevel+1)) },
	} {
		t.Run(name, func(t *testing.T) {
			g := build(t, m, 1, Options{})
			damage(g)
			dir, info := save(t, g, 600)
			r, err := dir.Open(info, Kind, Version)
			require.NoError(t, err)
			defer func() { require.NoError(t, r.Close()) }()
			_, _, err = Read(r, ReadOptions{})
			require.ErrorIs(t, err, ErrInvalid)
		})
	}
}
