package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/bench/load"
)

// benchFlags are the flags of the bench command.
type benchFlags struct {
	load.Options
	rest, grpc, apiKey    string
	base, queries, metric string
	rows, asks, dim       int
	json, picture         string
	progress              bool
	heavyTail             float64
	duplicates, seed      int
}

func newBench() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a running server: upload, index, search",
		Long: `Measures any server with Qdrant's API: uploads vectors, waits until they are
indexed, then searches over a sweep of hnsw_ef, parallel clients and filter
selectivity, and compares with the exact answers. The collection "benchmark" is
made anew.`,
		Example: `  sextant bench --grpc localhost:6334 --rows 300000 --dim 128
  sextant bench --rest http://localhost:6333 --base sift_base.fvecs --queries sift_query.fvecs --picture sift.svg
  sextant bench --selectivity 0.01,0.1,0.5,1 --parallel 1,2,8 --json out.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.grpc, "grpc", "localhost:6334", "gRPC address; empty to search over REST")
	flags.StringVar(&f.rest, "rest", "http://localhost:6333", "REST address")
	flags.StringVar(&f.apiKey, "api-key", "", "API key")
	flags.StringVar(&f.base, "base", "", "vectors from a .fvecs, .npy or .f32 file (raw rows, as h5dump -b LE writes them); generated when empty")
	flags.StringVar(&f.queries, "queries", "", "queries from such a file")
	flags.StringVar(&f.metric, "metric", "l2", "l2 or dot")
	flags.IntVar(&f.rows, "rows", 100_000, "generated rows")
	flags.IntVar(&f.asks, "asks", 1000, "generated queries")
	flags.IntVar(&f.dim, "dim", 128, "dimension of generated or raw rows")
	flags.Float64Var(&f.heavyTail, "tail", 0, "sigma of generated log-normal norms")
	flags.IntVar(&f.duplicates, "duplicates", 0, "generated identical rows")
	flags.IntVar(&f.seed, "seed", 0, "of generated data")
	flags.IntVar(&f.K, "k", 10, "neighbours per query")
	flags.IntVar(&f.M, "m", 0, "hnsw m; 0 is the server's default")
	flags.IntVar(&f.EfConstruct, "ef-construct", 0, "hnsw ef_construct; 0 is the server's default")
	flags.IntVar(&f.Batch, "batch", 500, "points per upload request")
	flags.IntVar(&f.Uploaders, "uploaders", 2, "upload requests side by side")
	flags.IntSliceVar(&f.Efs, "ef", nil, "hnsw_ef values (default 16,32,…,512)")
	flags.IntSliceVar(&f.Parallel, "parallel", []int{1}, "numbers of clients")
	flags.Float64SliceVar(&f.Selectivities, "selectivity", []float64{1}, "shares of points that pass a filter; 1 is no filter")
	flags.Float64Var(&f.MinSeconds, "seconds", 2, "least time of one measurement")
	flags.BoolVar(&f.SkipUpload, "skip-upload", false, "search what an earlier run uploaded")
	flags.StringVar(&f.json, "json", "", "write the report to this file; - for standard output")
	flags.StringVar(&f.picture, "picture", "", "draw recall against QPS into this .svg or .png file")
	flags.BoolVar(&f.progress, "progress", true, "say what is going on")
	cmd.AddCommand(newBenchDoors())
	return cmd
}

func (f *benchFlags) run(cmd *cobra.Command) (err error) {
	set, err := f.data()
	if err != nil {
		return err
	}
	target, err := f.target()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if f.progress {
		f.Progress = func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }
	}
	report, err := load.Run(cmd.Context(), target, set, f.Options)
	if err != nil {
		return err
	}
	report.Table(cmd.OutOrStdout())
	if f.picture != "" {
		if err := report.Picture(f.picture); err != nil {
			return fmt.Errorf("draw %s: %w", f.picture, err)
		}
	}
	return f.writeJSON(cmd.OutOrStdout(), report)
}

func (f *benchFlags) writeJSON(stdout io.Writer, report *load.Report) error {
	if f.json == "" {
		return nil
	}
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	if f.json == "-" {
		_, err = stdout.Write(raw)
		return err
	}
	return os.WriteFile(f.json, raw, 0o644) //nolint:gosec // a report for others to read
}

func (f *benchFlags) data() (set dataset.Set, err error) {
	switch f.metric {
	case "l2":
		f.Metric = dataset.L2
	case "dot":
		f.Metric = dataset.Dot
	default:
		return set, fmt.Errorf("unknown metric %q: l2 or dot", f.metric)
	}
	if f.base == "" {
		shape := dataset.Clustered(f.rows, f.asks, f.dim)
		shape.HeavyTail, shape.Duplicates, shape.Seed = f.heavyTail, f.duplicates, uint64(f.seed)
		set = dataset.Generate(shape)
		set.Name = "generated"
		return set, nil
	}
	if f.queries == "" {
		return set, errors.New("--base needs --queries")
	}
	set.Name = f.base
	if set.Base, err = dataset.ReadMatrix(f.base, f.dim); err != nil {
		return set, err
	}
	if set.Queries, err = dataset.ReadMatrix(f.queries, f.dim); err != nil {
		return set, err
	}
	if set.Base.Dim != set.Queries.Dim {
		return set, fmt.Errorf("rows have dimension %d, queries %d", set.Base.Dim, set.Queries.Dim)
	}
	return set, nil
}

func (f *benchFlags) target() (load.Target, error) {
	if f.grpc == "" {
		if _, err := url.Parse(f.rest); err != nil {
			return nil, fmt.Errorf("--rest: %w", err)
		}
		return load.NewREST(f.rest, f.apiKey), nil
	}
	host, portText, err := net.SplitHostPort(f.grpc)
	if err != nil {
		return nil, fmt.Errorf("--grpc: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("--grpc: %w", err)
	}
	return load.NewGRPC(host, port, 0, f.rest, f.apiKey)
}
