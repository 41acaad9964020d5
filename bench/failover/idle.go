package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
)

// idleTime is how long idle nodes are watched.
const idleTime = 30 * time.Second

// idle makes many collections, restarts all nodes, and watches them do nothing.
func idle(ctx context.Context, s settings) error {
	figures := series{}
	err := s.withCluster(ctx, false, func(c *clusterbed.Cluster) error {
		doors, err := openAll(c.Nodes, s.dim)
		if err != nil {
			return err
		}
		defer closeAll(doors)
		begun := time.Now()
		g, created := errgroup.WithContext(ctx)
		g.SetLimit(uploaders)
		for i := range s.collections {
			g.Go(func() error { return doors[i%len(doors)].create(created, fmt.Sprintf("c%d", i), 3, 2) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		figures.add("create_s", time.Since(begun).Seconds())
		watch(ctx, c, "created", figures)
		if err := c.Each(func(n *clusterbed.Node) error { return n.Kill() }); err != nil {
			return err
		}
		begun = time.Now()
		if err := c.Each(func(n *clusterbed.Node) error { return n.Start(ctx) }); err != nil {
			return err
		}
		figures.add("ready_s", time.Since(begun).Seconds())
		last := fmt.Sprintf("c%d", s.collections-1)
		if err := writable(ctx, doors, last); err != nil {
			return err
		}
		figures.add("writable_s", time.Since(begun).Seconds())
		watch(ctx, c, "restarted", figures)
		return nil
	})
	return errors.Join(err, figures.print(s.out, "idle"))
}

// watch adds the processor time of idle nodes per node and second, and their memory.
func watch(ctx context.Context, c *clusterbed.Cluster, when string, figures series) {
	before := processorTime(c)
	t := time.NewTimer(idleTime)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return
	}
	figures.add("cores_per_node_"+when, (processorTime(c)-before)/idleTime.Seconds()/float64(len(c.Nodes)))
	for _, n := range c.Nodes {
		figures.add("resident_bytes_"+when, resident(n.PID()))
	}
}

// ticks are a second's in /proc.
const ticks = 100

// processorTime is what all nodes have used, in seconds.
func processorTime(c *clusterbed.Cluster) (sum float64) {
	for _, n := range c.Nodes {
		f := statOf(n.PID())
		if len(f) > 14 {
			user, _ := strconv.ParseFloat(string(f[11]), 64)   // the kernel writes numbers
			system, _ := strconv.ParseFloat(string(f[12]), 64) // as above
			sum += (user + system) / ticks
		}
	}
	return sum
}

func resident(pid int) float64 {
	f := statOf(pid)
	if len(f) < 22 {
		return 0
	}
	pages, _ := strconv.ParseFloat(string(f[21]), 64) // the kernel writes numbers
	return pages * float64(os.Getpagesize())
}

// statOf returns the fields of a process's line behind its name; nil when it has ended.
func statOf(pid int) [][]byte {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
}
