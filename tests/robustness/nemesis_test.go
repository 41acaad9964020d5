package robustness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
)

// nemesis is a way to treat a cluster badly.
type nemesis struct {
	name string
	// daily says that it is part of every run of the tests; the others are part of `make
	// chaos`.
	daily bool
	// once says that it can't be repeated on the same cluster.
	once bool
	// nodes is how many the cluster has in the runs that do only this.
	nodes int
	// do treats the cluster badly and ends doing so.
	do func(*testing.T, *bed)
}

// nemeses are all there are.
func nemeses() []nemesis {
	return []nemesis{
		{name: "KillShardLeader", nodes: 3, daily: true, do: killShardLeader},
		{name: "KillConsensusLeader", nodes: 5, daily: true, do: killConsensusLeader},
		{name: "KillStorm", nodes: 3, do: killStorm},
		{name: "Pause", nodes: 3, daily: true, do: pause},
		{name: "SplitOffLeader", nodes: 3, daily: true, do: splitOffLeader},
		{name: "CutOneWay", nodes: 3, daily: true, do: cutOneWay},
		{name: "Bridge", nodes: 3, do: bridge},
		{name: "CutControllerFromLeader", nodes: 5, daily: true, do: cutControllerFromLeader},
		{name: "CutFollowerFromLeader", nodes: 3, daily: true, do: cutFollowerFromLeader},
		{name: "DiskFull", nodes: 3, daily: true, do: diskFull},
		{name: "WipedDisk", nodes: 3, daily: true, once: true, do: wipedDisk},
		{name: "RollingRestart", nodes: 3, daily: true, do: rollingRestart},
		{name: "WholeClusterRestart", nodes: 3, daily: true, do: wholeClusterRestart},
		{name: "MemberAdded", nodes: 3, daily: true, once: true, do: memberAdded},
	}
}

// diskBytes is what nodes have when disks can be filled.
const diskBytes = 512 << 20

// options are those of a cluster to which all of this can be done. ROBUSTNESS_PROXIES=1 takes
// proxies for links even where there can be network namespaces.
func options(nodes int) clusterbed.Options {
	o := clusterbed.Options{
		Nodes: nodes, Links: true, Proxies: os.Getenv("ROBUSTNESS_PROXIES") != "",
		Env: []string{"QDRANT__CLUSTER__VERIFY_INTERVAL_SEC=2"}, // copies are compared all the time
	}
	if clusterbed.CanMount() {
		o.DiskBytes = diskBytes
	}
	return o
}

// TestCluster treats a cluster badly in one way at a time while clients read and write.
// ROBUSTNESS_ALL=1 takes all ways.
func TestCluster(t *testing.T) {
	all := os.Getenv("ROBUSTNESS_ALL") != ""
	for _, n := range nemeses() {
		t.Run(n.name, func(t *testing.T) {
			if !n.daily && !all {
				t.Skip("part of `make chaos`; ROBUSTNESS_ALL=1 runs it here")
			}
			b := newBed(t, rand.New(rand.NewPCG(seed(t), 1)), options(n.nodes))
			n.do(t, b)
			b.finish(t)
		})
	}
}

// TestChaos treats clusters badly in one way after another for CHAOS_DURATION. The seed chooses
// what is done, not what comes of it.
func TestChaos(t *testing.T) {
	text := os.Getenv("CHAOS_DURATION")
	if text == "" {
		t.Skip("CHAOS_DURATION is not set: run `make chaos`")
	}
	duration, err := time.ParseDuration(text)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(seed(t), 2))
	end := time.Now().Add(duration)
	for round := 0; time.Now().Before(end); round++ {
		t.Run(strconv.Itoa(round), func(t *testing.T) { chaos(t, rng, end) })
		if t.Failed() {
			return
		}
	}
}

