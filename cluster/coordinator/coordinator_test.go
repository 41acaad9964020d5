package coordinator_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

func open(t *testing.T, fs fsx.FS) *coordinator.Coordinator {
	t.Helper()
	c, err := coordinator.Open(t.Context(), coordinator.Options{FS: fs, StoragePath: "/storage"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func create(t *testing.T, c *coordinator.Coordinator, name string, shards uint32) {
	t.Helper()
	_, err := c.Collections().Create(t.Context(), &pb.CreateCollection{
		CollectionName: name, ShardNumber: new(shards),
		VectorsConfig:       pb.NewVectorsConfigMap(map[string]*pb.VectorParams{"v": {Size: 4, Distance: pb.Distance_Euclid}}),
		SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"s": {}}),
	})
	require.NoError(t, err)
}

func randomPoint(rng *rand.Rand, id uint64) *pb.PointStruct {
	dense := make([]float32, 4)
	for i := range dense {
		dense[i] = rng.Float32()
	}
	return &pb.PointStruct{
		Id: pb.NewIDNum(id),
		Vectors: pb.NewVectorsMap(map[string]*pb.Vector{
			"v": pb.NewVectorDense(dense),
			"s": pb.NewVectorSparse([]uint32{uint32(rng.IntN(5)), 10}, []float32{rng.Float32(), rng.Float32()}),
		}),
		Payload: pb.NewValueMap(map[string]any{"n": rng.IntN(20), "unique": int(id), "color": []string{"red", "green", "blue"}[rng.IntN(3)]}),
	}
}

// reads are queries whose answers are fully determined.
func reads(name string, rng *rand.Rand) []*pb.QueryPoints {
	dense := pb.NewVectorInput(rng.Float32(), rng.Float32(), rng.Float32(), rng.Float32())
	sparse := pb.NewVectorInputSparse([]uint32{uint32(rng.IntN(5)), 10}, []float32{1, 0.5})
	red := &pb.Filter{Must: []*pb.Condition{pb.NewMatch("color", "red")}}
	nearest := pb.NewQueryNearest
	prefetch := []*pb.PrefetchQuery{
		{Query: nearest(dense), Using: new("v"), Limit: proto.Uint64(15)},
		{Query: nearest(sparse), Using: new("s"), Limit: proto.Uint64(15), Filter: red},
	}
	list := []*pb.QueryPoints{
		{Query: nearest(dense), Using: new("v")},
		{Query: nearest(dense), Using: new("v"), Filter: red, Limit: proto.Uint64(7), Offset: proto.Uint64(3)},
		{Query: nearest(dense), Using: new("v"), ScoreThreshold: proto.Float32(0.4)},
		{Query: nearest(sparse), Using: new("s"), WithVectors: pb.NewWithVectorsInclude("s")},
		{Query: pb.NewQueryFusion(pb.Fusion_RRF), Prefetch: prefetch},
		{Query: pb.NewQueryFusion(pb.Fusion_DBSF), Prefetch: prefetch, Offset: proto.Uint64(2)},
		{Query: nearest(dense), Using: new("v"), Prefetch: prefetch[1:], Limit: proto.Uint64(5)},
		{Query: pb.NewQueryOrderBy(&pb.OrderBy{Key: "unique", Direction: pb.Direction_Desc.Enum()}), Limit: proto.Uint64(9)},
		{Filter: red, Limit: proto.Uint64(12)},
		{Query: nearest(dense), Using: new("v"), Filter: red, Limit: proto.Uint64(1 << 40), Offset: proto.Uint64(1 << 63)},
	}
	for _, q := range list {
		q.CollectionName, q.WithPayload = name, pb.NewWithPayload(true)
	}
	return list
}

// The answers of a collection don't depend on its number of shards, but for the last
// bits of scores, which depend on how many rows a kernel compares at a time.
func TestShardsDoNotShow(t *testing.T) {
	c := open(t, fsx.NewMem())
	points := c.Points()
	names := []string{"one", "five"}
	create(t, c, names[0], 1)
	create(t, c, names[1], 5)
	both := func(do func(name string)) {
		for _, name := range names {
			do(name)
		}
	}
	both(func(name string) {
		_, err := points.CreateFieldIndex(t.Context(), &pb.CreateFieldIndexCollection{
			CollectionName: name, FieldName: "unique", FieldType: pb.FieldType_FieldTypeInteger.Enum(), Wait: new(true),
		})
		require.NoError(t, err)
	})
	rng := rand.New(rand.NewPCG(11, 12))
	for round := range 8 {
		batch := make([]*pb.PointStruct, 30)
		for i := range batch {
			batch[i] = randomPoint(rng, rng.Uint64N(150))
		}
		both(func(name string) { write(t, points, name, batch, round) })
		seed := rng.Uint64()
		var answers [2][]*pb.QueryPoints
		for i, name := range names {
			answers[i] = reads(name, rand.New(rand.NewPCG(seed, 0)))
		}
		for q := range answers[0] {
			one, err := points.Query(t.Context(), answers[0][q])
			require.NoError(t, err)
			five, err := points.Query(t.Context(), answers[1][q])
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(plain(one.GetResult()), plain(five.GetResult()), protocmp.Transform(), cmpopts.EquateApprox(0, 1e-6)), "round %d, query %d", round, q)
		}
		require.Equal(t, pages(t, points, names[0]), pages(t, points, names[1]))
	}
}

