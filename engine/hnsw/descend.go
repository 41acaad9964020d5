package hnsw

import (
	"math"
	"sync/atomic"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// unpackEntry splits the entry word.
func unpackEntry(e uint64) (id uint32, level int) { return uint32(e), int(e >> 32) }

func packEntry(id uint32, level int) uint64 { return uint64(level)<<32 | uint64(id) }

// beam is how a search walks the upper levels. A width of 1 is greedy descent:
// cheap, but on clustered data it ends in a wrong cluster now and then, and the
// search of level 0 then returns nothing that belongs. A wider beam carries
// runners-up along, but costs distances, which are wasted where the nearest one
// leads clearly. So runners-up are followed only while they are close: see
// descendLevel.
type beam struct {
	width int
	// slack is the largest lead of the nearest candidate over one that is still
	// followed, relative to the spread of the distances seen in the level.
	slack float32
}

// descend walks from the entry down to the given level (exclusive: the result
// are candidates of level+1, or of the entry's level when that is not above).
// They are returned in s.seeds, nearest first, as slots, or as rows when level
// is 0. It returns false when the graph is empty.
func (g *Graph) descend(s *searcher, sc Scorer, level int, b beam) bool {
	e := g.entry.Load()
	if e == noEntry {
		return false
	}
	id, top := unpackEntry(e)
	s.seeds = s.seeds[:0]
	row := id
	if top > 0 {
		row = atomic.LoadUint32(&g.upRow[id])
	}
	d := farIfNaN(s.scoreOne(sc, row))
	s.seeds = append(s.seeds, Candidate{Distance: d, Row: id})
	g.descendFrom(s, sc, top, level, b)
	if level == 0 && top > 0 {
		g.seedRows(s)
	}
	return true
}

// entriesBeam is the width of the beam from which on the level of the entries is walked,
// too: sketches may be wrong about the nearest, and a wide search can afford to look again.
const entriesBeam = 3

// enter begins a search at the nearest of the entries, instead of at the top, and
// descends from there to level 0.
func (g *Graph) enter(s *searcher, sc Scorer, from *Entries, sketch distance.Sketch, b beam) {
	from.nearest(g, s, sc, sketch)
	s.seeds = s.seeds[:min(len(s.seeds), b.width)]
	top := from.level - 1
	if b.width >= entriesBeam {
		top = from.level
	}
	g.descendFrom(s, sc, top, 0, b)
	g.seedRows(s)
}

// descendFrom improves s.seeds, which are slots, from a level down to another
// (exclusive).
func (g *Graph) descendFrom(s *searcher, sc Scorer, from, level int, b beam) {
	for l := from; l > level; l-- {
		if b.width == 1 {
			g.greedy(s, sc, l)
		} else {
			g.descendLevel(s, sc, l, b)
		}
	}
}

// seedRows turns seeds that are slots into rows.
func (g *Graph) seedRows(s *searcher) {
	for i := range s.seeds {
		s.seeds[i].Row = atomic.LoadUint32(&g.upRow[s.seeds[i].Row])
	}
}

// greedy moves the one seed (a slot) to the nearest of its neighbours in an upper
// level until none is nearer: descendLevel with a width of 1.
func (g *Graph) greedy(s *searcher, sc Scorer, level int) {
	nearest := &s.seeds[0]
	s.upSeen.reset()
	s.upSeen.add(nearest.Row)
	for at := none; at != nearest.Row; {
		at = nearest.Row
		slots := s.upSeen.gather(g.list(at, level))
		for i, d := range s.score(sc, g.rowsOf(s, slots)) {
			if d < nearest.Distance {
				*nearest = Candidate{Distance: d, Row: slots[i]}
			}
		}
	}
}

// descendLevel improves s.seeds (slots) within one upper level by a beam search.
func (g *Graph) descendLevel(s *searcher, sc Scorer, level int, b beam) {
	p := &s.nav
	p.reset(b.width)
	s.upSeen.reset()
	for _, c := range s.seeds {
		if len(p.items) < p.limit {
			p.items = append(p.items, c)
			s.upSeen.add(c.Row)
		}
	}
	farthest := p.items[len(p.items)-1].Distance
	for cur := 0; cur < len(p.items); {
		c := p.items[cur]
		if c.Row&expanded != 0 {
			cur++
			continue
		}
		lead := c.Distance - p.items[0].Distance
		if cur > 0 && lead > b.slack*(farthest-p.items[0].Distance) {
			break
		}
		p.items[cur].Row |= expanded
		slots := s.upSeen.gather(g.list(c.Row, level))
		distances := s.score(sc, g.rowsOf(s, slots))
		for _, d := range distances {
			if d > farthest && !math.IsInf(float64(d), 1) {
				farthest = d
			}
		}
		cur = min(cur+1, p.add(slots, distances))
	}
	s.seeds = s.seeds[:0]
	for _, c := range p.items {
		s.seeds = append(s.seeds, Candidate{Distance: c.Distance, Row: c.Row &^ expanded})
	}
}

// rowsOf returns the rows of slots, in s.batch.
func (g *Graph) rowsOf(s *searcher, slots []uint32) []uint32 {
	rows := s.batch[:len(slots)]
	for i, slot := range slots {
		rows[i] = atomic.LoadUint32(&g.upRow[slot])
	}
	return rows
}

// searchUpper is the build's search of one upper level: like descendLevel with a
// wide beam that follows every candidate.
func (g *Graph) searchUpper(s *searcher, sc Scorer, level, ef int) {
	g.descendLevel(s, sc, level, beam{width: ef, slack: float32(math.Inf(1))})
}
