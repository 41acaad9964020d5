package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
)

// batch is the number of points of a request of an upload, uploaders run side by side.
const (
	batch     = 500
	uploaders = 4
)

// upload writes points 1…count over all doors and returns how long it took.
func upload(ctx context.Context, doors []*door, name string, count int) (time.Duration, error) {
	begun := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(uploaders)
	for first := 0; first < count; first += batch {
		d := doors[first/batch%len(doors)]
		g.Go(func() error { return d.put(ctx, name, uint64(first)+1, min(batch, count-first)) })
	}
	err := g.Wait()
	return time.Since(begun), err
}

// throughput uploads to a collection with one copy and to one with two, in turns.
func throughput(ctx context.Context, s settings) error {
	figures := series{}
	err := s.withCluster(ctx, false, func(c *clusterbed.Cluster) error {
		doors, err := openAll(c.Nodes, s.dim)
		if err != nil {
			return err
		}
		defer closeAll(doors)
		for trial := range s.trials {
			var wall, cpu [3]float64
			for copies := uint32(1); copies <= 2; copies++ {
				name := fmt.Sprintf("copies%d-%d", copies, trial)
				if err := doors[0].create(ctx, name, shards, copies); err != nil {
					return err
				}
				if err := writable(ctx, doors, name); err != nil {
					return err
				}
				before := processorTime(c)
				took, err := upload(ctx, doors, name, s.points)
				if err != nil {
					return err
				}
				wall[copies], cpu[copies] = took.Seconds(), processorTime(c)-before
				figures.add(fmt.Sprintf("points_per_s_%d", copies), float64(s.points)/took.Seconds())
				if err := doors[0].DeleteCollection(ctx, name); err != nil {
					return err
				}
			}
			figures.add("speed_2_to_1", wall[1]/wall[2])
			figures.add("processor_time_2_to_1", cpu[2]/cpu[1])
		}
		return nil
	})
	return errors.Join(err, figures.print(s.out, "throughput"))
}

// catchUp kills a node, writes without it, and starts it again.
func catchUp(ctx context.Context, s settings) error {
	figures := series{}
	for trial := range s.trials {
		err := s.withCluster(ctx, false, func(c *clusterbed.Cluster) error {
			return miss(ctx, c, c.Nodes[trial%len(c.Nodes)], s, figures)
		})
		if err != nil {
			return errors.Join(err, figures.print(s.out, "catchup"))
		}
	}
	return figures.print(s.out, "catchup")
}

// miss does it once.
func miss(ctx context.Context, c *clusterbed.Cluster, n *clusterbed.Node, s settings, figures series) error {
	doors, err := openAll(c.Nodes, s.dim)
	if err != nil {
		return err
	}
	defer closeAll(doors)
	if err := doors[0].create(ctx, name, shards, uint32(s.nodes)); err != nil {
		return err
	}
	if err := settled(ctx, c, doors); err != nil {
		return err
	}
	if _, err := n.InSync(ctx, name); err != nil {
		return err // nobody would tell when it is
	}
	if err := n.Kill(); err != nil {
		return err
	}
	left, err := openAll(others(c, n), s.dim)
	if err != nil {
		return err
	}
	defer closeAll(left)
	if err := writable(ctx, left, name); err != nil {
		return err
	}
	applied, err := upload(ctx, left, name, s.points)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := n.Start(ctx); err != nil {
		return err
	}
	if err := inSync(ctx, c, name); err != nil {
		return err
	}
	figures.add("in_sync_s", time.Since(begun).Seconds())
	figures.add("upload_s", applied.Seconds())
	figures.add("in_sync_to_upload", time.Since(begun).Seconds()/applied.Seconds())
	return nil
}
