package jsonx

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Writer appends one JSON text. It puts the commas; the caller sees to it that
// what it opens it closes, and that names and values alternate.
type Writer struct {
	buf   []byte
	comma bool // the next name or element needs a comma before it
}

// NewWriter returns a Writer that appends to buf, which may be nil.
func NewWriter(buf []byte) *Writer { return &Writer{buf: buf} }

// Bytes returns the text so far.
func (w *Writer) Bytes() []byte { return w.buf }

func (w *Writer) sep() {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
	w.comma = true
}

// Open begins an object ('{') or array ('[').
func (w *Writer) Open(delim byte) {
	w.sep()
	w.buf = append(w.buf, delim)
	w.comma = false
}

// Close ends an object ('}') or array (']').
func (w *Writer) Close(delim byte) {
	w.buf = append(w.buf, delim)
	w.comma = true
}

// Name writes a member's name.
func (w *Writer) Name(name string) {
	w.String(name)
	w.buf = append(w.buf, ':')
	w.comma = false
}

// String writes a string; bytes that are not UTF-8 become U+FFFD.
func (w *Writer) String(s string) {
	w.sep()
	w.buf = AppendString(w.buf, s)
}

// Uint writes an integer.
func (w *Writer) Uint(n uint64) {
	w.sep()
	w.buf = strconv.AppendUint(w.buf, n, 10)
}

// Int writes an integer.
func (w *Writer) Int(n int64) {
	w.sep()
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

// Bool writes true or false.
func (w *Writer) Bool(b bool) {
	w.sep()
	w.buf = strconv.AppendBool(w.buf, b)
}

// Null writes null.
func (w *Writer) Null() {
	w.sep()
	w.buf = append(w.buf, "null"...)
}

// Float32 writes f as AppendFloat32 does.
func (w *Writer) Float32(f float32) {
	w.sep()
	w.buf = AppendFloat32(w.buf, f)
}

// Float64 writes f as AppendFloat64 does.
func (w *Writer) Float64(f float64) {
	w.sep()
	w.buf = AppendFloat64(w.buf, f)
}

// Float32s writes an array of numbers.
func (w *Writer) Float32s(fs []float32) {
	w.Open('[')
	for _, f := range fs {
		w.Float32(f)
	}
	w.Close(']')
}

// Raw lets f append one well-formed JSON value.
func (w *Writer) Raw(f func(dst []byte) []byte) {
	w.sep()
	w.buf = f(w.buf)
}

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func AppendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			// The error only says that something was replaced.
			dst, _ = jsontext.AppendQuote(dst, s)
			return dst
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// AppendFloat32 appends the shortest text that reads back as f: always with a
// fraction or an exponent, so that a reader sees a float; null when f is not
// finite. The limits between the two forms are those of upstream's formatter.
func AppendFloat32(dst []byte, f float32) []byte {
	return appendFloat(dst, float64(f), 32, float64(float32(1e-6)), float64(float32(1e13)))
}

// AppendFloat64 is AppendFloat32 for float64.
func AppendFloat64(dst []byte, f float64) []byte {
	return appendFloat(dst, f, 64, 1e-5, 1e16)
}

func appendFloat(dst []byte, f float64, bits int, low, high float64) []byte {
	abs := math.Abs(f)
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, "null"...)
	case abs == math.Trunc(abs) && abs < high:
		dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
		return append(dst, ".0"...)
	case abs >= low && abs < high:
		return strconv.AppendFloat(dst, f, 'f', -1, bits)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, bits)
	// e-07 → e-7, e+20 → e20
	e := start
	for dst[e] != 'e' {
		e++
	}
	digits := e + 2
	for digits < len(dst)-1 && dst[digits] == '0' {
		digits++
	}
	keep := e + 1
	if dst[keep] == '-' {
		keep++
	}
	return append(dst[:keep], dst[digits:]...)
}
