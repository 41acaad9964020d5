package vectorindex

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/sextantdb/sextant/engine/hnsw"
	"github.com/sextantdb/sextant/engine/segment"
)

// savedFiles are the files of a checkpoint. Rows and codes have a file for each
// chunk of rows; the last one may be partial and is then written anew next time.
type savedFiles struct {
	gen   *generation
	meta  segment.FileInfo
	rows  []savedRows
	codec uint64 // id of the codec of codes
	codes []savedRows
	graph savedRows
	// graphID is the id of the graph in the file; graph.rows is 0 without one.
	graphID uint64
	// total and dead are the number of rows and their dead bits.
	total int
	dead  []uint64
}

// savedRows is a file and how many rows it holds.
type savedRows struct {
	info segment.FileInfo
	rows int
}

// list returns all files in the order that load expects: meta, rows, codes, graph.
func (s *savedFiles) list() []segment.FileInfo {
	out := []segment.FileInfo{s.meta}
	for _, f := range s.rows {
		out = append(out, f.info)
	}
	for _, f := range s.codes {
		out = append(out, f.info)
	}
	if s.graph.rows > 0 {
		out = append(out, s.graph.info)
	}
	return out
}

// checkpoint is the frozen state of an index.
type checkpoint struct {
	ix    *Index
	v     *view // keeps the frozen rows
	rows  int
	dead  []uint64
	saved savedFiles
	fresh segment.Batch
	done  bool
}

// Freeze marks everything applied so far as belonging to a checkpoint. Only the
// applier may call it, and not before the last checkpoint ended. It copies the
// dead bits (an eighth of a byte per row); rows need no copy, as they never change.
func (ix *Index) Freeze() segment.Checkpoint {
	ix.applyMu.Lock()
	defer ix.applyMu.Unlock()
	v := ix.acquire()
	if v == nil {
		return &checkpoint{ix: ix, done: true}
	}
	n := int(v.rows())
	ix.frozen.Store(int64(n))
	return &checkpoint{ix: ix, v: v, rows: n, dead: v.copyDead(n)}
}

// Write is the method of segment.Checkpoint.
func (c *checkpoint) Write(ctx context.Context, dir *segment.Dir) ([]segment.FileInfo, error) {
	if c.done {
		return nil, ErrClosed
	}
	c.fresh.Dir = dir
	prev := c.ix.files
	if prev.gen != c.v.gen {
		prev = savedFiles{} // a vacuum made new rows: nothing of before is of use
	}
	c.saved = savedFiles{gen: c.v.gen, total: c.rows, dead: c.dead}
	if err := c.writeRows(ctx, &prev); err != nil {
		return nil, fmt.Errorf("write rows: %w", err)
	}
	now, err := c.writeIndex(ctx, &prev)
	if err != nil {
		return nil, fmt.Errorf("write index: %w", err)
	}
	defer now.release()
	if c.fresh.Len() == 0 && prev.gen != nil && prev.total == c.rows && slices.Equal(prev.dead, c.dead) {
		c.saved.meta = prev.meta
		return c.saved.list(), nil
	}
	if c.saved.meta, err = c.create(kindMeta, func(w *segment.Writer) error {
		return writeMeta(w, c.ix.format, &c.saved, now)
	}); err != nil {
		return nil, fmt.Errorf("write meta: %w", err)
	}
	return c.saved.list(), nil
}

// create writes one file.
func (c *checkpoint) create(kind segment.Kind, fill func(w *segment.Writer) error) (segment.FileInfo, error) {
	return c.fresh.Write(string(kind), kind, formatVersion, fill)
}

// eachChunk calls visit for each chunk of the first n rows.
func (f *format) eachChunk(n int, visit func(i, from, to int) error) error {
	per := f.chunkRows()
	for i, from := 0, 0; from < n; i, from = i+1, from+per {
		if err := visit(i, from, min(from+per, n)); err != nil {
			return err
		}
	}
	return nil
}

