package shardcall_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// numberOfPoints is the size of the shard under test.
const numberOfPoints = 120

func openShard(t *testing.T) *shard.Shard {
	t.Helper()
	fs := fsx.NewMem()
	log, err := oplog.Open(oplog.Options{FS: fs, Dir: "/log"})
	require.NoError(t, err)
	s, err := shard.Open(t.Context(), shard.Options{FS: fs, Dir: "/shard", Log: log.Stream("s"), Config: &pb.CollectionConfig{
		Params: &pb.CollectionParams{
			VectorsConfig: pb.NewVectorsConfigMap(map[string]*pb.VectorParams{
				"": {Size: 3, Distance: pb.Distance_Cosine}, "e": {Size: 2, Distance: pb.Distance_Euclid},
			}),
			SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"s": {}}),
		},
	}})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, log.Close())
	})
	return s
}

// remoteOf is s behind bytes.
func remoteOf(s shardcall.Shard) *shardcall.Remote {
	return &shardcall.Remote{Call: func(ctx context.Context, req []byte) ([]byte, error) {
		// Values of the context stay on this side of a connection.
		far, cancel := context.WithCancel(context.Background())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return shardcall.Serve(far, s, req)
	}}
}

func id(i int) *pb.PointId {
	if i%5 == 0 {
		return pb.NewIDUUID(uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, i)).String())
	}
	return pb.NewIDNum(uint64(i))
}

func randomPoint(rng *rand.Rand, i int) *pb.PointStruct {
	vectors := map[string]*pb.Vector{"": pb.NewVectorDense([]float32{rng.Float32(), rng.Float32(), rng.Float32()})}
	if rng.IntN(3) > 0 {
		vectors["e"] = pb.NewVectorDense([]float32{rng.Float32(), rng.Float32()})
	}
	if rng.IntN(3) > 0 {
		vectors["s"] = pb.NewVectorSparse([]uint32{uint32(rng.IntN(5)), 10}, []float32{rng.Float32(), 1})
	}
	p := &pb.PointStruct{Id: id(i), Vectors: pb.NewVectorsMap(vectors)}
	if rng.IntN(6) > 0 {
		p.Payload = pb.NewValueMap(map[string]any{
			"n": rng.IntN(20), "f": rng.NormFloat64(), "color": []string{"red", "green"}[rng.IntN(2)], "nested": map[string]any{"a": []any{1, "x", nil}},
		})
	}
	return p
}

// fill writes through the handle under test.
func fill(t *testing.T, s shardcall.Shard) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	points := make([]*pb.PointStruct, numberOfPoints)
	for i := range points {
		points[i] = randomPoint(rng, i)
	}
	op, err := shard.Upsert(&pb.UpsertPoints{Points: points})
	require.NoError(t, err)
	for _, op := range []shard.Op{
		op,
		shard.CreateIndex(&pb.CreateFieldIndexCollection{FieldName: "n", FieldType: pb.FieldType_FieldTypeInteger.Enum()}),
		shard.CreateIndex(&pb.CreateFieldIndexCollection{FieldName: "f", FieldType: pb.FieldType_FieldTypeFloat.Enum()}),
		shard.CreateIndex(&pb.CreateFieldIndexCollection{FieldName: "color", FieldType: pb.FieldType_FieldTypeKeyword.Enum()}),
	} {
		ticket, err := s.Submit(t.Context(), op, shardcall.Write{Wait: true})
		require.NoError(t, err)
		require.NoError(t, ticket.Applied(t.Context()))
	}
}

// like are options under which answers are compared: to the last bit.
var like = cmp.Options{
	protocmp.Transform(), cmp.FilterValues(func(a, b any) bool {
		_, object := a.(payload.Object)
		return !object
	}, cmpopts.EquateEmpty()), cmp.Comparer(func(a, b point.ID) bool { return a == b }),
	cmp.Comparer(func(a, b payload.Object) bool { return string(a) == string(b) && (a == nil) == (b == nil) }),
}

