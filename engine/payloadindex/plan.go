package payloadindex

import (
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"
)

// certainty is what the index can say about some documents.
type certainty uint8

const (
	no certainty = iota
	maybe
	yes
)

// plan is how an index of one kind answers a predicate about single values: the
// documents with a key within the spans (that passes check, where a span asks
// for it), and those with values that the index doesn't hold.
type plan struct {
	spans  []span
	check  func(key) bool
	shape  string    // names check when it is about an area
	keys   certainty // of documents found by spans
	others certainty // of documents flagged other
}

// plan makes the plan of a predicate on a single value; false when looking at
// every document is as good. See the table in DESIGN.md.
func (ix *Index) plan(p Predicate) (plan, bool) {
	switch p := p.(type) {
	case Keywords:
		return ix.planKeywords(p)
	case ExceptKeywords:
		return ix.planExceptKeywords(p)
	case Integers:
		return ix.planIntegers(p)
	case ExceptIntegers:
		return ix.planExceptIntegers(p)
	case Is:
		return ix.planNative(Bool, func() []span {
			k := key{}
			if p.Value {
				k.n = 1
			}
			return []span{exactly(k, Bool)}
		})
	case Prefix:
		if ix.strings() && ix.cfg.Kind != Keyword {
			return plan{}, false
		}
		return ix.planNative(Keyword, func() []span { return []span{startingWith(p.Prefix)} })
	case Text:
		tok := ix.Semantics().tokens()
		want := tokensOf(tok, p.Query)
		pl, ok := ix.planTexts(func(s string) bool { return hasAny(s, want, tok) })
		if len(want) > 1 && pl.keys == yes {
			pl.keys = maybe // a document may have the tokens in several strings
		}
		return pl, ok
	case TextAny:
		tok := ix.Semantics().tokens()
		want := tokensOf(tok, p.Query)
		return ix.planTexts(func(s string) bool { return hasAny(s, want, tok) })
	case Phrase:
		tok := ix.Semantics().tokens()
		want := slices.Collect(tok.Query(p.Query))
		return ix.planTexts(func(s string) bool { return hasPhrase(s, want, tok) })
	case Range:
		return ix.planRange(p)
	case DatetimeRange:
		if ix.cfg.Kind == Keyword || ix.cfg.Kind == FullText {
			return plan{}, false
		}
		return ix.planNative(Datetime, func() []span {
			return boundSpan(keyInt, p.Bounds, 0, math.MaxUint64)
		})
	case GeoBox:
		return ix.planShape(p, true)
	case GeoRadius:
		return ix.planShape(p, false)
	case GeoPolygon:
		return ix.planShape(p, false)
	}
	return plan{}, false
}

// strings reports whether the index holds some strings in a form of its own.
func (ix *Index) strings() bool {
	switch ix.cfg.Kind {
	case Keyword, Datetime, UUID, FullText:
		return true
	default:
		return false
	}
}

// planNative is the plan of a predicate that only values of one kind satisfy:
// an index of that kind holds them all, and any other has them among the others.
func (ix *Index) planNative(kind Kind, spans func() []span) (plan, bool) {
	if ix.cfg.Kind != kind {
		return plan{others: maybe}, true
	}
	return plan{spans: spans(), keys: yes}, true
}

func (ix *Index) planKeywords(p Keywords) (plan, bool) {
	pl := plan{keys: yes}
	switch ix.cfg.Kind {
	case Keyword:
		for s := range p.set {
			pl.spans = append(pl.spans, exactly(key{s: s}, Keyword))
		}
	case UUID:
		for u := range p.uuids {
			pl.spans = append(pl.spans, exactly(key{s: string(u[:])}, UUID))
		}
		if len(p.uuids) < len(p.set) {
			pl.others = maybe
		}
	case Datetime:
		// Dates have several texts, and texts that are no dates are others.
		pl.keys, pl.others = maybe, maybe
		for s := range p.set {
			if t, ok := ParseDatetime(s); ok {
				pl.spans = append(pl.spans, exactly(key{n: intKey(t)}, Datetime))
			}
		}
	case FullText:
		return plan{}, false
	default:
		pl.others = maybe
	}
	return pl.sorted(), true
}

func (ix *Index) planExceptKeywords(p ExceptKeywords) (plan, bool) {
	switch ix.cfg.Kind {
	case Keyword:
		inner, _ := ix.planKeywords(p.Keywords)
		return plan{spans: gaps(inner.spans), keys: yes, others: yes}, true
	case UUID:
		inner, _ := ix.planKeywords(p.Keywords)
		pl := plan{spans: gaps(inner.spans), keys: yes, others: yes}
		if len(p.uuids) < len(p.set) {
			pl.others = maybe
		}
		return pl, true
	case Datetime:
		return plan{spans: []span{all(false)}, keys: maybe, others: maybe}, true
	case FullText:
		return plan{}, false
	default:
		return plan{spans: []span{all(false)}, keys: yes, others: maybe}, true
	}
}

