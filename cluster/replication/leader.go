package replication

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// leaderState is what a leader knows in its epoch.
type leaderState struct {
	// peers are the other copies that take part, in the record's order.
	peers []peer
	// barrier is the epoch's first entry, 0 until the disk takes it.
	barrier uint64
	// held is the last entry that all members of the largest set had: commit, but for
	// the number of copies that the collection demands.
	held uint64
	// over says that a higher epoch is known to exist.
	over    bool
	waiting []waiter
	sizes   sizes
	change  change
	handing handing
	reads   reads
}

// waiter is a write that was taken and isn't committed.
type waiter struct{ token, seq uint64 }

// beLeader begins to lead. The record may have another history than the log, because data
// was given up for it (R15), or because this is the first leader of all.
func (r *Replica) beLeader(fx *Effects) {
	history := uint64(0)
	if r.log.history != r.cfg.History {
		history = r.cfg.History
		r.visible = min(r.visible, r.applied) // It was about the other one.
	}
	if r.cfg.Epoch > r.log.epoch || history != 0 {
		r.log.adopt(r.cfg.Epoch, history, fx)
	}
	r.role, r.led = Leader, r.log.epoch
	r.lead = leaderState{}
	r.lead.sizes.reset(r.log.last.Seq)
	r.setPeers()
}

// loseLeadership answers those who wait: nobody will tell them whether their write is
// committed.
func (r *Replica) loseLeadership(fx *Effects) {
	for _, w := range r.lead.waiting {
		if w.seq > r.commit {
			r.reject(fx, w.token, LostLeadership)
		}
	}
	for _, tokens := range [][]uint64{r.lead.reads.asked, r.lead.reads.waiting} {
		for _, t := range tokens {
			r.reject(fx, t, NotLeader)
		}
	}
	r.lead = leaderState{}
}

// propose takes a write, or says why not.
func (r *Replica) propose(p *Propose, fx *Effects) {
	l := &r.lead
	switch {
	case r.role != Leader || l.over:
		r.reject(fx, p.Token, NotLeader)
	case l.handing.stopped():
		fx.Rejected = append(fx.Rejected, Rejected{Token: p.Token, Reason: NotLeader, Leader: l.handing.to})
	case r.again(p, fx):
	case (r.full || l.barrier == 0) && r.ledElsewhereSoon():
		fx.Rejected = append(fx.Rejected, Rejected{Token: p.Token, Reason: NotLeader})
	case r.full || l.barrier == 0:
		r.reject(fx, p.Token, DiskFull)
	case len(r.cfg.InSync) < r.cfg.MinInSync:
		r.reject(fx, p.Token, TooFewInSync)
	case r.overloaded(len(p.Entry.Body)):
		r.reject(fx, p.Token, Overloaded)
	default:
		if p.Entry.Kind == 0 {
			p.Entry.Kind = Data
		}
		at := r.write(p.Entry, fx)
		fx.Took = append(fx.Took, Took{Token: p.Token, Position: at})
		l.waiting = append(l.waiting, waiter{p.Token, at.Seq})
	}
}

// ledElsewhereSoon tells whether a leader whose disk is full may find somebody to hand over to, or be relieved.
func (r *Replica) ledElsewhereSoon() bool {
	return r.now < r.fullSince+r.opt.FullFor &&
		slices.ContainsFunc(r.lead.peers, func(p peer) bool { return p.inSync && !p.fenced && !p.full })
}

// again answers a write that is in the log already.
func (r *Replica) again(p *Propose, fx *Effects) bool {
	if p.Entry.Op == (OpID{}) {
		return false
	}
	seq, seen := r.ops.find(p.Entry.Op, r.applied)
	switch {
	case seen == NotSeen:
		return false
	case seen == Forgotten:
		r.reject(fx, p.Token, TooOld)
	case uint64(len(r.lead.waiting)) >= r.opt.PendingEntries:
		r.reject(fx, p.Token, Overloaded)
	default:
		fx.Took = append(fx.Took, Took{Token: p.Token, Position: Position{Seq: seq}, Again: true})
		if seq > r.commit {
			r.lead.waiting = append(r.lead.waiting, waiter{p.Token, seq})
		}
	}
	return true
}

