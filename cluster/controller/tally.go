package controller

import (
	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/cluster/topology"
)

// standing is how a node stands at a pass.
type standing struct {
	id   topology.PeerID
	zone string
	// A fenced node is away while its copies still count, dead then. lost says that it
	// takes part in no transfer any more.
	fenced, away, dead, lost bool
	draining, slow           bool
	// open says that it may get copies.
	open bool
	// replicas are its copies, as they will be when what is under way is done; leads
	// those that lead, also then.
	replicas, leads int
	// in and out are the transfers it takes part in.
	in, out int
	// held is everything that it still has.
	held int
	// here are its copies of the collection that is looked at.
	here int
}

// fit tells whether the node is there to stay.
func (s *standing) fit() bool { return !s.fenced && !s.draining }

// tally is what a pass counts. It is kept for its memory.
type tally struct {
	peers []standing
	at    map[topology.PeerID]int
	order *placement.Order
	// zones is in how many zones there are nodes to stay.
	zones int
	// jobs are the shards to look at, by the number of copies in sync that are there.
	jobs [4][]job
	// copies and free are scratch.
	copies []copyState
	free   []int
	// astray counts shards that aren't led by the preferred node, though it has a copy.
	astray int
}

// job is a shard that isn't as it should be, or that something happens to.
type job struct {
	col       *Collection
	shard     *topology.Shard
	transfers []Transfer
}

func (j *job) name() topology.ShardName {
	return topology.ShardName{Collection: j.col.Incarnation, Shard: j.shard.ID}
}

// find returns the place of a node, -1 when it doesn't exist.
func (t *tally) find(id topology.PeerID) int {
	if len(t.peers) <= 16 {
		for i := range t.peers {
			if t.peers[i].id == id {
				return i
			}
		}
		return -1
	}
	if i, ok := t.at[id]; ok {
		return i
	}
	return -1
}

// begin takes the nodes of a view.
func (c *Controller) begin(v *View) *tally {
	t := &c.tally
	t.peers, t.astray = t.peers[:0], 0
	t.at = make(map[topology.PeerID]int, len(v.Peers))
	for i := range t.jobs {
		t.jobs[i] = t.jobs[i][:0]
	}
	near := make([]placement.Peer, 0, len(v.Peers))
	zones := map[string]bool{}
	for i := range v.Peers {
		p := &v.Peers[i]
		n := c.nodes[p.ID]
		s := standing{id: p.ID, zone: p.Zone, fenced: p.Fenced, draining: p.Draining, slow: n.digest.Slow}
		if p.Fenced {
			// Whoever drains a node doesn't expect it back.
			s.dead = p.Draining || c.now >= n.gone+c.opt.ReplicaGrace
			s.away = !s.dead
			s.lost = c.now >= n.gone+c.opt.TransferGrace
			if s.away {
				c.passAt(n.gone + c.opt.ReplicaGrace)
			}
			if !s.lost {
				c.passAt(n.gone + c.opt.TransferGrace)
			}
		}
		s.open = s.fit() && !n.digest.Full
		t.at[p.ID] = i
		t.peers = append(t.peers, s)
		if s.fit() {
			near = append(near, placement.Peer{ID: p.ID, Zone: p.Zone})
			zones[p.Zone] = true
		}
	}
	t.order, t.zones = placement.NewOrder(near), len(zones)
	return t
}

// wanted returns how many copies a shard should have, by its rule or the collection's.
func wanted(col *Collection, id uint32) (int, Rule) {
	if len(col.Rules) == 0 {
		return max(1, col.Copies), Rule{}
	}
	r := col.Rules[id]
	if r.Copies > 0 {
		return r.Copies, r
	}
	return max(1, col.Copies), r
}

// count goes through all shards, counts what nodes hold and takes down the shards that
// something is to be done about.
func (p *pass) count() {
	for i := range p.view.Collections {
		col := &p.view.Collections[i]
		rest := col.Transfers
		for _, sh := range col.Shards {
			for len(rest) > 0 && rest[0].Shard < sh.ID {
				rest = rest[1:]
			}
			n := 0
			for n < len(rest) && rest[n].Shard == sh.ID {
				n++
			}
			j := job{col: col, shard: sh, transfers: rest[:n]}
			rest = rest[n:]
			if calm := p.countShard(&j); !calm {
				p.takeDown(j)
			}
		}
	}
}

// countShard counts a shard's copies. It tells whether the shard is calm: as it should
// be, and nothing happens to it.
func (p *pass) countShard(j *job) (calm bool) {
	sh, t := j.shard, p.t
	want, _ := wanted(j.col, sh.ID)
	calm = len(j.transfers) == 0 && len(sh.Replicas) == want && len(sh.InSync) == want && sh.Leader != 0
	for i := range sh.Replicas {
		r := &sh.Replicas[i]
		at := t.find(r.Peer)
		if at < 0 {
			calm = false
			continue
		}
		s := &t.peers[at]
		s.held++
		if r.Kind == topology.Voter || r.Kind == topology.Joining {
			s.replicas++
		}
		if r.Kind != topology.Voter || s.fenced || s.draining {
			calm = false
		}
		if r.Peer == sh.Leader {
			s.leads++
		} else if r.Peer == sh.Preferred && s.fit() {
			t.astray++
		}
	}
	if calm && len(p.c.memory.pending) > 0 {
		_, busy := p.c.memory.underWay(p.c.now, j.name(), sh)
		calm = !busy
	}
	return calm
}

// takeDown keeps a shard for the repair, and counts what is under way as done.
func (p *pass) takeDown(j job) {
	t, filled := p.t, false
	a, busy := p.c.memory.underWay(p.c.now, j.name(), j.shard)
	want, asked := a.(Replicate)
	for _, tr := range j.transfers {
		p.countTransfer(tr.From, tr.To, tr.Move, false)
		filled = filled || asked && busy && tr.To == want.To
	}
	switch {
	case filled:
		delete(p.c.memory.pending, j.name())
	case busy && asked:
		_, has := j.shard.Replica(want.To)
		p.countTransfer(want.From, want.To, want.Move, !has)
	case busy:
		if h, ok := a.(Hand); ok {
			p.countHand(h.From, h.To)
		}
	}
	live := 0
	for _, q := range j.shard.InSync {
		if i := t.find(q); i >= 0 && !t.peers[i].fenced {
			live++
		}
	}
	live = min(live, len(t.jobs)-1)
	t.jobs[live] = append(t.jobs[live], j)
}

// countTransfer counts a transfer; isNew says that its copy isn't counted yet.
func (p *pass) countTransfer(from, to topology.PeerID, move, isNew bool) {
	if i := p.t.find(from); i >= 0 {
		p.t.peers[i].out++
		p.t.peers[i].held++
		if move {
			p.t.peers[i].replicas--
		}
	}
	if i := p.t.find(to); i >= 0 {
		p.t.peers[i].in++
		p.t.peers[i].held++
		if isNew {
			p.t.peers[i].replicas++
		}
	}
	p.pairs[pairOf(from, to)] = true
}

// countHand counts a leadership that is being handed over.
func (p *pass) countHand(from, to topology.PeerID) {
	p.hands++
	if i := p.t.find(from); i >= 0 {
		p.t.peers[i].leads--
	}
	if i := p.t.find(to); i >= 0 {
		p.t.peers[i].leads++
	}
}

// pair is two nodes, the lower ID first.
type pair [2]topology.PeerID

func pairOf(a, b topology.PeerID) pair { return pair{min(a, b), max(a, b)} }
