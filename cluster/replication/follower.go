package replication

import (
	"fmt"

	"github.com/sextantdb/sextant/cluster/topology"
)

// followerState is what a follower knows in its epoch.
type followerState struct {
	// synced says that the leader's welcome was carried out (R3).
	synced bool
	// filling says that files were asked for, from source; that may outlast the epoch.
	// floor is how far the copy has said in this epoch that it is.
	filling bool
	source  FileSource
	floor   uint64
	// helloAt is when to say Hello (again), helloWait how long to wait then.
	helloAt, helloWait Now
	// learned is the last committed entry by the leader's word.
	learned uint64
	// answer says that the leader is to be told how far the copy is, gap that its last
	// Append didn't fit.
	answer, gap bool
}

func (f *followerState) leave() { *f = followerState{filling: f.filling, source: f.source} }

func (f *followerState) filesFailed(now, wait Now) {
	f.filling = false
	f.helloAt = now + wait
}

// beFollower begins to follow. A copy that is being filled is told the new source.
func (r *Replica) beFollower(fx *Effects) {
	r.follow.helloAt, r.follow.helloWait = r.now, r.opt.HelloAfter
	r.follow.learned = r.commit
	if r.follow.filling {
		from := r.follow.source.From
		if r.follow.source.History != r.cfg.History {
			from = 0 // It was about another log.
		}
		r.askForFiles(r.cfg.Leader, from, fx)
	}
}

func (r *Replica) askForFiles(peer topology.PeerID, from uint64, fx *Effects) {
	r.follow.filling = true
	r.follow.source = FileSource{Peer: peer, History: r.cfg.History, From: from}
	source := r.follow.source
	fx.TakeFiles = &source
}

// obey takes a message of the leader.
func (r *Replica) obey(e *Envelope, fx *Effects) error {
	if r.log.stored < r.log.epoch {
		return nil // R2
	}
	switch m := e.Message.(type) {
	case Welcome:
		return r.onWelcome(m, fx)
	case TakeFiles:
		r.onTakeFiles(m, fx)
	case Append:
		return r.onAppend(m, fx)
	case Confirm:
		r.send(fx, e.From, Confirmed(m))
	default:
	}
	return nil
}

// onWelcome makes the log a beginning of the leader's. What it would lose is never
// committed, or one of the two isn't what it seems.
func (r *Replica) onWelcome(m Welcome, fx *Effects) error {
	if r.follow.synced || r.follow.filling {
		r.follow.answer = true
		return nil
	}
	at := m.At
	if !samePlace(m.Last, r.log.last) {
		return nil
	}
	if at.Seq > m.Last.Seq {
		return fmt.Errorf("the leader of epoch %d has entry %d in common with a log that ends at %d", r.log.epoch, at.Seq, m.Last.Seq)
	}
	if at.Seq < r.commit {
		return fmt.Errorf("entries behind %d are to be cut off, entry %d is committed", at.Seq, r.commit)
	}
	if have, ok := r.log.epochAt(at.Seq); ok && at.Epoch != 0 && have != at.Epoch {
		return fmt.Errorf("entry %d is of epoch %d, the leader has it of epoch %d", at.Seq, have, at.Epoch)
	} else if ok {
		at.Epoch = have
	}
	if r.log.history != r.cfg.History && r.log.last.Seq > 0 {
		return nil // It answers a Hello of a log that is gone.
	}
	if r.log.history != r.cfg.History {
		r.log.adopt(r.log.epoch, r.cfg.History, fx)
	}
	if at.Seq < r.log.last.Seq {
		r.log.truncate(at, fx)
		r.ops.truncate(at.Seq)
	}
	r.follow.synced, r.follow.answer = true, true
	r.follow.learned = max(r.follow.learned, m.Commit)
	r.fresh.learn(max(m.Commit, m.Barrier), r.applied, r.cfg.IsInSync(r.opt.Self))
	return nil
}

// onTakeFiles: a copy that has synced needs files only if the leader has given up what it
// lacks. It isn't in sync then: of what is committed the leader gives up nothing that
// such a copy lacks.
func (r *Replica) onTakeFiles(m TakeFiles, fx *Effects) {
	f := &r.follow
	if f.filling || !f.synced && !samePlace(m.Last, r.log.last) {
		return
	}
	if f.synced && r.log.last.Seq+1 >= m.First {
		r.sayHello(fx) // It doesn't know: an answer was lost.
		return
	}
	if f.synced {
		f.floor = r.log.last.Seq
	}
	f.synced, f.answer = false, false
	r.askForFiles(r.cfg.Leader, max(m.First, 1)-1, fx)
}

