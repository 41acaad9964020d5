package distance

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Codes of seven bits are the same on every tier, of any number of components, and
// clipped ones are counted.
func TestToU7(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	odd := []float32{
		float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), -32.25, -32.249998, 31.75, 31.749998, 31.5, 0,
		math.MaxFloat32, -math.MaxFloat32,
	}
	for _, k := range tiers(t) {
		for _, n := range dims() {
			src, dst := make([]float32, n), make([]byte, n+1)
			want, clipped := make([]byte, n+1), 0
			for i := range src {
				src[i] = float32(rng.NormFloat64() * 16)
				if rng.IntN(4) == 0 {
					src[i] = odd[rng.IntN(len(odd))]
				}
				u := float32(src[i]*2) + 64.5
				switch {
				case !(u >= 0):
					clipped++
				case u >= 128:
					want[i] = 127
					clipped++
				default:
					want[i] = byte(u)
				}
			}
			dst[n], want[n] = 200, 200
			require.Equal(t, clipped, k.ToU7(dst, src, 2), "%s, %d components", k.Tier(), n)
			require.Equal(t, want, dst, "%s, %d components", k.Tier(), n)
		}
	}
}

func TestSubtract(t *testing.T) {
	for _, k := range tiers(t) {
		for _, n := range dims() {
			xs, ys, want := make([]float32, n), make([]float32, n), make([]float32, n)
			for i := range xs {
				xs[i], ys[i] = float32(i)/3, float32(n-i)/7
				want[i] = xs[i] - ys[i]
			}
			k.Subtract(xs, ys)
			require.Equal(t, want, xs, "%s, %d components", k.Tier(), n)
		}
	}
}
