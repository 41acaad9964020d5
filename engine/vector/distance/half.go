package distance

import "math"

// ToF16 converts src to IEEE 754 binary16, rounding to nearest even; what is too
// large becomes infinite. dst must be at least as long as src. The result is the
// same on every tier.
func (k *Kernels) ToF16(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	n := k.narrowNative(dst, src)
	for i := n; i < len(src); i++ {
		dst[i] = narrow(src[i])
	}
}

// FromF16 converts binary16 to float32, which is exact. dst must be at least as
// long as src.
func (k *Kernels) FromF16(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	n := k.widenNative(dst, src)
	for i := n; i < len(src); i++ {
		dst[i] = widen(src[i])
	}
}

// widen converts one binary16 number.
func widen(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 31
	frac := uint32(h & 0x3ff)
	switch exp {
	case 0: // zero or subnormal: frac · 2⁻²⁴
		return math.Float32frombits(math.Float32bits(float32(frac)*0x1p-24) | sign)
	case 31: // infinite, or not a number (made quiet, as the hardware does)
		if frac != 0 {
			frac |= 0x200
		}
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// narrow rounds one number to binary16.
func narrow(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // not a number: quiet, upper bits of the fraction kept
		return sign | 0x7e00 | uint16(b>>13)&0x3ff
	case b >= 0x477ff000: // 65520 and above round to infinity
		return sign | 0x7c00
	case b < 0x38800000: // below 2⁻¹⁴: subnormal; adding 0.5 aligns the last bit at 2⁻²⁴
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-math.Float32bits(0.5))
	}
	// Round to nearest even: add half of the last place less one, plus the bit
	// that decides ties; a carry moves into the exponent, as it should.
	b += 0xfff + b>>13&1
	return sign | uint16((b-112<<23)>>13)
}

// Normalize scales v to length 1 in place and says whether it changed anything.
// A vector of length (almost) zero, one that is of length 1 already, and one that
// isn't finite stay bit-identical.
//
// Stored vectors must be the same on every replica, so this is one fixed sequence
// of operations in float64, whose products of float32 are exact, and not a kernel.
func Normalize(v []float32) bool {
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(v); i += 4 {
		a, b, c, d := float64(v[i]), float64(v[i+1]), float64(v[i+2]), float64(v[i+3])
		s0 += a * a
		s1 += b * b
		s2 += c * c
		s3 += d * d
	}
	for ; i < len(v); i++ {
		s0 += float64(v[i]) * float64(v[i])
	}
	sum := (s0 + s1) + (s2 + s3)
	const epsilon = 0x1p-23 // of float32
	if sum < epsilon || math.Abs(sum-1) <= 1e-6 || math.IsInf(sum, 0) || math.IsNaN(sum) {
		return false
	}
	length := math.Sqrt(sum)
	for i, x := range v {
		v[i] = float32(float64(x) / length)
	}
	return true
}