func write(t *testing.T, points *coordinator.Points, name string, batch []*pb.PointStruct, round int) {
	t.Helper()
	_, err := points.Upsert(t.Context(), &pb.UpsertPoints{CollectionName: name, Points: batch, Wait: new(true)})
	require.NoError(t, err)
	_, err = points.Delete(t.Context(), &pb.DeletePoints{
		CollectionName: name, Wait: new(true),
		Points: pb.NewPointsSelectorFilter(&pb.Filter{Must: []*pb.Condition{pb.NewMatchInt("n", int64(round))}}),
	})
	require.NoError(t, err)
	_, err = points.SetPayload(t.Context(), &pb.SetPayloadPoints{
		CollectionName: name, Wait: new(true), Payload: pb.NewValueMap(map[string]any{"round": round}),
		PointsSelector: pb.NewPointsSelectorFilter(&pb.Filter{Must: []*pb.Condition{pb.NewMatch("color", "blue")}}),
	})
	require.NoError(t, err)
}

// plain drops what may differ: versions are positions in a shard's log. Payloads
// become maps, because points that came as maps have keys in no fixed order.
func plain(hits []*pb.ScoredPoint) []*pb.ScoredPoint {
	for _, h := range hits {
		h.Version = 0
		h.Payload = payload.ToProto(payload.Attached(h))
		h.ProtoReflect().SetUnknown(nil)
	}
	return hits
}

func pages(t *testing.T, points *coordinator.Points, name string) (ids []uint64) {
	t.Helper()
	req := &pb.ScrollPoints{CollectionName: name, Limit: proto.Uint32(7), WithPayload: pb.NewWithPayload(false)}
	for {
		page, err := points.Scroll(t.Context(), req)
		require.NoError(t, err)
		for _, p := range page.GetResult() {
			ids = append(ids, p.GetId().GetNum())
		}
		if req.Offset = page.GetNextPageOffset(); req.Offset == nil {
			return ids
		}
	}
}

func count(t *testing.T, c *coordinator.Coordinator, name string) uint64 {
	t.Helper()
	r, err := c.Points().Count(t.Context(), &pb.CountPoints{CollectionName: name})
	require.NoError(t, err)
	return r.GetResult().GetCount()
}

func TestEverythingIsThereAfterAReopen(t *testing.T) {
	fs := fsx.NewMem()
	c := open(t, fs)
	create(t, c, "a", 2)
	rng := rand.New(rand.NewPCG(1, 1))
	for id := range uint64(50) {
		_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "a", Points: []*pb.PointStruct{randomPoint(rng, id)}})
		require.NoError(t, err)
	}
	_, err := c.Points().CreateFieldIndex(t.Context(), &pb.CreateFieldIndexCollection{
		CollectionName: "a", FieldName: "color", FieldType: pb.FieldType_FieldTypeKeyword.Enum(), Wait: new(true),
	})
	require.NoError(t, err)
	_, err = c.Collections().UpdateAliases(t.Context(), &pb.ChangeAliases{Actions: []*pb.AliasOperations{
		{Action: &pb.AliasOperations_CreateAlias{CreateAlias: &pb.CreateAlias{CollectionName: "a", AliasName: "x"}}},
	}})
	require.NoError(t, err)

	// The power goes without a Close: only what was acknowledged must be there.
	again := open(t, fs.CrashClone(rng))
	require.EqualValues(t, 50, count(t, again, "x"))
	info, err := again.Collections().Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: "x"})
	require.NoError(t, err)
	require.EqualValues(t, 50, info.GetResult().GetPointsCount())
	require.EqualValues(t, 50, info.GetResult().GetPayloadSchema()["color"].GetPoints())
}