// filesInstalled takes in that the copy has other files and begins its log anew.
func (r *Replica) filesInstalled(ev *FilesInstalled, fx *Effects) error {
	if !r.follow.filling || r.role == Leader || r.follow.synced {
		return fmt.Errorf("files up to entry %d were installed, and nobody asked for them", ev.At.Seq)
	}
	if ev.At.Seq < r.follow.floor {
		return fmt.Errorf("files up to entry %d were installed, the log had entry %d", ev.At.Seq, r.follow.floor)
	}
	r.log.install(ev.At, ev.History)
	r.ops.init(ev.Recent, nil)
	r.commit, r.applied, r.visible = ev.At.Seq, ev.At.Seq, 0
	r.fresh = freshness{}
	r.follow.filling, r.follow.floor = false, 0
	r.follow.learned = r.commit
	r.follow.helloAt, r.follow.helloWait = r.now, r.opt.HelloAfter
	r.leadNow(fx)
	return nil
}

// onAppend takes entries. The same may come twice, late, or with one lost before.
func (r *Replica) onAppend(m Append, fx *Effects) error {
	if !r.follow.synced || !wellFormed(&m, r.log.epoch) {
		return nil
	}
	if m.Prev.Seq > r.log.last.Seq {
		r.follow.answer, r.follow.gap = true, true
		return nil
	}
	if have, ok := r.log.epochAt(m.Prev.Seq); ok && m.Prev.Epoch != 0 && have != m.Prev.Epoch {
		return fmt.Errorf("entry %d is of epoch %d, the leader has it of epoch %d", m.Prev.Seq, have, m.Prev.Epoch)
	}
	known := min(r.log.last.Seq-m.Prev.Seq, uint64(len(m.Entries)))
	for _, e := range m.Entries[:known] {
		if have, ok := r.log.epochAt(e.Seq); ok && have != e.Epoch {
			return fmt.Errorf("entry %d is of epoch %d, the leader has it of epoch %d", e.Seq, have, e.Epoch)
		}
	}
	if news := m.Entries[known:]; len(news) > 0 && !r.full {
		r.log.append(news, fx)
		r.ops.logged(news)
	} else {
		r.follow.answer = true
	}
	r.follow.learned = max(r.follow.learned, m.Commit)
	if m.Visible > r.visible {
		r.visible, fx.Visible = m.Visible, m.Visible
	}
	return nil
}

// wellFormed tells whether entries follow each other and none is of an epoch to come.
func wellFormed(m *Append, epoch uint64) bool {
	prev := m.Prev
	for i := range m.Entries {
		p := m.Entries[i].Position
		if p.Seq != prev.Seq+1 || p.Epoch < prev.Epoch || p.Epoch > epoch {
			return false
		}
		prev = p
	}
	return true
}

// follows does what follows from what is the case.
func (r *Replica) follows(fx *Effects) {
	f := &r.follow
	if r.log.stored < r.log.epoch || f.filling {
		return
	}
	if !f.synced {
		if r.now >= f.helloAt {
			f.helloAt = r.now + f.helloWait
			f.helloWait = back(f.helloWait, r.opt.RetryMax)
			r.sayHello(fx)
		}
		return
	}
	if c := min(f.learned, r.log.durable); c > r.commit {
		r.commit, fx.Commit = c, c
	}
	if f.answer && r.log.settled() {
		r.send(fx, r.cfg.Leader, Appended{Durable: r.log.durable, Applied: r.applied, Gap: f.gap, Full: r.full})
		f.answer, f.gap = false, false
	}
}

// samePlace compares positions but for their chains.
func samePlace(a, b Position) bool { return a.Epoch == b.Epoch && a.Seq == b.Seq }

func (r *Replica) sayHello(fx *Effects) {
	r.send(fx, r.cfg.Leader, Hello{
		History: r.log.history, First: r.log.first, Last: r.log.last,
		Epochs: append([]EpochStart(nil), r.log.epochs...), Applied: r.applied,
	})
}

func (r *Replica) followerAlarm(t *alarm) {
	if f := &r.follow; !f.synced && !f.filling && r.log.stored == r.log.epoch {
		t.by(f.helloAt)
	}
}

// onApplied takes in that entries were applied (R10).
func (r *Replica) onApplied(seq uint64) error {
	if seq > r.commit {
		return fmt.Errorf("entry %d was applied, entries up to %d are committed", seq, r.commit)
	}
	if seq <= r.applied {
		return nil
	}
	r.applied = seq
	r.ops.applied(seq)
	r.follow.answer = true
	return nil
}
