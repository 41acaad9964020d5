package model

import (
	"sync"
	"sync/atomic"
)

// Result is what a search found.
type Result struct {
	// States were found, by Transitions actions, the farthest after Depth actions.
	States, Transitions, Depth int
	// Complete says that these are all states within the bounds.
	Complete bool
	// Violation is nil when all invariants hold in them.
	Violation *Violation
	// Trace tells the shortest way to the violation, an action a line.
	Trace []string
}

// link says how a state was found: by which of the choices of which state.
type link struct {
	parent uint32
	choice uint16
}

// block holds some states of one depth. The number of the first is known when the depth
// is done.
type block struct {
	first  int
	states []State
	links  []link
}

const blockStates = 512

// search is a breadth-first search.
type search struct {
	*Model
	seen  fingerprints
	links []link
	// level are the states to go on from.
	level []block
}

// Search walks through the states of m, by so many goroutines. Of several invariants that
// break after the same number of actions it tells the first by name; the trace may be
// another one of the same length with more than one goroutine.
func Search(m *Model, workers int) Result {
	x := &search{Model: m}
	start := m.initial()
	m.canonical(&start)
	x.seen.add(hash(bytesOf(&start), 0))
	x.links = []link{{}}
	x.level = []block{{states: []State{start}}}
	res := Result{Complete: true}
	for {
		found := x.next(workers)
		var at link
		for _, w := range found {
			res.Transitions += w.transitions
			if w.broke != nil && (res.Violation == nil || w.broke.Invariant < res.Violation.Invariant) {
				res.Violation, at = w.broke, w.at
			}
		}
		if res.Violation != nil {
			res.Trace = x.trace(at)
		}
		res.States = len(x.links)
		if len(x.level) == 0 || res.Violation != nil {
			return res
		}
		res.Depth++
		if m.bounds.MaxStates > 0 && res.States > m.bounds.MaxStates {
			res.Complete = false
			return res
		}
	}
}

// worker goes through parts of a level.
type worker struct {
	*search
	step step
	// blocks are what it has found.
	blocks      []block
	transitions int
	// broke is a violation, and at leads to it.
	broke *Violation
	at    link
}

// next replaces the level by the one after it.
func (x *search) next(workers int) []*worker {
	all := make([]*worker, workers)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for i := range all {
		w := &worker{search: x}
		all[i] = w
		wg.Go(func() {
			for k := taken.Add(1) - 1; k < int64(len(x.level)); k = taken.Add(1) - 1 {
				w.expand(&x.level[k])
			}
		})
	}
	wg.Wait()
	x.level = x.level[:0]
	for _, w := range all {
		for _, b := range w.blocks {
			b.first = len(x.links)
			x.links = append(x.links, b.links...)
			b.links = nil
			x.level = append(x.level, b)
		}
	}
	return all
}

// expand finds the successors of a block's states.
func (w *worker) expand(b *block) {
	for k := range b.states {
		at := link{parent: uint32(b.first + k)}
		w.each(&w.step, &b.states[k], func(_ Action, t *State, broke *Violation) {
			w.visit(at, t, broke)
			at.choice++
		})
	}
	b.states = nil
}

func (w *worker) visit(at link, t *State, broke *Violation) {
	w.transitions++
	if broke != nil {
		w.violated(broke, at)
		return
	}
	w.canonical(t)
	if !w.seen.add(hash(bytesOf(t), 0)) {
		return
	}
	if broke = w.check(t); broke != nil {
		w.violated(broke, at)
		return
	}
	w.keep(at, t)
}

func (w *worker) violated(v *Violation, at link) {
	if w.broke == nil || v.Invariant < w.broke.Invariant {
		w.broke, w.at = v, at
	}
}

// keep puts a new state into the next level.
func (w *worker) keep(at link, t *State) {
	if len(w.blocks) == 0 || len(w.blocks[len(w.blocks)-1].states) == blockStates {
		w.blocks = append(w.blocks, block{
			states: make([]State, 0, blockStates),
			links:  make([]link, 0, blockStates),
		})
	}
	last := &w.blocks[len(w.blocks)-1]
	last.states = append(last.states, *t)
	last.links = append(last.links, at)
}