// A damaged shard is reported and answers nothing; everything else works.
func TestDamageStaysWhereItIs(t *testing.T) {
	fs := fsx.NewMem()
	c := open(t, fs)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, name := range []string{"whole", "damaged"} {
		create(t, c, name, 1)
		_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: name, Points: []*pb.PointStruct{randomPoint(rng, 1)}})
		require.NoError(t, err)
	}
	require.NoError(t, c.Close())
	manifests := find(t, fs, "/storage/collections/damaged", "MANIFEST")
	require.Len(t, manifests, 1)
	require.NoError(t, fsx.FlipBits(fs, manifests[0], 40, 1))

	again := open(t, fs)
	require.EqualValues(t, 1, count(t, again, "whole"))
	_, err := again.Points().Count(t.Context(), &pb.CountPoints{CollectionName: "damaged"})
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err), "%v", err)
	info, err := again.Collections().Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: "damaged"})
	require.NoError(t, err)
	require.Equal(t, pb.CollectionStatus_Red, info.GetResult().GetStatus())
	require.NotEmpty(t, info.GetResult().GetOptimizerStatus().GetError())
	_, err = again.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "damaged"})
	require.NoError(t, err)
}

// A part of the log that is lost with everything that says whose operations it had concerns those of
// whom nothing shows that they lost nothing.
func TestALostPartOfTheLogConcernsWhomItMay(t *testing.T) {
	fs := fsx.NewMem()
	c := open(t, fs)
	rng := rand.New(rand.NewPCG(1, 1))
	put := func(c *coordinator.Coordinator, name string, id uint64) {
		_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{
			CollectionName: name, Wait: new(true), Points: []*pb.PointStruct{randomPoint(rng, id)},
		})
		require.NoError(t, err)
	}
	names := []string{"whole", "hurt", "idle", "empty"}
	for _, name := range names {
		create(t, c, name, 1)
	}
	put(c, "whole", 1)
	put(c, "idle", 1)
	put(c, "hurt", 1)
	before := fs.KillClone()
	put(c, "hurt", 2)
	after := fs.KillClone()
	put(c, "whole", 2)
	put(c, "hurt", 3)
	left := fs.KillClone()
	file := find(t, left, "/storage/oplog", ".LOG")[0]
	var sizes []int64
	for _, at := range []*fsx.Mem{before, after} {
		info, err := at.Stat(file)
		require.NoError(t, err)
		sizes = append(sizes, info.Size())
	}
	f, err := left.OpenWrite(file)
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, sizes[1]-sizes[0]-36), sizes[0]) // up to the mark behind it
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())

	for range 2 {
		again, err := coordinator.Open(t.Context(), coordinator.Options{FS: left, StoragePath: "/storage"})
		require.NoError(t, err)
		require.EqualValues(t, 2, count(t, again, "whole"))
		for _, name := range names[1:] {
			_, err := again.Points().Count(t.Context(), &pb.CountPoints{CollectionName: name})
			require.Equal(t, apierror.Unavailable, apierror.KindOf(err), "%s: %v", name, err)
			require.ErrorContains(t, err, "quarantine", name)
		}
		create(t, again, "new", 1) // is not concerned, also when it is empty at the next start
		require.Zero(t, count(t, again, "new"))
		require.NoError(t, again.Close())
		again = open(t, left.KillClone())
		require.Zero(t, count(t, again, "new"))
		_, err = again.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "hurt"})
		require.NoError(t, err)
		left = left.KillClone()
		again, err = coordinator.Open(t.Context(), coordinator.Options{FS: left, StoragePath: "/storage"})
		require.NoError(t, err)
		_, err = again.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "new"})
		require.NoError(t, err)
		require.NoError(t, again.Close())
	}
}

// find returns the files below dir whose names contain part, in capitals.
func find(t *testing.T, fs fsx.FS, dir, part string) (names []string) {
	t.Helper()
	entries, err := fs.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		name := dir + "/" + e.Name()
		switch {
		case e.IsDir():
			names = append(names, find(t, fs, name, part)...)
		case strings.Contains(strings.ToUpper(e.Name()), part):
			names = append(names, name)
		}
	}
	return names
}

func TestDeletedCollectionLeavesNothing(t *testing.T) {
	fs := fsx.NewMem()
	c := open(t, fs)
	create(t, c, "a", 3)
	_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "a", Points: []*pb.PointStruct{randomPoint(rand.New(rand.NewPCG(1, 1)), 1)}})
	require.NoError(t, err)
	for _, want := range []bool{true, false} {
		r, err := c.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "a"})
		require.NoError(t, err)
		require.Equal(t, want, r.GetResult())
	}
	left, err := fs.ReadDir("/storage/collections")
	require.NoError(t, err)
	require.Empty(t, left)
	create(t, c, "a", 1)
	require.Zero(t, count(t, c, "a"))
}

