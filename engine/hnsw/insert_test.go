package hnsw

import (
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// chooseOneByOne is the rule of choose in its plain form: each candidate in turn
// is compared with those chosen before.
func chooseOneByOne(m *matrix, candidates []Candidate, limit int) []Candidate {
	chosen, left := []Candidate{}, []Candidate{}
	out := make([]float32, 1)
	for _, c := range candidates {
		if len(chosen) == limit {
			break
		}
		covered := slices.ContainsFunc(chosen, func(s Candidate) bool {
			m.with(m.row(c.Row)).Score([]uint32{s.Row}, out)
			return out[0] < c.Distance
		})
		if covered {
			left = append(left, c)
		} else {
			chosen = append(chosen, c)
		}
	}
	for len(chosen) < limit*3/4 && len(left) > 0 {
		chosen, left = append(chosen, left[0]), left[1:]
	}
	return chosen
}

func TestChooseFollowsTheRule(t *testing.T) {
	for _, dim := range []int{2, 8, 64} {
		t.Run(strconv.Itoa(dim), func(t *testing.T) {
			m := clustered(11, 400, dim, 8, 0.7)
			g, err := New(Options{Capacity: m.len()})
			require.NoError(t, err)
			defer func() { require.NoError(t, g.Free()) }()
			w := worker{g: g, sc: m.scorer(), s: g.acquire()}
			for row := range uint32(40) {
				for _, n := range []int{0, 1, 5, chooseAtATime, chooseAtATime + 1, 300} {
					candidates := make([]Candidate, 0, n)
					for other := range uint32(n) {
						out := make([]float32, 1)
						m.with(m.row(row)).Score([]uint32{other + 100}, out)
						candidates = insertSorted(candidates, Candidate{out[0], other + 100})
					}
					for _, limit := range []int{1, 16, 32} {
						want := chooseOneByOne(m, candidates, limit)
						require.Equal(t, want, append([]Candidate{}, w.choose(candidates, limit, 0)...), "%d of %d", limit, n)
					}
				}
			}
		})
	}
}
