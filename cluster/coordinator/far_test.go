package coordinator_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sextantdb/sextant/cluster/consistency"
	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// farShards are shards of this process that the front desk calls as if they were on
// other nodes.
type farShards struct {
	coordinator.Shards
	cut func() error // what is wrong with the connections
	// between, when set, puts something before a shard where it is.
	between func(shardcall.Shard) shardcall.Shard
	// handle, when set, makes another handle of one.
	handle func(*farShard) shardcall.Shard
	seen
}

// seen is what came with calls.
type seen struct {
	mu        sync.Mutex
	levels    []consistency.Level
	orderings []pb.WriteOrderingType
}

func (s *seen) take() (levels []consistency.Level, orderings []pb.WriteOrderingType) {
	s.mu.Lock()
	defer s.mu.Unlock()
	levels, orderings = s.levels, s.orderings
	s.levels, s.orderings = nil, nil
	return levels, orderings
}

type farShard struct {
	*shardcall.Remote
	all  *farShards
	near shardcall.Shard
}

func (f *farShards) Open(ctx context.Context, t *topology.Collection, id uint32) (shardcall.Shard, error) {
	near, err := f.Shards.Open(ctx, t, id)
	if err != nil {
		return near, err
	}
	one := &farShard{all: f, near: near, Remote: &shardcall.Remote{Call: func(ctx context.Context, req []byte) ([]byte, error) {
		if err := f.cut(); err != nil {
			return nil, err
		}
		f.mu.Lock()
		f.levels = append(f.levels, consistency.Of(ctx))
		f.mu.Unlock()
		far, cancel := context.WithCancel(context.Background())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		at := near
		if f.between != nil {
			at = f.between(near)
		}
		return shardcall.Serve(far, at, req) //nolint:contextcheck // nothing but bytes goes over
	}}}
	if f.handle != nil {
		return f.handle(one), nil
	}
	return one, nil
}

func (f *farShards) Release(s shardcall.Shard) error {
	if two, ok := s.(twoCopies); ok {
		s = two.Shard
	}
	return f.Shards.Release(s.(*farShard).near)
}

func (s *farShard) Submit(ctx context.Context, op shard.Op, w shardcall.Write) (shardcall.Ticket, error) {
	s.all.mu.Lock()
	s.all.orderings = append(s.all.orderings, w.Ordering)
	s.all.mu.Unlock()
	return s.Remote.Submit(ctx, op, w)
}

func openFar(t *testing.T) (*coordinator.Coordinator, *farShards) {
	t.Helper()
	o := coordinator.Options{FS: fsx.NewMem(), StoragePath: "/storage", Logger: slog.New(slog.DiscardHandler)}
	tp, shards, err := coordinator.OpenOwn(o)
	require.NoError(t, err)
	far := &farShards{Shards: shards, cut: func() error { return nil }}
	o.Topology, o.Shards = tp, far
	c, err := coordinator.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, far
}

// TestFarShardsDoNotShow does the same with shards of this process and with shards that
// are called through bytes.
func TestFarShardsDoNotShow(t *testing.T) {
	near := open(t, fsx.NewMem())
	far, _ := openFar(t)
	both := []*coordinator.Coordinator{near, far}
	for _, c := range both {
		create(t, c, "a", 3)
		_, err := c.Points().CreateFieldIndex(t.Context(), &pb.CreateFieldIndexCollection{
			CollectionName: "a", FieldName: "unique", FieldType: pb.FieldType_FieldTypeInteger.Enum(), Wait: new(true),
		})
		require.NoError(t, err)
		_, err = c.Points().CreateFieldIndex(t.Context(), &pb.CreateFieldIndexCollection{
			CollectionName: "a", FieldName: "color", FieldType: pb.FieldType_FieldTypeKeyword.Enum(), Wait: new(true),
		})
		require.NoError(t, err)
	}
	rng := rand.New(rand.NewPCG(21, 22))
	for round := range 5 {
		batch := make([]*pb.PointStruct, 40)
		for i := range batch {
			batch[i] = randomPoint(rng, rng.Uint64N(150))
		}
		seed := rng.Uint64()
		ids := []*pb.PointId{pb.NewIDNum(3), pb.NewIDNum(77), pb.NewIDNum(1000), pb.NewIDNum(4)}
		var answers [2][]proto.Message
		for i, c := range both {
			p := c.Points()
			write(t, p, "a", batch, round)
			add := func(m proto.Message, err error) {
				require.NoError(t, err)
				answers[i] = append(answers[i], timeless(m))
			}
			for _, q := range reads("a", rand.New(rand.NewPCG(seed, 0))) {
				q.WithVectors = pb.NewWithVectors(true)
				add(p.Query(t.Context(), q))
			}
			add(p.Get(t.Context(), &pb.GetPoints{CollectionName: "a", Ids: ids, WithVectors: pb.NewWithVectors(true)}))
			add(p.Get(t.Context(), &pb.GetPoints{CollectionName: "a"}))
			add(p.Count(t.Context(), &pb.CountPoints{CollectionName: "a"}))
			add(p.Facet(t.Context(), &pb.FacetCounts{CollectionName: "a", Key: "color"}))
			add(p.Scroll(t.Context(), &pb.ScrollPoints{CollectionName: "a", Limit: proto.Uint32(200)}))
			add(p.QueryBatch(t.Context(), &pb.QueryBatchPoints{CollectionName: "a", QueryPoints: reads("a", rand.New(rand.NewPCG(seed, 1)))}))
			add(p.UpdateBatch(t.Context(), &pb.UpdateBatchPoints{CollectionName: "a", Wait: new(round%2 == 0), Operations: sets(round)}))
			_, err := p.Query(t.Context(), &pb.QueryPoints{CollectionName: "a", Query: pb.NewQueryID(pb.NewIDNum(1000)), Using: new("v")})
			require.Equal(t, apierror.NotFound, apierror.KindOf(err))
		}
		require.Empty(t, cmp.Diff(answers[0], answers[1], protocmp.Transform()), "round %d", round)
	}
	var infos [2]*pb.CollectionInfo
	for i, c := range both {
		info, err := c.Collections().Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: "a"})
		require.NoError(t, err)
		infos[i] = info.GetResult()
		infos[i].Status, infos[i].UpdateQueue = 0, nil // of the moment
	}
	require.Empty(t, cmp.Diff(infos[0], infos[1], protocmp.Transform()))
}

