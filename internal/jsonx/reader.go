// Package jsonx reads and writes JSON for the REST door and for payloads: a
// pull reader over a body that is wholly in memory, a float-array reader that
// outruns strconv, and an appending writer that formats float32 numbers the way
// clients of the public API expect them.
//
// It and engine/payload are the packages that know which JSON library is used.
// Nothing here knows a message of the public API; server/rest/dialect does.
//
// Invariants: a Reader never panics whatever the bytes are, never recurses (its
// callers do, no deeper than MaxDepth), and allocates no more than the bytes it
// was given justify.
package jsonx

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep Members and Elements may be nested; deeper bodies are
// refused, so that recursive readers need no check of their own.
const MaxDepth = 128

// maxKeys and maxKeyLen bound a Reader's table of member names.
const (
	maxKeys   = 256
	maxKeyLen = 64
)

// Kind is the kind of the next value: one of the constants below.
type Kind byte

// The kinds of JSON values.
const (
	Invalid Kind = 0 // malformed, or nothing left
	Object  Kind = '{'
	Array   Kind = '['
	String  Kind = '"'
	Number  Kind = '0'
	True    Kind = 't'
	False   Kind = 'f'
	Null    Kind = 'n'
)

// IsBool reports whether k is true or false.
func (k Kind) IsBool() bool { return k == True || k == False }

// Error is a fault of a JSON text, with its place.
type Error struct {
	// Msg says what is wrong, without the place.
	Msg string
	// Line and Column count from 1, columns in bytes.
	Line, Column int
}

// Error returns message and place.
func (e *Error) Error() string {
	return fmt.Sprintf("%s at line %d column %d", e.Msg, e.Line, e.Column)
}

// Reader pulls values out of one JSON text. Its first error sticks: from then
// on every method returns zero values and iterators end, so that callers check
// Err once. A Reader is for one goroutine.
//
// Every value must be consumed exactly once: by a typed method, by an iterator
// run to its end, by Raw or by Skip.
type Reader struct {
	text  []byte // what this reader reads
	whole []byte // the body text is part of, for places
	base  int    // where text begins in whole
	buf   bytes.Buffer
	dec   jsontext.Decoder
	depth int
	err   error
	keys  map[string]string
}

// NewReader returns a Reader of text, which must stay unchanged meanwhile.
// Nothing that a Reader returns shares memory with text, except Raw.
func NewReader(text []byte) *Reader {
	r := &Reader{}
	r.Reset(text)
	return r
}

// Reset makes r read another text, keeping its tables.
func (r *Reader) Reset(text []byte) {
	if len(r.keys) == maxKeys {
		// Full of somebody's map keys, most likely.
		clear(r.keys)
	}
	r.reset(text, text, 0, 0)
}

func (r *Reader) reset(text, whole []byte, base, depth int) {
	r.text, r.whole, r.base, r.depth, r.err = text, whole, base, depth, nil
	r.buf = *bytes.NewBuffer(text)
	r.dec.Reset(&r.buf, jsontext.AllowDuplicateNames(true))
}

// Sub returns a Reader of raw, which Raw of r returned: for values that can
// only be understood after a later sibling was seen. Places stay those of the
// whole body. Errors of the result must be handed back with Fail.
func (r *Reader) Sub(raw []byte) *Reader {
	base := r.base + cap(r.text) - cap(raw)
	s := &Reader{keys: r.keys}
	s.reset(raw, r.whole, base, r.depth)
	if r.err != nil {
		s.err = r.err
	}
	return s
}

// Err returns the first error, an *Error or what was given to Fail.
func (r *Reader) Err() error { return r.err }

// Fail makes err the error of r, unless it has one or err is nil.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Failf makes the formatted message, with the current place, the error of r.
func (r *Reader) Failf(format string, args ...any) {
	if r.err == nil {
		r.err = r.errorAt(int(r.dec.InputOffset()), fmt.Sprintf(format, args...))
	}
}

// FailDecoding makes err, which somebody met who read from Decoder, the error of
// r with its place; msg says what is wrong unless it is the syntax.
func (r *Reader) FailDecoding(err error, msg string) {
	if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		r.syntax(err)
		return
	}
	r.Failf("%s", msg)
}

// Missing fails r because a member that must be there is not, when missing.
func (r *Reader) Missing(missing bool, field string) {
	if missing {
		r.Failf("missing field `%s`", field)
	}
}

