package distance

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A list has what a stable sort puts first, and says where it changed.
func TestInsertNear(t *testing.T) {
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				limit := rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, 3*halved)).Draw(t, "limit")
				most := rapid.SampledFrom([]float32{5, 500}).Draw(t, "most")
				distances := rapid.SliceOfN(rapid.Float32Range(-most, most), 0, 2*limit).Draw(t, "distances")
				odd := rapid.SliceOfN(rapid.IntRange(0, 2*limit), 0, 3).Draw(t, "odd")
				for i := range distances {
					distances[i] = float32(int(distances[i])) // some are equal
				}
				for i, at := range odd {
					if at < len(distances) {
						distances[at] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[i]
					}
				}
				const guard = 0xfeedbeef
				room := make([]Near, limit+1)
				room[limit].Row = guard
				list := room[:0:limit]
				var all []Near
				for len(all) < len(distances) {
					from := len(all)
					to := min(len(distances), from+rapid.IntRange(1, 20).Draw(t, "rows"))
					rows := make([]uint32, 0, to-from)
					for i, d := range distances[from:to] {
						if d != d { // not a number
							d = float32(math.Inf(1))
						}
						rows = append(rows, uint32(from+i))
						all = append(all, Near{d, uint32(from + i)})
					}
					before := slices.Clone(list)
					var low int
					list, low = k.InsertNear(list, limit, rows, distances[from:to])
					want := slices.Clone(all)
					slices.SortStableFunc(want, func(a, b Near) int { return cmp.Compare(a.Distance, b.Distance) })
					require.Equal(t, want[:min(limit, len(want))], slices.Clone(list))
					same := 0
					for same < len(before) && before[same] == list[same] {
						same++
					}
					require.Equal(t, same, low)
				}
				require.EqualValues(t, guard, room[limit].Row)
			})
		})
	}
}

// A build inserts into 200 candidates, two of eight rows.
func BenchmarkInsertNear(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var rows [insertedAtOnce]uint32
	groups := make([][insertedAtOnce]float32, 1<<12)
	for i := range groups {
		for j := range groups[i] {
			groups[i][j] = rng.Float32() * 4
		}
	}
	start := make([]Near, 200)
	for i := range start {
		start[i].Distance = rng.Float32()
	}
	slices.SortFunc(start, func(a, b Near) int { return cmp.Compare(a.Distance, b.Distance) })
	for _, tier := range Available() {
		k, err := New(tier)
		require.NoError(b, err)
		b.Run(tier.String(), func(b *testing.B) {
			list := slices.Clone(start)
			for i := 0; b.Loop(); i++ {
				if i%16 == 0 {
					copy(list, start)
				}
				list, _ = k.InsertNear(list, len(list), rows[:], groups[i%len(groups)][:])
			}
		})
	}
}