// chaos does some things to one cluster.
func chaos(t *testing.T, rng *rand.Rand, end time.Time) {
	t.Helper()
	b := newBed(t, rng, options(3+2*rng.IntN(2)))
	all := nemeses()
	for range 3 + rng.IntN(6) {
		if time.Now().After(end) {
			break
		}
		n := all[rng.IntN(len(all))]
		t.Logf("%s: %s", time.Now().Format(time.TimeOnly), n.name)
		n.do(t, b)
		if n.once {
			break
		}
		b.settle(t)
	}
	b.finish(t)
}

func killShardLeader(t *testing.T, b *bed) {
	t.Helper()
	kill(t, b, b.leader(t))
}

func killConsensusLeader(t *testing.T, b *bed) {
	t.Helper()
	kill(t, b, b.boss(t))
}

// kill kills a node, and starts it again once the others do without it.
func kill(t *testing.T, b *bed, n *clusterbed.Node) {
	t.Helper()
	require.NoError(t, n.Kill())
	for _, other := range b.others(n) {
		b.writable(t, other)
	}
	b.progress(t)
	restart(t, n)
}

func restart(t *testing.T, n *clusterbed.Node) {
	t.Helper()
	require.NoError(t, n.Start(context.Background()))
}

// killStorm kills one node after another, whether the one before is back in sync or not.
func killStorm(t *testing.T, b *bed) {
	t.Helper()
	for range 8 {
		n := b.Nodes[b.rng.IntN(len(b.Nodes))]
		require.NoError(t, n.Kill())
		linger(t, b.rng, 500*time.Millisecond)
		restart(t, n)
	}
}

