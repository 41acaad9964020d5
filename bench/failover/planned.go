package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
)

// planned stops and starts one node after another, and counts what fails at the others.
func planned(ctx context.Context, s settings) error {
	figures := series{}
	err := s.withCluster(ctx, false, func(c *clusterbed.Cluster) error {
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
			if err := restart(ctx, c, c.Nodes[trial%len(c.Nodes)], s.dim, figures); err != nil {
				return fmt.Errorf("trial %d: %w", trial, err)
			}
		}
		return nil
	})
	return errors.Join(err, figures.print(s.out, "restart"))
}

// restart restarts one node while the others are written to and read.
func restart(ctx context.Context, c *clusterbed.Cluster, n *clusterbed.Node, dim int, figures series) error {
	doors, err := openAll(others(c, n), dim)
	if err != nil {
		return err
	}
	defer closeAll(doors)
	before := startWriters(ctx, doors)
	quiet := time.NewTimer(time.Second)
	select {
	case <-quiet.C:
	case <-ctx.Done():
	}
	before.end()

	writes, reads := startWriters(ctx, doors), startReaders(ctx, doors)
	begun := time.Now()
	stopped := n.Stop()
	figures.add("stop_s", time.Since(begun).Seconds())
	begun = time.Now()
	started := n.Start(ctx)
	figures.add("start_s", time.Since(begun).Seconds())
	writes.end()
	reads.end()
	if err := errors.Join(stopped, started); err != nil {
		return err
	}
	figures.add("writes", float64(len(writes.took)))
	figures.add("failed_writes", float64(writes.failed))
	figures.add("write_p99_s", quantile(slices.Sorted(slices.Values(writes.took)), 0.99))
	figures.add("write_max_s", slices.Max(writes.took))
	figures.add("write_p99_before_s", quantile(slices.Sorted(slices.Values(before.took)), 0.99))
	figures.add("failed_reads_after_a_retry", float64(reads.failed.Load()))
	figures.add("read_p99_s", quantile(slices.Sorted(slices.Values(reads.took)), 0.99))
	return nil
}

// writers write until they are stopped; nothing is tried again.
type writers struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	took    []float64 // guarded by mu while they run
	failed  int       // guarded by mu while they run
}

func startWriters(ctx context.Context, doors []*door) *writers {
	ctx, stop := context.WithCancel(ctx)
	w := &writers{stop: stop}
	for i := range 2 * len(doors) {
		w.running.Go(func() {
			for id := uint64(i); ctx.Err() == nil; id++ {
				begun := time.Now()
				err := doors[i%len(doors)].put(context.Background(), name, 1+id%probes, 1)
				w.note(time.Since(begun), err)
			}
		})
	}
	return w
}

func (w *writers) note(took time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took = append(w.took, took.Seconds())
	if err != nil {
		w.failed++
	}
}

func (w *writers) end() {
	w.stop()
	w.running.Wait()
}
