package grpc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/payload"
)

// received is what a client reads from an answer.
func received[M proto.Message](t require.TestingT, sent, into M) M {
	require.NoError(t, expand(sent))
	data, err := codec{}.Marshal(sent)
	require.NoError(t, err)
	defer data.Free()
	require.NoError(t, proto.Unmarshal(data.Materialize(), into))
	return into
}

func genJSON(depth int) *rapid.Generator[string] {
	leaves := []*rapid.Generator[string]{
		rapid.Just("null"), rapid.SampledFrom([]string{"true", "false"}),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})`), rapid.StringMatching(`-?[0-9]\.[0-9]{1,9}e-?[0-9]{1,2}`),
		rapid.StringMatching(`"[a-zé ]{0,200}"`),
	}
	if depth > 0 {
		leaves = append(leaves, genObject(depth-1), rapid.Custom(func(t *rapid.T) string {
			return "[" + strings.Join(rapid.SliceOfN(genJSON(depth-1), 0, 4).Draw(t, "array"), ",") + "]"
		}))
	}
	return rapid.OneOf(leaves...)
}

func genObject(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var fields []string
		for _, key := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zß]{0,3}`), 0, 5, rapid.ID).Draw(t, "keys") {
			fields = append(fields, `"`+key+`":`+genJSON(depth).Draw(t, "value"))
		}
		return "{" + strings.Join(fields, ",") + "}"
	})
}

// TestExpandEqualsMap: a client reads the same as if the map had been built.
func TestExpandEqualsMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, err := payload.FromJSON([]byte(genObject(3).Draw(t, "payload")))
		require.NoError(t, err)
		p := &pb.ScoredPoint{Id: pb.NewIDNum(7), Score: 0.5}
		payload.Attach(p, o)
		got := received(t, &pb.SearchResponse{Result: []*pb.ScoredPoint{p}}, new(pb.SearchResponse))
		want := &pb.SearchResponse{Result: []*pb.ScoredPoint{{Id: pb.NewIDNum(7), Score: 0.5, Payload: payload.ToProto(o)}}}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestExpandFindsEveryPoint(t *testing.T) {
	o, err := payload.FromJSON([]byte(`{"a":[1,{"b":"` + strings.Repeat("x", 20_000) + `"}]}`))
	require.NoError(t, err)
	want := payload.ToProto(o)
	scored := func() []*pb.ScoredPoint {
		p := new(pb.ScoredPoint)
		payload.Attach(p, o)
		return []*pb.ScoredPoint{p, {}}
	}
	retrieved := func() []*pb.RetrievedPoint {
		p := new(pb.RetrievedPoint)
		payload.Attach(p, o)
		return []*pb.RetrievedPoint{{}, p}
	}
	batch := func() []*pb.BatchResult { return []*pb.BatchResult{{Result: scored()}, {Result: scored()}} }
	groups := func() *pb.GroupsResult {
		return &pb.GroupsResult{Groups: []*pb.PointGroup{{Hits: scored(), Lookup: retrieved()[1]}, {Hits: scored()}}}
	}
	f := func(sent, into proto.Message, points int) {
		t.Helper()
		found := 0
		var walk func(m any)
		walk = func(m any) {
			switch m := m.(type) {
			case map[string]*pb.Value:
				if len(m) > 0 {
					require.Empty(t, cmp.Diff(want, m, protocmp.Transform()))
					found++
				}
			case []*pb.ScoredPoint:
				for _, p := range m {
					require.Empty(t, p.ProtoReflect().GetUnknown())
					walk(p.GetPayload())
				}
			case []*pb.RetrievedPoint:
				for _, p := range m {
					require.Empty(t, p.ProtoReflect().GetUnknown())
					walk(p.GetPayload())
				}
			case []*pb.BatchResult:
				for _, b := range m {
					walk(b.GetResult())
				}
			case *pb.GroupsResult:
				for _, g := range m.GetGroups() {
					walk(g.GetHits())
					walk(g.GetLookup().GetPayload())
				}
			case interface{ GetResult() []*pb.ScoredPoint }:
				walk(m.GetResult())
			case interface{ GetResult() []*pb.RetrievedPoint }:
				walk(m.GetResult())
			case interface{ GetResult() []*pb.BatchResult }:
				walk(m.GetResult())
			case interface{ GetResult() *pb.GroupsResult }:
				walk(m.GetResult())
			default:
				require.Failf(t, "no walk", "%T", m)
			}
		}
		walk(received(t, sent, into))
		require.Equal(t, points, found, "%T", sent)
	}
	f(&pb.SearchResponse{Result: scored()}, new(pb.SearchResponse), 1)
	f(&pb.QueryResponse{Result: scored()}, new(pb.QueryResponse), 1)
	f(&pb.RecommendResponse{Result: scored()}, new(pb.RecommendResponse), 1)
	f(&pb.DiscoverResponse{Result: scored()}, new(pb.DiscoverResponse), 1)
	f(&pb.GetResponse{Result: retrieved()}, new(pb.GetResponse), 1)
	f(&pb.ScrollResponse{Result: retrieved()}, new(pb.ScrollResponse), 1)
	f(&pb.SearchBatchResponse{Result: batch()}, new(pb.SearchBatchResponse), 2)
	f(&pb.QueryBatchResponse{Result: batch()}, new(pb.QueryBatchResponse), 2)
	f(&pb.RecommendBatchResponse{Result: batch()}, new(pb.RecommendBatchResponse), 2)
	f(&pb.DiscoverBatchResponse{Result: batch()}, new(pb.DiscoverBatchResponse), 2)
	f(&pb.SearchGroupsResponse{Result: groups()}, new(pb.SearchGroupsResponse), 3)
	f(&pb.QueryGroupsResponse{Result: groups()}, new(pb.QueryGroupsResponse), 3)
	f(&pb.RecommendGroupsResponse{Result: groups()}, new(pb.RecommendGroupsResponse), 3)
}

func TestEmptyAttachedPayload(t *testing.T) {
	p := &pb.RetrievedPoint{Id: pb.NewIDNum(1)}
	payload.Attach(p, payload.Object{})
	got := received(t, &pb.GetResponse{Result: []*pb.RetrievedPoint{p}}, new(pb.GetResponse))
	require.Empty(t, got.GetResult()[0].GetPayload())
	require.Empty(t, got.GetResult()[0].ProtoReflect().GetUnknown())
}

// TestRequestsCarryNoAttachment: a planted payload doesn't get through.
func TestRequestsCarryNoAttachment(t *testing.T) {
	o, err := payload.FromJSON([]byte(`{"planted":true}`))
	require.NoError(t, err)
	p := &pb.PointStruct{Id: pb.NewIDNum(1)}
	payload.Attach(p, o)
	data, err := codec{}.Marshal(&pb.UpsertPoints{CollectionName: "c", Points: []*pb.PointStruct{p}})
	require.NoError(t, err)
	got := new(pb.UpsertPoints)
	require.NoError(t, codec{}.Unmarshal(data, got))
	require.Equal(t, "c", got.GetCollectionName())
	require.Nil(t, payload.Attached(got.GetPoints()[0]))
}
