package vector

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// Filter restricts a search over vectors to some documents. The zero value lets
// every document pass. A search may use either form, whichever is cheaper for
// its plan: when both are given they agree.
type Filter struct {
	// Docs are the passing documents, when someone has computed them; else nil.
	// The search only reads it.
	Docs *roaring.Bitmap
	// Bits are Docs again, document d as bit d%64 of word d/64, when someone keeps them
	// like that (see [Bits]); else nil. A walk of a graph asks so often that looking into
	// the bitmap would be felt.
	Bits []uint64
	// Match tells whether a document passes; nil when all do, or when only Docs is
	// given. It is called from one goroutine at a time.
	Match func(doc uint32) bool
	// Estimate is the expected number of passing documents. It guides the plan and
	// nothing else; without a restriction it is not read.
	Estimate int
}

// All tells whether every document passes.
func (f Filter) All() bool { return f.Docs == nil && f.Match == nil }

// Passes tells whether a document passes.
func (f Filter) Passes(doc uint32) bool {
	switch {
	case f.Docs != nil:
		return f.Docs.Contains(doc)
	case f.Match != nil:
		return f.Match(doc)
	default:
		return true
	}
}

// maxBits bounds the words of [Bits]: 512 KB, for four million documents, are filled in
// some tens of microseconds.
const maxBits = 1 << 16

// Bits appends the bits of docs, as in [Filter], to dst[:0], and tells whether there are
// few enough.
func Bits(docs *roaring.Bitmap, dst []uint64) ([]uint64, bool) {
	n := int(docs.DenseSize())
	if n > maxBits {
		return dst[:0], false
	}
	dst = slices.Grow(dst[:0], n)[:n]
	clear(dst)
	docs.WriteDenseTo(dst)
	return dst, true
}
