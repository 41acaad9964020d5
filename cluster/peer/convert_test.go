package peer

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/peer/peerpb"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// fill draws every field of a value, so that a field that is added and forgotten in the
// conversion fails the test.
func fill(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range v.Fields() {
			fill(t, f)
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 4).Draw(t, "len")
		if n == 0 {
			return // the wire doesn't tell empty from nil
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(t, v.Index(i))
		}
	case reflect.Uint8:
		v.SetUint(uint64(rapid.Uint8().Draw(t, "byte")))
	case reflect.Uint32:
		v.SetUint(uint64(rapid.Uint32().Draw(t, "number")))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "number"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "flag"))
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "text"))
	default:
		t.Fatalf("a field of kind %v: teach fill about it", v.Kind())
	}
}

func filled[M replication.Message](t *rapid.T) replication.Message {
	var m M
	fill(t, reflect.ValueOf(&m).Elem())
	return m
}

// messages draw one message of each kind.
var messages = []func(*rapid.T) replication.Message{
	filled[replication.Hello], filled[replication.Welcome], filled[replication.TakeFiles],
	filled[replication.Refused], filled[replication.Append], filled[replication.Appended],
	filled[replication.Confirm], filled[replication.Confirmed],
}

func drawEnvelope(t *rapid.T) replication.Envelope {
	e := replication.Envelope{
		From: topology.PeerID(rapid.Uint64().Draw(t, "from")), To: topology.PeerID(rapid.Uint64().Draw(t, "to")),
		FromIncarnation: rapid.Uint64().Draw(t, "fi"), ToIncarnation: rapid.Uint64().Draw(t, "ti"),
		FromAlloc: topology.AllocID(rapid.Uint64().Draw(t, "alloc")), Epoch: rapid.Uint64().Draw(t, "epoch"),
		Shard: topology.ShardName{Collection: rapid.String().Draw(t, "collection"), Shard: rapid.Uint32().Draw(t, "shard")},
	}
	e.Message = rapid.SampledFrom(messages).Draw(t, "kind")(t)
	return e
}

func TestEveryMessageHasAConversion(t *testing.T) {
	fields := (&peerpb.Envelope{}).ProtoReflect().Descriptor().Oneofs().ByName("message").Fields()
	require.Len(t, messages, fields.Len())
}

func TestEnvelopeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEnvelope(t)
		m, err := envelopeToPB(&want)
		require.NoError(t, err)
		raw, err := proto.Marshal(m)
		require.NoError(t, err)
		var back peerpb.Envelope
		require.NoError(t, proto.Unmarshal(raw, &back))
		got, err := envelopeFromPB(&back)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestEnvelopeSizeIsNotTooSmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEnvelope(t)
		m, err := envelopeToPB(&e)
		require.NoError(t, err)
		require.LessOrEqual(t, proto.Size(m), envelopeSize(&e)+2*overhead)
	})
}

func TestEnvelopeWithoutMessageIsRefused(t *testing.T) {
	_, err := envelopeToPB(&replication.Envelope{})
	require.ErrorContains(t, err, "unknown message")
	_, err = envelopeFromPB(&peerpb.Envelope{Collection: "c", Shard: 3})
	require.ErrorContains(t, err, `shard 3 of "c"`)
	_, err = envelopeFromPB(&peerpb.Envelope{Message: &peerpb.Envelope_Append{
		Append: &peerpb.Append{Entries: []*peerpb.Entry{{Seq: 7, Kind: 256}}},
	}})
	require.ErrorContains(t, err, "unknown kind 256")
}

// What has numbers of its own on the wire has the same ones here.
func TestNumbersOnTheWire(t *testing.T) {
	for here, wire := range map[RefusedReason]peerpb.Refusal_Reason{
		RefusedOther: peerpb.Refusal_REASON_UNSPECIFIED, RefusedKey: peerpb.Refusal_REASON_KEY,
		RefusedProtocol: peerpb.Refusal_REASON_PROTOCOL, RefusedCluster: peerpb.Refusal_REASON_CLUSTER,
		RefusedPeer: peerpb.Refusal_REASON_PEER, RefusedIncarnation: peerpb.Refusal_REASON_INCARNATION,
		RefusedMalformed: peerpb.Refusal_REASON_MALFORMED,
	} {
		require.EqualValues(t, wire, here)
	}
	require.Len(t, kinds, len(peerpb.Error_Kind_name)-1, "every kind but the unspecified one")
}

func TestHandshakeOfAnOldOrGarbledProtocol(t *testing.T) {
	g := newGatekeeper(Identity{Cluster: "c", Peer: 2}, nil, nil)
	raw, err := proto.Marshal(&peerpb.Handshake{Cluster: "c", From: 1, To: 2})
	require.NoError(t, err)
	for text, md := range map[string]metadata.MD{
		"speaks version 0":      metadata.Pairs(handshakeKey, string(raw)),
		"can't be read":         metadata.Pairs(handshakeKey, "\xff"),
		"there is no handshake": {},
	} {
		_, err := g.admit(md, false)
		require.ErrorContains(t, err, text)
		require.NotNil(t, refusedOf(err))
	}
}
