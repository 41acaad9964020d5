package vectorindex

import (
	"math"
	"math/bits"
	"unsafe"

	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vector/distance"
	"github.com/sextantdb/sextant/internal/arena"
)

// format is how raw rows lie in memory and in files: Dim elements of the
// datatype, little-endian, padded with zeros to the stride.
type format struct {
	kernels  *distance.Kernels // for rows that are asked for, see distance.Kernels.Asked
	dim      int
	distance vector.Distance
	datatype vector.Datatype
	stride   int
	// shift is log2 of the rows of a chunk.
	shift uint
}

// minChunkRows bounds the rows of a chunk from below: dead bits come in words.
const minChunkRows = 128

// maxChunkRows bounds the rows of a chunk for short rows.
const maxChunkRows = 1 << 18

func newFormat(k *distance.Kernels, c Config, chunkBytes int) *format {
	f := &format{kernels: k.Asked(), dim: c.Dim, distance: c.Distance, datatype: c.Datatype}
	size := c.Dim * f.elementSize()
	f.stride = (size + 63) &^ 63
	if f.stride-size > size/8 {
		f.stride = (size + 15) &^ 15 // short rows: memory before alignment
	}
	rows := min(max(chunkBytes/f.stride, minChunkRows), maxChunkRows)
	f.shift = uint(bits.Len(uint(rows)) - 1)
	return f
}

func (f *format) elementSize() int {
	switch f.datatype {
	case vector.Float16:
		return 2
	case vector.Uint8:
		return 1
	case vector.Float32:
	}
	return 4
}

// chunkRows returns the number of rows of a full chunk.
func (f *format) chunkRows() int { return 1 << f.shift }

// encode writes a vector as a row. A vector for Cosine is normalised before,
// unless elements are bytes: those keep their length, and the kernels divide.
func (f *format) encode(row []byte, v []float32) {
	switch f.datatype {
	case vector.Float16:
		f.kernels.ToF16(arena.View[uint16](row)[:f.dim], v)
	case vector.Uint8:
		toBytes(row, v)
	case vector.Float32:
		copy(arena.View[float32](row), v)
	}
}

// toBytes converts with truncation and saturation; NaN becomes 0.
func toBytes(dst []byte, v []float32) {
	for i, x := range v {
		switch {
		case x >= 255:
			dst[i] = 255
		case x > 0:
			dst[i] = byte(x)
		default:
			dst[i] = 0
		}
	}
}

// decode reads a row as float32 into dst, which has dim elements.
func (f *format) decode(dst []float32, row unsafe.Pointer) {
	switch f.datatype {
	case vector.Float16:
		f.kernels.FromF16(dst, unsafe.Slice((*uint16)(row), f.dim))
	case vector.Uint8:
		for i, x := range unsafe.Slice((*byte)(row), f.dim) {
			dst[i] = float32(x)
		}
	case vector.Float32:
		copy(dst, unsafe.Slice((*float32)(row), f.dim))
	}
}

// decodeForCodes is decode, normalised where the codec expects unit vectors.
func (f *format) decodeForCodes(dst []float32, row unsafe.Pointer) {
	f.decode(dst, row)
	if f.distance == vector.Cosine && f.datatype == vector.Uint8 {
		distance.Normalize(dst)
	}
}

// rawQuery is a query in the form in which raw rows are compared.
type rawQuery struct {
	f     *format
	float []float32
	bytes []byte
}

// prepare makes v the query. It copies v, which is not changed.
func (q *rawQuery) prepare(f *format, v []float32) {
	q.f = f
	q.float = append(q.float[:0], v...)
	if f.datatype == vector.Uint8 {
		if cap(q.bytes) < len(v) {
			q.bytes = make([]byte, len(v))
		}
		q.bytes = q.bytes[:len(v)]
		toBytes(q.bytes, v)
		for i, x := range q.bytes {
			q.float[i] = float32(x)
		}
	}
	if f.distance == vector.Cosine {
		distance.Normalize(q.float)
	}
}

