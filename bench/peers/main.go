// Command peers measures the in-process dense index against hnswlib, faiss-cpu
// and usearch on the same data in one run.
//
//	pip install hnswlib faiss-cpu usearch numpy
//	go run ./bench/peers -rows 300000 -dim 128 -python python3
//
// All libraries are built first, one after the other with the same number of
// threads. Then come rounds, in each of which every library answers all queries
// once for each ef, on one thread, so that a change of the machine's speed hits
// all alike. Reported are medians over the rounds, interpolated to equal recall.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sextantdb/sextant/bench/dataset"
)

type options struct {
	rows, queries, dim  int
	base, query, metric string
	m, efc, threads, k  int
	rounds              int
	efs                 []int
	libraries           []string
	python, script      string
	heavyTail           float64
	duplicates          int
	seed                uint64
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	o := options{efs: []int{10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768}}
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.IntVar(&o.rows, "rows", 300_000, "rows to generate")
	f.IntVar(&o.queries, "queries", 2000, "queries to generate")
	f.IntVar(&o.dim, "dim", 128, "dimension to generate")
	f.StringVar(&o.base, "base", "", "rows from a .fvecs, .npy or .f32 file instead")
	f.StringVar(&o.query, "query", "", "queries from a file; by default the last rows of -base")
	f.StringVar(&o.metric, "metric", "l2", "l2 or dot")
	f.IntVar(&o.m, "m", 16, "links per node")
	f.IntVar(&o.efc, "efc", 200, "ef of construction")
	f.IntVar(&o.threads, "threads", 2, "threads of construction")
	f.IntVar(&o.k, "k", 10, "neighbours to find")
	f.IntVar(&o.rounds, "rounds", 3, "rounds of searches")
	f.StringVar(&o.python, "python", "python3", "the Python that has the libraries")
	f.StringVar(&o.script, "script", "bench/peers/peer.py", "the script that runs a library")
	f.Float64Var(&o.heavyTail, "tail", 0, "sigma of log-normal norms")
	f.IntVar(&o.duplicates, "duplicates", 0, "identical rows")
	f.Uint64Var(&o.seed, "seed", 0, "of the generated data")
	libraries := f.String("libraries", "hnswlib,faiss-hnsw,faiss-hnswsq,usearch", "which to compare with")
	err := f.Parse(args)
	if *libraries != "" {
		o.libraries = strings.Split(*libraries, ",")
	}
	return o, err
}

