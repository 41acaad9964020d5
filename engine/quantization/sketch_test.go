package quantization_test

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vector/distance"
)

// The sketch of a row as a query is close to its sketch as a row, and far from those of
// other clusters, with all codes that have sketches.
func TestSketchesFollowDistance(t *testing.T) {
	differ := func(a, b distance.Sketch) int { return bits.OnesCount64(a[0]^b[0]) + bits.OnesCount64(a[1]^b[1]) }
	for _, config := range []quantization.Config{{}, {Method: quantization.Turbo}} {
		for _, dim := range []int{64, 100, 128, 300} {
			for _, d := range []data{clustered(dim, 500, 1), heavyTailed(dim, 500, 1)} {
				e := encode(t, d, vector.Euclid, config)
				require.True(t, e.codec.Sketches())
				q := e.codec.NewQuery(e.store.Rows())
				own, others := 0, 0
				for i, row := range d.rows {
					q.Prepare(row)
					own += differ(q.Sketch(), e.codec.Sketch(e.store.Rows(), uint32(i)))
					others += differ(q.Sketch(), e.codec.Sketch(e.store.Rows(), uint32((i+1)%len(d.rows))))
				}
				name := d.name + " " + e.codec.Kind().String()
				// A component next to zero may have either sign; four bits have wide levels.
				require.Less(t, 12*own, others, "%s, %d dimensions: %d, others %d", name, dim, own, others)
				require.Greater(t, others, len(d.rows)*min(dim, 128)/8, "%s, %d dimensions", name, dim)
			}
		}
	}
	require.False(t, encode(t, clustered(32, 100, 1), vector.Euclid, quantization.Config{}).codec.Sketches())
	binary := encode(t, clustered(128, 100, 1), vector.Euclid, quantization.Config{Method: quantization.Binary})
	require.False(t, binary.codec.Sketches())
}
