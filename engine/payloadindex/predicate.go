package payloadindex

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/text"
)

// Tokenizer turns text into tokens, for stored values and for queries.
// *text.Analyzer is one.
type Tokenizer interface {
	// Document yields the tokens of a stored value.
	Document(text string) iter.Seq[string]
	// Query yields the tokens of the text of a condition.
	Query(text string) iter.Seq[string]
}

// Predicate is a condition on one field: one of the types of this file.
type Predicate interface {
	// one reports whether a single value (an element, for arrays) satisfies the
	// predicate; predicates about the field as a whole don't use it.
	one(v payload.Value, sem Semantics) bool
}

// Semantics is what the kind of a field's index changes about predicates, also
// where the index itself isn't used.
type Semantics struct {
	// Tokenizer is that of the field's text index. Without one, nil, text predicates compare
	// the tokens that a text index with the default options would have.
	Tokenizer Tokenizer
	// UUID is set when the field has a uuid index: strings that are UUIDs are
	// then equal in every textual form.
	UUID bool
}

// tokens returns the tokenizer of text predicates.
func (s Semantics) tokens() Tokenizer {
	if s.Tokenizer != nil {
		return s.Tokenizer
	}
	return new(text.Analyzer)
}

// Keywords is satisfied by a string of the set.
type Keywords struct {
	set   map[string]struct{}
	uuids map[uuid.UUID]struct{} // the elements of set that are UUIDs
}

// NewKeywords makes the predicate from its strings.
func NewKeywords(values ...string) Keywords {
	k := Keywords{set: make(map[string]struct{}, len(values)), uuids: map[uuid.UUID]struct{}{}}
	for _, s := range values {
		k.set[s] = struct{}{}
		if u, err := uuid.Parse(s); err == nil {
			k.uuids[u] = struct{}{}
		}
	}
	return k
}

func (p Keywords) one(v payload.Value, sem Semantics) bool {
	s, ok := v.Text()
	return ok && p.has(s, sem)
}

func (p Keywords) has(s []byte, sem Semantics) bool {
	if sem.UUID {
		if u, err := uuid.ParseBytes(s); err == nil {
			_, found := p.uuids[u]
			return found
		}
	}
	_, found := p.set[string(s)]
	return found
}

// ExceptKeywords is satisfied by any value but null and the strings of the set.
type ExceptKeywords struct{ Keywords }

func (p ExceptKeywords) one(v payload.Value, sem Semantics) bool {
	return v.Kind() != payload.Null && !p.Keywords.one(v, sem)
}

// Integers is satisfied by an integer (not a float) of the set.
type Integers struct{ set map[int64]struct{} }

// NewIntegers makes the predicate from its numbers.
func NewIntegers(values ...int64) Integers {
	p := Integers{set: make(map[int64]struct{}, len(values))}
	for _, n := range values {
		p.set[n] = struct{}{}
	}
	return p
}

func (p Integers) one(v payload.Value, _ Semantics) bool {
	n, ok := v.Int()
	_, found := p.set[n]
	return ok && found
}

// ExceptIntegers is satisfied by any value but null and the integers of the set.
type ExceptIntegers struct{ Integers }

func (p ExceptIntegers) one(v payload.Value, sem Semantics) bool {
	return v.Kind() != payload.Null && !p.Integers.one(v, sem)
}

// Is is satisfied by one of the two truth values.
type Is struct{ Value bool }

func (p Is) one(v payload.Value, _ Semantics) bool {
	b, ok := v.Bool()
	return ok && b == p.Value
}

// Prefix is satisfied by strings that begin with it.
type Prefix struct{ Prefix string }

func (p Prefix) one(v payload.Value, _ Semantics) bool {
	s, ok := v.Text()
	return ok && strings.HasPrefix(string(s), p.Prefix)
}

// Text is satisfied when all tokens of the query are found in the field.
type Text struct{ Query string }

func (p Text) one(payload.Value, Semantics) bool { return false } // about the field as a whole

// TextAny is satisfied when some token of the query is found in the field.
type TextAny struct{ Query string }

func (p TextAny) one(payload.Value, Semantics) bool { return false } // about the field as a whole

// Phrase is satisfied when the tokens of the query follow each other in one string.
type Phrase struct{ Query string }

func (p Phrase) one(payload.Value, Semantics) bool { return false } // its query is cut once, by Matcher

// hasPhrase tells whether tokens, of which there must be some, follow each other in a text.
func hasPhrase(text string, want []string, tok Tokenizer) bool {
	if len(want) == 0 {
		return false
	}
	// window holds the last len(want) tokens.
	window := make([]string, 0, 2*len(want))
	for token := range tok.Document(text) {
		if len(window) == cap(window) {
			window = append(window[:0], window[len(window)-len(want)+1:]...)
		}
		window = append(window, token)
		if n := len(window) - len(want); n >= 0 && equal(window[n:], want) {
			return true
		}
	}
	return false
}

func equal(a, b []string) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Bounds are the four optional limits of a range; all that are set must hold.
type Bounds[T int64 | uint64 | float64] struct{ Lt, Gt, Gte, Lte *T }

// Hold reports whether n is within the bounds.
func (b Bounds[T]) Hold(n T) bool {
	return (b.Lt == nil || n < *b.Lt) && (b.Gt == nil || n > *b.Gt) &&
		(b.Gte == nil || n >= *b.Gte) && (b.Lte == nil || n <= *b.Lte)
}

// Range is satisfied by numbers within the bounds; integers are compared as
// floats.
type Range struct{ Bounds[float64] }

