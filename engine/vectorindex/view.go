package vectorindex

import (
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant/engine/hnsw"
)

// counted is memory outside the Go heap with a count of the views that use it.
// The one who makes it holds the first reference.
type counted struct {
	refs atomic.Int64 // one less than the number of references
	free func()
}

func (c *counted) retain() { c.refs.Add(1) }

func (c *counted) release() {
	if c.refs.Add(-1) < 0 {
		c.free()
	}
}

// view is a consistent set of parts. A search takes the current view, uses its
// parts, and gives it back; a part that was replaced is freed when the last view
// that holds it is given back. Views are immutable; what grows inside a part
// (published rows, encoded rows, rows in the graph) are counters that only go up.
type view struct {
	// refs counts users and, while the view is current, the publication itself.
	refs   atomic.Int64
	gone   sync.Once
	gen    *generation
	chunks []*chunk
	codes  *codes // nil: none yet
	graph  *graph // nil: none yet
}

// graph is a counted graph over the first rows of a generation.
type graph struct {
	counted
	g *hnsw.Graph
	// id is kept when the graph grows, so that a file can be recognised as an
	// earlier state of it.
	id uint64
	// rows are in the graph: those below are found through it (or were dead when
	// their turn came), those from it on are scanned.
	rows atomic.Uint32
	// entries are where searches by codes begin; nil: none yet.
	entries atomic.Pointer[entries]
}

func newGraph(g *hnsw.Graph, id uint64) *graph {
	w := &graph{g: g, id: id}
	w.free = func() { ignoreError(g.Free()) }
	return w
}

// newView returns a view of a generation without chunks.
func newView(g *generation) *view {
	v := &view{gen: g}
	v.refs.Store(1)
	return v
}

// derive returns a copy that shares all parts.
func (v *view) derive() *view {
	n := newView(v.gen)
	n.chunks = append([]*chunk(nil), v.chunks...)
	n.codes, n.graph = v.codes, v.graph
	for _, c := range n.chunks {
		c.retain()
	}
	if n.codes != nil {
		n.codes.retain()
	}
	if n.graph != nil {
		n.graph.retain()
	}
	return n
}

// release gives the view back.
func (v *view) release() {
	if v.refs.Add(-1) > 0 {
		return
	}
	v.gone.Do(func() {
		for _, c := range v.chunks {
			c.release()
		}
		if v.codes != nil {
			v.codes.release()
		}
		if v.graph != nil {
			v.graph.release()
		}
	})
}

// setChunk puts a chunk into a view that isn't published yet; the view takes over
// the caller's reference.
func (v *view) setChunk(i int, c *chunk) {
	if i == len(v.chunks) {
		v.chunks = append(v.chunks, c)
		return
	}
	v.chunks[i].release()
	v.chunks[i] = c
}

// setCodes and setGraph do the same for codes and graph; nil removes.
func (v *view) setCodes(c *codes) {
	if v.codes != nil {
		v.codes.release()
	}
	v.codes = c
}

func (v *view) setGraph(g *graph) {
	if v.graph != nil {
		v.graph.release()
	}
	v.graph = g
}

func (v *view) graphRows() int {
	if v.graph == nil {
		return 0
	}
	return int(v.graph.rows.Load())
}

func (v *view) codeRows() int {
	if v.codes == nil {
		return 0
	}
	return int(v.codes.rows.Load())
}

// acquire returns the current view, to be given back with release; nil after
// Close.
func (ix *Index) acquire() *view {
	for {
		v := ix.current.Load()
		if v == nil {
			return nil
		}
		v.refs.Add(1)
		// The view may have been replaced and freed between the two steps. Then
		// another one is current, and the count taken in vain is given back.
		if ix.current.Load() == v {
			return v
		}
		v.release()
	}
}

// publish replaces the current view by what change makes of it. change gets a
// private copy of the current view, and may return another one.
func (ix *Index) publish(change func(v *view) *view) {
	ix.publishMu.Lock()
	defer ix.publishMu.Unlock()
	old := ix.current.Load()
	if old == nil {
		return // closed
	}
	now := change(old.derive())
	now.graph.freshen(now.codes)
	ix.current.Store(now)
	old.release()
}

// ignoreError drops an error that nobody can act on, such as that of giving
// memory back.
func ignoreError(error) {}
