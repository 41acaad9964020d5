package replication

import (
	"github.com/sextantdb/sextant/cluster/topology"
)

// PeerState is how a leader and another copy stand.
type PeerState uint8

// The states.
const (
	// PeerSilent hasn't said Hello in this epoch, process and copy.
	PeerSilent PeerState = iota
	// PeerFilling needs files first.
	PeerFilling
	// PeerSyncing was told where to cut its log, and hasn't said that it did.
	PeerSyncing
	// PeerStreaming takes entries.
	PeerStreaming
)

// peer is what a leader knows of another copy.
type peer struct {
	id          topology.PeerID
	alloc       topology.AllocID
	incarnation uint64
	kind        topology.ReplicaKind
	fenced      bool
	// state is since stateAt.
	state   PeerState
	stateAt Now
	// hello is what the copy said and wasn't answered, saidLast the end of its log by the
	// last one.
	hello    *Hello
	saidLast Position
	// durable and applied are what the copy said in this epoch.
	durable, applied uint64
	full             bool
	// next is the next entry to send, told the last commit that was told.
	next, told uint64
	// probing says that an answer is awaited before more is sent, probe that the question
	// is still to be sent.
	probing, probe bool
	// waits says that something is to be answered since then, retry how long that may take.
	waits bool
	since Now
	retry Now
	// confirmed is the last round of reads that it confirmed.
	confirmed uint64

	seat
}

// seat is what decides whether a copy is to be in sync.
type seat struct {
	inSync bool
	// marked says that the copy was behind at that time: it wasn't at these entries.
	marked                   bool
	markDurable, markApplied uint64
	markedAt                 Now
	// slow says that it is to lose its seat, cut that this is only because its node can't be reached,
	// dead because its process is gone: the next one has done nothing wrong.
	slow, cut, dead bool
	// near says that it has been near enough since then to get one.
	near   bool
	nearAt Now
	// awaited says that it counts like a member since then, so that it catches up with what
	// is committed.
	awaited   bool
	awaitedAt Now
	// flaps counts how often it was too slow, outUntil is until when it stays out.
	flaps    int
	outUntil Now
	seatedAt Now
}

// onAppended takes how far the copy is.
func (p *peer) onAppended(m Appended, last uint64, now Now) {
	if m.Durable > last {
		return // It can't be: it has its entries from here.
	}
	progress := p.state == PeerSyncing || m.Durable > p.durable || m.Applied > p.applied || p.full && !m.Full
	p.enter(PeerStreaming, now)
	p.durable, p.applied = max(p.durable, m.Durable), max(p.applied, m.Applied)
	p.next = max(p.next, p.durable+1)
	p.full = m.Full
	switch {
	case m.Full:
		p.next, p.probing = p.durable+1, true
	case m.Gap && !p.probing && p.next > p.durable+1:
		p.next, p.probing, p.probe = p.durable+1, true, true
	case !m.Gap && (progress || p.next == p.durable+1):
		p.probing = false
	}
	if progress && p.waits {
		p.since = now
	}
	if progress {
		p.retry = 0
	}
}

// answerHello says what of a copy's log is right (R3).
func (r *Replica) answerHello(p *peer, fx *Effects) {
	h := p.hello
	p.hello, p.saidLast = nil, h.Last
	empty := h.History == 0 && h.Last.Seq == 0
	at := meet(&r.log.table, h)
	if h.History != r.log.history && !empty || at.Seq+1 < r.log.first {
		r.fill(p, fx)
		return
	}
	if at.Seq < p.durable {
		return // An old one: what the copy has said since then stays true.
	}
	p.enter(PeerSyncing, r.now)
	p.probing, p.waits, p.full = true, false, false
	p.next, p.told = at.Seq+1, r.commit
	p.retry = r.opt.RetryAfter
	p.wait(r.now)
	r.send(fx, p.id, Welcome{Last: h.Last, At: at, Commit: r.commit, Barrier: r.lead.barrier})
}

// fill tells a copy to take files, again and again until it says Hello with them. What it
// has said so far is about other files.
func (r *Replica) fill(p *peer, fx *Effects) {
	p.waits, p.since = true, r.now
	p.enter(PeerFilling, r.now)
	p.durable, p.applied, p.near, p.awaited = 0, 0, false, false
	r.send(fx, p.id, TakeFiles{Last: p.saidLast, History: r.log.history, First: r.log.first})
}

// enter changes how the copy stands.
func (p *peer) enter(s PeerState, now Now) {
	if p.state != s {
		p.state, p.stateAt = s, now
	}
}

func (p *peer) wait(now Now) {
	if !p.waits {
		p.waits, p.since = true, now
	}
}

