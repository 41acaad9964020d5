// Package dialect turns the JSON of Qdrant's REST API into the messages of the
// public API and back. It knows the shapes (unions, aliases, defaults of the
// text form) and the limits that the text form declares; it knows no HTTP, no
// collection and no point.
//
// server/rest calls it with bodies and answers; the benchmark's REST client may
// use it the other way round.
//
// Rules that hold everywhere:
//   - A member that no shape knows is ignored, except inside a filter, where
//     ignoring a misspelt condition would select more points than meant.
//   - A member that is null is the same as none.
//   - Unreadable text is an error of kind apierror.Format, a value outside its
//     limits one of kind apierror.Validation with the value's path.
//   - Payload is kept as payload.Object attached to its message, so that
//     integers beyond 2⁶³, the order of keys and 1 against 1.0 survive.
package dialect

import (
	"errors"
	"sync"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/jsonx"
)

// readers are reused for their tables.
//
//nolint:gochecknoglobals // a free list has no state that anyone could see
var readers = sync.Pool{New: func() any { return jsonx.NewReader(nil) }}

// read runs one reading function over a body, to its end.
func read[T any](body []byte, fn func(*jsonx.Reader) T) (T, error) {
	r := readers.Get().(*jsonx.Reader)
	r.Reset(body)
	defer func() {
		r.Reset(nil)
		readers.Put(r)
	}()
	v := fn(r)
	if err := r.End(); err != nil {
		var zero T
		return zero, formatError(err)
	}
	return v, nil
}

// formatError gives an error of the reader its public kind.
func formatError(err error) error {
	if _, ok := errors.AsType[*apierror.Error](err); ok {
		return err
	}
	return &apierror.Error{Kind: apierror.Format, Msg: err.Error(), Err: err}
}

// checked adds the limits' verdict to a message that was read.
func checked[T any](v T, err error, check func(*checks, T)) (T, error) {
	var c checks
	if err == nil {
		check(&c, v)
		err = c.err()
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

// list reads an array whose elements fn reads.
func list[T any](r *jsonx.Reader, fn func(*jsonx.Reader) T) []T {
	var out []T
	for range r.Elements() {
		out = append(out, fn(r))
	}
	return out
}

// oneOrMany reads an array of what fn reads, or one of them without array.
func oneOrMany[T any](r *jsonx.Reader, fn func(*jsonx.Reader) T) []T {
	if r.Kind() == jsonx.Array {
		return list(r, fn)
	}
	return []T{fn(r)}
}

func text(r *jsonx.Reader) string { return r.Text() }

// enum reads a string that names one of names, whose positions are the enum's
// numbers; empty names are numbers that the text form doesn't have.
func enum[E ~int32](r *jsonx.Reader, names []string) E {
	s := r.Text()
	n := number(names, s)
	if n < 0 {
		unknownVariant(r, s, names)
		return 0
	}
	return E(n)
}

func number(names []string, s string) int {
	for i, name := range names {
		if name == s && name != "" {
			return i
		}
	}
	return -1
}

func unknownVariant(r *jsonx.Reader, s string, names []string) {
	var expected []byte
	for _, name := range names {
		if name == "" {
			continue
		}
		if len(expected) > 0 {
			expected = append(expected, ", "...)
		}
		expected = append(append(append(expected, '`'), name...), '`')
	}
	r.Failf("unknown variant `%s`, expected one of %s", shorten(s), expected)
}

// shorten cuts what a client sent before it is quoted back.
func shorten(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// value reads any JSON value as a message; integers beyond 2⁶³ become floats.
func value(r *jsonx.Reader) *pb.Value {
	switch r.Kind() {
	case jsonx.Null:
		r.Skip()
		return &pb.Value{Kind: &pb.Value_NullValue{}}
	case jsonx.True, jsonx.False:
		return &pb.Value{Kind: &pb.Value_BoolValue{BoolValue: r.Bool()}}
	case jsonx.String:
		return &pb.Value{Kind: &pb.Value_StringValue{StringValue: r.Text()}}
	case jsonx.Number:
		n, f, isInt := r.Number()
		if isInt {
			return &pb.Value{Kind: &pb.Value_IntegerValue{IntegerValue: n}}
		}
		return &pb.Value{Kind: &pb.Value_DoubleValue{DoubleValue: f}}
	case jsonx.Array:
		return &pb.Value{Kind: &pb.Value_ListValue{ListValue: &pb.ListValue{Values: list(r, value)}}}
	default:
		return &pb.Value{Kind: &pb.Value_StructValue{StructValue: &pb.Struct{Fields: valueMap(r)}}}
	}
}

// valueMap reads an object as a map of messages.
func valueMap(r *jsonx.Reader) map[string]*pb.Value {
	m := map[string]*pb.Value{}
	for key := range r.Members() {
		m[key] = value(r)
	}
	return m
}
