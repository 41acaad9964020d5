package vectorindex

import (
	"context"
	"math/bits"
	"unsafe"

	"github.com/sextantdb/sextant/engine/hnsw"
)

// vacuuming is a new generation of rows in the making: the live rows of the old
// one, in their order, with their codes, and a graph over them. Searches and
// writes go on in the old one; what they change is carried over at the end, the
// last bit of it while the applier waits.
type vacuuming struct {
	old   *generation
	codes uint64 // id of the codec of the old generation's codes
	v     *view  // the new parts; never published before the end
	// next is the first row of the old generation that wasn't looked at.
	next uint32
	// moved maps rows of the old generation to rows of the new one + 1; 0 is a row
	// that was dead.
	moved []uint32
	// m and ef are the parameters of the new graph.
	m, ef int
}

const (
	// copyStep is the number of rows that one Step copies.
	copyStep = 16384
	// swapRest is the number of rows that may be carried over while the applier
	// waits.
	swapRest = 256
)

// wantsVacuum tells whether dead rows should be removed, or the graph be built
// with other parameters.
func (ix *Index) wantsVacuum(v *view, cfg *Config) bool {
	if ix.frozen.Load() != noCheckpoint {
		return false // the checkpoint holds the numbering of this generation
	}
	n, dead := v.gen.rows(), int(v.gen.deadRows.Load())
	if n >= cfg.VacuumMin && float64(dead) > cfg.DeletedThreshold*float64(n) {
		return true
	}
	if v.graph == nil || v.graphRows() < v.gen.rows() {
		return false
	}
	if cfg.M < 0 {
		return true
	}
	g := v.graph.g
	want := hnsw.Options{M: cfg.M, EfConstruct: cfg.EfConstruct}.Normalized()
	return g.M() != want.M || g.EfConstruct() != want.EfConstruct
}

// stepVacuum does a piece of the vacuum.
func (ix *Index) stepVacuum(ctx context.Context, v *view, cfg *Config) error {
	if w := ix.vacuum; w != nil && (w.old != v.gen || w.codes != codesID(v) || w.m != cfg.M || w.ef != cfg.EfConstruct) {
		ix.dropVacuum() // overtaken: begin again
	}
	if ix.vacuum == nil {
		return ix.beginVacuum(v, cfg)
	}
	w := ix.vacuum
	switch {
	case w.next < v.rows():
		return ix.copyLive(v, w, min(v.rows(), w.next+copyStep))
	case w.v.graph != nil && w.v.graphRows() < w.v.gen.rows():
		from := uint32(w.v.graphRows())
		to := min(from+insertStep, uint32(w.v.gen.rows()))
		return ix.insert(ctx, w.v, w.v.graph, from, to)
	}
	return ix.endVacuum(w)
}

func codesID(v *view) uint64 {
	if v.codes == nil {
		return 0
	}
	return v.codes.id
}

// beginVacuum makes the new parts, with room for all rows of today and some more.
func (ix *Index) beginVacuum(v *view, cfg *Config) error {
	w := &vacuuming{old: v.gen, codes: codesID(v), v: newView(newGeneration(ix.format)), m: cfg.M, ef: cfg.EfConstruct}
	room := ix.capacityFor(v.gen.live() + 2*swapRest)
	if v.codes != nil {
		c, err := newCodes(v.codes.codec, v.codes.known(), room, ix.opts.Account)
		if err != nil {
			return err
		}
		w.v.codes = c
	}
	if v.graph != nil && cfg.M > 0 {
		g, err := hnsw.New(hnsw.Options{
			M: cfg.M, EfConstruct: cfg.EfConstruct, Capacity: room, Seed: ix.opts.Seed,
			Kernels: ix.kernels, Account: ix.opts.Account,
		})
		if err != nil {
			w.v.release()
			return err
		}
		w.v.graph = newGraph(g, ix.nextGraph())
	}
	ix.vacuum = w
	return nil
}

// copyLive carries the live rows from w.next to end over.
func (ix *Index) copyLive(v *view, w *vacuuming, end uint32) error {
	f := ix.format
	for row := w.next; row < end; row++ {
		if v.isDead(row) {
			w.moved = append(w.moved, 0)
			w.next++
			continue
		}
		if err := v.chunks[row>>f.shift].check(f, row&(1<<f.shift-1)); err != nil {
			return err
		}
		if err := ix.copyRow(v, w, row); err != nil {
			return err
		}
		w.next++
		if row%64 == 0 {
			ix.opts.Budget.Yield()
		}
	}
	return nil
}

// copyRow appends one row of the old generation to the new one, with its code.
func (ix *Index) copyRow(v *view, w *vacuuming, row uint32) error {
	f, n := ix.format, w.v.gen.rows()
	if n>>f.shift == len(w.v.chunks) {
		c, err := newMemoryChunk(f, ix.opts.Account, n == 0)
		if err != nil {
			return err
		}
		w.v.setChunk(len(w.v.chunks), c)
	}
	to := uint32(n)
	if c := w.v.codes; c != nil && row < uint32(v.codeRows()) && c.rows.Load() == to && n < c.capacity {
		c.put(n, v.codes, int(row), int(row)+1)
		c.rows.Store(to + 1)
	}
	w.v.append(to, v.doc(row), unsafe.Slice((*byte)(v.address(row)), f.stride))
	w.moved = append(w.moved, to+1)
	return nil
}

// endVacuum carries over what happened meanwhile and makes the new generation the
// current one. It does nothing when too much is left, or while a checkpoint is
// open.
func (ix *Index) endVacuum(w *vacuuming) error {
	ix.applyMu.Lock()
	defer ix.applyMu.Unlock()
	v := ix.acquire()
	if v == nil {
		return ErrClosed
	}
	defer v.release()
	if v.rows()-w.next > swapRest {
		return nil
	}
	if ix.frozen.Load() != noCheckpoint {
		return nil
	}
	if err := ix.copyLive(v, w, v.rows()); err != nil {
		return err
	}
	for i, word := range v.copyDead(int(w.next)) {
		for ; word != 0; word &= word - 1 {
			w.died(uint32(i*64) + trailing(word))
		}
	}
	ix.vacuum = nil
	ix.publish(func(old *view) *view {
		old.release() // of the private copy: nothing of it is kept
		return w.v
	})
	return nil
}

// died carries over that a row of the old generation is dead.
func (w *vacuuming) died(row uint32) {
	to := w.moved[row]
	if to == 0 {
		return
	}
	doc := w.v.doc(to - 1)
	if at, ok := w.v.gen.locations.get(doc); ok && at == to-1 {
		w.v.gen.locations.remove(doc)
	}
	w.v.kill(to - 1)
	w.moved[row] = 0
}

// dropVacuum gives up a generation in the making.
func (ix *Index) dropVacuum() {
	if ix.vacuum != nil {
		ix.vacuum.v.release()
		ix.vacuum = nil
	}
}

func trailing(word uint64) uint32 { return uint32(bits.TrailingZeros64(word)) }
