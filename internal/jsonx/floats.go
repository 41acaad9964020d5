package jsonx

import (
	"bytes"
	"math"
	"strconv"
)

const maxFloat32 = math.MaxFloat32

// pow10 holds the powers of ten that a float64 represents exactly.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// Floats consumes an array of numbers and returns them as float32: each number
// is first rounded to float64, then to float32, as upstream does.
func (r *Reader) Floats() []float32 {
	if r.Kind() != Array {
		r.WrongType("a sequence")
		return nil
	}
	raw := r.Raw()
	if r.err != nil {
		return nil
	}
	out, bad := AppendFloats(make([]float32, 0, 1+bytes.Count(raw, comma)), raw)
	if bad >= 0 {
		r.failFloat(raw, bad)
		return nil
	}
	return out
}

// IsNested reports whether raw, the text of an array, begins with an array.
func IsNested(raw []byte) bool {
	rest := bytes.TrimLeft(raw[min(1, len(raw)):], " \t\r\n")
	return len(rest) > 0 && rest[0] == '['
}

// FloatsOf is Floats for a text that Raw returned.
func (r *Reader) FloatsOf(raw []byte) []float32 {
	if r.err != nil {
		return nil
	}
	out, bad := AppendFloats(make([]float32, 0, 1+bytes.Count(raw, comma)), raw)
	if bad >= 0 {
		r.failFloat(raw, bad)
		return nil
	}
	return out
}

var comma = []byte{','}

// failFloat reports the element of raw that begins at offset bad.
func (r *Reader) failFloat(raw []byte, bad int) {
	s := r.Sub(raw[bad:])
	s.err = nil
	if s.Kind() == Number {
		s.Failf("number out of range")
	} else {
		s.WrongType("f32")
	}
	r.Fail(s.err)
}

// AppendFloats appends the numbers of raw, the text of a well-formed JSON
// array, to dst. bad is −1, or the offset of the first element that is not a
// number or too large for float32.
func AppendFloats(dst []float32, raw []byte) (out []float32, bad int) {
	for i := 1; i < len(raw); {
		switch c := raw[i]; c {
		case ' ', '\t', '\r', '\n', ',':
			i++
		case ']':
			return dst, -1
		default:
			if c != '-' && c-'0' > 9 {
				return dst, i
			}
			f, n := parseFloat32(raw[i:])
			if n == 0 {
				return dst, i
			}
			dst = append(dst, f)
			i += n
		}
	}
	return dst, -1
}

// parseFloat32 reads the well-formed number at the start of b and returns how
// many bytes it has, 0 when it is too large for float32.
//
// The way of W. Clinger, "How to read floating point numbers accurately"
// (PLDI 1990): when the digits, without the point, and the power of ten both
// are exact float64 numbers, one division or multiplication rounds correctly.
// It is widened here to digits of up to 64 bits: then the float64 may be off by
// two units in its last place, which the rounding to float32 swallows unless
// the value lies that close to the middle between two float32 numbers. Only
// those (1 in 10⁸), long and far-off numbers take strconv's way.
func parseFloat32(b []byte) (f float32, n int) {
	i, neg := 0, false
	if b[0] == '-' {
		neg, i = true, 1
	}
	var mant uint64
	digits, exp := 0, 0
	for ; i < len(b); i++ {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		mant = mant*10 + uint64(d)
		if digits > 0 || d != 0 {
			digits++
		}
	}
	if i < len(b) && b[i] == '.' {
		i++
		start := i
		for ; i < len(b); i++ {
			d := b[i] - '0'
			if d > 9 {
				break
			}
			mant = mant*10 + uint64(d)
			if digits > 0 || d != 0 {
				digits++
			}
		}
		exp = start - i
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		e, n := exponent(b[i:])
		exp += e
		i += n
	}
	if f, ok := convert(mant, digits, exp); ok {
		if neg {
			f = -f
		}
		return f, i
	}
	d, err := strconv.ParseFloat(string(b[:i]), 64)
	if err != nil || d > maxRoundable || d < -maxRoundable {
		return 0, 0
	}
	return float32(d), i
}

// maxRoundable is the largest float64 that rounds to a finite float32.
var maxRoundable = math.Nextafter(math.MaxFloat32+math.Ldexp(1, 103), 0)

// exponent reads "e[+-]digits" at the start of b. Large exponents are cut, to a
// value that no fast way takes.
func exponent(b []byte) (e, n int) {
	n = 1
	neg := false
	if n < len(b) && (b[n] == '-' || b[n] == '+') {
		neg = b[n] == '-'
		n++
	}
	for ; n < len(b); n++ {
		d := b[n] - '0'
		if d > 9 {
			break
		}
		e = min(e*10+int(d), 1<<20)
	}
	if neg {
		e = -e
	}
	return e, n
}

// convert returns mant·10^exp as float32 when one float64 operation is enough.
func convert(mant uint64, digits, exp int) (float32, bool) {
	const maxDigits = 19 // of a uint64
	if digits > maxDigits || exp < -22 || exp > 15 {
		return 0, false
	}
	d := float64(mant)
	if exp < 0 {
		d /= pow10[-exp]
	} else {
		d *= pow10[exp]
	}
	// Up to 2⁵³ both operands are exact, hence d is correctly rounded.
	if mant > 1<<53 {
		const half = 1 << 28 // the middle between two float32, in the 29 bits that are dropped
		if low := math.Float64bits(d) & (1<<29 - 1); low-(half-4) <= 8 {
			return 0, false
		}
	}
	return float32(d), true
}