func TestAnAliasDeletesNothing(t *testing.T) {
	c := open(t, fsx.NewMem())
	create(t, c, "a", 1)
	_, err := c.Collections().UpdateAliases(t.Context(), &pb.ChangeAliases{Actions: []*pb.AliasOperations{
		{Action: &pb.AliasOperations_CreateAlias{CreateAlias: &pb.CreateAlias{CollectionName: "a", AliasName: "x"}}},
	}})
	require.NoError(t, err)
	r, err := c.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "x"})
	require.NoError(t, err)
	require.False(t, r.GetResult())
	require.Zero(t, count(t, c, "a"))
}

func TestStorageWithoutTopologyIsRefused(t *testing.T) {
	fs := fsx.NewMem()
	c := open(t, fs)
	create(t, c, "a", 1)
	require.NoError(t, c.Close())
	require.NoError(t, fs.Remove("/storage/topology"))
	_, err := coordinator.Open(t.Context(), coordinator.Options{FS: fs, StoragePath: "/storage"})
	require.ErrorContains(t, err, "topology")
}

// A change that is durable in the topology, but didn't reach the shard, is made
// up for at the next start.
func TestReconcile(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	reached := 0
	for n := int64(1); reached < 3; n++ {
		mem := fsx.NewMem()
		c := open(t, mem)
		create(t, c, "a", 1)
		require.NoError(t, c.Close())

		fault := fsx.NewFault(mem, fsx.StopAt(n))
		if c, err := coordinator.Open(t.Context(), coordinator.Options{FS: fault, StoragePath: "/storage"}); err == nil {
			_, err = c.Points().CreateFieldIndex(context.Background(), &pb.CreateFieldIndexCollection{
				CollectionName: "a", FieldName: "color", FieldType: pb.FieldType_FieldTypeKeyword.Enum(), Wait: new(true),
			})
			if err == nil {
				reached++
			}
			_ = c.Close() // fails: the disk is gone
		}
		again := open(t, mem.CrashClone(rng))
		info, err := again.Collections().Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: "a"})
		require.NoError(t, err)
		for field := range info.GetResult().GetPayloadSchema() {
			r, err := again.Points().Facet(t.Context(), &pb.FacetCounts{CollectionName: "a", Key: field})
			require.NoError(t, err, "stopped at %d: the index is announced, but not there", n)
			require.Empty(t, r.GetHits())
		}
		if reached > 0 {
			require.NotEmpty(t, info.GetResult().GetPayloadSchema(), "stopped at %d: an acknowledged index is gone", n)
		}
		require.NoError(t, again.Close())
	}
}

// An index that can't be made must not be recorded: the shard would be asked for
// it at every start, and would not open.
func TestRefusedIndexLeavesNothing(t *testing.T) {
	text := pb.NewPayloadIndexParamsText
	mem := fsx.NewMem()
	c := open(t, mem)
	create(t, c, "a", 1)
	for name, tc := range map[string]struct {
		req  *pb.CreateFieldIndexCollection
		kind apierror.Kind
		text string
	}{
		"no name":        {&pb.CreateFieldIndexCollection{FieldType: pb.FieldType_FieldTypeText.Enum()}, apierror.Validation, "field_name: must not be empty"},
		"bad name":       {&pb.CreateFieldIndexCollection{FieldName: "a[", FieldType: pb.FieldType_FieldTypeText.Enum()}, apierror.BadInput, "Invalid JSON path: 'a['"},
		"no type":        {&pb.CreateFieldIndexCollection{FieldName: "f"}, apierror.BadInput, "Field type or field params are missing"},
		"unknown type":   {&pb.CreateFieldIndexCollection{FieldName: "f", FieldType: pb.FieldType(99).Enum()}, apierror.BadInput, "unknown type of index"},
		"two types":      {&pb.CreateFieldIndexCollection{FieldName: "f", FieldType: pb.FieldType_FieldTypeBool.Enum(), FieldIndexParams: text(&pb.TextIndexParams{})}, apierror.BadInput, "doesn't agree"},
		"stop words":     {&pb.CreateFieldIndexCollection{FieldName: "f", FieldIndexParams: text(&pb.TextIndexParams{Stopwords: &pb.StopwordsSet{Languages: []string{"klingon"}}})}, apierror.BadInput, "unknown language `klingon`"},
		"token lengths":  {&pb.CreateFieldIndexCollection{FieldName: "f", FieldIndexParams: text(&pb.TextIndexParams{MinTokenLen: proto.Uint64(10), MaxTokenLen: proto.Uint64(2)})}, apierror.BadInput, "min_token_len"},
		"tokenizer":      {&pb.CreateFieldIndexCollection{FieldName: "f", FieldIndexParams: text(&pb.TextIndexParams{Tokenizer: 99})}, apierror.BadInput, "unknown tokenizer 99"},
		"useless number": {&pb.CreateFieldIndexCollection{FieldName: "f", FieldIndexParams: pb.NewPayloadIndexParamsInt(&pb.IntegerIndexParams{Lookup: new(false), Range: new(false)})}, apierror.Validation, "`lookup` or `range`"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.req.CollectionName, tc.req.Wait = "a", new(true)
			_, err := c.Points().CreateFieldIndex(t.Context(), tc.req)
			require.ErrorContains(t, err, tc.text)
			require.Equal(t, tc.kind, apierror.KindOf(err))
		})
	}
	require.NoError(t, c.Close())
	again := open(t, mem)
	info, err := again.Collections().Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: "a"})
	require.NoError(t, err)
	require.Empty(t, info.GetResult().GetPayloadSchema())
	require.Equal(t, pb.CollectionStatus_Green, info.GetResult().GetStatus())
}

