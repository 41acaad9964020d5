package payloadindex

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"
)

// Value is one value of a field as the index holds it: Text for Keyword and UUID
// (canonical form), Int for Integer and Datetime (microseconds), Float, or Bool.
type Value struct {
	Kind  Kind
	Text  string
	Int   int64
	Float float64
	Bool  bool
}

// Compare orders values of the same kind.
func (v Value) Compare(o Value) int {
	return cmp.Or(strings.Compare(v.Text, o.Text), cmp.Compare(v.Int, o.Int), cmp.Compare(v.Float, o.Float))
}

// value turns a key into a Value with memory of its own.
func (ix *Index) value(k key) Value {
	v := Value{Kind: ix.cfg.Kind}
	switch v.Kind {
	case Integer, Datetime:
		v.Int = keyInt(k.n)
	case Float:
		v.Float = keyFloat(k.n)
	case Bool:
		v.Bool = k.n == 1
		v.Int = int64(k.n) // for Compare
	case UUID:
		v.Text = uuidText(k)
	default:
		v.Text = strings.Clone(k.s)
	}
	return v
}

// Ordered reports whether Scan serves the kind.
func (k Kind) Ordered() bool { return k == Integer || k == Float || k == Datetime }

// Facetable reports whether Facet serves the kind.
func (k Kind) Facetable() bool { return k == Keyword || k == Integer || k == UUID || k == Bool }

// Values returns the values of a document, sorted, each once.
func (ix *Index) Values(doc uint32) (values []Value) {
	st := ix.acquire()
	defer func() { _ = st.release() }()
	add := func(k key) { values = append(values, ix.value(k)) }
	if func() bool {
		ix.mu.RLock()
		defer ix.mu.RUnlock()
		if !st.growing.touched().Contains(doc) {
			return false
		}
		st.growing.keys(doc, add)
		return true
	}() {
		return values
	}
	for _, l := range slices.Backward(st.layers) {
		if l.touched().Contains(doc) {
			l.keys(doc, add)
			return values
		}
	}
	return nil
}

// From is where an ordered scan starts: the first value that isn't before it.
// Floats are compared with integers by value.
type From struct {
	Float   float64
	Int     int64
	IsFloat bool
}

// Scan calls visit for each value of each document in the order of values, and
// of documents where values are equal, until it returns false. A document with
// several values occurs once for each. from (nil: the end where the direction
// starts) is included. The kind must be Ordered, else nothing is visited.
//
// What is visited is the state of a moment near the call: the growing layer is
// read in steps between which the mutator may go on.
func (ix *Index) Scan(from *From, descending bool, visit func(v Value, doc uint32) bool) {
	if !ix.cfg.Kind.Ordered() {
		return
	}
	st := ix.acquire()
	defer func() { _ = st.release() }()
	cursors := ix.scanCursors(st, ix.scanSpan(from, descending), descending)
	for {
		best := -1
		for i := range cursors {
			if !cursors[i].ok {
				continue
			}
			c := 0
			if best >= 0 {
				c = cursors[i].key.compare(cursors[best].key)
			}
			if best < 0 || c < 0 && !descending || c > 0 && descending {
				best = i
			}
		}
		if best < 0 {
			return
		}
		k := cursors[best].key
		docs := visibleDocs(cursors, k)
		v := ix.value(k)
		for _, doc := range docs {
			if !visit(v, doc) {
				return
			}
		}
	}
}

// scanCursor is a layer's place in a scan.
type scanCursor struct {
	step   func(span, []uint32) (key, []uint32, bool)
	hidden *roaring.Bitmap
	rest   span
	key    key
	docs   []uint32
	ok     bool
	down   bool
}

func (c *scanCursor) advance() {
	if c.key, c.docs, c.ok = c.step(c.rest, c.docs[:0]); !c.ok {
		return
	}
	if c.down {
		c.rest.hi, c.rest.open = c.key, false
	} else {
		c.rest = above(c.rest, c.key, true)
	}
}

