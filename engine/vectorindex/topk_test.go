package vectorindex

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The nearest are the same whatever order they come in, few or many, and those of equal
// distance are the ones with smaller rows.
func TestNearestKeepsTheNearest(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, k := range []int{0, 1, 2, 10, fewItems, fewItems + 1, 200} {
		for _, count := range []int{0, 1, k, k + 1, 500} {
			all := make([]candidate, count)
			for i, row := range rng.Perm(count) {
				all[i] = candidate{float32(rng.IntN(100)), uint32(row)}
			}
			want := slices.Clone(all)
			slices.SortFunc(want, func(a, b candidate) int {
				if farther(a, b) {
					return 1
				}
				return -1
			})
			want = want[:min(k, count)]
			for order := range 4 {
				slices.SortFunc(all, func(a, b candidate) int { return int(a.distance - b.distance) })
				if order > 0 {
					rng.Shuffle(count, func(i, j int) { all[i], all[j] = all[j], all[i] })
				}
				var n nearest
				n.reset(k)
				for i, c := range all {
					bound := n.bound()
					switch {
					case i < k:
						require.True(t, math.IsInf(float64(bound), 1))
					case k == 0:
						require.True(t, math.IsInf(float64(bound), -1))
					}
					n.offer(c)
				}
				if k > 0 && count >= k {
					require.Equal(t, math.Float32bits(want[k-1].distance), math.Float32bits(n.bound()))
				}
				got := n.drain()
				require.ElementsMatch(t, want, got)
				require.True(t, slices.IsSortedFunc(got, func(a, b candidate) int { return int(a.distance - b.distance) }))
			}
		}
	}
}
