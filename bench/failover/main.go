// Command failover measures what failures and copies cost a cluster of three real
// processes on this machine:
//
//	go run ./bench/failover [flags] kill|pause|cut|link|restart|catchup|throughput|idle
//
// Each measurement prints one line of JSON. Times are in seconds. The machine's noise is in
// all of them: compare medians of runs that took turns, and ratios.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// settings are what the flags say.
type settings struct {
	binary           string
	trials           int
	points, dim      int
	collections      int
	nodes            int
	verbose, proxies bool
	// profiles is where idle's processor profiles go; "" is nowhere.
	profiles string
	out      io.Writer
}

// measurement is a subcommand.
type measurement struct {
	name, what string
	run        func(context.Context, settings) error
}

func measurements() []measurement {
	return []measurement{
		{"kill", "a node that leads shards is killed: until each shard takes writes, and reads meanwhile", failover(kill)},
		{"pause", "the same for one that is stopped (SIGSTOP)", failover(pause)},
		{"cut", "the same for one that is cut off", failover(cut)},
		{"link", "two nodes that both reach the others don't reach each other", failover(link)},
		{"restart", "a node is stopped and started: failed requests and latencies", planned},
		{"catchup", "a node comes back that missed -points writes: until it is in sync", catchUp},
		{"throughput", "upload with two copies of each shard against one", throughput},
		{"idle", "-collections collections of 3 shards with 2 copies: start, and processor time when idle", idle},
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s := settings{out: out}
	flags := flag.NewFlagSet("failover", flag.ContinueOnError)
	flags.StringVar(&s.binary, "binary", ".bin/sextant", "the sextant binary")
	flags.IntVar(&s.trials, "trials", 20, "trials of a measurement")
	flags.IntVar(&s.points, "points", 100_000, "points of catchup and throughput")
	flags.IntVar(&s.dim, "dim", 64, "dimensions of the points")
	flags.IntVar(&s.collections, "collections", 800, "collections of idle")
	flags.IntVar(&s.nodes, "nodes", 3, "nodes of the cluster")
	flags.StringVar(&s.profiles, "profiles", "", "a directory for processor profiles of idle")
	flags.BoolVar(&s.proxies, "proxies", false, "links are proxies even where network namespaces can be had")
	flags.BoolVar(&s.verbose, "v", false, "print what the nodes printed when a measurement fails")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "go run ./bench/failover [flags] measurement...\n\n")
		for _, m := range measurements() {
			fmt.Fprintf(flags.Output(), "  %-11s %s\n", m.name, m.what)
		}
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return errors.New("which measurement?")
	}
	for _, name := range flags.Args() {
		at := slices.IndexFunc(measurements(), func(m measurement) bool { return m.name == name })
		if at < 0 {
			return fmt.Errorf("there is no measurement %q", name)
		}
		if err := measurements()[at].run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// report is a line of the output.
type report struct {
	Measurement string             `json:"measurement"`
	Figures     map[string]summary `json:"figures"`
}

// summary is what some trials came to.
type summary struct {
	Trials int     `json:"trials"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// series collects figures by name.
type series map[string][]float64

func (s series) add(name string, v float64) { s[name] = append(s[name], v) }

// print writes the line of a measurement.
func (s series) print(out io.Writer, measurement string) error {
	r := report{Measurement: measurement, Figures: map[string]summary{}}
	for name, list := range s {
		sorted := slices.Sorted(slices.Values(list))
		r.Figures[name] = summary{Trials: len(list), Min: sorted[0], Median: quantile(sorted, 0.5), Max: sorted[len(sorted)-1]}
	}
	return json.NewEncoder(out).Encode(r)
}

// quantile returns one of sorted figures, 0 of none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// withCluster runs something on a new cluster.
func (s settings) withCluster(ctx context.Context, links bool, f func(*clusterbed.Cluster) error) (err error) {
	dir, err := os.MkdirTemp("", "failover")
	if err != nil {
		return err
	}
	o := clusterbed.Options{Binary: s.binary, Dir: dir, Nodes: s.nodes, Links: links, Proxies: s.proxies}
	if s.profiles != "" {
		o.Env = append(o.Env, "QDRANT__SERVICE__PROFILING_ADDRESS=127.0.0.1:0")
	}
	c, err := clusterbed.Start(ctx, o)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		if err != nil && s.verbose {
			fmt.Fprintln(os.Stderr, strings.Join(c.Outputs(), "\n"))
		}
		err = errors.Join(err, c.Close(), os.RemoveAll(dir))
	}()
	return f(c)
}
