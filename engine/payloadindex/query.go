package payloadindex

import (
	"github.com/RoaringBitmap/roaring/v2"
)

// Answer is what an index knows about a predicate. The documents that satisfy it
// are those of Sure, and some of Maybe, at which the caller must look. When
// Negated is set, Sure holds the documents that do not satisfy it, every other
// document of the shard does, and Maybe is empty. The sets belong to the caller;
// they hold no document that was removed before the call.
type Answer struct {
	Sure, Maybe *roaring.Bitmap
	Negated     bool
}

// Query answers p. It returns false when the index knows nothing that would
// save looking at every document.
func (ix *Index) Query(p Predicate) (Answer, bool) {
	q := reading{ix, ix.acquire()}
	defer q.release()
	if q.st.closed {
		return Answer{}, false
	}
	switch p := p.(type) {
	case IsEmpty:
		return Answer{Sure: q.flagged(filled), Maybe: roaring.New(), Negated: true}, true
	case IsNull:
		return Answer{Sure: q.flagged(null), Maybe: roaring.New()}, true
	case ValuesCount:
		return q.count(p), true
	case Text:
		if ix.cfg.Kind == FullText {
			return q.tokens(p.Query, true), true
		}
	case TextAny:
		if ix.cfg.Kind == FullText {
			return q.tokens(p.Query, false), true
		}
	case Phrase:
		if ix.cfg.Kind == FullText {
			// Positions aren't kept: the documents with all tokens are looked at.
			a := q.tokens(p.Query, true)
			return Answer{Sure: a.Maybe, Maybe: a.Sure}, true
		}
	}
	pl, ok := ix.plan(p)
	if !ok {
		return Answer{}, false
	}
	return q.run(pl), true
}

// reading is one read of the index on one list of layers.
type reading struct {
	ix *Index
	st *state
}

func (q reading) release() {
	// That a replaced file couldn't be closed changes no answer.
	_ = q.st.release()
}

// fold combines what the layers say, oldest first: a layer's documents replace
// what older ones say about them. The result shares no memory with the index.
func (q reading) fold(of func(layer) *roaring.Bitmap) *roaring.Bitmap {
	return q.foldCached("", of)
}

// foldCached is fold for what has an id.
func (q reading) foldCached(id string, of func(layer) *roaring.Bitmap) *roaring.Bitmap {
	acc := q.st.cache.get(id, func() *roaring.Bitmap { return stack(q.st.layers, of) })
	if id != "" {
		acc = acc.Clone()
	}
	q.ix.mu.RLock()
	defer q.ix.mu.RUnlock()
	if growing := q.st.growing; len(growing.rows) > 0 {
		acc.AndNot(growing.touched())
		acc.Or(of(growing))
	}
	return acc
}

func (q reading) flagged(f flags) *roaring.Bitmap {
	return q.fold(func(l layer) *roaring.Bitmap { return l.flagged(f) })
}

func (q reading) run(pl plan) Answer {
	a := Answer{Sure: roaring.New(), Maybe: roaring.New()}
	if len(pl.spans) > 0 {
		found := q.foldCached(pl.id(), func(l layer) *roaring.Bitmap { return collectSpans(l, pl) })
		a.add(found, pl.keys)
	}
	if pl.others != no {
		a.add(q.flagged(other), pl.others)
	}
	a.Maybe.AndNot(a.Sure)
	return a
}

func (a *Answer) add(docs *roaring.Bitmap, c certainty) {
	switch c {
	case yes:
		a.Sure.Or(docs)
	case maybe:
		a.Maybe.Or(docs)
	default:
	}
}

func collectSpans(l layer, pl plan) *roaring.Bitmap {
	var c collector
	for _, sp := range pl.spans {
		check := pl.check
		if !sp.check {
			check = nil
		}
		l.collect(sp, check, &c)
	}
	return c.result()
}

func (q reading) count(p ValuesCount) Answer {
	// Documents whose count is 1 aren't listed by counted.
	ofLayer := func(l layer) *roaring.Bitmap {
		var irregular, holding []uint32
		l.counted(func(doc, n uint32) {
			irregular = append(irregular, doc)
			if p.Hold(uint64(n)) {
				holding = append(holding, doc)
			}
		})
		out := setOf(holding)
		if p.Hold(1) {
			out.Or(roaring.AndNot(l.flagged(present), setOf(irregular)))
		}
		return out
	}
	if !p.Hold(0) {
		return Answer{Sure: q.fold(ofLayer), Maybe: roaring.New()}
	}
	return Answer{
		Sure: q.fold(func(l layer) *roaring.Bitmap {
			return roaring.AndNot(l.flagged(present), ofLayer(l))
		}),
		Maybe:   roaring.New(),
		Negated: true,
	}
}

