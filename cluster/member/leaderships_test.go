package member_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// lead asks a node to have another leader.
func (n *node) lead(peer topology.PeerID, acceptDataLoss bool) error {
	return n.front.Admin().Lead(n.t.Context(), &admin.Lead{Collection: "c", Peer: uint64(peer), AcceptDataLoss: acceptDataLoss})
}

// shard0 is the record of the first shard of c.
func (n *node) shard0() *topology.Shard {
	n.t.Helper()
	c, err := n.member.State().Collection("c")
	require.NoError(n.t, err)
	return c.Shards[0]
}

func TestAUserChoosesALeader(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 1, 2)
	w := nodes[0].write("c")
	nodes[0].settled("two copies", allActive)
	sh := nodes[0].shard0()
	first, second := sh.Leader, sh.Replicas[0].Peer
	if second == first {
		second = sh.Replicas[1].Peer
	}
	for i, n := range nodes { // each of them is asked, wherever the leader is
		want := []topology.PeerID{second, first}[i%2]
		require.NoError(t, n.lead(want, i == 1), "that nothing is lost is no reason to refuse")
		require.Equal(t, want, n.shard0().Leader)
		require.Equal(t, want, n.shard0().Preferred)
		require.Len(t, n.shard0().InSync, 2)
	}
	for _, n := range nodes {
		if n.id != first && n.id != second {
			require.EqualError(t, nodes[0].lead(n.id, false), fmt.Sprintf("Bad request: Shard 0 has no replica on peer %d", n.id))
		}
	}
	err := nodes[0].front.Admin().Lead(t.Context(), &admin.Lead{Collection: "c", Shard: 7, Peer: uint64(first)})
	require.Equal(t, apierror.NotFound, apierror.KindOf(err))
	has(t, nodes, "c", w.end(t))
}

func TestAUserForcesALeaderWhereAllWasLost(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 1, 2)
	require.NoError(t, nodes[0].put(t.Context(), "c", 1))
	nodes[0].settled("two copies", allActive)
	sh := nodes[0].shard0()
	var stale, last, asked *node
	for _, n := range nodes {
		switch _, has := sh.Replica(n.id); {
		case !has:
			asked = n
		case stale == nil:
			stale = n
		default:
			last = n
		}
	}
	stale.crash()
	asked.await("one copy", inSync(1))
	require.NoError(t, asked.put(t.Context(), "c", 2))
	last.crash()
	stale.start()
	asked.await("no leader", func(*topology.State) bool { return asked.shard0().Leader == 0 })
	require.ErrorContains(t, asked.lead(stale.id, false), "isn't in sync")
	require.Zero(t, asked.shard0().Leader, "a copy that lacks something doesn't lead by itself")
	require.NoError(t, asked.lead(stale.id, true))
	require.Equal(t, stale.id, asked.shard0().Leader)
	has(t, []*node{asked, stale}, "c", []uint64{1})
	last.start()
	asked.await("filled again", inSync(2))
	has(t, nodes, "c", []uint64{1})
}

func TestANodeHandsOverAllThatItLeads(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("many", 6, 2)
	w := nodes[0].write("many")
	nodes[0].await("two copies", inSync(2))
	status, err := nodes[0].front.Admin().Status(t.Context())
	require.NoError(t, err)
	leader := topology.PeerID(status.Raft.Leader)
	for _, n := range nodes {
		if n.id == leader {
			continue
		}
		require.NoError(t, n.front.Admin().HandOver(t.Context(), uint64(leader), 0, 10*time.Second))
		n.await("nothing is led", func(s *topology.State) bool { return s.Led(leader) == 0 && inSync(2)(s) })
		require.Eventually(t, func() bool { l := n.member.Status().Leader; return l != 0 && l != leader }, 10*time.Second, 10*time.Millisecond)
		break
	}
	require.ErrorContains(t, nodes[0].front.Admin().HandOver(t.Context(), 12345, 0, 0), "does not exist")
	require.ErrorContains(t, nodes[0].front.Admin().HandOver(t.Context(), uint64(nodes[1].id), 12345, 0), "does not exist")
	one := uint64(nodes[1].id)
	require.ErrorContains(t, nodes[0].front.Admin().HandOver(t.Context(), one, one, 0), "to itself")
	// The consensus goes where it is wanted, whoever is asked.
	for _, to := range []*node{nodes[2], nodes[0], nodes[1]} {
		from := nodes[0].member.Status().Leader
		if from != to.id {
			require.NoError(t, nodes[0].front.Admin().HandOver(t.Context(), uint64(from), uint64(to.id), 10*time.Second))
		}
		require.Eventually(t, func() bool { return nodes[0].member.Status().Leader == to.id }, 10*time.Second, 10*time.Millisecond)
	}
	has(t, nodes, "many", w.end(t))
}

func TestADrainedNodeCanBeRemoved(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 3, 2)
	w := nodes[0].write("c")
	nodes[0].settled("two copies", allActive)
	out := nodes[2]
	desk := nodes[0].front.Admin()
	require.NoError(t, desk.Drain(t.Context(), uint64(out.id), true, 0))
	nodes[0].await("two copies each, none there", func(s *topology.State) bool {
		st, err := desk.Status(t.Context())
		own := st.Peers[uint64(out.id)]
		return err == nil && own.Draining && own.Replicas == 0 && own.Leads == 0 && inSync(2)(s)
	})
	require.NoError(t, desk.Drain(t.Context(), uint64(nodes[1].id), true, 0))
	require.NoError(t, desk.Drain(t.Context(), uint64(nodes[1].id), false, 0))
	require.ErrorContains(t, desk.Drain(t.Context(), 12345, true, 0), "does not exist")
	require.NoError(t, desk.RemovePeer(t.Context(), uint64(out.id), false, 0))
	has(t, nodes[:2], "c", w.end(t))
}
