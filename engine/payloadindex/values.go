package payloadindex

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sextantdb/sextant/engine/payload"
)

// Kind is the type of values that an index finds fast.
type Kind uint8

const (
	// Keyword indexes strings.
	Keyword Kind = iota + 1
	// Integer indexes integers that fit into 64 bits with sign.
	Integer
	// Float indexes all numbers, as floats.
	Float
	// Bool indexes true and false.
	Bool
	// Datetime indexes strings that are dates, in microseconds.
	Datetime
	// UUID indexes strings that are UUIDs, whatever their textual form.
	UUID
	// Geo indexes objects with the numbers lon and lat.
	Geo
	// FullText indexes the tokens of strings.
	FullText
)

// numeric reports whether keys are numbers rather than strings.
func (k Kind) numeric() bool {
	return k == Integer || k == Float || k == Bool || k == Datetime
}

// key is one value in the form in which it is sorted: n for numeric kinds, s
// for the others; the unused one is zero.
type key struct {
	n uint64
	s string
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.n, o.n), strings.Compare(k.s, o.s))
}

// span is the keys from lo on, below hi unless it is open.
type span struct {
	lo, hi key
	open   bool
	check  bool // each key must be looked at as well
}

// all is the span of every key.
func all(check bool) span { return span{open: true, check: check} }

// exactly is the span of one key.
func exactly(k key, kind Kind) span {
	if !kind.numeric() {
		return span{lo: k, hi: key{s: k.s + "\x00"}}
	}
	return between(k.n, k.n)
}

// between is the span of the numeric keys from lo to hi, both included.
func between(lo, hi uint64) span {
	if hi == math.MaxUint64 {
		return span{lo: key{n: lo}, open: true}
	}
	return span{lo: key{n: lo}, hi: key{n: hi + 1}}
}

// startingWith is the span of the string keys with a prefix.
func startingWith(prefix string) span {
	b := []byte(prefix)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return span{lo: key{s: prefix}, open: true}
	}
	b[len(b)-1]++
	return span{lo: key{s: prefix}, hi: key{s: string(b)}}
}

// above is the part of sp after k.
func above(sp span, k key, numeric bool) span {
	switch {
	case !numeric:
		sp.lo = key{s: k.s + "\x00"}
	case k.n == math.MaxUint64:
		sp.lo, sp.hi, sp.open = k, k, false
	default:
		sp.lo = key{n: k.n + 1}
	}
	return sp
}

func intKey(n int64) uint64 { return uint64(n) ^ 1<<63 }
func keyInt(k uint64) int64 { return int64(k ^ 1<<63) }
func floatKey(f float64) uint64 {
	if f == 0 {
		f = 0 // −0 is the same value
	}
	b := math.Float64bits(f)
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

func keyFloat(k uint64) float64 {
	if k>>63 != 0 {
		return math.Float64frombits(k &^ (1 << 63))
	}
	return math.Float64frombits(^k)
}

// keyOf returns the key of a value, false when the kind doesn't index it. Text
// has many keys a value and isn't served here.
func keyOf(kind Kind, v payload.Value) (k key, ok bool) {
	switch kind {
	case Keyword:
		s, ok := v.Text()
		return key{s: string(s)}, ok
	case Integer:
		n, ok := v.Int()
		return key{n: intKey(n)}, ok
	case Float:
		f, ok := v.Float()
		return key{n: floatKey(f)}, ok
	case Bool:
		b, ok := v.Bool()
		if b {
			k.n = 1
		}
		return k, ok
	case Datetime:
		s, ok := v.Text()
		if !ok {
			return k, false
		}
		t, ok := ParseDatetime(s)
		return key{n: intKey(t)}, ok
	case UUID:
		s, ok := v.Text()
		if !ok {
			return k, false
		}
		u, err := uuid.ParseBytes(s)
		return key{s: string(u[:])}, err == nil
	case Geo:
		p, ok := geoPoint(v)
		if !ok {
			return k, false
		}
		return key{s: geoKey(p)}, true
	default:
		return k, false
	}
}

// row is what the index keeps of one document.
type row struct {
	keys   []key    // sorted, each once
	counts []uint32 // numbers of values, unless that is 1 once
	flags  flags
}

// flags say what a document's field is apart from its keys.
type flags uint8

const (
	// present: the path selects something.
	present flags = 1 << iota
	// filled: something that is neither null nor [].
	filled
	// null: null, or an array with a null.
	null
	// other: a value that isn't null and has no key.
	other
	numFlags = iota
)

// extract reads a document's row.
func (c *Config) extract(o payload.Object) (r row) {
	regular := true
	c.Path.Visit(o, func(v payload.Value) bool {
		n := valueCount(v)
		regular = regular && n == 1 && r.flags&present == 0
		r.flags |= present
		r.counts = append(r.counts, uint32(n))
		if !isEmpty(v) {
			r.flags |= filled
		}
		if v.Kind() != payload.Array {
			c.extractOne(&r, v)
		}
		for e := range v.Elements() {
			c.extractOne(&r, e)
		}
		return true
	})
	if regular {
		r.counts = nil
	}
	slices.Sort(r.counts)
	r.counts = slices.Compact(r.counts)
	if len(r.keys) > 1 {
		slices.SortFunc(r.keys, key.compare)
		r.keys = slices.Compact(r.keys)
	}
	return r
}

func (c *Config) extractOne(r *row, v payload.Value) {
	if v.Kind() == payload.Null {
		r.flags |= null
		return
	}
	if c.Kind == FullText {
		s, ok := v.Text()
		if !ok {
			r.flags |= other
			return
		}
		for token := range c.Tokenizer.Document(string(s)) {
			r.keys = append(r.keys, key{s: token})
		}
		return
	}
	k, ok := keyOf(c.Kind, v)
	if !ok {
		r.flags |= other
		return
	}
	r.keys = append(r.keys, k)
}

// indexes reports whether a document has a key: what extract finds out, without
// reading more than the first one.
func (c *Config) indexes(o payload.Object) (found bool) {
	keyed := func(v payload.Value) bool {
		if c.Kind != FullText {
			_, ok := keyOf(c.Kind, v)
			return ok
		}
		if s, ok := v.Text(); ok {
			for range c.Tokenizer.Document(string(s)) {
				return true
			}
		}
		return false
	}
	c.Path.Visit(o, func(v payload.Value) bool {
		found = v.Kind() != payload.Array && keyed(v)
		for e := range v.Elements() {
			if found = found || keyed(e); found {
				break
			}
		}
		return !found
	})
	return found
}

// unchanged reports whether the path selects the same in both.
func (c *Config) unchanged(a, b payload.Object) bool {
	var selected []payload.Value
	c.Path.Visit(a, func(v payload.Value) bool {
		selected = append(selected, v)
		return true
	})
	same := true
	c.Path.Visit(b, func(v payload.Value) bool {
		same = len(selected) > 0 && bytes.Equal(selected[0], v)
		if same {
			selected = selected[1:]
		}
		return same
	})
	return same && len(selected) == 0
}
