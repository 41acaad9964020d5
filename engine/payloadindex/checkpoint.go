package payloadindex

import (
	"context"
	"fmt"
	"slices"

	"github.com/sextantdb/sextant/engine/segment"
)

// Freeze implements segment.Checkpointer.
func (ix *Index) Freeze() segment.Checkpoint {
	ix.mutate.Lock()
	defer ix.mutate.Unlock()
	st := ix.state
	if len(st.growing.rows) > 0 {
		// Nothing can fail: no image is dropped.
		_ = ix.swap(append(slices.Clone(st.layers), st.growing), newMem())
		st = ix.state
	}
	ix.frozen = len(st.layers)
	return &checkpoint{ix: ix, layers: st.layers, generation: ix.generation + 1}
}

// checkpoint writes the layers that were there at Freeze. Write runs beside the
// mutator, which leaves those layers alone until Commit or Abort.
type checkpoint struct {
	ix         *Index
	layers     []layer
	generation uint64

	files   segment.Batch // that of written
	kept    int           // layers that stay as the files they are
	written *image        // replaces the others; nil when there are none
}

// Write merges what is only in memory, and files that aren't much larger than
// it, into one new file: each entry is written again about log N times in its
// life, and the number of files stays logarithmic too.
func (c *checkpoint) Write(ctx context.Context, dir *segment.Dir) ([]segment.FileInfo, error) {
	c.files.Dir = dir
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.kept = len(c.layers)
	size := 0
	for c.kept > 0 && fileOf(c.layers[c.kept-1]) == nil {
		c.kept--
		size += c.layers[c.kept].size()
	}
	if c.kept < len(c.layers) {
		for c.kept > 0 && c.layers[c.kept-1].size() <= 2*size {
			c.kept--
			size += c.layers[c.kept].size()
		}
		if err := c.writeMerged(ctx); err != nil {
			return nil, err
		}
	}
	var files []segment.FileInfo
	for _, l := range c.layers[:c.kept] {
		files = append(files, fileOf(l).info)
	}
	if c.written != nil {
		files = append(files, c.written.info)
	}
	return files, nil
}

// fileOf returns l when it is an image from a file.
func fileOf(l layer) *image {
	if m, ok := l.(*image); ok && m.file != nil {
		return m
	}
	return nil
}

func (c *checkpoint) writeMerged(ctx context.Context) error {
	m := c.ix.merge(c.layers[c.kept:], c.kept == 0)
	m.generation = c.generation
	info, err := m.write(ctx, &c.files, c.ix.cfg.Kind)
	if err != nil {
		return fmt.Errorf("write payload index: %w", err)
	}
	// From now on the file is read, not the memory it was written from.
	if c.written, err = openImage(c.files.Dir, info, c.ix.cfg.Kind); err != nil {
		return err
	}
	return nil
}

// Commit implements segment.Checkpoint.
func (c *checkpoint) Commit() error {
	c.ix.mutate.Lock()
	defer c.ix.mutate.Unlock()
	c.ix.frozen = 0
	if c.written == nil {
		return nil
	}
	c.ix.generation = c.generation
	layers := slices.Clone(c.layers[:c.kept])
	layers = append(layers, c.written)
	st := c.ix.state
	layers = append(layers, st.layers[len(c.layers):]...)
	if err := c.ix.swap(layers, st.growing); err != nil {
		return fmt.Errorf("close replaced payload index: %w", err)
	}
	return nil
}

// Abort implements segment.Checkpoint: the frozen layers stay as they are.
func (c *checkpoint) Abort() {
	c.ix.mutate.Lock()
	c.ix.frozen = 0
	c.ix.mutate.Unlock()
	if c.written != nil {
		_ = c.written.file.Close() // it was only read
	}
	c.files.Discard()
}
