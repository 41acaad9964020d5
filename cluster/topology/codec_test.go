package topology_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sextantdb/sextant/cluster/topology"
)

// examples are a state with a history, and its commands.
func examples(tb testing.TB) (*topology.State, []topology.Command) {
	tb.Helper()
	h := newHistory(tb)
	for i := range uint64(200) {
		h.step(i, rand.New(rand.NewPCG(1, i)))
	}
	return &h.s, h.chooser.used
}

// TestWhatANewerNodeWritesStopsThisOne: to leave a command out, or a part of one, would be
// another state than the others'.
func TestWhatANewerNodeWritesStopsThisOne(t *testing.T) {
	b, err := topology.EncodeCommand(topology.RegisterPeer{Peer: 1, URI: "x", Incarnation: 1, Held: []topology.HeldReplica{{Alloc: 1}}})
	require.NoError(t, err)
	s := &topology.State{}
	_, err = s.Apply(topology.RegisterPeer{Peer: 1, URI: "x", Incarnation: 1})
	require.NoError(t, err)
	state, err := s.Encode()
	require.NoError(t, err)
	news := protowire.AppendVarint(protowire.AppendTag(nil, 900, protowire.VarintType), 7)
	kind := protowire.AppendBytes(protowire.AppendTag(nil, 901, protowire.BytesType), nil)

	for name, bytes := range map[string][]byte{
		"another format":   {2},
		"no command":       {1},
		"a newer kind":     append([]byte{1}, kind...),
		"a newer field":    append(slices.Clip(b), news...),
		"a replica's kind": withKind(t, 200),
		"an alias action":  withAction(t, kind),
	} {
		_, err := topology.DecodeCommand(bytes)
		require.ErrorIs(t, err, topology.ErrUnknown, name)
	}
	_, err = topology.DecodeState(append(slices.Clip(state), news...))
	require.ErrorIs(t, err, topology.ErrUnknown)
	for _, bytes := range [][]byte{nil, {}, {1, 0xff}, b[:len(b)-1]} {
		_, err := topology.DecodeCommand(bytes)
		require.ErrorIs(t, err, topology.ErrMalformed, "%x", bytes)
	}
}

// withKind returns an AddReplica of some kind.
func withKind(t *testing.T, kind topology.ReplicaKind) []byte {
	t.Helper()
	b, err := topology.EncodeCommand(topology.AddReplica{Peer: 1, Kind: kind})
	require.NoError(t, err)
	return b
}

// withAction returns a ChangeAliases with an action of these bytes.
func withAction(t *testing.T, action []byte) []byte {
	t.Helper()
	a := &pb.AliasOperations{}
	a.ProtoReflect().SetUnknown(action)
	b, err := topology.EncodeCommand(topology.ChangeAliases{Actions: []*pb.AliasOperations{a}})
	require.NoError(t, err)
	return b
}

func TestTextThatIsNoTextIsNotEncoded(t *testing.T) {
	_, err := topology.EncodeCommand(topology.DeleteCollection{Name: "\xff"})
	require.Error(t, err)
}

// FuzzDecodeCommand: no bytes crash a node, and what is read can be written and applied.
func FuzzDecodeCommand(f *testing.F) {
	s, commands := examples(f)
	for _, c := range commands {
		b, err := topology.EncodeCommand(c)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := topology.DecodeCommand(b)
		if err != nil {
			return
		}
		again, err := topology.EncodeCommand(c)
		require.NoError(t, err)
		twice, err := topology.DecodeCommand(again)
		require.NoError(t, err)
		one, other := s.Clone(), s.Clone()
		changed, err := one.Apply(c)
		changedToo, errToo := other.Apply(twice)
		require.Equal(t, changed, changedToo)
		require.Equal(t, fmt.Sprint(err), fmt.Sprint(errToo))
		require.NoError(t, one.Check())
		require.Equal(t, hash(t, one), hash(t, other))
	})
}

// FuzzDecodeState: bytes are a state in order, or refused.
func FuzzDecodeState(f *testing.F) {
	s, _ := examples(f)
	b, err := s.Encode()
	require.NoError(f, err)
	f.Add(b)
	b, err = (&topology.State{}).Encode()
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := topology.DecodeState(b)
		if err != nil {
			return
		}
		require.NoError(t, s.Check())
		again, err := s.Encode()
		require.NoError(t, err)
		twice, err := topology.DecodeState(again)
		require.NoError(t, err)
		require.Equal(t, hash(t, s), hash(t, twice))
		_, err = s.Apply(topology.ElectLeaders{})
		require.NoError(t, err)
		require.NoError(t, s.Check())
	})
}

// many returns a state of 20 peers with so many collections of three shards with three
// copies each.
func many(tb testing.TB, collections int) *topology.State {
	tb.Helper()
	s := &topology.State{}
	for p := range topology.PeerID(20) {
		apply(tb, s, topology.RegisterPeer{Peer: p + 1, URI: fmt.Sprint("http://", p+1), Incarnation: 1})
	}
	for i := range collections {
		c := collection(tb, fmt.Sprint("c", i), fmt.Sprint("i", i))
		c.Shards = []*topology.Shard{{ID: 0}, {ID: 1}, {ID: 2}}
		var placement [][]topology.PeerID
		for sh := range 3 {
			at := topology.PeerID(i*3 + sh)
			placement = append(placement, []topology.PeerID{at%20 + 1, (at+1)%20 + 1, (at+2)%20 + 1})
		}
		apply(tb, s, topology.CreateCollection{Collection: c, Placement: placement})
	}
	return s
}

// BenchmarkApply is what one command costs in a large state, which readers keep.
func BenchmarkApply(b *testing.B) {
	for _, collections := range []int{800, 30_000} {
		s := many(b, collections)
		b.Run(fmt.Sprintf("prefer/%d", collections), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				next := s.Clone()
				name := topology.ShardName{Collection: fmt.Sprint("i", i%collections), Shard: 0}
				apply(b, next, topology.SetPreferred{Shard: name, Peer: next.Shard(name).Replicas[i/collections%3].Peer})
				s = next
			}
		})
		b.Run(fmt.Sprintf("fence/%d", collections), func(b *testing.B) {
			for b.Loop() {
				next := s.Clone()
				apply(b, next, topology.FencePeers{Sessions: []topology.Session{{Peer: 7, Incarnation: 1}}})
			}
		})
		b.Run(fmt.Sprintf("encode/%d", collections), func(b *testing.B) {
			for b.Loop() {
				state, err := s.Encode()
				require.NoError(b, err)
				b.SetBytes(int64(len(state)))
			}
		})
	}
}
