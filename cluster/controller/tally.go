package controller

import (
	"math/bits"
	"slices"

	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/cluster/topology"
)

// standing is how a node stands at a pass.
type standing struct {
	id topology.PeerID
	// zone numbers the zones.
	zone int
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
	// here are its copies of the collection that is looked at; leadsBefore is what it led
	// before that was counted.
	here, leadsBefore int
}

// fit tells whether the node is there to stay.
func (s *standing) fit() bool { return !s.fenced && !s.draining }

// tally is what a pass counts. It is kept for its memory.
type tally struct {
	peers []standing
	// places is a hash table of the places in peers plus one; 0 is free.
	places []int32
	shift  int
	// known are the peers of the last pass, same says that nothing about them has changed
	// that a summary depends on.
	known     []topology.Peer
	same      bool
	summaries map[string]*summary
	order     *placement.Order
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
	for slot := t.slot(id); ; slot++ {
		at := t.places[slot&(len(t.places)-1)]
		if at == 0 {
			return -1
		}
		if t.peers[at-1].id == id {
			return int(at) - 1
		}
	}
}

func (t *tally) slot(id topology.PeerID) int {
	return int(uint64(id) * 0x9E3779B97F4A7C15 >> t.shift) // Fibonacci hashing
}

// enter makes the hash table: a quarter full, since every copy is looked up.
func (t *tally) enter() {
	bits := bits.Len(uint(len(t.peers))) + 2
	t.shift = 64 - bits
	if len(t.places) != 1<<bits {
		t.places = make([]int32, 1<<bits)
	}
	clear(t.places)
	for i := range t.peers {
		slot := t.slot(t.peers[i].id)
		for t.places[slot&(len(t.places)-1)] != 0 {
			slot++
		}
		t.places[slot&(len(t.places)-1)] = int32(i + 1)
	}
}

// begin takes the nodes of a view.
func (c *Controller) begin(v *View) *tally {
	t := &c.tally
	t.peers, t.astray = t.peers[:0], 0
	for i := range t.jobs {
		t.jobs[i] = t.jobs[i][:0]
	}
	zones, there := map[string]int{}, map[string]bool{}
	near := make([]placement.Peer, 0, len(v.Peers))
	for i := range v.Peers {
		p := &v.Peers[i]
		if _, ok := zones[p.Zone]; !ok {
			zones[p.Zone] = len(zones)
		}
		s := c.stand(p)
		s.zone = zones[p.Zone]
		t.peers = append(t.peers, s)
		if s.fit() {
			near = append(near, placement.Peer{ID: p.ID, Zone: p.Zone})
			there[p.Zone] = true
		}
	}
	t.enter()
	t.zones = len(there)
	t.same = slices.EqualFunc(t.known, v.Peers, func(a, b topology.Peer) bool {
		return a.ID == b.ID && a.Fenced == b.Fenced && a.Draining == b.Draining && a.Zone == b.Zone
	})
	if !t.same {
		t.order = placement.NewOrder(near)
		t.known = slices.Clone(v.Peers)
	}
	return t
}

// stand returns how a node stands now.
func (c *Controller) stand(p *topology.Peer) standing {
	n := c.nodes[p.ID]
	s := standing{id: p.ID, fenced: p.Fenced, draining: p.Draining, slow: n.digest.Slow || n.digest.Full}
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
	return s
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

// summary is what a collection in which all is calm adds to the tally. Collections that
// don't change aren't looked at again: with very many shards most are like that.
type summary struct {
	// shards is what was counted. It is held so that its place in memory stays its own.
	shards []*topology.Shard
	copies int
	parts  []part
	astray int
	// crowded counts shards that are in fewer zones than they could be.
	crowded int
}

// part is what one node has of a collection.
type part struct {
	at, replicas, leads int32
}

// count goes through all shards, counts what nodes hold and takes down the shards that
// something is to be done about.
func (p *pass) count() {
	old := p.t.summaries
	p.t.summaries = make(map[string]*summary, len(old))
	busy := map[string]bool{}
	for name := range p.c.memory.pending {
		busy[name.Collection] = true
	}
	for i := range p.view.Collections {
		col := &p.view.Collections[i]
		if s := old[col.Incarnation]; s != nil && p.t.same && s.holds(col) && !busy[col.Incarnation] {
			p.t.summaries[col.Incarnation] = s
			p.addUp(s)
			continue
		}
		if s := p.countCollection(col); s != nil {
			p.t.summaries[col.Incarnation] = s
		}
	}
}

// holds tells whether a summary is one of the collection as it is.
func (s *summary) holds(col *Collection) bool {
	return len(col.Transfers) == 0 && len(col.Rules) == 0 && s.copies == col.Copies && len(s.shards) == len(col.Shards) &&
		len(s.shards) > 0 && &s.shards[0] == &col.Shards[0]
}

func (p *pass) addUp(s *summary) {
	p.t.astray += s.astray
	for _, part := range s.parts {
		n := &p.t.peers[part.at]
		n.replicas += int(part.replicas)
		n.held += int(part.replicas)
		n.leads += int(part.leads)
	}
}

// countCollection counts one collection, and returns its summary if all of it is calm.
func (p *pass) countCollection(col *Collection) *summary {
	for i := range p.t.peers {
		n := &p.t.peers[i]
		n.here, n.leadsBefore = 0, n.leads
	}
	rest, astray, crowded, calm := col.Transfers, p.t.astray, 0, len(col.Transfers) == 0 && len(col.Rules) == 0
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
		if !p.countShard(&j) {
			calm = false
			p.takeDown(j)
		} else if calm && p.t.crowded(sh) {
			crowded++
		}
	}
	if !calm || len(col.Shards) == 0 {
		return nil
	}
	s := &summary{shards: col.Shards, copies: col.Copies, astray: p.t.astray - astray, crowded: crowded}
	for i := range p.t.peers {
		if n := &p.t.peers[i]; n.here > 0 {
			s.parts = append(s.parts, part{at: int32(i), replicas: int32(n.here), leads: int32(n.leads - n.leadsBefore)})
		}
	}
	return s
}

// crowded tells whether a shard is in fewer zones than it could be.
func (t *tally) crowded(sh *topology.Shard) bool {
	if t.zones < 2 {
		return false
	}
	zones := 0
	for k := range sh.Replicas {
		i := t.find(sh.Replicas[k].Peer)
		if i < 0 {
			continue
		}
		zone, first := t.peers[i].zone, true
		for _, q := range sh.Replicas[:k] {
			if o := t.find(q.Peer); o >= 0 && t.peers[o].zone == zone {
				first = false
			}
		}
		if first {
			zones++
		}
	}
	return zones < min(t.zones, len(sh.Replicas))
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
			s.here++
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
		_, stays := j.shard.Replica(want.From)
		p.countTransfer(want.From, want.To, want.Move && stays, !has)
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
