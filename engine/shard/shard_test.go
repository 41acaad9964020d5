package shard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/budget"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// node is a file system with a log and a shard on it.
type node struct {
	tb    testing.TB
	fs    fsx.FS
	log   *oplog.Log
	shard *Shard
}

func openNode(tb testing.TB, fs fsx.FS, o Options) *node {
	tb.Helper()
	log, err := oplog.Open(oplog.Options{FS: fs, Dir: "log"})
	require.NoError(tb, err)
	o.FS, o.Dir, o.Log = fs, "shard", log.Stream("shard")
	s, err := Open(tb.Context(), o)
	require.NoError(tb, err)
	n := &node{tb: tb, fs: fs, log: log, shard: s}
	tb.Cleanup(n.close)
	return n
}

func (n *node) close() {
	_ = n.shard.Close()
	if err := n.log.Err(); err == nil {
		require.NoError(n.tb, n.log.Close())
	} else {
		_ = n.log.Close()
	}
}

func (n *node) apply(op Op) error {
	n.tb.Helper()
	t, err := n.shard.Submit(context.Background(), op)
	require.NoError(n.tb, err)
	return t.Applied(context.Background())
}

func singleVector(size uint64, d pb.Distance) *pb.CollectionConfig {
	return &pb.CollectionConfig{Params: &pb.CollectionParams{VectorsConfig: &pb.VectorsConfig{
		Config: &pb.VectorsConfig_Params{Params: &pb.VectorParams{Size: size, Distance: d}},
	}}}
}

func dense(v ...float32) *pb.Vectors {
	return &pb.Vectors{VectorsOptions: &pb.Vectors_Vector{
		Vector: &pb.Vector{Vector: &pb.Vector_Dense{Dense: &pb.DenseVector{Data: v}}},
	}}
}

func upsertOf(tb testing.TB, points ...*pb.PointStruct) Op {
	tb.Helper()
	op, err := Upsert(&pb.UpsertPoints{Points: points})
	require.NoError(tb, err)
	return op
}

func numbered(n int, v *pb.Vectors) *pb.PointStruct {
	return &pb.PointStruct{
		Id: point.Num(uint64(n)).Proto(), Vectors: v,
		Payload: map[string]*pb.Value{
			"n":    {Kind: &pb.Value_IntegerValue{IntegerValue: int64(n)}},
			"text": {Kind: &pb.Value_StringValue{StringValue: fmt.Sprint("point number ", n)}},
		},
	}
}

func nearest(v ...float32) *pb.QueryPoints {
	return &pb.QueryPoints{Query: &pb.Query{Variant: &pb.Query_Nearest{Nearest: &pb.VectorInput{
		Variant: &pb.VectorInput_Dense{Dense: &pb.DenseVector{Data: v}},
	}}}}
}

func withAll() (*pb.WithPayloadSelector, *pb.WithVectorsSelector) {
	return &pb.WithPayloadSelector{SelectorOptions: &pb.WithPayloadSelector_Enable{Enable: true}},
		&pb.WithVectorsSelector{SelectorOptions: &pb.WithVectorsSelector_Enable{Enable: true}}
}

// Whatever byte of whatever file is flipped while the shard is closed: nothing
// wrong is ever answered, and a verification finds it.
func TestFlippedByteIsNeverServed(t *testing.T) {
	fs := fsx.NewMem()
	config := singleVector(8, pb.Distance_Euclid)
	config.OptimizerConfig = &pb.OptimizersConfigDiff{IndexingThreshold: new(uint64(1))}
	config.Params.SparseVectorsConfig = &pb.SparseVectorConfig{Map: map[string]*pb.SparseVectorParams{"s": {}}}
	n := openNode(t, fs, Options{Config: config, Manual: true})
	rng := rand.New(rand.NewPCG(1, 1))
	const points = 300
	for i := range points {
		v := make([]float32, 8)
		for j := range v {
			v[j] = rng.Float32()
		}
		require.NoError(t, n.apply(upsertOf(t, numbered(i, &pb.Vectors{VectorsOptions: &pb.Vectors_Vectors{
			Vectors: &pb.NamedVectors{Vectors: map[string]*pb.Vector{
				"":  dense(v...).GetVector(),
				"s": {Vector: &pb.Vector_Sparse{Sparse: &pb.SparseVector{Indices: []uint32{uint32(i % 7)}, Values: v[:1]}}},
			}},
		}}))))
	}
	for name, typ := range map[string]pb.FieldType{"n": pb.FieldType_FieldTypeInteger, "text": pb.FieldType_FieldTypeText} {
		require.NoError(t, n.apply(CreateIndex(&pb.CreateFieldIndexCollection{FieldName: name, FieldType: &typ})))
	}
	require.NoError(t, n.shard.Optimize(t.Context()))
	require.Equal(t, pb.CollectionStatus_Green, n.shard.Info().Status)
	require.NoError(t, n.shard.Checkpoint(t.Context()))
	want, err := everything(n.shard)
	require.NoError(t, err)
	require.NoError(t, n.shard.Verify(t.Context()))
	n.close()

	entries, err := fs.ReadDir("shard")
	require.NoError(t, err)
	require.Greater(t, len(entries), 6)
	for _, e := range entries {
		for range 12 {
			flipOne(t, fs, "shard/"+e.Name(), rng, want)
		}
	}
}

