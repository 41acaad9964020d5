package docstore

import "github.com/sextantdb/sextant/engine/point"

// Entry is a live document in the order of IDs.
type Entry struct {
	ID  point.ID
	Doc uint32
}

// From appends to dst the first live documents whose ID is ≥ from, at most n, in
// the order of IDs. Fewer than n means that there are no more.
func (s *Store) From(dst []Entry, from point.ID, n int) []Entry {
	defer s.Pin().Release()
	// The active part is read under its lock, so as much of it as can be needed
	// is copied first. Later parts can only be emptier in the merge for it.
	ps, heads := s.parts.Load(), make([]cursor, 0, 8)
	s.mu.RLock()
	active := s.take(ps.active, from, n)
	s.mu.RUnlock()
	heads = append(heads, &listCursor{entries: active})
	for _, g := range ps.frozen {
		heads = append(heads, &listCursor{entries: s.take(g, from, n)})
	}
	for _, p := range ps.sealed {
		i, _ := p.search(from)
		heads = append(heads, &sealedCursor{s: s, p: p, i: i})
	}
	return merge(dst, heads, n)
}

// take returns the first n live documents of a part in memory from an ID on.
func (s *Store) take(g *growing, from point.ID, n int) []Entry {
	var out []Entry
	g.ids.Ascend(entry{id: from}, func(e entry) bool {
		if len(out) == n {
			return false
		}
		if s.columns.isLive(e.doc) {
			out = append(out, Entry{e.id, e.doc})
		}
		return true
	})
	return out
}

// merge merges cursors, each in ascending order. There are few parts, a logarithmic
// number, so the least head is found by looking at all. A document that was written by
// a checkpoint shows up in two parts for a moment, and once in the result.
func merge(dst []Entry, heads []cursor, n int) []Entry {
	for end := len(dst) + n; len(dst) < end; {
		best := -1
		var least Entry
		for i, h := range heads {
			if e, ok := h.peek(); ok && (best < 0 || e.ID.Compare(least.ID) < 0) {
				best, least = i, e
			}
		}
		if best < 0 {
			return dst
		}
		heads[best].next()
		if k := len(dst); k == 0 || dst[k-1].ID != least.ID {
			dst = append(dst, least)
		}
	}
	return dst
}

// cursor walks live documents in the order of IDs.
type cursor interface {
	peek() (Entry, bool)
	next()
}

// listCursor walks entries that were live when they were copied.
type listCursor struct{ entries []Entry }

func (c *listCursor) peek() (Entry, bool) {
	if len(c.entries) == 0 {
		return Entry{}, false
	}
	return c.entries[0], true
}

func (c *listCursor) next() { c.entries = c.entries[1:] }

// sealedCursor walks a sealed part from its i-th ID, and passes over the dead when it
// comes to them: a part may have many, and a page needs few.
type sealedCursor struct {
	s *Store
	p *sealed
	i int
}

func (c *sealedCursor) peek() (Entry, bool) {
	for ; c.i < len(c.p.order); c.i++ {
		if doc := c.p.docs[c.p.order[c.i]]; c.s.columns.isLive(doc) {
			return Entry{c.p.sortedID(c.i), doc}, true
		}
	}
	return Entry{}, false
}

func (c *sealedCursor) next() { c.i++ }