func (p Range) one(v payload.Value, _ Semantics) bool {
	f, ok := v.Float()
	return ok && p.Hold(f)
}

// DatetimeRange is satisfied by strings that are dates within the bounds, which
// are in microseconds.
type DatetimeRange struct{ Bounds[int64] }

func (p DatetimeRange) one(v payload.Value, _ Semantics) bool {
	s, ok := v.Text()
	if !ok {
		return false
	}
	t, ok := ParseDatetime(s)
	return ok && p.Hold(t)
}

// GeoBox is satisfied by points within two corners, edges excluded. It crosses
// the antimeridian when its west is east of its east.
type GeoBox struct{ TopLeft, BottomRight GeoPoint }

func (b GeoBox) one(v payload.Value, _ Semantics) bool { return inShape(b, v) }

// GeoRadius is satisfied by points nearer than a distance.
type GeoRadius struct {
	Center GeoPoint
	Metres float64
}

func (r GeoRadius) one(v payload.Value, _ Semantics) bool { return inShape(r, v) }

// GeoPolygon is satisfied by points inside the exterior ring and outside the
// interior ones, planar, boundaries excluded. Rings repeat their first point at
// the end.
type GeoPolygon struct {
	Exterior  []GeoPoint
	Interiors [][]GeoPoint
}

func (g GeoPolygon) one(v payload.Value, _ Semantics) bool { return inShape(g, v) }

func inShape(s shape, v payload.Value) bool {
	p, ok := geoPoint(v)
	return ok && s.contains(p)
}

// ValuesCount is satisfied by the number of values of the field: none for a
// missing field and null, the length of an array, 1 for anything else.
type ValuesCount struct{ Bounds[uint64] }

func (p ValuesCount) one(payload.Value, Semantics) bool { return false }

// IsEmpty is satisfied when the field is missing, null or [].
type IsEmpty struct{}

func (IsEmpty) one(payload.Value, Semantics) bool { return false }

// IsNull is satisfied when the field is null or an array with a null.
type IsNull struct{}

func (IsNull) one(payload.Value, Semantics) bool { return false }

// Matcher returns the test of payloads by a predicate on the field at a path, without index. What the text of a
// condition consists of is found out once.
func Matcher(p Predicate, path payload.Path, sem Semantics) func(payload.Object) bool {
	tok := sem.tokens()
	switch p := p.(type) {
	case Text:
		want := tokensOf(tok, p.Query)
		return func(o payload.Object) bool { return holdsTokens(want, len(want), o, path, tok) }
	case TextAny:
		want := tokensOf(tok, p.Query)
		return func(o payload.Object) bool { return holdsTokens(want, 1, o, path, tok) }
	case Phrase:
		want := slices.Collect(tok.Query(p.Query))
		return func(o payload.Object) bool {
			return anyScalar(o, path, func(v payload.Value) bool {
				s, ok := v.Text()
				return ok && hasPhrase(string(s), want, tok)
			})
		}
	default:
		return func(o payload.Object) bool { return holds(p, o, path, sem) }
	}
}

// anyScalar tells whether a test holds for some value at a path, arrays opened.
func anyScalar(o payload.Object, path payload.Path, is func(payload.Value) bool) bool {
	found := false
	path.EachScalar(o, func(v payload.Value) bool {
		found = is(v)
		return !found
	})
	return found
}

// holds evaluates a predicate other than those on text.
func holds(p Predicate, o payload.Object, path payload.Path, sem Semantics) bool {
	switch p := p.(type) {
	case ValuesCount:
		return holdsCount(p, o, path)
	case IsEmpty:
		empty := true
		path.Visit(o, func(v payload.Value) bool {
			empty = isEmpty(v)
			return empty
		})
		return empty
	case IsNull:
		return anyScalar(o, path, func(v payload.Value) bool { return v.Kind() == payload.Null })
	default:
		return anyScalar(o, path, func(v payload.Value) bool { return p.one(v, sem) })
	}
}

func isEmpty(v payload.Value) bool {
	switch v.Kind() {
	case payload.Null:
		return true
	case payload.Array:
		for range v.Elements() {
			return false
		}
		return true
	default:
		return false
	}
}

func holdsCount(p ValuesCount, o payload.Object, path payload.Path) bool {
	found, missing := false, true
	path.Visit(o, func(v payload.Value) bool {
		missing = false
		found = p.Hold(valueCount(v))
		return !found
	})
	return found || missing && p.Hold(0)
}

func valueCount(v payload.Value) uint64 {
	switch v.Kind() {
	case payload.Null:
		return 0
	case payload.Array:
		return uint64(v.Len())
	default:
		return 1
	}
}

// tokensOf returns the different tokens of a query.
func tokensOf(tok Tokenizer, query string) map[string]struct{} {
	tokens := map[string]struct{}{}
	for t := range tok.Query(query) {
		tokens[t] = struct{}{}
	}
	return tokens
}

// holdsTokens looks for enough of the wanted tokens among the tokens of all strings of the field. When none
// is wanted it never holds.
func holdsTokens(want map[string]struct{}, enough int, o payload.Object, path payload.Path, tok Tokenizer) bool {
	if len(want) == 0 {
		return false
	}
	left := want
	return anyScalar(o, path, func(v payload.Value) bool {
		s, ok := v.Text()
		if !ok {
			return false
		}
		for token := range tok.Document(string(s)) {
			if _, ok := left[token]; !ok {
				continue
			}
			if enough--; enough == 0 {
				return true
			}
			if len(left) == len(want) {
				left = maps.Clone(want) // others look into it, too
			}
			delete(left, token)
		}
		return false
	})
}
