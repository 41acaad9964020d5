// Package load measures a running, Qdrant-compatible server: upload, time until
// the index is built, then searches over a sweep of hnsw_ef, parallelism and
// filter selectivity, compared with the exact answers.
//
// It speaks the public API only, so it measures this server and any other that
// serves it. Caller: the bench command.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/bench/dataset"
)

// buckets is the number of values of the field by which searches filter: a
// selectivity s is "bucket < s·buckets".
const buckets = 1000

// bucketOf spreads the rows over the buckets independently of their order.
func bucketOf(row int) int { return int(uint64(row) * 0x9E3779B97F4A7C15 >> 32 % buckets) }

// Target is a server under test.
type Target interface {
	// Create makes the collection anew, with an integer index on "bucket" if it is
	// to be filtered.
	Create(ctx context.Context, c Collection) error
	// Upload stores rows first, first+1, … with their buckets, or without any
	// payload when buckets is nil.
	Upload(ctx context.Context, first int, rows dataset.Matrix, buckets []int) error
	// Ready says whether everything is indexed.
	Ready(ctx context.Context) (bool, error)
	// Search returns the rows nearest to a vector. An ef of 0 is the server's own;
	// below restricts the bucket, and 0 doesn't.
	Search(ctx context.Context, vector []float32, k, ef, below int) ([]uint32, error)
	// Usage returns what the server uses; zeros when it doesn't say.
	Usage(ctx context.Context) (Usage, error)
	io.Closer
}

// Usage is what a server process uses.
type Usage struct {
	// Resident is the resident memory in bytes.
	Resident uint64
	// CPU is the processor time since the start in seconds.
	CPU float64
}

// Collection is what a Target creates.
type Collection struct {
	Dim            int
	Metric         dataset.Metric
	M, EfConstruct int
	// Filtered says that rows have buckets, by which some searches filter.
	Filtered bool
}

// Options are the plan of a run. The zero value of a field is its default.
type Options struct {
	// K is how many neighbours are asked for: 10.
	K int
	// M and EfConstruct are the graph's parameters; 0 leaves them to the server.
	M, EfConstruct int
	// Batch is the number of points of one upload request: 500. Uploaders run
	// side by side: 2.
	Batch, Uploaders int
	// Efs, Parallel and Selectivities are swept: {16 … 512}, {1}, {1}. A
	// selectivity of 1 is no filter.
	Efs           []int
	Parallel      []int
	Selectivities []float64
	// Metric is what near means.
	Metric dataset.Metric
	// MinSeconds is the least time of one measurement: the queries are asked again
	// until then. 2 by default.
	MinSeconds float64
	// SkipUpload searches what is already there, which a run with filters uploaded
	// if this one has some.
	SkipUpload bool
	// Progress hears what is going on; nil is silence.
	Progress func(format string, args ...any)
}

func (o Options) withDefaults() Options {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&o.K, 10)
	def(&o.Batch, 500)
	def(&o.Uploaders, 2)
	if len(o.Efs) == 0 {
		o.Efs = []int{16, 32, 64, 128, 256, 512}
	}
	if len(o.Parallel) == 0 {
		o.Parallel = []int{1}
	}
	if len(o.Selectivities) == 0 {
		o.Selectivities = []float64{1}
	}
	if o.MinSeconds <= 0 {
		o.MinSeconds = 2
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	return o
}

// Report is everything that was measured.
type Report struct {
	Data          string  `json:"data"`
	Rows          int     `json:"rows"`
	Dim           int     `json:"dim"`
	UploadSeconds float64 `json:"upload_seconds"`
	// ReadySeconds is from the start of the upload until all is indexed.
	ReadySeconds float64 `json:"ready_seconds"`
	// ReadyCPU is the server's processor time for upload and indexing, in seconds.
	ReadyCPU      float64  `json:"ready_cpu_seconds"`
	ResidentBytes uint64   `json:"resident_bytes"`
	Searches      []Search `json:"searches"`
}

// Search is one point of the sweep.
type Search struct {
	Ef          int     `json:"ef"`
	Parallel    int     `json:"parallel"`
	Selectivity float64 `json:"selectivity"`
	Recall      float64 `json:"recall"`
	QPS         float64 `json:"qps"`
	// The latencies are in milliseconds.
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
	// CPU is the server's processor time per search in milliseconds, 0 when it
	// doesn't say.
	CPU float64 `json:"server_cpu_ms"`
}

