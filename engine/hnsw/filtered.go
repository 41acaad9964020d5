package hnsw

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// A walk with Accept follows refused rows as well, so that it has a multiple of the candidates
// of one without, and knows how near the accepted ones are only when it has enough
// of them. Only as many candidates as it will probably follow are kept in order;
// those behind lie in s.far until it turns out that they are needed.

// accepts tells whether a node's chain has an accepted row.
func (g *Graph) accepts(accept func(uint32) bool, row uint32) bool {
	if accept(row) {
		return true
	}
	if g.chained.Load() == 0 {
		return false
	}
	for next := atomic.LoadUint32(&g.chain[row]); next != 0; next = atomic.LoadUint32(&g.chain[next-1]) {
		if accept(next - 1) {
			return true
		}
	}
	return false
}

// seedFiltered begins a filtered walk.
func (g *Graph) seedFiltered(s *searcher, p Params) {
	limit := navLimit(p.Ef)
	if p.Expected > 0 {
		limit = min(limit, max(p.Expected, minOrdered))
	}
	s.seed(limit)
	s.far = s.far[:0]
	s.found.reset(p.Ef)
	for _, c := range s.nav.items {
		if g.accepts(p.Accept, c.Row) {
			s.found.insert(c)
		}
	}
}

// minOrdered is the number of candidates that are kept in order at least.
const minOrdered = 32

// collect inserts what a filtered walk has met. It returns the lowest position that changed, and tells whether an accepted row was
// near enough to be kept.
func (g *Graph) collect(s *searcher, cur int, accept func(uint32) bool, rows []uint32, distances []float32) (low int, accepted bool) {
	nav, found := &s.nav, &s.found
	low = len(nav.items)
	for i, d := range distances {
		d = farIfNaN(d)
		bound := found.bound()
		if d > bound || d >= bound && len(found.items) == found.limit {
			continue
		}
		at := s.keep(Candidate{Distance: d, Row: rows[i]})
		if at < cur+soon {
			g.prefetch(rows[i])
		}
		low = min(low, at)
		if g.accepts(accept, rows[i]) {
			found.insert(Candidate{Distance: d, Row: rows[i]})
			accepted = true
		}
	}
	return low, accepted
}

// keep puts a candidate of a filtered walk into the pool, and what falls out of it, or the
// candidate itself, behind the pool. It returns the candidate's position.
func (s *searcher) keep(c Candidate) int {
	nav := &s.nav
	if len(nav.items) < nav.limit {
		return nav.insert(c)
	}
	last := &nav.items[len(nav.items)-1]
	if !(c.Distance < last.Distance) {
		s.putFar(c)
		return len(nav.items)
	}
	if last.Row&expanded == 0 {
		s.putFar(*last)
	}
	return nav.insert(c)
}

func (s *searcher) putFar(c Candidate) {
	if len(s.far) < navLimit(s.found.limit) {
		s.far = append(s.far, c)
	}
}

// refill puts the nearest candidates that lie behind the pool into it, when all in it from
// position cur on have been followed. It returns the position from which on to go on.
func (s *searcher) refill(cur int, bound float32) int {
	nav := &s.nav
	cur = nav.unfollowed(cur)
	if cur < len(nav.items) || len(s.far) == 0 {
		return cur
	}
	s.far = slices.DeleteFunc(s.far, func(c Candidate) bool { return c.Distance > bound })
	slices.SortFunc(s.far, func(a, b Candidate) int { return cmp.Compare(a.Distance, b.Distance) })
	nav.limit = min(2*nav.limit, navLimit(s.found.limit)) // more are followed than was expected
	n := min(len(s.far), nav.limit)
	if n == 0 {
		return cur
	}
	nav.items = append(nav.items[:0], s.far[:n]...)
	s.far = slices.Delete(s.far, 0, n)
	return 0
}

const (
	// navFactor bounds the candidates of a filtered walk by a multiple of Ef, which
	// matters only when almost everything near is refused.
	navFactor = 64
	// navLeast is added to that.
	navLeast = 1024
)

// navLimit bounds the candidates in order, and those behind them.
func navLimit(ef int) int { return min(ef, MaxRows/navFactor)*navFactor + navLeast }
