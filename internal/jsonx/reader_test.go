package jsonx

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// walk reads any value the way a decoder of a message would, and writes it.
func walk(r *Reader, w *Writer) {
	switch r.Kind() {
	case Object:
		w.Open('{')
		for key := range r.Members() {
			w.Name(key)
			walk(r, w)
		}
		w.Close('}')
	case Array:
		w.Open('[')
		for range r.Elements() {
			walk(r, w)
		}
		w.Close(']')
	case String:
		w.String(r.Text())
	case Number:
		if n, f, isInt := r.Number(); isInt {
			w.Int(n)
		} else {
			w.Float64(f)
		}
	case True, False:
		w.Bool(r.Bool())
	case Null:
		r.Skip()
		w.Null()
	case Invalid:
		r.WrongType("a value")
	}
}

func TestReaderWalksEverything(t *testing.T) {
	const text = `{"a": [1, -2, 1.5, true, false, null, "x\n\u00e9\ud83d\ude00é", {}, []], "ké\"y": {"b": 18446744073709551616}} `
	r, w := NewReader([]byte(text)), NewWriter(nil)
	walk(r, w)
	require.NoError(t, r.End())
	result := []byte(`{"a":[1,-2,1.5,true,false,null,"x\né😀é",{},[]],"ké\"y":{"b":1.8446744073709552e19}}`)
	require.True(t, bytes.Equal(result, w.Bytes()), "%s", w.Bytes())
}

func TestReaderNumbers(t *testing.T) {
	r := NewReader([]byte(`[18446744073709551615, -9223372036854775808, 4294967295, 0.25, 1e2]`))
	var u uint64
	var i int64
	var u32 uint32
	var f32 float32
	var f64 float64
	for n := range r.Elements() {
		switch n {
		case 0:
			u = r.Uint64()
		case 1:
			i = r.Int64()
		case 2:
			u32 = r.Uint32()
		case 3:
			f32 = r.Float32()
		case 4:
			f64 = r.Float64()
		}
	}
	require.NoError(t, r.End())
	require.Equal(t, []any{uint64(1<<64 - 1), int64(-1 << 63), uint32(1<<32 - 1), float32(0.25), 100.0}, []any{u, i, u32, f32, f64})
}

func TestReaderErrors(t *testing.T) {
	uint64s := func(r *Reader) { r.Uint64() }
	for _, c := range []struct {
		text string
		read func(*Reader)
		want string
	}{
		{``, uint64s, "EOF while parsing a value at line 1 column 0"},
		{`-1`, uint64s, "invalid value: integer `-1`, expected u64 at line 1 column 2"},
		{`1.0`, uint64s, "invalid type: floating point `1.0`, expected u64"},
		{`18446744073709551616`, uint64s, "invalid value: integer `18446744073709551616`, expected u64"},
		{`"7"`, uint64s, `invalid type: string "7", expected u64`},
		{`1 2`, uint64s, "trailing characters at line 1 column 1"},
		{`{"a":1,}`, func(r *Reader) {
			for range r.Members() {
				r.Skip()
			}
		}, "at line 1 column"},
		{"{\"a\":\n\n  {\"b\": x}}", (*Reader).Skip, "invalid character 'x'"},
		{`"\ud800"`, func(r *Reader) { r.Text() }, "surrogate"},
		{"\"\xff\"", func(r *Reader) { r.Text() }, "invalid UTF-8"},
		{`1e400`, func(r *Reader) { r.Float64() }, "number out of range"},
		{`3.5e38`, func(r *Reader) { r.Float32() }, "number out of range"},
		{`9223372036854775808`, func(r *Reader) { r.Int64() }, "expected i64"},
		{`4294967296`, func(r *Reader) { r.Uint32() }, "expected u32"},
		{`{}`, func(r *Reader) { r.Missing(true, "id") }, "missing field `id`"},
		{`[`, func(r *Reader) {
			for range r.Elements() {
				r.Skip()
			}
		}, "unexpected EOF"},
	} {
		r := NewReader([]byte(c.text))
		c.read(r)
		require.ErrorContains(t, r.End(), c.want, c.text)
	}
	r := NewReader([]byte("{\n \"a\": tru}"))
	r.Skip()
	var e *Error
	require.ErrorAs(t, r.End(), &e)
	require.Equal(t, 2, e.Line)
}

func TestFirstErrorSticks(t *testing.T) {
	r := NewReader([]byte(`{"a": "x", "b": 2}`))
	var seen []string
	for key := range r.Members() {
		seen = append(seen, key)
		r.Uint64()
	}
	require.Equal(t, []string{"a"}, seen)
	first := r.Err()
	require.ErrorContains(t, first, "invalid type")
	r.Fail(errors.New("another"))
	r.Failf("later")
	r.Skip()
	require.Same(t, first, r.End())
	require.Equal(t, Invalid, r.Kind())
}

func TestFieldsLeaveOutNull(t *testing.T) {
	r := NewReader([]byte(`{"a": null, "b": 1, "a": 2}`))
	var keys []string
	for key := range r.Fields() {
		keys = append(keys, key)
		r.Skip()
	}
	require.NoError(t, r.End())
	require.Equal(t, []string{"b", "a"}, keys)
}

func TestSubKeepsPlaces(t *testing.T) {
	r := NewReader([]byte("{\n\"a\": {\"b\":\n  [1, \"x\"]}}"))
	for range r.Members() {
		s := r.Sub(r.Raw())
		for range s.Members() {
			s.Floats()
		}
		r.Fail(s.Err())
	}
	var e *Error
	require.ErrorAs(t, r.End(), &e)
	require.Equal(t, 3, e.Line)
	require.Equal(t, 9, e.Column)
}

func TestDepthIsBounded(t *testing.T) {
	for _, nest := range []string{"[", `{"a":`} {
		r := NewReader([]byte(strings.Repeat(nest, MaxDepth+1)))
		walk(r, NewWriter(nil))
		require.ErrorContains(t, r.End(), "recursion limit exceeded")
	}
}

func TestWriterStrings(t *testing.T) {
	for _, s := range []string{"", "plain", "tab\t", `"\`, "é", "\x00\x1f", "<&>", "\u2028", "😀"} {
		var back string
		require.NoError(t, json.Unmarshal(AppendString(nil, s), &back))
		require.Equal(t, s, back)
	}
	require.True(t, utf8.Valid(AppendString(nil, "a\xffb")))
}

// FuzzReader holds that whatever the bytes are a walk ends without panic, that
// it accepts what the standard library accepts (numbers too large and depth
// aside), and that what it writes reads back as itself.
func FuzzReader(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,"x",null,true]}`, `[[[]]]`, `"\u00e9"`, `{"a":1,"a":2}`, `1e5`, ` `, `{`, "[1,]", "0\v"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, w := NewReader(text), NewWriter(nil)
		walk(r, w)
		if r.End() != nil {
			return
		}
		require.True(t, json.Valid(text))
		r, again := NewReader(w.Bytes()), NewWriter(nil)
		walk(r, again)
		require.NoError(t, r.End())
		require.Equal(t, string(w.Bytes()), string(again.Bytes()))
	})
}