// writeRows writes the chunks of rows that have no file yet.
func (c *checkpoint) writeRows(ctx context.Context, prev *savedFiles) error {
	f := c.ix.format
	return f.eachChunk(c.rows, func(i, from, to int) error {
		n := to - from
		if i < len(prev.rows) && prev.rows[i].rows == n {
			c.saved.rows = append(c.saved.rows, prev.rows[i])
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := c.v.chunks[i]
		info, err := c.create(kindRows, func(w *segment.Writer) error {
			data := unsafe.Slice((*byte)(chunk.base), n*f.stride)
			if err := c.put(w, sectionRows, data); err != nil {
				return err
			}
			return c.put(w, sectionDocs, segment.Raw(chunk.docs[:n]))
		})
		c.saved.rows = append(c.saved.rows, savedRows{info, n})
		return err
	})
}

// put writes a section in pieces, yielding to queries between them.
func (c *checkpoint) put(w *segment.Writer, id uint16, data []byte) error {
	const piece = 1 << 20
	to := w.Section(id)
	for len(data) > 0 {
		n := min(len(data), piece)
		if _, err := to.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
		c.ix.opts.Budget.Yield()
	}
	return nil
}

// writeIndex writes codes and graph while Step waits, and returns the view that
// they are of.
func (c *checkpoint) writeIndex(ctx context.Context, prev *savedFiles) (*view, error) {
	c.ix.stepMu.Lock()
	defer c.ix.stepMu.Unlock()
	v := c.ix.acquire()
	if v == nil {
		return nil, ErrClosed
	}
	if err := errors.Join(c.writeCodes(ctx, prev, v), c.writeGraph(prev, v)); err != nil {
		v.release()
		return nil, err
	}
	return v, nil
}

func (c *checkpoint) writeCodes(ctx context.Context, prev *savedFiles, v *view) error {
	if v.codes == nil {
		return nil
	}
	c.saved.codec = v.codes.id
	known := prev.codes
	if prev.codec != v.codes.id {
		known = nil
	}
	return c.ix.format.eachChunk(min(c.rows, v.codeRows()), func(i, from, to int) error {
		if i < len(known) && known[i].rows == to-from {
			c.saved.codes = append(c.saved.codes, known[i])
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := c.create(kindCodes, func(w *segment.Writer) error {
			codes, factors := v.codes.slice(from, to)
			if err := c.put(w, sectionCodes, codes); err != nil {
				return err
			}
			return c.put(w, sectionFactors, factors)
		})
		c.saved.codes = append(c.saved.codes, savedRows{info, to - from})
		return err
	})
}

// graphGrowth is the inverse of the share of new rows for which a graph is written
// again. Rows that the file lacks are inserted anew after a restart.
const graphGrowth = 10

// writeGraph writes the graph when it has grown enough, or when it is complete
// and to be searched in its file.
func (c *checkpoint) writeGraph(prev *savedFiles, v *view) error {
	if v.graph == nil || v.graphRows() == 0 {
		return nil
	}
	n := v.graphRows()
	onDisk := c.ix.config.Load().HNSWOnDisk
	if prev.graph.rows > 0 && prev.graphID == v.graph.id {
		c.saved.graph, c.saved.graphID = prev.graph, prev.graphID
		grown := n - prev.graph.rows
		if grown*graphGrowth < n && (grown == 0 || !onDisk || n < c.rows) {
			return nil
		}
	}
	info, err := c.create(hnsw.Kind, func(w *segment.Writer) error { return v.graph.g.Write(w, n) })
	c.saved.graph, c.saved.graphID = savedRows{info, n}, v.graph.id
	return err
}

// Commit is the method of segment.Checkpoint: full chunks in memory make room for
// their files, and so does the graph when it is wanted on disk.
func (c *checkpoint) Commit() error {
	if c.done {
		return nil
	}
	c.end()
	c.ix.files = c.saved
	return errors.Join(c.mapRows(), c.mapGraph())
}

// end lets the graph grow again and gives the frozen rows back.
func (c *checkpoint) end() {
	c.done = true
	c.ix.frozen.Store(noCheckpoint)
	c.v.release()
}

// mapRows replaces chunks in memory by their files.
func (c *checkpoint) mapRows() error {
	ix, f := c.ix, c.ix.format
	var failed error
	ix.publish(func(v *view) *view {
		if v.gen != c.saved.gen {
			return v
		}
		for i, saved := range c.saved.rows {
			if saved.rows < f.chunkRows() || v.chunks[i].rows != nil {
				continue
			}
			m, err := newMappedChunk(f, ix.opts.Dir, saved.info, saved.rows, v.chunks[i].dead)
			if err != nil {
				failed = errors.Join(failed, err) // the memory stays
				continue
			}
			if ix.config.Load().OnDisk {
				m.advise(true)
			}
			v.setChunk(i, m)
		}
		return v
	})
	return failed
}

// mapGraph replaces a graph in memory by its file, if that is complete.
func (c *checkpoint) mapGraph() error {
	ix := c.ix
	if c.saved.graph.rows == 0 || !ix.config.Load().HNSWOnDisk {
		return nil
	}
	ix.stepMu.Lock()
	defer ix.stepMu.Unlock()
	v := ix.acquire()
	if v == nil {
		return nil
	}
	defer v.release()
	if v.graph == nil || v.graph.id != c.saved.graphID || v.graphRows() != c.saved.graph.rows || v.graph.g.ReadOnly() {
		return nil
	}
	g, err := ix.openGraph(c.saved.graph, v.graph.id)
	if err != nil {
		return err
	}
	ix.publish(func(v *view) *view { v.setGraph(g); return v })
	return nil
}

// Abort is the method of segment.Checkpoint.
func (c *checkpoint) Abort() {
	if c.done {
		return
	}
	c.end()
	c.fresh.Discard()
}
