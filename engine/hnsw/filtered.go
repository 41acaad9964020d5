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

// collect inserts what a filtered walk has met, askedAtOnce rows at most. It returns the lowest position that
// changed, and tells whether an accepted row was near enough to be wanted.
func (g *Graph) collect(s *searcher, p *Params, rows []uint32, distances []float32) (low int, wanted bool) {
	var near, good group
	if len(s.found.items) < s.found.limit {
		near.n = copy(near.rows[:], rows)
		copy(near.distances[:], distances)
	} else {
		near.nearer(s.found.bound(), rows, distances)
	}
	if near.n == 0 {
		return len(s.nav.items), false
	}
	for i, row := range near.rows[:near.n] {
		if g.accepts(p.Accept, row) {
			good.rows[good.n], good.distances[good.n] = row, near.distances[i]
			good.n++
		}
	}
	if good.n > 0 {
		wanted = s.found.add(good.rows[:good.n], good.distances[:good.n]) < p.Wanted
	}
	return s.keep(near.rows[:near.n], near.distances[:near.n]), wanted
}

// group is some of the rows that are inserted at once.
type group struct {
	n         int
	rows      [askedAtOnce]uint32
	distances [askedAtOnce]float32
}

// nearer takes the rows that are nearer than a bound. Which ones are can't be predicted, so there is no branch on it.
func (g *group) nearer(bound float32, rows []uint32, distances []float32) {
	n := 0
	for i, d := range distances {
		g.rows[n&(askedAtOnce-1)], g.distances[n&(askedAtOnce-1)] = rows[i], d
		more := 0
		if d < bound {
			more = 1
		}
		n += more
	}
	g.n = n
}

// keep puts candidates of a filtered walk into the pool, and what doesn't fit into it any more, or
// not at all, behind the pool. It returns the lowest position that changed.
func (s *searcher) keep(rows []uint32, distances []float32) (low int) {
	nav, limit := &s.nav, s.nav.limit
	nav.limit += len(rows)
	low = nav.add(rows, distances)
	nav.limit = limit
	if len(nav.items) <= limit {
		return low
	}
	for _, c := range nav.items[limit:] {
		if c.Row&expanded == 0 {
			s.putFar(c)
		}
	}
	nav.items = nav.items[:limit]
	return min(low, limit)
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
