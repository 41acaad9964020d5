package simulation

import (
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// write is a client's write and its coordinator's attempts: a likeness of cluster/member's.
type write struct {
	at     *proc
	shard  *shardTruth
	op     replication.OpID
	change change
	wait   bool

	begun, ended, until time.Duration
	attempt             int
	pause               time.Duration
	// over says that the client has an answer, or gave up; acked what it was; unknown that an
	// attempt may have been taken though it wasn't answered.
	over, acked, unknown bool
}

// read is a client's read of a point.
type read struct {
	at           *proc
	shard        *shardTruth
	id           uint8
	linearizable bool
	begun, ended time.Duration
	attempt      int
	// floor is what was shown to be visible when it began, by history.
	history, floor uint64
	over, answered bool
	got            value
}

// The times of clients.
const (
	writeTime  = 4 * time.Second
	firstPause = 10 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// beginLoad has clients write and read until faults end.
func (w *world) beginLoad() {
	if w.calm {
		return
	}
	w.after(w.around(w.plan.Pause), w.beginLoad)
	n := w.anyUp()
	if n == nil || len(n.proc.view.Collections()) == 0 || n.proc.registered == 0 {
		return
	}
	s := w.shards[w.rnd.IntN(len(w.shards))]
	switch k := w.rnd.IntN(100); {
	case k < 60:
		w.beginWrite(n.proc, s, w.rnd.IntN(2) == 0)
	case k < 65:
		w.replay(n)
	case k < 85:
		w.beginRead(n.proc, s, false)
	default:
		w.beginRead(n.proc, s, true)
	}
}

func (w *world) beginWrite(p *proc, s *shardTruth, wait bool) *write {
	w.lastOp++
	p.ops[s.name]++
	c := change{verb: verb(w.rnd.IntN(int(verbs))), v: w.lastOp, ids: []uint8{uint8(w.rnd.IntN(pointIDs))}}
	if w.rnd.IntN(2) == 0 {
		c.verb = put
	}
	if more := uint8(w.rnd.IntN(pointIDs)); more != c.ids[0] && w.rnd.IntN(3) == 0 {
		c.ids = append(c.ids, more)
	}
	x := &write{
		at: p, shard: s, change: c, wait: wait, begun: w.now, until: w.now + writeTime,
		op: replication.OpID{Peer: p.n.id, Incarnation: p.inc, Counter: p.ops[s.name]},
	}
	w.writes = append(w.writes, x)
	w.tryWrite(x)
	return x
}

// tryWrite sends a write to the leader that its coordinator knows.
func (w *world) tryWrite(x *write) {
	n := x.at.n
	if x.over || n.proc != x.at {
		return
	}
	x.attempt++
	k := x.attempt
	if w.now >= x.until {
		w.endWrite(x, false)
		return
	}
	rec := x.at.view.Shard(x.shard.name)
	if rec == nil || rec.Leader == 0 || w.node(rec.Leader) == nil {
		w.pauseWrite(x)
		return
	}
	n.soon(w.between(300*time.Millisecond, 1500*time.Millisecond), func(*proc) {
		if x.attempt == k && !x.over {
			x.unknown = true
			w.tryWrite(x)
		}
	})
	w.call(n, w.node(rec.Leader), func(q *proc) {
		w.submit(q, x, func(v verdict, _ uint64) {
			if q.n.proc == q {
				w.call(q.n, n, func(p *proc) {
					if p == x.at && x.attempt == k && !x.over {
						w.answerWrite(x, v)
					}
				})
			}
		})
	})
}

// submit hands a write to the copy of a node.
func (w *world) submit(q *proc, x *write, answer func(verdict, uint64)) {
	if r := q.replica(x.shard.name); r != nil {
		r.propose(x.op, x.change.encode(), x.wait, answer)
		return
	}
	answer(elsewhere, 0)
}

func (w *world) answerWrite(x *write, v verdict) {
	switch v {
	case done:
		w.endWrite(x, true)
	case refused:
		w.endWrite(x, false)
	case moved:
		x.unknown = true
		w.pauseWrite(x)
	default:
		w.pauseWrite(x)
	}
}

func (w *world) pauseWrite(x *write) {
	x.attempt++ // what is still on its way isn't waited for
	x.pause = min(max(2*x.pause, firstPause), lastPause)
	x.at.n.soon(x.pause, func(*proc) { w.tryWrite(x) })
}

func (w *world) endWrite(x *write, acked bool) {
	x.over, x.acked, x.ended = true, acked, w.now
	w.note(5, uint64(x.change.v), uint64(w.now))
	if acked {
		w.tally["writes done"]++
	} else {
		w.tally["writes not done"]++
	}
}

// replay sends a write again that may have been done long ago, as a network may.
func (w *world) replay(from *node) {
	if len(w.writes) == 0 {
		return
	}
	x := w.writes[w.rnd.IntN(len(w.writes))]
	rec := from.proc.view.Shard(x.shard.name)
	if x.over && !x.acked && !x.unknown || rec == nil || rec.Leader == 0 || w.node(rec.Leader) == nil {
		return
	}
	x.unknown = true
	w.call(from, w.node(rec.Leader), func(q *proc) { w.submit(q, x, func(verdict, uint64) {}) })
}

func (w *world) beginRead(p *proc, s *shardTruth, linearizable bool) *read {
	x := &read{
		at: p, shard: s, id: uint8(w.rnd.IntN(pointIDs)), linearizable: linearizable, begun: w.now,
		history: s.history, floor: s.now().shown,
	}
	w.reads = append(w.reads, x)
	w.tryRead(x)
	return x
}

// tryRead asks a copy: one here if it can be read, else any of those in sync; the leader for
// what is to be linearizable.
func (w *world) tryRead(x *read) {
	n := x.at.n
	rec := x.at.view.Shard(x.shard.name)
	if x.over || n.proc != x.at || x.attempt > 10 || rec == nil {
		x.over = true
		return
	}
	x.attempt++
	k := x.attempt
	n.soon(w.between(100*time.Millisecond, 500*time.Millisecond), func(*proc) {
		if !x.over && x.attempt == k {
			w.tryRead(x)
		}
	})
	target := w.target(x, rec)
	if target == nil {
		return
	}
	w.call(n, target, func(q *proc) {
		r := q.replica(x.shard.name)
		if r == nil {
			return
		}
		answer := func(v value) {
			w.call(q.n, n, func(p *proc) {
				if p == x.at && !x.over {
					x.over, x.answered, x.got, x.ended = true, true, v, w.now
				}
			})
		}
		if x.linearizable {
			w.readNewest(r, x, answer)
		} else if !r.shut && r.sm.Readable() {
			w.checkRead(r, x)
			answer(r.points[x.id])
		}
	})
}

func (w *world) target(x *read, rec *topology.Shard) *node {
	if x.linearizable {
		return w.node(rec.Leader)
	}
	if r := x.at.replica(x.shard.name); r != nil && !r.shut && r.sm.Readable() {
		return x.at.n
	}
	if len(rec.InSync) == 0 {
		return nil
	}
	return w.node(rec.InSync[w.rnd.IntN(len(rec.InSync))])
}

// checkRead: a copy in sync has all that a client was told to be visible, and answers as its
// state says.
func (w *world) checkRead(r *replica, x *read) {
	w.tally["reads"]++
	t := r.truth.log(r.disk.history)
	if w.counts(r) && r.truth.history == x.history && r.applied < x.floor {
		w.violate("node %d is read for shard %d at %d, a client knows of %d", r.p.n.id, r.name.Shard, r.applied, x.floor)
	}
	near, odd := w.rnd.Uint32N(w.lastOp+1), w.chance(500)
	if got, want := r.points.search(near, odd, 3), t.states[r.applied].oracle(near, odd, 3); !slices.Equal(got, want) {
		w.violate("node %d finds %v in shard %d at %d, not %v", r.p.n.id, got, r.name.Shard, r.applied, want)
	}
}

// readNewest reads what is committed now.
func (w *world) readNewest(r *replica, x *read, answer func(value)) {
	history, least := r.truth.history, r.truth.now().end()
	r.readIndex(func(v verdict, seq uint64) {
		if v != taken || r.closed {
			return
		}
		w.tally["linearizable reads"]++
		if r.disk.history == history && r.truth.history == history && seq < least {
			w.violate("node %d reads shard %d at %d, %d was committed before", r.p.n.id, r.name.Shard, seq, least)
		}
		w.awaitApplied(r, seq, 0, func() { answer(r.points[x.id]) })
	})
}

// awaitApplied waits until a copy has applied an entry.
func (w *world) awaitApplied(r *replica, seq uint64, tries int, then func()) {
	switch {
	case r.applied >= seq && !r.shut:
		then()
	case tries < 100:
		r.soon(10*time.Millisecond, func() { w.awaitApplied(r, seq, tries+1, then) })
	}
}
