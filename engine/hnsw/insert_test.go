package hnsw

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// chooseOneByOne is the rule of choose in its plain form: each candidate in turn
// is compared with those chosen before.
func chooseOneByOne(m *matrix, candidates []Candidate, limit int) []Candidate {
	chosen := []Candidate{}
	out := make([]float32, 1)
	pick := func(limit int, factor float32) {
		for _, c := range candidates {
			covered := slices.ContainsFunc(chosen, func(s Candidate) bool {
				m.with(m.row(c.Row)).Score([]uint32{s.Row}, out)
				return s == c || out[0]*factor < c.Distance
			})
			if !covered && len(chosen) < limit {
				chosen = append(chosen, c)
			}
		}
	}
	pick(limit, 1)
	if len(chosen) <= limit/3 {
		pick(limit*3/4, 4)
	}
	for _, c := range candidates {
		if len(chosen) < limit*3/4 && !slices.Contains(chosen, c) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func TestChooseFollowsTheRule(t *testing.T) {
	for _, dim := range []int{2, 8, 64} {
		t.Run(strconv.Itoa(dim), func(t *testing.T) {
			m := clustered(11, 400, dim, 8, 0.7)
			stretch(m, 12)
			g, err := New(Options{Capacity: m.len()})
			require.NoError(t, err)
			defer func() { require.NoError(t, g.Free()) }()
			w := worker{g: g, sc: m.scorer(), s: g.acquire()}
			for row := range uint32(40) {
				for _, n := range []int{0, 1, 5, pickFrom, pickFrom + 1, 300} {
					candidates := make([]Candidate, 0, n)
					for other := range uint32(n) {
						out := make([]float32, 1)
						m.with(m.row(row)).Score([]uint32{other + 100}, out)
						candidates = append(candidates, Candidate{Distance: out[0], Row: other + 100})
					}
					slices.SortStableFunc(candidates, func(a, b Candidate) int { return cmp.Compare(a.Distance, b.Distance) })
					for _, limit := range []int{1, 16, 32} {
						want := chooseOneByOne(m, candidates, limit)
						require.Equal(t, want, append([]Candidate{}, w.choose(candidates, limit, 0)...), "%d of %d", limit, n)
					}
				}
			}
		})
	}
}

// stretch gives the vectors log-normal lengths.
func stretch(m *matrix, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for row := range uint32(m.len()) {
		length := float32(math.Exp(rng.NormFloat64()))
		for j := range m.row(row) {
			m.row(row)[j] *= length
		}
	}
}

// TestNoDeadEndsWithUnequalLengths builds a graph on vectors of very different
// lengths, where the plain rule leaves dead ends.
func TestNoDeadEndsWithUnequalLengths(t *testing.T) {
	const rows = 12000
	m := clustered(13, rows+1000, 64, 200, 0.4)
	stretch(m, 14)
	queries := m.with(nil)
	queries.data, m.data = m.data[rows*m.dim:], m.data[:rows*m.dim]
	g := build(t, m, 1, Options{Seed: 1, EfConstruct: 128})
	reached, queue := make([]bool, m.len()), slices.Clone(g.upRow[:g.slots])
	for len(queue) > 0 {
		row := queue[0]
		queue = queue[1:]
		if !reached[row] {
			reached[row] = true
			queue = append(queue, g.load0(row)...)
		}
	}
	lost := 0
	for _, r := range reached {
		if !r {
			lost++
		}
	}
	share, zero := recall(m, g, queries, Params{Ef: 40})
	t.Logf("recall %.4f, zero %d, lost %d", share, zero, lost)
	require.Zero(t, zero)
	require.Greater(t, share, 0.998)
	require.Zero(t, lost)
}

// load0 returns a copy of a row's list.
func (g *Graph) load0(row uint32) []uint32 {
	list := g.list0(row)
	if end := slices.Index(list, none); end >= 0 {
		list = list[:end]
	}
	return slices.Clone(list)
}