func (q reading) tokens(query string, all bool) Answer {
	var acc *roaring.Bitmap
	for t := range tokensOf(q.ix.cfg.Tokenizer, query) {
		found := q.fold(func(l layer) *roaring.Bitmap {
			return collectSpans(l, plan{spans: []span{exactly(key{s: t}, FullText)}})
		})
		switch {
		case acc == nil:
			acc = found
		case all:
			acc.And(found)
		default:
			acc.Or(found)
		}
	}
	if acc == nil {
		acc = roaring.New()
	}
	return Answer{Sure: acc, Maybe: roaring.New()}
}

// Estimate says how many documents satisfy a predicate: at least, expected, at
// most. Unsure is how many documents the caller has to look at to know which.
type Estimate struct{ Min, Exp, Max, Unsure int }

// Estimate estimates p without building sets, for total live documents. It
// returns false when Query would.
func (ix *Index) Estimate(p Predicate, total int) (Estimate, bool) {
	switch p.(type) {
	case IsEmpty, IsNull, ValuesCount:
		return ix.estimateFlags(p, total), true
	case Text, TextAny, Phrase:
		if ix.cfg.Kind == FullText {
			return ix.estimateTokens(p, total), true
		}
	}
	pl, ok := ix.plan(p)
	if !ok {
		return Estimate{}, false
	}
	n, others := 0, 0
	for _, sp := range pl.spans {
		// A check of keys lets fewer pass, of which nothing is known beforehand.
		n += ix.entries(sp)
	}
	if pl.others != no {
		q := reading{ix, ix.acquire()}
		others = int(q.flagged(other).GetCardinality())
		q.release()
	}
	most := min(n+others, total)
	exp := min(n, most)
	if pl.others == yes {
		exp = most
	}
	if pl.check != nil {
		exp = (exp + 1) / 2
	}
	e := Estimate{Exp: exp, Max: most}
	if pl.keys == maybe {
		e.Unsure += n
	}
	if pl.others == maybe {
		e.Unsure += others
	}
	if len(pl.spans) == 1 && !pl.spans[0].check && pl.keys == yes && pl.spans[0].single() && ix.settled() {
		e.Min = exp
	}
	return e, true
}

// single reports whether sp can hold one key only, so that no document is
// counted twice.
func (sp span) single() bool {
	return !sp.open && (sp.hi.n == sp.lo.n+1 || sp.hi.s == sp.lo.s+"\x00")
}

// settled reports whether there is one layer only, so that nothing is hidden.
func (ix *Index) settled() bool {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	n := len(ix.state.layers)
	if len(ix.state.growing.rows) > 0 {
		n++
	}
	return n <= 1
}

// entries returns how many pairs of key and document lie within sp; pairs that a
// newer layer hides are counted too.
func (ix *Index) entries(sp span) (n int) {
	st := ix.acquire()
	defer func() { _ = st.release() }()
	for _, l := range st.layers {
		n += l.entries(sp)
	}
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return n + st.growing.entries(sp)
}

func (ix *Index) estimateFlags(p Predicate, total int) Estimate {
	a, ok := ix.Query(p)
	if !ok {
		return Estimate{Max: total, Unsure: total}
	}
	n := min(int(a.Sure.GetCardinality()), total)
	if a.Negated {
		n = total - n
	}
	return Estimate{Min: n, Exp: n, Max: n}
}

func (ix *Index) estimateTokens(p Predicate, total int) Estimate {
	query, all := "", true
	switch p := p.(type) {
	case Text:
		query = p.Query
	case Phrase:
		query = p.Query
	case TextAny:
		query, all = p.Query, false
	}
	n, seen := 0, false
	for t := range ix.cfg.Tokenizer.Query(query) {
		found := ix.entries(exactly(key{s: t}, FullText))
		switch {
		case !seen:
			n = found
		case all:
			n = min(n, found)
		default:
			n += found
		}
		seen = true
	}
	n = min(n, total)
	e := Estimate{Exp: n, Max: n}
	if _, ok := p.(Phrase); ok {
		e.Exp, e.Unsure = (n+1)/2, n
	}
	return e
}
