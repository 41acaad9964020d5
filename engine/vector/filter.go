package vector

import "github.com/RoaringBitmap/roaring/v2"

// Filter restricts a search over vectors to some documents. The zero value lets
// every document pass. A search may use either form, whichever is cheaper for
// its plan: when both are given they agree.
type Filter struct {
	// Docs are the passing documents, when someone has computed them; else nil.
	// The search only reads it.
	Docs *roaring.Bitmap
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