func (ix *Index) planIntegers(p Integers) (plan, bool) {
	var pl plan
	switch ix.cfg.Kind {
	case Integer:
		pl.keys = yes
		for n := range p.set {
			pl.spans = append(pl.spans, exactly(key{n: intKey(n)}, Integer))
		}
	case Float:
		// 1 and 1.0 have the same key, and large integers share one.
		pl.keys = maybe
		for n := range p.set {
			pl.spans = append(pl.spans, exactly(key{n: floatKey(float64(n))}, Float))
		}
	default:
		pl.others = maybe
	}
	return pl.sorted(), true
}

func (ix *Index) planExceptIntegers(p ExceptIntegers) (plan, bool) {
	switch ix.cfg.Kind {
	case Integer:
		inner, _ := ix.planIntegers(p.Integers)
		return plan{spans: gaps(inner.spans), keys: yes, others: yes}, true
	case Float:
		return plan{spans: []span{all(false)}, keys: maybe, others: yes}, true
	case FullText:
		return plan{}, false // a text without tokens has no key
	default:
		return plan{spans: []span{all(false)}, keys: yes, others: maybe}, true
	}
}

// planTexts is the plan of a text predicate where there is no text index: an index of keywords has all strings.
func (ix *Index) planTexts(holds func(string) bool) (plan, bool) {
	if ix.cfg.Kind == Keyword {
		return plan{
			spans: []span{all(true)},
			check: func(k key) bool { return holds(k.s) },
			keys:  yes,
		}, true
	}
	return plan{others: maybe}, !ix.strings()
}

// hasAny tells whether a text has any of some tokens.
func hasAny(s string, tokens map[string]struct{}, tok Tokenizer) bool {
	for t := range tok.Document(s) {
		if _, ok := tokens[t]; ok {
			return true
		}
	}
	return false
}

func (ix *Index) planRange(p Range) (plan, bool) {
	switch ix.cfg.Kind {
	case Integer:
		// Floats and large integers are among the others.
		spans := boundSpan(func(u uint64) float64 { return float64(keyInt(u)) }, p.Bounds, 0, math.MaxUint64)
		return plan{spans: spans, keys: yes, others: maybe}, true
	case Float:
		spans := boundSpan(keyFloat, p.Bounds, floatKey(math.Inf(-1)), floatKey(math.Inf(1)))
		return plan{spans: spans, keys: yes}, true
	default:
		return plan{others: maybe}, true
	}
}

func (ix *Index) planShape(s shape, rectangle bool) (plan, bool) {
	if ix.cfg.Kind != Geo {
		return plan{others: maybe}, true
	}
	return plan{
		spans: cover(s, rectangle),
		shape: fmt.Sprintf("%T%v", s, s),
		check: func(k key) bool {
			p, ok := geoKeyPoint(k.s)
			return ok && s.contains(p)
		},
		keys: yes,
	}, true
}

// boundSpan returns the span of the keys lowest … highest whose values hold.
// value must not decrease, so that the limits are found by bisection, without
// arithmetic on bounds that the type of the key can't express.
func boundSpan[T int64 | float64](value func(uint64) T, b Bounds[T], lowest, highest uint64) []span {
	lo := bisect(lowest, highest, func(u uint64) bool {
		return Bounds[T]{Gt: b.Gt, Gte: b.Gte}.Hold(value(u))
	})
	// The first key that is too high; highest itself may hold.
	hi := bisect(lowest, highest, func(u uint64) bool {
		return !(Bounds[T]{Lt: b.Lt, Lte: b.Lte}).Hold(value(u))
	})
	if !b.Hold(value(hi)) {
		if hi == lowest {
			return nil
		}
		hi--
	}
	if lo > hi || !b.Hold(value(lo)) {
		return nil
	}
	return []span{between(lo, hi)}
}

// bisect returns the first of lo … hi for which f is true, or hi.
func bisect(lo, hi uint64, f func(uint64) bool) uint64 {
	for lo < hi {
		mid := lo + (hi-lo)/2
		if f(mid) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// sorted brings the spans into order, which gaps needs.
func (p plan) sorted() plan {
	slices.SortFunc(p.spans, func(a, b span) int { return a.lo.compare(b.lo) })
	return p
}

// gaps returns what lies before, between and after sorted, disjoint spans.
func gaps(spans []span) (between []span) {
	lo := key{}
	for _, sp := range spans {
		if lo.compare(sp.lo) < 0 {
			between = append(between, span{lo: lo, hi: sp.lo})
		}
		if sp.open {
			return between
		}
		lo = sp.hi
	}
	return append(between, span{lo: lo, open: true})
}

// uuidText is the canonical text of a uuid key.
func uuidText(k key) string {
	u, err := uuid.FromBytes([]byte(k.s))
	if err != nil {
		return ""
	}
	return u.String()
}
