package sparse

import (
	"context"
	"math"
	"math/bits"
	"slices"

	"github.com/sextantdb/sextant/engine/vector"
)

// window is the number of rows whose scores are accumulated at a time: their
// accumulators stay in the first-level cache.
const window = 4096

// scratch is the working memory of one search.
//
// A part is searched window by window. In each, the largest possible
// contribution of every list is known from its blocks. Lists that together
// cannot lift a row above the worst kept hit are not accumulated: rows that only
// they have are passed over, and they are looked up for the rows that the other
// lists have brought close enough (MaxScore, Turtle & Flood 1995, with block
// maxima, Ding & Suel 2011). Whole windows are passed over the same way.
type scratch struct {
	snap    *snapshot
	terms   []uint32
	weights []float64
	filter  vector.Filter
	top     topK
	profile Profile

	sums    [window]float64
	touched [window / 64]uint64
	cursors []cursor
	order   []*cursor // of the window, by ascending bound
	rows    []uint16  // candidates of the window, relative to its first row
}

// cursor walks the postings of one term of one part.
type cursor struct {
	weight     float64
	start, end uint32 // of the list
	pos        uint32 // next posting
	block      uint32 // its block
	blockLimit uint32 // behind the last block of the list; block == blockLimit: none
	firstBlock uint32
	bound      float64 // largest contribution in the list, then in the window; ≥ 0
}

func (s *scratch) begin(snap *snapshot, terms []uint32, weights []float64, q Query) {
	s.snap, s.terms, s.weights, s.filter = snap, terms, weights, q.Filter
	s.top.reset(q.K, q.ScoreThreshold)
	s.profile = Profile{Plan: "postings"}
}

