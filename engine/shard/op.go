package shard

import (
	"fmt"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Kind says what an operation does. Its values are written to the log
// (docs/format/operation.md) and never change their meaning.
type Kind uint8

// The kinds of operations. The comment names the message that follows in the
// log.
const (
	KindUpsert           Kind = 1  // UpsertPoints
	KindDelete           Kind = 2  // DeletePoints
	KindUpdateVectors    Kind = 3  // UpdatePointVectors
	KindDeleteVectors    Kind = 4  // DeletePointVectors
	KindSetPayload       Kind = 5  // SetPayloadPoints
	KindOverwritePayload Kind = 6  // SetPayloadPoints
	KindDeletePayload    Kind = 7  // DeletePayloadPoints
	KindClearPayload     Kind = 8  // ClearPayloadPoints
	KindCreateIndex      Kind = 9  // CreateFieldIndexCollection
	KindDeleteIndex      Kind = 10 // DeleteFieldIndexCollection
	KindSetConfig        Kind = 11 // CollectionConfig
)

// Op is one operation on a shard. It is made by the constructors below, which
// don't change the message they are given but share its memory: the caller must
// not change it afterwards. Fields that don't concern the shard (collection
// name, wait, ordering, shard keys, timeout) are not kept.
type Op struct {
	// Kind says which message Msg is.
	Kind Kind
	// Msg is the public message. Payloads in it are attached, not maps.
	Msg proto.Message
}

// Upsert inserts or replaces points.
func Upsert(m *pb.UpsertPoints) (Op, error) {
	points := make([]*pb.PointStruct, len(m.GetPoints()))
	for i, p := range m.GetPoints() {
		var err error
		if points[i], err = withPayload(p, func(b *pb.PointStruct) {
			b.Id, b.Vectors = p.GetId(), p.GetVectors()
		}); err != nil {
			return Op{}, err
		}
	}
	return Op{KindUpsert, &pb.UpsertPoints{Points: points, UpdateFilter: m.GetUpdateFilter(), UpdateMode: m.UpdateMode}}, nil
}

// Delete deletes points by ID or filter.
func Delete(m *pb.DeletePoints) Op {
	return Op{KindDelete, &pb.DeletePoints{Points: m.GetPoints()}}
}

// UpdateVectors replaces the named vectors of existing points.
func UpdateVectors(m *pb.UpdatePointVectors) Op {
	return Op{KindUpdateVectors, &pb.UpdatePointVectors{Points: m.GetPoints(), UpdateFilter: m.GetUpdateFilter()}}
}

// DeleteVectors removes named vectors from existing points.
func DeleteVectors(m *pb.DeletePointVectors) Op {
	return Op{KindDeleteVectors, &pb.DeletePointVectors{PointsSelector: m.GetPointsSelector(), Vectors: m.GetVectors()}}
}

// SetPayload merges keys into the payload of existing points.
func SetPayload(m *pb.SetPayloadPoints) (Op, error) { return setPayload(KindSetPayload, m) }

// OverwritePayload replaces the payload of existing points, or of the part of
// it that a key names.
func OverwritePayload(m *pb.SetPayloadPoints) (Op, error) { return setPayload(KindOverwritePayload, m) }

func setPayload(kind Kind, m *pb.SetPayloadPoints) (Op, error) {
	out, err := withPayload(m, func(b *pb.SetPayloadPoints) {
		b.PointsSelector, b.Key = m.GetPointsSelector(), m.Key
	})
	return Op{kind, out}, err
}

// DeletePayload removes keys from the payload of existing points.
func DeletePayload(m *pb.DeletePayloadPoints) Op {
	return Op{KindDeletePayload, &pb.DeletePayloadPoints{Keys: m.GetKeys(), PointsSelector: m.GetPointsSelector()}}
}

// ClearPayload removes the payload of existing points.
func ClearPayload(m *pb.ClearPayloadPoints) Op {
	return Op{KindClearPayload, &pb.ClearPayloadPoints{Points: m.GetPoints()}}
}

// CreateIndex creates the index of a payload field. Creating the same index
// again does nothing.
func CreateIndex(m *pb.CreateFieldIndexCollection) Op {
	return Op{KindCreateIndex, &pb.CreateFieldIndexCollection{
		FieldName: m.GetFieldName(), FieldType: m.FieldType, FieldIndexParams: m.GetFieldIndexParams(),
	}}
}

// DeleteIndex drops the index of a payload field. Dropping one that isn't there
// does nothing.
func DeleteIndex(m *pb.DeleteFieldIndexCollection) Op {
	return Op{KindDeleteIndex, &pb.DeleteFieldIndexCollection{FieldName: m.GetFieldName()}}
}

// SetConfig replaces the shard's configuration: the whole one, not a
// difference.
func SetConfig(m *pb.CollectionConfig) Op { return Op{KindSetConfig, m} }

// carrier is a message with a payload.
type carrier[T any] interface {
	*T
	payload.Carrier
}

// withPayload returns a message that carries its payload attached: from itself,
// or one filled by fill with from's map converted.
func withPayload[T any, M carrier[T]](from M, fill func(M)) (M, error) {
	if payload.Attached(from) != nil && len(from.GetPayload()) == 0 {
		return from, nil
	}
	o, err := payload.Of(from)
	if err != nil {
		return nil, err
	}
	out := M(new(T))
	fill(out)
	payload.Attach(out, o)
	return out, nil
}

// Encode returns the operation as it stands in the log.
func (op Op) Encode() ([]byte, error) {
	b := make([]byte, 1, 1+proto.Size(op.Msg))
	b[0] = byte(op.Kind)
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, op.Msg)
	if err != nil {
		return nil, fmt.Errorf("encode operation: %w", err)
	}
	return b, nil
}

// DecodeOp reads an operation back from the log.
func DecodeOp(b []byte) (Op, error) {
	if len(b) == 0 {
		return Op{}, apierror.New(apierror.Internal, "decode operation: no bytes")
	}
	m := Kind(b[0]).message()
	if m == nil {
		return Op{}, apierror.New(apierror.Internal, "decode operation: unknown kind %d", b[0])
	}
	if err := proto.Unmarshal(b[1:], m); err != nil {
		return Op{}, fmt.Errorf("decode operation: %w", err)
	}
	return Op{Kind(b[0]), m}, nil
}

func (k Kind) message() proto.Message {
	switch k {
	case KindUpsert:
		return new(pb.UpsertPoints)
	case KindDelete:
		return new(pb.DeletePoints)
	case KindUpdateVectors:
		return new(pb.UpdatePointVectors)
	case KindDeleteVectors:
		return new(pb.DeletePointVectors)
	case KindSetPayload, KindOverwritePayload:
		return new(pb.SetPayloadPoints)
	case KindDeletePayload:
		return new(pb.DeletePayloadPoints)
	case KindClearPayload:
		return new(pb.ClearPayloadPoints)
	case KindCreateIndex:
		return new(pb.CreateFieldIndexCollection)
	case KindDeleteIndex:
		return new(pb.DeleteFieldIndexCollection)
	case KindSetConfig:
		return new(pb.CollectionConfig)
	default:
		return nil
	}
}
