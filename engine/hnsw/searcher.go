package hnsw

import (
	"sync/atomic"
)

// States of a row in a search, added to the search's epoch.
const (
	seen    = 0 // queued or scored
	refused = 1 // not accepted
	bridged = 2 // not accepted, and its list was followed
	states  = 3
)

// searcher is the memory of one search or one build worker. It is pooled: its
// size is proportional to the graph's capacity (two bytes a row, touched only
// where the search goes).
type searcher struct {
	// visited holds, for each row, the epoch in which it was last seen. An epoch
	// is a range of `states` values, so that a new search needs no clearing.
	visited []uint16
	epoch   uint16
	// upVisited and upEpoch are the same for slots.
	upVisited []uint16
	upEpoch   uint16

	links []uint32  // private copy of a list
	batch []uint32  // rows to be scored
	slots []uint32  // their slots, in upper levels
	out   []float32 // their distances

	nav   pool // candidates whose lists are to be followed
	found pool // accepted candidates, when some are refused
	seeds []Candidate

	scored, hops int
}

// acquire returns a searcher that fits the graph.
func (g *Graph) acquire() *searcher {
	if s, ok := g.searchers.Get().(*searcher); ok {
		return s
	}
	width := 2*g.m0 + batchFrom
	return &searcher{
		visited:   make([]uint16, g.opts.Capacity),
		upVisited: make([]uint16, len(g.upRow)),
		links:     make([]uint32, g.m0),
		batch:     make([]uint32, width),
		slots:     make([]uint32, width),
		out:       make([]float32, width),
	}
}

func (g *Graph) release(s *searcher) { g.searchers.Put(s) }

// next begins a new epoch for rows.
func (s *searcher) next() {
	if s.epoch > ^uint16(0)-2*states {
		clear(s.visited)
		s.epoch = 0
	}
	s.epoch += states
}

// nextUpper begins a new epoch for slots.
func (s *searcher) nextUpper() {
	if s.upEpoch == ^uint16(0) {
		clear(s.upVisited)
		s.upEpoch = 0
	}
	s.upEpoch++
}

// load copies a list into s.links: each word is read exactly once.
func (s *searcher) load(list []uint32) []uint32 {
	links := s.links[:len(list)]
	for i := range list {
		id := atomic.LoadUint32(&list[i])
		if id == none {
			return links[:i]
		}
		links[i] = id
	}
	return links
}

// gather puts the links that were not seen yet into dst and marks them; each word
// of the list is read exactly once. The loop has no branch on what was seen: half
// of the links are, unpredictably.
func gather(list []uint32, visited []uint16, epoch uint16, dst []uint32) int {
	n := 0
	for i := range list {
		id := atomic.LoadUint32(&list[i])
		if uint(id) >= uint(len(visited)) {
			break // the sentinel
		}
		dst[n] = id
		if visited[id] != epoch {
			n++
		}
		visited[id] = epoch
	}
	return n
}

// score measures s.batch[:n] into s.out[:n].
func (s *searcher) score(sc Scorer, n int) []float32 {
	out := s.out[:n]
	sc.Score(s.batch[:n], out)
	s.scored += n
	return out
}
