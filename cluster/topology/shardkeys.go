package topology

import (
	"slices"
	"strconv"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/internal/apierror"
)

// CreateShardKey makes the shards of a key in a collection with custom sharding.
type CreateShardKey struct {
	// Collection is the collection's own name.
	Collection string
	// Key is the user's name for the shards.
	Key *pb.ShardKey
	// ReplicationFactor is how many copies each shard should have; 0 is the
	// collection's.
	ReplicationFactor uint32
	// Placement names the peers of each shard. Its length is the number of shards.
	Placement [][]PeerID
	// Pool are the peers on which the user wants the shards, also when copies are added
	// later; empty is anywhere.
	Pool []PeerID
	// InitialState is Active (empty: the same), or Partial for shards that get their
	// points from others before they are read.
	InitialState string
}

func (c CreateShardKey) apply(s *State) error {
	old, err := s.own(c.Collection)
	if err != nil {
		return err
	}
	if err := c.check(s, old); err != nil {
		return err
	}
	next := old.clone()
	key := &KeyShards{Key: proto.CloneOf(c.Key), ReplicationFactor: c.ReplicationFactor, Pool: slices.Sorted(slices.Values(c.Pool))}
	key.Pool = slices.Compact(key.Pool)
	next.Shards = slices.Clip(old.Shards)
	for _, peers := range c.Placement {
		next.NextShard = max(next.NextShard, firstKeyed)
		sh := &Shard{ID: next.NextShard, Key: key.Key, Partial: c.InitialState == partial}
		s.place(sh, peers)
		next.Shards = append(next.Shards, sh)
		key.Shards = append(key.Shards, sh.ID)
		next.NextShard++
	}
	i, _ := next.findKey(key.Key)
	next.Keys = slices.Insert(slices.Clone(old.Keys), i, key)
	next.RingEpoch++
	s.put(next)
	return nil
}

// The states in which the shards of a key may begin.
const (
	active  = "Active"
	partial = "Partial"
)

func (c CreateShardKey) check(s *State, col *Collection) error {
	switch {
	case c.Key.GetKey() == nil:
		return apierror.New(apierror.BadInput, "A shard key is a word or a number")
	case col.Config.GetParams().GetShardingMethod() != pb.ShardingMethod_Custom:
		return apierror.New(apierror.BadRequest, "Shard Key %s cannot be created with Auto sharding method", keyText(c.Key))
	case col.Key(c.Key) != nil:
		return apierror.New(apierror.BadRequest, "Shard key %s already exists", keyText(c.Key))
	case len(c.Placement) == 0:
		return apierror.New(apierror.BadRequest, "Shard key %s needs at least one shard", keyText(c.Key))
	case len(col.Shards)+len(c.Placement) > maxKeyedShards || col.NextShard > lastShard:
		return apierror.New(apierror.BadRequest, "A collection has at most %d shards", maxKeyedShards)
	case c.InitialState != "" && c.InitialState != active && c.InitialState != partial:
		return apierror.New(apierror.Validation, "[initial_state: %q is not Active or Partial]", c.InitialState)
	}
	for _, p := range c.Pool {
		if s.Peer(p) == nil {
			return noPeer(p)
		}
	}
	return s.checkPlacement(c.Placement)
}

// replaceInPools puts a peer in the place of another one wherever users named that.
func (s *State) replaceInPools(old, next PeerID) {
	named := func(k *KeyShards) bool { return slices.Contains(k.Pool, old) }
	for _, c := range s.Collections() {
		if !slices.ContainsFunc(c.Keys, named) {
			continue
		}
		changed := c.clone()
		changed.Keys = slices.Clone(c.Keys)
		for i, k := range changed.Keys {
			if named(k) {
				other := *k
				other.Pool = slices.DeleteFunc(slices.Clone(k.Pool), func(p PeerID) bool { return p == old || p == next })
				other.Pool = slices.Sorted(slices.Values(append(other.Pool, next)))
				changed.Keys[i] = &other
			}
		}
		s.put(changed)
	}
}

// firstKeyed is the number of the first shard of a collection with custom sharding: clients of the API
// know it as 1.
const firstKeyed = 1

// maxKeyedShards bounds the shards of a collection with custom sharding.
const maxKeyedShards = 64 << 10

// DropShardKey removes the shards of a key, with their transfers and points.
type DropShardKey struct {
	// Collection is the collection's own name.
	Collection string
	// Key is the user's name for the shards.
	Key *pb.ShardKey
}

func (c DropShardKey) apply(s *State) error {
	old, err := s.own(c.Collection)
	if err != nil {
		return err
	}
	if old.Config.GetParams().GetShardingMethod() != pb.ShardingMethod_Custom {
		return apierror.New(apierror.BadRequest, "Shard Key %s cannot be removed with Auto sharding method", keyText(c.Key))
	}
	i, ok := old.findKey(c.Key)
	if !ok {
		return apierror.New(apierror.BadRequest, "Shard key %s does not exist", keyText(c.Key))
	}
	gone := func(id uint32) bool { return slices.Contains(old.Keys[i].Shards, id) }
	s.removeTransfers(old, func(t *Transfer) bool { return gone(t.Shard) || gone(t.target()) })
	next := s.Incarnation(old.Incarnation).clone()
	next.Keys = slices.Delete(slices.Clone(old.Keys), i, i+1)
	next.Shards = nil
	for _, sh := range old.Shards {
		if gone(sh.ID) {
			s.countLed(sh.Leader, -1)
			continue
		}
		next.Shards = append(next.Shards, sh)
	}
	next.RingEpoch++
	s.put(next)
	return nil
}

// keyText is a shard key as messages name it.
func keyText(k *pb.ShardKey) string {
	if n, ok := k.GetKey().(*pb.ShardKey_Number); ok {
		return strconv.FormatUint(n.Number, 10)
	}
	return k.GetKeyword()
}
