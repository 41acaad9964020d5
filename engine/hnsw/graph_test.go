package hnsw

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// matrix scores rows of float32 by squared Euclidean distance.
type matrix struct {
	k    *distance.Kernels
	dim  int
	data []float32
	q    []float32
}

func (m *matrix) row(i uint32) []float32 { return m.data[int(i)*m.dim : (int(i)+1)*m.dim] }

func (m *matrix) Score(rows []uint32, out []float32) {
	m.k.L2IDs(m.q, unsafe.Pointer(&m.data[0]), 4*m.dim, rows, out)
}

func (m *matrix) Ask([]uint32) {}

func (m *matrix) SetRow(row uint32) { m.q = m.row(row) }

func (m *matrix) Equal(a, b uint32) bool { return slices.Equal(m.row(a), m.row(b)) }

func (m *matrix) with(q []float32) *matrix {
	c := *m
	c.q = q
	return &c
}

func (m *matrix) len() int { return len(m.data) / m.dim }

// nearest returns the distances of the k accepted rows nearest to q.
func (m *matrix) nearest(q []float32, k int, accept func(uint32) bool) []float32 {
	ids := make([]uint32, 0, m.len())
	for i := range uint32(m.len()) {
		if accept == nil || accept(i) {
			ids = append(ids, i)
		}
	}
	out := make([]float32, len(ids))
	m.with(q).Score(ids, out)
	slices.Sort(out)
	return out[:min(k, len(out))]
}

// clustered draws points around centers, in a space of lower dimension turned
// into dim.
func clustered(seed uint64, n, dim, clusters int, spread float64) *matrix {
	rng := rand.New(rand.NewPCG(seed, 1))
	centers := make([]float64, clusters*dim)
	for i := range centers {
		centers[i] = rng.NormFloat64()
	}
	data := make([]float32, n*dim)
	for i := range n {
		c := rng.IntN(clusters)
		for j := range dim {
			data[i*dim+j] = float32(centers[c*dim+j] + spread*rng.NormFloat64())
		}
	}
	return &matrix{k: distance.Detect(), dim: dim, data: data}
}

func build(tb testing.TB, m *matrix, workers int, o Options) *Graph {
	tb.Helper()
	o.Capacity = max(o.Capacity, m.len())
	o.Kernels = m.k
	g, err := New(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, g.Free()) })
	require.NoError(tb, g.Insert(tb.Context(), Batch{End: uint32(m.len()), Workers: workers, Scorers: m.scorer}))
	return g
}

func (m *matrix) scorer() BuildScorer { return m.with(nil) }

// recall is the share of the ten nearest distances that a search found, over
// queries drawn near the data; zero counts queries that found none.
func recall(m *matrix, g *Graph, queries *matrix, p Params) (share float64, zero int) {
	const k = 10
	hits := 0
	var res []Candidate
	for i := range queries.len() {
		q := queries.row(uint32(i))
		want := m.nearest(q, k, p.Accept)
		res, _ = g.Search(res[:0], m.with(q), p)
		n := 0
		for _, c := range res {
			g.EachEqual(c.Row, func(row uint32) bool {
				if n < len(want) && (p.Accept == nil || p.Accept(row)) && c.Distance <= want[len(want)-1]*(1+1e-5) {
					n++
				}
				return true
			})
		}
		if n == 0 && len(want) > 0 {
			zero++
		}
		hits += n
		share += float64(n) / float64(max(len(want), 1))
	}
	return share / float64(queries.len()), zero
}

func TestRecall(t *testing.T) {
	m := clustered(1, 5000, 24, 50, 0.4)
	queries := clustered(1, 5300, 24, 50, 0.4)
	queries.data = queries.data[5000*24:]
	for _, workers := range []int{1, 3} {
		t.Run(strconv.Itoa(workers), func(t *testing.T) {
			g := build(t, m, workers, Options{Seed: 3})
			require.Equal(t, m.len(), g.Nodes())
			r, zero := recall(m, g, queries, Params{Ef: 100})
			require.Greater(t, r, 0.98)
			require.Zero(t, zero)
		})
	}
}

