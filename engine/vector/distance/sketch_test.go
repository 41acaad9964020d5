package distance

import (
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The first of the nearest sketches is found, of any number and by every tier.
func TestNearestSketch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() Sketch { return Sketch{rng.Uint64(), rng.Uint64()} }
	for _, k := range tiers(t) {
		require.Equal(t, -1, k.NearestSketch(draw(), nil))
		for n := 1; n < 70; n++ {
			q, all := draw(), make([]Sketch, n)
			for i := range all {
				all[i] = draw()
				if rng.IntN(3) == 0 {
					all[i] = all[rng.IntN(i+1)] // equal ones: the first wins
				}
			}
			if n%5 == 0 {
				all[n-1] = Sketch{^q[0], ^q[1]} // the farthest there is
			}
			best, least := -1, 129
			for i, s := range all {
				if d := bits.OnesCount64(s[0]^q[0]) + bits.OnesCount64(s[1]^q[1]); d < least {
					best, least = i, d
				}
			}
			require.Equal(t, best, k.NearestSketch(q, all), "%s, %d sketches", k.Tier(), n)
			require.Zero(t, k.NearestSketch(q, []Sketch{{^q[0], ^q[1]}}))
		}
	}
}

// What it costs to look at all entries of a graph.
func BenchmarkNearestSketch(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 4))
	all := make([]Sketch, 4096)
	for i := range all {
		all[i] = Sketch{rng.Uint64(), rng.Uint64()}
	}
	for _, tier := range Available() {
		k, err := New(tier)
		require.NoError(b, err)
		b.Run(tier.String(), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if k.NearestSketch(all[i%len(all)], all) < 0 {
					b.Fatal("none is nearest")
				}
			}
		})
	}
}
