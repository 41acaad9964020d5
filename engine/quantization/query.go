package quantization

import (
	"unsafe"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// Query scores rows of codes against one vector. It is made once and prepared
// again for each search: Prepare, PrepareRow and Score allocate nothing. It is for
// one goroutine at a time.
type Query struct {
	codec *Codec
	rows  Rows

	w []float32 // the vector, rotated and less the mean

	// code is the query for the kernels: unsigned codes for Uniform7, signed
	// integers for Scaled. It may point into a row.
	code unsafe.Pointer
	// own is the aligned buffer for code; planes of the Bits kinds lie in it one
	// segment group after the other.
	own []byte

	// distance of a row = base + useBias·bias + scale·(mul·sum + add), where sum is
	// the integer sum over the row's code, and bias and scale are its factors.
	base, useBias float32
	mul, add      float32

	// Of the Bits kinds: the query as signed integers; the number of its planes, 0 =
	// the code is compared by Hamming distance; Σ level·integer; sums of a segment.
	values  []int8
	planes  int
	level   float32
	partial []float32
}

// scoreChunk is the number of rows scored between two applications of factors.
const scoreChunk = 64

// NewQuery returns a query that scores the given rows.
func (c *Codec) NewQuery(rows Rows) *Query {
	q := &Query{codec: c, rows: rows, w: make([]float32, c.dim)}
	size := pad(c.dim, 2*distance.CodeAlign)
	if len(c.segments) > 0 {
		size = 8 * c.RowSize()
		q.values = make([]int8, pad(c.dim, 8))[:c.dim]
		q.partial = make([]float32, scoreChunk)
	}
	q.own = aligned(size)
	q.code = unsafe.Pointer(unsafe.SliceData(q.own))
	return q
}

// Bind makes the query score other rows of the same codec, such as those of a
// larger mapping.
func (q *Query) Bind(rows Rows) { q.rows = rows }

// Prepare makes v the query. len(v) is the codec's dimension.
func (q *Query) Prepare(v []float32) {
	c := q.codec
	c.rotate(q.w, v)
	q.code = unsafe.Pointer(unsafe.SliceData(q.own))
	switch {
	case c.kind == Uniform7:
		c.kernels.ToU7(q.own, q.w, 1/c.step)
		q.mul = c.step * c.step
	case len(c.segments) > 0:
		unit := q.quantizeBits()
		q.setFactors(unit)
	default:
		unit := quantizeSigned(q.signed(), q.w, 127)
		q.setFactors(unit)
	}
}

// setFactors sets the constants for an external query whose integers are worth
// unit each.
func (q *Query) setFactors(unit float32) {
	c := q.codec
	if c.metric == metricL2 {
		q.base, q.useBias = float32(norm(q.w)), 1
		q.setUnit(2 * unit)
		return
	}
	// −q·x = −(w+m)·(x'+m) = −(w+m)·m − m·x' − w·x', with x' the centred row. The
	// second term is the row's bias, known exactly, so only w·x' is estimated.
	q.base, q.useBias = -c.kernels.Dot(q.w, c.mean)-c.meanNorm, 1
	q.setUnit(unit)
}

// setUnit sets how integer sums become the product term of a distance.
func (q *Query) setUnit(unit float32) {
	c := q.codec
	q.mul, q.add = -unit, 0
	if len(c.segments) > 0 {
		q.add = unit * q.level
		return
	}
	sum := 0
	for _, x := range q.signed()[:c.dim] {
		sum += int(x)
	}
	q.add = unit * c.middle() * float32(sum)
}

// PrepareRow makes row id the query: its code serves as the vector. Distances
// between rows are symmetric up to rounding.
func (q *Query) PrepareRow(id uint32) {
	c := q.codec
	row := c.row(q.rows, id)
	if c.kind == Uniform7 {
		q.code = unsafe.Pointer(unsafe.SliceData(row))
		q.mul = c.step * c.step
		return
	}
	f := factorsOf(q.rows, id)
	unit := f.scale * c.shrinkage()
	q.code = unsafe.Pointer(unsafe.SliceData(q.own))
	switch {
	case len(c.segments) > 0:
		unit *= q.bitsOfRow(row)
	case c.kind == Scaled4:
		unpackSigned4(q.own, row)
		unit /= 2
	default:
		unpackSigned7(q.own, row)
		clear(q.own[c.dim:])
	}
	q.base, q.useBias = f.bias, 1
	if c.metric == metricL2 {
		unit *= 2
	} else {
		q.base -= c.meanNorm
	}
	q.setUnit(unit)
}

// signed is the own buffer as signed integers.
func (q *Query) signed() []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(q.own))), len(q.own))
}