func TestFilteredRecall(t *testing.T) {
	m := clustered(2, 6000, 16, 40, 0.5)
	queries := clustered(2, 6200, 16, 40, 0.5)
	queries.data = queries.data[6000*16:]
	g := build(t, m, 2, Options{})
	for _, modulo := range []uint64{2, 5, 10, 20} {
		accept := func(row uint32) bool { return mix(uint64(row))%modulo == 0 }
		r, zero := recall(m, g, queries, Params{Ef: 20, Accept: accept})
		require.Greater(t, r, 0.99, "one in %d", modulo)
		require.Zero(t, zero)
	}
}

func TestSameSeedSameGraph(t *testing.T) {
	m := clustered(4, 1500, 8, 10, 0.5)
	a, b := build(t, m, 1, Options{Seed: 9}), build(t, m, 1, Options{Seed: 9})
	require.True(t, slices.Equal(a.links0, b.links0))
	require.True(t, slices.Equal(a.upList[:a.lists*a.opts.M], b.upList[:b.lists*b.opts.M]))
	require.Equal(t, a.entry.Load(), b.entry.Load())
	c := build(t, m, 1, Options{Seed: 10})
	require.False(t, slices.Equal(a.upRow[:a.slots], c.upRow[:c.slots]))
}

func TestEqualRowsAreChained(t *testing.T) {
	m := clustered(5, 2000, 8, 20, 0.3)
	for i := range 700 { // rows 600..1299 hold one vector
		copy(m.row(uint32(600+i)), m.row(600))
	}
	g := build(t, m, 1, Options{})
	require.Equal(t, 699, g.Chained())
	require.Equal(t, 2000-699, g.Nodes())

	res, _ := g.Search(nil, m.with(m.row(700)), Params{Ef: 20})
	require.Equal(t, uint32(600), res[0].Row)
	var chain []uint32
	g.EachEqual(600, func(row uint32) bool { chain = append(chain, row); return true })
	require.Len(t, chain, 700)

	// Only one of them is accepted: it is found behind its node.
	res, _ = g.Search(nil, m.with(m.row(700)), Params{Ef: 20, Accept: func(row uint32) bool { return row == 901 }})
	require.Len(t, res, 1)
	require.Equal(t, uint32(600), res[0].Row)
}

func TestGrowKeepsTheGraph(t *testing.T) {
	m := clustered(6, 3000, 8, 20, 0.4)
	g, err := New(Options{Capacity: 1000})
	require.NoError(t, err)
	require.NoError(t, g.Insert(t.Context(), Batch{End: 1000, Scorers: m.scorer}))
	require.ErrorIs(t, g.Insert(t.Context(), Batch{First: 1000, End: 3000, Scorers: m.scorer}), ErrFull)
	bigger, err := g.Grow(3000)
	require.NoError(t, err)
	defer func() { require.NoError(t, bigger.Free()) }()
	require.NoError(t, g.Free())
	require.NoError(t, bigger.Insert(t.Context(), Batch{First: 1000, End: 3000, Scorers: m.scorer}))
	require.True(t, slices.Equal(build(t, m, 1, Options{}).links0[:3000*32], bigger.links0[:3000*32]))
}

func TestInsertAndSearchTogether(t *testing.T) {
	m := clustered(7, 3000, 8, 20, 0.4)
	g, err := New(Options{Capacity: 3000})
	require.NoError(t, err)
	defer func() { require.NoError(t, g.Free()) }()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var searches atomic.Int64
	for i := range 2 {
		wg.Go(func() {
			var res []Candidate
			for j := i; ctx.Err() == nil; j++ {
				p := Params{Ef: 20}
				if j%2 == 0 {
					p.Accept = func(row uint32) bool { return row%3 == 0 }
				}
				res, _ = g.Search(res[:0], m.with(m.row(uint32(j%3000))), p)
				for k := range res {
					if k > 0 && res[k].Distance < res[k-1].Distance {
						t.Error("results out of order")
					}
				}
				searches.Add(1)
			}
		})
	}
	for first := uint32(0); first < 3000; first += 500 {
		require.NoError(t, g.Insert(t.Context(), Batch{
			First: first, End: first + 500, Workers: 3, Scorers: m.scorer,
			Skip: func(row uint32) bool { return row%100 == 7 },
		}))
	}
	cancel()
	wg.Wait()
	require.Equal(t, 2970, g.Nodes())
	require.Positive(t, searches.Load())
}

