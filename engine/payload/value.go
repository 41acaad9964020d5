package payload

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math"
	"unicode/utf8"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Kind is the JSON type of a Value. Integers and floats are kept apart, so that
// 1 and 1.0 both come back as they were written.
type Kind uint8

const (
	// Missing is the kind of a Value that isn't there (or is malformed).
	Missing Kind = iota
	// Null is JSON null.
	Null
	// Bool is true or false.
	Bool
	// Int is an integer of −2^63 … 2^64−1.
	Int
	// Float is every other number.
	Float
	// String is text in UTF-8.
	String
	// Array is a JSON array.
	Array
	// Map is a JSON object.
	Map
)

// MaxDepth bounds how deeply arrays and objects nest, the outermost object
// counted. Everything that recurses over values relies on it.
const MaxDepth = 128

// The first byte of an encoded value.
const (
	tagNull byte = iota
	tagFalse
	tagTrue
	tagUint   // uvarint n
	tagNeg    // uvarint of −1−n
	tagFloat  // 8 bytes, little endian
	tagString // uvarint length, bytes
	tagArray  // uint32 length in bytes, values
	tagMap    // uint32 length in bytes, entries
)

// Value is one encoded JSON value, a view into an Object. The zero Value is
// Missing. Its methods never read outside it, whatever its bytes are: a
// malformed part reads as missing.
type Value []byte

// Kind returns the type of v.
func (v Value) Kind() Kind {
	if len(v) == 0 {
		return Missing
	}
	switch v[0] {
	case tagNull:
		return Null
	case tagFalse, tagTrue:
		return Bool
	case tagUint, tagNeg:
		return Int
	case tagFloat:
		return Float
	case tagString:
		return String
	case tagArray:
		return Array
	case tagMap:
		return Map
	}
	return Missing
}

// Bool returns the value of a Bool.
func (v Value) Bool() (b, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v[0] == tagTrue, true
}

// Int returns the value of an Int that fits into 64 bits with sign.
func (v Value) Int() (int64, bool) {
	if len(v) == 0 || v[0] != tagUint && v[0] != tagNeg {
		return 0, false
	}
	n, size := binary.Uvarint(v[1:])
	if size <= 0 || n > math.MaxInt64 {
		return 0, false
	}
	if v[0] == tagNeg {
		return -1 - int64(n), true
	}
	return int64(n), true
}

// Uint returns the value of an Int that isn't negative.
func (v Value) Uint() (uint64, bool) {
	if len(v) == 0 || v[0] != tagUint {
		return 0, false
	}
	n, size := binary.Uvarint(v[1:])
	return n, size > 0
}

// Float returns the value of an Int (rounded to the nearest float) or Float.
func (v Value) Float() (float64, bool) {
	switch v.Kind() {
	case Float:
		if len(v) < 9 {
			return 0, false
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(v[1:])), true
	case Int:
		if n, ok := v.Int(); ok {
			return float64(n), true
		}
		n, ok := v.Uint()
		return float64(n), ok
	default:
		return 0, false
	}
}

// Text returns the bytes of a String, sharing memory with v.
func (v Value) Text() ([]byte, bool) {
	if len(v) == 0 || v[0] != tagString {
		return nil, false
	}
	s, _, ok := cutBytes(v[1:])
	return s, ok
}

// Elements yields the elements of an Array, nothing for other kinds.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if len(v) == 0 || v[0] != tagArray {
			return
		}
		body, _, ok := cutBody(v[1:])
		for ok && len(body) > 0 {
			var e Value
			if e, body, ok = cutValue(body); ok && !yield(e) {
				return
			}
		}
	}
}

// Len returns the number of elements of an Array or keys of a Map, 0 for other
// kinds. It walks over them.
func (v Value) Len() (n int) {
	for range v.Elements() {
		n++
	}
	if o, ok := v.Object(); ok {
		for range o.All() {
			n++
		}
	}
	return n
}

// Object returns a Map as an Object, sharing memory with v.
func (v Value) Object() (Object, bool) {
	if len(v) == 0 || v[0] != tagMap {
		return nil, false
	}
	body, _, ok := cutBody(v[1:])
	return Object(body), ok
}

// All yields keys and values in order; the keys share memory with o.
func (o Object) All() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		for b := []byte(o); len(b) > 0; {
			key, v, rest, ok := cutEntry(b)
			if !ok || !yield(key, v) {
				return
			}
			b = rest
		}
	}
}

// Get returns the value of a key of the object itself; Missing when there is
// none.
func (o Object) Get(key string) Value {
	for b := []byte(o); len(b) > 0; {
		k, v, rest, ok := cutEntry(b)
		if !ok {
			return nil
		}
		if string(k) == key {
			return v
		}
		b = rest
	}
	return nil
}