// flipOne flips a byte of a copy and reads everything there is.
func flipOne(t *testing.T, fs *fsx.Mem, name string, rng *rand.Rand, want []proto.Message) {
	t.Helper()
	stat, err := fs.Stat(name)
	require.NoError(t, err)
	if stat.Size() == 0 {
		return
	}
	off := rng.Int64N(stat.Size())
	copied := fs.KillClone()
	require.NoError(t, fsx.FlipBits(copied, name, off, 1<<rng.IntN(8)))
	n := openNode(t, copied, Options{Manual: true})
	defer n.close()
	got, err := everything(n.shard)
	if err != nil {
		require.Equal(t, apierror.Unavailable, apierror.KindOf(err), "%v", err)
		require.ErrorContains(t, err, "quarantine")
		require.Equal(t, pb.CollectionStatus_Red, n.shard.Info().Status)
		return
	}
	require.Len(t, got, len(want))
	for i := range got {
		require.True(t, proto.Equal(want[i], got[i]), "%s at %d: %v instead of %v", name, off, got[i], want[i])
	}
	if !strings.Contains(name, "MANIFEST") && !strings.Contains(name, "LOCK") {
		require.Error(t, n.shard.Verify(t.Context()), "%s at %d", name, off)
	}
}

// everything asks a shard for all it has.
func everything(s *Shard) (all []proto.Message, err error) {
	ctx := context.Background()
	p, v := withAll()
	page, err := s.Scroll(ctx, &pb.ScrollPoints{Limit: new(uint32(1000)), WithPayload: p, WithVectors: v})
	if err != nil {
		return nil, err
	}
	for _, r := range page.Points {
		all = append(all, r)
	}
	for i := range 20 {
		q := nearest(float32(i)/20, 0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.4)
		hits, err := s.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, h := range hits {
			all = append(all, &pb.ScoredPoint{Id: h.ID.Proto(), Score: h.Score, Version: h.Version})
		}
		n, err := s.Count(ctx, numberBelow("n", float64(i*20)).pb, true)
		if err != nil {
			return nil, err
		}
		all = append(all, &pb.CountResult{Count: n})
	}
	return all, nil
}

// A failing disk is no damage: Open fails, and works again later.
func TestOpenFailsWhenTheDiskFails(t *testing.T) {
	mem := fsx.NewMem()
	n := openNode(t, mem, Options{Config: singleVector(2, pb.Distance_Dot)})
	require.NoError(t, n.apply(upsertOf(t, numbered(1, dense(1, 2)))))
	n.close()
	broken := errors.New("disk is gone")
	fault := fsx.NewFault(mem, func(op fsx.Op) error {
		if strings.HasPrefix(op.Path, "shard") {
			return broken
		}
		return nil
	})
	log, err := oplog.Open(oplog.Options{FS: mem, Dir: "log"})
	require.NoError(t, err)
	_, err = Open(t.Context(), Options{FS: fault, Dir: "shard", Log: log.Stream("shard")})
	require.ErrorIs(t, err, broken)
	require.NoError(t, log.Close())
	again := openNode(t, mem, Options{})
	require.EqualValues(t, 1, again.shard.Info().Points)
}

// After a checkpoint failed the next one writes everything, and nothing is lost.
// Many shards would each keep what makes a checkpoint due of one.
func TestACheckpointIsDueWhenAllShardsHaveTooMuch(t *testing.T) {
	b := budget.New(budget.Options{Unsaved: 3 << 20})
	open := func() *node {
		return openNode(t, fsx.NewMem(), Options{Config: singleVector(2, pb.Distance_Dot), Manual: true, Budget: b})
	}
	much, little := open(), open()
	fill := func(n *node, id, size int) {
		p := numbered(id, dense(1, 1))
		p.Payload = map[string]*pb.Value{"text": pb.NewValueString(strings.Repeat("x", size))}
		require.NoError(t, n.apply(upsertOf(t, p)))
	}
	fill(little, 1, 1<<20)
	require.False(t, little.shard.due(false))
	fill(much, 1, 3<<20)
	require.True(t, much.shard.due(false))
	require.False(t, little.shard.due(false), "the other one has more than its share")
	require.NoError(t, much.shard.Checkpoint(t.Context()))
	require.False(t, much.shard.due(false))
	fill(little, 2, 2<<20)
	require.True(t, little.shard.due(false))
}

