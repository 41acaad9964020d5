package placement

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/dchest/siphash"

	"github.com/sextantdb/sextant/engine/point"
)

// virtualNodes is the number of places a shard has on the ring. A hundred keep
// the largest shard within about a quarter of the mean.
const virtualNodes = 100

// Ring maps points to shards by consistent hashing (SipHash-2-4 with a zero
// key), so that adding a shard moves only the points which that shard gets. A
// Ring is immutable and safe for concurrent use.
type Ring struct {
	places []place
}

type place struct {
	hash  uint64
	shard uint32
}

// NewRing returns the ring of the given shards. Without shards every look-up
// answers shard 0.
func NewRing(shards []uint32) *Ring {
	r := &Ring{places: make([]place, 0, len(shards)*virtualNodes)}
	for _, s := range shards {
		var key [8]byte
		binary.LittleEndian.PutUint32(key[:], s)
		for v := range uint32(virtualNodes) {
			binary.LittleEndian.PutUint32(key[4:], v)
			r.places = append(r.places, place{hash: siphash.Hash(0, 0, key[:]), shard: s})
		}
	}
	slices.SortFunc(r.places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.shard, b.shard))
	})
	return r
}

// Shard returns the shard that holds a point: the first place clockwise from the
// hash of its ID.
func (r *Ring) Shard(id point.ID) uint32 {
	if len(r.places) == 0 {
		return 0
	}
	h := siphash.Hash(0, 0, id.Hashed())
	i, _ := slices.BinarySearchFunc(r.places, h, func(p place, h uint64) int { return cmp.Compare(p.hash, h) })
	return r.places[i%len(r.places)].shard
}