func TestRefusals(t *testing.T) {
	c := open(t, fsx.NewMem())
	create(t, c, "a", 2)
	points := c.Points()
	query := func(change func(*pb.QueryPoints)) error {
		q := &pb.QueryPoints{CollectionName: "a", Query: pb.NewQuery(1, 2, 3, 4), Using: new("v")}
		change(q)
		_, err := points.Query(t.Context(), q)
		return err
	}
	deep := &pb.PrefetchQuery{Query: pb.NewQuery(1, 2, 3, 4), Using: new("v")}
	for range 70 {
		deep = &pb.PrefetchQuery{Query: pb.NewQuery(1, 2, 3, 4), Using: new("v"), Prefetch: []*pb.PrefetchQuery{deep}}
	}
	for name, tc := range map[string]struct {
		err  error
		kind apierror.Kind
	}{
		"limit 0":            {query(func(q *pb.QueryPoints) { q.Limit = proto.Uint64(0) }), apierror.Validation},
		"wrong dimension":    {query(func(q *pb.QueryPoints) { q.Query = pb.NewQuery(1) }), apierror.BadInput},
		"unknown vector":     {query(func(q *pb.QueryPoints) { q.Using = new("w") }), apierror.BadInput},
		"no vector name":     {query(func(q *pb.QueryPoints) { q.Using = nil }), apierror.BadInput},
		"unknown point":      {query(func(q *pb.QueryPoints) { q.Query = pb.NewQueryID(pb.NewIDNum(7)) }), apierror.NotFound},
		"unknown collection": {query(func(q *pb.QueryPoints) { q.CollectionName = "b" }), apierror.NotFound},
		"fusion of nothing":  {query(func(q *pb.QueryPoints) { q.Query, q.Using = pb.NewQueryFusion(pb.Fusion_RRF), nil }), apierror.BadRequest},
		"no kind of query":   {query(func(q *pb.QueryPoints) { q.Query = &pb.Query{} }), apierror.BadInput},
		"unknown fusion":     {query(func(q *pb.QueryPoints) { q.Query = pb.NewQueryFusion(99) }), apierror.BadInput},
		"unknown direction": {query(func(q *pb.QueryPoints) {
			q.Query = pb.NewQueryOrderBy(&pb.OrderBy{Key: "n", Direction: pb.Direction(9).Enum()})
		}), apierror.BadInput},
		"fusion using a name": {query(func(q *pb.QueryPoints) {
			q.Query, q.Prefetch = pb.NewQueryFusion(pb.Fusion_RRF), []*pb.PrefetchQuery{{Query: q.Query, Using: q.Using}}
		}), apierror.BadRequest},
		"prefetch, no query": {query(func(q *pb.QueryPoints) { q.Query, q.Prefetch = nil, []*pb.PrefetchQuery{deep} }), apierror.BadRequest},
		"corpus without idf": {query(func(q *pb.QueryPoints) {
			q.Params = &pb.SearchParams{Idf: &pb.IdfParams{Corpus: &pb.Filter{Must: []*pb.Condition{pb.NewMatch("color", "red")}}}}
		}), apierror.BadInput},
		"threshold, no query": {query(func(q *pb.QueryPoints) { q.Query, q.ScoreThreshold = nil, new(float32(1)) }), apierror.BadRequest},
		"threshold of an order": {query(func(q *pb.QueryPoints) {
			q.Query, q.ScoreThreshold = pb.NewQueryOrderBy(&pb.OrderBy{Key: "n"}), new(float32(1))
		}), apierror.BadRequest},
		"unknown lookup": {query(func(q *pb.QueryPoints) { q.LookupFrom = &pb.LookupLocation{CollectionName: "b"} }), apierror.NotFound},
		"unknown lookup below": {query(func(q *pb.QueryPoints) {
			q.Prefetch = []*pb.PrefetchQuery{{Query: q.Query, Using: q.Using, LookupFrom: &pb.LookupLocation{CollectionName: "b"}}}
		}), apierror.NotFound},
		"too deep": {query(func(q *pb.QueryPoints) { q.Prefetch = []*pb.PrefetchQuery{deep} }), apierror.BadRequest},
		"bad oversampling": {query(func(q *pb.QueryPoints) {
			q.Params = &pb.SearchParams{Quantization: &pb.QuantizationSearchParams{Oversampling: new(0.5)}}
		}), apierror.Validation},
		"foreign model": {query(func(q *pb.QueryPoints) { q.Query = pb.NewQueryDocument(&pb.Document{Text: "x", Model: "bert"}) }), apierror.Inference},
		"recommend":     {query(func(q *pb.QueryPoints) { q.Query = pb.NewQueryRecommend(&pb.RecommendInput{}) }), apierror.NotImplemented},
		"shard key": {query(func(q *pb.QueryPoints) {
			q.ShardKeySelector = &pb.ShardKeySelector{ShardKeys: []*pb.ShardKey{pb.NewShardKey("k")}}
		}), apierror.BadRequest},
		"too many rrf weight": {query(func(q *pb.QueryPoints) {
			q.Using = nil
			q.Query = &pb.Query{Variant: &pb.Query_Rrf{Rrf: &pb.Rrf{Weights: []float32{1, 2, 3}}}}
			q.Prefetch = []*pb.PrefetchQuery{{Query: pb.NewQuery(1, 2, 3, 4), Using: new("v")}}
		}), apierror.BadInput},
	} {
		require.Error(t, tc.err, name)
		require.Equal(t, tc.kind, apierror.KindOf(tc.err), "%s: %v", name, tc.err)
	}
}