func (ix *Index) scanCursors(st *state, sp span, descending bool) []scanCursor {
	ix.mu.RLock()
	newest := st.growing.touched().Clone()
	ix.mu.RUnlock()
	hidden := hiddenBy(st.layers)
	cursors := []scanCursor{{
		step: func(sp span, docs []uint32) (key, []uint32, bool) {
			ix.mu.RLock()
			defer ix.mu.RUnlock()
			return st.growing.next(sp, descending, docs)
		},
		hidden: roaring.New(), rest: sp, down: descending,
	}}
	for i, l := range st.layers {
		hidden[i].Or(newest)
		cursors = append(cursors, scanCursor{
			step: func(sp span, docs []uint32) (key, []uint32, bool) {
				return l.next(sp, descending, docs)
			},
			hidden: hidden[i], rest: sp, down: descending,
		})
	}
	for i := range cursors {
		cursors[i].advance()
	}
	return cursors
}

// visibleDocs returns the documents of k, sorted, and advances the cursors at k.
func visibleDocs(cursors []scanCursor, k key) (docs []uint32) {
	for i := range cursors {
		c := &cursors[i]
		if !c.ok || c.key != k {
			continue
		}
		for _, d := range c.docs {
			if !c.hidden.Contains(d) {
				docs = append(docs, d)
			}
		}
		c.advance()
	}
	slices.Sort(docs)
	return docs
}

func (ix *Index) scanSpan(from *From, descending bool) span {
	if from == nil {
		return all(false)
	}
	var spans []span
	switch {
	case ix.cfg.Kind == Float:
		f := from.Float
		if !from.IsFloat {
			f = float64(from.Int)
		}
		spans = boundSpan(keyFloat, startBounds(f, descending), floatKey(math.Inf(-1)), floatKey(math.Inf(1)))
	case from.IsFloat:
		spans = boundSpan(func(u uint64) float64 { return float64(keyInt(u)) }, startBounds(from.Float, descending), 0, math.MaxUint64)
	default:
		spans = boundSpan(keyInt, startBounds(from.Int, descending), 0, math.MaxUint64)
	}
	if len(spans) == 0 {
		return span{} // nothing lies between equal limits
	}
	return spans[0]
}

func startBounds[T int64 | float64](from T, descending bool) (b Bounds[T]) {
	if descending {
		b.Lte = &from
	} else {
		b.Gte = &from
	}
	return b
}

// Facet calls visit for each value that some document among within (nil: any)
// has, with the number of those documents, in no particular order. The kind must
// be Facetable, else nothing is visited.
func (ix *Index) Facet(within *roaring.Bitmap, visit func(v Value, count int)) {
	if !ix.cfg.Kind.Facetable() {
		return
	}
	st := ix.acquire()
	defer func() { _ = st.release() }()
	counts := map[key]int{}
	ix.mu.RLock()
	newest := st.growing.touched().Clone()
	for k, docs := range eachKey(st.growing, ix.cfg.Kind.numeric()) {
		counts[k] += countWithin(docs, nil, within)
	}
	ix.mu.RUnlock()
	hidden := hiddenBy(st.layers)
	for i, l := range st.layers {
		hidden[i].Or(newest)
		for k, docs := range eachKey(l, ix.cfg.Kind.numeric()) {
			counts[k] += countWithin(docs, hidden[i], within)
		}
	}
	for k, n := range counts {
		if n > 0 {
			visit(ix.value(k), n)
		}
	}
}

// eachKey yields the keys of a layer in order, with their documents.
func eachKey(l layer, numeric bool) func(yield func(key, []uint32) bool) {
	return func(yield func(key, []uint32) bool) {
		c := mergeCursor{layer: l, rest: all(false), numeric: numeric}
		for c.advance(); c.ok; c.advance() {
			if !yield(c.key, c.docs) {
				return
			}
		}
	}
}

func countWithin(docs []uint32, hidden, within *roaring.Bitmap) (n int) {
	if within == nil && (hidden == nil || hidden.IsEmpty()) {
		return len(docs)
	}
	for _, d := range docs {
		if (within == nil || within.Contains(d)) && (hidden == nil || !hidden.Contains(d)) {
			n++
		}
	}
	return n
}
