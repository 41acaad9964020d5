package jsonx

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// oracle is what AppendFloats promises: float64 first, then float32.
func oracle(s string) (float32, bool) {
	f, err := strconv.ParseFloat(s, 64)
	f32 := float32(f)
	return f32, err == nil && !math.IsInf(float64(f32), 0)
}

func checkFloat(t require.TestingT, s string) {
	want, ok := oracle(s)
	got, bad := AppendFloats(nil, []byte("["+s+"]"))
	if !ok {
		require.Equal(t, 1, bad, s)
		return
	}
	require.Equal(t, -1, bad, s)
	require.Len(t, got, 1, s)
	require.Equal(t, math.Float32bits(want), math.Float32bits(got[0]), "%s: want %v, got %v", s, want, got[0])
}

func TestFloatsEqualStrconv(t *testing.T) {
	for _, s := range []string{
		"0", "-0", "-0.0", "1", "-1", "0.1", "1e0", "1E5", "1e+5", "1e-5", "16777217", "16777217.0000001",
		"9007199254740993", "18446744073709551615", "18446744073709551616", "99999999999999999999999",
		"3.4028234663852886e38", "3.4028235677973366e38", "3.4028235677973362e38", "3.5e38", "-1e39", "1e400", "1e-400",
		"1.1754943508222875e-38", "1.401298464324817e-45", "7.006492321624085e-46", "7.006492321624086e-46",
		"0.000000000000000000000000000000000000000000001", "123456789012345678e-30", "0.05000000074505806",
		"1.00000005960464477539062500000000000000000000001", "1.000000059604644775390625", "1.0000000596046447",
		"0." + strings.Repeat("0", 400) + "1", "1" + strings.Repeat("0", 30), "1e99999999999999999999", "1e-99999999999999999999",
	} {
		checkFloat(t, s)
	}
}

func TestFloatsEqualStrconvProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s string
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0: // what clients send: a float32 as a float64's shortest text
			f := math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
			if f != f || math.IsInf(float64(f), 0) {
				return
			}
			s = strconv.FormatFloat(float64(f), 'g', -1, 64)
		case 1:
			f := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
			if f != f || math.IsInf(f, 0) {
				return
			}
			s = strconv.FormatFloat(f, 'g', -1, 64)
		case 2: // next to the middle between two float32
			f := math.Float32frombits(rapid.Uint32Range(0x3000_0000, 0x5000_0000).Draw(t, "bits"))
			next := math.Nextafter32(f, math.MaxFloat32)
			mid := (float64(f) + float64(next)) / 2
			for range rapid.IntRange(0, 3).Draw(t, "steps") {
				mid = math.Nextafter(mid, 0)
			}
			s = strconv.FormatFloat(mid, 'f', rapid.IntRange(10, 40).Draw(t, "digits"), 64)
		default:
			s = rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "text")
		}
		checkFloat(t, s)
	})
}

func TestFloatsOfArrays(t *testing.T) {
	r := NewReader([]byte(" [ 1 ,\n2.5,-3e2\t] "))
	require.Equal(t, []float32{1, 2.5, -300}, r.Floats())
	require.NoError(t, r.End())

	r = NewReader([]byte("[]"))
	require.Empty(t, r.Floats())
	require.NoError(t, r.End())

	for text, want := range map[string]string{
		"[1, \"x\"]":     "invalid type: string \"x\", expected f32 at line 1 column 7",
		"[1,\n 1e39]":    "number out of range at line 2 column 1",
		"[1, [2]]":       "invalid type: sequence, expected f32",
		"[1, null]":      "invalid type: null, expected f32",
		"[1, true]":      "invalid type: boolean `true`, expected f32",
		"{}":             "invalid type: map, expected a sequence",
		"[1, 2":          "unexpected EOF",
		"[1, 01]":        "invalid character",
		"[1, {\"a\":1}]": "invalid type: map, expected f32",
	} {
		r := NewReader([]byte(text))
		r.Floats()
		require.ErrorContains(t, r.End(), want, text)
	}
}

func TestFormatsFloats(t *testing.T) {
	for want, f := range map[string]float32{
		"0.0": 0, "1.0": 1, "-1.5": -1.5, "4.358899": 4.358899, "0.05": 0.05, "1e-7": 1e-7, "0.000001": 1e-6,
		"1e13": 1e13, "9999999000000.0": 9999999e6, "3.4028235e38": math.MaxFloat32, "1e-45": math.SmallestNonzeroFloat32,
		"null": float32(math.Inf(1)), "16777216.0": 1 << 24, "-1.1754944e-38": -1.1754944e-38,
	} {
		require.Equal(t, want, string(AppendFloat32(nil, f)))
	}
	for want, f := range map[string]float64{
		"0.1": 0.1, "1e16": 1e16, "1000000000000000.0": 1e15, "0.00001": 1e-5, "1e-6": 1e-6, "1.5e300": 1.5e300, "null": math.NaN(),
	} {
		require.Equal(t, want, string(AppendFloat64(nil, f)))
	}
	require.Equal(t, "-0.0", string(AppendFloat64(nil, math.Copysign(0, -1))))
}

func TestFormattedFloatsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := math.Float32frombits(rapid.Uint32().Draw(t, "f32"))
		d := math.Float64frombits(rapid.Uint64().Draw(t, "f64"))
		if f == f && !math.IsInf(float64(f), 0) {
			got, err := strconv.ParseFloat(string(AppendFloat32(nil, f)), 32)
			require.NoError(t, err)
			require.Equal(t, math.Float32bits(f), math.Float32bits(float32(got)))
		}
		if d == d && !math.IsInf(d, 0) {
			got, err := strconv.ParseFloat(string(AppendFloat64(nil, d)), 64)
			require.NoError(t, err)
			require.Equal(t, math.Float64bits(d), math.Float64bits(got))
		}
	})
}

func FuzzFloats(f *testing.F) {
	for _, s := range []string{"[]", "[1,2.5]", "[1e400]", "[-0.0, 1e-5 , 16777217]", "[[1]]", "[1,\"a\"]", "[1.e1]", "[.1]", "[18446744073709551616e-20]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := NewReader(text)
		got := r.Floats()
		if r.End() != nil {
			return
		}
		elements := strings.FieldsFunc(strings.Trim(strings.TrimSpace(string(text)), "[]"), func(c rune) bool { return strings.ContainsRune(", \t\r\n", c) })
		require.Len(t, got, len(elements))
		for i, s := range elements {
			want, ok := oracle(s)
			require.True(t, ok)
			require.Equal(t, math.Float32bits(want), math.Float32bits(got[i]))
		}
	})
}

func BenchmarkFloats(b *testing.B) {
	text := []byte{'['}
	x := uint32(1)
	for i := range 768 {
		if i > 0 {
			text = append(text, ',', ' ')
		}
		x = x*1664525 + 1013904223
		// As Python writes a float32: 16 to 18 digits.
		text = strconv.AppendFloat(text, float64(float32(x)/float32(1<<31)-1), 'g', -1, 64)
	}
	text = append(text, ']')
	b.Run("own", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		dst := make([]float32, 0, 1024)
		for b.Loop() {
			dst, _ = AppendFloats(dst[:0], text)
		}
	})
	b.Run("reader", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		r := NewReader(nil)
		for b.Loop() {
			r.Reset(text)
			r.Floats()
		}
	})
	b.Run("strconv", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		parts := strings.Split(strings.Trim(string(text), "[]"), ", ")
		for b.Loop() {
			for _, p := range parts {
				_, _ = strconv.ParseFloat(p, 32)
			}
		}
	})
}
