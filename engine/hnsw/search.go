package hnsw

import (
	"math"
	"sync/atomic"
	"unsafe"
)

// Walk says how a filtered search goes through level 0.
type Walk uint8

const (
	// WalkAll follows every near row and collects the accepted ones: right when
	// many rows are accepted.
	WalkAll Walk = iota
	// WalkAccepted follows accepted rows only, stepping over refused ones to their
	// neighbours: right when between about 1 % and a quarter are accepted. Below,
	// accepted rows no longer hang together and recall breaks down.
	WalkAccepted
)

// Params are the parameters of one search.
type Params struct {
	// Ef is the number of candidates that are kept, and the most that are
	// returned, except for a few more with WalkAccepted.
	Ef int
	// Accept tells which rows may be returned; nil accepts all. It is called at
	// most a few times a row, from the calling goroutine.
	Accept func(row uint32) bool
	// Walk says how refused rows are treated.
	Walk Walk
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
	switch {
	case p.Accept == nil:
		g.walk(s, sc, p)
	case p.Walk == WalkAccepted:
		g.walkAccepted(s, sc, p)
	default:
		from = &s.found
		g.walkAll(s, sc, p)
	}
	for _, c := range from.items {
		c.Row &^= expanded
		if p.Accept != nil && p.Walk == WalkAccepted && !g.accepts(p.Accept, c.Row) {
			continue // a seed
		}
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
		from := len(s.seen.list)
		for followed := 0; cur < len(nav.items) && len(s.seen.list) < from+batchFrom && followed < expandAtMost; cur++ {
			c := &nav.items[cur]
			if c.Row&expanded != 0 {
				continue
			}
			s.seen.gather(g.list0(c.Row))
			c.Row |= expanded
			followed++
			s.hops++
		}
		rows := s.seen.list[from:]
		if len(rows) == 0 {
			continue
		}
		out := s.score(sc, rows)
		for i := cur; i < min(cur+2, len(nav.items)); i++ {
			g.prefetch(nav.items[i].Row &^ expanded)
		}
		cur = min(cur, nav.insertAll(out, rows))
		// The lists that are read next: their misses overlap.
		for i := cur; i < min(cur+expandAtMost, len(nav.items)); i++ {
			if row := nav.items[i].Row; row&expanded == 0 {
				g.prefetch(row)
			}
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

// walkAll follows every row that is nearer than the worst of the Ef accepted
// ones, and collects accepted rows in s.found.
func (g *Graph) walkAll(s *searcher, sc Scorer, p Params) {
	nav, found := &s.nav, &s.found
	s.seed(nav, navLimit(p.Ef))
	found.reset(p.Ef)
	for _, c := range nav.items {
		if g.accepts(p.Accept, c.Row) {
			found.insert(c.Distance, c.Row)
		}
	}
	for cur := 0; cur < len(nav.items); {
		c := &nav.items[cur]
		if c.Row&expanded != 0 {
			cur++
			continue
		}
		if c.Distance > found.bound() {
			return
		}
		row := c.Row
		c.Row |= expanded
		if s.hops++; s.hops%stopEvery == 0 && p.Stop != nil && p.Stop() {
			return
		}
		rows := s.seen.gather(g.list0(row))
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
		cur = min(cur+1, low)
	}
}

// navLimit bounds the candidates of a filtered walk.
func navLimit(ef int) int { return min(ef, MaxRows/navFactor)*navFactor + 1024 }

// walkAccepted searches the graph of accepted rows: neighbours of a row are its
// accepted links, and the accepted links of its refused links.
func (g *Graph) walkAccepted(s *searcher, sc Scorer, p Params) {
	nav := &s.nav
	// Seeds may be refused: they take part in the walk, and are left out of the
	// result by Search. They must not crowd out accepted rows.
	s.seed(nav, p.Ef+len(s.seeds))
	s.refused.reset()
	for cur := 0; cur < len(nav.items); {
		c := &nav.items[cur]
		if c.Row&expanded != 0 {
			cur++
			continue
		}
		row := c.Row
		c.Row |= expanded
		if s.hops++; s.hops%stopEvery == 0 && p.Stop != nil && p.Stop() {
			return
		}
		rows := g.gatherAccepted(s, row, p.Accept)
		if len(rows) == 0 {
			cur++
			continue
		}
		cur = min(cur+1, nav.insertAll(s.score(sc, rows), rows))
	}
}

// gatherAccepted puts into s.batch the accepted unseen rows among the links of
// a row, and then among the links of its refused links, until there are about as
// many as a list has.
func (g *Graph) gatherAccepted(s *searcher, row uint32, accept func(uint32) bool) []uint32 {
	n := 0
	visit := func(id uint32) {
		if s.seen.has(id) {
			return
		}
		s.seen.add(id)
		if !g.accepts(accept, id) {
			s.refused.add(id)
			return
		}
		s.batch[n] = id
		n++
	}
	links := s.load(g.list0(row))
	for _, id := range links {
		visit(id)
	}
	for i, id := range links {
		if n >= g.m0 {
			break
		}
		if !s.refused.has(id) {
			continue
		}
		s.refused.drop(id)
		if i+1 < len(links) {
			g.prefetch(links[i+1])
		}
		list := g.list0(id)
		for j := range list {
			next := atomic.LoadUint32(&list[j])
			if next == none || n == len(s.batch) {
				break
			}
			visit(next)
		}
	}
	return s.batch[:n]
}