func TestCheckpointFailsAndIsRepeated(t *testing.T) {
	mem := fsx.NewMem()
	fault := fsx.NewFault(mem, nil)
	n := openNode(t, fault, Options{Config: singleVector(2, pb.Distance_Dot), Manual: true})
	full := errors.New("no space")
	for i := range 40 {
		require.NoError(t, n.apply(upsertOf(t, numbered(i, dense(float32(i), 1)))))
		left := int64(i)
		fault.SetInject(func(op fsx.Op) error {
			if strings.HasPrefix(op.Path, "shard") && op.Kind.Changes() {
				if left--; left < 0 {
					return full
				}
			}
			return nil
		})
		if err := n.shard.Checkpoint(t.Context()); err != nil {
			require.ErrorIs(t, err, full)
		}
		fault.SetInject(nil)
		require.NoError(t, n.shard.Err())
	}
	require.NoError(t, n.shard.Checkpoint(t.Context()))
	again := openNode(t, mem.CrashClone(rand.New(rand.NewPCG(3, 3))), Options{})
	require.EqualValues(t, 40, again.shard.Info().Points)
	got, err := again.shard.Query(t.Context(), nearest(1, 0))
	require.NoError(t, err)
	require.Equal(t, point.Num(39), got[0].ID)
}

func TestHugeLimits(t *testing.T) {
	n := openNode(t, fsx.NewMem(), Options{Config: singleVector(2, pb.Distance_Dot)})
	require.NoError(t, n.apply(upsertOf(t, numbered(1, dense(1, 2)), numbered(2, dense(2, 2)))))
	for _, q := range []*pb.QueryPoints{
		nearest(1, 1), {}, {Query: &pb.Query{Variant: &pb.Query_Sample{Sample: pb.Sample_Random}}},
	} {
		q.Limit, q.Offset = new(uint64(math.MaxUint64)), new(uint64(math.MaxUint64))
		hits, err := n.shard.Query(t.Context(), q)
		require.NoError(t, err)
		require.Len(t, hits, 2)
	}
	page, err := n.shard.Scroll(t.Context(), &pb.ScrollPoints{Limit: new(uint32(math.MaxUint32))})
	require.NoError(t, err)
	require.Len(t, page.Points, 2)
	_, err = n.shard.Query(t.Context(), &pb.QueryPoints{Limit: new(uint64(0))})
	require.Equal(t, apierror.Validation, apierror.KindOf(err))
}

// ending is a context that ends after it was asked a number of times.
type ending struct {
	context.Context
	left atomic.Int64
}

func (c *ending) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// However long a filter takes for one document, a read ends with its context, and
// never with a part of the answer.
func TestFiltersEndWithTheirContext(t *testing.T) {
	n := openNode(t, fsx.NewMem(), Options{Config: singleVector(2, pb.Distance_Dot)})
	var points []*pb.PointStruct
	for i := range 5000 {
		points = append(points, numbered(i, dense(1, 2)))
	}
	require.NoError(t, n.apply(upsertOf(t, points...)))
	quick := &pb.Filter{Must: []*pb.Condition{pb.NewRange("n", &pb.Range{Gte: new(0.0)})}}
	slow := &pb.Filter{Must: slices.Repeat(quick.GetMust(), 257)} // asked for each document
	f := func(name string, read func(context.Context) error) {
		for _, asked := range []int64{0, 20, 1500, 4990} {
			ctx := &ending{Context: t.Context()}
			ctx.left.Store(asked)
			require.ErrorIs(t, read(ctx), context.Canceled, "%s after %d", name, asked)
			require.Greater(t, ctx.left.Load(), int64(-15_000), "%s after %d: went on", name, asked)
		}
	}
	for name, q := range map[string]*pb.QueryPoints{
		"nearest": nearest(1, 1), "ids": {}, "sample": {Query: &pb.Query{Variant: &pb.Query_Sample{Sample: pb.Sample_Random}}},
	} {
		q.Filter, q.Limit = slow, new(uint64(5000))
		f(name, func(ctx context.Context) error {
			_, err := n.shard.Query(ctx, q)
			return err
		})
	}
	f("scroll", func(ctx context.Context) error {
		_, err := n.shard.Scroll(ctx, &pb.ScrollPoints{Filter: slow, Limit: new(uint32(5000))})
		return err
	})
	// A quick one is asked less often, but ends all the same.
	for _, asked := range []int64{0, 20} {
		ctx := &ending{Context: t.Context()}
		ctx.left.Store(asked)
		_, err := n.shard.Count(ctx, quick, true)
		require.ErrorIs(t, err, context.Canceled)
	}
	f("count", func(ctx context.Context) error {
		_, err := n.shard.Count(ctx, slow, true)
		return err
	})
}

