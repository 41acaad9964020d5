package member_test

import (
	"bytes"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/member"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/fsx"
)

// loseBatch overwrites a batch with records in the middle of the newest log file of a directory.
func loseBatch(t *testing.T, disk *fsx.Mem, dir string) {
	t.Helper()
	entries, err := disk.ReadDir(dir)
	require.NoError(t, err)
	name := ""
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".log") {
			name = path.Join(dir, e.Name())
		}
	}
	content, err := fsx.ReadFile(disk, name)
	require.NoError(t, err)
	const magic = "SXBT\x01" // of a batch with records
	at := len(content) / 2
	at += bytes.Index(content[at:], []byte(magic))
	end := at + 1 + bytes.Index(content[at+1:], []byte("SXBT"))
	require.Greater(t, end, at)
	f, err := disk.OpenWrite(name)
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, end-at), int64(at))
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

// A log that has lost a part costs the copies that may have had something there, not the node.
func TestALostPartOfTheLogIsALostCopy(t *testing.T) {
	nodes := threeNodes(t)
	nodes[1].create("c", 4, 2)
	nodes[1].create("idle", 2, 3)
	require.NoError(t, nodes[1].put(t.Context(), "idle", 1))
	var ids []uint64
	for id := range uint64(40) {
		ids = append(ids, id+1)
		require.NoError(t, nodes[1].put(t.Context(), "c", id+1))
	}
	allocs := func() (out []topology.AllocID) {
		for _, c := range nodes[1].member.State().Collections() {
			for _, sh := range c.Shards {
				if r, ok := sh.Replica(nodes[0].id); ok {
					out = append(out, r.Alloc)
				}
			}
		}
		return out
	}
	before := allocs()
	for range 2 {
		nodes[0].crash()
		nodes[1].await("the node counts as gone", func(s *topology.State) bool { return s.Peer(nodes[0].id).Fenced })
		loseBatch(t, nodes[0].disk, "/data/oplog")
		nodes[0].start()
		nodes[1].await("all copies in sync again", func(s *topology.State) bool {
			for _, c := range s.Collections() {
				for _, sh := range c.Shards {
					if sh.Leader == 0 || len(sh.InSync) != int(c.Config.GetParams().GetReplicationFactor()) {
						return false
					}
				}
			}
			return true
		})
		has(t, nodes, "c", ids)
		has(t, nodes, "idle", []uint64{1})
	}
	require.NotEqual(t, before, allocs(), "what may have lost something was made anew")
	require.Eventually(t, func() bool {
		for _, c := range nodes[0].member.State().Collections() {
			for _, sh := range c.Shards {
				_, here := sh.Replica(nodes[0].id)
				if !here && nodes[0].member.OnDisk(topology.ShardName{Collection: c.Incarnation, Shard: sh.ID}) {
					return false
				}
			}
		}
		return true
	}, 20*time.Second, 10*time.Millisecond, "what was made elsewhere is gone here")
}

// The only copy of a shard stays as it is, answers nothing, and nobody makes an empty one of it.
func TestTheOnlyCopyWithALostPartStays(t *testing.T) {
	n := newNode(t, "")
	n.create("c", 1, 1)
	for id := range uint64(20) {
		require.NoError(t, n.put(t.Context(), "c", id+1))
	}
	n.crash()
	loseBatch(t, n.disk, "/data/oplog")
	n.start()
	before := n.member.State()
	n.create("other", 1, 1)
	require.NoError(t, n.put(t.Context(), "other", 1))
	got, err := n.count(t.Context(), "other")
	require.NoError(t, err)
	require.EqualValues(t, 1, got)
	c, err := n.member.State().Collection("c")
	require.NoError(t, err)
	old, err := before.Collection("c")
	require.NoError(t, err)
	require.Equal(t, old.Shards[0].Replicas, c.Shards[0].Replicas)
	require.True(t, n.member.OnDisk(topology.ShardName{Collection: c.Incarnation}))
	for _, sum := range n.member.Checksums(t.Context()) {
		require.NotEqual(t, c.Incarnation, sum.Shard.Collection, "it isn't open")
	}
}

func TestALostPartOfTheConsensusIsALostVote(t *testing.T) {
	n := newNode(t, "")
	for range 5 {
		n.create("c", 1, 1)
		require.NoError(t, n.drop(t.Context(), "c"))
	}
	n.crash()
	loseBatch(t, n.disk, "/data/consensus/log")
	_, err := member.New(t.Context(), member.Options{FS: n.disk, StoragePath: "/data", URI: n.uri, OpenShard: openShard})
	require.ErrorContains(t, err, "DELETE /cluster/peer/")
}
