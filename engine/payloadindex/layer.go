package payloadindex

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// layer is what one generation of updates says. Methods of an immutable layer
// need no lock.
type layer interface {
	// touched returns the documents that the layer speaks for. Not to be changed.
	touched() *roaring.Bitmap
	// flagged returns the documents with a flag. Not to be changed.
	flagged(f flags) *roaring.Bitmap
	// collect adds the documents with a key within sp that passes check.
	collect(sp span, check func(key) bool, c *collector)
	// entries returns how many pairs of key and document there are within sp.
	entries(sp span) int
	// counted calls fn for each number of values of each document that has
	// another number of values than 1.
	counted(fn func(doc, count uint32))
	// keys calls fn for each key of a document.
	keys(doc uint32, fn func(key))
	// next returns the first key from sp.lo on (the last below sp.hi, when
	// descending) within sp and appends its documents, sorted, to docs.
	next(sp span, descending bool, docs []uint32) (key, []uint32, bool)
	// size is roughly the number of bytes of the layer.
	size() int
}

// collector gathers documents of one layer, as a list and as bits.
type collector struct {
	docs  []uint32
	words []uint64
}

// bits makes words ready for documents below chunks·2^16, unless n documents
// are too few to be worth it.
func (c *collector) bits(chunks, n int) bool {
	if c.words == nil && worthBits(chunks*chunkWords, n) {
		c.words = make([]uint64, chunks*chunkWords)
	}
	return c.words != nil
}

// result returns the union. It shares no memory with what was collected.
func (c *collector) result() *roaring.Bitmap {
	if c.words == nil {
		return setOf(c.docs)
	}
	for _, d := range c.docs {
		c.words[d/64] |= 1 << (d % 64)
	}
	out := roaring.New()
	out.FromDense(c.words, false)
	return out
}

// worthBits reports whether an array of so many words beats sorting n documents.
func worthBits(words, n int) bool { return words <= 16*n }

// setOf makes a set of documents in any order. It may reorder docs.
func setOf(docs []uint32) *roaring.Bitmap {
	out := roaring.New()
	if len(docs) == 0 {
		return out
	}
	if highest := slices.Max(docs); len(docs) >= 64 && worthBits(int(highest/64)+1, len(docs)) {
		words := make([]uint64, highest/64+1)
		for _, d := range docs {
			words[d/64] |= 1 << (d % 64)
		}
		out.FromDense(words, false)
		return out
	}
	slices.Sort(docs)
	out.AddMany(docs)
	return out
}