func run(args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx := context.Background()
	set, err := o.data(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintf(out, "%s: %d rows × %d, %d queries, %s\n", set.Name, set.Base.Rows(), set.Base.Dim, set.Queries.Rows(), o.metric)
	contestants, err := o.contestants(dir, set)
	if err != nil {
		return err
	}
	results := make([]result, len(contestants))
	for i, c := range contestants {
		results[i].Name = c.name()
		if results[i].Build, err = c.build(ctx, o); err != nil {
			return fmt.Errorf("build %s: %w", c.name(), err)
		}
		fmt.Fprintf(out, "built %-14s %8.1f CPU-s %8.1f s\n", c.name(), results[i].Build.CPU, results[i].Build.Wall)
	}
	for range o.rounds {
		for i, c := range contestants {
			for _, ef := range o.efs {
				found, seconds, err := c.search(ctx, ef, o.k)
				if err != nil {
					return fmt.Errorf("search %s: %w", c.name(), err)
				}
				results[i].add(ef, dataset.Recall(set.Truth, found, o.k), float64(len(found))/seconds)
			}
		}
	}
	for _, c := range contestants {
		err = errors.Join(err, c.close())
	}
	report(out, results)
	return errors.Join(err, json.NewEncoder(out).Encode(results))
}

func (o options) data(ctx context.Context) (set dataset.Set, err error) {
	if o.base == "" {
		shape := dataset.Clustered(o.rows, o.queries, o.dim)
		shape.HeavyTail, shape.Duplicates, shape.Seed = o.heavyTail, o.duplicates, o.seed
		set = dataset.Generate(shape)
		set.Name = fmt.Sprintf("generated %dk×%d", o.rows/1000, o.dim)
	} else {
		set.Name = o.base
		if set.Base, err = dataset.ReadMatrix(o.base, o.dim); err != nil {
			return set, err
		}
		if o.query != "" {
			set.Queries, err = dataset.ReadMatrix(o.query, o.dim)
		} else {
			cut := (set.Base.Rows() - o.queries) * set.Base.Dim
			if cut <= 0 {
				return set, fmt.Errorf("%s has only %d rows", o.base, set.Base.Rows())
			}
			set.Queries = dataset.Matrix{Dim: set.Base.Dim, Data: set.Base.Data[cut:]}
			set.Base.Data = set.Base.Data[:cut]
		}
		if err != nil {
			return set, err
		}
	}
	metric := dataset.L2
	if o.metric == "dot" {
		metric = dataset.Dot
	}
	set.Truth, err = dataset.Truth(ctx, set.Base, set.Queries, metric, o.k, nil)
	return set, err
}

func (o options) contestants(dir string, set dataset.Set) ([]contestant, error) {
	list := []contestant{&ours{dir: dir, set: set, metric: o.metric}}
	base, query := dir+"/base.fvecs", dir+"/query.fvecs"
	if err := errors.Join(dataset.WriteMatrix(base, set.Base), dataset.WriteMatrix(query, set.Queries)); err != nil {
		return nil, err
	}
	for _, name := range o.libraries {
		p, err := startPeer(o.python, o.script, name)
		if err != nil {
			return nil, err
		}
		if err := p.ask(map[string]any{"load": map[string]any{"base": base, "queries": query, "metric": o.metric}}, nil); err != nil {
			return nil, fmt.Errorf("load into %s: %w", name, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// cost is what a build took.
type cost struct {
	CPU, Wall float64 // seconds
}

// contestant is one library.
type contestant interface {
	name() string
	build(ctx context.Context, o options) (cost, error)
	// search answers all queries on one thread.
	search(ctx context.Context, ef, k int) (found [][]uint32, seconds float64, err error)
	close() error
}

// result is what was measured of one library.
type result struct {
	Name   string
	Build  cost
	Points []measured
}

// measured is one ef, over all rounds.
type measured struct {
	Ef     int
	Recall float64
	QPS    []float64
}

func (r *result) add(ef int, recall, qps float64) {
	for i := range r.Points {
		if p := &r.Points[i]; p.Ef == ef {
			p.QPS = append(p.QPS, qps)
			return
		}
	}
	r.Points = append(r.Points, measured{Ef: ef, Recall: recall, QPS: []float64{qps}})
}

func (m measured) median() float64 {
	sorted := slices.Sorted(slices.Values(m.QPS))
	return sorted[len(sorted)/2]
}

// at returns the median QPS at a recall, interpolated between the two nearest
// measured points; 0 when that recall was not reached.
func (r *result) at(recall float64) float64 {
	for i, p := range r.Points {
		if p.Recall < recall {
			continue
		}
		if i == 0 {
			return p.median()
		}
		low := r.Points[i-1]
		part := (recall - low.Recall) / (p.Recall - low.Recall)
		return low.median() + part*(p.median()-low.median())
	}
	return 0
}

func report(out io.Writer, results []result) {
	targets := []float64{0.90, 0.95, 0.99}
	w := table.NewWriter()
	w.SetOutputMirror(out)
	head := table.Row{"library", "points/CPU-s"}
	for _, t := range targets {
		head = append(head, fmt.Sprintf("QPS at %.2f", t), "ours ×")
	}
	w.AppendHeader(head)
	for i := range results {
		r := &results[i]
		row := table.Row{r.Name, fmt.Sprintf("ours × %.2f", r.Build.CPU/results[0].Build.CPU)}
		for _, t := range targets {
			row = append(row, fmt.Sprintf("%.0f", r.at(t)), fmt.Sprintf("%.2f", results[0].at(t)/r.at(t)))
		}
		w.AppendRow(row)
	}
	w.Render()
}
