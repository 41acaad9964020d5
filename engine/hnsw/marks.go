package hnsw

import (
	"math/bits"
	"slices"
	"sync/atomic"
)

// marks is a set of numbers below a bound that is emptied in proportion to what is
// in it: a bit for each number, and a list of those that are set. A stamp of two
// bytes a row would need no clearing, but 2 MB for a million rows, where most
// look-ups miss the second-level cache; the bits of a million rows are 125 KB.
//
// Neighbours often have numbers close to each other. Those are bits of different
// words: a processor that reads a word which it has just written waits for that.
type marks struct {
	words []uint64 // as many as a power of two
	// high times a number is, from bit 32 on, the number over len(words): a multiplication
	// takes less than a shift by what isn't known before.
	high uint64
	list []uint32 // what was added since the last reset, in order
}

func newMarks(bound int) marks {
	shift := bits.Len(uint(max(bound, 1)-1) / 64)
	return marks{words: make([]uint64, 1<<shift), high: 1 << (32 - shift)}
}

// place returns the word of a number, and its bit there.
func place(id uint32, words []uint64, high uint64) (word *uint64, bit uint64) {
	return &words[int(id)&(len(words)-1)], 1 << (uint64(id) * high >> 32 & 63)
}

// reset empties the set.
func (m *marks) reset() {
	if len(m.list) >= len(m.words) {
		clear(m.words)
	} else {
		for _, id := range m.list {
			word, _ := place(id, m.words, m.high)
			*word = 0
		}
	}
	m.list = m.list[:0]
}

// add puts a number that isn't in the set into it.
func (m *marks) add(id uint32) {
	word, bit := place(id, m.words, m.high)
	*word |= bit
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
	words, high := m.words, m.high // else read again for each link
	n := 0
	for i := range links {
		id := atomic.LoadUint32(&links[i])
		if id == none {
			break
		}
		fresh[n] = id
		word, bit := place(id, words, high)
		old := *word
		*word = old | bit
		more := 0
		if old|bit != old {
			more = 1
		}
		n += more
	}
	m.list = m.list[:from+n]
	return fresh[:n]
}
