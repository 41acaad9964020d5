package replication

import (
	"cmp"
	"errors"
	"time"

	"github.com/sextantdb/sextant/cluster/topology"
)

// Options are what a Replica is made from. The limits have defaults.
type Options struct {
	// Self is the node, Incarnation its process.
	Self        topology.PeerID
	Incarnation uint64
	// Alloc is the copy, Shard what it is a copy of.
	Alloc topology.AllocID
	Shard topology.ShardName
	// Log is what is on the copy's disk.
	Log LogState
	// Recent are the operations that were applied up to Log.Applied; nil for none. The
	// Replica keeps it.
	Recent *OpTable

	Limits
}

// Limits bound what a copy has under way, and how long it waits. What is 0 has its
// default.
type Limits struct {
	// WindowEntries and WindowBytes bound what is on its way to one follower.
	WindowEntries, WindowBytes uint64
	// MessageEntries and MessageBytes bound one Append (but it has one entry at least).
	MessageEntries, MessageBytes uint64
	// PendingEntries and PendingBytes bound what a leader has taken and not committed.
	PendingEntries, PendingBytes uint64
	// BehindEntries bounds what a leader has taken and not applied.
	BehindEntries uint64
	// Reads bounds how many reads wait for a confirmation.
	Reads int
	// JoinEntries and JoinBytes are how far behind a follower may be to get in sync,
	// JoinAfter for how long it must have been so near.
	JoinEntries, JoinBytes uint64
	JoinAfter              Now
	// AwaitFor is for how long writes wait for a follower that is to join and has to get
	// what is committed meanwhile.
	AwaitFor Now
	// EjectAfter is how long a copy in sync may take to get where the leader was. LinkAfter
	// is the same for one whose node can't be reached, since it was heard of last. A leader that
	// can't reach most others waits CutOffAfter, so that the controller can give its shards to
	// those that reach each other.
	EjectAfter             Now
	LinkAfter, CutOffAfter Now
	// RejoinAfter is for how long a copy that was too slow stays out, the first time;
	// every time twice as long, up to RejoinMax, or RelinkMax when its node couldn't be
	// reached: that costs the others LinkAfter, not EjectAfter.
	RejoinAfter, RejoinMax, RelinkMax Now
	// RetryAfter is when an answer counts as lost, the first time; every time twice as
	// long, up to RetryMax. HelloAfter is the same for Hello.
	RetryAfter, RetryMax Now
	HelloAfter           Now
	// AlterAfter is when a proposal to the topology counts as lost.
	AlterAfter Now
	// TransferFor is for how long a leader that hands over takes no writes. TransferAgain is
	// how often one whose disk is full tries to, and FullFor for how long it sends writes away
	// instead of refusing them: another one may lead soon.
	TransferFor, TransferAgain, FullFor Now
}

func (l *Limits) setDefaults() {
	l.WindowEntries = cmp.Or(l.WindowEntries, 4096)
	l.WindowBytes = cmp.Or(l.WindowBytes, 16<<20)
	l.MessageEntries = cmp.Or(l.MessageEntries, 512)
	l.MessageBytes = cmp.Or(l.MessageBytes, 1<<20)
	l.PendingEntries = cmp.Or(l.PendingEntries, 8192)
	l.PendingBytes = cmp.Or(l.PendingBytes, 64<<20)
	l.BehindEntries = cmp.Or(l.BehindEntries, 65536)
	l.Reads = cmp.Or(l.Reads, 4096)
	l.JoinEntries = cmp.Or(l.JoinEntries, 1000)
	l.JoinBytes = cmp.Or(l.JoinBytes, 1<<20)
	l.JoinAfter = cmp.Or(l.JoinAfter, time.Second)
	l.AwaitFor = cmp.Or(l.AwaitFor, time.Second)
	l.EjectAfter = cmp.Or(l.EjectAfter, 10*time.Second)
	l.LinkAfter = cmp.Or(l.LinkAfter, 3*time.Second)
	l.CutOffAfter = cmp.Or(l.CutOffAfter, 5*time.Second)
	l.RejoinAfter = cmp.Or(l.RejoinAfter, 5*time.Second)
	l.RejoinMax = cmp.Or(l.RejoinMax, 5*time.Minute)
	l.RelinkMax = cmp.Or(l.RelinkMax, 30*time.Second)
	l.RetryAfter = cmp.Or(l.RetryAfter, 500*time.Millisecond)
	l.RetryMax = cmp.Or(l.RetryMax, 5*time.Second)
	l.HelloAfter = cmp.Or(l.HelloAfter, 50*time.Millisecond)
	l.AlterAfter = cmp.Or(l.AlterAfter, time.Second)
	l.TransferFor = cmp.Or(l.TransferFor, 100*time.Millisecond)
	l.TransferAgain = cmp.Or(l.TransferAgain, time.Second)
	l.FullFor = cmp.Or(l.FullFor, 5*time.Second)
}

// Role is a copy's part in the present epoch.
type Role uint8

