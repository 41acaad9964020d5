package consensus_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/sextantdb/sextant/cluster/consensus"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/fsx"
)

const plenty = 1 << 30

// fullDisk returns a group of one node whose disk can be filled.
func fullDisk(t *testing.T, reserve uint64, short func(bool)) (*consensus.Group, *list, *fsx.Quota) {
	t.Helper()
	q := fsx.NewQuota(plenty)
	l := &list{}
	g, err := consensus.Open(t.Context(), consensus.Options{
		ID: 1, FS: fsx.NewFault(fsx.NewMem(), q.Inject), Dir: "/consensus", Machine: l, Send: func(topology.PeerID, *raftpb.Message) {},
		Reserve: reserve, OnShort: short, SnapshotEntries: 20,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	require.NoError(t, g.Found(t.Context()))
	return g, l, q
}

// A group goes on when the disk is full, with what it has in reserve, and keeps a new reserve when
// there is room again.
func TestFullDiskTakesTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var short atomic.Bool
		g, l, q := fullDisk(t, 64<<10, short.Store)
		require.False(t, short.Load())
		q.SetRoom(0)
		for i := range 100 { // snapshots fall due as well
			_, _, err := g.Propose(t.Context(), fmt.Append(nil, i))
			require.NoError(t, err)
		}
		require.Len(t, l.all(), 100)
		require.True(t, short.Load(), "others are asked to leave the room alone")
		q.SetRoom(plenty)
		<-time.After(10 * time.Second)
		require.False(t, short.Load())
		require.NoError(t, g.Err())
	})
}

// Without any room a group waits. It doesn't end.
func TestFullDiskIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, l, q := fullDisk(t, 0, nil)
		q.SetRoom(0)
		done := make(chan error, 1)
		go func() {
			_, _, err := g.Propose(t.Context(), []byte("a"))
			done <- err
		}()
		<-time.After(time.Minute)
		select {
		case err := <-done:
			require.Fail(t, "it can't be done", "%v", err)
		case <-g.Done():
			require.Fail(t, "the group has ended", "%v", g.Err())
		default:
		}
		q.SetRoom(plenty)
		require.NoError(t, <-done)
		require.Equal(t, []string{"a"}, l.all())
	})
}
