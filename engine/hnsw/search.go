package hnsw

import (
	"math"
	"sync/atomic"
	"unsafe"
)

// Params are the parameters of one search.
type Params struct {
	// Ef is the number of candidates that are kept, and the most that are
	// returned.
	Ef int
	// Accept tells which rows may be returned; nil accepts all. It is called at
	// most once a row, from the calling goroutine. Refused rows are followed all the
	// same: the walk ends when Ef accepted ones are nearer than what is left.
	Accept func(row uint32) bool
	// Beam is the width of the beam in the upper levels; 0 chooses by Ef.
	Beam int
	// Stop, when not nil, is asked now and then whether to give up early.
	Stop func() bool
}

// Stats count the work of one search.
type Stats struct {
	// Scored is the number of distances.
	Scored int
	// Hops is the number of lists that were followed.
	Hops int
}

// stopEvery is the number of batches between two questions whether to stop.
const stopEvery = 128

// navFactor bounds the candidates of a filtered walk by a multiple of Ef, which
// matters only when almost everything near is refused.
const navFactor = 64

// Search appends to dst the nodes nearest to the scorer's query, nearest first.
// With Accept, each has at least one accepted row in its chain (see EachEqual);
// the node itself may be refused.
func (g *Graph) Search(dst []Candidate, sc Scorer, p Params) ([]Candidate, Stats) {
	p.Ef = min(max(p.Ef, 1), g.opts.Capacity)
	s := g.acquire()
	defer g.release(s)
	s.scored, s.hops = 0, 0
	if !g.descend(s, sc, 0, g.beamFor(p)) {
		return dst, Stats{}
	}
	from := &s.nav
	if p.Accept == nil {
		g.walk(s, sc, p)
	} else {
		from = &s.found
		g.walkFiltered(s, sc, p)
	}
	for _, c := range from.items {
		c.Row &^= expanded
		dst = append(dst, c)
	}
	return dst, Stats{s.scored, s.hops}
}

// beamFor chooses the beam of the upper levels.
func (g *Graph) beamFor(p Params) beam {
	if p.Beam > 0 {
		return beam{p.Beam, float32(math.Inf(1))}
	}
	// A wide search can afford a wide beam: it stays a few per cent of the whole. In a
	// narrow one the same distances bring more at level 0.
	return beam{width: min(max(p.Ef/12, 1), 12), slack: 0.35}
}

// seed begins a walk of level 0 and puts the seeds into the pool.
func (s *searcher) seed(p *pool, limit int) {
	p.reset(limit)
	s.seen.reset()
	for _, c := range s.seeds {
		if len(p.items) < limit {
			p.items = append(p.items, c)
			s.seen.add(c.Row)
		}
	}
}

// batchFrom is the number of rows that are worth scoring together, and
// expandAtMost how many candidates may be followed at a time to get them. The
// memory latency of a batch is paid once; that a later candidate may turn out not
// to be needed costs less.
const (
	batchFrom    = 24
	expandAtMost = 3
)

// walk searches level 0 without a filter: the pool of candidates is the result.
func (g *Graph) walk(s *searcher, sc Scorer, p Params) {
	nav := &s.nav
	s.seed(nav, p.Ef)
	for cur, rounds := 0, 1; cur < len(nav.items); rounds++ {
		if rounds%stopEvery == 0 && p.Stop != nil && p.Stop() {
			return
		}
		var rows []uint32
		rows, cur, _ = g.follow(s, cur, float32(math.Inf(1)))
		out := s.score(sc, rows)
		for i := cur; i < min(cur+2, len(nav.items)); i++ {
			g.prefetch(nav.items[i].Row &^ expanded)
		}
		cur = min(cur, nav.insertAll(out, rows))
		g.prefetchNext(s, cur)
	}
}

// follow reads the lists of the next candidates, from position cur on, that are not
// farther than a bound, and returns the rows that were not seen yet, the position
// behind the last candidate, and how many candidates there were.
func (g *Graph) follow(s *searcher, cur int, bound float32) (rows []uint32, next, followed int) {
	nav, from := &s.nav, len(s.seen.list)
	for ; cur < len(nav.items) && len(s.seen.list) < from+batchFrom && followed < expandAtMost; cur++ {
		c := &nav.items[cur]
		if c.Row&expanded != 0 {
			continue
		}
		if c.Distance > bound {
			break
		}
		s.seen.gather(g.list0(c.Row))
		c.Row |= expanded
		followed++
		s.hops++
	}
	return s.seen.list[from:], cur, followed
}

// prefetchNext asks for the lists that are read next: their misses overlap.
func (g *Graph) prefetchNext(s *searcher, cur int) {
	for i := cur; i < min(cur+expandAtMost, len(s.nav.items)); i++ {
		if row := s.nav.items[i].Row; row&expanded == 0 {
			g.prefetch(row)
		}
	}
}

// insertAll inserts what is near enough and returns the lowest position that
// changed.
func (p *pool) insertAll(out []float32, rows []uint32) int {
	low := len(p.items)
	bound := p.bound()
	for i, d := range out {
		if d < bound {
			low = min(low, p.insert(d, rows[i]))
			bound = p.bound()
		} else if len(p.items) < p.limit {
			low = min(low, p.insert(farIfNaN(d), rows[i]))
		}
	}
	return low
}

// prefetch asks for a row's level-0 list, which will be read next.
func (g *Graph) prefetch(row uint32) {
	if k := g.opts.Kernels; k != nil {
		k.Prefetch(unsafe.Pointer(&g.links0[int(row)*g.m0]), min((g.m0*4+63)/64, 4))
	}
}

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

// walkFiltered follows every row that is nearer than the worst of the Ef accepted
// ones, and collects accepted rows in s.found.
func (g *Graph) walkFiltered(s *searcher, sc Scorer, p Params) {
	nav, found := &s.nav, &s.found
	s.seed(nav, navLimit(p.Ef))
	found.reset(p.Ef)
	for _, c := range nav.items {
		if g.accepts(p.Accept, c.Row) {
			found.insert(c.Distance, c.Row)
		}
	}
	for cur, rounds := 0, 1; cur < len(nav.items); rounds++ {
		if rounds%stopEvery == 0 && p.Stop != nil && p.Stop() {
			return
		}
		rows, next, followed := g.follow(s, cur, found.bound())
		if followed == 0 {
			return // the nearest that is left is too far
		}
		low := len(nav.items)
		for i, d := range s.score(sc, rows) {
			d = farIfNaN(d)
			bound := found.bound()
			if d > bound || d >= bound && len(found.items) == found.limit {
				continue
			}
			if len(nav.items) < nav.limit || d < nav.bound() {
				low = min(low, nav.insert(d, rows[i]))
			}
			if g.accepts(p.Accept, rows[i]) {
				found.insert(d, rows[i])
			}
		}
		cur = min(next, low)
		g.prefetchNext(s, cur)
	}
}

// navLimit bounds the candidates of a filtered walk.
func navLimit(ef int) int { return min(ef, MaxRows/navFactor)*navFactor + 1024 }