// owes tells whether the copy has to say something that the leader doesn't know.
func (p *peer) owes(commit uint64) bool {
	return p.state == PeerSyncing || p.full ||
		p.state == PeerStreaming && (p.next > p.durable+1 || p.applied < commit)
}

// feed sends a copy what it lacks.
func (r *Replica) feed(p *peer, fx *Effects) {
	if p.fenced || p.state == PeerSilent {
		return
	}
	if p.retry == 0 {
		p.retry = r.opt.RetryAfter
	}
	late := p.waits && r.now >= p.since+p.retry
	if late {
		p.retry = back(p.retry, r.opt.RetryMax)
		p.since = r.now
	}
	if p.state == PeerFilling {
		if late {
			r.fill(p, fx)
		}
		return
	}
	sent := false
	switch {
	case late:
		r.ask(p, fx)
		sent = true
	case p.state == PeerStreaming && p.probing && p.probe:
		r.ask(p, fx)
		sent = true
	case p.state == PeerStreaming && !p.probing && !p.full:
		for p.state == PeerStreaming && r.hasRoom(p) {
			r.sendEntries(p, fx)
			sent = true
		}
	}
	if !sent && p.state == PeerStreaming && p.told < r.commit {
		r.sendAppend(p, p.next, p.next-1, fx)
	}
	switch {
	case p.state == PeerFilling:
	case p.owes(r.commit):
		p.wait(r.now)
	default:
		p.waits = false
	}
}

// ask asks a copy how far it is: with the entries that come next, so that the answer is of
// use.
func (r *Replica) ask(p *peer, fx *Effects) {
	p.probe = false
	if p.state == PeerStreaming && p.next > p.durable+1 {
		p.next, p.probing = p.durable+1, true
	}
	if p.state == PeerStreaming && !p.full && p.next <= r.log.last.Seq {
		r.sendEntries(p, fx)
	} else {
		r.sendAppend(p, p.next, p.next-1, fx)
	}
}

// hasRoom tells whether there are entries to send and room for them in the window.
func (r *Replica) hasRoom(p *peer) bool {
	out := p.next - 1 - p.durable
	return p.next <= r.log.last.Seq && out < r.opt.WindowEntries &&
		(out == 0 || r.lead.sizes.between(p.durable, p.next-1) < r.opt.WindowBytes)
}

// sendEntries sends the entries that come next, as many as make a message.
func (r *Replica) sendEntries(p *peer, fx *Effects) {
	if p.next < r.log.first { // They were released while it was away.
		r.fill(p, fx)
		return
	}
	last := min(r.log.last.Seq, p.next-1+r.opt.MessageEntries, p.durable+r.opt.WindowEntries)
	last = max(r.lead.sizes.upTo(p.next, last, r.opt.MessageBytes), p.next)
	first := p.next
	p.next = last + 1
	r.sendAppend(p, first, last, fx)
}

func (r *Replica) sendAppend(p *peer, first, last uint64, fx *Effects) {
	epoch, _ := r.log.epochAt(first - 1)
	p.told = r.commit
	r.send(fx, p.id, Append{
		Prev: Position{Epoch: epoch, Seq: first - 1}, First: first, Last: last,
		Commit: r.commit, Visible: r.visible,
	})
}

// peerAlarm names the times at which something is to be done about a copy.
func (r *Replica) peerAlarm(p *peer, t *alarm) {
	if p.waits && !p.fenced {
		t.by(p.since + p.retry)
	}
	if p.marked && !p.slow {
		t.by(p.markedAt + r.opt.EjectAfter)
	}
	if at, ok := r.givenUp(p); ok && p.inSync && !p.slow && (p.marked || r.lead.reads.wait(p)) {
		t.by(at)
	}
	switch {
	case !p.near || r.lead.change.open || r.lead.handing.to != 0 || !r.maySet():
	case p.awaited:
		t.by(p.awaitedAt + r.opt.AwaitFor)
	default:
		t.by(max(p.nearAt+r.opt.JoinAfter, p.outUntil))
	}
}

// Progress is how far another copy is, by what it told the leader.
type Progress struct {
	Durable, Applied uint64
	// State is how it stands, Since since when.
	State PeerState
	Since Now
}

// Progress returns how far another copy is; ok is false when this one doesn't lead, or
// the other takes no part.
func (r *Replica) Progress(id topology.PeerID) (pr Progress, ok bool) {
	p := r.peer(id)
	if r.role != Leader || p == nil {
		return Progress{}, false
	}
	return Progress{Durable: p.durable, Applied: p.applied, State: p.state, Since: p.stateAt}, true
}
