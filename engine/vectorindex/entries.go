package vectorindex

import (
	"github.com/sextantdb/sextant/engine/hnsw"
	"github.com/sextantdb/sextant/engine/vector/distance"
)

// entries are where searches of a graph by the codes of one codec begin.
type entries struct {
	at    *hnsw.Entries // nil: the graph is too small
	codec uint64        // id of the codec of the sketches
	rows  uint32        // in the graph when they were made
}

// entriesGrowth is the inverse of the growth after which entries are made anew: nodes
// that they lack are found through others.
const entriesGrowth = 32

// freshen makes the entries of a graph anew when they are missing, of another codec, or
// of much fewer rows. It is called by whoever changes the rows, the graph or the codes, so that
// searches meet entries that fit; both may be nil.
func (w *graph) freshen(c *codes) {
	if w == nil || c == nil || !c.codec.Sketches() {
		return
	}
	rows := w.rows.Load()
	if old := w.entries.Load(); old != nil && old.codec == c.id && rows-old.rows <= old.rows/entriesGrowth {
		return
	}
	if c.rows.Load() < rows {
		return
	}
	at := w.g.NewEntries(rows, func(row uint32) distance.Sketch { return c.codec.Sketch(c.at, row) })
	w.entries.Store(&entries{at: at, codec: c.id, rows: rows})
}

// entriesFor returns the entries for searches by codes; nil when there are none.
func (w *graph) entriesFor(c *codes) *hnsw.Entries {
	if e := w.entries.Load(); e != nil && e.codec == c.id {
		return e.at
	}
	return nil
}
