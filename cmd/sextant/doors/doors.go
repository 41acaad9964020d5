// Package doors measures what the doors of a node cost: it runs the same queries
// on the same data inside this process (package embedded) and through the gRPC
// and REST doors of a node in a process of its own, in turn, and compares the
// processor time of a query. The callers of the doors are in this process, so
// that their own time doesn't count. Beside it stands, when asked for, what no
// door could spare: a search that comes after a pause, and a server of grpc-go that
// only computes (ServeFloor).
//
// Caller: `sextant bench doors`.
package doors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/bench/load"
	"github.com/sextantdb/sextant/internal/nodeprocess"
)

// Options are the plan of a run.
type Options struct {
	// Dir holds the data; what an earlier run left there is used again.
	Dir string
	// Binaries are the nodes to measure, one after the other in each round.
	Binaries []string
	// Env is added to the environment of the nodes.
	Env []string
	// Efs are the values of hnsw_ef; 0 leaves it to the server.
	Efs []int
	// Clients ask at the same time, each over a connection of its own.
	Clients int
	// Depths are how many requests each client has under way: with 1 it waits for
	// an answer before it asks again, with more the hops between threads come in
	// batches.
	Depths []int
	// Rounds repeat everything; the medians count.
	Rounds int
	// Seconds is the least time of one measurement.
	Seconds float64
	// REST measures the REST door, too.
	REST bool
	// Floor is a command that runs ServeFloor, to which "--busy" and how long are
	// added: what grpc-go itself costs is measured, too. Empty is not to.
	Floor []string
	// Progress hears what is going on.
	Progress func(format string, args ...any)
}

// Row is what one way to ask costs, as the medians of all rounds.
type Row struct {
	// Way says how it was asked, Binary by which node (as a place in
	// Options.Binaries).
	Way    string
	Binary int
	Ef     int
	// Clients asked at the same time, with Depth requests under way each.
	Clients int
	Depth   int
	Recall  float64
	QPS     float64
	// CPU is the processor time of a query in µs, without the callers'.
	CPU float64
	// Share is the processor time of the same query inside a process, on one
	// thread, as a part of CPU: the QPS per core compared with those in process.
	Share float64
}

// Names of ways.
const (
	inProcess   = "in process"
	afterPauses = "in process, after pauses"
	floorName   = "gRPC floor"
)

// way is what is measured together.
type way struct {
	name    string
	binary  int
	ef      int
	clients int
	depth   int
}

// run collects the measurements.
type run struct {
	Options
	set   dataset.Set
	order []way
	found map[way][]load.Search
}

// Run uploads set unless it is there, and measures.
func Run(ctx context.Context, set dataset.Set, o Options) ([]Row, error) {
	r := &run{Options: o, set: set, found: map[way][]load.Search{}}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	for round := range o.Rounds {
		o.Progress("round %d", round+1)
		if err := r.inside(ctx); err != nil {
			return nil, fmt.Errorf("measure in process: %w", err)
		}
		if len(r.Floor) > 0 {
			if err := r.floor(ctx); err != nil {
				return nil, fmt.Errorf("measure the floor: %w", err)
			}
		}
		for i := range o.Binaries {
			if err := r.doors(ctx, i); err != nil {
				return nil, fmt.Errorf("measure %s: %w", o.Binaries[i], err)
			}
		}
	}
	return r.rows(), nil
}

// prepare makes the data and the exact answers.
func (r *run) prepare(ctx context.Context) error {
	if r.set.Truth == nil {
		r.Progress("computing the exact answers")
		var err error
		if r.set.Truth, err = dataset.Truth(ctx, r.set.Base, r.set.Queries, dataset.L2, neighbours, nil); err != nil {
			return err
		}
	}
	return r.within(ctx, func(db *inside) error {
		n, err := db.points(ctx)
		if err != nil {
			return err
		}
		if n == uint64(r.set.Base.Rows()) {
			return nil
		}
		if n > 0 {
			return fmt.Errorf("%s holds %d points instead of %d: name another directory", r.Dir, n, r.set.Base.Rows())
		}
		o := load.Options{Efs: []int{0}, MinSeconds: 0.1, Progress: r.Progress}
		_, err = load.Run(ctx, db, r.set, o)
		return err
	})
}

// within opens the data in this process for a while.
func (r *run) within(ctx context.Context, use func(*inside) error) error {
	db, err := openInside(ctx, filepath.Join(r.Dir, nodeprocess.Storage))
	if err != nil {
		return err
	}
	return errors.Join(use(db), db.Close())
}

