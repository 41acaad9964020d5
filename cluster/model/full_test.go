package model

import (
	"fmt"
	"os"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
)

// fullBounds are searched by `make model`.
func fullBounds() []Bounds {
	return []Bounds{
		// Two nodes: crashes and lost copies.
		{Nodes: 2, Log: 2, Ops: 2, Epochs: 4, Versions: 5, Crashes: 1, Wipes: 1, GroupFence: true},
	}
}

// TestFull searches farther than the other tests can, and prints what it did as a table.
func TestFull(t *testing.T) {
	if os.Getenv("SEXTANT_MODEL") != "full" {
		t.Skip("make model runs it: SEXTANT_MODEL=full")
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer func() { require.NoError(t, w.Flush()) }()
	row := func(bounds, rules, states, transitions, depth, took, result any) {
		fmt.Fprintf(w, "%v\t%v\t%v\t%v\t%v\t%v\t%v\n", bounds, rules, states, transitions, depth, took, result)
	}
	row("bounds", "off", "states", "transitions", "depth", "time", "result")
	run := func(b Bounds, broken Break, want Invariant) {
		m, err := New(b, broken)
		require.NoError(t, err)
		start := time.Now()
		r := Search(m, 2)
		result := "holds"
		switch {
		case r.Violation != nil:
			result = fmt.Sprintf("%s, %d actions", r.Violation.Invariant, len(r.Trace)-1)
		case !r.Complete:
			result = "not finished"
		}
		off := "-"
		if broken != 0 {
			off = broken.String()
		}
		row(b, off, r.States, r.Transitions, r.Depth, time.Since(start).Round(10*time.Millisecond), result)
		if want == "" && (r.Violation != nil || !r.Complete) || want != "" && (r.Violation == nil || r.Violation.Invariant != want) {
			t.Errorf("%v, %v: %s\n%s", b, broken, result, explain(r))
		}
	}
	for _, c := range brokenRules() {
		run(c.bounds, c.broken, c.want)
	}
	for _, c := range redundantRules() {
		run(c.bounds, c.broken, "")
	}
	for _, b := range fullBounds() {
		run(b, 0, "")
	}
}