func sameError(t require.TestingT, want, got error) {
	if want == nil {
		require.NoError(t, got)
		return
	}
	require.Error(t, got)
	require.Equal(t, want.Error(), got.Error())
	require.Equal(t, apierror.KindOf(want), apierror.KindOf(got))
	require.Equal(t, errors.Is(want, context.DeadlineExceeded), errors.Is(got, context.DeadlineExceeded))
}

// same makes one call on both and compares what they return and what is left of the
// answer's allowance.
func same[T any](t *rapid.T, local, remote shardcall.Shard, ask func(context.Context, shardcall.Shard) (T, error)) {
	allowed := rapid.SampledFrom([]int64{0, 300, 5000, 1 << 30}).Draw(t, "allowance")
	ctx := func() context.Context {
		if allowed == 0 {
			return t.Context()
		}
		return shard.WithAllowance(t.Context(), allowed)
	}
	near, far := ctx(), ctx()
	want, err := ask(near, local)
	got, farErr := ask(far, remote)
	sameError(t, err, farErr)
	if err == nil {
		require.Empty(t, cmp.Diff(want, got, like))
		_, wantLeft, _ := shard.Allowance(near)
		_, gotLeft, _ := shard.Allowance(far)
		require.Equal(t, wantLeft, gotLeft)
	}
}

func drawFilter(t *rapid.T) *pb.Filter {
	red := pb.NewMatch("color", "red")
	return rapid.SampledFrom([]*pb.Filter{
		nil,
		{},
		{Must: []*pb.Condition{red}},
		{MustNot: []*pb.Condition{red}},
		{Must: []*pb.Condition{pb.NewRange("n", &pb.Range{Gte: proto.Float64(3), Lt: proto.Float64(9)})}},
		{Should: []*pb.Condition{pb.NewHasID(id(3), id(5), id(10)), pb.NewIsEmpty("n")}},
		{Must: []*pb.Condition{pb.NewMatch("a[", "broken")}},
	}).Draw(t, "filter")
}

func drawPayload(t *rapid.T) *pb.WithPayloadSelector {
	return rapid.SampledFrom([]*pb.WithPayloadSelector{
		nil, {}, pb.NewWithPayload(true), pb.NewWithPayload(false), pb.NewWithPayloadInclude("n", "nested.a[]"), pb.NewWithPayloadExclude("color"),
	}).Draw(t, "payload")
}

func drawVectors(t *rapid.T) *pb.WithVectorsSelector {
	return rapid.SampledFrom([]*pb.WithVectorsSelector{
		nil, pb.NewWithVectors(true), pb.NewWithVectors(false), pb.NewWithVectorsInclude("s", "e"), pb.NewWithVectorsInclude("nobody"),
	}).Draw(t, "vectors")
}

func drawOrder(t *rapid.T) *pb.OrderBy {
	return &pb.OrderBy{
		Key:       rapid.SampledFrom([]string{"n", "f", "color"}).Draw(t, "key"),
		Direction: rapid.SampledFrom([]*pb.Direction{nil, pb.Direction_Desc.Enum()}).Draw(t, "direction"),
	}
}

func drawNumber(t *rapid.T, name string) *uint64 {
	return rapid.SampledFrom([]*uint64{nil, new(uint64(0)), new(uint64(1)), new(uint64(7)), new(uint64(1 << 62))}).Draw(t, name)
}

