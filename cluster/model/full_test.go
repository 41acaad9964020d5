package model

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fullBounds are searched by `make model`.
func fullBounds() []Bounds {
	return []Bounds{
		// Two nodes: crashes and lost copies.
		{Nodes: 2, Log: 2, Ops: 2, Epochs: 4, Versions: 5, Crashes: 1, Wipes: 1, GroupFence: true},
		{Nodes: 2, Log: 2, Ops: 2, Epochs: 3, Versions: 4, Crashes: 2, Wipes: 1, GroupFence: true, Moves: true},
		{Nodes: 2, Log: 1, Ops: 1, Epochs: 4, Versions: 6, Crashes: 2, Wipes: 1},
		// Everything that may happen to a leadership.
		{Nodes: 2, Log: 2, Ops: 2, Epochs: 3, Versions: 5, Crashes: 1, Wipes: 1, GroupFence: true, LazyDisk: true, HandOver: true, Reads: true, Compaction: true},
		{Nodes: 2, Log: 2, Ops: 2, Epochs: 3, Versions: 5, Crashes: 1, Relief: true, LazyDisk: true, Reads: true},
		// Many epochs and versions.
		{Nodes: 2, Log: 1, Ops: 1, Epochs: 5, Versions: 7, Crashes: 1, Wipes: 1},
		// Retries.
		{Nodes: 2, Log: 2, Ops: 2, Tries: 2, Epochs: 4, Versions: 5, Crashes: 1, GroupFence: true},
		{Nodes: 2, Log: 3, Ops: 3, Tries: 2, Epochs: 3, Versions: 4, Crashes: 1, GroupFence: true},
		// New copies that come and go.
		{Nodes: 2, Fresh: 1, Log: 2, Ops: 2, Epochs: 3, Versions: 6, Crashes: 1, Wipes: 2},
		{Nodes: 2, Fresh: 1, Log: 2, Ops: 2, Epochs: 3, Versions: 5, Crashes: 1, Wipes: 2, Moves: true, Reads: true, HandOver: true},
		// Data given up.
		{Nodes: 2, Log: 2, Ops: 2, Epochs: 3, Versions: 5, Crashes: 1, Forces: 1, Compaction: true, Reads: true},
		{Nodes: 2, Log: 1, Ops: 1, Epochs: 3, Versions: 5, Crashes: 1, Wipes: 1, Forces: 1, HandOver: true},
		// Three nodes.
		{Nodes: 3, Log: 1, Ops: 1, Epochs: 3, Versions: 5, HandOver: true, Reads: true},
		{Nodes: 3, Log: 1, Ops: 1, Epochs: 3, Versions: 4, Relief: true, Reads: true},
		{Nodes: 3, Log: 2, Ops: 2, Epochs: 3, Versions: 4, MinInSync: 2},
		{Nodes: 3, Log: 1, Ops: 1, Epochs: 3, Versions: 4, Crashes: 1, GroupFence: true, MinInSync: 2},
		{Nodes: 3, Log: 1, Ops: 1, Epochs: 3, Versions: 4, Wipes: 1, Moves: true},
		{Nodes: 3, Log: 1, Ops: 1, Epochs: 3, Versions: 3, Crashes: 1, Wipes: 1, LazyDisk: true, Reads: true},
		{Nodes: 3, Log: 1, Ops: 1, Epochs: 3, Versions: 4, Forces: 1, Compaction: true},
		{Nodes: 3, Log: 1, Ops: 1, Tries: 2, Epochs: 4, Versions: 4, GroupFence: true},
	}
}

// TestFull searches farther than the other tests can, and prints what it did as a table.
func TestFull(t *testing.T) {
	if os.Getenv("SEXTANT_MODEL") != "full" {
		t.Skip("make model runs it: SEXTANT_MODEL=full")
	}
	row := func(off, states, transitions, depth, took, result, bounds any) {
		fmt.Fprintf(os.Stdout, "%-39v %10v %12v %6v %8v  %-34v %v\n", off, states, transitions, depth, took, result, bounds)
	}
	row("off", "states", "transitions", "depth", "time", "result", "bounds")
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
		row(off, r.States, r.Transitions, r.Depth, time.Since(start).Round(10*time.Millisecond), result, b)
		if want == "" && (r.Violation != nil || !r.Complete) || want != "" && (r.Violation == nil || r.Violation.Invariant != want) {
			t.Errorf("%v, %v: %s\n%s", b, broken, result, explain(r))
		}
	}
	for _, c := range brokenRules() {
		run(c.bounds, c.broken, c.want)
	}
	three := Bounds{Nodes: 3, Log: 1, Ops: 1, Epochs: 3, Versions: 3, Crashes: 1}
	for _, c := range redundantRules() {
		run(c.bounds, c.broken, "")
		if c.broken != R4AnyEpoch {
			three.Compaction = c.bounds.Compaction
			run(three, c.broken, "")
		}
	}
	for _, b := range fullBounds() {
		run(b, 0, "")
	}
}