// Many clients write and read at once, while checkpoints and the optimizer run.
func TestConcurrentUse(t *testing.T) {
	config := singleVector(4, pb.Distance_Euclid)
	config.OptimizerConfig = &pb.OptimizersConfigDiff{IndexingThreshold: new(uint64(1)), VacuumMinVectorNumber: new(uint64(10))}
	mem := fsx.NewMem()
	n := openNode(t, mem, Options{Config: config, CheckpointBytes: 4 << 10, QueueBytes: 128 << 10})
	const writers, each = 4, 150
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				id := w*each + i
				v := float32(id)
				if err := n.apply(upsertOf(t, numbered(id, dense(v, v, v, v)))); err != nil {
					t.Error(err)
				}
				// What was applied is found at once.
				q := nearest(v, v, v, v)
				q.Limit, q.Params = new(uint64(1)), &pb.SearchParams{Exact: new(i%2 == 0)}
				hits, err := n.shard.Query(t.Context(), q)
				if err != nil || len(hits) != 1 || hits[0].ID != point.Num(uint64(id)) {
					t.Errorf("point %d: %v %v", id, hits, err)
				}
				if i%5 == 0 {
					id := &pb.PointsIdsList{Ids: []*pb.PointId{point.Num(uint64(id)).Proto()}}
					if err := n.apply(Delete(&pb.DeletePoints{Points: &pb.PointsSelector{
						PointsSelectorOneOf: &pb.PointsSelector_Points{Points: id},
					}})); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, writers*each*4/5, n.shard.Info().Points)
	n.close()
	again := openNode(t, mem, Options{})
	require.EqualValues(t, writers*each*4/5, again.shard.Info().Points)
}

func TestClosedShardRefuses(t *testing.T) {
	n := openNode(t, fsx.NewMem(), Options{Config: singleVector(2, pb.Distance_Dot)})
	require.NoError(t, n.shard.Close())
	require.NoError(t, n.shard.Close())
	_, err := n.shard.Submit(t.Context(), Delete(&pb.DeletePoints{}))
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
	_, err = n.shard.Count(t.Context(), nil, true)
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
	require.Error(t, n.shard.Checkpoint(t.Context()))
}

// The queue is bounded: with a stuck applier Submit waits for its context.
func TestSubmitWaitsForRoom(t *testing.T) {
	n := openNode(t, fsx.NewMem(), Options{Config: singleVector(2, pb.Distance_Dot), QueueBytes: 2 * minWeight, Manual: true})
	stuck := make(chan struct{})
	entered := make(chan struct{})
	go func() {
		_ = n.shard.between(context.Background(), func() { close(entered); <-stuck })
	}()
	<-entered
	var tickets []*Ticket
	for range 2 {
		ticket, err := n.shard.Submit(t.Context(), upsertOf(t, numbered(1, dense(1, 2))))
		require.NoError(t, err)
		tickets = append(tickets, ticket)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.shard.Submit(ctx, upsertOf(t, numbered(1, dense(1, 2))))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, pb.CollectionStatus_Yellow, n.shard.Info().Status)
	require.EqualValues(t, 2, n.shard.Info().Queue)
	require.ErrorIs(t, tickets[0].Applied(ctx), context.Canceled)
	close(stuck)
	for _, ticket := range tickets {
		require.NoError(t, ticket.Applied(t.Context()))
	}
}

func TestGreyUntilTheOptimizerHasLooked(t *testing.T) {
	mem := fsx.NewMem()
	config := singleVector(4, pb.Distance_Dot)
	config.OptimizerConfig = &pb.OptimizersConfigDiff{IndexingThreshold: new(uint64(1))}
	n := openNode(t, mem, Options{Config: config, Manual: true})
	var points []*pb.PointStruct
	for i := range 400 {
		points = append(points, numbered(i, dense(float32(i), 1, 2, 3)))
	}
	require.NoError(t, n.apply(upsertOf(t, points...)))
	require.Equal(t, pb.CollectionStatus_Grey, n.shard.Info().Status)
	require.NoError(t, n.shard.Optimize(t.Context()))
	require.Equal(t, pb.CollectionStatus_Green, n.shard.Info().Status)
	require.EqualValues(t, 400, n.shard.Info().IndexedVectors)
}

