package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The libraries that peer.py knows.
var libraries = []string{"hnswlib", "faiss-hnsw", "faiss-hnswsq", "usearch", "usearch-f16", "usearch-i8"}

// options are those of the command line, checked.
type options struct {
	rows, queries, dim  int
	base, query, metric string
	m, efc, threads, k  int
	rounds              int
	efs                 []int
	targets, passing    []float64
	libraries           []string
	python, script      string
	cache               string
	json                string
	cpuProfile          string
	buildProfile        string
	heavyTail           float64
	duplicates          int
	seed                uint64
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(errs)
	f.IntVar(&o.rows, "rows", 300_000, "rows to generate")
	f.IntVar(&o.queries, "queries", 2000, "queries to generate, or to take out of -base")
	f.IntVar(&o.dim, "dim", 128, "dimension to generate, or of the rows of an .f32 file")
	f.StringVar(&o.base, "base", "", "rows from a .fvecs, .npy or .f32 `file` instead")
	f.StringVar(&o.query, "query", "", "queries from a `file`; by default rows drawn from -base, which leave it")
	f.StringVar(&o.metric, "metric", "l2", "l2, dot or cosine; cosine brings all rows to length 1 first")
	f.IntVar(&o.m, "m", 16, "links per node")
	f.IntVar(&o.efc, "efc", 200, "ef of construction")
	f.IntVar(&o.threads, "threads", 2, "threads of construction")
	f.IntVar(&o.k, "k", 10, "neighbours to find")
	f.IntVar(&o.rounds, "rounds", 3, "rounds of searches; an odd number has a median")
	efs := f.String("ef", "5,6,8,10,12,16,24,32,48,64,96,128,192,256,384,512,768", "`list` of ef to search with")
	targets := f.String("recall", "0.90,0.95,0.99", "`list` of recalls to compare at")
	f.StringVar(&o.python, "python", "python3", "the Python that has the libraries")
	f.StringVar(&o.script, "script", "bench/peers/peer.py", "the script that runs a library")
	f.StringVar(&o.cache, "cache", "", "keep the peers' indexes in this `directory` for the next run")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "write a profile of our searches to this `file`")
	f.StringVar(&o.buildProfile, "buildprofile", "", "write a profile of our build to this `file`")
	f.StringVar(&o.json, "json", "", "write all that was measured to this `file`")
	f.Float64Var(&o.heavyTail, "tail", 0, "sigma of log-normal norms, of generated rows")
	f.IntVar(&o.duplicates, "duplicates", 0, "identical rows, of generated ones")
	f.Uint64Var(&o.seed, "seed", 0, "of the generated data")
	passing := f.String("passing", "", "also measure ours with filters that let these shares of the rows pass, a `list`, at ef of construction")
	names := f.String("libraries", strings.Join(libraries, ","), "`list` of libraries to compare with; may be empty")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	var err error
	if o.efs, err = list(*efs, strconv.Atoi); err != nil {
		return o, fmt.Errorf("-ef: %w", err)
	}
	number := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	if o.targets, err = list(*targets, number); err != nil {
		return o, fmt.Errorf("-recall: %w", err)
	}
	if *passing != "" {
		if o.passing, err = list(*passing, number); err != nil {
			return o, fmt.Errorf("-passing: %w", err)
		}
	}
	if *names != "" {
		o.libraries = strings.Split(*names, ",")
	}
	return o, o.check()
}

// list parses a list and orders it.
func list[T int | float64](text string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for word := range strings.SplitSeq(text, ",") {
		v, err := parse(strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", word)
		}
		all = append(all, v)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (o options) check() error {
	for name, v := range map[string]int{
		"rows": o.rows, "queries": o.queries, "dim": o.dim, "m": o.m, "efc": o.efc,
		"threads": o.threads, "k": o.k, "rounds": o.rounds, "ef": o.efs[0],
	} {
		if v < 1 {
			return fmt.Errorf("-%s: %d is less than 1", name, v)
		}
	}
	for name, shares := range map[string][]float64{"recall": o.targets, "passing": o.passing} {
		if n := len(shares); n > 0 && (shares[0] <= 0 || shares[n-1] > 1) {
			return fmt.Errorf("-%s: %g to %g is not within (0, 1]", name, shares[0], shares[n-1])
		}
	}
	if !slices.Contains([]string{"l2", "dot", "cosine"}, o.metric) {
		return fmt.Errorf("-metric: %q is none of l2, dot and cosine", o.metric)
	}
	for _, name := range o.libraries {
		if !slices.Contains(libraries, name) {
			return fmt.Errorf("-libraries: %q is none of %s", name, strings.Join(libraries, ", "))
		}
	}
	return nil
}
