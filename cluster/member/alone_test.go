package member_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/cluster/member"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/fsx"
)

// openAlone opens a disk as a node without a cluster does.
func openAlone(ctx context.Context, fs fsx.FS) (*coordinator.Coordinator, error) {
	return coordinator.Open(ctx, coordinator.Options{FS: fs, StoragePath: "/data"})
}

// leaveAlone fills a disk as a node without a cluster would: two collections with ten points and one, an
// alias and a payload index. A node that is killed leaves them in the log.
func leaveAlone(t *testing.T, killed bool) *fsx.Mem {
	t.Helper()
	disk := fsx.NewMem()
	front, err := openAlone(t.Context(), disk)
	require.NoError(t, err)
	n := &node{t: t, front: front}
	n.create("c", 2, 1)
	for id := range uint64(10) {
		require.NoError(t, n.put(t.Context(), "c", id+1))
	}
	_, err = front.Points().CreateFieldIndex(t.Context(), &pb.CreateFieldIndexCollection{
		CollectionName: "c", FieldName: "n", FieldType: pb.FieldType_FieldTypeInteger.Enum(), Wait: new(true),
	})
	require.NoError(t, err)
	_, err = front.Collections().UpdateAliases(t.Context(), &pb.ChangeAliases{Actions: []*pb.AliasOperations{
		pb.NewAliasCreate("also", "c"),
	}})
	require.NoError(t, err)
	n.create("d", 1, 1)
	require.NoError(t, n.put(t.Context(), "d", 1))
	if killed {
		disk = disk.CrashClone(rand.New(rand.NewPCG(7, 7)))
	}
	require.NoError(t, front.Close())
	return disk
}

// requireLeft requires that a front desk has what leaveAlone has left.
func requireLeft(ctx context.Context, t *testing.T, front *coordinator.Coordinator, at string) {
	t.Helper()
	n := &node{t: t, front: front}
	for name, want := range map[string]uint64{"c": 10, "also": 10, "d": 1} {
		got, err := n.count(ctx, name)
		require.NoError(t, err, at)
		require.Equal(t, want, got, "%s: %s", at, name)
	}
	info, err := front.Collections().Get(ctx, &pb.GetCollectionInfoRequest{CollectionName: "c"})
	require.NoError(t, err, at)
	require.EqualValues(t, 10, info.GetResult().GetPayloadSchema()["n"].GetPoints(), at)
}

func TestAFounderTakesOverWhatItHadAlone(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprint("killed ", killed), func(t *testing.T) {
			first := &node{t: t, disk: leaveAlone(t, killed), addr: "127.0.0.1:0"}
			first.start()
			t.Cleanup(first.stop)
			requireLeft(t.Context(), t, first.front, "first start")
			require.NoError(t, first.put(t.Context(), "c", 11))
			first.stop()
			first.start()
			got, err := first.count(t.Context(), "c")
			require.NoError(t, err)
			require.EqualValues(t, 11, got)

			second := newNode(t, first.uri)
			_, err = first.front.Collections().Update(t.Context(), &pb.UpdateCollection{
				CollectionName: "c", Params: &pb.CollectionParamsDiff{ReplicationFactor: new(uint32(2))},
			})
			require.NoError(t, err)
			first.await("copies on both nodes", func(s *topology.State) bool {
				c, err := s.Collection("c")
				return err == nil && len(c.Shards[0].InSync) == 2 && len(c.Shards[1].InSync) == 2
			})
			var ids []uint64
			for id := range uint64(12) {
				ids = append(ids, id+1)
			}
			require.NoError(t, second.put(t.Context(), "c", 12))
			has(t, []*node{first, second}, "c", ids)
			first.stop()
			_, err = openAlone(t.Context(), first.disk)
			require.ErrorContains(t, err, "set cluster.enabled")
		})
	}
}

func TestDataOfANodeAloneIsNotTakenIntoACluster(t *testing.T) {
	first := newNode(t, "")
	disk := leaveAlone(t, false)
	_, err := member.New(t.Context(), member.Options{FS: disk, StoragePath: "/data", URI: "http://127.0.0.1:1", Bootstrap: first.uri})
	require.ErrorContains(t, err, "start without --bootstrap")
	alone, err := openAlone(t.Context(), disk)
	require.NoError(t, err)
	requireLeft(t.Context(), t, alone, "still alone")
	require.NoError(t, alone.Close())
}

// A shard that can't be read is not taken over: in a cluster it would be an empty one.
func TestDamagedDataOfANodeAloneIsNotTakenOver(t *testing.T) {
	disk := leaveAlone(t, true)
	loseBatch(t, disk, "/data/oplog")
	for range 2 {
		m, err := member.New(t.Context(), member.Options{FS: disk, StoragePath: "/data", URI: "http://127.0.0.1:1", OpenShard: openShard})
		require.NoError(t, err)
		require.ErrorContains(t, m.Open(t.Context()), "quarantine")
		require.NoError(t, m.Close())
	}
	front, err := openAlone(t.Context(), disk)
	require.NoError(t, err, "alone it opens, to be repaired")
	require.NoError(t, front.Close())
}

// A takeover that is cut off before any of its writes can be done again, and until the consensus begins
// the node can also go on alone.
func TestATakeoverMayBeCutOffAnywhere(t *testing.T) {
	left := leaveAlone(t, true)
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for n := int64(1); ; n += step {
		at := fmt.Sprint("before write ", n)
		rng := rand.New(rand.NewPCG(uint64(n), 1))
		disk := left.CrashClone(rng)
		done := takeOver(t, fsx.NewFault(disk, fsx.StopAt(n)))
		disk = disk.CrashClone(rng)
		if alone, err := openAlone(t.Context(), disk.CrashClone(rng)); err == nil {
			requireLeft(t.Context(), t, alone, at)
			require.NoError(t, alone.Close())
		} else {
			require.ErrorContains(t, err, "set cluster.enabled", at)
		}
		node := &node{t: t, disk: disk, addr: "127.0.0.1:0"}
		node.start()
		requireLeft(t.Context(), t, node.front, at)
		node.stop()
		if done {
			require.Greater(t, n, int64(20))
			return
		}
	}
}

// takeOver founds a cluster, and tells whether it got as far as that.
func takeOver(t *testing.T, fs fsx.FS) bool {
	t.Helper()
	m, err := member.New(t.Context(), member.Options{
		FS: fs, StoragePath: "/data", URI: "http://127.0.0.1:1", OpenShard: openShard,
	})
	if err != nil {
		require.ErrorIs(t, err, fsx.ErrStopped)
		return false
	}
	err = m.Open(t.Context())
	_ = m.Close() // it may have no disk
	return err == nil
}
