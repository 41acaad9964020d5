package payload

import (
	"maps"
	"math"
	"slices"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Carrier is a public message with a payload.
type Carrier interface {
	proto.Message
	GetPayload() map[string]*pb.Value
}

// Of returns the payload of a message: the attached Object, or else its map,
// converted.
func Of(m Carrier) (Object, error) {
	if o := Attached(m); o != nil {
		return o, nil
	}
	return FromProto(m.GetPayload())
}

// FromProto converts the map of the public messages. Keys are sorted, since a
// map has no order; floats that JSON can't express become null. The error, of
// kind BadInput, is about depth.
func FromProto(m map[string]*pb.Value) (Object, error) {
	if len(m) == 0 {
		return nil, nil
	}
	b, err := appendProtoMap(nil, m, 1)
	return Object(b), err
}

func appendProtoMap(b []byte, m map[string]*pb.Value, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, apierror.New(apierror.BadInput, "Payload is nested too deeply, the limit is %d", MaxDepth)
	}
	start := len(b)
	for _, key := range slices.Sorted(maps.Keys(m)) {
		b = appendKey(b, []byte(strings.ToValidUTF8(key, "\uFFFD")))
		var err error
		if b, err = appendProtoValue(b, m[key], depth); err != nil {
			return nil, err
		}
	}
	// Keys that weren't UTF-8 may have become equal.
	return dedup(b, start), nil
}

func appendProtoValue(b []byte, v *pb.Value, depth int) ([]byte, error) {
	switch k := v.GetKind().(type) {
	case *pb.Value_BoolValue:
		return appendBool(b, k.BoolValue), nil
	case *pb.Value_IntegerValue:
		return appendInt(b, k.IntegerValue), nil
	case *pb.Value_DoubleValue:
		return appendFloat(b, k.DoubleValue), nil
	case *pb.Value_StringValue:
		return appendString(b, strings.ToValidUTF8(k.StringValue, "\uFFFD")), nil
	case *pb.Value_ListValue:
		if depth >= MaxDepth {
			return nil, apierror.New(apierror.BadInput, "Payload is nested too deeply, the limit is %d", MaxDepth)
		}
		b, start := begin(b, tagArray)
		for _, e := range k.ListValue.GetValues() {
			var err error
			if b, err = appendProtoValue(b, e, depth+1); err != nil {
				return nil, err
			}
		}
		return end(b, start), nil
	case *pb.Value_StructValue:
		b, start := begin(b, tagMap)
		b, err := appendProtoMap(b, k.StructValue.GetFields(), depth+1)
		if err != nil {
			return nil, err
		}
		return end(b, start), nil
	default:
		return append(b, tagNull), nil
	}
}

// ToProto converts o to the map of the public messages. Integers above 2^63−1,
// which they can't express, become doubles.
func ToProto(o Object) map[string]*pb.Value {
	m := make(map[string]*pb.Value)
	for key, v := range o.All() {
		m[string(key)] = v.ToProto()
	}
	return m
}

// ToProto converts v to its public message; a missing value is null.
func (v Value) ToProto() *pb.Value {
	switch v.Kind() {
	case Bool:
		return &pb.Value{Kind: &pb.Value_BoolValue{BoolValue: v[0] == tagTrue}}
	case Int:
		if n, ok := v.Int(); ok {
			return &pb.Value{Kind: &pb.Value_IntegerValue{IntegerValue: n}}
		}
		f, _ := v.Float()
		return &pb.Value{Kind: &pb.Value_DoubleValue{DoubleValue: f}}
	case Float:
		f, ok := v.Float()
		if !ok || math.IsNaN(f) {
			break
		}
		return &pb.Value{Kind: &pb.Value_DoubleValue{DoubleValue: f}}
	case String:
		s, _ := v.Text()
		return &pb.Value{Kind: &pb.Value_StringValue{StringValue: string(s)}}
	case Array:
		list := &pb.ListValue{}
		for e := range v.Elements() {
			list.Values = append(list.Values, e.ToProto())
		}
		return &pb.Value{Kind: &pb.Value_ListValue{ListValue: list}}
	case Map:
		o, _ := v.Object()
		return &pb.Value{Kind: &pb.Value_StructValue{StructValue: &pb.Struct{Fields: ToProto(o)}}}
	default:
	}
	return &pb.Value{Kind: &pb.Value_NullValue{}}
}
