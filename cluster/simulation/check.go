package simulation

import (
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// shardTruth is what is true of a shard, whoever knows it.
type shardTruth struct {
	name topology.ShardName
	// logs are what is committed, by history; history is the record's.
	logs    map[uint64]*truth
	history uint64
	// leaders are the processes that led, by epoch.
	leaders map[uint64]leadership
	// hurt says that copies were lost, or data given up: what was acknowledged may be gone.
	hurt bool
}

type leadership struct {
	peer topology.PeerID
	inc  uint64
}

// truth is all that anybody committed in a history.
type truth struct {
	parent *truth
	log    []replication.Entry
	// states[i] is the state behind entry i, ops where operations are.
	states []points
	ops    map[replication.OpID]uint64
	// times[i] is when entry i was first known to be committed.
	times []time.Duration
	// visible is what all copies in sync have applied, shown what a client was told is.
	visible, shown uint64
}

func newShardTruth(name topology.ShardName) *shardTruth {
	return &shardTruth{name: name, logs: map[uint64]*truth{}, leaders: map[uint64]leadership{}}
}

func (s *shardTruth) log(history uint64) *truth {
	t := s.logs[history]
	if t == nil {
		t = &truth{states: make([]points, 1), times: make([]time.Duration, 1), ops: map[replication.OpID]uint64{}}
		s.logs[history] = t
	}
	return t
}

// now returns what is true by the record.
func (s *shardTruth) now() *truth { return s.log(s.history) }

func (t *truth) end() uint64 { return uint64(len(t.log)) }

func (w *world) truthOf(name topology.ShardName) *shardTruth {
	i := slices.IndexFunc(w.shards, func(s *shardTruth) bool { return s.name == name })
	return w.shards[i]
}

// record returns a shard's record as the consensus has it, nil when there is none.
func (w *world) record(s *shardTruth) *topology.Shard { return w.raft.master.Shard(s.name) }

// append takes in an entry that is committed.
func (t *truth) append(e replication.Entry, now time.Duration) {
	next := t.states[len(t.states)-1]
	next.apply(&e)
	t.log, t.states, t.times = append(t.log, e), append(t.states, next), append(t.times, now)
	if e.Op != (replication.OpID{}) {
		t.ops[e.Op] = e.Seq
	}
}

// stepped notes a step of a copy: nobody but one process leads in an epoch.
func (w *world) stepped(r *replica, ev replication.Event, fx *replication.Effects) {
	w.note(4, uint64(r.p.n.id), uint64(r.name.Shard), uint64(w.now), r.sm.Epoch(), r.sm.Commit(), uint64(len(fx.Disk)), uint64(len(fx.Messages)))
	if w.tell != nil {
		w.tellStep(r, ev, fx)
	}
	if r.sm.Role() != replication.Leader {
		return
	}
	me := leadership{r.p.n.id, r.p.inc}
	was, ok := r.truth.leaders[r.sm.Epoch()]
	if !ok {
		r.truth.leaders[r.sm.Epoch()] = me
		w.tally["leaderships"]++
	} else if was != me {
		w.violate("shard %d has two leaders in epoch %d: %v and %v", r.name.Shard, r.sm.Epoch(), was, me)
	}
}

// committed checks that all agree on what is committed, and no operation is in it twice.
func (w *world) committed(r *replica, to uint64) {
	t := r.truth.log(r.disk.history)
	if last := r.disk.log.last().Seq; last < to {
		w.violate("node %d commits %d of shard %d, its disk ends at %d", r.p.n.id, to, r.name.Shard, last)
		return
	}
	for seq := max(r.commit+1, r.log.first()); seq <= to; seq++ {
		e := r.log.entries[seq-r.log.first()]
		if seq > t.end() && t.parent != nil && seq <= t.parent.end() && t.parent.log[seq-1].Chain == e.Chain {
			t.append(t.parent.log[seq-1], w.now) // It was committed before data was given up, and it survived.
			continue
		}
		switch {
		case seq <= t.end() && t.log[seq-1].Chain != e.Chain:
			w.violate("node %d commits %d.%d of shard %d, others %d.%d", r.p.n.id, e.Epoch, seq, r.name.Shard, t.log[seq-1].Epoch, seq)
			return
		case seq > t.end()+1:
			w.violate("node %d commits %d of shard %d, only %d are committed", r.p.n.id, seq, r.name.Shard, t.end())
			return
		case seq == t.end()+1:
			if old, ok := t.ops[e.Op]; ok && e.Op != (replication.OpID{}) {
				w.violate("operation %v of shard %d is committed as %d and %d", e.Op, r.name.Shard, old, seq)
			}
			t.append(e, w.now)
			w.tally["committed"]++
		}
	}
	w.checkSets(r.truth)
}

// seen takes in what a leader knows to be visible on all copies in sync.
func (w *world) seen(r *replica, to uint64) {
	t := r.truth.log(r.disk.history)
	if to <= t.visible {
		return
	}
	t.visible = to
	w.checkShard(r.truth)
}

// checkShard checks all open copies of a shard.
func (w *world) checkShard(s *shardTruth) {
	for _, n := range w.nodes {
		if n.proc == nil {
			continue
		}
		if r := n.proc.replica(s.name); r != nil {
			w.checkCopy(r)
		}
	}
}

// counts tells whether the record has a copy in sync, and this process registered.
func (w *world) counts(r *replica) bool {
	rec := w.record(r.truth)
	if rec == nil || !rec.IsInSync(r.p.n.id) || rec.History != r.disk.history {
		return false
	}
	rep, ok := rec.Replica(r.p.n.id)
	peer := w.raft.master.Peer(r.p.n.id)
	return ok && rep.Alloc == r.alloc && peer != nil && peer.Incarnation == r.p.inc
}

// checkCopy: what may be read has all that is visible (R13's cheap sister).
func (w *world) checkCopy(r *replica) {
	if r.closed || r.shut || !r.sm.Readable() || !w.counts(r) {
		return
	}
	if t := r.truth.now(); r.applied < t.visible {
		w.violate("node %d may be read for shard %d at %d, %d is visible", r.p.n.id, r.name.Shard, r.applied, t.visible)
	}
}

// checkSets: every copy in sync has all that is committed on its disk.
func (w *world) checkSets(s *shardTruth) {
	t, rec := s.now(), w.record(s)
	if rec == nil || t.end() == 0 {
		return
	}
	want := t.log[t.end()-1].Position
	for _, id := range rec.InSync {
		n := w.node(id)
		rep, _ := rec.Replica(id)
		if n == nil || n.disk.copies[s.name] == nil || n.disk.copies[s.name].alloc != rep.Alloc {
			continue
		}
		log := &n.disk.copies[s.name].log
		got, ok := log.at(want.Seq)
		if !ok && log.base.Seq < want.Seq || ok && got.Chain != want.Chain {
			w.violate("node %d is in sync for shard %d and lacks entry %d (version %d)", id, s.name.Shard, want.Seq, rec.Version)
		}
	}
}

// cuts: nobody cuts off what it knows to be committed, or what is.
func (w *world) cuts(r *replica, after uint64) {
	if after < r.commit {
		w.violate("node %d cuts shard %d after %d, %d is committed", r.p.n.id, r.name.Shard, after, r.commit)
	}
	w.tally["cuts"]++
}

// checkOnce: no operation is applied twice.
func (w *world) checkOnce(r *replica, e *replication.Entry) {
	if e.Op != (replication.OpID{}) && r.recent.Seen(e.Op) == replication.Done {
		w.violate("node %d applies operation %v of shard %d again, at %d", r.p.n.id, e.Op, r.name.Shard, e.Seq)
	}
}

// checkApplied: the state is what follows from the committed log up to an entry.
func (w *world) checkApplied(r *replica, e *replication.Entry) {
	t := r.truth.log(r.disk.history)
	switch {
	case e.Seq > t.end() || t.log[e.Seq-1].Chain != e.Chain:
		w.violate("node %d applies %d.%d of shard %d, which isn't what is committed", r.p.n.id, e.Epoch, e.Seq, r.name.Shard)
	case r.points != t.states[e.Seq]:
		w.violate("node %d has another state of shard %d at %d", r.p.n.id, r.name.Shard, e.Seq)
	}
}

// installedFiles: files are a state of the committed log, too.
func (w *world) installedFiles(r *replica, x *export) {
	t := r.truth.log(x.history)
	for p := t.parent; p != nil && t.end() < x.at.Seq && p.end() > t.end(); {
		t.append(p.log[t.end()], w.now) // What was given up is there after all.
	}
	if x.at.Seq > t.end() || x.at.Seq > 0 && t.log[x.at.Seq-1].Chain != x.at.Chain || t.states[x.at.Seq] != x.points {
		w.violate("node %d gets files of shard %d at %v that aren't what is committed", r.p.n.id, r.name.Shard, x.at)
	}
}

// acknowledged: what a client is told is done is committed.
func (w *world) acknowledged(r *replica, q *request) {
	t := r.truth.log(r.disk.history)
	at, ok := t.ops[q.op]
	if !ok || at > q.seq {
		w.violate("node %d acknowledges %v of shard %d at %d, it is committed at %d", r.p.n.id, q.op, r.name.Shard, q.seq, at)
	}
	if q.wait {
		if at > t.visible {
			w.violate("node %d says that %v of shard %d is visible at %d, only %d is", r.p.n.id, q.op, r.name.Shard, at, t.visible)
		}
		t.shown = max(t.shown, at)
	}
	w.tally["acknowledged"]++
}

// committedTopology checks a new topology.
func (w *world) committedTopology(old *topology.State, cmd topology.Command) {
	m := w.raft.master
	for id := range w.raft.ghosts {
		if m.Removed(id) {
			delete(w.raft.ghosts, id)
		}
	}
	for _, s := range w.shards {
		next, was := w.record(s), old.Shard(s.name)
		if next == nil || next == was {
			continue
		}
		if was == nil {
			s.history = next.History
			continue
		}
		w.checkRecord(s, was, next)
		if next.History != was.History {
			w.gaveUp(s, next)
		}
		if len(next.InSync) == 0 {
			w.tally["shards lost"]++
			if !s.hurt {
				w.violate("shard %d has no copy in sync, and no disk was lost (%T)", s.name.Shard, cmd)
			}
		}
		w.checkSets(s)
		w.checkShard(s)
	}
}

func (w *world) checkRecord(s *shardTruth, was, next *topology.Shard) {
	switch {
	case next.Version <= was.Version || next.Epoch < was.Epoch || next.Epoch == was.Epoch && next.Leader != was.Leader:
		w.violate("record of shard %d goes back: %+v, then %+v", s.name.Shard, was, next)
	case next.Leader != 0 && !next.IsInSync(next.Leader):
		w.violate("shard %d is led by %d, in sync are %v", s.name.Shard, next.Leader, next.InSync)
	}
	for _, id := range next.InSync {
		if _, ok := next.Replica(id); !ok {
			w.violate("%d is in sync for shard %d without a copy", id, s.name.Shard)
		}
	}
	if len(next.InSync) > len(was.InSync) {
		w.tally["joins"]++
	}
	if next.Leader != was.Leader && next.Leader != 0 {
		w.tally["elections"]++
	}
}

// gaveUp begins another history: with what the copy that is to lead has of what is committed.
func (w *world) gaveUp(s *shardTruth, rec *topology.Shard) {
	old := s.now()
	s.history, s.hurt = rec.History, true
	next := s.now()
	next.parent = old
	w.tally["gave up data"]++
	n := w.node(rec.Leader)
	if n == nil || n.disk.copies[s.name] == nil {
		return
	}
	log := &n.disk.copies[s.name].log
	keep := old.end()
	for ; keep > 0; keep-- {
		at, ok := log.at(keep)
		if ok && at.Chain == old.log[keep-1].Chain || keep < log.base.Seq {
			break
		}
	}
	for _, e := range old.log[:keep] {
		next.append(e, w.now)
	}
}