func TestQueryByIDLeavesThePointOut(t *testing.T) {
	c := open(t, fsx.NewMem())
	create(t, c, "a", 3)
	rng := rand.New(rand.NewPCG(1, 1))
	batch := make([]*pb.PointStruct, 20)
	for i := range batch {
		batch[i] = randomPoint(rng, uint64(i))
	}
	_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "a", Points: batch, Wait: new(true)})
	require.NoError(t, err)
	byID, err := c.Points().Query(t.Context(), &pb.QueryPoints{
		CollectionName: "a", Query: pb.NewQueryID(pb.NewIDNum(4)), Using: new("v"), Limit: proto.Uint64(19),
	})
	require.NoError(t, err)
	require.Len(t, byID.GetResult(), 19)
	for _, h := range byID.GetResult() {
		require.NotEqualValues(t, 4, h.GetId().GetNum())
	}
	// The same vector given as numbers finds the point too, and first.
	dense := batch[4].GetVectors().GetVectors().GetVectors()["v"].GetDense().GetData()
	byVector, err := c.Points().Search(t.Context(), &pb.SearchPoints{CollectionName: "a", Vector: dense, VectorName: new("v"), Limit: 20})
	require.NoError(t, err)
	require.EqualValues(t, 4, byVector.GetResult()[0].GetId().GetNum())
	for i, h := range byID.GetResult() {
		require.Equal(t, fmt.Sprint(h.GetId()), fmt.Sprint(byVector.GetResult()[i+1].GetId()))
	}
}

