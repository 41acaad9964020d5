package model

import (
	"testing"
	"time"
)

func TestQuick(t *testing.T) {
	for _, b := range []Bounds{
		{Nodes: 2, Log: 2, Ops: 2, Epochs: 3, Versions: 4, Crashes: 1},
		{Nodes: 2, Log: 2, Ops: 2, Epochs: 3, Versions: 4, Crashes: 1, Wipes: 1},
		{Nodes: 2, Log: 2, Ops: 2, Epochs: 4, Versions: 5, Crashes: 2, Wipes: 1, GroupFence: true},
		{Nodes: 3, Log: 1, Ops: 1, Epochs: 3, Versions: 4},
	} {
		m, err := New(b, 0)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r := Search(m, 1)
		t.Logf("%v: %d states %d transitions depth %d %v %v", b, r.States, r.Transitions, r.Depth, time.Since(start).Round(time.Millisecond), r.Violation)
		for i, l := range r.Trace {
			t.Logf("%2d. %s", i+1, l)
		}
	}
}
