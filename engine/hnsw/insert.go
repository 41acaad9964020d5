package hnsw

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrFull is returned when rows don't fit into the capacity.
var ErrFull = errors.New("graph is full")

// ErrReadOnly is returned by Insert on a graph whose lists lie in a mapped file.
var ErrReadOnly = errors.New("graph is read-only")

// Batch is a set of rows to be inserted.
type Batch struct {
	// First and End are the rows First..End-1.
	First, End uint32
	// Skip tells which rows are left out, for instance deleted ones; nil is none.
	Skip func(row uint32) bool
	// Scorers makes a scorer for a worker. Its calls are not concurrent.
	Scorers func() BuildScorer
	// Workers is the number of goroutines, at least 1. With one, the graph depends
	// on rows and seed alone.
	Workers int
	// Yield, when not nil, is called by each worker between two rows.
	Yield func()
}

// Insert inserts rows that are not in the graph yet. Their vectors must be
// readable by the scorers of concurrent searches before the call. When ctx ends,
// some of the rows are in the graph, and the error is the context's; such a
// graph still answers searches, but the rows must not be inserted again.
func (g *Graph) Insert(ctx context.Context, b Batch) error {
	if g.readOnly {
		return ErrReadOnly
	}
	if int(b.End) > g.opts.Capacity {
		return fmt.Errorf("insert rows up to %d into a graph for %d: %w", b.End, g.opts.Capacity, ErrFull)
	}
	if b.First >= b.End {
		return nil
	}
	var next atomic.Uint32
	next.Store(b.First)
	work := func(sc BuildScorer) {
		w := worker{g: g, sc: sc, s: g.acquire()}
		defer g.release(w.s)
		for ctx.Err() == nil {
			row := next.Add(1) - 1
			if row >= b.End {
				return
			}
			if b.Skip == nil || !b.Skip(row) {
				w.insert(row)
			}
			if b.Yield != nil {
				b.Yield()
			}
		}
	}
	var wg sync.WaitGroup
	for range max(b.Workers, 1) - 1 {
		sc := b.Scorers()
		wg.Go(func() { work(sc) })
	}
	work(b.Scorers())
	wg.Wait()
	return ctx.Err()
}

// worker inserts rows; it holds at most one lock at a time, except that a row
// that becomes the entry holds Graph.mu throughout.
type worker struct {
	g  *Graph
	sc BuildScorer
	s  *searcher

	// chosen are the neighbours of the row being inserted, for each level from 0.
	chosen [maxLevel + 1][]Candidate
	sel    []Candidate // result of choose
	cand   []Candidate // candidates of link

	// open are candidates of pick that nothing covers yet; rows and out are for
	// scoring them.
	open [pickFrom]Candidate
	rows [pickFrom]uint32
	out  [pickFrom]float32
}

// insert puts one row into the graph: first all searches, then all links, from
// level 0 up, so that whoever meets the row finds its lists standing (G2).
func (w *worker) insert(row uint32) {
	g := w.g
	level := g.Level(row)
	w.sc.SetRow(row)
	if top, ok := w.top(); !ok || level > top {
		// A higher row becomes the entry: one at a time, because two that don't
		// see each other would leave two tops.
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.entry.Load() == noEntry {
			w.first(row, level)
			return
		}
		w.connect(row, level, true)
		return
	}
	w.connect(row, level, false)
}

// top returns the level of the entry; false when the graph is empty.
func (w *worker) top() (level int, ok bool) {
	e := w.g.entry.Load()
	_, level = unpackEntry(e)
	return level, e != noEntry
}

// first makes a row the only node. Graph.mu is held.
func (w *worker) first(row uint32, level int) {
	g := w.g
	slot, level := g.newSlot(row, level)
	for i := range g.list0(row) {
		atomic.StoreUint32(&g.list0(row)[i], none)
	}
	g.nodes.Add(1)
	if level == 0 {
		slot = row
	}
	g.entry.Store(packEntry(slot, level))
}