// prepareRow makes a row the query. The row must stay where it is.
func (q *rawQuery) prepareRow(f *format, row unsafe.Pointer) {
	q.f = f
	switch f.datatype {
	case vector.Uint8:
		q.bytes = unsafe.Slice((*byte)(row), f.dim)
	case vector.Float32:
		q.float = unsafe.Slice((*float32)(row), f.dim)
	case vector.Float16:
		if cap(q.float) < f.dim {
			q.float = make([]float32, f.dim)
		}
		q.float = q.float[:f.dim]
		f.decode(q.float, row)
	}
}

// distances writes the distance (smaller is nearer: minus the score) of rows
// relative to base. NaN becomes +Inf, so that it sorts last everywhere.
func (q *rawQuery) distances(base unsafe.Pointer, rows []uint32, out []float32) {
	f, k, out := q.f, q.f.kernels, out[:len(rows)]
	switch f.datatype {
	case vector.Float32:
		switch f.distance {
		case vector.Euclid:
			k.L2IDs(q.float, base, f.stride, rows, out)
		case vector.Manhattan:
			k.L1IDs(q.float, base, f.stride, rows, out)
		default:
			k.DotIDs(q.float, base, f.stride, rows, out)
		}
	case vector.Float16:
		switch f.distance {
		case vector.Euclid:
			k.L2F16IDs(q.float, base, f.stride, rows, out)
		case vector.Manhattan:
			k.L1F16IDs(q.float, base, f.stride, rows, out)
		default:
			k.DotF16IDs(q.float, base, f.stride, rows, out)
		}
	case vector.Uint8:
		switch f.distance {
		case vector.Euclid:
			k.L2U8IDs(q.bytes, base, f.stride, rows, out)
		case vector.Manhattan:
			k.L1U8IDs(q.bytes, base, f.stride, rows, out)
		case vector.Dot:
			k.DotU8IDs(q.bytes, base, f.stride, rows, out)
		default:
			k.CosineU8IDs(q.bytes, base, f.stride, rows, out)
		}
	}
	f.toDistances(out)
}

// distancesRange is distances for the rows first, first+1, ….
func (q *rawQuery) distancesRange(base unsafe.Pointer, first uint32, out []float32) {
	f, k := q.f, q.f.kernels
	switch f.datatype {
	case vector.Float32:
		switch f.distance {
		case vector.Euclid:
			k.L2Range(q.float, base, f.stride, first, out)
		case vector.Manhattan:
			k.L1Range(q.float, base, f.stride, first, out)
		default:
			k.DotRange(q.float, base, f.stride, first, out)
		}
	case vector.Float16:
		switch f.distance {
		case vector.Euclid:
			k.L2F16Range(q.float, base, f.stride, first, out)
		case vector.Manhattan:
			k.L1F16Range(q.float, base, f.stride, first, out)
		default:
			k.DotF16Range(q.float, base, f.stride, first, out)
		}
	case vector.Uint8:
		switch f.distance {
		case vector.Euclid:
			k.L2U8Range(q.bytes, base, f.stride, first, out)
		case vector.Manhattan:
			k.L1U8Range(q.bytes, base, f.stride, first, out)
		case vector.Dot:
			k.DotU8Range(q.bytes, base, f.stride, first, out)
		default:
			k.CosineU8Range(q.bytes, base, f.stride, first, out)
		}
	}
	f.toDistances(out)
}

// toDistances turns what kernels return into distances: inner products change
// their sign, the others are distances already.
func (f *format) toDistances(out []float32) {
	negate := f.distance == vector.Dot || f.distance == vector.Cosine
	for i, d := range out {
		if negate {
			d = -d
		}
		if d != d { // NaN
			d = float32(math.Inf(1))
		}
		out[i] = d
	}
}

// toScore turns a distance into a score, larger is better. An infinite distance
// (of a vector that isn't finite) becomes the lowest finite score: infinities
// have no place in JSON.
func toScore(d float32) float32 {
	return max(min(-d, math.MaxFloat32), -math.MaxFloat32)
}
