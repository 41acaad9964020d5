package sparse

import "math"

// maxHalf is the largest finite half-precision number. Weights beyond it are
// stored as it.
const maxHalf = 65504

// toHalf rounds to IEEE 754 half precision, to nearest even. v is finite.
func toHalf(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	abs := math.Float32frombits(bits &^ (1 << 31))
	if abs >= maxHalf {
		return sign | 0x7bff
	}
	if abs < 0x1p-14 { // subnormal: a multiple of 2^-24; the addition rounds
		return sign | uint16(math.Float32bits(abs+0.5)-math.Float32bits(0.5))
	}
	b := math.Float32bits(abs)
	b += 0xfff + b>>13&1 // round the 13 bits that go, ties to even
	return sign | uint16(b>>13-(127-15)<<10)
}

// fromHalf is exact for every finite half-precision number.
func fromHalf(h uint16) float32 {
	v := math.Float32frombits(uint32(h&0x7fff)<<13) * 0x1p112
	return math.Float32frombits(math.Float32bits(v) | uint32(h&0x8000)<<16)
}
