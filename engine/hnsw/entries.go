package hnsw

import (
	"slices"
	"sync/atomic"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// Entries are the nodes of one upper level with a sketch of each, for searches to begin
// at the nearest of them. Whoever looks at all of a thousand nodes can't end in a wrong
// place, as a descent from the top can, and by sketches that costs as much as a few dozen
// distances. Entries are immutable. They stay good while the graph grows, and for
// copies of it: what they lack are nodes that came later.
type Entries struct {
	level    int
	slots    []uint32
	sketches []distance.Sketch
}

const (
	// maxEntries bounds the sketches that are compared: 64 KB, in one or two microseconds.
	maxEntries = 4096
	// minEntries is the number of nodes below which a descent is as good.
	minEntries = 64
	// nearEntries is the number of nodes whose distances are measured.
	nearEntries = 4
)

// NewEntries makes the entries of the lowest level that has few enough nodes among the
// rows 0..rows-1; nil when there are hardly any. Rows may be inserted meanwhile.
func (g *Graph) NewEntries(rows uint32, sketch func(row uint32) distance.Sketch) *Entries {
	// A slot that can be seen under the lock is that of a row whose level-0 list stands
	// (G2), and its upper lists are lists already, if only empty ones.
	g.mu.Lock()
	defer g.mu.Unlock()
	var counts [maxLevel + 2]int // nodes that reach a level
	for slot := range g.slots {
		if g.upRow[slot] < rows {
			counts[g.levels(slot)]++
		}
	}
	for level := maxLevel; level > 0; level-- {
		counts[level] += counts[level+1]
	}
	level := 1
	for counts[level] > maxEntries {
		level++
	}
	n := counts[level]
	if n < minEntries {
		return nil
	}
	e := &Entries{level: level, slots: make([]uint32, 0, n), sketches: make([]distance.Sketch, 0, n)}
	for slot := range g.slots {
		if row := g.upRow[slot]; row < rows && g.levels(slot) >= level {
			e.slots = append(e.slots, uint32(slot))
			e.sketches = append(e.sketches, sketch(row))
		}
	}
	return e
}

// levels returns the number of upper levels in which a slot has a list: slots take
// their lists one after the other. Graph.mu is held.
func (g *Graph) levels(slot int) int {
	end := g.lists
	if slot+1 < g.slots {
		end = int(g.upBase[slot+1])
	}
	return min(end-int(g.upBase[slot]), maxLevel)
}

// nearest returns in s.seeds, as slots, entries that are near by sketch, nearest first
// by their distances: the best of each of a few parts, since the best of all by so few bits
// need not be the best.
func (e *Entries) nearest(g *Graph, s *searcher, sc Scorer, q distance.Sketch) {
	var slots, rows [nearEntries]uint32
	for i := range slots {
		from, end := i*len(e.slots)/nearEntries, (i+1)*len(e.slots)/nearEntries
		slots[i] = e.slots[from+g.opts.Kernels.NearestSketch(q, e.sketches[from:end])]
		rows[i] = atomic.LoadUint32(&g.upRow[slots[i]])
	}
	distances := s.score(sc, append(s.batch[:0], rows[:]...))
	s.seeds, _ = g.opts.Kernels.InsertNear(slices.Grow(s.seeds[:0], nearEntries), nearEntries, slots[:], distances)
}
