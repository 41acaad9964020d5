package member_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// settled returns what a node tells of the collection c when it is as it should be.
func (n *node) settled(what string, ok func(*admin.Collection) bool) *admin.Collection {
	n.t.Helper()
	var last *admin.Collection
	require.Eventually(n.t, func() bool {
		c, err := n.front.Admin().Collection(n.t.Context(), "c")
		last = c
		return err == nil && ok(c)
	}, 15*time.Second, 10*time.Millisecond, "%s: %+v", what, last)
	return last
}

func allActive(c *admin.Collection) bool {
	for _, r := range slices.Concat(c.Local, c.Remote) {
		if r.State != pb.ReplicaState_Active {
			return false
		}
	}
	return len(c.Transfers) == 0
}

func TestOperatorsSeeTheCluster(t *testing.T) {
	nodes := threeNodes(t)
	leaders := 0
	require.Eventually(t, func() bool { return nodes[2].member.State().ClusterID() != "" }, 10*time.Second, 10*time.Millisecond)
	for _, n := range nodes {
		s, err := n.front.Admin().Status(t.Context())
		require.NoError(t, err)
		require.True(t, s.Enabled)
		require.Equal(t, nodes[0].member.Identity().Cluster, s.ID)
		require.EqualValues(t, n.id, s.Peer)
		for _, other := range nodes {
			require.Equal(t, admin.Peer{URI: other.uri + "/"}, s.Peers[uint64(other.id)])
		}
		require.Len(t, s.Peers, 3)
		require.True(t, s.Raft.Voter)
		require.NotZero(t, s.Raft.Leader)
		require.False(t, s.Consensus.Stopped)
		require.False(t, s.Consensus.Updated.IsZero())
		if s.Raft.Role == "Leader" {
			leaders++
			require.EqualValues(t, n.id, s.Raft.Leader)
		}
		info, err := n.front.Admin().Telemetry(t.Context())
		require.NoError(t, err)
		require.Len(t, info.Peers, 3)
		for _, p := range info.Peers {
			require.NotNil(t, p.Answer)
		}
	}
	require.Equal(t, 1, leaders)
}

func TestOperatorsSeeShards(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 3, 2)
	for id := range uint64(20) {
		require.NoError(t, nodes[0].put(t.Context(), "c", id+1))
	}
	copies, points, vectors, applied := 0, uint64(0), uint64(0), uint64(0)
	for _, n := range nodes {
		vectors += n.front.Collections().Vectors("c")[""]
		for _, seq := range n.front.Collections().Applied("c") {
			applied += seq
		}
		c := n.settled("all copies are there", allActive)
		require.EqualValues(t, n.id, c.Peer)
		require.EqualValues(t, 3, c.Shards)
		require.Len(t, slices.Concat(c.Local, c.Remote), 6)
		copies += len(c.Local)
		for _, r := range c.Local {
			points += r.Points
		}
		for _, r := range slices.Concat(c.Local, c.Remote) {
			require.NotZero(t, r.Replication.Leader)
			require.NotZero(t, r.Replication.Epoch)
			require.Len(t, r.Replication.InSync, 2)
			require.NotNil(t, r.Replication.Lag, "leaders were asked")
			require.Zero(t, *r.Replication.Lag)
		}
	}
	require.Equal(t, 6, copies)
	require.EqualValues(t, 40, points)
	require.EqualValues(t, 40, vectors, "each node tells of its own copies")
	require.GreaterOrEqual(t, applied, uint64(40))
}

// setup asks a node for an operation on shards.
func (n *node) setup(req *pb.UpdateCollectionClusterSetupRequest) error {
	_, err := n.front.Collections().UpdateCollectionClusterSetup(n.t.Context(), req)
	return err
}

