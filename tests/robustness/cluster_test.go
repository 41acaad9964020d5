package robustness

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/testbed"
	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
	"github.com/sextantdb/sextant/internal/testbed/history"
	"github.com/sextantdb/sextant/internal/testbed/load"
)

const (
	shared     = "shared"
	shards     = 6
	copies     = 2
	probePoint = 1000 // the first of the points that are only written to see whether it works
	probes     = 24   // so many that no shard is without
	// pace is between two operations of a client.
	pace = 20 * time.Millisecond
	// patience is how long a condition may take. Nothing that is checked takes near as long; the
	// machine may be busy.
	patience = 60 * time.Second
)

// bed is a cluster under load.
type bed struct {
	*testbed.Cluster
	load *load.Load
	rng  *rand.Rand
	// unsettled are the times in which reads of any copy may be old, because a node may not
	// know yet that it is out of sync.
	unsettled []span
}

type span struct{ from, to time.Duration }

// newBed starts a cluster with a collection that clients work on.
func newBed(t *testing.T, rng *rand.Rand, o clusterbed.Options) *bed {
	t.Helper()
	b := &bed{Cluster: testbed.StartCluster(t, o), rng: rng}
	c, err := newGRPC(b.Nodes[0])
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.CreateCollection(t.Context(), &qdrant.CreateCollection{
		CollectionName: shared, ShardNumber: new(uint32(shards)), ReplicationFactor: new(uint32(copies)),
		VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: dim, Distance: qdrant.Distance_Euclid}),
	}))
	for _, n := range b.Nodes {
		until(t, "all nodes know the collection", func(ctx context.Context) error {
			_, err := newREST(n).Read(ctx, []uint64{1}, false)
			return err
		})
	}
	var clients []load.Client
	for _, n := range b.Nodes {
		g, err := newGRPC(n)
		require.NoError(t, err)
		t.Cleanup(func() { _ = g.Close() })
		clients = append(clients, g, newREST(n))
	}
	b.load = load.Start(t, rng.Uint64(), pace, clients)
	b.progress(t)
	return b
}

// others are all nodes but some.
func (b *bed) others(not ...*clusterbed.Node) []*clusterbed.Node {
	var out []*clusterbed.Node
next:
	for _, n := range b.Nodes {
		for _, m := range not {
			if m == n {
				continue next
			}
		}
		out = append(out, n)
	}
	return out
}

// leader is a node that leads shards.
func (b *bed) leader(t *testing.T) *clusterbed.Node {
	t.Helper()
	n, err := b.ShardLeader(t.Context(), shared)
	return b.chosen(t, n, err)
}

// boss is the node that leads the consensus.
func (b *bed) boss(t *testing.T) *clusterbed.Node {
	t.Helper()
	n, err := b.ConsensusLeader(t.Context())
	return b.chosen(t, n, err)
}

// chosen takes any node when the nodes don't tell: each leads some shards.
func (b *bed) chosen(t *testing.T, n *clusterbed.Node, err error) *clusterbed.Node {
	t.Helper()
	if errors.Is(err, clusterbed.ErrNoView) || err == nil && n == nil {
		n, err = b.Nodes[b.rng.IntN(len(b.Nodes))], nil
	}
	require.NoError(t, err)
	return n
}

// writable waits until a node takes writes of all shards.
func (b *bed) writable(t *testing.T, via *clusterbed.Node) {
	t.Helper()
	begun := time.Now()
	for i := range uint64(probes) {
		until(t, fmt.Sprintf("node %d takes writes of all shards", via.Index), func(ctx context.Context) error {
			return b.probe(ctx, via, i, load.OpTime)
		})
	}
	t.Logf("node %d took writes of all shards after %v", via.Index, time.Since(begun).Round(time.Millisecond))
}

// probe writes one of the points for that.
func (b *bed) probe(ctx context.Context, via *clusterbed.Node, i uint64, patience time.Duration) error {
	op := history.Op{Client: b.load.Clients(), ID: probePoint + i, Kind: history.Upsert, Where: fmt.Sprintf("node %d, probe", via.Index)}
	op.Value, op.Call = b.load.Value(), b.load.Log.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := newREST(via)
	defer c.Close()
	visible, err := c.Write(ctx, op, true)
	if op.Return = b.load.Log.Now(); err != nil {
		op.Return = history.Unknown
	}
	op.Visible = visible
	b.load.Log.Add(op)
	return err
}

// progress waits until every client has got some more writes acknowledged.
func (b *bed) progress(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, b.load.Progress(ctx, 5), "every client writes")
}

// unsettle notes that reads of any copy may be old from now until settled is called.
func (b *bed) unsettle() { b.unsettled = append(b.unsettled, span{b.load.Log.Now(), history.Unknown}) }

// settle waits until all nodes take writes and every copy is in sync.
func (b *bed) settle(t *testing.T) {
	t.Helper()
	for _, n := range b.Nodes {
		b.writable(t, n)
	}
	for _, n := range b.Nodes {
		until(t, "every copy is in sync", func(ctx context.Context) error {
			ok, err := n.InSync(ctx, shared)
			if errors.Is(err, clusterbed.ErrNoView) || ok {
				return nil
			}
			return errors.Join(err, errors.New("not all are"))
		})
	}
	if last := len(b.unsettled) - 1; last >= 0 && b.unsettled[last].to == history.Unknown {
		b.unsettled[last].to = b.load.Log.Now()
	}
}

