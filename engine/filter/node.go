package filter

import (
	"cmp"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/dchest/siphash"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/payloadindex"
	"github.com/sextantdb/sextant/engine/point"
)

// node is one condition, or several combined.
type node interface {
	match(e *env) bool
	approx(src Source) approx
	estimate(total int) estimate
}

// estimate is a payloadindex.Estimate of any condition.
type estimate = payloadindex.Estimate

// env is one document, or one array element, under evaluation.
type env struct {
	src    Source
	doc    uint32
	object payload.Object
	loaded bool
}

func (e *env) payload() payload.Object {
	if !e.loaded {
		e.object, e.loaded = e.src.Payload(e.doc), true
	}
	return e.object
}

// and is satisfied when all of its nodes are; without nodes, always.
type and []node

func (n and) match(e *env) bool {
	for _, c := range n {
		if !c.match(e) {
			return false
		}
	}
	return true
}

func (n and) approx(src Source) approx {
	// The fewest first: when nothing is left the others needn't be asked.
	if len(n) == 1 {
		return n[0].approx(src)
	}
	total := src.Count()
	type part struct{ node, expected int }
	parts := make([]part, len(n))
	for i, c := range n {
		parts[i] = part{i, c.estimate(total).Exp}
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(a.expected, b.expected) })
	acc := exactly(everything())
	for _, p := range parts {
		if acc = acc.and(n[p.node].approx(src)); acc.high.empty() {
			break
		}
	}
	return acc
}

func (n and) estimate(total int) estimate {
	out := estimate{Min: total, Max: total}
	part, missing := 1.0, 0
	unsure := 0
	for _, c := range n {
		e := c.estimate(total)
		missing += total - e.Min
		out.Max = min(out.Max, e.Max)
		part *= fraction(e.Exp, total)
		unsure += e.Unsure
	}
	out.Min = min(max(0, total-missing), out.Max)
	out.Exp = clamp(int(math.Round(part*float64(total))), out)
	// Only what the others leave is looked at.
	out.Unsure = min(unsure, out.Max)
	return out
}

// or is satisfied when one of its nodes is; without nodes, never.
type or []node

func (n or) match(e *env) bool {
	for _, c := range n {
		if c.match(e) {
			return true
		}
	}
	return false
}

func (n or) approx(src Source) approx {
	acc := exactly(nothing())
	for _, c := range n {
		acc = acc.or(c.approx(src))
	}
	return acc
}

func (n or) estimate(total int) (out estimate) {
	rest := 1.0
	for _, c := range n {
		e := c.estimate(total)
		out.Min = max(out.Min, e.Min)
		out.Max = min(total, out.Max+e.Max)
		out.Unsure = min(total, out.Unsure+e.Unsure)
		rest *= 1 - fraction(e.Exp, total)
	}
	out.Exp = clamp(int(math.Round((1-rest)*float64(total))), out)
	return out
}

// not is satisfied when its node isn't.
type not struct{ node }

func (n not) match(e *env) bool        { return !n.node.match(e) }
func (n not) approx(src Source) approx { return n.node.approx(src).not() }

func (n not) estimate(total int) estimate {
	e := n.node.estimate(total)
	return estimate{Min: total - e.Max, Exp: total - e.Exp, Max: total - e.Min, Unsure: e.Unsure}
}

// atLeast is satisfied when at least min of its nodes are.
type atLeast struct {
	nodes []node
	min   int
}

func (n atLeast) match(e *env) bool {
	found := 0
	for i, c := range n.nodes {
		if found+len(n.nodes)-i < n.min {
			return false
		}
		if c.match(e) {
			if found++; found >= n.min {
				return true
			}
		}
	}
	return found >= n.min
}

// maxCounting bounds the set operations that counting with sets may take.
const maxCounting = 512

func (n atLeast) approx(src Source) approx {
	switch {
	case n.min > len(n.nodes):
		return exactly(nothing())
	case n.min == len(n.nodes):
		return and(n.nodes).approx(src)
	case n.min == 1:
		return or(n.nodes).approx(src)
	case n.min*len(n.nodes) > maxCounting:
		any1 := or(n.nodes).approx(src)
		return approx{low: nothing(), high: any1.high}
	}
	// counts[k] holds what satisfies at least k of the nodes seen so far.
	counts := make([]approx, n.min+1)
	counts[0] = exactly(everything())
	for k := 1; k <= n.min; k++ {
		counts[k] = exactly(nothing())
	}
	for _, c := range n.nodes {
		a := c.approx(src)
		for k := n.min; k > 0; k-- {
			counts[k] = counts[k].or(counts[k-1].and(a))
		}
	}
	return counts[n.min]
}

