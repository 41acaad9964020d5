package member_test

import (
	"runtime"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// becomesReady returns as soon as the node is ready.
func (n *node) becomesReady() {
	n.t.Helper()
	for end := time.Now().Add(time.Minute); !n.member.Ready(); {
		require.True(n.t, time.Now().Before(end), "not ready in time")
		runtime.Gosched()
	}
}

func TestAReturnedNodeIsReadyWhenItsCopiesHaveCaughtUp(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 4, 3)
	back := nodes[2]
	back.stop()
	for i := range uint64(40) {
		require.NoError(t, nodes[0].put(t.Context(), "c", i+1))
	}
	back.start()
	back.becomesReady()
	for _, sh := range back.member.State().Collections()[0].Shards {
		require.True(t, sh.IsInSync(back.id), "ready before it has caught up")
	}
}

// A node that joins is registered by the others before it has heard of anything.
func TestANodeThatJoinsKnowsWhatThereIsWhenItIsReady(t *testing.T) {
	first := newNode(t, "")
	first.create("c", 1, 1)
	for range 5 {
		n := &node{t: t, disk: fsx.NewMem(), boot: first.uri, addr: "127.0.0.1:0", hasty: true}
		n.start()
		t.Cleanup(n.stop)
		for !n.member.Ready() {
			_, err := n.front.Collections().Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: "c"})
			require.NotEqual(t, apierror.NotFound, apierror.KindOf(err), "it isn't known whether it is there")
			runtime.Gosched()
		}
		_, err := n.member.State().Collection("c")
		require.NoError(t, err)
	}
}

func TestANodeIsReadyWhereNobodyLeads(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 1, 2)
	nodes[0].await("all copies", inSync(2))
	var holders []*node
	for _, n := range nodes {
		if _, ok := nodes[0].shard0().Replica(n.id); ok {
			holders = append(holders, n)
		}
	}
	// The second has the last copy in sync, and doesn't come back: the first has nobody to catch up with.
	back, last := holders[0], holders[1]
	back.stop()
	last.await("the first counts as gone", func(*topology.State) bool { return !last.shard0().IsInSync(back.id) })
	last.stop()
	back.start()
	back.becomesReady()
	require.False(t, back.shard0().IsInSync(back.id))
	require.Zero(t, back.shard0().Leader)
}