// AsValue returns the object as a Value, copying it.
func (o Object) AsValue() Value {
	b := make([]byte, 0, len(o)+5)
	b = append(b, tagMap)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(o)))
	return append(b, o...)
}

// cutEntry cuts a key and its value off b.
func cutEntry(b []byte) (key []byte, v Value, rest []byte, ok bool) {
	if key, b, ok = cutBytes(b); !ok {
		return nil, nil, nil, false
	}
	v, rest, ok = cutValue(b)
	return key, v, rest, ok
}

// cutBytes cuts a length-prefixed string off b.
func cutBytes(b []byte) (s, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	end := size + int(n)
	return b[size:end:end], b[end:], true
}

// cutBody cuts the body of an array or object off b.
func cutBody(b []byte) (body, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.LittleEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	end := 4 + int(n)
	return b[4:end:end], b[end:], true
}

// cutValue cuts one value off b without looking into it.
func cutValue(b []byte) (v Value, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	var end int
	switch b[0] {
	case tagNull, tagFalse, tagTrue:
		end = 1
	case tagUint, tagNeg:
		_, size := binary.Uvarint(b[1:])
		if size <= 0 {
			return nil, nil, false
		}
		end = 1 + size
	case tagFloat:
		if end = 9; len(b) < end {
			return nil, nil, false
		}
	case tagString:
		_, after, ok := cutBytes(b[1:])
		if !ok {
			return nil, nil, false
		}
		end = len(b) - len(after)
	case tagArray, tagMap:
		_, after, ok := cutBody(b[1:])
		if !ok {
			return nil, nil, false
		}
		end = len(b) - len(after)
	default:
		return nil, nil, false
	}
	return Value(b[:end:end]), b[end:], true
}

// Check reports whether o is well formed: structure, depth, UTF-8, the shortest
// form of every length, finite floats, no key twice. Objects that come from
// outside the process (peers, files without checksum) are checked once; what
// this package makes always passes.
func Check(o Object) error {
	if !checkMap(o, 1) {
		return apierror.New(apierror.BadInput, "Malformed payload")
	}
	return nil
}

func checkMap(b []byte, depth int) bool {
	if depth > MaxDepth {
		return false
	}
	for rest := b; len(rest) > 0; {
		key, v, after, ok := cutEntry(rest)
		if !ok || !canonical(rest, uint64(len(key))) || !utf8.Valid(key) || !checkValue(v, depth) {
			return false
		}
		rest = after
	}
	return !hasDuplicates(b)
}

func checkValue(v Value, depth int) bool {
	switch v[0] {
	case tagUint:
		n, _ := binary.Uvarint(v[1:])
		return canonical(v[1:], n)
	case tagNeg:
		n, _ := binary.Uvarint(v[1:])
		return n <= math.MaxInt64 && canonical(v[1:], n)
	case tagFloat:
		f, _ := v.Float()
		return !math.IsNaN(f) && !math.IsInf(f, 0)
	case tagString:
		s, ok := v.Text()
		return ok && canonical(v[1:], uint64(len(s))) && utf8.Valid(s)
	case tagArray:
		if depth >= MaxDepth {
			return false
		}
		for rest := []byte(v[5:]); len(rest) > 0; {
			e, after, ok := cutValue(rest)
			if !ok || !checkValue(e, depth+1) {
				return false
			}
			rest = after
		}
	case tagMap:
		return checkMap(v[5:], depth+1)
	}
	return true
}

// canonical reports whether b begins with the shortest form of n.
func canonical(b []byte, n uint64) bool {
	var buf [binary.MaxVarintLen64]byte
	return bytes.HasPrefix(b, buf[:binary.PutUvarint(buf[:], n)])
}

// manyKeys is the number of keys above which a set finds duplicates faster than
// comparing each with each.
const manyKeys = 16

// hasDuplicates reports whether a key occurs twice among well-formed entries.
func hasDuplicates(b []byte) bool {
	var few [manyKeys][]byte
	var many map[string]struct{}
	n := 0
	for key := range Object(b).All() {
		if n < manyKeys {
			for _, k := range few[:n] {
				if bytes.Equal(k, key) {
					return true
				}
			}
			few[n] = key
			n++
			continue
		}
		if many == nil {
			many = make(map[string]struct{}, 2*manyKeys)
			for _, k := range few {
				many[string(k)] = struct{}{}
			}
		}
		if _, found := many[string(key)]; found {
			return true
		}
		many[string(key)] = struct{}{}
	}
	return false
}
