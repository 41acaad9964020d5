package distance

import (
	"math"
	"math/bits"
	"unsafe"
)

// generic is the plain Go form of every kernel: the reference for the others and
// the fallback where no assembly fits.
func generic(o op, a *args) {
	ids := unsafe.Slice((*uint32)(a.ids), a.count)
	out := unsafe.Slice((*float32)(a.out), a.count)
	for i, id := range ids {
		row := unsafe.Add(a.base, int(id)*a.stride)
		out[i] = genericRow(o, a, row)
	}
}

// genericRow scores one row.
func genericRow(o op, a *args, row unsafe.Pointer) float32 {
	switch o {
	case dotF32, l2F32, l1F32:
		return genericF32(o, view[float32](a.q, a.n), view[float32](row, a.n))
	case dotF16, l2F16, l1F16:
		return genericF16(o, view[float32](a.q, a.n), view[uint16](row, a.n))
	case dotU8:
		return float32(genericDotBytes(view[uint8](a.q, a.n), view[uint8](row, a.n)))
	case l2U8:
		return float32(genericL2Bytes(view[uint8](a.q, a.n), view[uint8](row, a.n)))
	case l1U8:
		return float32(genericL1Bytes(view[uint8](a.q, a.n), view[uint8](row, a.n)))
	case l2U7:
		return finish(a, float32(genericL2Bytes(view[uint8](a.q, a.n), view[uint8](row, a.n))))
	case dotU7:
		return finish(a, float32(genericDotSigned(view[int8](a.q, a.n), view[uint8](row, a.n))))
	case dotU4:
		return finish(a, float32(genericDotNibbles(view[int8](a.q, 2*a.n), view[uint8](row, a.n))))
	case hamming:
		return finish(a, float32(genericHamming(view[uint64](a.q, a.n/8), view[uint64](row, a.n/8))))
	case dotB1:
		return finish(a, float32(genericDotBits(view[uint64](a.q, a.planes*a.n/8), view[uint64](row, a.n/8))))
	case opCount:
	}
	return float32(math.NaN())
}

func view[T any](p unsafe.Pointer, n int) []T { return unsafe.Slice((*T)(p), n) }

// finish applies the scale and bias of an integer kernel.
func finish(a *args, sum float32) float32 { return sum*a.scale + a.bias }

func genericF32(o op, q, row []float32) float32 {
	switch o {
	case dotF32:
		return genericDot(q, row)
	case l2F32:
		return genericL2(q, row)
	default:
		return genericL1(q, row)
	}
}

// genericDot keeps four sums so that additions don't wait for each other.
func genericDot(q, row []float32) float32 {
	row = row[:len(q)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(q); i += 4 {
		s0 += q[i] * row[i]
		s1 += q[i+1] * row[i+1]
		s2 += q[i+2] * row[i+2]
		s3 += q[i+3] * row[i+3]
	}
	for ; i < len(q); i++ {
		s0 += q[i] * row[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func genericL2(q, row []float32) float32 {
	row = row[:len(q)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(q); i += 4 {
		d0, d1, d2, d3 := q[i]-row[i], q[i+1]-row[i+1], q[i+2]-row[i+2], q[i+3]-row[i+3]
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
	}
	for ; i < len(q); i++ {
		d := q[i] - row[i]
		s0 += d * d
	}
	return (s0 + s1) + (s2 + s3)
}

func genericL1(q, row []float32) float32 {
	row = row[:len(q)]
	var s0, s1 float32
	i := 0
	for ; i+2 <= len(q); i += 2 {
		s0 += abs(q[i] - row[i])
		s1 += abs(q[i+1] - row[i+1])
	}
	for ; i < len(q); i++ {
		s0 += abs(q[i] - row[i])
	}
	return s0 + s1
}

func abs(f float32) float32 { return math.Float32frombits(math.Float32bits(f) &^ (1 << 31)) }

func genericF16(o op, q []float32, row []uint16) float32 {
	row = row[:len(q)]
	var s float32
	for i, x := range q {
		y := widen(row[i])
		switch o {
		case dotF16:
			s += x * y
		case l2F16:
			s += (x - y) * (x - y)
		default:
			s += abs(x - y)
		}
	}
	return s
}

// genericDotBytes is exact for up to 65,536 elements: 65,536·255² < 2³².
func genericDotBytes(q, row []uint8) uint32 {
	row = row[:len(q)]
	var s uint32
	for i, x := range q {
		s += uint32(x) * uint32(row[i])
	}
	return s
}

func genericL2Bytes(q, row []uint8) uint32 {
	row = row[:len(q)]
	var s uint32
	for i, x := range q {
		d := int32(x) - int32(row[i])
		s += uint32(d * d)
	}
	return s
}

func genericL1Bytes(q, row []uint8) uint32 {
	row = row[:len(q)]
	var s uint32
	for i, x := range q {
		s += uint32(max(x, row[i]) - min(x, row[i]))
	}
	return s
}

func genericDotSigned(q []int8, row []uint8) int32 {
	row = row[:len(q)]
	var s int32
	for i, x := range q {
		s += int32(x) * int32(row[i])
	}
	return s
}

func genericDotNibbles(q []int8, row []uint8) int32 {
	var s int32
	for b := 0; b < len(row); b += CodeAlign {
		lo, hi := q[2*b:2*b+CodeAlign], q[2*b+CodeAlign:2*b+2*CodeAlign]
		for i, c := range row[b : b+CodeAlign] {
			s += int32(lo[i])*int32(c&15) + int32(hi[i])*int32(c>>4)
		}
	}
	return s
}

func genericHamming(q, row []uint64) int {
	row = row[:len(q)]
	s := 0
	for i, x := range q {
		s += bits.OnesCount64(x ^ row[i])
	}
	return s
}

// genericDotBits weighs the planes by Horner's rule: the highest plane comes first,
// counts negative, and is doubled once for each plane that follows.
func genericDotBits(q, row []uint64) int {
	s := 0
	for first := true; len(q) > 0 && len(row) > 0; first = false {
		s *= 2
		for i, w := range row {
			s += bits.OnesCount64(q[i] & w)
		}
		if first {
			s = -s
		}
		q = q[len(row):]
	}
	return s
}
