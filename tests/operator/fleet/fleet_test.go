package fleet_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/client"
	"github.com/sextantdb/sextant/tests/operator/fleet"
)

// bed is a world that goes on, with processes c-0, c-1 and so on.
type bed struct {
	*fleet.World
	t         *testing.T
	processes map[int]*fleet.Process
}

func newBed(t *testing.T) *bed {
	t.Helper()
	w := fleet.New()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		w.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return &bed{World: w, t: t, processes: map[int]*fleet.Process{}}
}

func ip(i int) string { return fmt.Sprintf("127.91.7.%d", i+1) }

func (b *bed) start(i int, bootstrap string) *fleet.Process {
	b.t.Helper()
	p, err := b.Start(fleet.Start{IP: ip(i), Disk: fmt.Sprintf("disk-%d", i), Version: "1.14.0", Env: map[string]string{
		"QDRANT_URI": fmt.Sprintf("http://c-%d.c-headless.demo.svc.cluster.local:6335", i), "QDRANT_BOOTSTRAP": bootstrap,
	}})
	require.NoError(b.t, err)
	b.processes[i] = p
	return p
}

const first = "http://c-0.c-headless.demo.svc.cluster.local:6335"

func (b *bed) three() {
	b.t.Helper()
	b.start(0, "")
	b.eventually("founded", func() bool { return b.processes[0].Ready() })
	b.start(1, first)
	b.start(2, "http://c-headless.demo.svc.cluster.local:6335")
	b.eventually("joined", func() bool { return len(b.Spread()) == 3 && b.processes[1].Ready() && b.processes[2].Ready() })
}

func (b *bed) eventually(what string, yes func() bool) {
	b.t.Helper()
	require.Eventually(b.t, yes, 20*time.Second, 5*time.Millisecond, what)
}

func (b *bed) whole() {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.Whole() == "" }, 20*time.Second, 5*time.Millisecond, "whole")
}

func (b *bed) client(i int) *client.Client {
	b.t.Helper()
	c, err := client.New(client.Options{URL: "http://" + ip(i) + ":6333"})
	require.NoError(b.t, err)
	b.t.Cleanup(c.Close)
	return c
}

func TestNodesFoundJoinAndServe(t *testing.T) {
	b := newBed(t)
	b.three()
	require.NoError(t, b.CreateCollection("c1", 4, 2))
	v, err := b.client(1).View(t.Context())
	require.NoError(t, err)
	require.Len(t, v.Cluster.Peers, 3)
	require.Len(t, v.Shards(), 4)
	for _, s := range v.Shards() {
		require.Len(t, s.InSync, 2)
	}
	require.Empty(t, b.Violations())
}

func TestStoppedNodeCatchesUp(t *testing.T) {
	b := newBed(t)
	b.three()
	require.NoError(t, b.CreateCollection("c1", 4, 2))
	b.StartLoad()
	b.processes[0].Terminate()
	<-b.processes[0].Ended()
	b.start(0, first)
	b.eventually("ready", b.processes[0].Ready)
	b.whole()
	require.Zero(t, b.Load().Unread)
	require.Empty(t, b.Violations())
}

func TestLostDiskIsFilledAgain(t *testing.T) {
	b := newBed(t)
	b.three()
	require.NoError(t, b.CreateCollection("c1", 4, 2))
	b.processes[0].Terminate()
	<-b.processes[0].Ended()
	b.DropDisk("disk-0")
	b.start(0, "http://c-headless.demo.svc.cluster.local:6335")
	b.whole()
	require.Len(t, b.Spread(), 3)
	require.Empty(t, b.Violations())
}

func TestDrainedNodeIsRemoved(t *testing.T) {
	b := newBed(t)
	b.three()
	require.NoError(t, b.CreateCollection("c1", 4, 2))
	c := b.client(0)
	cluster, err := c.Cluster(t.Context())
	require.NoError(t, err)
	peer, err := cluster.PeerOfPod("c-2")
	require.NoError(t, err)
	require.NoError(t, c.Drain(t.Context(), peer, time.Second))
	b.eventually("empty", func() bool { return b.Spread()["c-2"] == 0 })
	require.NoError(t, c.RemovePeer(t.Context(), peer, false, time.Second))
	b.whole()
	require.Len(t, b.Spread(), 2)
	require.Empty(t, b.Violations())
}

// What a node has alone can't be replaced; what two have, can.
func TestIrreplaceable(t *testing.T) {
	b := newBed(t)
	b.three()
	require.NoError(t, b.CreateCollection("c1", 1, 2))
	b.Stopping(true)
	for i := range 3 {
		require.Empty(t, b.Irreplaceable(fmt.Sprintf("c-%d", i)))
	}
	for i := 2; i >= 0; i-- {
		b.processes[i].Terminate()
		<-b.processes[i].Ended()
	}
	require.Equal(t, "shard 0 of c1", b.Irreplaceable(lastOf(b.Spread())))
}

// lastOf is the first by name of those that have a copy: it ended last.
func lastOf(spread map[string]int) string {
	for _, name := range slices.Sorted(maps.Keys(spread)) {
		if spread[name] > 0 {
			return name
		}
	}
	return ""
}

func TestWhatMustNotHappenIsSeen(t *testing.T) {
	b := newBed(t)
	b.three()
	require.NoError(t, b.CreateCollection("c1", 1, 2))
	for i := range 3 { // the second of those that have it is the last one in sync
		b.processes[i].Terminate()
		<-b.processes[i].Ended()
		b.DropDisk(fmt.Sprintf("disk-%d", i))
	}
	b.start(0, "")
	b.eventually("a second cluster", func() bool { return len(b.Violations()) == 3 })
	require.Contains(t, b.Violations()[0], "stopped with the only copy in sync")
	require.Contains(t, b.Violations()[1], "the last complete copy of shard 0 of c1")
	require.Contains(t, b.Violations()[2], "founded")
}
