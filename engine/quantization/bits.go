package quantization

import (
	"math/bits"
	"unsafe"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// Queries against codes of one and two bits are kept as bit planes, so that a
// segment of a row is weighed against all components at once: for each plane an AND
// and a population count. See distance.DotBitsIDs.

// quantizeBits writes q.w as integers and planes and returns what an integer is
// worth.
func (q *Query) quantizeBits() float32 {
	planes := q.codec.planes
	if planes == 1 {
		return q.signsOnly()
	}
	unit := quantizeSigned(q.values, q.w, float32(int(1)<<(planes-1)-1))
	q.setPlanes(planes)
	return unit
}

// signsOnly writes the signs of q.w as ±1, which are worth the mean magnitude.
func (q *Query) signsOnly() float32 {
	var sum float64
	for j, x := range q.w {
		q.values[j] = 1
		if x < 0 {
			q.values[j] = -1
			x = -x
		}
		sum += float64(x)
	}
	q.setPlanes(2)
	return float32(sum / float64(len(q.w)))
}

// setPlanes cuts q.values into bit planes of two's complement, the highest first,
// for each run of components, and sums up the levels to subtract.
func (q *Query) setPlanes(planes int) {
	q.planes, q.level = planes, 0
	clear(q.own)
	for _, s := range q.codec.segments {
		if s.plane == 0 {
			continue // shares the planes of its sign
		}
		dst := q.own[planes*s.start : planes*(s.start+s.bytes)]
		values := q.values[s.from : s.from+s.count]
		sum := 0
		for _, x := range values {
			sum += int(x)
		}
		q.level += s.level * float32(sum)
		for j := 0; j < len(values); j += 8 {
			// The buffer behind values is padded with zeros to whole words.
			eight := *(*uint64)(unsafe.Pointer(&values[j]))
			for p := range planes {
				dst[p*s.bytes+j/8] = lowBits(eight >> (planes - 1 - p))
			}
		}
	}
}

// lowBits collects the lowest bits of eight bytes: the multiplication moves that of
// byte i to bit 56 + i, and none of the others there.
func lowBits(eight uint64) byte {
	return byte(eight & 0x0101010101010101 * 0x0102040810204080 >> 56)
}

// The values of a row's code as two's complement follow from its bits, plane by
// plane, with b the sign's bit and f the finer bit:
//
//	2 bits:    −3 −1 1 3   = 101 111 001 011            planes ¬b f 1
//	1.5 bits:  ±15 ±5, ±8  (which are 3 : 1 : 1.6)      planes ¬b f b f 1, ¬b 1 0 0 0
//
// so a row becomes a query by copying words. Bits beyond the last component may be
// set in the query: those of the rows are zero.
var (
	planes2      = []planeSource{notSign, finer, ones}
	planes15Fine = []planeSource{notSign, finer, sign, finer, ones}
	planes15Sign = []planeSource{notSign, ones, zeros, zeros, zeros}
)

type planeSource uint8

const (
	zeros planeSource = iota
	ones
	sign
	notSign
	finer
)

func (p planeSource) word(b, f uint64) uint64 {
	switch p {
	case ones:
		return ^uint64(0)
	case sign:
		return b
	case notSign:
		return ^b
	case finer:
		return f
	case zeros:
	}
	return 0
}

// bitsOfRow makes the query from the code of a row; it returns what an integer is
// worth in units of the code.
func (q *Query) bitsOfRow(row []byte) float32 {
	segments := q.codec.segments
	switch q.codec.kind {
	case Bits1:
		// Signs against signs: the number of differing bits says it all.
		q.planes, q.level = 0, 0
		q.code = unsafe.Pointer(unsafe.SliceData(row))
		return 1
	case Bits15:
		q.planes = len(planes15Fine)
		sum := q.copyPlanes(row, segments[0], segments[1].offset, planes15Fine)
		q.level = segments[0].level * float32(5*sum)
		if len(segments) == 3 {
			sum := q.copyPlanes(row, segments[2], segments[2].offset, planes15Sign)
			q.level += segments[2].level * float32(8*sum)
		}
		return 1.0 / 5
	default:
		q.planes = len(planes2)
		sum := q.copyPlanes(row, segments[0], segments[1].offset, planes2)
		q.level = segments[0].level * float32(sum)
		return 1
	}
}

// copyPlanes writes the planes of one run of components, of which the sign's bits
// are those of s and the finer ones are at fine (the same offset: there are none).
// It returns the sum of the values ±1 or ±1, ±3.
func (q *Query) copyPlanes(row []byte, s segment, fine int, sources []planeSource) int {
	words := s.bytes / 8
	dst := words64(q.own[len(sources)*s.start:], len(sources)*words)
	signs, finers := words64(row[s.offset:], words), words64(row[fine:], words)
	set, setFine := 0, 0
	for i, b := range signs {
		f := finers[i]
		set += bits.OnesCount64(b)
		setFine += bits.OnesCount64(f)
		for p, source := range sources {
			dst[p*words+i] = source.word(b, f)
		}
	}
	if fine == s.offset {
		return 2*set - s.count
	}
	return 4*set + 2*setFine - 3*s.count
}

func words64(b []byte, n int) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b[:8*n]))), n)
}

