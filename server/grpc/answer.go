package grpc

import (
	"math"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of the answers to a search.
const (
	answerResult protowire.Number = 1 // SearchResponse.result and QueryResponse.result
	answerTime   protowire.Number = 2
	pointID      protowire.Number = 1 // ScoredPoint.id
	pointScore   protowire.Number = 3
	pointVersion protowire.Number = 5
	idNum        protowire.Number = 1 // PointId.num
	idUUID       protowire.Number = 2
)

// answer is the part of an answer to a search that is encoded here.
type answer struct {
	points []*pb.ScoredPoint
	time   float64
}

// asAnswer says whether a message is the answer to a search, with nothing in it
// that only the generated code knows to encode. Encoding is by hand for these,
// the most frequent answers: ten points are thirty small messages and oneofs to
// the generated code, which takes several times as long.
func asAnswer(v any) (a answer, ok bool) {
	switch r := v.(type) {
	case *pb.SearchResponse:
		if r.GetUsage() != nil || len(r.ProtoReflect().GetUnknown()) > 0 {
			return a, false
		}
		return answer{points: r.GetResult(), time: r.GetTime()}, true
	case *pb.QueryResponse:
		if r.GetUsage() != nil || len(r.ProtoReflect().GetUnknown()) > 0 {
			return a, false
		}
		return answer{points: r.GetResult(), time: r.GetTime()}, true
	default:
		return a, false
	}
}

// bound returns at least the size of the encoding.
func (a answer) bound() int {
	// Tag and length of a point; tags, lengths and numbers in it.
	const point, fields = 1 + 5, (1 + 1) + (1 + 10) + (1 + 4) + (1 + 10)
	size := 1 + 8
	for _, p := range a.points {
		switch {
		case p == nil:
			size += point
		case isPlain(p):
			size += point + fields + len(p.GetId().GetUuid()) + len(p.ProtoReflect().GetUnknown())
		default:
			size += point + proto.Size(p)
		}
	}
	return size
}

// isPlain says whether a point has only what a search returns by itself, and
// payload, which is among the unknown fields by now. A UUID longer than any is
// left to the generated code with the rest.
func isPlain(p *pb.ScoredPoint) bool {
	if len(p.Payload) > 0 || p.Vectors != nil || p.ShardKey != nil || p.OrderValue != nil {
		return false
	}
	switch id := p.GetId().GetPointIdOptions().(type) {
	case *pb.PointId_Num:
		return len(p.GetId().ProtoReflect().GetUnknown()) == 0
	case *pb.PointId_Uuid:
		return len(id.Uuid) == uuidLen && len(p.GetId().ProtoReflect().GetUnknown()) == 0
	default:
		return false
	}
}

// uuidLen is the length of a UUID as text.
const uuidLen = 36

// encode appends the encoding to b.
func (a answer) encode(b []byte) ([]byte, error) {
	for _, p := range a.points {
		var at int
		b, at = begin(b, answerResult)
		if p != nil && isPlain(p) {
			b = encodePoint(b, p)
		} else {
			var err error
			if b, err = (proto.MarshalOptions{}).MarshalAppend(b, p); err != nil {
				return nil, err
			}
		}
		b = end(b, at)
	}
	if a.time != 0 || math.Signbit(a.time) {
		b = protowire.AppendTag(b, answerTime, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, math.Float64bits(a.time))
	}
	return b, nil
}

// encodePoint appends a plain point.
func encodePoint(b []byte, p *pb.ScoredPoint) []byte {
	b, at := begin(b, pointID)
	switch id := p.GetId().GetPointIdOptions().(type) {
	case *pb.PointId_Num:
		b = protowire.AppendTag(b, idNum, protowire.VarintType)
		b = protowire.AppendVarint(b, id.Num)
	case *pb.PointId_Uuid:
		b = protowire.AppendTag(b, idUUID, protowire.BytesType)
		b = protowire.AppendString(b, id.Uuid)
	}
	b = end(b, at)
	if s := p.GetScore(); s != 0 || math.Signbit(float64(s)) {
		b = protowire.AppendTag(b, pointScore, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, math.Float32bits(s))
	}
	if v := p.GetVersion(); v != 0 {
		b = protowire.AppendTag(b, pointVersion, protowire.VarintType)
		b = protowire.AppendVarint(b, v)
	}
	return append(b, p.ProtoReflect().GetUnknown()...)
}
