package payloadindex

import (
	"encoding/binary"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
)

// cache keeps what the immutable layers of one state answered to recent plans:
// clients repeat their filters, and uniting the documents of a wide range costs
// more than a graph search. It is forgotten with its state.
type cache struct {
	// mu guards sets.
	mu   sync.Mutex
	sets map[string]*roaring.Bitmap // never changed
}

const (
	// cacheSets bounds the sets of a cache, each of which takes a bit a document
	// at most.
	cacheSets = 16
	// cacheFrom is the size from which a set is worth keeping.
	cacheFrom = 1024
	// cacheSpans bounds the plans that are remembered.
	cacheSpans = 2 * maxCells
)

// get returns a remembered set, or makes it.
func (c *cache) get(id string, compute func() *roaring.Bitmap) *roaring.Bitmap {
	if id == "" {
		return compute()
	}
	c.mu.Lock()
	found := c.sets[id]
	c.mu.Unlock()
	if found != nil {
		return found
	}
	// Two readers may compute the same; neither waits for the other.
	set := compute()
	if set.GetCardinality() < cacheFrom {
		return set
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sets == nil {
		c.sets = map[string]*roaring.Bitmap{}
	}
	for old := range c.sets {
		if len(c.sets) < cacheSets {
			break
		}
		delete(c.sets, old) // any one
	}
	c.sets[id] = set
	return set
}

// id names the documents that a plan finds by keys; "" when it has no name.
func (p plan) id() string {
	if len(p.spans) > cacheSpans || p.check != nil && p.shape == "" {
		return ""
	}
	b := []byte(p.shape)
	for _, sp := range p.spans {
		for _, k := range []key{sp.lo, sp.hi} {
			b = binary.AppendUvarint(b, k.n)
			b = binary.AppendUvarint(b, uint64(len(k.s)))
			b = append(b, k.s...)
		}
		if sp.open {
			b = append(b, 'o')
		}
		b = append(b, ';')
	}
	return string(b)
}
