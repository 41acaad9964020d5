package member_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// A node whose disk is full hands over what it leads, leaves the sets of shards that are written, goes on
// reading and voting, and is back in all sets when there is room again.
func TestAFullDiskIsMadeDoWithout(t *testing.T) {
	nodes := threeNodes(t)
	nodes[1].create("c", 4, 2)
	w := nodes[1].write("c")
	full := nodes[0]
	full.space.SetRoom(0)
	nodes[1].await("the full node leads nothing and is in no set", func(s *topology.State) bool {
		for _, c := range s.Collections() {
			for _, sh := range c.Shards {
				if sh.Leader == 0 || sh.IsInSync(full.id) {
					return false
				}
			}
		}
		return true
	})
	_, err := full.count(t.Context(), "c")
	require.NoError(t, err)
	require.NoError(t, full.put(t.Context(), "c", 1_000_000), "it passes writes on")
	select {
	case <-full.member.Failed():
		t.Fatal("the consensus has ended")
	default:
	}
	nodes[1].await("the full node lives", func(s *topology.State) bool { return !s.Peer(full.id).Fenced })
	full.space.SetRoom(plenty)
	nodes[1].await("all copies in sync again", inSync(2))
	has(t, nodes, "c", append(w.end(t), 1_000_000))
}

// When every disk is full writes are refused with a reason that says so, reads go on, and so do writes when
// there is room again.
func TestFullDisksRefuseWrites(t *testing.T) {
	nodes := threeNodes(t)
	nodes[1].create("c", 4, 2)
	require.NoError(t, nodes[1].put(t.Context(), "c", 1))
	for _, n := range nodes {
		n.space.SetRoom(0)
	}
	require.Eventually(t, func() bool {
		ctx, cancel := shortly(t)
		defer cancel()
		return apierror.KindOf(nodes[0].put(ctx, "c", 2)) == apierror.StorageFull
	}, waiting, polling)
	got, err := nodes[0].count(t.Context(), "c")
	require.NoError(t, err)
	require.NotZero(t, got)
	for _, n := range nodes {
		n.space.SetRoom(plenty)
	}
	for i := range uint64(20) {
		require.Eventually(t, func() bool { return nodes[i%3].put(t.Context(), "c", 10+i) == nil }, waiting, polling)
	}
	for _, n := range nodes {
		n.await("all copies in sync", inSync(2))
	}
}

const (
	waiting = time.Minute
	polling = 10 * time.Millisecond
)

// shortly bounds a request that may have to wait for what can't be.
func shortly(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), time.Second)
}

// A node whose disk stalls can't hand anything over, since the consensus waits for the disk as well: others take over
// while the stall lasts, and don't wait for what it had in sync.
func TestAStalledDiskIsMadeDoWithout(t *testing.T) {
	nodes := threeNodes(t)
	nodes[1].create("c", 4, 2)
	w := nodes[1].write("c")
	stalled, over := nodes[2], make(chan struct{})
	stalled.fs.SetInject(func(op fsx.Op) error {
		if op.Kind == fsx.OpSync {
			<-over
		}
		return nil
	})
	nodes[1].await("the node leads nothing and is in no set", func(s *topology.State) bool {
		for _, c := range s.Collections() {
			for _, sh := range c.Shards {
				if sh.Leader == 0 || sh.IsInSync(stalled.id) {
					return false
				}
			}
		}
		return true
	})
	require.False(t, nodes[1].member.State().Peer(stalled.id).Fenced, "it lives")
	close(over)
	nodes[1].await("all copies in sync again", inSync(2))
	has(t, nodes, "c", w.end(t))
}
