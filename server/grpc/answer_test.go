package grpc

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/payload"
)

const anUUID = "00000000-0000-0000-0000-00000000000a"

// genPoint draws points as searches return them, and others.
func genPoint() *rapid.Generator[*pb.ScoredPoint] {
	return rapid.Custom(func(t *rapid.T) *pb.ScoredPoint {
		p := &pb.ScoredPoint{
			Score:   rapid.OneOf(rapid.Float32(), rapid.SampledFrom([]float32{0, float32(math.Copysign(0, -1))})).Draw(t, "score"),
			Version: rapid.Uint64().Draw(t, "version"),
			Id: rapid.OneOf(
				rapid.Map(rapid.Uint64(), pb.NewIDNum),
				rapid.SampledFrom([]*pb.PointId{nil, {}, pb.NewIDUUID(anUUID), pb.NewIDUUID(""), pb.NewIDUUID(strings.Repeat("long", 100))}),
			).Draw(t, "id"),
		}
		switch rapid.IntRange(0, 5).Draw(t, "more") {
		case 0:
			o, err := payload.FromJSON([]byte(genObject(1).Draw(t, "payload")))
			require.NoError(t, err)
			payload.Attach(p, o)
		case 1:
			p.Vectors = &pb.VectorsOutput{VectorsOptions: &pb.VectorsOutput_Vector{Vector: &pb.VectorOutput{
				Vector: &pb.VectorOutput_Dense{Dense: &pb.DenseVector{Data: rapid.SliceOfN(rapid.Float32Range(-1, 1), 0, 300).Draw(t, "vector")}},
			}}}
		case 2:
			p.OrderValue = &pb.OrderValue{Variant: &pb.OrderValue_Int{Int: rapid.Int64().Draw(t, "order")}}
			p.ShardKey = pb.NewShardKey("k")
			p.Payload = map[string]*pb.Value{"a": pb.NewValueInt(1)}
		}
		return p
	})
}

// TestAnswersAreEncodedAsGenerated: a client reads what the generated code would
// have sent, and no more room was needed than was foreseen.
func TestAnswersAreEncodedAsGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := rapid.SliceOfN(genPoint(), 0, 30).Draw(t, "points")
		time := rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 0.25}).Draw(t, "time")
		var usage *pb.Usage
		if rapid.IntRange(0, 4).Draw(t, "usage") == 0 {
			usage = &pb.Usage{Hardware: &pb.HardwareUsage{Cpu: 3}}
		}
		require.NoError(t, expandAll(points))
		f := func(sent, got, want proto.Message) {
			t.Helper()
			if a, ok := asAnswer(sent); ok {
				bound := a.bound()
				b, err := a.encode(nil)
				require.NoError(t, err)
				require.LessOrEqual(t, len(b), bound)
			}
			data, err := codec{}.Marshal(sent)
			require.NoError(t, err)
			defer data.Free()
			require.NoError(t, proto.Unmarshal(data.Materialize(), got))
			generated, err := proto.Marshal(sent)
			require.NoError(t, err)
			require.NoError(t, proto.Unmarshal(generated, want))
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Fatal(diff)
			}
		}
		f(&pb.SearchResponse{Result: points, Time: time, Usage: usage}, new(pb.SearchResponse), new(pb.SearchResponse))
		f(&pb.QueryResponse{Result: points, Time: time, Usage: usage}, new(pb.QueryResponse), new(pb.QueryResponse))
	})
}

func TestLargeAnswersUseThePool(t *testing.T) {
	points := make([]*pb.ScoredPoint, 1000)
	for i := range points {
		points[i] = &pb.ScoredPoint{Id: pb.NewIDUUID(anUUID), Score: float32(i), Version: uint64(i)}
	}
	sent := &pb.QueryResponse{Result: points, Time: 0.5}
	got := received(t, sent, new(pb.QueryResponse))
	require.True(t, proto.Equal(sent, got))
}

func BenchmarkDecode(b *testing.B) {
	raw, err := proto.Marshal(&pb.QueryPoints{CollectionName: "bench", Query: pb.NewQueryDense(make([]float32, 128)), Limit: new(uint64(10))})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, new(pb.QueryPoints)))
	}
}

// BenchmarkEncode is ten hits: by hand, and by the generated code, which a usage
// asks for.
func BenchmarkEncode(b *testing.B) {
	for name, usage := range map[string]*pb.Usage{"hand": nil, "generated": {}} {
		b.Run(name, func(b *testing.B) {
			resp := &pb.QueryResponse{Result: make([]*pb.ScoredPoint, 10), Time: 0.001, Usage: usage}
			for i := range resp.Result {
				resp.Result[i] = &pb.ScoredPoint{Id: pb.NewIDNum(uint64(i) * 1000), Score: float32(i), Version: 7}
			}
			b.ReportAllocs()
			for b.Loop() {
				data, err := codec{}.Marshal(resp)
				require.NoError(b, err)
				data.Free()
			}
		})
	}
}