// A point whose vector some level of a query asks with is out of the way on every level, before limits apply.
func TestPointsAskedWithAreLeftOutEverywhere(t *testing.T) {
	c := open(t, fsx.NewMem())
	create(t, c, "a", 2)
	create(t, c, "b", 1)
	line := func(n uint64) []*pb.PointStruct {
		batch := []*pb.PointStruct{{Id: pb.NewIDNum(99), Vectors: pb.NewVectorsMap(nil)}}
		for i := range n {
			batch = append(batch, &pb.PointStruct{
				Id:      pb.NewIDNum(i),
				Vectors: pb.NewVectorsMap(map[string]*pb.Vector{"v": pb.NewVectorDense([]float32{float32(i), 0, 0, 0})}),
			})
		}
		return batch
	}
	for _, name := range []string{"a", "b"} {
		_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: name, Points: line(9), Wait: new(true)})
		require.NoError(t, err)
	}
	at := func(x float32) *pb.Query { return pb.NewQueryDense([]float32{x, 0, 0, 0}) }
	id := func(n uint64) *pb.Query { return pb.NewQueryID(pb.NewIDNum(n)) }
	from := func(q *pb.Query, limit uint64, more ...*pb.PrefetchQuery) *pb.PrefetchQuery {
		return &pb.PrefetchQuery{Query: q, Using: new("v"), Limit: &limit, Prefetch: more}
	}
	ask := func(q *pb.Query, prefetch ...*pb.PrefetchQuery) (ids []uint64, err error) {
		req := &pb.QueryPoints{CollectionName: "a", Query: q, Prefetch: prefetch}
		if q.GetNearest() != nil {
			req.Using = new("v")
		}
		got, err := c.Points().Query(t.Context(), req)
		for _, h := range got.GetResult() {
			ids = append(ids, h.GetId().GetNum())
		}
		return ids, err
	}
	found := func(want []uint64, q *pb.Query, prefetch ...*pb.PrefetchQuery) {
		t.Helper()
		got, err := ask(q, prefetch...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	found([]uint64{1, 3, 0}, id(2), from(at(0), 3))
	found([]uint64{0, 2, 3}, at(0), from(at(0), 3), from(id(1), 1))
	found([]uint64{0, 2, 4}, at(0), from(id(3), 3, from(id(1), 3)))
	found([]uint64{0, 2}, pb.NewQueryFusion(pb.Fusion_RRF), from(id(1), 2))
	other := from(id(1), 1)
	other.LookupFrom = &pb.LookupLocation{CollectionName: "b"}
	found([]uint64{0, 1, 2}, at(0), from(at(0), 3), other)

	// What has no such vector can't be asked with, whatever is found below.
	nothing := from(at(0), 3)
	nothing.Filter = &pb.Filter{Must: []*pb.Condition{pb.NewMatch("color", "none")}}
	_, err := ask(id(99), nothing)
	require.Equal(t, apierror.NotFound, apierror.KindOf(err), err)
	require.ErrorContains(t, err, `Vector with name "v" for point 99 not found`)
}

func TestPayloadThatNobodyAskedForIsAbsent(t *testing.T) {
	c := open(t, fsx.NewMem())
	create(t, c, "a", 1)
	_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{
		CollectionName: "a", Points: []*pb.PointStruct{randomPoint(rand.New(rand.NewPCG(1, 1)), 1)}, Wait: new(true),
	})
	require.NoError(t, err)
	for asked, want := range map[bool]bool{true: true, false: false} {
		page, err := c.Points().Scroll(t.Context(), &pb.ScrollPoints{CollectionName: "a", WithPayload: pb.NewWithPayload(asked)})
		require.NoError(t, err)
		require.Equal(t, want, payload.Attached(page.GetResult()[0]) != nil, "scroll, asked: %v", asked)
		got, err := c.Points().Get(t.Context(), &pb.GetPoints{
			CollectionName: "a", Ids: []*pb.PointId{pb.NewIDNum(1)}, WithPayload: pb.NewWithPayload(asked),
		})
		require.NoError(t, err)
		require.Equal(t, want, payload.Attached(got.GetResult()[0]) != nil, "get, asked: %v", asked)
	}
}

// A batch must not pay a sync of the disk for each of its operations, yet be
// answered only when all are durable.
func TestABatchWaitsForTheDiskOnce(t *testing.T) {
	gate := make(chan struct{})
	release := sync.OnceFunc(func() { close(gate) })
	var blocked atomic.Bool
	disk := fsx.NewFault(fsx.NewMem(), func(op fsx.Op) error {
		if op.Kind == fsx.OpSync && blocked.Load() {
			<-gate
		}
		return nil
	})
	c := open(t, disk)
	t.Cleanup(release) // before c is closed
	create(t, c, "a", 1)
	rng := rand.New(rand.NewPCG(9, 9))
	_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "a", Points: []*pb.PointStruct{randomPoint(rng, 1)}, Wait: new(true)})
	require.NoError(t, err)

	blocked.Store(true)
	set := func(n int) *pb.PointsUpdateOperation {
		return &pb.PointsUpdateOperation{Operation: &pb.PointsUpdateOperation_SetPayload_{SetPayload: &pb.PointsUpdateOperation_SetPayload{
			Payload: pb.NewValueMap(map[string]any{"n": n}), PointsSelector: pb.NewPointsSelector(pb.NewIDNum(1)),
		}}}
	}
	answered := make(chan error, 1)
	go func() {
		_, err := c.Points().UpdateBatch(context.Background(), &pb.UpdateBatchPoints{
			CollectionName: "a", Wait: new(true), Operations: []*pb.PointsUpdateOperation{set(101), set(102), set(103)},
		})
		answered <- err
	}()
	require.Eventually(t, func() bool {
		r, err := c.Points().Count(t.Context(), &pb.CountPoints{
			CollectionName: "a", Filter: &pb.Filter{Must: []*pb.Condition{pb.NewMatchInt("n", 103)}},
		})
		return err == nil && r.GetResult().GetCount() == 1
	}, 10*time.Second, time.Millisecond)
	select {
	case err := <-answered:
		require.Fail(t, "answered before anything was durable", "%v", err)
	default:
	}
	blocked.Store(false)
	release()
	require.NoError(t, <-answered)
}

