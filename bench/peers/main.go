// Command peers measures the in-process dense index against hnswlib, faiss and
// usearch on the same data in one run.
//
//	make bench-peers DATA=lsa
//	go run ./bench/peers -rows 300000 -efc 100 -libraries "" -passing 0.01,0.1,0.5
//	go run ./bench/peers -rows 300000 -dim 128 -python .cache/peers/bin/python -cache .cache/peers/indexes
//
// All libraries are built first, one after the other with the same number of
// threads; with -cache, peers built before are read back and the cost of that
// build is reported. Then come rounds, in each of which all libraries take turns
// at every ef and answer all queries on one thread, so that a change of the
// machine's speed hits all alike. Speeds are compared at equal recall and within
// a round; reported is the median over the rounds, with the least and the most.
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
	"path/filepath"
	"runtime/pprof"

	"github.com/sextantdb/sextant/bench/dataset"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// cost is what a build took.
type cost struct {
	CPU  float64 `json:"cpu"`  // seconds of all threads
	Wall float64 `json:"wall"` // seconds
	// Cached tells that an earlier run built and measured it.
	Cached bool `json:"cached,omitempty"`
}

// answers are those to all queries, and what they took.
type answers struct {
	found     [][]uint32
	wall, cpu float64 // seconds
}

// contestant is one library.
type contestant interface {
	name() string
	version() string
	build(ctx context.Context, o options) (cost, error)
	// settings are the ways of searching with an ef that are worth measuring.
	settings(ef, k int) []setting
	// search answers all queries on one thread.
	search(ctx context.Context, s setting, k int) (answers, error)
	close() error
}

// outcome is what a run found, as it is written to the JSON file.
type outcome struct {
	Data          string
	Rows, Queries int
	Dim, K        int
	Metric        string
	M, Efc        int
	Threads       int
	Kernels       string
	Libraries     []*result
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	set, err := o.data(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintf(out, "%s: %d rows × %d, %d queries, %s, recall@%d\n",
		set.Name, set.Base.Rows(), set.Base.Dim, set.Queries.Rows(), o.metric, o.k)
	contestants, err := o.contestants(ctx, dir, set)
	defer func() {
		for _, c := range contestants {
			err = errors.Join(err, c.close())
		}
	}()
	if err != nil {
		return err
	}
	found := outcome{
		Data: set.Name, Rows: set.Base.Rows(), Queries: set.Queries.Rows(), Dim: set.Base.Dim, K: o.k,
		Metric: o.metric, M: o.m, Efc: o.efc, Threads: o.threads, Kernels: tier(),
	}
	if found.Libraries, err = buildAll(ctx, o, contestants, out); err != nil {
		return err
	}
	if err := profiled(o.cpuProfile, func() error { return searchAll(ctx, o, set, contestants, found.Libraries) }); err != nil {
		return err
	}
	report(out, found.Libraries, o.targets)
	if len(o.passing) > 0 {
		if err := filtered(ctx, o, contestants[0].(*ours), out); err != nil {
			return err
		}
	}
	return writeJSON(o.json, found)
}

// contestants starts the libraries, ours first. What was started is returned even
// when another could not be.
func (o options) contestants(ctx context.Context, dir string, set dataset.Set) ([]contestant, error) {
	list := []contestant{&ours{dir: filepath.Join(dir, "sextant"), set: set, metric: o.metric}}
	if len(o.libraries) == 0 {
		return list, nil
	}
	files := peerFiles{base: filepath.Join(dir, "base.fvecs"), queries: filepath.Join(dir, "queries.fvecs")}
	if err := errors.Join(dataset.WriteMatrix(files.base, set.Base), dataset.WriteMatrix(files.queries, set.Queries)); err != nil {
		return list, err
	}
	for _, name := range o.libraries {
		files.ids = filepath.Join(dir, name+".ids")
		p, err := startPeer(ctx, o, name, files)
		if err != nil {
			return list, err
		}
		list = append(list, p)
	}
	return list, nil
}

// buildAll builds one library after the other, ours first.
func buildAll(ctx context.Context, o options, contestants []contestant, out io.Writer) ([]*result, error) {
	results := make([]*result, len(contestants))
	for i, c := range contestants {
		profile := ""
		if i == 0 {
			profile = o.buildProfile
		}
		var built cost
		if err := profiled(profile, func() (err error) { built, err = c.build(ctx, o); return err }); err != nil {
			return nil, fmt.Errorf("build %s: %w", c.name(), err)
		}
		results[i] = &result{Name: c.name(), Version: c.version(), Build: built}
		note := ""
		if built.Cached {
			note = "  (by an earlier run)"
		}
		fmt.Fprintf(out, "built %-14s %8.1f CPU-s %8.1f s%s\n", c.name(), built.CPU, built.Wall, note)
	}
	return results, nil
}

// searchAll lets the contestants take turns at each ef, so that those compared
// with each other are measured within seconds.
func searchAll(ctx context.Context, o options, set dataset.Set, contestants []contestant, results []*result) error {
	for range o.rounds {
		for _, ef := range o.efs {
			for i, c := range contestants {
				for _, s := range c.settings(ef, o.k) {
					a, err := c.search(ctx, s, o.k)
					if err != nil {
						return fmt.Errorf("search %s at ef %d: %w", c.name(), ef, err)
					}
					results[i].add(s, dataset.Recall(set.Truth, a.found, o.k), len(a.found), a)
				}
			}
		}
	}
	return nil
}

// profiled does something and writes the profile of this process, in which ours
// alone works, to a file; "" means none.
func profiled(name string, do func() error) (err error) {
	if name == "" {
		return do()
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return do()
}

func writeJSON(name string, found outcome) error {
	if name == "" {
		return nil
	}
	text, err := json.MarshalIndent(found, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
