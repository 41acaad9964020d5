package simulation

import (
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// replica is one open copy: a likeness of cluster/member's.
type replica struct {
	p     *proc
	name  topology.ShardName
	alloc topology.AllocID
	truth *shardTruth
	disk  *diskCopy

	sm *replication.Replica
	fx replication.Effects
	// log is the log as the process knows it, with what isn't durable yet.
	log oplog
	// todo are disk effects that wait, doing those that are being carried out.
	todo, doing []replication.DiskEffect
	storing     bool
	// points and recent are what is applied, up to applied.
	points                   points
	recent                   *replication.OpTable
	commit, visible, applied uint64
	applying                 bool
	reading                  map[topology.PeerID]bool
	asked                    map[uint64]*request
	taken                    []*request
	lastToken                uint64
	config                   replication.Config
	// filling says that files are being taken, shut that the data isn't open meanwhile.
	filling, shut, closed bool
	// tick is when the state machine wants one; alarm is the next timer that is set.
	tick, alarm       time.Duration
	wantTick, alarmed bool
}

// newReplica opens a copy.
func newReplica(p *proc, name topology.ShardName, d *diskCopy) *replica {
	w := p.n.w
	r := &replica{
		p: p, name: name, alloc: d.alloc, truth: w.truthOf(name), disk: d, log: d.log.clone(),
		reading: map[topology.PeerID]bool{}, asked: map[uint64]*request{},
	}
	r.load()
	state := d.state()
	r.commit, r.applied = state.Applied, state.Applied
	r.sm = replication.New(replication.Options{
		Self: p.n.id, Incarnation: p.inc, Alloc: r.alloc, Shard: name, Log: state, Recent: r.recent.Clone(), Limits: w.plan.limits(),
	})
	w.trace("%d/%d opens copy %d of %d: log %d to %v, applied %d, epoch %d, history %d",
		p.n.id, p.inc, r.alloc, name.Shard, state.First, state.Last, state.Applied, state.Epoch, state.History)
	p.n.soon(w.around(w.plan.Checkpoint), r.inProc(r.checkpoint))
	return r
}

// load reads what is applied from the files.
func (r *replica) load() {
	r.points, r.recent = r.disk.files.points, &replication.OpTable{}
	if b := r.disk.files.recent; b != nil {
		t, err := replication.DecodeOpTable(b)
		if err != nil {
			r.p.n.w.violate("table of operations: %v", err)
			return
		}
		r.recent = t
	}
}

// inProc makes a function one of the process, that does nothing once the copy is closed.
func (r *replica) inProc(do func()) func(*proc) {
	return func(*proc) {
		if !r.closed {
			do()
		}
	}
}

// soon does something unless the copy is closed or the process gone by then.
func (r *replica) soon(d time.Duration, do func()) { r.p.n.soon(d, r.inProc(do)) }

// step gives the state machine an event and carries out what it says.
func (r *replica) step(ev replication.Event) {
	if r.closed {
		return
	}
	w := r.p.n.w
	fx := &r.fx
	fx.Reset()
	r.sm.Step(r.p.clock(), ev, fx)
	w.stepped(r, ev, fx)
	for _, d := range fx.Disk {
		r.take(d)
	}
	for i := range fx.Messages {
		r.send(fx.Messages[i])
	}
	for _, a := range fx.Alter {
		r.alter(a)
	}
	if fx.Commit != 0 {
		w.committed(r, fx.Commit)
	}
	if fx.Visible != 0 {
		w.seen(r, fx.Visible)
	}
	r.commit, r.visible = r.sm.Commit(), r.sm.Visible()
	r.startApplying()
	r.settle(fx)
	if fx.TakeFiles != nil {
		r.startFilling(*fx.TakeFiles)
	}
	r.tick, r.wantTick = r.sm.NextTick()
	r.setAlarm()
	if fx.Damaged != nil {
		w.violate("node %d: copy %d of %d is damaged: %w", r.p.n.id, r.alloc, r.name.Shard, fx.Damaged)
	}
	w.checkCopy(r)
}

// setAlarm sets a timer for the tick that is wanted.
func (r *replica) setAlarm() {
	if !r.wantTick || r.alarmed && r.alarm <= r.tick {
		return
	}
	at := r.tick
	r.alarm, r.alarmed = at, true
	r.soon(r.p.wait(at), func() {
		if !r.alarmed || r.alarm != at {
			return // an earlier one was set
		}
		r.alarmed = false
		now := r.p.clock()
		if !r.wantTick || now < r.tick {
			r.setAlarm()
			return
		}
		r.step(replication.Tick{})
		if r.wantTick && r.tick <= now {
			r.p.n.w.violate("node %d asks for a tick at %s again at %s", r.p.n.id, r.tick, now)
		}
	})
}

// take notes a disk effect to be carried out.
func (r *replica) take(d replication.DiskEffect) {
	var err error
	switch {
	case d.Truncate:
		r.p.n.w.cuts(r, d.TruncateAfter)
		err = r.log.truncate(d.TruncateAfter)
	case d.Epoch == 0:
		d.Append = slices.Clone(d.Append) // The state machine uses its memory again.
		for i := range d.Append {
			if err == nil {
				err = r.log.add(d.Append[i])
			}
		}
	default:
	}
	if err != nil {
		r.soon(0, func() { r.step(replication.LogDamaged{Err: err}) })
	}
	r.todo = append(r.todo, d)
	if !r.storing {
		r.storing = true
		r.store()
	}
}

// store carries out disk effects until there are none.
func (r *replica) store() {
	if len(r.todo) == 0 {
		r.storing = false
		return
	}
	r.doing, r.todo = r.todo, nil
	w := r.p.n.w
	r.soon(w.around(w.plan.Sync), func() { r.stored(false) })
}

// diskRetry is how long to wait before a full disk is tried again, or one that stalls.
const diskRetry = 200 * time.Millisecond

// stored is when disk effects are durable, or the disk is full.
func (r *replica) stored(full bool) {
	if late := r.p.n.stalled - r.p.n.w.now; late > 0 {
		r.soon(min(late, diskRetry), func() { r.stored(full) })
		return
	}
	if r.p.n.full {
		if !full {
			r.step(replication.LogFull{Full: true})
		}
		r.soon(diskRetry, func() { r.stored(true) })
		return
	}
	work := r.doing
	r.doing = nil
	for i := range work {
		if err := r.disk.carryOut(&work[i], len(work[i].Append)); err != nil {
			r.p.n.w.violate("disk of node %d, shard %d: %w", r.p.n.id, r.name.Shard, err)
			return
		}
	}
	if full {
		r.step(replication.LogFull{Full: false})
	}
	if !r.closed {
		r.step(replication.Stored{Number: work[len(work)-1].Number, Last: r.disk.log.last()})
		r.store()
	}
}

// tear is a crash: of what is being stored a part is on disk.
func (r *replica) tear() {
	w := r.p.n.w
	done := w.rnd.IntN(len(r.doing) + 1)
	for i := range r.doing[:done] {
		d := &r.doing[i]
		if r.p.n.full {
			break
		}
		entries := len(d.Append)
		if entries > 0 && i == done-1 {
			entries = 1 + w.rnd.IntN(entries)
		}
		if err := r.disk.carryOut(d, entries); err != nil {
			w.violate("disk of node %d, shard %d: %w", r.p.n.id, r.name.Shard, err)
		}
	}
	r.closed = true // and nobody gets an answer
}

// send sends a message, with the entries that it names.
func (r *replica) send(e replication.Envelope) {
	a, ok := e.Message.(replication.Append)
	if !ok || a.First > a.Last {
		r.carry(e)
		return
	}
	w := r.p.n.w
	entries := r.log.read(a.First, a.Last)
	if entries != nil && !w.chance(60) {
		if w.chance(30) {
			entries = entries[:1+w.rnd.IntN(len(entries))] // a sender may leave off some
			a.Last = entries[len(entries)-1].Seq
		}
		a.Entries = entries
		e.Message = a
		r.carry(e)
		return
	}
	if r.reading[e.To] {
		return
	}
	r.reading[e.To] = true
	epoch := r.sm.Epoch()
	r.soon(w.around(w.plan.Sync), func() {
		delete(r.reading, e.To)
		switch entries := r.log.read(a.First, a.Last); {
		case r.sm.Epoch() != epoch: // the entries may be others now
		case a.First < r.log.first():
			r.step(replication.LogReleased{First: r.log.first()})
		case entries == nil:
			w.violate("node %d sends entries %d to %d of %d, its log ends at %d", r.p.n.id, a.First, a.Last, r.name.Shard, r.log.last().Seq)
		default:
			a.Entries = entries
			e.Message = a
			r.carry(e)
		}
	})
}

// carry takes a message to the node that it is for.
func (r *replica) carry(e replication.Envelope) {
	w := r.p.n.w
	w.silence = w.now
	to := w.node(e.To)
	if to == nil {
		return
	}
	w.carry(r.p.n, to, func(p *proc) {
		if o := p.replica(e.Shard); o != nil {
			o.step(replication.Received{Envelope: e})
		}
	})
}

// alter proposes a change of the shard's record, and hears nothing.
func (r *replica) alter(a replication.Alter) {
	r.p.n.w.tally["alters"]++
	c := topology.AlterInSync{
		Shard: a.Shard, Proposer: a.Proposer, Epoch: a.Epoch, Version: a.Version, InSync: a.InSync, Allocs: a.Allocs, Leader: a.Leader,
	}
	r.p.propose(topology.AlterMany{Alters: []topology.AlterInSync{c}}, time.Second, func(uint64, error) {})
}

// startApplying begins to apply what is committed.
func (r *replica) startApplying() {
	if !r.applying && !r.closed && !r.filling && r.commit > r.applied {
		r.applying = true
		w := r.p.n.w
		r.soon(w.around(w.plan.Sync/2), r.apply)
	}
}

// apply applies some entries.
func (r *replica) apply() {
	w := r.p.n.w
	to := min(r.commit, r.applied+1+uint64(w.rnd.IntN(8)))
	r.applying = false
	if r.filling || to <= r.applied {
		return
	}
	entries := r.log.read(r.applied+1, to)
	if entries == nil {
		w.violate("node %d applies entries %d to %d of %d, its log has %d to %d", r.p.n.id, r.applied+1, to, r.name.Shard, r.log.first(), r.log.last().Seq)
		return
	}
	for i := range entries {
		e := &entries[i]
		w.checkOnce(r, e)
		r.points.apply(e)
		r.recent.Add(e.Op, e.Seq)
		r.applied = e.Seq
		w.checkApplied(r, e)
	}
	r.step(replication.Applied{Seq: r.applied})
	r.startApplying()
}

// checkpoint writes files, again and again.
func (r *replica) checkpoint() {
	r.flush()
	w := r.p.n.w
	r.soon(w.around(w.plan.Checkpoint)+time.Millisecond, r.checkpoint)
}

func (r *replica) flush() {
	if r.shut {
		return
	}
	at, ok := r.disk.log.at(r.applied)
	if !ok {
		r.p.n.w.violate("node %d has applied %d, its log on disk has %d to %d", r.p.n.id, r.applied, r.disk.log.first(), r.disk.log.last().Seq)
		return
	}
	r.disk.files = files{at, r.points, r.recent.AppendTo(nil)}
}

// release lets the log go up to what is in files and every voter has; with little room, up to
// what is in files.
func (r *replica) release() {
	if r.closed || r.shut {
		return
	}
	w := r.p.n.w
	upTo := r.disk.files.at.Seq
	keep := r.sm.Retain()
	if keep <= upTo && (!w.plan.Tight || w.calm || !w.chance(300)) {
		upTo = keep - 1
	}
	if upTo < r.disk.log.first() || len(r.doing)+len(r.todo) > 0 && r.cutsPending(upTo) {
		return
	}
	r.disk.log.release(upTo)
	r.log.release(upTo)
	r.step(replication.LogReleased{First: r.log.first()})
}

// cutsPending tells whether a cut under way is in front of an entry.
func (r *replica) cutsPending(seq uint64) bool {
	for _, list := range [2][]replication.DiskEffect{r.doing, r.todo} {
		for i := range list {
			if list[i].Truncate && list[i].TruncateAfter < seq {
				return true
			}
		}
	}
	return false
}

// close stops a copy.
func (r *replica) close() {
	if r.closed {
		return
	}
	r.closed = true
	r.lose()
	r.failAsked()
}