func (n atLeast) estimate(total int) estimate {
	switch {
	case n.min > len(n.nodes):
		return estimate{}
	case n.min == len(n.nodes):
		return and(n.nodes).estimate(total)
	}
	e := or(n.nodes).estimate(total)
	if n.min > 1 {
		e.Min, e.Exp = 0, e.Exp/n.min
	}
	return e
}

func fraction(n, total int) float64 {
	if total == 0 {
		return 0
	}
	return float64(n) / float64(total)
}

func clamp(n int, e estimate) int { return min(max(n, e.Min), e.Max) }

// guess is the estimate of a condition about which nothing is known.
func guess(total int) estimate {
	return estimate{Exp: total / 2, Max: total, Unsure: total}
}

// field is a condition on a field.
type field struct {
	pred  payloadindex.Predicate
	holds func(payload.Object) bool // pred without index; nil when nothing is evaluated
	index *payloadindex.Index       // nil when there is none, or inside nested
}

func (n field) match(e *env) bool {
	return n.holds(e.payload())
}

func (n field) approx(Source) approx {
	if n.index == nil {
		return unknown()
	}
	a, ok := n.index.Query(n.pred)
	switch {
	case !ok:
		return unknown()
	case a.Negated:
		return exactly(set{a.Sure, true})
	case a.Maybe.IsEmpty():
		return exactly(set{docs: a.Sure})
	default:
		return approx{low: set{docs: a.Sure}, high: set{docs: roaring.Or(a.Sure, a.Maybe)}}
	}
}

func (n field) estimate(total int) estimate {
	if n.index != nil {
		if e, ok := n.index.Estimate(n.pred, total); ok {
			return e
		}
	}
	return guess(total)
}

// nested is satisfied when some object in an array satisfies a filter of its own. An object
// that isn't in an array never does.
type nested struct {
	path  payload.Path // to the elements
	inner node
}

func (n nested) match(e *env) bool {
	found := false
	n.path.Visit(e.payload(), func(v payload.Value) bool {
		if o, ok := v.Object(); ok {
			found = n.inner.match(&env{src: e.src, doc: e.doc, object: o, loaded: true})
		}
		return !found
	})
	return found
}

func (n nested) approx(Source) approx        { return unknown() }
func (n nested) estimate(total int) estimate { return guess(total) }

// hasID is satisfied by some points.
type hasID map[point.ID]struct{}

func (n hasID) match(e *env) bool {
	_, ok := n[e.src.ID(e.doc)]
	return ok
}

func (n hasID) approx(src Source) approx {
	docs := make([]uint32, 0, len(n))
	for id := range n {
		if doc, ok := src.Lookup(id); ok {
			docs = append(docs, doc)
		}
	}
	slices.Sort(docs)
	b := roaring.New()
	b.AddMany(docs)
	return exactly(set{docs: b})
}

func (n hasID) estimate(total int) estimate {
	most := min(len(n), total)
	return estimate{Exp: most, Max: most}
}

// hasVector is satisfied by points with a vector of a name.
type hasVector string

func (n hasVector) match(e *env) bool {
	has, known := e.src.HasVector(string(n), e.doc)
	return has && known
}

func (n hasVector) approx(Source) approx { return unknown() }

func (n hasVector) estimate(total int) estimate {
	return estimate{Exp: total, Max: total, Unsure: total}
}

// slice is satisfied by one of total parts of all points, by the hash of the ID,
// which is a promise to clients.
type slice struct{ total, index uint32 }

func (n slice) match(e *env) bool {
	return siphash.Hash(0, 0, e.src.ID(e.doc).Hashed())%uint64(n.total) == uint64(n.index)
}

func (n slice) approx(Source) approx { return unknown() }

func (n slice) estimate(total int) estimate {
	return estimate{Exp: total / int(n.total), Max: total, Unsure: total}
}
