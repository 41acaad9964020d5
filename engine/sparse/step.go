package sparse

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
)

// Policy of merges. Parts of like size (the same power of four) are merged as
// soon as there are mergeWidth of them, so that a row is rewritten a few times in
// its life; a part above half of the limits is left alone until vacuumShare of
// its rows are dead.
const (
	mergeWidth  = 4
	vacuumShare = 5 // one in so many
)

// plan is one piece of background work: sources and what they become.
type plan struct {
	growing *growing // or:
	parts   []*part
}

// Pending tells whether Step has something to do.
func (ix *Index) Pending() bool {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.view.active.ripe(ix.limits) || !ix.choose().empty()
}

func (p plan) empty() bool { return p.growing == nil && len(p.parts) == 0 }

// Step does one bounded piece of background work: seal, merge or vacuum. more
// tells whether there may be another one.
func (ix *Index) Step(ctx context.Context) (more bool, err error) {
	if err := ix.lockBuild(ctx); err != nil {
		return false, err
	}
	defer ix.unlockBuild()
	ix.mu.Lock()
	if ix.view.active.ripe(ix.limits) {
		ix.rotate()
	}
	work := ix.choose()
	version, half := ix.version, ix.f16()
	v := ix.view.acquire()
	ix.mu.Unlock()
	defer v.release()
	if work.empty() {
		return false, nil
	}
	if err := ix.rebuild(work, version, half); err != nil {
		return false, fmt.Errorf("build sparse part: %w", err)
	}
	return ix.Pending(), nil
}

func (ix *Index) lockBuild(ctx context.Context) error {
	select {
	case ix.build <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (ix *Index) unlockBuild() { <-ix.build }

func (ix *Index) yield() {
	if ix.budget != nil {
		ix.budget.Yield()
	}
}

// choose picks the next piece of work. The caller holds mu, for reading at
// least. While a checkpoint is open, its growing parts are its own to seal, in the
// version it froze (R4), and its sealed parts wait: they would be written and
// thrown away.
func (ix *Index) choose() plan {
	for _, g := range ix.view.sealing {
		if !ix.open.hasGrowing(g) {
			return plan{growing: g}
		}
	}
	tiers := make(map[int][]*part)
	for _, p := range ix.view.parts {
		if ix.open.hasPart(p) {
			continue
		}
		live := p.rows() - p.dead()
		if p.dead()*vacuumShare > p.rows() || p.half() != ix.f16() {
			return plan{parts: []*part{p}}
		}
		if live > ix.limits.maxRows/2 || p.elements() > ix.limits.maxElements/2 {
			continue
		}
		tier := bits.Len(uint(live)) / 2
		tiers[tier] = append(tiers[tier], p)
		if merge := fitting(tiers[tier], ix.limits); len(merge) >= mergeWidth {
			return plan{parts: merge}
		}
	}
	return ix.chooseFull(tiers)
}

// chooseFull merges parts of one tier that don't fit together four at a time,
// but two or three would nearly fill a part.
func (ix *Index) chooseFull(tiers map[int][]*part) plan {
	for _, parts := range tiers {
		if len(parts) >= mergeWidth {
			if merge := fitting(parts, ix.limits); len(merge) > 1 {
				return plan{parts: merge}
			}
		}
	}
	return plan{}
}

// fitting returns the longest run from the front that one part can hold.
func fitting(parts []*part, l limits) []*part {
	rows, elements := 0, 0
	for i, p := range parts {
		rows += p.rows()
		elements += p.elements()
		if rows > l.maxRows || elements > l.maxElements {
			return slices.Clone(parts[:i])
		}
	}
	return slices.Clone(parts)
}

// rebuild makes one part of the sources of a plan and puts it in their place.
// The caller holds build.
func (ix *Index) rebuild(work plan, version uint64, half bool) error {
	var sources []source
	if work.growing != nil {
		sources = append(sources, work.growing)
	}
	for _, p := range work.parts {
		sources = append(sources, p)
	}
	built, origins, err := buildPart(sources, version, half, ix.yield)
	if err != nil {
		return err
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.install(work, sources, built, origins, version)
	return nil
}

// install replaces the sources of a plan by the part built from them, which may
// be nil. What died since version is carried over. The caller holds build and
// mu.
func (ix *Index) install(work plan, sources []source, built *part, origins []origin, version uint64) {
	if built != nil {
		for row, o := range origins {
			if death := deathOf(sources[o.source], int(o.row)); death > version {
				indices, _, _ := built.vector(row) // in memory: can't fail
				built.kill(row, death, indices)
			}
		}
	}
	old := ix.view
	parts := make([]*part, 0, len(old.parts)+1)
	for _, p := range old.parts {
		if !slices.Contains(work.parts, p) {
			parts = append(parts, p)
		}
	}
	if built != nil {
		parts = append(parts, built)
	}
	sealing := make([]*growing, 0, len(old.sealing))
	for _, g := range old.sealing {
		if g != work.growing {
			sealing = append(sealing, g)
		}
	}
	if work.growing != nil {
		work.growing.sealed, work.growing.isSealed = built, true
		if built != nil && ix.open.hasGrowing(work.growing) {
			built.refs.Add(1) // the checkpoint's, which has it in the growing part's place
		}
	}
	ix.setView(newView(parts, sealing, old.active))
}

// deathOf returns the version in which a row died, 0 if it lives. The caller
// holds mu.
func deathOf(s source, row int) uint64 {
	switch s := s.(type) {
	case *growing:
		return s.deaths[row]
	case *part:
		if d := s.deaths.Load(); d != nil {
			return (*d)[row].Load()
		}
	}
	return 0
}