// drawQuery draws a leaf whose answer is determined.
func drawQuery(t *rapid.T) *pb.QueryPoints {
	m := &pb.QueryPoints{
		Filter: drawFilter(t), Limit: drawNumber(t, "limit"), Offset: drawNumber(t, "offset"),
		WithPayload: drawPayload(t), WithVectors: drawVectors(t),
	}
	float := rapid.Float32Range(-1, 1)
	switch rapid.SampledFrom([]string{"none", "dense", "euclid", "sparse", "order", "wrong"}).Draw(t, "kind") {
	case "none":
	case "dense":
		m.Query = pb.NewQuery(float.Draw(t, "x"), float.Draw(t, "y"), 0.25)
	case "euclid":
		m.Query, m.Using = pb.NewQuery(float.Draw(t, "x"), float.Draw(t, "y")), new("e")
		m.ScoreThreshold = rapid.SampledFrom([]*float32{nil, proto.Float32(0.7)}).Draw(t, "threshold")
		m.Params = &pb.SearchParams{Exact: new(rapid.Bool().Draw(t, "exact"))}
	case "sparse":
		m.Query, m.Using = pb.NewQuerySparse([]uint32{2, 10}, []float32{float.Draw(t, "x"), 0.5}), new("s")
	case "order":
		m.Query = pb.NewQueryOrderBy(drawOrder(t))
	case "wrong":
		m.Query, m.Using = pb.NewQuery(1, 2), new("nobody")
	}
	return m
}

// TestRemoteIsLikeLocal asks a shard directly and through bytes.
func TestRemoteIsLikeLocal(t *testing.T) {
	local := shardcall.Local{Shard: openShard(t)}
	remote := remoteOf(local)
	require.True(t, local.Local())
	require.False(t, remote.Local())
	fill(t, remote)
	type ctx = context.Context
	type handle = shardcall.Shard
	rapid.Check(t, func(t *rapid.T) {
		switch rapid.SampledFrom([]string{"query", "fill", "retrieve", "scroll", "count", "facet", "info"}).Draw(t, "call") {
		case "query":
			m := drawQuery(t)
			same(t, local, remote, func(c ctx, s handle) ([]query.Scored, error) { return s.Query(c, m) })
		case "fill":
			hits := make([]query.Scored, rapid.IntRange(0, 20).Draw(t, "hits"))
			for i, one := range drawIDs(t, len(hits)) {
				hits[i] = query.Scored{ID: one, Score: float32(i), Version: uint64(i)}
			}
			p, v := drawPayload(t), drawVectors(t)
			same(t, local, remote, func(c ctx, s handle) ([]query.Scored, error) {
				mine := append([]query.Scored(nil), hits...)
				return mine, s.Fill(c, mine, p, v)
			})
		case "retrieve":
			ids, p, v := drawIDs(t, rapid.IntRange(0, 20).Draw(t, "n")), drawPayload(t), drawVectors(t)
			same(t, local, remote, func(c ctx, s handle) ([]*pb.RetrievedPoint, error) { return s.Retrieve(c, ids, p, v) })
		case "scroll":
			m := &pb.ScrollPoints{
				Filter: drawFilter(t), WithPayload: drawPayload(t), WithVectors: drawVectors(t),
				Limit: rapid.SampledFrom([]*uint32{nil, new(uint32(0)), new(uint32(3)), new(uint32(1000))}).Draw(t, "limit"),
			}
			if rapid.Bool().Draw(t, "ordered") {
				m.OrderBy = drawOrder(t)
			}
			if rapid.Bool().Draw(t, "from") {
				m.Offset = id(rapid.IntRange(0, numberOfPoints).Draw(t, "offset"))
			}
			same(t, local, remote, func(c ctx, s handle) (shard.Page, error) { return s.Scroll(c, m) })
		case "count":
			f, exact := drawFilter(t), rapid.Bool().Draw(t, "exact")
			same(t, local, remote, func(c ctx, s handle) (uint64, error) { return s.Count(c, f, exact) })
		case "facet":
			m := &pb.FacetCounts{
				Key: rapid.SampledFrom([]string{"n", "color", "f"}).Draw(t, "key"), Filter: drawFilter(t), Limit: drawNumber(t, "limit"),
			}
			same(t, local, remote, func(c ctx, s handle) ([]*pb.FacetHit, error) { return s.Facet(c, m) })
		case "info":
			same(t, local, remote, func(c ctx, s handle) (shard.Info, error) { return s.Info(c) })
		}
	})
}

