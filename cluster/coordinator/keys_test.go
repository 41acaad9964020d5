package coordinator_test

import (
	"fmt"
	"log/slog"
	"strconv"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// keyed is a front desk with the collection a of custom sharding.
type keyed struct {
	t        *testing.T
	c        *coordinator.Coordinator
	topology coordinator.Topology
}

func openKeyed(t *testing.T) *keyed {
	t.Helper()
	o := coordinator.Options{FS: fsx.NewMem(), StoragePath: "/storage", Logger: slog.New(slog.DiscardHandler)}
	tp, shards, err := coordinator.OpenOwn(o)
	require.NoError(t, err)
	o.Topology, o.Shards = tp, shards
	c, err := coordinator.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	_, err = c.Collections().Create(t.Context(), &pb.CreateCollection{
		CollectionName: "a", ShardingMethod: pb.ShardingMethod_Custom.Enum(),
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 1, Distance: pb.Distance_Dot}),
	})
	require.NoError(t, err)
	return &keyed{t: t, c: c, topology: tp}
}

// key makes the shards of a key.
func (k *keyed) key(key *pb.ShardKey, shards int, state string) {
	k.t.Helper()
	_, err := k.topology.Change(k.t.Context(), topology.CreateShardKey{
		Collection: "a", Key: key, Placement: make([][]topology.PeerID, shards), InitialState: state,
	})
	require.NoError(k.t, err)
	k.c.Settle()
}

func selector(keys ...*pb.ShardKey) *pb.ShardKeySelector {
	return &pb.ShardKeySelector{ShardKeys: keys}
}

func (k *keyed) put(sel *pb.ShardKeySelector, value float32, ids ...uint64) error {
	var points []*pb.PointStruct
	for _, id := range ids {
		points = append(points, &pb.PointStruct{
			Id: pb.NewIDNum(id), Vectors: pb.NewVectors(value), Payload: pb.NewValueMap(map[string]any{"v": int64(value)}),
		})
	}
	_, err := k.c.Points().Upsert(k.t.Context(), &pb.UpsertPoints{CollectionName: "a", Wait: new(true), Points: points, ShardKeySelector: sel})
	return err
}

func (k *keyed) count(sel *pb.ShardKeySelector) uint64 {
	k.t.Helper()
	r, err := k.c.Points().Count(k.t.Context(), &pb.CountPoints{CollectionName: "a", ShardKeySelector: sel})
	require.NoError(k.t, err)
	return r.GetResult().GetCount()
}

// text says which points an answer has: key and ID.
func text[P interface {
	GetId() *pb.PointId
	GetShardKey() *pb.ShardKey
}](points []P) (out []string) {
	for _, p := range points {
		key := p.GetShardKey().GetKeyword()
		if key == "" {
			key = strconv.FormatUint(p.GetShardKey().GetNumber(), 10)
		}
		out = append(out, fmt.Sprintf("%s/%d", key, p.GetId().GetNum()))
	}
	return out
}

