package vectorindex

import (
	"bytes"
	"unsafe"

	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vector/distance"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Upsert gives a document a vector, in place of the one it has. It is searchable
// when Upsert returns. Only the applier may call it.
func (ix *Index) Upsert(doc uint32, v []float32) error {
	if len(v) != ix.format.dim {
		return apierror.New(apierror.BadInput, "Vector dimension error: expected dim: %d, got %d", ix.format.dim, len(v))
	}
	ix.applyMu.Lock()
	defer ix.applyMu.Unlock()
	f := ix.format
	if f.distance == vector.Cosine && f.datatype != vector.Uint8 {
		copy(ix.vector, v)
		distance.Normalize(ix.vector)
		v = ix.vector
	}
	f.encode(ix.scratch, v)
	view := ix.acquire()
	if view == nil {
		return ErrClosed
	}
	defer func() { view.release() }()
	old, had := view.gen.locations.get(doc)
	if had {
		// The same vector again, as when a client repeats an upload: nothing to do,
		// and nothing to index.
		if same, err := view.holds(old, ix.scratch); err != nil || same {
			return err
		}
	}
	row := view.gen.rows()
	if row >= maxRows {
		return ErrTooManyRows
	}
	if row>>f.shift == len(view.chunks) {
		if err := ix.addChunk(); err != nil {
			return err
		}
		view.release()
		view = ix.acquire()
	}
	view.append(uint32(row), doc, ix.scratch)
	if had {
		view.kill(old)
	}
	return nil
}

// holds tells whether a row has these bytes.
func (v *view) holds(row uint32, want []byte) (bool, error) {
	f := v.gen.f
	if err := v.chunks[row>>f.shift].check(f, row&(1<<f.shift-1)); err != nil {
		return false, err
	}
	return bytes.Equal(unsafe.Slice((*byte)(v.address(row)), f.stride), want), nil
}

// append writes and publishes a row, in the order that R2 asks for.
func (v *view) append(row, doc uint32, bytes []byte) {
	f := v.gen.f
	copy(unsafe.Slice((*byte)(v.address(row)), f.stride), bytes)
	v.chunks[row>>f.shift].docs[row&(1<<f.shift-1)] = doc
	v.gen.count.Store(row + 1)
	v.gen.keepOrder(doc, row)
	v.gen.locations.set(doc, row)
}

// addChunk publishes a view with one more chunk.
func (ix *Index) addChunk() error {
	var err error
	ix.publish(func(v *view) *view {
		var c *chunk
		if c, err = newMemoryChunk(ix.format, ix.opts.Account, len(v.chunks) == 0); err == nil {
			v.setChunk(len(v.chunks), c)
		}
		return v
	})
	return err
}

// Delete takes a document's vector away; a document without one is ignored. Only
// the applier may call it.
func (ix *Index) Delete(doc uint32) {
	ix.applyMu.Lock()
	defer ix.applyMu.Unlock()
	v := ix.acquire()
	if v == nil {
		return
	}
	defer v.release()
	if row, ok := v.gen.locations.get(doc); ok {
		v.gen.locations.remove(doc)
		v.kill(row)
	}
}