// sets are changes of one point in an order that shows.
func sets(round int) (ops []*pb.PointsUpdateOperation) {
	for n := range 5 {
		ops = append(ops, &pb.PointsUpdateOperation{Operation: &pb.PointsUpdateOperation_SetPayload_{SetPayload: &pb.PointsUpdateOperation_SetPayload{
			Payload: pb.NewValueMap(map[string]any{"step": round*10 + n}), PointsSelector: pb.NewPointsSelectorFilter(&pb.Filter{}),
		}}})
	}
	return ops
}

func timeless(m proto.Message) proto.Message {
	r := m.ProtoReflect()
	r.Clear(r.Descriptor().Fields().ByName("time"))
	return m
}

// TestConsistencyAndOrdering: what a request says about them reaches the shards.
func TestConsistencyAndOrdering(t *testing.T) {
	c, far := openFar(t)
	create(t, c, "a", 1)
	p := c.Points()
	far.take()
	for _, o := range []*pb.WriteOrdering{nil, {Type: pb.WriteOrderingType_Strong}} {
		_, err := p.Upsert(t.Context(), &pb.UpsertPoints{
			CollectionName: "a", Points: []*pb.PointStruct{randomPoint(rand.New(rand.NewPCG(1, 1)), 1)}, Ordering: o,
		})
		require.NoError(t, err)
		_, err = p.UpdateBatch(t.Context(), &pb.UpdateBatchPoints{CollectionName: "a", Operations: sets(1)[:1], Ordering: o})
		require.NoError(t, err)
		_, err = p.DeleteFieldIndex(t.Context(), &pb.DeleteFieldIndexCollection{CollectionName: "a", FieldName: "n", Ordering: o})
		require.NoError(t, err)
	}
	_, orderings := far.take()
	weak, strong := pb.WriteOrderingType_Weak, pb.WriteOrderingType_Strong
	require.Equal(t, []pb.WriteOrderingType{weak, weak, weak, strong, strong, strong}, orderings)
	_, err := p.Delete(t.Context(), &pb.DeletePoints{CollectionName: "a", Points: pb.NewPointsSelector(), Ordering: &pb.WriteOrdering{Type: 9}})
	require.Equal(t, apierror.BadInput, apierror.KindOf(err))

	all := &pb.ReadConsistency{Value: &pb.ReadConsistency_Type{Type: pb.ReadConsistencyType_All}}
	two := &pb.ReadConsistency{Value: &pb.ReadConsistency_Factor{Factor: 2}}
	linearizable := consistency.With(t.Context(), consistency.Level{Mode: consistency.Linearizable})
	for _, one := range []struct {
		ask  func() error
		want consistency.Level
	}{
		{func() error { _, err := p.Count(t.Context(), &pb.CountPoints{CollectionName: "a"}); return err }, consistency.Level{}},
		{func() error {
			_, err := p.Count(t.Context(), &pb.CountPoints{CollectionName: "a", ReadConsistency: two})
			return err
		}, consistency.Level{Mode: consistency.Factor, Copies: 2}},
		{func() error {
			_, err := p.QueryBatch(t.Context(), &pb.QueryBatchPoints{CollectionName: "a", QueryPoints: []*pb.QueryPoints{{}}, ReadConsistency: all})
			return err
		}, consistency.Level{Mode: consistency.All}},
		{func() error {
			_, err := p.Search(t.Context(), &pb.SearchPoints{CollectionName: "a", Vector: []float32{1, 2, 3, 4}, VectorName: new("v"), Limit: 1, ReadConsistency: all})
			return err
		}, consistency.Level{Mode: consistency.All}},
		{func() error {
			_, err := p.Get(linearizable, &pb.GetPoints{CollectionName: "a", ReadConsistency: two})
			return err
		}, consistency.Level{Mode: consistency.Linearizable}},
	} {
		require.NoError(t, one.ask())
		levels, _ := far.take()
		require.Equal(t, []consistency.Level{one.want}, levels)
	}
	_, err = p.Facet(t.Context(), &pb.FacetCounts{CollectionName: "a", Key: "n", ReadConsistency: &pb.ReadConsistency{}})
	require.Equal(t, apierror.BadInput, apierror.KindOf(err))
}

