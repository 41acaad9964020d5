package placement

import (
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/point"
)

// Rings maps the points of a collection with custom sharding: every shard key has a
// ring of its own shards. Rings are immutable and safe for concurrent use.
type Rings struct {
	words   map[string]*Ring
	numbers map[uint64]*Ring
}

// NewRings returns the rings of a collection's shards. Shards without a key are left
// out.
func NewRings(shards []*topology.Shard) *Rings {
	words, numbers := map[string][]uint32{}, map[uint64][]uint32{}
	for _, s := range shards {
		switch k := s.Key.GetKey().(type) {
		case *pb.ShardKey_Keyword:
			words[k.Keyword] = append(words[k.Keyword], s.ID)
		case *pb.ShardKey_Number:
			numbers[k.Number] = append(numbers[k.Number], s.ID)
		}
	}
	return &Rings{words: rings(words), numbers: rings(numbers)}
}

func rings[K comparable](shards map[K][]uint32) map[K]*Ring {
	m := make(map[K]*Ring, len(shards))
	for k, ids := range shards {
		m[k] = NewRing(ids)
	}
	return m
}

// Ring returns the ring of a shard key; nil when there is none. A number isn't the word
// with its digits.
func (r *Rings) Ring(key *pb.ShardKey) *Ring {
	switch k := key.GetKey().(type) {
	case *pb.ShardKey_Keyword:
		return r.words[k.Keyword]
	case *pb.ShardKey_Number:
		return r.numbers[k.Number]
	default:
		return nil
	}
}

// Shard returns the shard of a key that holds a point; ok is false when there is no such
// key.
func (r *Rings) Shard(key *pb.ShardKey, id point.ID) (shard uint32, ok bool) {
	ring := r.Ring(key)
	if ring == nil {
		return 0, false
	}
	return ring.Shard(id), true
}