// Two configurations and back: new names are empty, dropped ones are gone.
func TestSetConfigAddsAndDropsNames(t *testing.T) {
	mem := fsx.NewMem()
	n := openNode(t, mem, Options{Config: singleVector(2, pb.Distance_Dot)})
	require.NoError(t, n.apply(upsertOf(t, numbered(1, dense(1, 2)))))
	two := singleVector(2, pb.Distance_Dot)
	two.Params.SparseVectorsConfig = &pb.SparseVectorConfig{Map: map[string]*pb.SparseVectorParams{"s": {}}}
	require.NoError(t, n.apply(SetConfig(two)))
	require.NoError(t, n.apply(UpdateVectors(&pb.UpdatePointVectors{Points: []*pb.PointVectors{{
		Id: point.Num(1).Proto(),
		Vectors: &pb.Vectors{VectorsOptions: &pb.Vectors_Vectors{Vectors: &pb.NamedVectors{Vectors: map[string]*pb.Vector{
			"s": {Vector: &pb.Vector_Sparse{Sparse: &pb.SparseVector{Indices: []uint32{7, 3}, Values: []float32{1, 2}}}},
		}}}},
	}}})))
	n.close()
	n = openNode(t, mem, Options{})
	_, v := withAll()
	got, err := n.shard.Retrieve(t.Context(), []point.ID{point.Num(1)}, nil, v)
	require.NoError(t, err)
	require.Equal(t, []uint32{3, 7}, got[0].GetVectors().GetVectors().GetVectors()["s"].GetSparse().GetIndices())
	require.NoError(t, n.apply(SetConfig(singleVector(2, pb.Distance_Dot))))
	got, err = n.shard.Retrieve(t.Context(), []point.ID{point.Num(1)}, nil, v)
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2}, got[0].GetVectors().GetVector().GetDense().GetData())
	err = n.apply(SetConfig(singleVector(3, pb.Distance_Dot)))
	require.Equal(t, apierror.BadInput, apierror.KindOf(err), "the size can't change")
	require.NoError(t, n.shard.Checkpoint(t.Context()))
	require.NoError(t, n.shard.Verify(t.Context()))
}

func TestSampleReturnsEachPointOnce(t *testing.T) {
	n := openNode(t, fsx.NewMem(), Options{Config: singleVector(1, pb.Distance_Dot)})
	for i := range 20 {
		require.NoError(t, n.apply(upsertOf(t, numbered(i, dense(1)))))
	}
	q := &pb.QueryPoints{
		Query: &pb.Query{Variant: &pb.Query_Sample{Sample: pb.Sample_Random}},
		Limit: new(uint64(8)), Filter: numberBelow("n", 12).pb,
	}
	found := map[point.ID]bool{}
	for range 200 {
		hits, err := n.shard.Query(t.Context(), q)
		require.NoError(t, err)
		require.Len(t, hits, 8)
		one := map[point.ID]bool{}
		for _, h := range hits {
			one[h.ID], found[h.ID] = true, true
		}
		require.Len(t, one, 8)
	}
	require.Len(t, found, 12)
}

func TestFacet(t *testing.T) {
	n := openNode(t, fsx.NewMem(), Options{})
	for i := range 10 {
		p := numbered(i, nil)
		p.Payload["k"] = &pb.Value{Kind: &pb.Value_StringValue{StringValue: string(rune('a' + i%3))}}
		require.NoError(t, n.apply(upsertOf(t, p)))
	}
	_, err := n.shard.Facet(t.Context(), &pb.FacetCounts{Key: "k"})
	require.Equal(t, apierror.BadInput, apierror.KindOf(err))
	require.NoError(t, n.apply(CreateIndex(&pb.CreateFieldIndexCollection{FieldName: "k", FieldType: pb.FieldType_FieldTypeKeyword.Enum()})))
	facets := func(f *pb.Filter, limit uint64) string {
		var words []string
		hits, err := n.shard.Facet(t.Context(), &pb.FacetCounts{Key: "k", Filter: f, Limit: &limit})
		require.NoError(t, err)
		for _, h := range hits {
			words = append(words, fmt.Sprint(h.GetValue().GetStringValue(), h.GetCount()))
		}
		return strings.Join(words, " ")
	}
	require.Equal(t, "a4 b3 c3", facets(nil, 10))
	require.Equal(t, "a4 b3", facets(nil, 2))
	require.Equal(t, "a2 b2 c1", facets(numberBelow("n", 5).pb, 10))
}

