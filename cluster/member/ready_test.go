package member_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/topology"
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