// NoVariant fails r because the next value has none of a union's shapes.
func (r *Reader) NoVariant(union string) {
	r.Failf("data did not match any variant of untagged enum %s", union)
}

func (r *Reader) errorAt(offset int, msg string) *Error {
	before := r.whole[:min(r.base+offset, len(r.whole))]
	return &Error{
		Msg:    msg,
		Line:   1 + bytes.Count(before, []byte{'\n'}),
		Column: len(before) - 1 - bytes.LastIndexByte(before, '\n'),
	}
}

// syntax records an error of the decoder.
func (r *Reader) syntax(err error) {
	if r.err != nil {
		return
	}
	if se, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		r.err = r.errorAt(int(se.ByteOffset), se.Err.Error())
		return
	}
	r.err = r.errorAt(len(r.text), "EOF while parsing a value")
}

// Kind returns the kind of the next value without consuming it; Invalid at the
// end and after an error.
func (r *Reader) Kind() Kind {
	if r.err != nil {
		return Invalid
	}
	switch k := r.dec.PeekKind(); k {
	case '{', '[', '"', '0', 't', 'f', 'n':
		return Kind(k)
	default:
		return Invalid
	}
}

// End fails r unless the text is used up.
func (r *Reader) End() error {
	if r.err == nil && len(bytes.TrimLeft(r.dec.UnreadBuffer(), " \t\r\n")) > 0 {
		r.Failf("trailing characters")
	}
	return r.err
}

// Raw consumes the next value and returns its text, which shares memory with
// the body. The value has been checked to be well-formed.
func (r *Reader) Raw() []byte {
	if r.err != nil {
		return nil
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		r.syntax(err)
		return nil
	}
	// The value ends where the decoder stands; slice the text itself, as v is
	// only good until the next call.
	end := int(r.dec.InputOffset())
	return r.text[end-len(v) : end]
}

// Skip consumes the next value.
func (r *Reader) Skip() {
	if r.err == nil {
		if err := r.dec.SkipValue(); err != nil {
			r.syntax(err)
		}
	}
}

// SkipNull consumes the next value when it is null, and reports that.
func (r *Reader) SkipNull() bool {
	if r.Kind() != Null {
		return false
	}
	r.Skip()
	return true
}

// Decoder lends the decoder underneath, for a value that another package reads
// token by token. An error of that package must be handed to Fail.
func (r *Reader) Decoder() *jsontext.Decoder { return &r.dec }

// enter consumes the beginning of an object or array.
func (r *Reader) enter(want Kind, expected string) bool {
	if k := r.Kind(); k != want {
		r.WrongType(expected)
		return false
	}
	if r.depth >= MaxDepth {
		r.Failf("recursion limit exceeded")
		return false
	}
	if _, err := r.dec.ReadToken(); err != nil {
		r.syntax(err)
		return false
	}
	r.depth++
	return true
}

// leave consumes the end of an object or array.
func (r *Reader) leave() {
	if r.err != nil {
		return
	}
	if _, err := r.dec.ReadToken(); err != nil {
		r.syntax(err)
		return
	}
	r.depth--
}

// Members consumes an object: it yields each member's name, and its consumer
// must consume the member's value. Breaking out of the loop is an error of the
// program and leaves the Reader in the middle of the object.
func (r *Reader) Members() iter.Seq[string] {
	return func(yield func(string) bool) {
		if !r.enter(Object, "an object") {
			return
		}
		for r.err == nil && r.dec.PeekKind() != '}' {
			name, ok := r.name()
			if !ok || !yield(name) {
				return
			}
		}
		r.leave()
	}
}

// Fields is Members without the members that are null: a null field of a
// request is the same as none.
func (r *Reader) Fields() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range r.Members() {
			if r.SkipNull() {
				continue
			}
			if !yield(name) {
				return
			}
		}
	}
}

// Elements consumes an array: it yields each element's position, and its
// consumer must consume the element.
func (r *Reader) Elements() iter.Seq[int] {
	return func(yield func(int) bool) {
		if !r.enter(Array, "a sequence") {
			return
		}
		for i := 0; r.err == nil && r.dec.PeekKind() != ']'; i++ {
			if !yield(i) {
				return
			}
		}
		r.leave()
	}
}

