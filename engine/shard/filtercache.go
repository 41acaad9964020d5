package shard

import (
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/vector"
)

// The bounds of a filter cache.
const (
	cacheEntries  = 64
	cacheBytes    = 16 << 20
	cacheKeyBytes = 16 << 10 // filters larger than this aren't kept
)

// filterCache keeps the documents that pass a filter while no operation changes
// the shard. Applications repeat few filters (a tenant, a category) over and over; the
// set of half a million documents costs more than the search in it.
//
// The sets in it are shared and never changed.
type filterCache struct {
	// mu guards the rest.
	mu      sync.Mutex
	version uint64 // of the shard, to which all entries belong
	sets    map[string]passing
	bytes   uint64
}

// passing are the documents that pass a filter.
type passing struct {
	docs *roaring.Bitmap
	bits []uint64 // docs again; nil when those would be too many
}

// cacheKey returns the key of a filter, "" for one that isn't kept.
func cacheKey(f *pb.Filter) string {
	if proto.Size(f) > cacheKeyBytes {
		return ""
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(f)
	if err != nil {
		return ""
	}
	return string(b)
}

// get returns the documents of a filter at a version of the shard.
func (c *filterCache) get(key string, version uint64) (passing, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != version {
		return passing{}, false
	}
	kept, ok := c.sets[key]
	return kept, ok
}

// put keeps the documents of a filter.
func (c *filterCache) put(key string, version uint64, docs *roaring.Bitmap) {
	size := docs.GetSizeInBytes() + uint64(len(key))
	if size > cacheBytes/4 {
		return
	}
	kept := passing{docs: docs}
	if bits, few := vector.Bits(docs, nil); few {
		kept.bits = bits
		size += 8 * uint64(len(bits))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sets == nil || c.version != version || len(c.sets) >= cacheEntries || c.bytes+size > cacheBytes {
		// Starting anew is as good as choosing a victim: it costs one evaluation
		// for each filter that is in use.
		c.version, c.sets, c.bytes = version, make(map[string]passing), 0
	}
	c.sets[key] = kept
	c.bytes += size
}

// version returns a number that is different after every operation, and false
// while one is being applied.
func (s *Shard) version() (uint64, bool) {
	v := s.changes.Load()
	return v, v%2 == 0
}