// TestUnreachableShard: a shard that can't be called fails its requests and shows in
// the collection's status.
func TestUnreachableShard(t *testing.T) {
	c, far := openFar(t)
	create(t, c, "a", 2)
	far.cut = func() error { return apierror.New(apierror.Unavailable, "no connection") }
	_, err := c.Points().Count(t.Context(), &pb.CountPoints{CollectionName: "a"})
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
	_, err = c.Points().Upsert(t.Context(), &pb.UpsertPoints{
		CollectionName: "a", Points: []*pb.PointStruct{randomPoint(rand.New(rand.NewPCG(1, 1)), 1)},
	})
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
	info, err := c.Collections().Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: "a"})
	require.NoError(t, err)
	require.Equal(t, pb.CollectionStatus_Red, info.GetResult().GetStatus())
	require.Contains(t, info.GetResult().GetOptimizerStatus().GetError(), "no connection")
}

// blind is a shard whose writes become visible when nobody waits any more.
type blind struct{ shardcall.Shard }

type blindTicket struct{ shardcall.Ticket }

func (s blind) Submit(ctx context.Context, op shard.Op, w shardcall.Write) (shardcall.Ticket, error) {
	t, err := s.Shard.Submit(ctx, op, w)
	return blindTicket{t}, err
}

func (blindTicket) Visible(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestWaitTimeoutOfFarShard: a wait that is over is no error, wherever it was waited.
func TestWaitTimeoutOfFarShard(t *testing.T) {
	c, far := openFar(t)
	far.between = func(s shardcall.Shard) shardcall.Shard { return blind{s} }
	create(t, c, "a", 2)
	rng := rand.New(rand.NewPCG(1, 1))
	r, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{
		CollectionName: "a", Wait: new(true), Timeout: new(uint64(1)),
		Points: []*pb.PointStruct{randomPoint(rng, 1), randomPoint(rng, 2), randomPoint(rng, 3)},
	})
	require.NoError(t, err)
	require.Equal(t, pb.UpdateStatus_WaitTimeout, r.GetResult().GetStatus())
	require.Positive(t, r.GetResult().GetOperationId())
}

// TestStuckChangeHoldsUpNobodyElse: a collection whose shards can't follow a change at the
// moment doesn't keep others from being made, changed and deleted.
func TestStuckChangeHoldsUpNobodyElse(t *testing.T) {
	c, far := openFar(t)
	create(t, c, "stuck", 1)
	far.take()
	stuck := make(chan struct{})
	far.between = func(s shardcall.Shard) shardcall.Shard { close(stuck); return blind{s} }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := c.Points().CreateFieldIndex(ctx, &pb.CreateFieldIndexCollection{
			CollectionName: "stuck", FieldName: "n", FieldType: pb.FieldType_FieldTypeInteger.Enum(), Wait: new(true),
		})
		ended <- err
	}()
	<-stuck
	far.between = nil
	create(t, c, "other", 1)
	_, err := c.Points().CreateFieldIndex(t.Context(), &pb.CreateFieldIndexCollection{
		CollectionName: "other", FieldName: "n", FieldType: pb.FieldType_FieldTypeInteger.Enum(), Wait: new(true),
	})
	require.NoError(t, err)
	_, err = c.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "other"})
	require.NoError(t, err)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