func TestOddVectors(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	m := &matrix{k: distance.Detect(), dim: 2}
	for i := range 300 {
		switch i % 5 {
		case 0:
			m.data = append(m.data, nan, 1)
		case 1:
			m.data = append(m.data, inf, float32(i))
		case 2:
			m.data = append(m.data, 0, 0)
		default:
			m.data = append(m.data, float32(i), float32(-i))
		}
	}
	g := build(t, m, 2, Options{M: 4})
	for _, q := range [][]float32{{0, 0}, {nan, nan}, {inf, -inf}} {
		res, _ := g.Search(nil, m.with(q), Params{Ef: 50})
		require.NotEmpty(t, res)
		require.LessOrEqual(t, len(res), 50)
	}
	res, _ := g.Search(nil, m.with([]float32{0, 0}), Params{Ef: 1 << 40})
	require.NotEmpty(t, res)
}

func TestEmptyAndOne(t *testing.T) {
	m := clustered(8, 1, 4, 1, 1)
	g, err := New(Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, g.Free()) }()
	res, _ := g.Search(nil, m.with(m.row(0)), Params{Ef: 10})
	require.Empty(t, res)
	require.NoError(t, g.Insert(t.Context(), Batch{End: 1, Scorers: m.scorer}))
	res, _ = g.Search(nil, m.with(m.row(0)), Params{Ef: 10})
	require.Equal(t, []Candidate{{}}, res)
}

func TestLevelsAreGeometric(t *testing.T) {
	g := &Graph{opts: Options{M: 16}.withDefaults()}
	counts := make([]int, maxLevel+1)
	const n = 1 << 18
	for row := range uint32(n) {
		for l := range g.Level(row) + 1 {
			counts[l]++
		}
	}
	for l, want := 1, float64(n)/16; want > 100; l, want = l+1, want/16 {
		require.InDelta(t, want, counts[l], 6*math.Sqrt(want))
	}
}

func TestStopEndsTheSearch(t *testing.T) {
	m := clustered(9, 3000, 8, 5, 0.5)
	g := build(t, m, 2, Options{})
	asked := 0
	_, stats := g.Search(nil, m.with(m.row(1)), Params{Ef: 3000, Stop: func() bool { asked++; return asked == 2 }})
	require.Equal(t, 2, asked)
	require.Less(t, stats.Hops, 2*stopEvery)
}

func BenchmarkSearch(b *testing.B) {
	m := clustered(1, 20000, 64, 200, 0.5)
	g := build(b, m, 2, Options{})
	for _, ef := range []int{32, 100} {
		b.Run(fmt.Sprintf("ef=%d", ef), func(b *testing.B) {
			var res []Candidate
			sc := m.with(nil)
			for i := 0; b.Loop(); i++ {
				sc.q = m.row(uint32(i % m.len()))
				res, _ = g.Search(res[:0], sc, Params{Ef: ef})
			}
		})
	}
}

func BenchmarkInsert(b *testing.B) {
	m := clustered(1, 5000, 64, 50, 0.5)
	for b.Loop() {
		build(b, m, 1, Options{})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*m.len()), "ns/row")
}

func FuzzHeader(f *testing.F) {
	f.Add(bytes.Repeat([]byte{1, 0}, headerSize/2))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHeader(b); err == nil {
			require.LessOrEqual(t, h.Rows, uint64(MaxRows))
		}
	})
}
