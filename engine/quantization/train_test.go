package quantization

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A magnitude is what sorting finds at its position.
func TestMagnitude(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(rapid.OneOf(rapid.Float32(), rapid.Float32Range(-1, 1), rapid.SampledFrom([]float32{0, 1, -1})), 1, 300).Draw(t, "numbers")
		sorted := make([]float32, len(numbers))
		for i, x := range numbers {
			sorted[i] = float32(math.Abs(float64(x)))
		}
		slices.Sort(sorted)
		at := rapid.IntRange(0, len(numbers)-1).Draw(t, "at")
		require.Equal(t, math.Float32bits(sorted[at]), math.Float32bits(magnitude(numbers, at)))
	})
}
