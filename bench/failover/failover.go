package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
)

// fault is what happens to a node; end makes it good again.
type fault struct {
	name       string
	links      bool
	begin, end func(context.Context, *clusterbed.Cluster, *clusterbed.Node) error
	// via are the nodes that are asked meanwhile; nil is all others.
	via func(*clusterbed.Cluster, *clusterbed.Node) []*clusterbed.Node
}

var (
	kill = fault{ //nolint:gochecknoglobals // a constant
		name:  "kill",
		begin: func(_ context.Context, _ *clusterbed.Cluster, n *clusterbed.Node) error { return n.Kill() },
		end:   func(ctx context.Context, _ *clusterbed.Cluster, n *clusterbed.Node) error { return n.Start(ctx) },
	}
	pause = fault{ //nolint:gochecknoglobals // a constant
		name:  "pause",
		begin: func(_ context.Context, _ *clusterbed.Cluster, n *clusterbed.Node) error { return n.Pause() },
		end:   func(_ context.Context, _ *clusterbed.Cluster, n *clusterbed.Node) error { return n.Continue() },
	}
	cut = fault{ //nolint:gochecknoglobals // a constant
		name: "cut", links: true,
		begin: func(ctx context.Context, c *clusterbed.Cluster, n *clusterbed.Node) error {
			return c.Split(ctx, []*clusterbed.Node{n}, others(c, n))
		},
		end: func(ctx context.Context, c *clusterbed.Cluster, _ *clusterbed.Node) error { return c.Heal(ctx) },
	}
	link = fault{ //nolint:gochecknoglobals // a constant
		name: "link", links: true,
		begin: func(ctx context.Context, c *clusterbed.Cluster, n *clusterbed.Node) error {
			return c.Sever(ctx, n, next(c, n))
		},
		end: func(ctx context.Context, c *clusterbed.Cluster, _ *clusterbed.Node) error { return c.Heal(ctx) },
		via: func(c *clusterbed.Cluster, n *clusterbed.Node) []*clusterbed.Node {
			return slices.DeleteFunc(others(c, n), func(o *clusterbed.Node) bool { return o == next(c, n) })
		},
	}
)

// next is the node after another one.
func next(c *clusterbed.Cluster, n *clusterbed.Node) *clusterbed.Node {
	return c.Nodes[(slices.Index(c.Nodes, n)+1)%len(c.Nodes)]
}

func others(c *clusterbed.Cluster, not *clusterbed.Node) []*clusterbed.Node {
	return slices.DeleteFunc(slices.Clone(c.Nodes), func(n *clusterbed.Node) bool { return n == not })
}

// name is that of the collection.
const name = "measured"

// failover measures a fault: from its beginning until the other nodes have a write of each
// shard acknowledged that was sent right after, and what became of reads meanwhile.
func failover(f fault) func(context.Context, settings) error {
	return func(ctx context.Context, s settings) error {
		figures := series{}
		err := s.withCluster(ctx, f.links, func(c *clusterbed.Cluster) error {
			doors, err := openAll(c.Nodes, s.dim)
			if err != nil {
				return err
			}
			defer closeAll(doors)
			if err := doors[0].create(ctx, name, shards, 2); err != nil {
				return err
			}
			for trial := range s.trials {
				if err := settled(ctx, c, doors); err != nil {
					return err
				}
				if err := f.trial(ctx, c, c.Nodes[trial%len(c.Nodes)], s.dim, figures); err != nil {
					return fmt.Errorf("trial %d: %w", trial, err)
				}
			}
			return nil
		})
		return errors.Join(err, figures.print(s.out, f.name))
	}
}

// settled waits until the cluster is whole.
func settled(ctx context.Context, c *clusterbed.Cluster, doors []*door) error {
	if err := writable(ctx, doors, name); err != nil {
		return err
	}
	return inSync(ctx, c, name)
}

// inSync waits until every copy is in sync; nodes that don't tell are believed.
func inSync(ctx context.Context, c *clusterbed.Cluster, name string) error {
	for _, n := range c.Nodes {
		err := until(ctx, "every copy is in sync", func() error {
			ok, err := n.InSync(ctx, name)
			if errors.Is(err, clusterbed.ErrNoView) || ok {
				return nil
			}
			return errors.Join(err, errors.New("not all are"))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trial does it once.
func (f fault) trial(ctx context.Context, c *clusterbed.Cluster, victim *clusterbed.Node, dim int, figures series) error {
	via := others(c, victim)
	if f.via != nil {
		via = f.via(c, victim)
	}
	doors, err := openAll(via, dim)
	if err != nil {
		return err
	}
	defer closeAll(doors)
	for p := range uint64(probes) { // connections are made
		if err := doors[p%uint64(len(doors))].get(ctx, name, p+1); err != nil {
			return err
		}
	}
	begun := time.Now()
	if err := f.begin(ctx, c, victim); err != nil {
		return err
	}
	readers := startReaders(ctx, doors)
	took, err := firstAcks(ctx, doors, begun)
	readers.end()
	if err := errors.Join(err, f.end(ctx, c, victim)); err != nil {
		return err
	}
	figures.add("all_shards_writable_s", slices.Max(took))
	figures.add("median_shard_writable_s", quantile(slices.Sorted(slices.Values(took)), 0.5))
	figures.add("reads", float64(len(readers.took)))
	figures.add("failed_reads_after_a_retry", float64(readers.failed.Load()))
	figures.add("read_p99_s", quantile(slices.Sorted(slices.Values(readers.took)), 0.99))
	return nil
}

// firstAcks writes a point of each shard at once and returns when each was acknowledged.
func firstAcks(ctx context.Context, doors []*door, begun time.Time) ([]float64, error) {
	took, errs := make([]float64, probes), make([]error, probes)
	var wg sync.WaitGroup
	for p := range probes {
		wg.Go(func() {
			errs[p] = until(ctx, "a write is acknowledged", func() error {
				return doors[p%len(doors)].put(ctx, name, uint64(p)+1, 1)
			})
			took[p] = time.Since(begun).Seconds()
		})
	}
	wg.Wait()
	return took, errors.Join(errs...)
}

// readers read until they are stopped. A read that fails is tried once more at another node.
type readers struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	failed  atomic.Int64
	mu      sync.Mutex
	took    []float64 // guarded by mu while they run
}

func startReaders(ctx context.Context, doors []*door) *readers {
	ctx, stop := context.WithCancel(ctx)
	r := &readers{stop: stop}
	for i := range 2 * len(doors) {
		r.running.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					r.read(doors[i%len(doors)], doors[(i+1)%len(doors)])
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return r
}

// read isn't cut short by the end.
func (r *readers) read(first, second *door) {
	id := 1 + rand.Uint64N(probes)
	begun := time.Now()
	err := first.get(context.Background(), name, id)
	if err != nil {
		err = second.get(context.Background(), name, id)
	}
	if err != nil {
		r.failed.Add(1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = append(r.took, time.Since(begun).Seconds())
}

func (r *readers) end() {
	r.stop()
	r.running.Wait()
}
