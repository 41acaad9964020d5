package hnsw

import (
	"sync/atomic"
)

// searcher is the memory of one search or one build worker. It is pooled: its
// size is proportional to the graph's capacity (a bit a row).
type searcher struct {
	seen   marks // rows that were queued or scored
	upSeen marks // slots seen in an upper level

	links []uint32  // private copy of a list
	batch []uint32  // rows to be scored
	out   []float32 // their distances

	nav   pool        // candidates whose lists are to be followed
	found pool        // accepted candidates, when some are refused
	far   []Candidate // those to be followed behind nav, in no order, when some are refused
	seeds []Candidate

	scored, hops int
}

// acquire returns a searcher that fits the graph.
func (g *Graph) acquire() *searcher {
	if s, ok := g.searchers.Get().(*searcher); ok {
		return s
	}
	return &searcher{
		seen:   newMarks(g.opts.Capacity),
		upSeen: newMarks(len(g.upRow)),
		links:  make([]uint32, g.m0),
		batch:  make([]uint32, g.m0),
		out:    make([]float32, g.m0),
		nav:    pool{kernels: g.opts.Kernels},
		found:  pool{kernels: g.opts.Kernels},
	}
}

func (g *Graph) release(s *searcher) { g.searchers.Put(s) }

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

// score measures rows into s.out.
func (s *searcher) score(sc Scorer, rows []uint32) []float32 {
	sc.Ask(rows)
	return s.scoreAsked(sc, rows)
}

// scoreAsked does the same with rows that were asked for.
func (s *searcher) scoreAsked(sc Scorer, rows []uint32) []float32 {
	out := s.out[:len(rows)]
	sc.Score(rows, out)
	s.scored += len(rows)
	return out
}

// scoreOne measures one row.
func (s *searcher) scoreOne(sc Scorer, row uint32) float32 {
	s.batch[0] = row
	return s.score(sc, s.batch[:1])[0]
}