// run does the search. The caller returns scratch to its pool; what must not be
// kept alive by it is let go here.
func (s *scratch) run(ctx context.Context) error {
	defer func() { s.snap, s.terms, s.weights, s.filter = nil, nil, nil, vector.Filter{} }()
	s.scanGrowing()
	if s.fewPass() {
		s.profile.Plan = "documents"
		return s.scanDocuments(ctx)
	}
	for _, p := range s.snap.view.parts {
		if err := s.scanPart(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// mortal is a set of rows that may be dead.
type mortal interface {
	alive(row int, version uint64) bool
}

// offer considers a row for the result.
func (s *scratch) offer(rows mortal, row int, doc uint32, score float64) {
	s.profile.Scored++
	h := vector.Hit{Doc: doc, Score: float32(score)}
	if s.top.wants(h) && rows.alive(row, s.snap.version) && s.filter.Passes(doc) {
		s.top.add(h)
	}
}

// scanGrowing scores all rows that are not sealed.
func (s *scratch) scanGrowing() {
	for _, g := range s.snap.growing {
		for row, doc := range g.docs {
			a, b := g.offsets[row], g.offsets[row+1]
			score, shares := dot(s.terms, s.weights, g.indices[a:b], g.values[a:b], s.snap.f16)
			if shares {
				s.offer(g, row, doc, score)
			}
		}
	}
}

// Costs of the two plans in the time of reading a posting: to find a document's
// row and start reading its vector, and to go over one element of it.
const (
	costDocument = 150
	costElement  = 1
)

// fewPass tells whether scoring the passing documents one by one is cheaper than
// reading the postings.
func (s *scratch) fewPass() bool {
	if s.filter.Docs == nil {
		return false
	}
	var postings, rows, elements float64
	for _, p := range s.snap.view.parts {
		rows += float64(p.rows())
		elements += float64(p.elements())
		for _, t := range s.terms {
			if i, ok := p.term(t); ok {
				postings += float64(p.starts[i+1] - p.starts[i])
			}
		}
	}
	each := costDocument + costElement*elements/max(rows, 1)
	return float64(s.filter.Docs.GetCardinality())*each < postings
}

// scanDocuments scores the passing documents one by one.
func (s *scratch) scanDocuments(ctx context.Context) error {
	it := s.filter.Docs.Iterator()
	for n := 0; it.HasNext(); n++ {
		if n&1023 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		doc := it.Next()
		score, shares, err := s.snap.score(doc, nil, s.terms, s.weights)
		if err != nil {
			return err
		}
		if !shares {
			continue
		}
		s.profile.Scored++
		if h := (vector.Hit{Doc: doc, Score: float32(score)}); s.top.wants(h) {
			s.top.add(h)
		}
	}
	return nil
}

func (s *scratch) scanPart(ctx context.Context, p *part) error {
	s.cursors = s.cursors[:0]
	magnitude := 0.0 // of the sums: what rounding errors are relative to
	for i, t := range s.terms {
		if n, ok := p.term(t); ok {
			c := cursor{
				weight: s.weights[i],
				start:  p.starts[n], end: p.starts[n+1], pos: p.starts[n],
				block: p.blocks[n], firstBlock: p.blocks[n], blockLimit: p.blocks[n+1],
			}
			c.bound = contribution(c.weight, p.maxima[n], p.minima[n])
			magnitude += math.Abs(c.weight) * math.Max(math.Abs(float64(p.maxima[n])), math.Abs(float64(p.minima[n])))
			s.cursors = append(s.cursors, c)
		}
	}
	if s.hopeless(magnitude) {
		return nil
	}
	for base := 0; base < p.rows() && len(s.cursors) > 0; base += window {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.scanWindow(p, base, magnitude)
	}
	return nil
}

// hopeless tells whether no row of a part can be kept.
func (s *scratch) hopeless(magnitude float64) bool {
	sum := 0.0
	for _, c := range s.cursors {
		sum += c.bound
	}
	return sum < s.cut(magnitude)
}

// contribution bounds what a list adds to a score: nothing when it lacks the row.
func contribution(weight float64, high, low float32) float64 {
	return max(weight*float64(high), weight*float64(low), 0)
}

// cut returns the sum below which a row is not kept, with a margin for rounding:
// hits are compared as float32, bounds are sums in another order.
func (s *scratch) cut(magnitude float64) float64 {
	b := float64(s.top.bound())
	if math.IsInf(b, -1) {
		return b
	}
	return b - 1e-6*math.Abs(b) - 1e-12*magnitude
}

func (s *scratch) scanWindow(p *part, base int, magnitude float64) {
	total := s.enter(p, base)
	cut := s.cut(magnitude)
	if len(s.order) == 0 || total < cut {
		return
	}
	slices.SortFunc(s.order, func(a, b *cursor) int {
		switch {
		case a.bound < b.bound:
			return -1
		case a.bound > b.bound:
			return 1
		default:
			return 0
		}
	})
	rest, optional := 0.0, 0 // the lists that alone can't do it, and their sum
	for optional < len(s.order) && rest+s.order[optional].bound < cut {
		rest += s.order[optional].bound
		optional++
	}
	for _, c := range s.order[optional:] {
		s.accumulate(p, c, base)
	}
	s.collect(cut - rest)
	for i := optional - 1; i >= 0 && len(s.rows) > 0; i-- {
		rest -= s.order[i].bound
		s.lookUp(p, s.order[i], base, cut-rest)
	}
	for _, r := range s.rows {
		row := base + int(r)
		s.offer(p, row, p.docs[row], s.sums[r])
	}
	s.clear()
}

// enter moves the cursors to the window, lists those with postings in it, and
// returns the sum of their bounds. Cursors at their end are dropped.
func (s *scratch) enter(p *part, base int) (total float64) {
	s.order = s.order[:0]
	left := 0
	for i := range s.cursors {
		c := s.cursors[i]
		c.advance(p, base)
		if c.pos < c.end {
			s.cursors[left] = c
			left++
		}
	}
	s.cursors = s.cursors[:left]
	for i := range s.cursors {
		c := &s.cursors[i]
		if int(p.postings[c.pos]) >= base+window {
			continue
		}
		if c.block < c.blockLimit {
			c.boundWindow(p, base)
		}
		total += c.bound
		s.order = append(s.order, c)
	}
	return total
}

// advance moves to the first posting whose row is not before row.
func (c *cursor) advance(p *part, row int) {
	if c.block < c.blockLimit && int(p.blockEnd[c.block]) < row {
		for c.block < c.blockLimit && int(p.blockEnd[c.block]) < row {
			c.block++
		}
		c.pos = min(c.end, c.start+(c.block-c.firstBlock)*blockSize)
	}
	for c.pos < c.end && int(p.postings[c.pos]) < row {
		c.pos++
	}
}

// boundWindow sets bound from the blocks that reach into the window.
func (c *cursor) boundWindow(p *part, base int) {
	high, low := p.blockMax[c.block], p.blockMin[c.block]
	for b := c.block; int(p.blockEnd[b]) < base+window-1 && b+1 < c.blockLimit; {
		b++
		high, low = max(high, p.blockMax[b]), min(low, p.blockMin[b])
	}
	c.bound = contribution(c.weight, high, low)
}

// accumulate adds a list's part of the window to the sums.
func (s *scratch) accumulate(p *part, c *cursor, base int) {
	list := p.postings[c.pos:c.end]
	n := 0
	if p.half() {
		halves := p.halves[c.pos:c.end]
		halves = halves[:len(list)]
		for i, row := range list {
			r := int(row) - base
			if r >= window {
				break
			}
			s.sums[r] += c.weight * float64(fromHalf(halves[i]))
			s.touched[r>>6] |= 1 << (r & 63)
			n++
		}
	} else {
		weights := p.weights[c.pos:c.end]
		weights = weights[:len(list)]
		for i, row := range list {
			r := int(row) - base
			if r >= window {
				break
			}
			s.sums[r] += c.weight * float64(weights[i])
			s.touched[r>>6] |= 1 << (r & 63)
			n++
		}
	}
	c.pos += uint32(n)
	s.profile.Postings += n
}

// collect lists the rows whose sum is at least cut.
func (s *scratch) collect(cut float64) {
	s.rows = s.rows[:0]
	for w, word := range s.touched {
		for ; word != 0; word &= word - 1 {
			r := w<<6 | bits.TrailingZeros64(word)
			if s.sums[r] >= cut {
				s.rows = append(s.rows, uint16(r))
			}
		}
	}
}

// lookUp adds a list to the sums of the candidates, and keeps those whose sum is
// at least cut.
func (s *scratch) lookUp(p *part, c *cursor, base int, cut float64) {
	kept := s.rows[:0]
	for _, r := range s.rows {
		row := base + int(r)
		c.advance(p, row)
		if c.pos < c.end && int(p.postings[c.pos]) == row {
			s.sums[r] += c.weight * float64(p.weight(int(c.pos)))
			s.profile.Postings++
		}
		if s.sums[r] >= cut {
			kept = append(kept, r)
		}
	}
	s.rows = kept
}

// clear makes the sums zero again.
func (s *scratch) clear() {
	for w, word := range s.touched {
		for ; word != 0; word &= word - 1 {
			s.sums[w<<6|bits.TrailingZeros64(word)] = 0
		}
		s.touched[w] = 0
	}
}
