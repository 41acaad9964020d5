package vector

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// String returns the distance's name in the public API.
func (d Distance) String() string {
	switch d {
	case Cosine:
		return "Cosine"
	case Euclid:
		return "Euclid"
	case Dot:
		return "Dot"
	case Manhattan:
		return "Manhattan"
	}
	return fmt.Sprintf("Distance(%d)", uint8(d))
}

// Finish turns a score of the engine, larger-is-better, into the one that clients
// see: the distance itself for Euclid and Manhattan.
func (d Distance) Finish(score float32) float32 {
	switch d {
	case Euclid:
		return float32(math.Sqrt(math.Abs(float64(score))))
	case Manhattan:
		return float32(math.Abs(float64(score)))
	case Cosine, Dot:
	}
	return score
}

// Unfinish is the inverse of Finish, for thresholds that clients give.
func (d Distance) Unfinish(score float32) float32 {
	switch d {
	case Euclid:
		return -score * score
	case Manhattan:
		return -score
	case Cosine, Dot:
	}
	return score
}

// Ascending tells whether clients see smaller scores first.
func (d Distance) Ascending() bool { return d == Euclid || d == Manhattan }

// ErrRowSize says that bytes are not a whole row.
var ErrRowSize = errors.New("row has the wrong size")

// String returns the datatype's name in the public API.
func (t Datatype) String() string {
	switch t {
	case Float32:
		return "float32"
	case Float16:
		return "float16"
	case Uint8:
		return "uint8"
	}
	return fmt.Sprintf("Datatype(%d)", uint8(t))
}

// Size returns the bytes of an element.
func (t Datatype) Size() int {
	switch t {
	case Float16:
		return 2
	case Uint8:
		return 1
	case Float32:
	}
	return 4
}

// RowAlign is the multiple of bytes at which rows start: a cache line.
const RowAlign = 64

// RowSize returns the bytes from one row to the next for vectors of a dimension.
func (t Datatype) RowSize(dim int) int {
	return (dim*t.Size() + RowAlign - 1) / RowAlign * RowAlign
}

// Encode writes v as elements of type t to the start of row, which must be aligned
// to the element. float16 rounds to nearest even; uint8 truncates towards zero and
// saturates: 256 becomes 255, −1 and NaN become 0.
func (t Datatype) Encode(k *distance.Kernels, row []byte, v []float32) error {
	if len(row) < len(v)*t.Size() {
		return fmt.Errorf("encode %d elements of %s in %d bytes: %w", len(v), t, len(row), ErrRowSize)
	}
	switch t {
	case Float16:
		k.ToF16(as[uint16](row, len(v)), v)
	case Uint8:
		for i, x := range v {
			row[i] = toByte(x)
		}
	case Float32:
		copy(as[float32](row, len(v)), v)
	default:
		return fmt.Errorf("encode %s: %w", t, ErrRowSize)
	}
	return nil
}

// Decode appends the first dim elements of a row to dst.
func (t Datatype) Decode(k *distance.Kernels, dst []float32, row []byte, dim int) ([]float32, error) {
	if dim < 0 || len(row) < dim*t.Size() {
		return dst, fmt.Errorf("decode %d elements of %s from %d bytes: %w", dim, t, len(row), ErrRowSize)
	}
	switch t {
	case Float16:
		n := len(dst)
		dst = append(dst, make([]float32, dim)...)
		k.FromF16(dst[n:], as[uint16](row, dim))
	case Uint8:
		for _, x := range row[:dim] {
			dst = append(dst, float32(x))
		}
	case Float32:
		dst = append(dst, as[float32](row, dim)...)
	default:
		return dst, fmt.Errorf("decode %s: %w", t, ErrRowSize)
	}
	return dst, nil
}

func as[T any](row []byte, n int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(row))), n)
}

// toByte truncates and saturates.
func toByte(x float32) uint8 {
	switch {
	case x >= 255:
		return 255
	case x >= 1:
		return uint8(x)
	}
	return 0
}
