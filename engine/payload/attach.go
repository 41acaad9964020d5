package payload

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// attachField is the field number under which a message of the public API
// carries an Object inside the house. The public messages keep payload as a
// map, which loses the order of keys and integers above 2^63; inside the house
// the binary form travels instead, as an unknown field, so that it survives
// marshalling between peers and in the log. The gRPC door drops unknown fields
// of requests, so a client can't smuggle one in.
const attachField protowire.Number = 1000

// Attach makes m carry o instead of a payload map. An empty Object is attached
// too: it says "no payload" where a nil one says "look at the map".
func Attach(m proto.Message, o Object) {
	b := protowire.AppendTag(nil, attachField, protowire.BytesType)
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(b, o))
}

// Attached returns the Object that m carries, nil when there is none. The
// result shares m's memory.
func Attached(m proto.Message) Object {
	b := m.ProtoReflect().GetUnknown()
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		if num == attachField && typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return nil
			}
			return Object(slices.Clip(v))
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return nil
		}
		b = b[n:]
	}
	return nil
}