// The roles.
const (
	// NoRole: nobody leads, or the copy isn't the one in the record.
	NoRole Role = iota
	// Follower takes entries from the leader (also a listener, and one that is filled).
	Follower
	// Leader orders writes.
	Leader
)

// Replica is one copy of a shard. It isn't safe for concurrent use.
type Replica struct {
	opt Options
	now Now

	// cfg is the newest that is known; its Shard is nil in the beginning.
	cfg  Config
	part bool // the copy is the one in the record, and this its process
	role Role
	log  logView
	ops  opMemory
	// commit is the last committed entry that is durable here, applied the last applied
	// one: applied <= commit <= log.durable.
	commit, applied, visible uint64
	// full says that the disk takes nothing, fullSince since when.
	full      bool
	fullSince Now
	// led is the highest epoch in which the copy, or it before a restart, may have led:
	// nobody leads twice in one epoch.
	led     uint64
	damaged error

	links  links
	fresh  freshness
	follow followerState
	lead   leaderState
}

// New returns a copy that was just started. It does nothing before its first
// ConfigChanged (R1).
func New(o Options) *Replica {
	o.setDefaults()
	r := &Replica{
		opt: o, log: newLogView(o.Log), commit: o.Log.Applied, applied: o.Log.Applied,
		led: o.Log.Epoch,
	}
	r.ops.init(o.Recent, o.Log.Ops)
	r.opt.Log, r.opt.Recent = LogState{}, nil
	return r
}

// Step takes an event and adds to fx what is to be done. The caller resets fx before; now
// never goes back.
func (r *Replica) Step(now Now, ev Event, fx *Effects) {
	r.now = max(r.now, now)
	if r.damaged != nil {
		r.refuseAll(ev, fx)
		return
	}
	if err := r.take(ev, fx); err != nil {
		r.fail(err, fx)
		return
	}
	switch r.role {
	case Leader:
		r.leads(fx)
	case Follower:
		r.follows(fx)
	default:
	}
}

// take notes what an event says. What follows from it is decided afterwards, in one
// place for each role, by what is the case then.
func (r *Replica) take(ev Event, fx *Effects) error {
	switch ev := ev.(type) {
	case ConfigChanged:
		r.configure(ev.Config, fx)
	case Received:
		return r.receive(&ev.Envelope, fx)
	case Stored:
		return r.onStored(ev)
	case Applied:
		return r.onApplied(ev.Seq)
	case LogFull:
		r.full, r.fullSince, r.follow.answer = ev.Full, r.now, true
	case Propose:
		r.propose(&ev, fx)
	case ReadIndex:
		r.readIndex(ev.Token, fx)
	case FilesInstalled:
		return r.filesInstalled(&ev, fx)
	case FilesFailed:
		r.follow.filesFailed(r.now, r.opt.RetryMax)
		r.leadNow(fx)
	case LogReleased:
		r.log.release(ev.First)
	case LogDamaged:
		return cmp.Or(ev.Err, errors.New("the log is damaged"))
	case Transfer:
		r.startTransfer(ev.To)
	case LinkDown:
		r.links.down(ev)
	case LinkUp:
		r.links.up(ev.Peer)
	case Tick:
	}
	return nil
}

// fail makes the copy one that takes part in nothing any more.
func (r *Replica) fail(err error, fx *Effects) {
	r.resign(fx)
	r.damaged, fx.Damaged = err, err
}

func (r *Replica) refuseAll(ev Event, fx *Effects) {
	switch ev := ev.(type) {
	case Propose:
		r.reject(fx, ev.Token, NotLeader)
	case ReadIndex:
		r.reject(fx, ev.Token, NotLeader)
	default:
	}
}

func (r *Replica) reject(fx *Effects, token uint64, why Reason) {
	leader := r.Leader()
	if leader == r.opt.Self && r.role != Leader {
		leader = 0
	}
	fx.Rejected = append(fx.Rejected, Rejected{Token: token, Reason: why, Leader: leader})
}

func (r *Replica) send(fx *Effects, to topology.PeerID, m Message) {
	fx.Messages = append(fx.Messages, Envelope{
		From: r.opt.Self, To: to, FromIncarnation: r.opt.Incarnation,
		ToIncarnation: r.cfg.Incarnations[to], FromAlloc: r.opt.Alloc, Shard: r.opt.Shard,
		Epoch: r.log.epoch, Message: m,
	})
}

func (r *Replica) onStored(s Stored) error {
	r.follow.answer = true
	return r.log.storedUpTo(s)
}

// NextTick says when the next Tick is needed if nothing happens before; ok is false when
// none is.
func (r *Replica) NextTick() (at Now, ok bool) {
	if r.damaged != nil {
		return 0, false
	}
	var t alarm
	switch r.role {
	case Leader:
		r.leaderAlarm(&t)
	case Follower:
		r.followerAlarm(&t)
	default:
	}
	return t.at, t.set
}

// alarm is the earliest of some times.
type alarm struct {
	at  Now
	set bool
}

func (a *alarm) by(at Now) {
	if !a.set || at < a.at {
		a.at, a.set = at, true
	}
}

// back returns the next wait of a back-off.
func back(wait, most Now) Now { return min(2*wait, most) }
