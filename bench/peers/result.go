package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// setting is a way of searching.
type setting struct {
	Ef int `json:"ef"`
	// Refine is how many times k candidates, found by their codes, are compared
	// again with the raw rows; 0 leaves that to the library.
	Refine int `json:"refine,omitempty"`
}

// result is what was measured of one library.
type result struct {
	Name    string
	Version string
	Build   cost
	Points  []point
}

// point is one setting, over all rounds.
type point struct {
	setting
	Recall float64
	// QPS are queries per second of wall time, PerCPU per second of processor
	// time; one of each a round.
	QPS, PerCPU []float64
}

// clock chooses one of a point's speeds.
type clock func(point) []float64

func wallClock(p point) []float64 { return p.QPS }
func cpuClock(p point) []float64  { return p.PerCPU }

// add notes a round's searches with a setting.
func (r *result) add(s setting, recall float64, queries int, a answers) {
	i := slices.IndexFunc(r.Points, func(p point) bool { return p.setting == s })
	if i < 0 {
		i = len(r.Points)
		r.Points = append(r.Points, point{setting: s, Recall: recall})
	}
	p := &r.Points[i]
	// A clock may not have moved during a few queries.
	p.QPS = append(p.QPS, float64(queries)/max(a.wall, 1e-9))
	p.PerCPU = append(p.PerCPU, float64(queries)/max(a.cpu, 1e-9))
}

// frontier returns the settings that a user would choose: those that no other
// beats in recall and in median speed. Recall rises along it and speed falls.
func (r *result) frontier(by clock) []point {
	points := slices.Clone(r.Points)
	slices.SortStableFunc(points, func(a, b point) int {
		return cmp.Or(-cmp.Compare(a.Recall, b.Recall), -cmp.Compare(median(by(a)), median(by(b))))
	})
	var best []point
	for _, p := range points {
		if len(best) == 0 || median(by(p)) > median(by(best[len(best)-1])) {
			best = append(best, p)
		}
	}
	slices.Reverse(best)
	return best
}

// speed is how fast a library is at a recall.
type speed struct {
	// rounds has a speed for each round; nil when the recall was never reached.
	rounds []float64
	// atLeast tells that even the fastest setting has a higher recall: the speed is
	// that setting's, and one could do with less.
	atLeast bool
	// recall is that of the setting, when atLeast; otherwise the one asked for.
	recall float64
}

// at returns the speed at a recall. Between two settings it is interpolated
// linearly, in each round on its own.
func (r *result) at(recall float64, by clock) speed {
	points := r.frontier(by)
	i := slices.IndexFunc(points, func(p point) bool { return p.Recall >= recall })
	switch {
	case i < 0:
		return speed{recall: recall}
	case i == 0:
		return speed{rounds: by(points[0]), recall: points[0].Recall, atLeast: points[0].Recall > recall}
	}
	low, high := points[i-1], points[i]
	part := (recall - low.Recall) / (high.Recall - low.Recall)
	s := speed{recall: recall, rounds: make([]float64, len(by(high)))}
	for round := range s.rounds {
		a, b := by(low)[round], by(high)[round]
		s.rounds[round] = a + part*(b-a)
	}
	return s
}

func (s speed) String() string {
	if s.rounds == nil {
		return "not reached"
	}
	out := fmt.Sprintf("%.0f", median(s.rounds))
	if s.atLeast {
		out = fmt.Sprintf("≥ %s (has %.4f)", out, s.recall)
	}
	return out
}

// ratio is how many times as fast one library is as another.
type ratio struct {
	median, least, most float64
	// sign is "≥" or "≤" when the recall of one was higher than asked for, "~" when
	// that of both was.
	sign string
}

// ratioOf divides the speeds of the same round, because a slow moment of the
// machine slows both; ok is false when one never reached the recall.
func ratioOf(a, b speed) (r ratio, ok bool) {
	if a.rounds == nil || b.rounds == nil {
		return ratio{}, false
	}
	all := make([]float64, min(len(a.rounds), len(b.rounds)))
	for i := range all {
		all[i] = a.rounds[i] / b.rounds[i]
	}
	r = ratio{median: median(all), least: slices.Min(all), most: slices.Max(all)}
	switch {
	case a.atLeast && b.atLeast:
		r.sign = "~ "
	case a.atLeast:
		r.sign = "≥ "
	case b.atLeast:
		r.sign = "≤ "
	}
	return r, true
}

func (r ratio) String() string {
	return fmt.Sprintf("%s%.2f (%.2f–%.2f)", r.sign, r.median, r.least, r.most)
}

// median is the middle of an odd number of values, the lower middle of an even
// one.
func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[(len(values)-1)/2]
}

// report prints the builds, and the speeds at each recall; the first result is
// ours.
func report(out io.Writer, results []*result, targets []float64) {
	w := newTable(out, "library", "version", "build, CPU-s", "s", "ours ×")
	for _, r := range results {
		w.AppendRow(table.Row{
			r.Name, r.Version, fmt.Sprintf("%.1f", r.Build.CPU), fmt.Sprintf("%.1f", r.Build.Wall),
			fmt.Sprintf("%.2f", r.Build.CPU/results[0].Build.CPU),
		})
	}
	w.Render()
	w = newTable(out, "recall", "library", "queries/CPU-s", "ours ×", "queries/s", "ours ×")
	for _, target := range targets {
		for _, r := range results {
			row := table.Row{fmt.Sprintf("%.3g", target), r.Name}
			for _, by := range []clock{cpuClock, wallClock} {
				s := r.at(target, by)
				cell := "–"
				if times, ok := ratioOf(results[0].at(target, by), s); ok && r != results[0] {
					cell = times.String()
				}
				row = append(row, s.String(), cell)
			}
			w.AppendRow(row)
		}
		w.AppendSeparator()
	}
	w.Render()
}

func newTable(out io.Writer, head ...any) table.Writer {
	w := table.NewWriter()
	w.SetStyle(table.StyleLight)
	w.Style().Format.Header = text.FormatDefault
	w.SetOutputMirror(out)
	w.AppendHeader(head)
	return w
}