func TestPayloadProjection(t *testing.T) {
	n := openNode(t, fsx.NewMem(), Options{})
	o, err := payload.FromJSON([]byte(`{"z":1,"a":{"b":[1,2],"c":"x"},"m":18446744073709551615}`))
	require.NoError(t, err)
	p := &pb.PointStruct{Id: point.Num(1).Proto()}
	payload.Attach(p, o)
	require.NoError(t, n.apply(upsertOf(t, p)))
	// The order of keys is part of what is compared, so texts are.
	same := func(want string, got string) {
		t.Helper()
		require.Empty(t, cmp.Diff(want, got))
	}
	text := func(sel *pb.WithPayloadSelector) string {
		got, err := n.shard.Retrieve(t.Context(), []point.ID{point.Num(1)}, sel, nil)
		require.NoError(t, err)
		return string(payload.AppendJSON(nil, payload.Attached(got[0])))
	}
	same(`{"z":1,"a":{"b":[1,2],"c":"x"},"m":18446744073709551615}`, text(nil))
	same(`{}`, text(&pb.WithPayloadSelector{SelectorOptions: &pb.WithPayloadSelector_Enable{}}))
	same(`{"a":{"c":"x"}}`, text(&pb.WithPayloadSelector{SelectorOptions: &pb.WithPayloadSelector_Include{
		Include: &pb.PayloadIncludeSelector{Fields: []string{"a.c"}},
	}}))
	same(`{"z":1,"a":{"b":[1,2]}}`, text(&pb.WithPayloadSelector{SelectorOptions: &pb.WithPayloadSelector_Exclude{
		Exclude: &pb.PayloadExcludeSelector{Fields: []string{"a.c", "m"}},
	}}))
}

func TestScoresAndThresholds(t *testing.T) {
	n := openNode(t, fsx.NewMem(), Options{Config: singleVector(1, pb.Distance_Euclid)})
	for i := range 5 {
		require.NoError(t, n.apply(upsertOf(t, numbered(i, dense(float32(i))))))
	}
	q := nearest(0)
	q.ScoreThreshold = new(float32(3))
	hits, err := n.shard.Query(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, hits, 3, "strictly less than 3")
	d, _ := n.shard.Schema().Distance("")
	require.InDelta(t, 2, query.Public(d, hits[2].Score), 1e-6)
}

func TestNumbersThatFloat16CannotHold(t *testing.T) {
	f := func(d pb.Distance, stored bool, v ...float32) {
		t.Helper()
		c := singleVector(uint64(len(v)), d)
		c.GetParams().GetVectorsConfig().GetParams().Datatype = pb.Datatype_Float16.Enum()
		s, err := NewSchema(c)
		require.NoError(t, err)
		err = s.CheckUpsert(&pb.UpsertPoints{Points: []*pb.PointStruct{numbered(1, dense(v...))}})
		require.Equal(t, stored, err == nil, "%v", err)
	}
	f(pb.Distance_Dot, true, 65519, -65519)
	f(pb.Distance_Dot, false, 65520)
	f(pb.Distance_Manhattan, false, 0, -65520)
	f(pb.Distance_Cosine, true, 1e30, 1)
}

// Clients compare these texts.
func TestFaultsOfSparseVectors(t *testing.T) {
	s, err := NewSchema(&pb.CollectionConfig{Params: &pb.CollectionParams{
		SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"s": {}}),
	}})
	require.NoError(t, err)
	f := func(indices []uint32, values []float32, fault string) {
		t.Helper()
		good := &pb.PointStruct{Id: pb.NewIDNum(1)}
		vectors := pb.NewVectorsMap(map[string]*pb.Vector{"s": pb.NewVectorSparse(indices, values)})
		err := s.CheckUpsert(&pb.UpsertPoints{Points: []*pb.PointStruct{good, {Id: pb.NewIDNum(2), Vectors: vectors}}})
		require.EqualError(t, err, "Validation error in JSON body: [points[1].vectors.vectors_options.vectors.[]."+fault+"]")
		err = s.CheckUpdateVectors(&pb.UpdatePointVectors{Points: []*pb.PointVectors{{Id: pb.NewIDNum(2), Vectors: vectors}}})
		require.EqualError(t, err, "Validation error in JSON body: [points[0].vectors.vectors_options.vectors.[]."+fault+"]")
		err = s.CheckQueryVector("s", pb.NewVectorInputSparse(indices, values))
		require.EqualError(t, err, "Wrong input: Sparse indices does not match sparse vector conditions: "+fault)
	}
	f([]uint32{1, 2, 3}, []float32{1}, "values: Validation error: must be the same length as indices [{}]")
	f([]uint32{3, 3}, []float32{1, 2}, "indices: Validation error: must be unique [{}]")
}

