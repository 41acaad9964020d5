package replication

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// change is what a leader has proposed on top of the version that it knows. Any of its
// proposals may have been taken, until a newer version is seen.
type change struct {
	open    bool
	version uint64
	// union are the members of all sets that were proposed.
	union []topology.PeerID
	// at is when the last one was proposed.
	at Now
}

func (c *change) has(id topology.PeerID) bool { return slices.Contains(c.union, id) }

// noteSeat takes in whether the record has the copy in sync. One that lost its seat on a node that isn't gone was a
// burden, whoever has found that out.
func (s *seat) noteSeat(inSync, gone bool, now Now, l *Limits) {
	switch {
	case s.inSync && !inSync && (s.slow || !gone):
		most := l.RejoinMax
		if s.cut {
			most = min(most, l.RelinkMax)
		}
		wait := min(l.RejoinAfter, most)
		for i := 0; i < s.flaps && wait < most; i++ {
			wait = back(wait, most)
		}
		s.flaps++
		s.outUntil = now + wait
	case !s.inSync && inSync:
		s.seatedAt = now
	}
	if s.inSync != inSync {
		s.marked, s.slow, s.cut, s.near, s.awaited = false, false, false, false, false
		s.dead = s.dead && !inSync
	}
	s.inSync = inSync
}

// advanceSet proposes another set of copies in sync when it should be another. One
// proposal is under way at a time. When it isn't answered the next one says what is right
// then: perhaps the old set, so that what was proposed before can't happen any more.
func (r *Replica) advanceSet(fx *Effects) {
	l := &r.lead
	for i := range l.peers {
		r.judge(&l.peers[i])
	}
	late := l.change.open && r.now >= l.change.at+r.opt.AlterAfter
	if l.change.open && !late || l.handing.to != 0 || !r.maySet() {
		return
	}
	set, joins := r.rightSet()
	if !late && slices.Equal(set, r.cfg.InSync) {
		return
	}
	a := Alter{InSync: set}
	for _, p := range joins {
		if a.Allocs == nil {
			a.Allocs = make(map[topology.PeerID]topology.AllocID, len(joins))
		}
		a.Allocs[p.id] = p.alloc
	}
	r.alter(a, fx)
}

// maySet tells whether the leader may propose sets.
func (r *Replica) maySet() bool { return !r.lead.over && r.cfg.IsInSync(r.opt.Self) }

// alter proposes to the topology.
func (r *Replica) alter(a Alter, fx *Effects) {
	c := &r.lead.change
	a.Shard, a.Proposer, a.Epoch, a.Version = r.opt.Shard, r.opt.Self, r.cfg.Epoch, r.cfg.Version
	c.open, c.version, c.at = true, a.Version, r.now
	for _, id := range a.InSync {
		if !c.has(id) {
			c.union = append(c.union, id)
		}
	}
	fx.Alter = append(fx.Alter, a)
}

// judge notes whether a copy keeps up.
func (r *Replica) judge(p *peer) {
	if p.inSync {
		r.judgeMember(p)
		return
	}
	near := (p.kind == topology.Voter || p.kind == topology.Joining || p.kind == topology.Resharding) &&
		p.state == PeerStreaming && !p.fenced && !p.full && r.links.of(p.id) == nil && r.mayJoin() &&
		r.log.last.Seq-p.durable <= r.opt.JoinEntries &&
		r.lead.sizes.between(p.durable, r.log.last.Seq) <= r.opt.JoinBytes
	if near && !p.near {
		p.nearAt = r.now
	}
	p.near = near
	r.await(p)
}

// await lets a copy count like a member when it has been near for long enough. Under load
// more is committed all the time, and a copy that isn't waited for would never have
// everything at the moment at which it is proposed.
func (r *Replica) await(p *peer) {
	switch {
	case !p.near:
		p.awaited = false
	case p.awaited && !r.lead.change.has(p.id) && r.now >= p.awaitedAt+r.opt.AwaitFor:
		p.awaited, p.nearAt, p.outUntil = false, r.now, r.now+r.opt.RejoinAfter
	case !p.awaited && r.now >= p.nearAt+r.opt.JoinAfter && r.now >= p.outUntil:
		p.awaited, p.awaitedAt = true, r.now
	}
}

// mayTake tells whether a copy has what a member must have: all that is committed on disk,
// and what is visible applied, so that it may be read from the beginning (R7).
func (r *Replica) mayTake(p *peer) bool {
	return p.awaited && p.durable >= r.lead.held && p.applied >= r.visible
}

// judgeMember: a copy in sync gets to where the leader was within a time, or loses its
// seat, since everybody waits for it.
func (r *Replica) judgeMember(p *peer) {
	if p.flaps > 0 && r.now >= p.seatedAt+r.opt.RejoinMax {
		p.flaps = 0
	}
	switch {
	case p.durable >= r.log.last.Seq && p.applied >= r.commit:
		p.marked, p.slow, p.cut = false, false, false
	case !p.marked || !p.slow && p.durable >= p.markDurable && p.applied >= p.markApplied:
		p.marked, p.markDurable, p.markApplied, p.markedAt = true, r.log.last.Seq, r.commit, r.now
	case r.now >= p.markedAt+r.opt.EjectAfter:
		p.slow = true
	}
	if p.full && p.durable < r.log.last.Seq {
		p.slow = true
	}
	if at, ok := r.givenUp(p); ok && r.now >= at && (p.marked || r.lead.reads.wait(p)) {
		p.slow, p.cut, p.dead = true, p.cut || !p.slow, r.died(p)
	}
}

// rightSet returns the set as it should be, and who is new in it (R7).
func (r *Replica) rightSet() (set []topology.PeerID, joins []*peer) {
	for _, id := range r.cfg.InSync {
		p := r.peer(id)
		if id == r.opt.Self || p == nil && !r.isFenced(id) || p != nil && !p.slow && !p.fenced {
			set = append(set, id) // also one that isn't made yet: it has all that there is
		}
	}
	for i := range r.lead.peers {
		p := &r.lead.peers[i]
		if !p.inSync && r.mayTake(p) {
			set, joins = append(set, p.id), append(joins, p)
		}
	}
	slices.Sort(set)
	return set, joins
}