func TestShardKeys(t *testing.T) {
	k := openKeyed(t)
	x, y, n := pb.NewShardKey("x"), pb.NewShardKey("y"), pb.NewShardKeyNum(1)
	require.EqualError(t, k.put(nil, 1, 1), "Wrong input: Shard key not specified")
	require.EqualError(t, k.put(selector(x), 1, 1), "Wrong input: Shard key x not found")
	require.Zero(t, k.count(nil), "no shards, no points")
	k.key(x, 2, "")
	k.key(y, 1, "")
	k.key(n, 3, "")
	require.NoError(t, k.put(selector(x), 1, 1, 2, 3, 4))
	require.NoError(t, k.put(selector(y), 2, 1, 2))
	require.NoError(t, k.put(selector(n), 3, 2))
	require.Error(t, k.put(selector(pb.NewShardKey("1")), 3, 2), "a word isn't a number")
	require.EqualValues(t, 4, k.count(selector(x)))
	require.EqualValues(t, 3, k.count(selector(y, n)))
	require.EqualValues(t, 3, k.count(selector(y, n, y)))
	require.EqualValues(t, 7, k.count(nil))
	_, err := k.c.Points().Count(t.Context(), &pb.CountPoints{CollectionName: "a", ShardKeySelector: selector(pb.NewShardKey("z"))})
	require.Equal(t, apierror.BadRequest, apierror.KindOf(err))

	// Points of one ID under several keys are several points.
	got, err := k.c.Points().Get(t.Context(), &pb.GetPoints{CollectionName: "a", Ids: []*pb.PointId{pb.NewIDNum(2)}})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"x/2", "y/2", "1/2"}, text(got.GetResult()))
	for _, prefetch := range []bool{false, true} {
		q := &pb.QueryPoints{
			CollectionName: "a", Query: pb.NewQuery(1), Limit: new(uint64(4)), WithPayload: pb.NewWithPayload(true),
		}
		if prefetch {
			q.Prefetch = []*pb.PrefetchQuery{{Query: pb.NewQuery(1), Limit: new(uint64(3))}}
		}
		found, err := k.c.Points().Query(t.Context(), q)
		require.NoError(t, err)
		want := []string{"1/2", "y/1", "y/2", "x/1"}
		if prefetch {
			want = want[:3]
		}
		require.Equal(t, want, text(found.GetResult()))
		for _, p := range found.GetResult() {
			v := payload.ToProto(payload.Attached(p))["v"].GetIntegerValue()
			require.InDelta(t, v, p.GetScore(), 0, "the payload is that of the same key")
		}
	}

	// Pages never cut through an ID.
	var all []string
	scroll := &pb.ScrollPoints{CollectionName: "a", Limit: new(uint32(3))}
	for {
		page, err := k.c.Points().Scroll(t.Context(), scroll)
		require.NoError(t, err)
		all = append(all, text(page.GetResult())...)
		if scroll.Offset = page.GetNextPageOffset(); scroll.Offset == nil {
			break
		}
	}
	require.ElementsMatch(t, []string{"x/1", "y/1", "x/2", "y/2", "1/2", "x/3", "x/4"}, all)

	// A write is about its keys only.
	_, err = k.c.Points().Delete(t.Context(), &pb.DeletePoints{
		CollectionName: "a", Wait: new(true), ShardKeySelector: selector(x, y), Points: pb.NewPointsSelectorFilter(&pb.Filter{}),
	})
	require.NoError(t, err)
	require.EqualValues(t, 1, k.count(nil))
	_, err = k.c.Points().UpdateBatch(t.Context(), &pb.UpdateBatchPoints{CollectionName: "a", Operations: []*pb.PointsUpdateOperation{
		{Operation: &pb.PointsUpdateOperation_DeletePoints_{DeletePoints: &pb.PointsUpdateOperation_DeletePoints{Points: pb.NewPointsSelector(pb.NewIDNum(2))}}},
	}})
	require.EqualError(t, err, "Wrong input: Shard key not specified")

	// A key that is dropped is gone.
	_, err = k.topology.Change(t.Context(), topology.DropShardKey{Collection: "a", Key: n})
	require.NoError(t, err)
	k.c.Settle()
	require.Zero(t, k.count(nil))
	require.Error(t, k.put(selector(n), 1, 1))
}

func TestFallbackOfAShardKey(t *testing.T) {
	k := openKeyed(t)
	own, rest := pb.NewShardKey("own"), pb.NewShardKey("rest")
	sel := &pb.ShardKeySelector{ShardKeys: []*pb.ShardKey{own}, Fallback: rest}
	k.key(rest, 1, "")
	require.NoError(t, k.put(sel, 1, 1, 2))
	require.EqualValues(t, 2, k.count(selector(rest)), "there is no such key yet")
	k.key(own, 1, "Partial")
	require.NoError(t, k.put(selector(own), 1, 7))
	require.EqualValues(t, 2, k.count(sel), "not all is there yet")
	require.EqualValues(t, 2, k.count(nil), "what isn't all there isn't read")
	k.key(pb.NewShardKey("new"), 1, "Active")
	sel = proto.CloneOf(sel)
	sel.ShardKeys[0] = pb.NewShardKey("new")
	require.NoError(t, k.put(sel, 1, 9))
	require.EqualValues(t, 1, k.count(sel))
}

// TestNoShardKeysAlone: they are a cluster's.
func TestNoShardKeysAlone(t *testing.T) {
	c := open(t, fsx.NewMem())
	_, err := c.Collections().Create(t.Context(), &pb.CreateCollection{
		CollectionName: "a", ShardingMethod: pb.ShardingMethod_Custom.Enum(),
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 1, Distance: pb.Distance_Dot}),
	})
	require.Equal(t, apierror.NotImplemented, apierror.KindOf(err))
}
