package controller

import "time"

// Options are the times and limits. Zero values are the defaults.
type Options struct {
	// Heartbeat is how often nodes say that they live (300 ms), Session how long they
	// may be silent (3 s).
	Heartbeat, Session time.Duration
	// Group is how long a fence waits for a node that is silent, too (400 ms).
	Group time.Duration
	// RefusedWithin is how close the reports of two peers must be (500 ms) to be
	// evidence, RefusedDelay how long evidence waits for more of its kind (100 ms).
	RefusedWithin, RefusedDelay time.Duration
	// Paused is a gap between two calls that says that the controller itself was
	// stopped (1 s).
	Paused time.Duration

	// FullAfter is how long a node with a full disk has to hand over by itself (3 s).
	FullAfter time.Duration

	// ReplicaGrace is how long a copy on a fenced node counts (10 min). TransferGrace
	// is the same for the ends of a transfer, and copies that aren't filled (10 s).
	ReplicaGrace, TransferGrace time.Duration
	// TransferStall is how long a transfer may make no progress (5 min).
	TransferStall time.Duration
	// RetryAfter is how long an action may take to show in the view (2 s). Backoff is
	// the first wait before something that failed is tried again (5 s); it doubles up to
	// MaxBackoff (10 min).
	RetryAfter, Backoff, MaxBackoff time.Duration
	// Tries are how often a copy is filled on one node before another one is taken (3).
	Tries int
	// TransfersIn and TransfersOut are how many transfers a node may take part in (2).
	TransfersIn, TransfersOut int

	// LeaderQuiet is how long nodes must not have changed before leaderships are
	// balanced (30 s), ReplicaQuiet the same for copies (2 min).
	LeaderQuiet, ReplicaQuiet time.Duration
	// Handovers are how many leaderships are handed over at a time (8).
	Handovers int
	// Imbalance is the difference between two nodes, as a part of the mean, up to which
	// no copy is moved (0.1).
	Imbalance float64

	// PassEvery is the least time between two looks at all shards (500 ms), PassAtLeast
	// the most (5 s). ActionsPerPass bounds what one look decides (256).
	PassEvery, PassAtLeast time.Duration
	ActionsPerPass         int

	// NoRereplication switches off that copies are added and dropped by themselves,
	// NoRebalance that they are moved, NoLeaderBalance that leaderships are. Drains go on.
	NoRereplication, NoRebalance, NoLeaderBalance bool
}

func (o Options) withDefaults() Options {
	set(&o.Heartbeat, 300*time.Millisecond)
	set(&o.Session, 3*time.Second)
	set(&o.Group, 400*time.Millisecond)
	set(&o.RefusedWithin, 500*time.Millisecond)
	set(&o.RefusedDelay, 100*time.Millisecond)
	set(&o.Paused, time.Second)
	set(&o.FullAfter, 3*time.Second)
	set(&o.ReplicaGrace, 10*time.Minute)
	set(&o.TransferGrace, 10*time.Second)
	set(&o.TransferStall, 5*time.Minute)
	set(&o.RetryAfter, 2*time.Second)
	set(&o.Backoff, 5*time.Second)
	set(&o.MaxBackoff, 10*time.Minute)
	set(&o.Tries, 3)
	set(&o.TransfersIn, 2)
	set(&o.TransfersOut, 2)
	set(&o.LeaderQuiet, 30*time.Second)
	set(&o.ReplicaQuiet, 2*time.Minute)
	set(&o.Handovers, 8)
	set(&o.Imbalance, 0.1)
	set(&o.PassEvery, 500*time.Millisecond)
	set(&o.PassAtLeast, 5*time.Second)
	set(&o.ActionsPerPass, 256)
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
