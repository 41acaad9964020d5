package hnsw

import (
	"math"
	"unsafe"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// Params are the parameters of one search.
type Params struct {
	// Ef is the number of candidates, nearest first, whose lists are followed.
	Ef int
	// Keep is the number of candidates that are kept, and the most that are returned; Ef
	// when that is more. Of those behind the first Ef lists are followed only as long as
	// there are fewer.
	Keep int
	// Accept tells which rows may be returned; nil accepts all. It is called at
	// most once a row, from the calling goroutine. Refused rows are followed all the
	// same: the walk ends when Keep accepted ones are nearer than what is left.
	Accept func(row uint32) bool
	// Expected is how many candidates a walk with Accept is likely to follow: Keep divided
	// by the share of accepted rows. It need not be right: with too few the walk takes
	// longer or, many times too few, gives up early; 0 is any number.
	Expected int
	// Wanted is how many of the Keep accepted candidates, nearest first, are worth the patience of a walk with Accept:
	// a list that brings none of those brought nothing. 0 is all.
	Wanted int
	// Beam is the width of the beam in the upper levels; 0 chooses by Ef.
	Beam int
	// Entries, when not nil, are where the search begins, and Sketch is that of the
	// query.
	Entries *Entries
	Sketch  distance.Sketch
	// Stop, when not nil, is asked now and then whether to give up early.
	Stop func() bool

	// patience, when not 0, is the number of lists in a row that may bring nothing nearer
	// before the walk ends.
	patience int
}

// Stats count the work of one search.
type Stats struct {
	// Scored is the number of distances.
	Scored int
	// Hops is the number of lists that were followed.
	Hops int
}

// stopEvery is the number of lists between two questions whether to stop.
const stopEvery = 128

// Search appends to dst the nodes nearest to the scorer's query, nearest first.
// With Accept, each has at least one accepted row in its chain (see EachEqual);
// the node itself may be refused.
func (g *Graph) Search(dst []Candidate, sc Scorer, p Params) ([]Candidate, Stats) {
	p.Ef = min(max(p.Ef, 1), g.opts.Capacity)
	p.Keep = min(max(p.Keep, p.Ef), g.opts.Capacity)
	if p.Accept != nil {
		p.Ef = p.Keep
		if p.Wanted <= 0 {
			p.Wanted = p.Keep
		}
	}
	s := g.acquire()
	defer g.release(s)
	s.scored, s.hops = 0, 0
	if p.Entries != nil {
		g.enter(s, sc, p.Entries, p.Sketch, g.beamFor(p))
	} else if !g.descend(s, sc, 0, g.beamFor(p)) {
		return dst, Stats{}
	}
	p.patience = patience(&p)
	g.walk(s, sc, p)
	from := &s.nav
	if p.Accept != nil {
		from = &s.found
	}
	for _, c := range from.items {
		c.Row &^= expanded
		dst = append(dst, c)
	}
	return dst, Stats{s.scored, s.hops}
}

// A search gives up when a third of its candidates, one after the other, have led to
// nothing nearer: what the rest would bring costs less to find by a wider search.
const (
	patienceShare = 3
	minPatience   = 3
)

// patience returns how many lists in a row may bring nothing: a third of those that are
// followed, or with a filter, where most bring nothing, nearly half of those that are expected.
func patience(p *Params) int {
	switch {
	case p.Accept == nil:
		return max(p.Ef/patienceShare, minPatience)
	case p.Expected == 0:
		return 0
	default:
		return max(p.Expected*9/20, minPatience)
	}
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

// seed begins a walk of level 0 and puts the seeds into the pool of candidates.
func (s *searcher) seed(limit int) {
	p := &s.nav
	p.reset(limit)
	s.seen.reset()
	for _, c := range s.seeds {
		if len(p.items) < limit {
			p.items = append(p.items, c)
			s.seen.add(c.Row)
		}
	}
}

// walk searches level 0. Without a filter the pool of candidates is the result. With
// one it follows every row that is nearer than the worst of the accepted ones, and
// collects accepted rows in s.found.
//
// Rows lie anywhere in memory, and waiting for them would be most of a search. So
// the rows of one list are on their way while those of the one before are inserted and
// the next list is read: a candidate is followed before it is known whether those under
// way are nearer.
func (g *Graph) walk(s *searcher, sc Scorer, p Params) {
	bound := float32(math.Inf(1))
	if p.Accept == nil {
		s.seed(p.Keep)
	} else {
		g.seedFiltered(s, p)
	}
	var asked []uint32
	idle := 0 // lists in a row that brought nothing
	for cur, rounds := 0, 1; ; rounds++ {
		if rounds%stopEvery == 0 && p.Stop != nil && p.Stop() {
			return
		}
		if p.Accept != nil {
			bound = s.found.bound()
		}
		rows, next, followed := []uint32(nil), cur, false
		if !p.enough(s, idle, cur) {
			if p.Accept != nil {
				cur = s.refill(cur, bound)
			}
			rows, next, followed = g.follow(s, cur, bound)
		}
		if !followed && len(asked) == 0 {
			return // what is left, if anything, is too far
		}
		g.prefetchAt(&s.nav, next+soon-1)
		distances := s.scoreAsked(sc, asked)
		low, wanted := len(s.nav.items), false
		for i := 0; i < max(len(rows), len(asked)); i += askedAtOnce {
			sc.Ask(part(rows, i))
			var at int
			if p.Accept == nil {
				at = s.nav.add(part(asked, i), part(distances, i))
			} else {
				var some bool
				at, some = g.collect(s, &p, part(asked, i), part(distances, i))
				wanted = wanted || some
			}
			if at < next+soon {
				g.prefetchAt(&s.nav, at)
			}
			low = min(low, at)
		}
		cur = min(next, low)
		if idle++; wanted || p.Accept == nil && (low < min(len(s.nav.items), p.Ef) || len(s.nav.items) < p.Keep) {
			idle = 0
		}
		asked = rows
	}
}

// askedAtOnce is how many rows are asked for before as many others are inserted. A
// processor has few loads under way at a time, 16 lines on many, and stands still when
// it is asked for more: the rows of a list are twice as many lines, and more.
const askedAtOnce = 8

// part returns what is asked for, or inserted, at once from position i on.
func part[T any](list []T, i int) []T {
	return list[min(i, len(list)):min(i+askedAtOnce, len(list))]
}

// enough tells whether a walk may end: nothing came of the last lists, or, without filter,
// all that remain to be followed lie behind the first Ef candidates.
func (p *Params) enough(s *searcher, idle, cur int) bool {
	impatient := p.patience > 0 && idle >= p.patience
	if p.Accept != nil {
		return impatient && len(s.found.items) == s.found.limit
	}
	return impatient || cur >= p.Ef && len(s.nav.items) >= p.Keep
}

// follow reads the list of the next candidate, from position cur on, unless that is
// farther than a bound. It returns the rows that were not seen yet, and the position
// behind the candidate.
func (g *Graph) follow(s *searcher, cur int, bound float32) (rows []uint32, next int, followed bool) {
	items := s.nav.items
	cur = s.nav.unfollowed(cur)
	if cur == len(items) || items[cur].Distance > bound {
		return nil, cur, false
	}
	c := &items[cur]
	rows = s.seen.gather(g.list0(c.Row))
	c.Row |= expanded
	s.hops++
	return rows, cur + 1, true
}

// soon is how many positions behind the current one a list is asked for, unless nearer ones are found meanwhile.
const soon = 3

// prefetchAt asks for the level-0 list of the candidate at a position, which will be read soon: of the one that
// came within reach, and of the nearest that was inserted. To ask for all within reach each time took 1 to 4 % longer.
func (g *Graph) prefetchAt(nav *pool, at int) {
	if at >= len(nav.items) {
		return
	}
	if c := nav.items[at]; c.Row&expanded == 0 {
		g.opts.Kernels.Prefetch(unsafe.Pointer(&g.links0[int(c.Row)*g.m0]), min((g.m0*4+63)/64, 4))
	}
}
