package vectorindex

import "sync/atomic"

const (
	locationShift = 14
	locationPage  = 1 << locationShift
)

// locations maps document numbers to rows. Document numbers are dense over a
// shard's life, so it is an array, in pages: growing it moves pointers to pages
// only, and documents without a vector cost nothing where a whole page is
// without. One goroutine writes, any number read.
type locations struct {
	pages atomic.Pointer[[]*[locationPage]atomic.Uint32]
}

// get returns the row of a document.
func (l *locations) get(doc uint32) (row uint32, ok bool) {
	pages := l.pages.Load()
	if pages == nil || int(doc>>locationShift) >= len(*pages) {
		return 0, false
	}
	page := (*pages)[doc>>locationShift]
	if page == nil {
		return 0, false
	}
	at := page[doc%locationPage].Load()
	return at - 1, at != 0
}

// set stores the row of a document.
func (l *locations) set(doc, row uint32) { l.page(doc)[doc%locationPage].Store(row + 1) }

// remove forgets a document.
func (l *locations) remove(doc uint32) {
	if _, ok := l.get(doc); ok {
		l.page(doc)[doc%locationPage].Store(0)
	}
}

// page returns the page of a document and makes it when it is missing.
func (l *locations) page(doc uint32) *[locationPage]atomic.Uint32 {
	at := int(doc >> locationShift)
	var pages []*[locationPage]atomic.Uint32
	if p := l.pages.Load(); p != nil {
		pages = *p
	}
	if at < len(pages) && pages[at] != nil {
		return pages[at]
	}
	// Readers may hold the old slice: it is never written again.
	grown := make([]*[locationPage]atomic.Uint32, max(at+1, len(pages)))
	copy(grown, pages)
	grown[at] = new([locationPage]atomic.Uint32)
	l.pages.Store(&grown)
	return grown[at]
}
