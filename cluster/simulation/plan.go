package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/replication"
)

// Plan is what a life is made of. All of it follows from a seed.
type Plan struct {
	Seed uint64
	// Nodes begin; Copies is the replication factor, MinInSync the number of copies that
	// must be in sync for a write.
	Nodes, Shards, Copies, MinInSync int
	// Faults is for how long there are faults, Every the mean time between two.
	Faults, Every time.Duration
	// Quick makes sessions, ejections and waits short, Small the windows.
	Quick, Small bool
	// Delay is the mean time of a message, Drop and Double are how many of a thousand are lost
	// and doubled; Reorder lets them overtake each other.
	Delay        time.Duration
	Drop, Double int
	Reorder      bool
	// Late is how many of a thousand take seconds.
	Late int
	// Sync is the mean time of a disk, Pause between writes of a client; Checkpoint between
	// two checkpoints of a copy. Tight gives up log that others may still need.
	Sync, Pause, Checkpoint time.Duration
	Tight                   bool
	// Members lets nodes come and go, and copies be moved; Wipes lets disks be lost; Loss
	// has data given up for shards that have no leader.
	Members, Wipes, Loss bool
	// Partitions, Crashes, Disks and Wrong (fences of nodes that are well) are kinds of faults.
	Partitions, Crashes, Disks, Wrong bool
}

// Draw makes the plan of a seed.
func Draw(seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 7))
	chance := func(percent int) bool { return r.IntN(100) < percent }
	ms := func(from, to int) time.Duration { return time.Duration(from+r.IntN(to-from)) * time.Millisecond }
	p := Plan{
		Seed: seed, Nodes: 3, Shards: 1 + r.IntN(2), Copies: 2 + r.IntN(2), MinInSync: 1,
		Faults: ms(2000, 6000), Every: ms(100, 600), Quick: chance(75), Small: chance(40),
		Delay: ms(1, 8), Drop: r.IntN(30), Double: r.IntN(30), Reorder: chance(50),
		Sync: ms(1, 8), Pause: ms(10, 80), Checkpoint: ms(50, 1000), Tight: chance(30),
		Members: chance(30), Wipes: chance(20), Loss: chance(20),
		Partitions: chance(60), Crashes: chance(80), Disks: chance(40), Wrong: chance(30),
	}
	switch r.IntN(10) {
	case 0:
		p.Nodes, p.Copies = 2, 2
	case 1:
		p.Nodes = 4
	case 2:
		p.Nodes, p.Shards = 5, 2
	case 3:
		p.Copies = 1
	}
	if p.Copies > 1 && chance(30) {
		p.MinInSync = 2
	}
	if chance(5) {
		p.Drop, p.Double, p.Partitions, p.Crashes, p.Disks, p.Wrong = 0, 0, false, false, false, false
	}
	if chance(40) {
		p.Late = 5 + r.IntN(30)
	}
	return p
}

// String tells everything.
func (p Plan) String() string { return fmt.Sprintf("%+v", plan(p)) }

// plan is a Plan that prints as its fields.
type plan Plan

// heartbeat is how often nodes say that they live.
func (p *Plan) heartbeat() time.Duration {
	if p.Quick {
		return 100 * time.Millisecond
	}
	return 300 * time.Millisecond
}

// silence is for how long a node isn't heard until it counts as one that can't be reached.
func (p *Plan) silence() time.Duration {
	if p.Quick {
		return 750 * time.Millisecond
	}
	return 2500 * time.Millisecond
}

// stallAfter is how long a disk stalls until its node says so.
func (p *Plan) stallAfter() time.Duration {
	if p.Quick {
		return 400 * time.Millisecond
	}
	return 2 * time.Second
}

func (p *Plan) controller() controller.Options {
	o := controller.Options{
		ReplicaGrace: 8 * time.Second, TransferGrace: 2 * time.Second, TransferStall: 8 * time.Second, Backoff: time.Second,
		MaxBackoff: 5 * time.Second, LeaderQuiet: 2 * time.Second, ReplicaQuiet: 4 * time.Second, PassAtLeast: time.Second,
	}
	if p.Quick {
		o.Heartbeat, o.Session, o.Group = p.heartbeat(), 900*time.Millisecond, 150*time.Millisecond
		o.RetryAfter, o.PassEvery, o.FullAfter = 500*time.Millisecond, 100*time.Millisecond, 500*time.Millisecond
	}
	return o
}

func (p *Plan) limits() (l replication.Limits) {
	if p.Small {
		l = replication.Limits{WindowEntries: 4, MessageEntries: 2, PendingEntries: 12, JoinEntries: 3, WindowBytes: 64, MessageBytes: 16}
	}
	if p.Quick {
		l.JoinAfter, l.EjectAfter = 100*time.Millisecond, time.Second
		l.LinkAfter, l.CutOffAfter = 800*time.Millisecond, 1200*time.Millisecond
		l.RejoinAfter, l.RejoinMax = 300*time.Millisecond, 3*time.Second
		l.RetryAfter, l.RetryMax, l.AlterAfter = 100*time.Millisecond, time.Second, 200*time.Millisecond
	}
	return l
}
