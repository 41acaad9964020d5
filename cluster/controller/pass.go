package controller

import (
	"github.com/sextantdb/sextant/cluster/topology"
)

// pass is one look at all shards.
type pass struct {
	c       *Controller
	view    *View
	t       *tally
	actions []Action
	elect   Elect
	// pairs are the nodes between which there are transfers, hands the handovers under
	// way.
	pairs map[pair]bool
	hands int
	// cut says that there was more to do than one pass may.
	cut bool
}

// Status is what the last pass saw, for people.
type Status struct {
	// Short are the shards with fewer copies in sync, on nodes that are there, than they
	// should have.
	Short int
	// Leaderless are those without a leader.
	Leaderless int
	// Blocked are some of the shards for which nothing can be done, with the reason.
	Blocked []Blocked
}

// Blocked is a shard for which something should be done and can't.
type Blocked struct {
	Shard topology.ShardName
	Reason
}

// maxBlocked bounds Status.Blocked.
const maxBlocked = 16

// Status returns what the last pass saw.
func (c *Controller) Status() Status { return c.status }

// pass looks at all shards and says what is to be done about them.
func (c *Controller) pass(v *View) []Action {
	c.fresh, c.seen, c.passed = false, v.Version, c.now
	c.next = c.now + c.opt.PassAtLeast
	c.status = Status{}
	c.memory.pass++
	p := &pass{c: c, view: v, t: c.begin(v), pairs: map[pair]bool{}}
	p.count()
	for i := range p.t.jobs {
		for k := range p.t.jobs[i] {
			p.repair(&p.t.jobs[i][k])
		}
	}
	if len(p.elect.Shards) > 0 {
		p.actions = append([]Action{p.elect}, p.actions...)
	}
	p.balanceLeaders()
	p.rebalance()
	p.drained()
	if p.cut {
		c.passAt(c.now + c.opt.PassEvery)
	}
	c.memory.forget(c.now, &c.opt)
	return p.actions
}

// do takes an action on a shard.
func (p *pass) do(j *job, a Action) {
	p.remember(j, a)
	p.actions = append(p.actions, a)
}

func (p *pass) remember(j *job, a Action) {
	until := p.c.now + p.c.opt.RetryAfter
	p.c.memory.pending[j.name()] = pending{action: a, version: j.shard.Version, until: until}
	p.c.passAt(until)
}

// full tells whether the pass may decide nothing more.
func (p *pass) full() bool {
	if len(p.actions) < p.c.opt.ActionsPerPass {
		return false
	}
	p.cut = true
	return true
}

func (p *pass) blocked(j *job, why Reason) {
	if len(p.c.status.Blocked) < maxBlocked {
		p.c.status.Blocked = append(p.c.status.Blocked, Blocked{Shard: j.name(), Reason: why})
	}
}

// drained says which draining nodes have nothing left.
func (p *pass) drained() {
	for i := range p.t.peers {
		s := &p.t.peers[i]
		if n := p.c.nodes[s.id]; s.draining && s.held == 0 && !n.drained {
			n.drained = true
			p.actions = append(p.actions, DrainDone{Peer: s.id, Reason: "it holds nothing any more"})
		}
	}
}