// scoreBits writes mul·sum + add for each row, where sum is that over all segments.
func (q *Query) scoreBits(ids []uint32, out []float32) {
	c, size := q.codec, q.codec.RowSize()
	if q.planes == 0 {
		code := unsafe.Slice((*byte)(q.code), size)
		scale, bias := q.hammingTerms()
		c.kernels.HammingIDs(code, q.rows.Codes, size, ids, scale, bias, out)
		return
	}
	for i, s := range c.segments {
		planes := q.own[q.planes*s.start : q.planes*(s.start+s.bytes)]
		base := unsafe.Add(q.rows.Codes, s.offset)
		if i == 0 {
			c.kernels.DotBitsIDs(planes, q.planes, base, size, ids, q.mul*s.weight, q.add, out)
			continue
		}
		part := q.partial[:len(ids)]
		c.kernels.DotBitsIDs(planes, q.planes, base, size, ids, q.mul*s.weight, 0, part)
		addTo(out, part)
	}
}

// scanBits is scoreBits for the rows first, first+1, ….
func (q *Query) scanBits(first uint32, out []float32) {
	c, size := q.codec, q.codec.RowSize()
	if q.planes == 0 {
		code := unsafe.Slice((*byte)(q.code), size)
		scale, bias := q.hammingTerms()
		c.kernels.HammingRange(code, q.rows.Codes, size, first, scale, bias, out)
		return
	}
	for len(out) > 0 {
		n := min(len(out), scoreChunk)
		for i, s := range c.segments {
			planes := q.own[q.planes*s.start : q.planes*(s.start+s.bytes)]
			base := unsafe.Add(q.rows.Codes, s.offset)
			if i == 0 {
				c.kernels.DotBitsRange(planes, q.planes, base, size, first, q.mul*s.weight, q.add, out[:n])
				continue
			}
			part := q.partial[:n]
			c.kernels.DotBitsRange(planes, q.planes, base, size, first, q.mul*s.weight, 0, part)
			addTo(out[:n], part)
		}
		first, out = first+uint32(n), out[n:]
	}
}

// hammingTerms make a number of differing bits h into mul·(count − 2h).
func (q *Query) hammingTerms() (scale, bias float32) {
	return -2 * q.mul, q.mul * float32(q.codec.dim)
}

func addTo(sum, part []float32) {
	part = part[:len(sum)]
	for i, x := range part {
		sum[i] += x
	}
}

// bitBytes returns the bytes of n bits, padded as the kernels want them.
func bitBytes(n int) int { return pad(n, 8*distance.BitAlign) / 8 }
