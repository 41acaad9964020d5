package member

import (
	"context"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/topology"
)

// TestACallOfALeaderEndsWithItsEpoch: a leader that is cut off from the consensus never says that another
// one was elected. Whoever waits for it knows, and goes there.
func TestACallOfALeaderEndsWithItsEpoch(t *testing.T) {
	m := newMachine(nil)
	apply := func(index uint64, c topology.Command) {
		data, err := topology.EncodeCommand(c)
		require.NoError(t, err)
		out, ok := m.Apply(index, data).(outcome)
		require.True(t, ok)
		require.NoError(t, out.err)
	}
	apply(1, topology.RegisterPeer{Peer: 1, URI: "http://a", Incarnation: 1, Version: Version})
	apply(2, topology.RegisterPeer{Peer: 2, URI: "http://b", Incarnation: 1, Version: Version})
	apply(3, topology.CreateCollection{
		Collection: &topology.Collection{
			Name: "c", Incarnation: "c-1", Shards: []*topology.Shard{{}}, Config: &pb.CollectionConfig{Params: &pb.CollectionParams{}},
		},
		Placement: [][]topology.PeerID{{1, 2}},
	})
	name := topology.ShardName{Collection: "c-1"}
	rec := m.Now().Shard(name)
	require.NotZero(t, rec.Leader)

	ctx, stop := m.whileLeads(t.Context(), name, rec.Epoch)
	defer stop()
	apply(4, topology.SetMetadata{Key: "k", Value: []byte(`"v"`)})
	require.NoError(t, ctx.Err(), "other news don't end it")
	apply(5, topology.ElectLeader{Shard: name, Epoch: rec.Epoch, Preferred: 3 - rec.Leader})
	<-ctx.Done()
	require.ErrorIs(t, context.Cause(ctx), errSuperseded)
}