// TestConcurrentChanges makes, changes and deletes one collection from many sides; what
// is left is what the topology says, and every request has an answer.
func TestConcurrentChanges(t *testing.T) {
	c := open(t, fsx.NewMem())
	var g errgroup.Group
	for worker := range 4 {
		g.Go(func() error {
			for i := range 10 {
				_, err := c.Collections().Create(t.Context(), &pb.CreateCollection{
					CollectionName: "a", VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 4, Distance: pb.Distance_Dot}),
				})
				if err != nil && apierror.KindOf(err) != apierror.AlreadyExists {
					return err
				}
				_, err = c.Points().CreateFieldIndex(t.Context(), &pb.CreateFieldIndexCollection{
					CollectionName: "a", FieldName: "n", FieldType: pb.FieldType_FieldTypeInteger.Enum(), Wait: new(true),
				})
				if err != nil && apierror.KindOf(err) != apierror.NotFound && apierror.KindOf(err) != apierror.Unavailable {
					return err
				}
				if (worker+i)%2 == 0 {
					if _, err := c.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "a"}); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	_, err := c.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "a"})
	require.NoError(t, err)
	require.Empty(t, list(t, c))
}

// TestTopologyChangesFromElsewhere: collections come, change and go with the topology,
// whoever changed it.
func TestTopologyChangesFromElsewhere(t *testing.T) {
	mem := fsx.NewMem()
	o := coordinator.Options{FS: mem, StoragePath: "/storage", Logger: slog.New(slog.DiscardHandler)}
	tp, shards, err := coordinator.OpenOwn(o)
	require.NoError(t, err)
	o.Topology, o.Shards = tp, shards
	c, err := coordinator.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })

	change := func(cmd topology.Command) {
		t.Helper()
		changed, err := tp.Change(t.Context(), cmd)
		require.NoError(t, err)
		require.True(t, changed)
	}
	config, err := topology.NewConfig(&pb.CreateCollection{VectorsConfig: pb.NewVectorsConfigMap(map[string]*pb.VectorParams{
		"v": {Size: 4, Distance: pb.Distance_Dot},
	})}, topology.Defaults{})
	require.NoError(t, err)
	born := &topology.Collection{Name: "a", Incarnation: uuid.NewString(), Config: config, Shards: []*topology.Shard{{ID: 0}, {ID: 1}}}
	count := func() error {
		_, err := c.Points().Count(t.Context(), &pb.CountPoints{CollectionName: "a"})
		return err
	}
	eventually := func(cond func() bool) { t.Helper(); require.Eventually(t, cond, time.Minute, time.Millisecond) }

	change(topology.CreateCollection{Collection: born})
	eventually(func() bool { return count() == nil })

	field := &pb.PayloadSchemaInfo{DataType: pb.PayloadSchemaType_Integer}
	change(topology.SetField{Name: "a", Field: "n", Schema: field})
	eventually(func() bool {
		info, err := c.Collections().Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: "a"})
		return err == nil && info.GetResult().GetPayloadSchema()["n"] != nil
	})

	// Deleted and made again at once: the new one is empty, the old one is gone.
	_, err = c.Points().Upsert(t.Context(), &pb.UpsertPoints{
		CollectionName: "a", Wait: new(true), Points: []*pb.PointStruct{{Id: pb.NewIDNum(1), Vectors: pb.NewVectorsMap(nil)}},
	})
	require.NoError(t, err)
	change(topology.DeleteCollection{Name: "a"})
	again := *born
	again.Incarnation = uuid.NewString()
	change(topology.CreateCollection{Collection: &again})
	eventually(func() bool { return count() == nil })
	r, err := c.Points().Count(t.Context(), &pb.CountPoints{CollectionName: "a"})
	require.NoError(t, err)
	require.Zero(t, r.GetResult().GetCount())
	c.Settle()
	eventually(func() bool { return len(tp.State().Dropped()) == 0 })
	entries, err := mem.ReadDir("/storage/collections/a")
	require.NoError(t, err)
	require.Len(t, entries, 1)

	change(topology.DeleteCollection{Name: "a"})
	require.Equal(t, apierror.NotFound, apierror.KindOf(count()))
}

// TestFailedRemovalIsTold: what stays on the disk is an error of the deletion, which is
// done all the same, and is removed at the next start.
func TestFailedRemovalIsTold(t *testing.T) {
	broken := errors.New("broken")
	var breaks bool
	var mu sync.Mutex
	mem := fsx.NewMem()
	fs := fsx.NewFault(mem, func(op fsx.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if breaks && op.Kind == fsx.OpRemoveAll {
			return broken
		}
		return nil
	})
	c := open(t, fs)
	create(t, c, "a", 1)
	mu.Lock()
	breaks = true
	mu.Unlock()
	_, err := c.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "a"})
	require.ErrorIs(t, err, broken)
	require.Empty(t, list(t, c))
	mu.Lock()
	breaks = false
	mu.Unlock()
	create(t, c, "a", 1) // another one
	require.NoError(t, c.Close())
	reopened := open(t, mem)
	require.Len(t, list(t, reopened), 1)
	entries, err := mem.ReadDir("/storage/collections/a")
	require.NoError(t, err)
	require.Len(t, entries, 1)
}
