package coordinator

import (
	"slices"
	"strconv"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/internal/apierror"
)

// With custom sharding a point belongs to a shard key, which the request names; every key has
// shards and a ring of its own. The same ID under two keys is two points. A collection with
// automatic sharding has one ring.

// target is a shard that is to be asked.
type target struct {
	shardcall.Shard
	id  uint32
	key *pb.ShardKey
}

// scope is a collection as far as one request is about it.
type scope struct {
	*collection
	// rings say which shard has a point: one, or one for each shard key.
	rings []*placement.Ring
	// targets are the shards of the rings, in the order of their numbers.
	targets []target
}

// isKeyed tells whether points belong to shard keys.
func (col *collection) isKeyed() bool {
	return col.Config.GetParams().GetShardingMethod() == pb.ShardingMethod_Custom
}

// whole is the scope of a collection without shard keys.
func (col *collection) whole(sel *pb.ShardKeySelector) (*scope, error) {
	if len(sel.GetShardKeys()) > 0 {
		return nil, apierror.New(apierror.BadRequest, "Shard keys are not supported by a collection with automatic sharding")
	}
	if col.closed != nil {
		return nil, col.closed
	}
	return &scope{col, col.oneRing, col.targets}, nil
}

// toWrite returns where a write goes: the request must name shard keys.
func (col *collection) toWrite(sel *pb.ShardKeySelector) (*scope, error) {
	if !col.isKeyed() {
		return col.whole(sel)
	}
	if len(sel.GetShardKeys()) == 0 {
		return nil, apierror.New(apierror.BadInput, "Shard key not specified")
	}
	return col.of(sel, apierror.BadInput)
}

// toRead returns what a read asks: the shards of the keys that it names, or of all.
func (col *collection) toRead(sel *pb.ShardKeySelector) (*scope, error) {
	switch {
	case !col.isKeyed():
		return col.whole(sel)
	case len(sel.GetShardKeys()) > 0:
		return col.of(sel, apierror.BadRequest)
	}
	s := &scope{collection: col}
	for _, k := range col.Keys {
		if col.isReadable(k) {
			if err := s.add(k); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// of returns the scope of the keys that are named. With a fallback one key is named, and counts only
// when all its shards can be read.
func (col *collection) of(sel *pb.ShardKeySelector, kind apierror.Kind) (*scope, error) {
	keys := sel.GetShardKeys()
	if sel.GetFallback() != nil && len(keys) == 1 {
		if k := col.Key(keys[0]); k == nil || !col.isReadable(k) {
			keys = []*pb.ShardKey{sel.GetFallback()}
		}
	}
	s := &scope{collection: col}
	for i, key := range keys {
		k := col.Key(key)
		if k == nil {
			return nil, apierror.New(kind, "Shard key %s not found", keyText(key))
		}
		if slices.ContainsFunc(keys[:i], func(o *pb.ShardKey) bool { return col.Key(o) == k }) {
			continue
		}
		if err := s.add(k); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// isReadable tells whether the points of a key are all there.
func (col *collection) isReadable(k *topology.KeyShards) bool {
	return !slices.ContainsFunc(k.Shards, func(id uint32) bool {
		sh := col.Shard(id)
		return sh == nil || sh.Partial
	})
}

// add adds the shards of a key.
func (s *scope) add(k *topology.KeyShards) error {
	for _, id := range k.Shards {
		one, err := s.shard(id)
		if err != nil {
			return err
		}
		s.targets = append(s.targets, target{one, id, k.Key})
	}
	s.rings = append(s.rings, s.keyRings.Ring(k.Key))
	return nil
}

// target returns the target of a number; ok is false when it isn't in the scope.
func (s *scope) target(id uint32) (t target, ok bool) {
	for _, t := range s.targets {
		if t.id == id {
			return t, true
		}
	}
	return target{}, false
}

// keyText is a shard key as messages name it.
func keyText(k *pb.ShardKey) string {
	if n, ok := k.GetKey().(*pb.ShardKey_Number); ok {
		return strconv.FormatUint(n.Number, 10)
	}
	return k.GetKeyword()
}

// from notes on hits where they are from, if that doesn't follow from their IDs.
func (t *target) from(hits []query.Scored) []query.Scored {
	if t.key != nil {
		for i := range hits {
			hits[i].Part = t.id
		}
	}
	return hits
}

// sign puts the shard key into points.
func (t *target) sign(points []*pb.RetrievedPoint) []*pb.RetrievedPoint {
	if t.key != nil {
		for _, p := range points {
			p.ShardKey = t.key
		}
	}
	return points
}

// signHits puts the shard keys into the public form of hits.
func (s *scope) signHits(hits []query.Scored, points []*pb.ScoredPoint) []*pb.ScoredPoint {
	if s.isKeyed() {
		for i, h := range hits {
			if t, ok := s.target(h.Part); ok {
				points[i].ShardKey = t.key
			}
		}
	}
	return points
}

// keysOf returns the shard keys that one write of a batch names.
func keysOf(op *pb.PointsUpdateOperation) *pb.ShardKeySelector {
	switch op := op.GetOperation().(type) {
	case *pb.PointsUpdateOperation_Upsert:
		return op.Upsert.GetShardKeySelector()
	case *pb.PointsUpdateOperation_UpdateVectors_:
		return op.UpdateVectors.GetShardKeySelector()
	case *pb.PointsUpdateOperation_DeletePoints_:
		return op.DeletePoints.GetShardKeySelector()
	case *pb.PointsUpdateOperation_DeleteVectors_:
		return op.DeleteVectors.GetShardKeySelector()
	case *pb.PointsUpdateOperation_SetPayload_:
		return op.SetPayload.GetShardKeySelector()
	case *pb.PointsUpdateOperation_OverwritePayload_:
		return op.OverwritePayload.GetShardKeySelector()
	case *pb.PointsUpdateOperation_DeletePayload_:
		return op.DeletePayload.GetShardKeySelector()
	case *pb.PointsUpdateOperation_ClearPayload_:
		return op.ClearPayload.GetShardKeySelector()
	default:
		return nil
	}
}