func TestAUserMovesAShard(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 1, 1)
	w := nodes[0].write("c")
	c := nodes[0].settled("there", allActive)
	from := slices.Concat(c.Local, c.Remote)[0].Peer
	var to uint64
	for _, n := range nodes {
		if uint64(n.id) != from {
			to = uint64(n.id)
		}
	}
	move := func(from, to uint64) error {
		return nodes[1].setup(&pb.UpdateCollectionClusterSetupRequest{
			CollectionName: "c", Operation: &pb.UpdateCollectionClusterSetupRequest_MoveShard{
				MoveShard: &pb.MoveShard{FromPeerId: from, ToPeerId: to, Method: pb.ShardTransferMethod_Snapshot.Enum()},
			},
		})
	}
	err := move(from, from)
	require.Equal(t, apierror.Validation, apierror.KindOf(err))
	require.Contains(t, err.Error(), "cannot transfer shard to itself")
	require.NoError(t, move(from, to))
	for _, n := range nodes {
		c := n.settled("moved", func(c *admin.Collection) bool {
			all := slices.Concat(c.Local, c.Remote)
			return len(all) == 1 && all[0].Peer == to && allActive(c)
		})
		require.Equal(t, uint64(n.id) == to, len(c.Local) == 1)
	}
	sh, err := nodes[0].member.State().Collection("c")
	require.NoError(t, err)
	require.True(t, sh.Shards[0].Pin.Held(time.Now().Add(29*time.Minute).UnixMilli()))
	require.EqualValues(t, from, sh.Shards[0].Pin.Avoid)
	has(t, nodes, "c", w.end(t))
}

func TestAUserReplicatesAndDropsACopy(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 1, 1)
	require.NoError(t, nodes[0].put(t.Context(), "c", 1))
	c := nodes[0].settled("there", allActive)
	from := slices.Concat(c.Local, c.Remote)[0].Peer
	drop := func(peer uint64) error {
		return nodes[2].setup(&pb.UpdateCollectionClusterSetupRequest{
			CollectionName: "c", Operation: &pb.UpdateCollectionClusterSetupRequest_DropReplica{DropReplica: &pb.Replica{PeerId: peer}},
		})
	}
	require.ErrorContains(t, drop(from), "Cannot drop last active replica")
	for _, n := range nodes {
		if uint64(n.id) == from {
			continue
		}
		require.NoError(t, n.setup(&pb.UpdateCollectionClusterSetupRequest{
			CollectionName: "c", Operation: &pb.UpdateCollectionClusterSetupRequest_ReplicateShard{
				ReplicateShard: &pb.ReplicateShard{FromPeerId: from, ToPeerId: uint64(n.id)},
			},
		}))
		break
	}
	nodes[0].settled("two copies", func(c *admin.Collection) bool { return len(slices.Concat(c.Local, c.Remote)) == 2 && allActive(c) })
	require.NoError(t, drop(from))
	has(t, nodes, "c", []uint64{1})
	require.Equal(t, apierror.BadRequest, apierror.KindOf(nodes[0].setup(&pb.UpdateCollectionClusterSetupRequest{
		CollectionName: "c", Operation: &pb.UpdateCollectionClusterSetupRequest_AbortTransfer{
			AbortTransfer: &pb.AbortShardTransfer{FromPeerId: from, ToPeerId: uint64(nodes[0].id)},
		},
	})))
}

func TestANodeThatWasStartedJustNowGetsACopy(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 1, 1)
	c := nodes[0].settled("there", allActive)
	from := slices.Concat(c.Local, c.Remote)[0].Peer
	i := slices.IndexFunc(nodes, func(n *node) bool { return uint64(n.id) != from })
	to, other := nodes[i], nodes[(i+1)%3]
	to.crash()
	other.await("the node counts as gone", func(s *topology.State) bool { return s.Peer(to.id).Fenced })
	asked := make(chan error, 1)
	replicate := &pb.UpdateCollectionClusterSetupRequest{
		CollectionName: "c", Operation: &pb.UpdateCollectionClusterSetupRequest_ReplicateShard{
			ReplicateShard: &pb.ReplicateShard{FromPeerId: from, ToPeerId: uint64(to.id)},
		},
	}
	go func() { asked <- other.setup(replicate) }()
	to.start()
	require.NoError(t, <-asked)
	other.settled("two copies", func(c *admin.Collection) bool { return len(slices.Concat(c.Local, c.Remote)) == 2 && allActive(c) })
}

// TestACollectionIsMadeRightAfterTheStart is about a node that clients find before it is registered.
func TestACollectionIsMadeRightAfterTheStart(t *testing.T) {
	for range 5 {
		n := &node{t: t, disk: fsx.NewMem(), addr: "127.0.0.1:0", hasty: true}
		n.start()
		n.create("c", 1, 1)
		require.NoError(t, n.put(t.Context(), "c", 1))
		n.stop()
	}
}

func TestACollectionIsMadeRightAfterANodeDied(t *testing.T) {
	nodes := threeNodes(t)
	nodes[2].crash()
	nodes[0].create("c", 3, 1) // nobody has noticed: one of the shards is there
	nodes[2].start()
	nodes[0].settled("all there", allActive)
	for id := range uint64(12) {
		require.NoError(t, nodes[1].put(t.Context(), "c", id+1))
	}
}

