package docstore

import (
	"math/bits"
	"sync/atomic"
)

// chunkDocs is the number of documents in a chunk of columns: 32 KiB of locations.
// It is a multiple of 64, so that words of live bits don't straddle chunks.
const chunkDocs = 1 << 12

// location says where the current row of a document is: slot+1 of the part in
// the upper half, row in the lower. 0 is nowhere.
type location uint64

func at(slot int, row uint32) location {
	return location(slot+1)<<32 | location(row)
}

func (l location) slot() int   { return int(l>>32) - 1 }
func (l location) row() uint32 { return uint32(l) }

// chunk holds the columns of chunkDocs documents that change in place. It has
// no pointers.
type chunk struct {
	loc  [chunkDocs]atomic.Uint64
	live [chunkDocs / 64]atomic.Uint64
}

// columns are the columns of all documents. One goroutine grows them and sets
// live bits; locations are also moved by commits, with compare-and-swap.
type columns struct {
	chunks atomic.Pointer[[]*chunk]
	count  atomic.Int64 // live bits
}

func (c *columns) chunk(doc uint32) *chunk {
	if p := c.chunks.Load(); p != nil && int(doc/chunkDocs) < len(*p) {
		return (*p)[doc/chunkDocs]
	}
	return nil
}

// grow makes room for all documents below n. Chunks never move, so a reader may go
// on with the one that it has.
func (c *columns) grow(n uint64) {
	var chunks []*chunk
	if p := c.chunks.Load(); p != nil {
		chunks = *p
	}
	if want := int((n + chunkDocs - 1) / chunkDocs); want > len(chunks) {
		// Readers hold slices of the old length: appending behind them is safe.
		for len(chunks) < want {
			chunks = append(chunks, new(chunk))
		}
		c.chunks.Store(&chunks)
	}
}

func (c *columns) location(doc uint32) location {
	if k := c.chunk(doc); k != nil {
		return location(k.loc[doc%chunkDocs].Load())
	}
	return 0
}

func (c *columns) setLocation(doc uint32, l location) {
	c.chunk(doc).loc[doc%chunkDocs].Store(uint64(l))
}

// move sets the location of doc to "to" when it still is from. It fails when the
// applier has given the document a newer row meanwhile, which then stays.
func (c *columns) move(doc uint32, from, to location) bool {
	return c.chunk(doc).loc[doc%chunkDocs].CompareAndSwap(uint64(from), uint64(to))
}

func (c *columns) isLive(doc uint32) bool {
	k := c.chunk(doc)
	return k != nil && k.live[doc%chunkDocs/64].Load()&(1<<(doc%64)) != 0
}

// setLive switches the live bit of doc, which isn't in that state yet.
func (c *columns) setLive(doc uint32, live bool) {
	w := &c.chunk(doc).live[doc%chunkDocs/64]
	if bit := uint64(1) << (doc % 64); live {
		w.Or(bit)
		c.count.Add(1)
	} else {
		w.And(^bit)
		c.count.Add(-1)
	}
}

// liveWords returns a copy of the live bits of the documents below n. Between two
// operations it is exact; while one is applied, bits of different moments meet.
func (c *columns) liveWords(n uint64) liveSet {
	out := make(liveSet, (n+63)/64)
	if p := c.chunks.Load(); p != nil {
		for i := range out {
			out[i] = (*p)[i/(chunkDocs/64)].live[i%(chunkDocs/64)].Load()
		}
	}
	return out
}

// liveSet is a frozen set of documents, one bit each.
type liveSet []uint64

func (s liveSet) has(doc uint32) bool {
	return int(doc/64) < len(s) && s[doc/64]&(1<<(doc%64)) != 0
}

// each calls f for each document in ascending order until it returns false.
func (s liveSet) each(f func(doc uint32) bool) {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			if !f(uint32(i*64 + bits.TrailingZeros64(w))) {
				return
			}
		}
	}
}
