package load

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// Table prints the report for people.
func (r *Report) Table(out io.Writer) {
	fmt.Fprintf(out, "%s: %d rows × %d; upload %.1f s, indexed after %.1f s (%.1f CPU-s), server resident %.0f MiB\n",
		r.Data, r.Rows, r.Dim, r.UploadSeconds, r.ReadySeconds, r.ReadyCPU, float64(r.ResidentBytes)/(1<<20))
	w := table.NewWriter()
	w.SetOutputMirror(out)
	w.AppendHeader(table.Row{"selectivity", "clients", "ef", "recall", "QPS", "p50 ms", "p95 ms", "p99 ms", "server CPU ms"})
	for _, s := range r.Searches {
		w.AppendRow(table.Row{
			fmt.Sprintf("%g %%", s.Selectivity*100), s.Parallel, s.Ef, fmt.Sprintf("%.4f", s.Recall), fmt.Sprintf("%.0f", s.QPS),
			fmt.Sprintf("%.2f", s.P50), fmt.Sprintf("%.2f", s.P95), fmt.Sprintf("%.2f", s.P99), fmt.Sprintf("%.3f", s.CPU),
		})
	}
	w.Render()
}

// Picture draws recall against QPS, a line for each selectivity and parallelism,
// into a file whose extension (.svg, .png, .pdf) says how.
func (r *Report) Picture(name string) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s, %d × %d", r.Data, r.Rows, r.Dim)
	p.X.Label.Text, p.Y.Label.Text = "recall", "queries per second"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	lines := map[string]plotter.XYs{}
	for _, s := range r.Searches {
		label := fmt.Sprintf("%g %%, %d clients", s.Selectivity*100, s.Parallel)
		lines[label] = append(lines[label], plotter.XY{X: s.Recall, Y: s.QPS})
	}
	var args []any
	for _, label := range slices.Sorted(maps.Keys(lines)) {
		args = append(args, label, lines[label])
	}
	if err := plotutil.AddLinePoints(p, args...); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	p.Legend.Top = true
	return p.Save(8*vg.Inch, 5*vg.Inch, name)
}