// newSlot takes a slot with empty lists for levels 1..level. The level is less
// than asked for when the upper arrays are full. Graph.mu is held.
func (g *Graph) newSlot(row uint32, level int) (slot uint32, got int) {
	m := g.opts.M
	level = min(level, len(g.upList)/m-g.lists)
	if level <= 0 || g.slots == len(g.upRow) {
		return 0, 0
	}
	slot = uint32(g.slots)
	g.slots++
	lists := g.upList[g.lists*m : (g.lists+level)*m]
	for i := range lists {
		atomic.StoreUint32(&lists[i], none)
	}
	atomic.StoreUint32(&g.upRow[slot], row)
	atomic.StoreUint32(&g.upBase[slot], uint32(g.lists))
	g.lists += level
	return slot, level
}

// connect searches the neighbours of a row and links it. holding says that
// Graph.mu is held and the row may become the entry.
func (w *worker) connect(row uint32, level int, holding bool) {
	g, s := w.g, w.s
	top, _ := w.top()
	low := min(level, top)
	g.descend(s, w.sc, low, buildBeam)
	for l := low; l > 0; l-- {
		g.searchUpper(s, w.sc, l, g.opts.EfConstruct)
		w.keep(row, l, s.seeds)
	}
	if low > 0 {
		for i := range s.seeds {
			s.seeds[i].Row = atomic.LoadUint32(&g.upRow[s.seeds[i].Row])
		}
	}
	g.walk(s, w.sc, Params{Ef: g.opts.EfConstruct, Keep: g.opts.EfConstruct, patience: buildPatience})
	for i := range s.nav.items {
		s.nav.items[i].Row &^= expanded
	}
	if node, ok := w.equal(row); ok {
		g.attach(node, row)
		return
	}
	w.keep(row, 0, s.nav.items)
	w.publish(row, level, low, top, holding)
}

// buildBeam is the beam in the levels above the row's own.
var buildBeam = beam{width: 4, slack: 0.35}

// buildPatience is how many lists in a row may bring no candidate at all before the search for a new row's neighbours
// ends. It is a number and no share of ef: with a tenth of it, small ones lose.
const buildPatience = 20

// publish stores the row's lists and then the links to it.
func (w *worker) publish(row uint32, level, low, top int, holding bool) {
	g := w.g
	fill(g.list0(row), w.chosen[0])
	var slot uint32
	if level > 0 {
		if !holding {
			g.mu.Lock()
		}
		slot, level = g.newSlot(row, level)
		if !holding {
			g.mu.Unlock()
		}
		for l := 1; l <= min(low, level); l++ {
			fill(g.list(slot, l), w.chosen[l])
		}
	}
	for _, c := range w.chosen[0] {
		w.link(c, row, 0)
	}
	for l := 1; l <= min(low, level); l++ {
		for _, c := range w.chosen[l] {
			w.link(c, slot, l)
		}
	}
	g.nodes.Add(1)
	if holding && level > top {
		g.entry.Store(packEntry(slot, level))
	}
}

// fill stores a list.
func fill(list []uint32, chosen []Candidate) {
	for i := range list {
		id := none
		if i < len(chosen) {
			id = chosen[i].Row
		}
		atomic.StoreUint32(&list[i], id)
	}
}

// equal looks for the node of rows with the same vector among the candidates at
// the row's distance to itself.
func (w *worker) equal(row uint32) (node uint32, ok bool) {
	s := w.s
	self := s.scoreOne(w.sc, row)
	// Kernels may add up one row and four rows in different orders.
	tolerance := 1e-5*max(self, -self) + 1e-30
	checks := 0
	for _, c := range s.nav.items {
		if diff := c.Distance - self; diff > tolerance || diff < -tolerance {
			continue
		}
		if w.sc.Equal(row, c.Row) {
			return c.Row, true
		}
		if checks++; checks == maxEqualChecks {
			break
		}
	}
	return 0, false
}

// maxEqualChecks bounds the comparisons of whole vectors for one row, which
// matters when codes are so coarse that many vectors share one.
const maxEqualChecks = 64

// keep chooses the neighbours of the row in a level.
func (w *worker) keep(row uint32, level int, candidates []Candidate) {
	chosen := w.choose(candidates, w.g.opts.M, level)
	w.chosen[level] = append(w.chosen[level][:0], chosen...)
	w.sc.SetRow(row)
}