func TestARemovedNodeNoticesAndRefuses(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 3, 1)
	out := nodes[2]
	err := nodes[0].front.Admin().RemovePeer(t.Context(), uint64(out.id), false, 0)
	require.EqualError(t, err, fmt.Sprintf("Bad request: Cannot remove peer %d as there are shards on it", out.id))
	require.NoError(t, nodes[0].front.Admin().RemovePeer(t.Context(), uint64(out.id), true, 0))
	require.NoError(t, nodes[0].front.Admin().RemovePeer(t.Context(), uint64(out.id), true, 0), "once more is no error")
	for _, n := range nodes[:2] {
		n.await("two nodes", func(s *topology.State) bool { return len(s.Peers()) == 2 })
	}
	require.Eventually(t, func() bool {
		s, err := out.front.Admin().Status(t.Context())
		return err == nil && s.Consensus.Stopped && s.Consensus.Err == ""
	}, 10*time.Second, 10*time.Millisecond)
	require.False(t, out.member.Ready())
	require.ErrorContains(t, out.put(t.Context(), "c", 1), "removed from the cluster")
	_, err = out.count(t.Context(), "c")
	require.ErrorContains(t, err, "removed from the cluster")
}

// TestANodeRemovedWhileItWasAwayNotices: nobody sends anything to a node that is no member, so it asks.
func TestANodeRemovedWhileItWasAwayNotices(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 3, 2)
	out := nodes[2]
	out.stop()
	require.NoError(t, nodes[0].front.Admin().RemovePeer(t.Context(), uint64(out.id), true, 0))
	out.hasty = true
	out.start()
	require.Eventually(t, func() bool {
		_, err := out.count(t.Context(), "c")
		return err != nil && strings.Contains(err.Error(), "removed from the cluster")
	}, 10*time.Second, 10*time.Millisecond)
	require.False(t, out.member.Ready())
}

func TestMetadataIsSeenEverywhere(t *testing.T) {
	nodes := threeNodes(t)
	require.NoError(t, nodes[0].front.Admin().SetMetadata(t.Context(), "k", []byte(`{"a":1}`), true))
	got, err := nodes[0].front.Admin().Metadata(t.Context(), "k")
	require.NoError(t, err)
	require.JSONEq(t, `{"a":1}`, string(got))
	nodes[2].await("the key", func(s *topology.State) bool { return len(s.MetadataKeys()) == 1 })
	require.NoError(t, nodes[2].front.Admin().SetMetadata(t.Context(), "k", nil, true))
	keys, err := nodes[2].front.Admin().MetadataKeys(t.Context())
	require.NoError(t, err)
	require.Empty(t, keys)
}

func TestEachNodeGetsSomeShards(t *testing.T) {
	nodes := threeNodes(t)
	_, err := nodes[0].front.Collections().Create(t.Context(), &pb.CreateCollection{
		CollectionName: "c", ReplicationFactor: new(uint32(5)), Timeout: new(uint64(20)),
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 2, Distance: pb.Distance_Dot}),
	})
	require.NoError(t, err, "more copies than nodes are asked for")
	c := nodes[1].settled("as many copies as there are nodes", func(c *admin.Collection) bool {
		return len(c.Local) == 3 && len(c.Remote) == 6 && allActive(c)
	})
	require.EqualValues(t, 3, c.Shards)
}

