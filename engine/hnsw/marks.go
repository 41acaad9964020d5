package hnsw

import (
	"slices"
	"sync/atomic"
)

// marks is a set of numbers below a bound that is emptied in proportion to what is
// in it: a bit for each number, and a list of those that are set. A stamp of two
// bytes a row would need no clearing, but 2 MB for a million rows, where most
// look-ups miss the second-level cache; the bits of a million rows are 125 KB.
type marks struct {
	words []uint64
	list  []uint32 // what was added since the last reset, in order
}

func newMarks(bound int) marks { return marks{words: make([]uint64, (bound+63)/64)} }

// reset empties the set.
func (m *marks) reset() {
	if len(m.list) >= len(m.words) {
		clear(m.words)
	} else {
		for _, id := range m.list {
			m.words[id/64] = 0
		}
	}
	m.list = m.list[:0]
}

// add puts a number that isn't in the set into it.
func (m *marks) add(id uint32) {
	m.words[id/64] |= 1 << (id % 64)
	m.list = append(m.list, id)
}

// gather adds the links of a list to the set and returns those that are new; they
// share the set's memory until its next reset. Each word of the list is read
// exactly once. The loop has no branch on what is new: half of the links are,
// unpredictably.
func (m *marks) gather(links []uint32) []uint32 {
	from := len(m.list)
	m.list = slices.Grow(m.list, len(links))
	fresh := m.list[from : from+len(links)]
	words, n := m.words, 0
	for i := range links {
		id := atomic.LoadUint32(&links[i])
		at := int(id / 64)
		if at >= len(words) {
			break // the sentinel
		}
		fresh[n] = id
		old := words[at]
		words[at] = old | 1<<(id%64)
		n += int(^old >> (id % 64) & 1)
	}
	m.list = m.list[:from+n]
	return fresh[:n]
}
