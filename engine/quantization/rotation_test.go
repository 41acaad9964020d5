package quantization

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

func TestRotationKeepsProductsAndDistances(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dim := rapid.OneOf(rapid.IntRange(1, 300), rapid.SampledFrom([]int{384, 768, 1000, 1024})).Draw(r, "dim")
		seed := rapid.Uint64().Draw(r, "seed")
		rot := newRotation(distance.Detect(), dim, seed)
		random := rand.New(rand.NewPCG(seed, 1))
		a, b := make([]float32, dim), make([]float32, dim)
		for i := range a {
			a[i], b[i] = float32(random.NormFloat64()), float32(random.NormFloat64())
		}
		length, product, apart := norm(a), inner(a, b), inner(a, a)+inner(b, b)-2*inner(a, b)
		rot.apply(a)
		rot.apply(b)
		require.InEpsilon(r, length, norm(a), 1e-4)
		require.InDelta(r, product, inner(a, b), 1e-4*length)
		require.InDelta(r, apart, inner(a, a)+inner(b, b)-2*inner(a, b), 1e-4*(length+apart))
	})
}

// A vector of one component must end up spread over all: that is what the
// rotation is for.
func TestRotationSpreads(t *testing.T) {
	for _, dim := range []int{2, 3, 17, 100, 128, 768, 1000, 1536} {
		rot := newRotation(distance.Detect(), dim, 9)
		for at := 0; at < dim; at += 1 + dim/20 {
			v := make([]float32, dim)
			v[at] = 1
			rot.apply(v)
			if dim >= 100 {
				require.Less(t, float64(largest(v)), 7/math.Sqrt(float64(dim)), "dimension %d component %d", dim, at)
			}
		}
	}
}

func TestRotationIsFixedBySeed(t *testing.T) {
	for _, tier := range distance.Available() {
		k, err := distance.New(tier)
		require.NoError(t, err)
		for _, dim := range []int{1, 5, 16, 100, 768} {
			a, b := make([]float32, dim), make([]float32, dim)
			for i := range a {
				a[i] = float32(i%7) - 2.5
				b[i] = a[i]
			}
			generic, err := distance.New(distance.Generic)
			require.NoError(t, err)
			newRotation(k, dim, 77).apply(a)
			newRotation(generic, dim, 77).apply(b)
			require.Equal(t, b, a, "tier %s dimension %d", tier, dim)
		}
	}
}

func inner(a, b []float32) float64 {
	var s float64
	for i, x := range a {
		s += float64(x) * float64(b[i])
	}
	return s
}

func BenchmarkRotation(b *testing.B) {
	for _, dim := range []int{128, 768, 1536} {
		b.Run(itoa(dim), func(b *testing.B) {
			rot, v := newRotation(distance.Detect(), dim, 1), make([]float32, dim)
			for b.Loop() {
				rot.apply(v)
			}
		})
	}
}

func itoa(n int) string {
	return string(append([]byte("d="), []byte{byte('0' + n/1000%10), byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)}...))
}