func drawIDs(t *rapid.T, n int) []point.ID {
	ids := make([]point.ID, n)
	for i := range ids {
		var err error
		ids[i], err = point.FromProto(id(rapid.IntRange(0, numberOfPoints+10).Draw(t, "id")))
		require.NoError(t, err)
	}
	return ids
}

// TestSample compares what can be: how many there are, and that they are points.
func TestSample(t *testing.T) {
	local := shardcall.Local{Shard: openShard(t)}
	remote := remoteOf(local)
	fill(t, local)
	hits, err := remote.Query(t.Context(), &pb.QueryPoints{Query: pb.NewQuerySample(pb.Sample_Random), Limit: proto.Uint64(50)})
	require.NoError(t, err)
	seen := map[point.ID]bool{}
	for _, h := range hits {
		seen[h.ID] = true
	}
	require.Len(t, seen, 50)
}

func TestWrites(t *testing.T) {
	local := shardcall.Local{Shard: openShard(t)}
	remote := remoteOf(local)
	op, err := shard.Upsert(&pb.UpsertPoints{Points: []*pb.PointStruct{randomPoint(rand.New(rand.NewPCG(1, 1)), 1)}})
	require.NoError(t, err)
	ticket, err := remote.Submit(t.Context(), op, shardcall.Write{})
	require.NoError(t, err)
	require.NoError(t, ticket.Durable(t.Context()))
	require.Error(t, ticket.Visible(t.Context()), "nobody was going to wait for it")
	first := ticket.Seq()
	require.Positive(t, first)

	// A missing point is the operation's own error; the write itself is done.
	missing := shard.DeleteVectors(&pb.DeletePointVectors{
		PointsSelector: pb.NewPointsSelector(pb.NewIDNum(77)), Vectors: &pb.VectorsSelector{Names: []string{"e"}},
	})
	near, err := local.Submit(t.Context(), missing, shardcall.Write{Wait: true})
	require.NoError(t, err)
	far, err := remote.Submit(t.Context(), missing, shardcall.Write{Wait: true})
	require.NoError(t, err)
	require.NoError(t, far.Durable(t.Context()))
	want := near.Visible(t.Context())
	require.Error(t, want)
	sameError(t, want, far.Visible(t.Context()))
	sameError(t, want, far.Applied(t.Context()))
	require.Equal(t, near.Seq()+1, far.Seq())
}

// recorder is a shard whose writes are visible when somebody says so.
type recorder struct {
	shardcall.Shard
	visible chan struct{}
	got     atomic.Pointer[shardcall.Write]
	refuse  error
}

func (r *recorder) Submit(_ context.Context, _ shard.Op, w shardcall.Write) (shardcall.Ticket, error) {
	r.got.Store(&w)
	if r.refuse != nil {
		return nil, r.refuse
	}
	return ticket{r.visible}, nil
}

type ticket struct{ visible chan struct{} }

func (ticket) Seq() uint64                         { return 9 }
func (ticket) Durable(ctx context.Context) error   { return ctx.Err() }
func (t ticket) Applied(ctx context.Context) error { return t.Visible(ctx) }
func (t ticket) Visible(ctx context.Context) error {
	select {
	case <-t.visible:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestWriteOptionsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{visible: make(chan struct{})}
		w := shardcall.Write{
			Wait: true, Until: time.Now().Add(3 * time.Second), Ordering: pb.WriteOrderingType_Strong,
			ID: replication.OpID{Peer: 1 << 53, Incarnation: 4, Counter: 1 << 40},
		}
		begun := time.Now()
		ticket, err := remoteOf(r).Submit(t.Context(), shard.Delete(&pb.DeletePoints{}), w)
		require.NoError(t, err)
		require.Equal(t, 3*time.Second, time.Since(begun))
		require.NoError(t, ticket.Durable(t.Context()))
		require.ErrorIs(t, ticket.Visible(t.Context()), context.DeadlineExceeded)
		require.Equal(t, uint64(9), ticket.Seq())
		require.Empty(t, cmp.Diff(w, *r.got.Load()))

		close(r.visible)
		w.Until = time.Time{}
		ticket, err = remoteOf(r).Submit(t.Context(), shard.Delete(&pb.DeletePoints{}), w)
		require.NoError(t, err)
		require.NoError(t, ticket.Applied(t.Context()))
		require.True(t, r.got.Load().Until.IsZero())
	})
}