// inside measures in this process, once on a single thread, which everything is
// compared with, and once with as many as there are clients.
func (r *run) inside(ctx context.Context) error {
	return r.within(ctx, func(db *inside) error {
		for _, clients := range slices.Compact([]int{1, r.Clients}) {
			if err := r.measure(ctx, way{name: inProcess, clients: clients, depth: 1}, r.Efs, db); err != nil {
				return err
			}
		}
		if len(r.Floor) == 0 {
			return nil
		}
		return r.measure(ctx, way{name: afterPauses, clients: 1, depth: 1}, r.Efs, &rested{inside: db})
	})
}

// doors starts a node and measures its doors.
func (r *run) doors(ctx context.Context, binary int) (err error) {
	n, err := nodeprocess.New(ctx, nodeprocess.Options{Binary: r.Binaries[binary], Dir: r.Dir, Env: r.Env})
	if err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Stop()) }()
	grpc, err := load.NewGRPC(nodeprocess.Host, n.GRPC, r.Clients, n.URL(""), "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, grpc.Close()) }()
	for _, depth := range r.Depths {
		if err := r.measure(ctx, way{name: "gRPC", binary: binary, clients: r.Clients, depth: depth}, r.Efs, grpc); err != nil {
			return err
		}
	}
	if !r.REST {
		return nil
	}
	rest := load.NewREST(n.URL(""), "")
	return errors.Join(r.measure(ctx, way{name: "REST", binary: binary, clients: r.Clients, depth: 1}, r.Efs, rest), rest.Close())
}

// measure asks all queries by one way, whose ef is replaced by each of efs.
func (r *run) measure(ctx context.Context, w way, efs []int, target load.Target) error {
	report, err := load.Run(ctx, target, r.set, load.Options{
		K: neighbours, Efs: efs, Parallel: []int{w.clients * w.depth}, MinSeconds: r.Seconds, SkipUpload: true,
	})
	if err != nil {
		return err
	}
	for _, s := range report.Searches {
		w.ef = s.Ef
		if r.found[w] == nil {
			r.order = append(r.order, w)
		}
		r.found[w] = append(r.found[w], s)
		r.Progress("%s %d, ef %d, %d × %d requests: %.1f µs, %.0f QPS", w.name, w.binary, w.ef, w.clients, w.depth, s.CPU*1000, s.QPS)
	}
	return nil
}

// rows reduces the rounds to medians, by ef.
func (r *run) rows() []Row {
	rows := make([]Row, 0, len(r.order))
	for _, w := range r.order {
		base := median(r.found[way{name: inProcess, ef: w.ef, clients: 1, depth: 1}], func(s load.Search) float64 { return s.CPU })
		cpu := median(r.found[w], func(s load.Search) float64 { return s.CPU })
		rows = append(rows, Row{
			Way: w.name, Binary: w.binary, Ef: w.ef, Clients: w.clients, Depth: w.depth,
			Recall: median(r.found[w], func(s load.Search) float64 { return s.Recall }),
			QPS:    median(r.found[w], func(s load.Search) float64 { return s.QPS }),
			CPU:    cpu * 1000, Share: ratio(base, cpu),
		})
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.Ef, b.Ef) })
	return rows
}

// ratio is 0 when there is nothing to compare with: a node tells its processor
// time in steps of 10 ms.
func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

func median(list []load.Search, of func(load.Search) float64) float64 {
	values := make([]float64, len(list))
	for i, s := range list {
		values[i] = of(s)
	}
	slices.Sort(values)
	mid := len(values) / 2
	if len(values)%2 == 0 {
		return (values[mid-1] + values[mid]) / 2
	}
	return values[mid]
}

// Table prints rows for people.
func Table(out io.Writer, rows []Row, binaries []string) {
	w := table.NewWriter()
	w.SetOutputMirror(out)
	w.AppendHeader(table.Row{"ef", "way", "clients", "requests each", "recall", "QPS", "CPU µs a query", "QPS per core / in process"})
	for _, r := range rows {
		name := r.Way
		if len(binaries) > 1 && (r.Way == "gRPC" || r.Way == "REST") {
			name += " of " + binaries[r.Binary]
		}
		ef := "default"
		if r.Ef > 0 {
			ef = strconv.Itoa(r.Ef)
		}
		recall := fmt.Sprintf("%.4f", r.Recall)
		if r.Way == floorName {
			recall = "-" // nothing was searched
		}
		w.AppendRow(table.Row{
			ef, name, r.Clients, r.Depth, recall, fmt.Sprintf("%.0f", r.QPS), fmt.Sprintf("%.1f", r.CPU),
			fmt.Sprintf("%.0f %%", r.Share*100),
		})
	}
	w.Render()
}
