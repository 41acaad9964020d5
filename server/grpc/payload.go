package grpc

import (
	"fmt"
	"math"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/payload"
)

// Field numbers of the public messages that payloads are written into.
const (
	pointPayload protowire.Number = 2 // RetrievedPoint.payload and ScoredPoint.payload
	entryKey     protowire.Number = 1 // of any map
	entryValue   protowire.Number = 2
	valueNull    protowire.Number = 1
	valueDouble  protowire.Number = 2
	valueInteger protowire.Number = 3
	valueString  protowire.Number = 4
	valueBool    protowire.Number = 5
	valueStruct  protowire.Number = 6
	valueList    protowire.Number = 7
	structFields protowire.Number = 1
	listValues   protowire.Number = 1
)

// expand gives every point of an answer its payload in the public form, a map
// from names to values. The map is never built: its encoding is written straight
// from the binary form into the message's unknown fields, which are marshalled
// as they are, and the client can't tell the difference. This spares an
// allocation for each key and value.
func expand(resp any) error {
	switch r := resp.(type) {
	case *pb.SearchResponse:
		return expandAll(r.GetResult())
	case *pb.QueryResponse:
		return expandAll(r.GetResult())
	case *pb.RecommendResponse:
		return expandAll(r.GetResult())
	case *pb.DiscoverResponse:
		return expandAll(r.GetResult())
	case *pb.GetResponse:
		return expandAll(r.GetResult())
	case *pb.ScrollResponse:
		return expandAll(r.GetResult())
	case interface{ GetResult() []*pb.BatchResult }:
		for _, b := range r.GetResult() {
			if err := expandAll(b.GetResult()); err != nil {
				return err
			}
		}
	case interface{ GetResult() *pb.GroupsResult }:
		return expandGroups(r.GetResult().GetGroups())
	}
	return nil
}

func expandGroups(groups []*pb.PointGroup) error {
	for _, g := range groups {
		if err := expandAll(g.GetHits()); err != nil {
			return err
		}
		if g.GetLookup() != nil {
			if err := expandAll([]*pb.RetrievedPoint{g.GetLookup()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// expandAll replaces the attached payload of points.
func expandAll[M proto.Message](points []M) error {
	for _, p := range points {
		o := payload.Attached(p)
		if o == nil {
			continue
		}
		// Names and values grow by a few bytes of tags and lengths each.
		b, err := appendFields(make([]byte, 0, len(o)+len(o)/2+16), pointPayload, o, 1)
		if err != nil {
			return err
		}
		p.ProtoReflect().SetUnknown(b)
	}
	return nil
}

// appendFields writes an object as the entries of a map field.
func appendFields(b []byte, field protowire.Number, o payload.Object, depth int) ([]byte, error) {
	if depth > payload.MaxDepth {
		return nil, fmt.Errorf("encode payload: nested more than %d deep", payload.MaxDepth)
	}
	for key, v := range o.All() {
		var entry, value int
		b, entry = begin(b, field)
		b = protowire.AppendTag(b, entryKey, protowire.BytesType)
		b = protowire.AppendBytes(b, key)
		b, value = begin(b, entryValue)
		var err error
		if b, err = appendValue(b, v, depth); err != nil {
			return nil, err
		}
		b = end(end(b, value), entry)
	}
	return b, nil
}

// appendValue writes the inside of a Value message. What the message can't
// express, or is malformed, becomes what payload.Value.ToProto makes of it.
func appendValue(b []byte, v payload.Value, depth int) ([]byte, error) {
	switch v.Kind() {
	case payload.Bool:
		is, _ := v.Bool()
		b = protowire.AppendTag(b, valueBool, protowire.VarintType)
		return protowire.AppendVarint(b, protowire.EncodeBool(is)), nil
	case payload.Int:
		if n, ok := v.Int(); ok {
			b = protowire.AppendTag(b, valueInteger, protowire.VarintType)
			return protowire.AppendVarint(b, uint64(n)), nil
		}
		f, _ := v.Float()
		return appendDouble(b, f), nil
	case payload.Float:
		if f, ok := v.Float(); ok && !math.IsNaN(f) {
			return appendDouble(b, f), nil
		}
	case payload.String:
		s, _ := v.Text()
		b = protowire.AppendTag(b, valueString, protowire.BytesType)
		return protowire.AppendBytes(b, s), nil
	case payload.Array:
		return appendList(b, v, depth+1)
	case payload.Map:
		o, _ := v.Object()
		b, at := begin(b, valueStruct)
		b, err := appendFields(b, structFields, o, depth+1)
		if err != nil {
			return nil, err
		}
		return end(b, at), nil
	case payload.Missing, payload.Null:
	}
	b = protowire.AppendTag(b, valueNull, protowire.VarintType)
	return protowire.AppendVarint(b, 0), nil
}

func appendList(b []byte, v payload.Value, depth int) ([]byte, error) {
	if depth > payload.MaxDepth {
		return nil, fmt.Errorf("encode payload: nested more than %d deep", payload.MaxDepth)
	}
	b, list := begin(b, valueList)
	for e := range v.Elements() {
		var at int
		b, at = begin(b, listValues)
		var err error
		if b, err = appendValue(b, e, depth); err != nil {
			return nil, err
		}
		b = end(b, at)
	}
	return end(b, list), nil
}

func appendDouble(b []byte, f float64) []byte {
	b = protowire.AppendTag(b, valueDouble, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, math.Float64bits(f))
}

// begin opens a length-prefixed field whose length isn't known yet. One byte is
// kept free for it, which is enough for most values.
func begin(b []byte, field protowire.Number) (out []byte, at int) {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return append(b, 0), len(b) + 1
}

// end fills in the length of the field opened at at, moving its bytes when the
// length needs more than one.
func end(b []byte, at int) []byte {
	n := len(b) - at
	size := protowire.SizeVarint(uint64(n))
	if size > 1 {
		b = append(b, make([]byte, size-1)...)
		copy(b[at+size-1:], b[at:at+n])
	}
	protowire.AppendVarint(b[:at-1], uint64(n))
	return b
}