func TestOpsSurviveEncoding(t *testing.T) {
	op := upsertOf(t, numbered(7, dense(1, 2)))
	b, err := op.Encode()
	require.NoError(t, err)
	back, err := DecodeOp(b)
	require.NoError(t, err)
	require.Equal(t, op.Kind, back.Kind)
	require.True(t, proto.Equal(op.Msg, back.Msg))
	for _, bad := range [][]byte{nil, {0}, {200, 1}, {1, 0xff}} {
		_, err := DecodeOp(bad)
		require.Error(t, err)
	}
}

func FuzzDecodeOp(f *testing.F) {
	for k := range Kind(13) {
		f.Add([]byte{byte(k), 10, 2, 8, 1})
	}
	n := openNode(f, fsx.NewMem(), Options{Config: singleVector(2, pb.Distance_Dot), Manual: true})
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := DecodeOp(b)
		if err != nil {
			return
		}
		ticket, err := n.shard.Submit(t.Context(), op)
		if err != nil {
			t.Skip()
		}
		if err := ticket.Applied(t.Context()); err != nil && n.shard.Err() != nil {
			t.Fatal(n.shard.Err())
		}
	})
}

// When the log's disk fails, nothing more is acknowledged, reads go on, and what
// was acknowledged before is there after a restart.
func TestFailedSyncPoisonsWrites(t *testing.T) {
	mem := fsx.NewMem()
	fault := fsx.NewFault(mem, nil)
	n := openNode(t, fault, Options{Config: singleVector(2, pb.Distance_Dot), Manual: true})
	require.NoError(t, n.apply(upsertOf(t, numbered(1, dense(1, 2)))))
	broken := errors.New("sync failed")
	fault.SetInject(func(op fsx.Op) error {
		if op.Kind == fsx.OpSync {
			return broken
		}
		return nil
	})
	// The log may fail before Submit looks, or after.
	if ticket, err := n.shard.Submit(t.Context(), upsertOf(t, numbered(2, dense(1, 2)))); err != nil {
		require.ErrorIs(t, err, broken)
	} else {
		require.ErrorIs(t, ticket.Durable(t.Context()), broken)
		require.ErrorIs(t, ticket.Applied(t.Context()), broken)
	}
	fault.SetInject(nil)
	_, err := n.shard.Submit(t.Context(), upsertOf(t, numbered(3, dense(1, 2))))
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err), "%v", err)
	if n.shard.Info().Seq > 1 {
		require.Error(t, n.shard.Checkpoint(t.Context()), "files must not be ahead of the log")
	}
	got, err := n.shard.Retrieve(t.Context(), []point.ID{point.Num(1)}, nil, nil)
	require.NoError(t, err)
	require.Len(t, got, 1)

	again := openNode(t, mem.CrashClone(rand.New(rand.NewPCG(5, 5))), Options{})
	got, err = again.shard.Retrieve(t.Context(), []point.ID{point.Num(1), point.Num(3)}, nil, nil)
	require.NoError(t, err)
	require.Len(t, got, 1)
}

// A bug in a component ends the shard's service, not the process.
// While a checkpoint waits for the disk its graph goes on growing, and what grew after
// its index was written is there to be written again.
func TestGraphGrowsBesideACheckpoint(t *testing.T) {
	const points = 300
	config := singleVector(2, pb.Distance_Euclid)
	config.OptimizerConfig = &pb.OptimizersConfigDiff{IndexingThreshold: new(uint64(1))}
	fault := fsx.NewFault(fsx.NewMem(), nil)
	n := openNode(t, fault, Options{Config: config, Manual: true})
	for i := range points {
		require.NoError(t, n.apply(upsertOf(t, numbered(i, dense(float32(i), float32(i*i%17))))))
	}
	require.Zero(t, n.shard.Info().IndexedVectors)
	var waits sync.Once
	fault.SetInject(func(op fsx.Op) error {
		if op.Kind == fsx.OpCreate && strings.HasPrefix(op.Path, "shard") {
			waits.Do(func() {
				for n.shard.Info().IndexedVectors < points && t.Context().Err() == nil {
					runtime.Gosched()
				}
			})
		}
		return nil
	})
	require.NoError(t, n.shard.checkpointAtWork(t.Context()))
	require.EqualValues(t, points, n.shard.Info().IndexedVectors)
	require.True(t, n.shard.due(true))
	require.NoError(t, n.shard.checkpointAtWork(t.Context()))
	require.False(t, n.shard.due(true), "nothing is left to do")
}

