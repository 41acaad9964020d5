package sparse

import (
	"context"
	"fmt"
	"slices"

	"github.com/sextantdb/sextant/engine/segment"
)

// checkpoint is the state of the index in one version, on its way to files. It
// has a reference on each of its parts.
type checkpoint struct {
	ix      *Index
	version uint64
	parts   []*part    // those that were sealed at Freeze
	growing []*growing // those that were not

	// Belongs to build from here on.
	written segment.Batch
	sealed  []*part // of growing, without the empty ones
}

var _ segment.Checkpointer = (*Index)(nil)

// Freeze begins a checkpoint of everything applied so far. One at a time.
// Applier only.
func (ix *Index) Freeze() segment.Checkpoint {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.rotate()
	c := &checkpoint{ix: ix, version: ix.version, parts: ix.view.parts, growing: ix.view.sealing}
	for _, p := range c.parts {
		p.refs.Add(1)
	}
	ix.open = c
	return c
}

func (c *checkpoint) hasPart(p *part) bool { return c != nil && slices.Contains(c.parts, p) }

func (c *checkpoint) hasGrowing(g *growing) bool { return c != nil && slices.Contains(c.growing, g) }

// Write seals what was growing, writes the parts that are in no file yet, and
// the list of dead rows.
func (c *checkpoint) Write(ctx context.Context, dir *segment.Dir) ([]segment.FileInfo, error) {
	if err := c.ix.lockBuild(ctx); err != nil {
		return nil, err
	}
	defer c.ix.unlockBuild()
	c.written.Dir = dir
	if err := c.seal(); err != nil {
		return nil, fmt.Errorf("seal sparse part: %w", err)
	}
	parts := c.all()
	if len(parts) == 0 {
		return nil, nil
	}
	files := make([]segment.FileInfo, 1, len(parts)+1)
	for _, p := range parts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if p.file == (segment.FileInfo{}) {
			info, err := writePart(&c.written, p, c.ix.yield)
			if err != nil {
				return nil, fmt.Errorf("write sparse part: %w", err)
			}
			p.file, p.fileIsNew = info, true
		}
		files = append(files, p.file)
	}
	state, err := writeState(&c.written, parts, c.version)
	if err != nil {
		return nil, fmt.Errorf("write sparse state: %w", err)
	}
	files[0] = state
	return files, nil
}

// all lists the parts of the checkpoint once its growing parts are sealed.
func (c *checkpoint) all() []*part { return slices.Concat(c.parts, c.sealed) }

// seal builds the captured growing parts that Step has not. The caller holds
// build.
func (c *checkpoint) seal() error {
	c.ix.mu.RLock()
	half := c.ix.f16()
	c.ix.mu.RUnlock()
	c.sealed = nil
	for _, g := range c.growing {
		if !g.isSealed {
			if err := c.ix.rebuild(plan{growing: g}, c.version, half); err != nil {
				return err
			}
		}
		if g.sealed != nil {
			c.sealed = append(c.sealed, g.sealed)
		}
	}
	return nil
}

// Commit replaces the parts in memory that are in files now by the files.
func (c *checkpoint) Commit() error {
	ix := c.ix
	ix.build <- struct{}{}
	defer ix.unlockBuild()
	var failed error
	swap := make(map[*part]*part)
	for _, p := range c.all() {
		if !p.fileIsNew {
			continue
		}
		p.fileIsNew = false
		mapped, err := openPart(c.written.Dir, p.file)
		if err != nil {
			failed = fmt.Errorf("open sparse part: %w", err)
			continue // what is in memory stays in use
		}
		swap[p] = mapped
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	parts := slices.Clone(ix.view.parts)
	for i, p := range parts {
		if mapped := swap[p]; mapped != nil {
			mapped.takeDeaths(p)
			parts[i] = mapped
		}
	}
	ix.setView(newView(parts, ix.view.sealing, ix.view.active))
	for _, mapped := range swap {
		if mapped.refs.Load() == 0 { // merged away in the meantime
			mapped.refs.Add(1)
			mapped.release()
		}
	}
	c.end()
	return failed
}

// takeDeaths makes a freshly opened part continue the life of the same part in
// memory. The caller holds mu.
func (p *part) takeDeaths(from *part) {
	p.deaths.Store(from.deaths.Load())
	p.nDead.Store(from.nDead.Load())
	p.killed = from.killed
}

// Abort forgets the files. The parts stay, and the next checkpoint writes them.
func (c *checkpoint) Abort() {
	ix := c.ix
	ix.build <- struct{}{}
	defer ix.unlockBuild()
	for _, p := range c.all() {
		if p.fileIsNew {
			p.file, p.fileIsNew = segment.FileInfo{}, false
		}
	}
	c.written.Discard()
	ix.mu.Lock()
	defer ix.mu.Unlock()
	c.end()
}

// end lets the checkpoint's parts go. The caller holds mu.
func (c *checkpoint) end() {
	for _, p := range c.parts {
		p.release()
	}
	for _, g := range c.growing {
		if g.sealed != nil {
			g.sealed.release()
		}
	}
	if c.ix.open == c {
		c.ix.open = nil
	}
}
