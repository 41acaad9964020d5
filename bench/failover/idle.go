package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
)

// idleTime is how long idle nodes are watched.
const idleTime = 30 * time.Second

// settleTime bounds how long a cluster may take to come to rest, settlePoll is between two looks.
const (
	settleTime = 3 * time.Minute
	settlePoll = 3 * time.Second
)

// idle makes many collections, restarts all nodes, and watches them do nothing: at once, when there may
// still be something to do, and when all has come to rest.
func idle(ctx context.Context, s settings) error {
	figures := series{}
	err := s.withCluster(ctx, false, func(c *clusterbed.Cluster) error {
		doors, err := openAll(c.Nodes, s.dim)
		if err != nil {
			return err
		}
		defer closeAll(doors)
		w := watcher{s, c, figures}
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
		if err := w.watch(ctx, "created"); err != nil {
			return err
		}
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
		return w.watch(ctx, "restarted")
	})
	return errors.Join(err, figures.print(s.out, "idle"))
}

// watcher watches nodes that nobody asks anything.
type watcher struct {
	s       settings
	c       *clusterbed.Cluster
	figures series
}

// watch watches at once, and again when the cluster has come to rest.
func (w watcher) watch(ctx context.Context, when string) error {
	begun := time.Now()
	if err := w.window(ctx, when); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	w.figures.add("settled_s_"+when, time.Since(begun).Seconds())
	return w.window(ctx, when+"_settled")
}

// window adds the processor time of the nodes per node and second, and their memory.
func (w watcher) window(ctx context.Context, when string) error {
	profiled := make(chan error, 1)
	go func() { profiled <- w.profile(ctx, when) }()
	before := processorTime(w.c)
	t := time.NewTimer(idleTime)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	w.figures.add("cores_per_node_"+when, (processorTime(w.c)-before)/idleTime.Seconds()/float64(len(w.c.Nodes)))
	for _, n := range w.c.Nodes {
		w.figures.add("resident_bytes_"+when, resident(n.PID()))
	}
	return <-profiled
}

// profile writes the processor profile of the first node during a window to a file, if that is wanted.
func (w watcher) profile(ctx context.Context, when string) error {
	if w.s.profiles == "" {
		return nil
	}
	found := profilingAddress.FindAllStringSubmatch(w.c.Nodes[0].Output(), -1)
	if found == nil {
		return errors.New("the node doesn't say where its profiles are")
	}
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", found[len(found)-1][1], int(idleTime.Seconds()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.s.profiles, when+".pprof"), raw, 0o644)
}

// profilingAddress finds where a node says that its profiles are.
var profilingAddress = regexp.MustCompile(`profiles of this node can be read without a key.*address"?[=:]"?([0-9.:]+)`)

// settle waits until all copies are in sync and nobody leads another shard than a moment before.
func (w watcher) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	var before [][]clusterbed.Copy
	for {
		now, err := w.standing(ctx)
		if err == nil && atRest(before, now) {
			return nil
		}
		before = now
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
			return errors.Join(errors.New("the cluster didn't come to rest"), err)
		}
	}
}

// standing returns the copies of every collection, in order.
func (w watcher) standing(ctx context.Context) ([][]clusterbed.Copy, error) {
	all := make([][]clusterbed.Copy, w.s.collections)
	for i := range all {
		copies, err := w.c.Nodes[i%len(w.c.Nodes)].Copies(ctx, fmt.Sprintf("c%d", i))
		if err != nil {
			return nil, err
		}
		slices.SortFunc(copies, func(a, b clusterbed.Copy) int {
			return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Peer, b.Peer))
		})
		all[i] = copies
	}
	return all, nil
}

// atRest tells whether all copies are active and nothing differs from a moment before.
func atRest(before, now [][]clusterbed.Copy) bool {
	for _, copies := range now {
		if slices.ContainsFunc(copies, func(c clusterbed.Copy) bool { return c.State != "Active" }) {
			return false
		}
	}
	return reflect.DeepEqual(before, now) // what pointers point to counts
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