func TestShardKeysInACluster(t *testing.T) {
	nodes := threeNodes(t)
	_, err := nodes[0].front.Collections().Create(t.Context(), &pb.CreateCollection{
		CollectionName: "c", ShardingMethod: pb.ShardingMethod_Custom.Enum(), ReplicationFactor: new(uint32(2)), ShardNumber: new(uint32(2)),
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 2, Distance: pb.Distance_Dot}),
	})
	require.NoError(t, err)
	for _, key := range []*pb.CreateShardKey{
		{ShardKey: pb.NewShardKey("x")},
		{ShardKey: pb.NewShardKeyNum(7), ShardsNumber: new(uint32(1)), ReplicationFactor: new(uint32(1)), Placement: []uint64{uint64(nodes[2].id)}},
	} {
		_, err = nodes[0].front.Collections().CreateShardKey(t.Context(), &pb.CreateShardKeyRequest{CollectionName: "c", Request: key})
		require.NoError(t, err)
	}
	_, err = nodes[0].front.Collections().CreateShardKey(t.Context(), &pb.CreateShardKeyRequest{
		CollectionName: "c", Request: &pb.CreateShardKey{ShardKey: pb.NewShardKey("x")},
	})
	require.ErrorContains(t, err, "Shard key x already exists")
	for i, key := range []*pb.ShardKey{pb.NewShardKey("x"), pb.NewShardKeyNum(7)} {
		_, err = nodes[0].front.Points().Upsert(t.Context(), &pb.UpsertPoints{
			CollectionName: "c", Wait: new(true), ShardKeySelector: &pb.ShardKeySelector{ShardKeys: []*pb.ShardKey{key}},
			Points: []*pb.PointStruct{{Id: pb.NewIDNum(1), Vectors: pb.NewVectors(float32(i), 1)}},
		})
		require.NoError(t, err)
	}
	for _, n := range nodes {
		c := n.settled("the shards of both keys", func(c *admin.Collection) bool {
			return len(c.Local)+len(c.Remote) == 5 && allActive(c)
		})
		for _, r := range append(slices.Clone(c.Local), c.Remote...) {
			require.Equal(t, r.Shard == 3, r.Key.GetNumber() == 7)
			require.True(t, r.Shard != 3 || r.Peer == uint64(nodes[2].id))
		}
		got, err := n.count(t.Context(), "c")
		require.NoError(t, err)
		require.EqualValues(t, 2, got)
		keys, err := n.front.Collections().ListShardKeys(t.Context(), &pb.ListShardKeysRequest{CollectionName: "c"})
		require.NoError(t, err)
		require.Len(t, keys.GetShardKeys(), 2)
	}
	_, err = nodes[1].front.Collections().DeleteShardKey(t.Context(), &pb.DeleteShardKeyRequest{
		CollectionName: "c", Request: &pb.DeleteShardKey{ShardKey: pb.NewShardKey("x")},
	})
	require.NoError(t, err)
	got, err := nodes[1].count(t.Context(), "c")
	require.NoError(t, err)
	require.EqualValues(t, 1, got)
}

func TestChangesOfOneCollectionAtOnce(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 3, 2)
	var all errgroup.Group
	for i, n := range nodes {
		n.settled("open everywhere", allActive)
		all.Go(func() error {
			for k := range 5 {
				_, err := n.front.Collections().Update(t.Context(), &pb.UpdateCollection{
					CollectionName: "c", Metadata: pb.NewValueMap(map[string]any{fmt.Sprint(i, k): true}),
				})
				if err != nil {
					return err
				}
				// All change the same field: who comes last in the topology, has it everywhere.
				kind := []pb.FieldType{pb.FieldType_FieldTypeInteger, pb.FieldType_FieldTypeKeyword, pb.FieldType_FieldTypeFloat}[i]
				_, err = n.front.Points().CreateFieldIndex(t.Context(), &pb.CreateFieldIndexCollection{
					CollectionName: "c", FieldName: "n", FieldType: &kind, Wait: new(true),
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, all.Wait())
	c, err := nodes[0].member.State().Collection("c")
	require.NoError(t, err)
	require.Len(t, c.Config.GetMetadata(), 15, "no change is lost")
	for _, n := range nodes {
		n.await("the same topology", func(s *topology.State) bool {
			own, err := s.Collection("c")
			return err == nil && own.SchemaVersion == c.SchemaVersion
		})
		for _, sh := range c.Shards {
			require.NoError(t, n.member.Follows(t.Context(), topology.ShardName{Collection: c.Incarnation, Shard: sh.ID}, c))
		}
	}
}

func TestANodeThatWasDownGetsChanges(t *testing.T) {
	nodes := threeNodes(t)
	nodes[1].create("c", 3, 3)
	nodes[2].crash()
	nodes[1].await("two copies each", inSync(2))
	_, err := nodes[1].front.Points().CreateFieldIndex(t.Context(), &pb.CreateFieldIndexCollection{
		CollectionName: "c", FieldName: "n", FieldType: pb.FieldType_FieldTypeInteger.Enum(), Wait: new(true),
	})
	require.NoError(t, err)
	nodes[2].start()
	nodes[1].await("three copies each", inSync(3))
	c, err := nodes[1].member.State().Collection("c")
	require.NoError(t, err)
	for _, n := range nodes {
		for _, sh := range c.Shards {
			require.NoError(t, n.member.Follows(t.Context(), topology.ShardName{Collection: c.Incarnation, Shard: sh.ID}, c))
		}
	}
}
