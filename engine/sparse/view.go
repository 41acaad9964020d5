package sparse

import (
	"cmp"
	"slices"
	"sync/atomic"
)

func compare(a, b uint32) int { return cmp.Compare(a, b) }

// store is a set of rows: a sealed or a growing part.
type store interface {
	// find returns the row of a document that is alive now.
	find(doc uint32) (row int, ok bool)
	// vector returns a row's elements ordered by index, not to be changed.
	vector(row int) (indices []uint32, values []float32, err error)
	// kill marks a row dead from a version on; indices are its vector's.
	kill(row int, version uint64, indices []uint32)
}

// view is what the index consists of between two structural changes. Its lists
// are immutable; it keeps the files of its parts open until the last user is
// gone.
type view struct {
	parts   []*part
	sealing []*growing // full, waiting to be sealed; oldest first
	active  *growing

	refs atomic.Int64
}

// newView returns a view with one reference, which belongs to the index.
func newView(parts []*part, sealing []*growing, active *growing) *view {
	v := &view{parts: parts, sealing: sealing, active: active}
	for _, p := range parts {
		p.refs.Add(1)
	}
	v.refs.Store(1)
	return v
}

// acquire adds a user. The caller holds the index's mu, so that the index's own
// reference is still there.
func (v *view) acquire() *view {
	v.refs.Add(1)
	return v
}

// release takes a user away.
func (v *view) release() {
	if v.refs.Add(-1) == 0 {
		for _, p := range v.parts {
			p.release()
		}
	}
}

// find returns where a document's live row is, or a nil store. The caller holds
// the index's mu.
func (v *view) find(doc uint32) (store, int) {
	if row, ok := v.active.find(doc); ok {
		return v.active, row
	}
	for _, g := range slices.Backward(v.sealing) {
		if row, ok := g.find(doc); ok {
			return g, row
		}
	}
	for _, p := range slices.Backward(v.parts) {
		if row, ok := p.find(doc); ok {
			return p, row
		}
	}
	return nil, 0
}