func TestVectorsAreCountedByName(t *testing.T) {
	c := open(t, fsx.NewMem())
	create(t, c, "a", 2)
	rng := rand.New(rand.NewPCG(8, 8))
	var points []*pb.PointStruct
	for id := range uint64(20) {
		p := randomPoint(rng, id)
		if id >= 5 {
			delete(p.GetVectors().GetVectors().GetVectors(), "s")
		}
		points = append(points, p)
	}
	_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "a", Points: points, Wait: new(true)})
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"v": 20, "s": 5}, c.Collections().Vectors("a"))
	require.Nil(t, c.Collections().Vectors("b"))
}

func TestInfoWarnsOfSettingsWithoutEffect(t *testing.T) {
	c := open(t, fsx.NewMem())
	inline := &pb.HnswConfigDiff{InlineStorage: new(true)}
	quantized := pb.NewQuantizationScalar(&pb.ScalarQuantization{Type: pb.QuantizationType_Int8})
	_, err := c.Collections().Create(t.Context(), &pb.CreateCollection{
		CollectionName: "a",
		VectorsConfig: pb.NewVectorsConfigMap(map[string]*pb.VectorParams{
			"plain":  {Size: 4, Distance: pb.Distance_Dot},
			"inline": {Size: 4, Distance: pb.Distance_Dot, HnswConfig: inline},
			"both":   {Size: 4, Distance: pb.Distance_Dot, HnswConfig: inline, QuantizationConfig: quantized},
		}),
	})
	require.NoError(t, err)
	got, err := c.Collections().Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: "a"})
	require.NoError(t, err)
	require.Len(t, got.GetResult().GetWarnings(), 1)
	require.Contains(t, got.GetResult().GetWarnings()[0].GetMessage(), "`inline`")
}

// The idf of a corpus counts the points of the corpus, and finds those outside too.
func TestIDFOfACorpus(t *testing.T) {
	c := open(t, fsx.NewMem())
	_, err := c.Collections().Create(t.Context(), &pb.CreateCollection{
		CollectionName:      "a",
		SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"s": {Modifier: pb.Modifier_Idf.Enum()}}),
	})
	require.NoError(t, err)
	var batch []*pb.PointStruct
	for i, color := range []string{"red", "red", "green", "green", "green"} {
		indices := []uint32{1, 2}[:1+i%2] // term 2 is in one red and in one green point
		batch = append(batch, &pb.PointStruct{
			Id: pb.NewIDNum(uint64(i)), Payload: pb.NewValueMap(map[string]any{"color": color}),
			Vectors: pb.NewVectorsMap(map[string]*pb.Vector{"s": pb.NewVectorSparse(indices, []float32{1, 1}[:len(indices)])}),
		})
	}
	_, err = c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "a", Points: batch, Wait: new(true)})
	require.NoError(t, err)
	search := func(corpus *pb.Filter) []*pb.ScoredPoint {
		got, err := c.Points().Query(t.Context(), &pb.QueryPoints{
			CollectionName: "a", Query: pb.NewQuerySparse([]uint32{2}, []float32{1}), Using: new("s"),
			Params: &pb.SearchParams{Idf: &pb.IdfParams{Corpus: corpus}},
		})
		require.NoError(t, err)
		require.Len(t, got.GetResult(), 2)
		return got.GetResult()
	}
	idf := func(n, df float64) float64 { return math.Log((n-df+0.5)/(df+0.5) + 1) }
	corpus := func(color string) *pb.Filter { return &pb.Filter{Must: []*pb.Condition{pb.NewMatch("color", color)}} }
	require.InDelta(t, idf(5, 2), search(nil)[0].GetScore(), 1e-6)
	require.InDelta(t, idf(2, 1), search(corpus("red"))[0].GetScore(), 1e-6)
	require.InDelta(t, idf(3, 1), search(corpus("green"))[1].GetScore(), 1e-6)
	require.InDelta(t, idf(0, 0), search(corpus("blue"))[0].GetScore(), 1e-6)
}

func TestUnknownLookupIsNamed(t *testing.T) {
	c := open(t, fsx.NewMem())
	create(t, c, "a", 1)
	_, err := c.Points().Query(t.Context(), &pb.QueryPoints{
		CollectionName: "a", Query: pb.NewQueryID(pb.NewIDNum(1)), Using: new("v"), LookupFrom: &pb.LookupLocation{CollectionName: "gone"},
	})
	require.EqualError(t, err, "Not found: Collection gone not found")
}