// linger lets something go on for a while, at most so long.
func linger(t *testing.T, rng *rand.Rand, most time.Duration) {
	t.Helper()
	timer := time.NewTimer(time.Duration(rng.Int64N(int64(most))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// pause stops a node long enough that the others do without it, and one for a moment.
func pause(t *testing.T, b *bed) {
	t.Helper()
	n := b.leader(t)
	b.unsettle()
	require.NoError(t, n.Pause())
	for _, other := range b.others(n) {
		b.writable(t, other)
	}
	require.NoError(t, n.Continue())
	b.settle(t)

	n = b.leader(t)
	b.unsettle()
	require.NoError(t, n.Pause())
	linger(t, b.rng, 2*time.Second)
	require.NoError(t, n.Continue())
}

// splitOffLeader parts a node that leads shards from the majority.
func splitOffLeader(t *testing.T, b *bed) {
	t.Helper()
	n := b.leader(t)
	b.unsettle()
	require.NoError(t, b.Split(t.Context(), []*clusterbed.Node{n}, b.others(n)))
	for _, other := range b.others(n) {
		b.writable(t, other)
	}
	require.NoError(t, b.Heal(t.Context()))
}

// cutOneWay loses what a node that leads shards says to all others, but not what they say.
func cutOneWay(t *testing.T, b *bed) {
	t.Helper()
	n := b.leader(t)
	b.unsettle()
	for _, other := range b.others(n) {
		require.NoError(t, b.Cut(t.Context(), n, other))
	}
	for _, other := range b.others(n) {
		b.writable(t, other)
	}
	require.NoError(t, b.Heal(t.Context()))
	b.settle(t)
	b.unsettle()
	for _, other := range b.others(n) {
		require.NoError(t, b.Cut(t.Context(), other, n))
	}
	for _, other := range b.others(n) {
		b.writable(t, other)
	}
	require.NoError(t, b.Heal(t.Context()))
}

// bridge parts two nodes from each other; the rest reaches both.
func bridge(t *testing.T, b *bed) {
	t.Helper()
	n := b.leader(t)
	rest := b.others(n)
	other := rest[b.rng.IntN(len(rest))]
	b.unsettle()
	require.NoError(t, b.Sever(t.Context(), n, other))
	for _, between := range b.others(n, other) {
		b.writable(t, between)
	}
	require.NoError(t, b.Heal(t.Context()))
}

// cutControllerFromLeader parts the node that leads the consensus from one that leads
// shards.
func cutControllerFromLeader(t *testing.T, b *bed) {
	t.Helper()
	boss := b.boss(t)
	n := b.leader(t)
	if n == boss {
		n = b.others(boss)[0]
	}
	b.unsettle()
	require.NoError(t, b.Sever(t.Context(), boss, n))
	for _, between := range b.others(boss, n) {
		b.writable(t, between)
	}
	require.NoError(t, b.Heal(t.Context()))
}

// cutFollowerFromLeader parts two nodes that don't lead the consensus: the leader of shards can't reach a follower, and
// the controller reaches both. Then the way is cut in one direction only, and in the other.
func cutFollowerFromLeader(t *testing.T, b *bed) {
	t.Helper()
	boss := b.boss(t)
	rest := b.others(boss)
	n, other := rest[0], rest[1]
	for _, cut := range []func(context.Context) error{
		func(ctx context.Context) error { return b.Sever(ctx, n, other) },
		func(ctx context.Context) error { return b.Cut(ctx, n, other) },
		func(ctx context.Context) error { return b.Cut(ctx, other, n) },
	} {
		b.unsettle()
		require.NoError(t, cut(t.Context()))
		b.writable(t, boss)
		require.NoError(t, b.Heal(t.Context()))
		b.settle(t)
	}
}

// diskFull fills the disk of a node that leads shards, and of all nodes. A full node runs on: it passes writes on, and reads.
func diskFull(t *testing.T, b *bed) {
	t.Helper()
	if !clusterbed.CanMount() {
		t.Skip("disks of a size need root")
	}
	n := b.leader(t)
	b.unsettle()
	require.NoError(t, n.FillDisk(0))
	b.writable(t, n)
	require.True(t, n.Running(), "a full disk ends a node")
	require.NoError(t, n.FreeDisk())
	b.settle(t)

	b.unsettle()
	for _, n := range b.Nodes {
		require.NoError(t, n.FillDisk(0))
	}
	until(t, "writes are refused because disks are full", func(ctx context.Context) error {
		err := b.probe(ctx, n, 0, time.Second)
		if err != nil && strings.Contains(err.Error(), "507") {
			return nil
		}
		return fmt.Errorf("it was %w", errors.Join(err, errors.New("no refusal for a full disk")))
	})
	for _, n := range b.Nodes {
		_, err := newREST(n).Read(t.Context(), []uint64{1}, false)
		require.NoError(t, err, "reads go on")
		require.True(t, n.Running(), "a full disk ends a node")
		require.NoError(t, n.FreeDisk())
	}
	b.writable(t, n)
}

// wipedDisk has a node come back at its address without its data.
func wipedDisk(t *testing.T, b *bed) {
	t.Helper()
	n := b.leader(t)
	require.NoError(t, n.Kill())
	for _, other := range b.others(n) {
		b.writable(t, other)
	}
	require.NoError(t, b.Wipe(n))
	restart(t, n)
}

// rollingRestart stops and starts one node after another, as an upgrade does.
func rollingRestart(t *testing.T, b *bed) {
	t.Helper()
	for _, n := range b.Nodes {
		require.NoError(t, n.Stop())
		restart(t, n)
		b.writable(t, n)
	}
}

// wholeClusterRestart kills all nodes at once and starts them again, then it stops them.
func wholeClusterRestart(t *testing.T, b *bed) {
	t.Helper()
	for _, end := range []func(*clusterbed.Node) error{
		func(n *clusterbed.Node) error { return n.Kill() },
		func(n *clusterbed.Node) error { return n.Stop() },
	} {
		require.NoError(t, b.Each(end))
		require.NoError(t, b.Each(func(n *clusterbed.Node) error { return n.Start(context.Background()) }))
		b.settle(t)
	}
}

// memberAdded adds a node under load.
func memberAdded(t *testing.T, b *bed) {
	t.Helper()
	n, err := b.Add(context.Background())
	require.NoError(t, err)
	b.writable(t, n)
}