// name reads a member's name, from the table of names when it can.
func (r *Reader) name() (string, bool) {
	v, err := r.dec.ReadValue()
	if err != nil {
		r.syntax(err)
		return "", false
	}
	if raw := v[1 : len(v)-1]; bytes.IndexByte(raw, '\\') < 0 {
		return r.intern(raw), true
	}
	return r.unquote(v), r.err == nil
}

func (r *Reader) intern(b []byte) string {
	if s, ok := r.keys[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) <= maxKeyLen {
		if r.keys == nil {
			r.keys = make(map[string]string, 32)
		}
		if len(r.keys) < maxKeys {
			r.keys[s] = s
		}
	}
	return s
}

func (r *Reader) unquote(v []byte) string {
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		r.syntax(err)
		return ""
	}
	return string(b)
}

// WrongType fails r because the next value is not what was expected; the text
// names both.
func (r *Reader) WrongType(expected string) {
	k := r.Kind()
	if r.err != nil {
		return
	}
	var found string
	switch k {
	case Object:
		found = "map"
	case Array:
		found = "sequence"
	case Null:
		found = "null"
	case Invalid:
		if _, err := r.dec.ReadValue(); err != nil {
			r.syntax(err)
			return
		}
	default:
		found = describe(k, r.Raw())
	}
	r.Failf("invalid type: %s, expected %s", found, expected)
}

// describe names a scalar in an error text, shortened.
func describe(k Kind, raw []byte) string {
	const most = 64
	if len(raw) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(raw[cut]) {
			cut--
		}
		raw = append(raw[:cut:cut], "…"...)
	}
	switch {
	case k == String:
		return "string " + string(raw)
	case k.IsBool():
		return "boolean `" + string(raw) + "`"
	case bytes.ContainsAny(raw, ".eE"):
		return "floating point `" + string(raw) + "`"
	default:
		return "integer `" + string(raw) + "`"
	}
}

// Text consumes a string.
func (r *Reader) Text() string {
	if r.Kind() != String {
		r.WrongType("a string")
		return ""
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		r.syntax(err)
		return ""
	}
	if raw := v[1 : len(v)-1]; bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	return r.unquote(v)
}

// Bool consumes true or false.
func (r *Reader) Bool() bool {
	k := r.Kind()
	if !k.IsBool() {
		r.WrongType("a boolean")
		return false
	}
	r.Skip()
	return k == True
}

// number consumes a number and returns its text.
func (r *Reader) number(expected string) string {
	if r.Kind() != Number {
		r.WrongType(expected)
		return ""
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		r.syntax(err)
		return ""
	}
	return string(v)
}

// Uint64 consumes an integer from 0 to 2⁶⁴−1; fractions and exponents are
// refused even when they stand for one.
func (r *Reader) Uint64() uint64 { return r.uint(64, "u64") }

// Uint32 consumes an integer from 0 to 2³²−1.
func (r *Reader) Uint32() uint32 { return uint32(r.uint(32, "u32")) }

func (r *Reader) uint(bits int, expected string) uint64 {
	s := r.number(expected)
	if r.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		r.badNumber(s, expected)
	}
	return n
}

// Int64 consumes an integer from −2⁶³ to 2⁶³−1.
func (r *Reader) Int64() int64 {
	s := r.number("i64")
	if r.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		r.badNumber(s, "i64")
	}
	return n
}

func (r *Reader) badNumber(s, expected string) {
	what := "type"
	if !bytes.ContainsAny([]byte(s), ".eE") {
		what = "value"
	}
	r.Failf("invalid %s: %s, expected %s", what, describe(Number, []byte(s)), expected)
}

// Float64 consumes a number.
func (r *Reader) Float64() float64 {
	s := r.number("f64")
	if r.err != nil {
		return 0
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		r.Failf("number out of range")
	}
	return f
}

// Float32 consumes a number and rounds it, by way of float64 as ParseFloats
// does.
func (r *Reader) Float32() float32 {
	f := float32(r.Float64())
	if f > maxFloat32 || f < -maxFloat32 {
		r.Failf("number out of range")
		return 0
	}
	return f
}

// Number consumes a number: as int64 when it is written as an integer that
// fits, else as float64.
func (r *Reader) Number() (n int64, f float64, isInt bool) {
	s := r.number("a number")
	if r.err != nil {
		return 0, 0, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, float64(n), true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		r.Failf("number out of range")
	}
	return 0, f, false
}