// overloaded tells whether too much is under way. One write passes whatever its size.
func (r *Replica) overloaded(size int) bool {
	l := &r.lead
	open := r.log.last.Seq - r.commit
	if open == 0 {
		return false
	}
	return open >= r.opt.PendingEntries || uint64(len(l.waiting)) >= r.opt.PendingEntries ||
		r.log.last.Seq-r.applied >= r.opt.BehindEntries ||
		l.sizes.between(r.commit, r.log.last.Seq)+uint64(size) > r.opt.PendingBytes
}

// write appends an entry to the log.
func (r *Replica) write(e Entry, fx *Effects) Position {
	e.Position = Position{Epoch: r.log.epoch, Seq: r.log.last.Seq + 1}
	n := len(fx.entries)
	fx.entries = append(fx.entries, e)
	entries := fx.entries[n : n+1 : n+1]
	r.log.append(entries, fx)
	r.ops.logged(entries)
	r.lead.sizes.add(uint64(len(e.Body)))
	return e.Position
}

// hear takes what another copy says.
func (r *Replica) hear(e *Envelope) {
	p := r.peer(e.From)
	if p == nil {
		return
	}
	switch m := e.Message.(type) {
	case Hello:
		p.hello = &m
	case Appended:
		if p.state == PeerSyncing || p.state == PeerStreaming {
			p.onAppended(m, r.log.last.Seq, r.now)
		}
	case Confirmed:
		if r.log.stored == r.log.epoch {
			p.confirmed = max(p.confirmed, m.Round)
		}
	default:
	}
}

// leads does what follows from what is the case.
func (r *Replica) leads(fx *Effects) {
	l := &r.lead
	if l.barrier == 0 && !r.full {
		l.barrier = r.write(Entry{Kind: Barrier}, fx).Seq
		r.fresh.learn(l.barrier, r.applied, true)
	}
	if r.log.stored < r.log.epoch {
		return // R2
	}
	for i := range l.peers {
		if p := &l.peers[i]; p.hello != nil && l.barrier != 0 {
			r.answerHello(p, fx)
		}
	}
	r.advanceCommit(fx)
	r.advanceVisible(fx)
	r.advanceReads(fx)
	if r.full && r.now >= l.handing.again {
		l.handing.again = r.now + r.opt.TransferAgain
		r.startTransfer(0)
	}
	r.advanceTransfer(fx)
	r.advanceSet(fx)
	for i := range l.peers {
		r.feed(&l.peers[i], fx)
	}
	r.trimSizes()
}

// setPeers brings the peers up to date with the record. How far a peer is is about one
// copy and process (R8).
func (r *Replica) setPeers() {
	l := &r.lead
	if l.change.open && r.cfg.Version > l.change.version {
		l.change = change{union: l.change.union[:0]}
	}
	peers := make([]peer, 0, len(r.cfg.Replicas))
	for _, rep := range r.cfg.Replicas {
		if rep.Peer == r.opt.Self || !rep.Created {
			continue
		}
		next := peer{id: rep.Peer, alloc: rep.Alloc, incarnation: r.cfg.Incarnations[rep.Peer], retry: r.opt.RetryAfter}
		if p := r.peer(rep.Peer); p != nil && p.alloc == rep.Alloc {
			switch {
			case p.incarnation == next.incarnation:
				next = *p
			case !p.dead:
				next.flaps, next.outUntil = p.flaps, p.outUntil
			}
		}
		next.kind, next.fenced = rep.Kind, r.isFenced(rep.Peer)
		next.noteSeat(r.cfg.IsInSync(rep.Peer), next.fenced, r.now, &r.opt.Limits)
		peers = append(peers, next)
	}
	l.peers = peers
}

func (r *Replica) peer(id topology.PeerID) *peer {
	for i := range r.lead.peers {
		if p := &r.lead.peers[i]; p.id == id {
			return p
		}
	}
	return nil
}

// leaderAlarm names the times at which leads has something to do.
func (r *Replica) leaderAlarm(t *alarm) {
	l := &r.lead
	if r.log.stored < r.log.epoch {
		return
	}
	for i := range l.peers {
		r.peerAlarm(&l.peers[i], t)
	}
	if l.change.open && r.maySet() {
		t.by(l.change.at + r.opt.AlterAfter)
	}
	if l.handing.to != 0 {
		t.by(l.handing.until)
	}
	if r.full && len(r.cfg.InSync) > 1 {
		t.by(l.handing.again)
	}
	if l.reads.running {
		t.by(l.reads.at + r.opt.RetryAfter)
	}
}