func TestPanicIsQuarantine(t *testing.T) {
	n := openNode(t, fsx.NewMem(), Options{Config: singleVector(2, pb.Distance_Dot), Manual: true})
	err := n.apply(Op{KindUpsert, (*pb.UpsertPoints)(nil)})
	require.NoError(t, err, "nothing to do")
	err = n.apply(Op{KindDelete, &pb.DeletePoints{Points: &pb.PointsSelector{
		PointsSelectorOneOf: (*pb.PointsSelector_Points)(nil), // no client can send this
	}}})
	require.Error(t, err)
	require.Equal(t, pb.CollectionStatus_Red, n.shard.Info().Status)
	_, err = n.shard.Count(t.Context(), nil, true)
	require.ErrorContains(t, err, "quarantine")
}

// A search in the graph finds the documents that pass a filter however few they
// are, with a payload index and without.
func TestFilteredSearchFindsTheRare(t *testing.T) {
	config := singleVector(16, pb.Distance_Cosine)
	config.OptimizerConfig = &pb.OptimizersConfigDiff{IndexingThreshold: new(uint64(10))}
	config.HnswConfig = &pb.HnswConfigDiff{FullScanThreshold: new(uint64(10))}
	n := openNode(t, fsx.NewMem(), Options{Config: config, Manual: true})
	rng := rand.New(rand.NewPCG(1, 1))
	random := func() []float32 {
		v := make([]float32, 16)
		for k := range v {
			v[k] = float32(rng.NormFloat64())
		}
		return v
	}
	const points = 4000
	batch := make([]*pb.PointStruct, points)
	for i := range batch {
		batch[i] = numbered(i, dense(random()...))
	}
	require.NoError(t, n.apply(upsertOf(t, batch...)))
	require.NoError(t, n.shard.Optimize(t.Context()))
	require.EqualValues(t, points, n.shard.Info().IndexedVectors)
	recall := func(below float64) float64 {
		found, wanted := 0, 0
		for range 20 {
			q := nearest(random()...)
			q.Filter = numberBelow("n", below).pb
			got, err := n.shard.Query(t.Context(), q)
			require.NoError(t, err)
			q.Params = &pb.SearchParams{Exact: new(true)}
			want, err := n.shard.Query(t.Context(), q)
			require.NoError(t, err)
			require.Len(t, want, min(10, int(below)))
			require.Len(t, got, len(want))
			ids := map[point.ID]bool{}
			for _, h := range want {
				ids[h.ID] = true
			}
			for _, h := range got {
				if ids[h.ID] {
					found++
				}
			}
			wanted += len(want)
		}
		return float64(found) / float64(wanted)
	}
	for _, indexed := range []bool{false, true} {
		if indexed {
			require.NoError(t, n.apply(CreateIndex(&pb.CreateFieldIndexCollection{
				FieldName: "n", FieldType: pb.FieldType_FieldTypeInteger.Enum(),
			})))
		}
		for _, below := range []float64{3, 40, 400, 2000} {
			require.GreaterOrEqual(t, recall(below), 0.95, "%v of %d, indexed %v", below, points, indexed)
		}
	}
}

// TestUnindexedFilterIsSampled: how many documents pass a filter that no index knows is
// told by a sample, because a search is planned by it.
func TestUnindexedFilterIsSampled(t *testing.T) {
	n := openNode(t, fsx.NewMem(), Options{Config: singleVector(2, pb.Distance_Dot)})
	var points []*pb.PointStruct
	for i := range 10_000 {
		p := numbered(i, dense(1, 2))
		p.Payload["tenth"] = pb.NewValueInt(int64(i % 10))
		points = append(points, p)
	}
	require.NoError(t, n.apply(upsertOf(t, points...)))
	leave, err := n.shard.enterRead()
	require.NoError(t, err)
	defer leave()
	for want, f := range map[int]*pb.Filter{
		1000:   {Must: []*pb.Condition{pb.NewMatchInt("tenth", 1)}},
		9000:   {Must: []*pb.Condition{pb.NewRange("tenth", &pb.Range{Gte: new(1.0)})}},
		10_000: {MustNot: []*pb.Condition{pb.NewMatchInt("tenth", 11)}},
		1:      {Must: []*pb.Condition{pb.NewMatchInt("n", 7)}},
	} {
		r, err := n.shard.restrict(t.Context(), n.shard.state.Load(), f)
		require.NoError(t, err)
		require.InDelta(t, want, r.estimate, 500)
	}
}
