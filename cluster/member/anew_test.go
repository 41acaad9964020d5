package member_test

import (
	"math/rand/v2"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/member"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/fsx"
)

// A cluster begins anew on one node, and the others join it with what they have.
func TestAClusterBeginsAnew(t *testing.T) {
	nodes := threeNodes(t)
	nodes[1].create("spread", 3, 1)
	nodes[1].create("copied", 1, 3)
	var ids []uint64
	for id := range uint64(20) {
		ids = append(ids, id+1)
		require.NoError(t, nodes[1].put(t.Context(), "spread", id+1))
		require.NoError(t, nodes[1].put(t.Context(), "copied", id+1))
	}
	nodes[1].await("all copies in sync", func(s *topology.State) bool {
		c, err := s.Collection("copied")
		return err == nil && len(c.Shards[0].InSync) == 3
	})
	old := nodes[0].member.Identity().Cluster
	var allocs []topology.Replica
	for _, c := range nodes[0].member.State().Collections() {
		for _, sh := range c.Shards {
			allocs = append(allocs, sh.Replicas...)
		}
	}
	for _, n := range nodes {
		n.stop()
	}

	nodes[0].reinit = true
	nodes[0].start()
	require.NotEqual(t, old, nodes[0].member.Identity().Cluster)
	status, err := nodes[0].member.Admin().Status(t.Context())
	require.NoError(t, err)
	require.Len(t, status.Peers, 1, "the others are left behind")
	nodes[0].await("what it has is served", func(s *topology.State) bool {
		c, err := s.Collection("copied")
		return err == nil && c.Shards[0].Leader == nodes[0].id
	})
	// One was cut off in the middle of leaving: what it has is no part in any consensus any more.
	require.NoError(t, nodes[2].disk.Rename("/data/consensus", "/data/consensus.left"))
	require.NoError(t, nodes[2].disk.SyncDir("/data"))
	_, err = member.New(t.Context(), member.Options{FS: nodes[2].disk, StoragePath: "/data", URI: nodes[2].uri, OpenShard: openShard})
	require.ErrorContains(t, err, "start it with --bootstrap")
	for _, n := range nodes[1:] {
		n.reinit, n.boot, n.addr = true, nodes[0].uri, "127.0.0.1:0"
		was := n.id
		n.start()
		require.Equal(t, was, n.id)
	}
	nodes[0].await("every shard is there again", func(s *topology.State) bool {
		for _, c := range s.Collections() {
			for _, sh := range c.Shards {
				if sh.Leader == 0 || len(sh.InSync) != len(sh.Replicas) {
					return false
				}
			}
		}
		return true
	})
	has(t, nodes, "spread", ids)
	has(t, nodes, "copied", ids)
	var now []topology.Replica
	for _, c := range nodes[0].member.State().Collections() {
		for _, sh := range c.Shards {
			now = append(now, sh.Replicas...)
		}
	}
	require.Equal(t, allocs, now, "all copies are those of before")

	// A node that is told so again, though it is a member, keeps its vote; and the first one doesn't leave
	// a cluster that works.
	voters := func() bool { return len(nodes[0].member.Status().Voters) == 3 }
	require.Eventually(t, voters, 20*time.Second, 10*time.Millisecond)
	nodes[1].stop()
	nodes[1].start()
	require.True(t, voters())
	nodes[0].stop()
	cluster := nodes[1].member.Identity().Cluster
	nodes[0].start()
	require.Equal(t, cluster, nodes[0].member.Identity().Cluster)
	nodes[0].await("every copy is there again", func(s *topology.State) bool { return !s.Peer(nodes[0].id).Fenced })
	has(t, nodes, "spread", ids)
}

// A new beginning that is cut off before any of its writes leaves the old one or the new one, and can be
// done again.
func TestANewBeginningMayBeCutOffAnywhere(t *testing.T) {
	first := newNode(t, "")
	second := newNode(t, first.uri)
	first.create("c", 2, 2)
	for id := range uint64(5) {
		require.NoError(t, first.put(t.Context(), "c", id+1))
	}
	first.await("both have all", inSync(2))
	second.stop()
	first.stop()
	options := func(fs fsx.FS, reinit bool) member.Options {
		return member.Options{FS: fs, StoragePath: "/data", URI: first.uri, Reinit: reinit, OpenShard: openShard}
	}
	for n := int64(1); ; n++ {
		rng := rand.New(rand.NewPCG(uint64(n), 1))
		disk := first.disk.CrashClone(rng)
		m, err := member.New(t.Context(), options(fsx.NewFault(disk, fsx.StopAt(n)), true))
		done := false
		if err == nil {
			done = m.Open(t.Context()) == nil
			_ = m.Close() // it may have no disk
		}
		again, err := member.New(t.Context(), options(disk.CrashClone(rng), !done))
		require.NoError(t, err, n)
		if !done {
			require.NoError(t, again.Open(t.Context()), n)
		}
		require.Equal(t, again.State().ClusterID(), again.Identity().Cluster)
		require.True(t, again.State().Peer(second.id).IsBehind())
		require.NoError(t, again.Close())
		if done {
			require.Greater(t, n, int64(10))
			return
		}
	}
}

// What has gone elsewhere behind the back of the node that begins anew isn't removed there.
func TestANewBeginningRemovesNothingThatItHasMissed(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 3, 1)
	for id := range uint64(9) {
		require.NoError(t, nodes[0].put(t.Context(), "c", id+1))
	}
	c, err := nodes[0].member.State().Collection("c")
	require.NoError(t, err)
	var name topology.ShardName
	for _, sh := range c.Shards {
		if _, ok := sh.Replica(nodes[1].id); ok {
			name = topology.ShardName{Collection: c.Incarnation, Shard: sh.ID}
		}
	}
	require.NotEmpty(t, name.Collection)
	nodes[0].stop()
	nodes[1].await("the node counts as gone", func(s *topology.State) bool { return s.Peer(nodes[0].id).Fenced })
	require.NoError(t, nodes[1].member.Admin().Update(t.Context(), &pb.UpdateCollectionClusterSetupRequest{
		CollectionName: "c", Operation: &pb.UpdateCollectionClusterSetupRequest_MoveShard{MoveShard: &pb.MoveShard{
			ShardId: name.Shard, FromPeerId: uint64(nodes[1].id), ToPeerId: uint64(nodes[2].id),
		}},
	}))
	nodes[2].await("the shard has moved", func(s *topology.State) bool {
		return len(s.Shard(name).Replicas) == 1 && s.Shard(name).IsInSync(nodes[2].id)
	})
	nodes[1].stop()
	nodes[2].stop()
	for _, n := range nodes {
		n.reinit = true
		if n != nodes[0] {
			n.boot = nodes[0].uri
		}
		n.start()
	}
	nodes[0].create("after", 1, 3)
	nodes[0].await("all nodes have looked at what they have", func(s *topology.State) bool {
		c, err := s.Collection("after")
		return err == nil && len(c.Shards[0].InSync) == 3
	})
	require.True(t, nodes[2].member.OnDisk(name))
	for range 2 {
		nodes[2].stop()
		nodes[2].start()
	}
	require.True(t, nodes[2].member.OnDisk(name))
}