// TestErrors sends errors of all shapes.
func TestErrors(t *testing.T) {
	for _, err := range []error{
		errors.New("plain"),
		apierror.New(apierror.NotFound, "No point with id %d found", 7),
		apierror.New(apierror.Internal, "odd"),
		apierror.New(apierror.Inference, ""),
		apierror.New(apierror.Timeout, "Operation timed out: %w", context.DeadlineExceeded),
		fmt.Errorf("around: %w", apierror.New(apierror.StorageFull, "the disk is full")),
		context.DeadlineExceeded,
		context.Canceled,
		fmt.Errorf("wait: %w", context.Canceled),
	} {
		_, got := remoteOf(&recorder{refuse: err}).Submit(t.Context(), shard.Delete(&pb.DeletePoints{}), shardcall.Write{})
		sameError(t, err, got)
		require.Equal(t, errors.Is(err, context.Canceled), errors.Is(got, context.Canceled))
		want, _ := errors.AsType[*apierror.Error](err)
		public, _ := errors.AsType[*apierror.Error](got)
		require.Equal(t, want == nil, public == nil)
		if want != nil {
			require.Equal(t, want.Error(), public.Error(), "what clients see")
		}
	}
}

// slow is a shard that counts until its time is over.
type slow struct{ shardcall.Shard }

func (slow) Count(ctx context.Context, _ *pb.Filter, _ bool) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// TestDeadline: the other side knows how long the caller waits.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var served time.Duration
		r := &shardcall.Remote{Call: func(_ context.Context, req []byte) ([]byte, error) {
			begun := time.Now()
			defer func() { served = time.Since(begun) }()
			return shardcall.Serve(context.Background(), slow{}, req) //nolint:contextcheck // the far side
		}}
		_, err := r.Count(ctx, nil, true)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 2*time.Second, served)
		_, err = r.Count(ctx, nil, true)
		require.ErrorIs(t, err, context.DeadlineExceeded, "no call for nothing")
	})
}

// TestStrangeBytes: what isn't a message is an error, never a panic.
func TestStrangeBytes(t *testing.T) {
	local := shardcall.Local{Shard: openShard(t)}
	fill(t, local)
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "bytes")
		if resp, err := shardcall.Serve(t.Context(), local, b); err == nil {
			require.NotEmpty(t, resp, "there is no method 0")
		}
		r := &shardcall.Remote{Call: func(context.Context, []byte) ([]byte, error) { return b, nil }}
		_, _ = r.Info(t.Context())
		_, _ = r.Query(t.Context(), &pb.QueryPoints{})
		_, _ = r.Submit(t.Context(), shard.Delete(&pb.DeletePoints{}), shardcall.Write{})
		hits := make([]query.Scored, 1)
		_ = r.Fill(t.Context(), hits, nil, nil)
	})
}

// TestLaterNode: a method that this version doesn't know is said to be so.
func TestLaterNode(t *testing.T) {
	resp, err := shardcall.Serve(t.Context(), shardcall.Local{}, []byte{0x08, 99})
	require.NoError(t, err)
	r := &shardcall.Remote{Call: func(context.Context, []byte) ([]byte, error) { return resp, nil }}
	_, err = r.Info(t.Context())
	require.Equal(t, apierror.NotImplemented, apierror.KindOf(err))
}
