package simulation

import (
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// boss runs the controller where the node leads the consensus: a likeness of cluster/member's.
type boss struct {
	c              *controller.Controller
	leader, former topology.PeerID
	lost           controller.Now
	leading        bool
	hands          map[topology.PeerID][]hand
	gone           []controller.Process
	// busy says that actions are being carried out, poked that there is news for when they
	// are; alarm is when the controller is asked again.
	busy, poked, alarmed bool
	alarm                time.Duration
	// seen is the topology of which picture is.
	seen    uint64
	picture controller.View
}

// hand is a leadership to be handed over.
type hand struct {
	shard topology.ShardName
	epoch uint64
	to    topology.PeerID
}

// leaderChanged hears of each change of who leads the consensus.
func (p *proc) leaderChanged(leader topology.PeerID) {
	b, now := &p.boss, p.clock()
	if b.leader != 0 && leader != b.leader {
		b.former, b.lost = b.leader, now
	}
	b.leader = leader
	me := leader == p.n.id
	switch {
	case me && !b.leading:
		b.leading = true
		b.c.Observe(now, controller.BecameLeader{Former: b.former, Heard: max(b.lost-raftQuiet, 0)})
	case !me && b.leading:
		b.leading = false
		b.c.Observe(now, controller.LostLeadership{})
		clear(b.hands)
	}
	b.poke(p)
}

// refuse has other nodes see that a process is gone: its machine refuses connections.
func (w *world) refuse(gone *node, inc uint64) {
	for _, n := range w.nodes {
		if n == gone || !n.isUp() || w.chance(300) {
			continue
		}
		n.soon(w.between(time.Millisecond, 200*time.Millisecond), func(p *proc) {
			if gone.proc == nil && w.linked(n, gone) {
				p.peerDown(controller.Process{Peer: gone.id, Incarnation: inc})
			}
		})
	}
}

func (p *proc) peerDown(gone controller.Process) {
	b := &p.boss
	p.refusedBy(gone.Peer, gone.Incarnation)
	if b.leading {
		b.c.Observe(p.clock(), controller.Refused{By: p.n.id, Process: gone})
		b.poke(p)
		return
	}
	if !slices.Contains(b.gone, gone) {
		b.gone = append(b.gone, gone)
	}
	p.beatOnce()
}

// beat says that the node lives, again and again.
func (p *proc) beat() {
	p.listen()
	p.beatOnce()
	p.n.soon(p.wait(p.clock()+p.n.w.plan.heartbeat()), (*proc).beat)
}

func (p *proc) beatOnce() {
	w, b := p.n.w, &p.boss
	b.gone = slices.DeleteFunc(b.gone, func(g controller.Process) bool {
		n := w.node(g.Peer)
		return n == nil || n.proc != nil
	})
	if b.leader == 0 {
		return
	}
	boss := w.node(b.leader)
	if boss == nil {
		return
	}
	from := controller.Process{Peer: p.n.id, Incarnation: p.inc}
	gone := slices.Clone(b.gone)
	digest := controller.Digest{Full: p.n.full, Slow: p.n.stalls(), Unreached: p.unreached()}
	w.carry(p.n, boss, func(q *proc) {
		todo := q.heard(from, gone, digest)
		if len(todo) == 0 {
			return
		}
		w.carry(q.n, p.n, func(now *proc) {
			if now != p {
				return
			}
			for _, h := range todo {
				if r := p.replica(h.shard); r != nil && r.sm.Epoch() == h.epoch {
					r.step(replication.Transfer{To: h.to})
				}
			}
		})
	})
}

// heard takes a heartbeat in and returns what its sender is to do.
func (p *proc) heard(from controller.Process, gone []controller.Process, digest controller.Digest) []hand {
	b := &p.boss
	if !b.leading {
		return nil
	}
	b.c.Observe(p.clock(), controller.Heartbeat{Process: from, Digest: digest})
	for _, g := range gone {
		b.c.Observe(p.clock(), controller.Refused{By: from.Peer, Process: g})
	}
	if len(gone) > 0 {
		b.poke(p)
	}
	out := b.hands[from.Peer]
	delete(b.hands, from.Peer)
	return out
}

// poke has the controller asked soon.
func (b *boss) poke(p *proc) {
	if b.leading && !b.poked {
		b.poked = true
		p.n.soon(0, (*proc).rule)
	}
}

// rule asks the controller what to do, and does it.
func (p *proc) rule() {
	b := &p.boss
	if b.busy {
		return // it is asked when that is done
	}
	b.poked = false
	if !b.leading {
		return
	}
	if b.seen != p.view.index || b.picture.Version == 0 {
		b.seen, b.picture = p.view.index, p.picture()
	}
	b.picture.Wall = int64(p.n.w.now / time.Millisecond)
	actions := b.c.Decide(p.clock(), b.picture)
	b.busy = true
	p.carryOut(actions)
}

// picture is the topology as the controller sees it.
func (p *proc) picture() controller.View {
	out := controller.View{Version: p.view.index}
	for _, n := range p.view.Peers() {
		out.Peers = append(out.Peers, *n)
	}
	for _, c := range p.view.Collections() {
		col := controller.Collection{
			Incarnation: c.Incarnation, Copies: int(max(c.Config.GetParams().GetReplicationFactor(), 1)), MinInSync: c.MinInSync(),
			Shards: c.Shards,
		}
		for _, t := range c.Transfers {
			col.Transfers = append(col.Transfers, controller.Transfer{Shard: t.Shard, From: t.From, To: t.To, Move: t.Move, ByUser: t.ByUser})
		}
		out.Collections = append(out.Collections, col)
	}
	return out
}

// carryOut carries actions out, one after another. What fails is decided again.
func (p *proc) carryOut(actions []controller.Action) {
	w, b := p.n.w, &p.boss
	for len(actions) > 0 {
		a := actions[0]
		actions = actions[1:]
		w.trace("controller of %d: %s", p.n.id, a)
		if h, ok := a.(controller.Hand); ok {
			b.hands[h.From] = append(b.hands[h.From], hand{h.Shard, h.Epoch, h.To})
			w.tally["hands"]++
			continue
		}
		if d, ok := a.(controller.DrainDone); ok {
			w.drained(d.Peer)
		}
		if _, ok := a.(controller.Relieve); ok {
			w.tally["relieved"]++
		}
		if c := commandOf(a); c != nil {
			rest := actions
			p.propose(c, 2*time.Second, func(uint64, error) { p.n.soon(0, func(p *proc) { p.carryOut(rest) }) })
			return
		}
	}
	b.busy = false
	if b.poked {
		p.n.soon(0, (*proc).rule)
		return
	}
	at := b.c.NextDecision()
	if b.alarmed && b.alarm <= at {
		return
	}
	b.alarm, b.alarmed = at, true
	p.n.soon(max(p.wait(at), time.Millisecond), func(p *proc) {
		if b.alarm == at && b.alarmed {
			b.alarmed = false
			p.rule()
		}
	})
}

// commandOf is an action as a command of the topology; nil for those that need none.
func commandOf(a controller.Action) topology.Command {
	switch a := a.(type) {
	case controller.Fence:
		var c topology.FencePeers
		for _, p := range a.Peers {
			c.Sessions = append(c.Sessions, topology.Session{Peer: p.Peer, Incarnation: p.Incarnation})
		}
		return c
	case controller.Relieve:
		var c topology.RelievePeers
		for _, p := range a.Peers {
			c.Sessions = append(c.Sessions, topology.Session(p))
		}
		return c
	case controller.Elect:
		return topology.ElectLeaders{Shards: a.Shards}
	case controller.Replicate:
		return topology.StartTransfer{Shard: a.Shard, From: a.From, To: a.To, Move: a.Move}
	case controller.Drop:
		return topology.DropReplica{Shard: a.Shard, Peer: a.Peer}
	case controller.Abort:
		return topology.AbortTransfer{Transfer: topology.TransferKey{Shard: a.Shard, From: a.From, To: a.To}, Reason: a.Why()}
	default:
		return nil
	}
}
