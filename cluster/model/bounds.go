package model

import (
	"fmt"
	"strings"
)

// How large a state can be. Bounds choose within it.
const (
	maxNodes     = 3
	maxLog       = 3
	maxEpochs    = 5
	maxVersions  = 7
	maxAllocs    = 3
	maxHistories = 2
	maxOps       = 3
)

// Bounds say how far a search goes and what can happen in it.
type Bounds struct {
	// Nodes have a copy each. The first one leads.
	Nodes int
	// Fresh is how many of them, the last ones, have been given a copy but haven't made
	// its place yet. They aren't in sync.
	Fresh int
	// MinInSync is how many must be in sync for a commit; 0 is 1.
	MinInSync int
	// Log is how long a log gets. Ops is how many writes there are, Tries how often each
	// is tried; 0 is once.
	Log, Ops, Tries int
	// Epochs and Versions is how far those numbers of the record go.
	Epochs, Versions int
	// Crashes, Wipes and Forces is how often a process dies, a copy is lost (with its disk
	// while the process is down, or set aside by the process), and data is given up (R15).
	Crashes, Wipes, Forces int
	// Moves: copies are dropped by the topology, and made anew. Each counts as a wipe.
	Moves bool
	// GroupFence: several nodes may be fenced by one command.
	GroupFence bool
	// Relief: nodes that live lose leaderships and seats at any time, where enough others are in sync.
	Relief bool
	// HandOver: the leadership may go to another copy in sync at any time.
	HandOver bool
	// LazyDisk: a leader sends entries before its own disk has them, and a crash may lose
	// what the disk hasn't.
	LazyDisk bool
	// Compaction: a leader's log may begin behind what a follower has, which then takes
	// files.
	Compaction bool
	// Reads: linearizable reads.
	Reads bool
	// MaxStates ends a search early; 0 is never.
	MaxStates int
}

func (b Bounds) withDefaults() Bounds {
	b.MinInSync = max(b.MinInSync, 1)
	b.Tries = max(b.Tries, 1)
	return b
}

func (b Bounds) validate() error {
	for _, c := range []struct {
		what     string
		n, least int
		most     int
	}{
		{"nodes", b.Nodes, 1, maxNodes},
		{"fresh nodes", b.Fresh, 0, b.Nodes - 1},
		{"copies in sync", b.MinInSync, 1, b.Nodes},
		{"log entries", b.Log, 0, maxLog},
		{"operations", b.Ops, 0, maxOps},
		{"epochs", b.Epochs, 1, maxEpochs},
		{"versions", b.Versions, 1, maxVersions},
		{"wipes", b.Wipes, 0, maxAllocs - 1},
		{"forced elections", b.Forces, 0, maxHistories - 1},
	} {
		if c.n < c.least || c.n > c.most {
			return fmt.Errorf("model: %d %s, want %d to %d", c.n, c.what, c.least, c.most)
		}
	}
	return nil
}

// String is short, for tables.
func (b Bounds) String() string {
	b = b.withDefaults()
	s := []string{fmt.Sprintf("nodes=%d log=%d ops=%d×%d epochs=%d versions=%d crashes=%d wipes=%d",
		b.Nodes, b.Log, b.Ops, b.Tries, b.Epochs, b.Versions, b.Crashes, b.Wipes)}
	for _, o := range []struct {
		on   bool
		name string
	}{
		{b.Fresh > 0, fmt.Sprintf("fresh=%d", b.Fresh)},
		{b.MinInSync > 1, fmt.Sprintf("min=%d", b.MinInSync)},
		{b.Forces > 0, fmt.Sprintf("forces=%d", b.Forces)},
		{b.Moves, "moves"},
		{b.GroupFence, "group"},
		{b.Relief, "relief"},
		{b.HandOver, "hand-over"},
		{b.LazyDisk, "lazy-disk"},
		{b.Compaction, "compaction"},
		{b.Reads, "reads"},
	} {
		if o.on {
			s = append(s, o.name)
		}
	}
	return strings.Join(s, " ")
}