// Score writes the distance of each row to out. Whoever has rows that lie anywhere
// calls Ask before. Both have the form that a graph wants of its scorer.
func (q *Query) Score(ids []uint32, out []float32) {
	out = out[:len(ids)]
	c := q.codec
	size := c.RowSize()
	if c.kind == Uniform7 {
		code := unsafe.Slice((*byte)(q.code), size)
		c.kernels.L2U7IDs(code, q.rows.Codes, size, ids, q.mul, out)
		return
	}
	for len(ids) > 0 {
		n := min(len(ids), scoreChunk)
		switch c.kind {
		case Scaled7:
			c.kernels.DotU7IDs(q.signed()[:size], q.rows.Codes, size, ids[:n], q.mul, q.add, out[:n])
		case Scaled4:
			c.kernels.DotU4IDs(q.signed()[:2*size], q.rows.Codes, size, ids[:n], q.mul, q.add, out[:n])
		default:
			q.scoreBits(ids[:n], out[:n])
		}
		all := q.rows.Factors
		for i, id := range ids[:n] {
			f := (*factors)(unsafe.Add(all, int(id)*int(unsafe.Sizeof(factors{}))))
			out[i] = q.base + q.useBias*f.bias + f.scale*out[i]
		}
		ids, out = ids[n:], out[n:]
	}
}

// ScoreRange writes the distances of the rows first, first+1, … to out, for a scan.
func (q *Query) ScoreRange(first uint32, out []float32) {
	c := q.codec
	size := c.RowSize()
	if c.kind == Uniform7 {
		code := unsafe.Slice((*byte)(q.code), size)
		c.kernels.L2U7Range(code, q.rows.Codes, size, first, q.mul, out)
		return
	}
	switch c.kind {
	case Scaled7:
		c.kernels.DotU7Range(q.signed()[:size], q.rows.Codes, size, first, q.mul, q.add, out)
	case Scaled4:
		c.kernels.DotU4Range(q.signed()[:2*size], q.rows.Codes, size, first, q.mul, q.add, out)
	default:
		q.scanBits(first, out)
	}
	all := unsafe.Slice((*factors)(unsafe.Add(q.rows.Factors, int(first)*int(unsafe.Sizeof(factors{})))), len(out))
	for i, f := range all {
		out[i] = q.base + q.useBias*f.bias + f.scale*out[i]
	}
}

// Ask starts to load the codes of rows that are scored soon. Score doesn't do that.
func (q *Query) Ask(ids []uint32) {
	size := q.codec.RowSize()
	q.codec.kernels.Ask(q.rows.Codes, size, size, ids)
}

// quantizeSigned writes w as integers −top … top and returns what one is worth.
func quantizeSigned(dst []int8, w []float32, top float32) float32 {
	most := largest(w)
	if most == 0 {
		clear(dst[:len(w)])
		return 0
	}
	inverse := top / most
	for j, x := range w {
		// The offset makes the conversion, which truncates, round to nearest.
		dst[j] = int8(int32(x*inverse+256.5) - 256)
	}
	return most / top
}

// unpackSigned7 writes code − 64 for eight codes at a time. Setting the top bit
// keeps the subtraction of a byte from borrowing from its neighbour.
func unpackSigned7(dst, row []byte) {
	const top, half = 0x8080808080808080, 0x4040404040404040
	to := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(dst))), len(row)/8)
	from := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(row))), len(row)/8)
	for i, x := range from {
		to[i] = ((x | top) - half) ^ top
	}
}

// unpackSigned4 writes 2·code − 15, which is twice the code's value, for eight codes
// at a time as unpackSigned7. Padding becomes −15, which the zeros of rows cancel.
func unpackSigned4(dst, row []byte) {
	const top, fifteen, nibbles = 0x8080808080808080, 0x0f0f0f0f0f0f0f0f, 0x0f0f0f0f0f0f0f0f
	const words = distance.CodeAlign / 8
	to, from := words64(dst, len(dst)/8), words64(row, len(row)/8)
	for i, x := range from {
		at := i/words*2*words + i%words
		to[at] = ((x&nibbles)<<1 | top) - fifteen ^ top
		to[at+words] = ((x>>4&nibbles)<<1 | top) - fifteen ^ top
	}
}

// aligned returns n zero bytes that start at a cache line.
func aligned(n int) []byte {
	b := make([]byte, n+63)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63)
	return b[skip : skip+n : skip+n]
}