// choose picks at most m of the candidates (nearest first). One that is nearer to
// a chosen one than to the query is left out, since the chosen one leads there
// (algorithm 4 of the paper). Where lengths differ wildly, everything is near the
// few short ones, and the rule leaves a handful: a graph with dead ends. Then the
// rule is relaxed: left out is what a chosen one is nearer to than half the way. At
// last the nearest of the others fill the list up to three quarters.
// Candidates of upper levels are slots. The scorer's query is lost.
func (w *worker) choose(candidates []Candidate, m, level int) []Candidate {
	w.sel = w.sel[:0]
	w.pick(candidates, m, level, 1)
	enough := m * 3 / 4
	if len(w.sel) <= m/3 && len(w.sel) < len(candidates) && candidates[0].Distance > 0 {
		w.pick(candidates, enough, level, halfWay)
	}
	for _, c := range candidates {
		if len(w.sel) >= enough {
			break
		}
		if !slices.Contains(w.sel, c) {
			w.sel = append(w.sel, c)
		}
	}
	return w.sel
}

const (
	// pickFrom is the number of candidates that are compared together. Those beyond
	// it are often not needed any more.
	pickFrom = 64
	// halfWay is a factor of two as distances are squared. Distances below zero (inner
	// product) know no factors: there the rule isn't relaxed.
	halfWay = 4
)

// pick adds to w.sel, up to m, the candidates that nothing chosen covers: that is
// nearer to them by a factor.
//
// Each one chosen is compared with all that are left, not each candidate with
// those chosen: the same distances, but a few calls with many rows.
func (w *worker) pick(candidates []Candidate, m, level int, factor float32) {
	before := w.sel
	for len(candidates) > 0 && len(w.sel) < m {
		n := min(pickFrom, len(candidates))
		open := w.open[:copy(w.open[:], candidates[:n])]
		candidates = candidates[n:]
		for i := 0; i < len(w.sel) && len(open) > 0; i++ {
			open = w.uncovered(open, w.sel[i], level, factor)
		}
		for len(open) > 0 && len(w.sel) < m {
			next := open[0]
			open = open[1:]
			if slices.Contains(before, next) {
				continue
			}
			if w.sel = append(w.sel, next); len(w.sel) < m {
				open = w.uncovered(open, next, level, factor)
			}
		}
	}
}

// uncovered keeps those of the open candidates that a chosen one doesn't cover.
func (w *worker) uncovered(open []Candidate, chosen Candidate, level int, factor float32) []Candidate {
	if len(open) == 0 {
		return nil
	}
	w.sc.SetRow(w.rowOf(chosen.Row, level))
	rows, out := w.rows[:len(open)], w.out[:len(open)]
	for i, c := range open {
		rows[i] = w.rowOf(c.Row, level)
	}
	w.sc.Ask(rows)
	w.sc.Score(rows, out)
	left := 0
	for i, d := range out {
		c := open[i]
		open[left] = c
		if !(d*factor < c.Distance) {
			left++
		}
	}
	return open[:left]
}

func (w *worker) rowOf(id uint32, level int) uint32 {
	if level == 0 {
		return id
	}
	return atomic.LoadUint32(&w.g.upRow[id])
}

// link adds id to the list of a neighbour; a full list is chosen anew.
func (w *worker) link(to Candidate, id uint32, level int) {
	g := w.g
	list := g.listAt(to.Row, level)
	l := g.lock(to.Row)
	l.Lock()
	defer l.Unlock()
	links := w.s.load(list)
	if len(links) < len(list) {
		// The sentinel behind is already there, or the list is full now.
		atomic.StoreUint32(&list[len(links)], id)
		return
	}
	w.sc.SetRow(w.rowOf(to.Row, level))
	for i, other := range links {
		w.s.batch[i] = w.rowOf(other, level)
	}
	n := 1 + len(links)
	w.cand = append(slices.Grow(w.cand[:0], n), Candidate{Distance: farIfNaN(to.Distance), Row: id})
	w.cand, _ = g.opts.Kernels.InsertNear(w.cand, n, links, w.s.score(w.sc, w.s.batch[:n-1]))
	fill(list, w.choose(w.cand, len(list), level))
}

func (g *Graph) listAt(owner uint32, level int) []uint32 {
	if level == 0 {
		return g.list0(owner)
	}
	return g.list(owner, level)
}