// Run carries out the plan.
func Run(ctx context.Context, target Target, set dataset.Set, o Options) (*Report, error) {
	o = o.withDefaults()
	report := &Report{Data: set.Name, Rows: set.Base.Rows(), Dim: set.Base.Dim}
	if !o.SkipUpload {
		if err := upload(ctx, target, set, o, report); err != nil {
			return nil, err
		}
	}
	usage, err := target.Usage(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask what the server uses: %w", err)
	}
	report.ResidentBytes = usage.Resident
	for _, s := range o.Selectivities {
		below := 0
		truth := set.Truth
		if s < 1 {
			below = max(1, int(math.Round(s*buckets)))
		}
		if s < 1 || truth == nil {
			o.Progress("computing the exact answers at selectivity %g", s)
			keep := func(row int) bool { return below == 0 || bucketOf(row) < below }
			if truth, err = dataset.Truth(ctx, set.Base, set.Queries, o.Metric, o.K, keep); err != nil {
				return nil, err
			}
		}
		for _, parallel := range o.Parallel {
			for _, ef := range o.Efs {
				one, err := sweep(ctx, target, set.Queries, truth, o, ef, parallel, below)
				if err != nil {
					return nil, err
				}
				one.Selectivity = s
				report.Searches = append(report.Searches, one)
				o.Progress("ef %d × %d clients, %g %%: recall %.4f, %.0f QPS, p99 %.2f ms", ef, parallel, s*100, one.Recall, one.QPS, one.P99)
			}
		}
	}
	return report, nil
}

func upload(ctx context.Context, target Target, set dataset.Set, o Options, report *Report) error {
	filtered := slices.ContainsFunc(o.Selectivities, func(s float64) bool { return s < 1 })
	c := Collection{Dim: set.Base.Dim, Metric: o.Metric, M: o.M, EfConstruct: o.EfConstruct, Filtered: filtered}
	if err := target.Create(ctx, c); err != nil {
		return fmt.Errorf("create the collection: %w", err)
	}
	before, err := target.Usage(ctx)
	if err != nil {
		return fmt.Errorf("ask what the server uses: %w", err)
	}
	start := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Uploaders)
	for first := 0; first < set.Base.Rows(); first += o.Batch {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			end := min(first+o.Batch, set.Base.Rows())
			rows := dataset.Matrix{Dim: set.Base.Dim, Data: set.Base.Data[first*set.Base.Dim : end*set.Base.Dim]}
			var numbers []int
			for i := first; filtered && i < end; i++ {
				numbers = append(numbers, bucketOf(i))
			}
			return target.Upload(gctx, first, rows, numbers)
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	report.UploadSeconds = time.Since(start).Seconds()
	o.Progress("uploaded %d rows in %.1f s", set.Base.Rows(), report.UploadSeconds)
	ready, err := untilReady(ctx, target)
	if err != nil {
		return err
	}
	report.ReadySeconds = ready.Sub(start).Seconds()
	after, err := target.Usage(ctx)
	if err != nil {
		return fmt.Errorf("ask what the server uses: %w", err)
	}
	report.ReadyCPU = after.CPU - before.CPU
	o.Progress("indexed after %.1f s, %.1f CPU-s of the server", report.ReadySeconds, report.ReadyCPU)
	return nil
}

// untilReady waits for an index that says ready several times in a row, since a
// server may be between two pieces of work, and tells when it did so first.
func untilReady(ctx context.Context, target Target) (since time.Time, err error) {
	const every, calmFor = 20 * time.Millisecond, 500 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for calm := time.Duration(0); calm < calmFor; {
		ready, err := target.Ready(ctx)
		if err != nil {
			return since, fmt.Errorf("ask whether the index is ready: %w", err)
		}
		if calm == 0 {
			since = time.Now()
		}
		if calm += every; !ready {
			calm = 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return since, ctx.Err()
		}
	}
	return since, nil
}

// sweep asks all queries, again and again for the least time, by clients that
// each have one request under way.
func sweep(ctx context.Context, target Target, queries dataset.Matrix, truth [][]uint32, o Options, ef, parallel, below int) (Search, error) {
	n := queries.Rows()
	if n == 0 {
		return Search{}, errors.New("there are no queries")
	}
	found := make([][]uint32, n)
	latencies := make([][]float64, parallel)
	before, err := target.Usage(ctx)
	if err != nil {
		return Search{}, err
	}
	var next atomic.Int64
	start := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	for client := range parallel {
		g.Go(func() error {
			for {
				i := int(next.Add(1) - 1)
				if i >= n && time.Since(start).Seconds() >= o.MinSeconds {
					return nil
				}
				asked := time.Now()
				rows, err := target.Search(gctx, queries.Row(i%n), o.K, ef, below)
				if err != nil {
					return fmt.Errorf("search: %w", err)
				}
				latencies[client] = append(latencies[client], time.Since(asked).Seconds()*1000)
				if i < n {
					found[i] = rows
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return Search{}, err
	}
	took := time.Since(start).Seconds()
	after, err := target.Usage(ctx)
	if err != nil {
		return Search{}, err
	}
	all := slices.Sorted(slices.Values(slices.Concat(latencies...)))
	at := func(q float64) float64 { return all[min(len(all)-1, int(q*float64(len(all))))] }
	return Search{
		Ef: ef, Parallel: parallel, Recall: dataset.Recall(truth, found, o.K), QPS: float64(len(all)) / took,
		P50: at(0.50), P95: at(0.95), P99: at(0.99), CPU: (after.CPU - before.CPU) * 1000 / float64(len(all)),
	}, nil
}