// exempt tells whether a read may have been old.
func (b *bed) exempt(o history.Op) bool {
	for _, s := range b.unsettled {
		if o.Return >= s.from && o.Call <= s.to {
			return true
		}
	}
	return false
}

// finish stops the load, checks what was seen, and that all nodes have the same.
func (b *bed) finish(t *testing.T) {
	t.Helper()
	b.settle(t)
	b.progress(t)
	b.load.End()
	ids := make([]uint64, 0, load.Points+probes)
	for i := range uint64(load.Points) {
		ids = append(ids, 1+i)
	}
	for i := range uint64(probes) {
		ids = append(ids, probePoint+i)
	}
	first := b.everywhere(t, ids)
	ops := b.load.Log.Ops()
	for _, id := range ids {
		ops = append(ops, history.Op{
			Client: b.load.Clients(), ID: id, Kind: history.Read, Got: first[id], Where: "all nodes at the end",
			Call: b.load.Log.Now(), Return: b.load.Log.Now(),
		})
	}
	b.copiesAgree(t)
	t.Logf("%d operations, %d failed: %v", len(ops), b.load.Failed(), b.load.Errors())
	require.NoError(t, history.CheckAny(ops, b.exempt))
	undecided, err := history.CheckNow(ops, 20*time.Second)
	require.NoError(t, err)
	if undecided > 0 {
		t.Logf("no verdict on the histories of %d points in the time", undecided)
	}
}

// everywhere waits until all nodes have the same points, and returns them. Writes whose
// outcome nobody knows may still arrive.
func (b *bed) everywhere(t *testing.T, ids []uint64) map[uint64]history.Point {
	t.Helper()
	var first map[uint64]history.Point
	until(t, "all nodes have the same points", func(ctx context.Context) error {
		for i, n := range b.Nodes {
			got, err := newREST(n).Read(ctx, ids, false)
			if err != nil {
				return err
			}
			var count struct{ Count int }
			err = n.Tell(ctx, "/collections/"+shared+"/points/count", `{"exact":true}`, &count)
			switch {
			case err != nil:
				return err
			case count.Count != len(got):
				return fmt.Errorf("node %d counts %d and has %d", i, count.Count, len(got))
			case i == 0:
				first = got
			case !maps.Equal(first, got):
				return fmt.Errorf("node %d has %v, node 0 %v", i, got, first)
			}
		}
		return nil
	})
	return first
}

// copiesAgree compares checksums of the single copies of every shard, which each node reads from its
// own disk when no copy lacks an entry any more.
func (b *bed) copiesAgree(t *testing.T) {
	t.Helper()
	until(t, "the copies of every shard are equal", func(ctx context.Context) error {
		sums, err := b.checksums(ctx)
		if errors.Is(err, clusterbed.ErrNoView) {
			return nil
		}
		if err != nil {
			return err
		}
		for shard := range uint32(shards) {
			of := sums[shard]
			if len(of) < copies {
				return fmt.Errorf("shard %d has %d copies", shard, len(of))
			}
			if len(slices.Compact(slices.Sorted(maps.Values(of)))) > 1 {
				return fmt.Errorf("copies of shard %d differ: %v", shard, of)
			}
		}
		return nil
	})
	// While there was load the nodes compared their copies themselves.
	for i, out := range b.Outputs() {
		require.NotContains(t, out, "a copy of a shard differs", "node %d", i)
	}
}

// checksums returns those of all copies by shard and node.
func (b *bed) checksums(ctx context.Context) (map[uint32]map[int]string, error) {
	byPeer := map[uint64]*clusterbed.Node{}
	for _, n := range b.Nodes {
		s, err := n.Status(ctx)
		if err != nil {
			return nil, err
		}
		byPeer[s.Peer] = n
	}
	all, err := b.Nodes[0].Copies(ctx, shared)
	if err != nil {
		return nil, err
	}
	sums := map[uint32]map[int]string{}
	for _, c := range all {
		n := byPeer[c.Peer]
		switch {
		case n == nil:
			return nil, fmt.Errorf("a copy of shard %d is at peer %d, who is no node", c.Shard, c.Peer)
		case c.Lag == nil || *c.Lag > 0:
			return nil, fmt.Errorf("the copy of shard %d at node %d lacks entries", c.Shard, n.Index)
		}
		var page struct{ Points []any }
		path := fmt.Sprintf("/collections/%s/shards/%d/points/scroll", shared, c.Shard)
		if err := n.Tell(ctx, path, `{"limit":1000,"with_payload":true,"with_vector":true}`, &page); err != nil {
			return nil, fmt.Errorf("read the copy of shard %d at node %d: %w", c.Shard, n.Index, err)
		}
		raw, err := json.Marshal(page.Points) // keys in order
		if err != nil {
			return nil, err
		}
		if sums[c.Shard] == nil {
			sums[c.Shard] = map[int]string{}
		}
		sums[c.Shard][n.Index] = fmt.Sprintf("%d points, %x", len(page.Points), sha256.Sum256(raw))
	}
	return sums, nil
}

// until asks again and again until there is no error.
func until(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.NoError(t, err, "waited in vain: %s", what)
		}
	}
}
