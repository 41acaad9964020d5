package vector_test

import (
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/vector"
)

// Bits hold what the bitmap does, whatever the memory held before, and not more than
// fits.
func TestBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		docs := roaring.BitmapOf(rapid.SliceOf(rapid.Uint32Range(0, 1<<18)).Draw(t, "docs")...)
		used := rapid.SliceOfN(rapid.Just(^uint64(0)), 0, 5000).Draw(t, "used")
		bits, few := vector.Bits(docs, used)
		require.True(t, few)
		n := uint64(0)
		for at, word := range bits {
			for i := range 64 {
				if word>>i&1 != 0 {
					require.True(t, docs.Contains(uint32(64*at+i)))
					n++
				}
			}
		}
		require.Equal(t, docs.GetCardinality(), n)
	})
	bits, few := vector.Bits(roaring.BitmapOf(1, 1<<31), nil)
	require.False(t, few)
	require.Empty(t, bits)
}
