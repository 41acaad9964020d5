package vector_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vector/distance"
)

var (
	distances = []vector.Distance{vector.Cosine, vector.Euclid, vector.Dot, vector.Manhattan}
	datatypes = []vector.Datatype{vector.Float32, vector.Float16, vector.Uint8}
)

func TestFinish(t *testing.T) {
	require.InDelta(t, 3, vector.Euclid.Finish(-9), 0)
	require.InDelta(t, 9, vector.Manhattan.Finish(-9), 0)
	require.InDelta(t, -9, vector.Dot.Finish(-9), 0)
	require.InDelta(t, 0.5, vector.Cosine.Finish(0.5), 0)
	for _, d := range distances {
		require.InDelta(t, 4, d.Finish(d.Unfinish(4)), 0)
		require.Equal(t, d.Unfinish(4) < d.Unfinish(2), d.Ascending(), "larger is better inside")
	}
}

func TestBytesTruncateAndSaturate(t *testing.T) {
	in := []float32{256, -1, 1.9, 0.99, 255, 254.99, 1e30, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
	want := []uint8{255, 0, 1, 0, 255, 254, 255, 255, 0, 0}
	row := make([]byte, len(in))
	require.NoError(t, vector.Uint8.Encode(distance.Detect(), row, in))
	require.Equal(t, want, row)
}

func TestEncodeDecode(t *testing.T) {
	k := distance.Detect()
	rapid.Check(t, func(r *rapid.T) {
		v := rapid.SliceOfN(rapid.Float32Range(0, 255), 1, 100).Draw(r, "vector")
		for _, dt := range datatypes {
			row := make([]byte, dt.RowSize(len(v)))
			require.Zero(r, len(row)%vector.RowAlign)
			require.NoError(r, dt.Encode(k, row, v))
			got, err := dt.Decode(k, []float32{7}, row, len(v))
			require.NoError(r, err)
			require.InDelta(r, 7, got[0], 0)
			for i, x := range v {
				switch dt {
				case vector.Float32:
					require.InDelta(r, x, got[i+1], 0)
				case vector.Float16:
					require.InDelta(r, x, got[i+1], float64(x)/2048+1e-7)
				case vector.Uint8:
					require.InDelta(r, math.Trunc(float64(x)), got[i+1], 0)
				}
			}
			again := make([]byte, len(row))
			require.NoError(r, dt.Encode(k, again, got[1:]))
			require.Equal(r, row, again, "a decoded row encodes to itself")
			require.ErrorIs(r, dt.Encode(k, row[:len(v)*dt.Size()-1], v), vector.ErrRowSize)
			_, err = dt.Decode(k, nil, row, len(row)+1)
			require.ErrorIs(r, err, vector.ErrRowSize)
		}
	})
}
