package controller

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// fewTargets bounds the nodes that a move may go to at one pass: those with the least, and
// two of each zone.
const fewTargets = 16

// sweepEvery is how many times PassAtLeast a search for moves that found none is not
// repeated.
const sweepEvery = 2

// sweepLimit bounds the shards that one pass looks at closely.
const sweepLimit = 2000

// rebalance moves copies from nodes that have many to nodes that have few, and to zones
// where a shard has none, once the cluster is quiet. Every move lowers first how many
// copies share a zone, then the sum of the squares of what nodes have, in all and of each
// collection.
func (p *pass) rebalance() {
	if p.c.opt.NoRebalance {
		return
	}
	for i := range p.t.peers {
		if n := &p.t.peers[i]; n.away {
			p.c.hurt = p.c.now
		}
	}
	if quiet := max(p.c.changed, p.c.hurt) + p.c.opt.ReplicaQuiet; p.c.now < quiet {
		p.c.passAt(quiet)
		return
	}
	again := p.c.swept + sweepEvery*p.c.opt.PassAtLeast
	if p.c.sweptYet && p.c.now < again {
		p.c.passAt(again)
		return
	}
	if p.sweep() {
		p.c.swept, p.c.sweptYet = p.c.now, true
	} else {
		p.c.sweptYet = false
		p.c.passAt(p.c.now + p.c.opt.PassEvery)
	}
}

// sweep looks for moves, going on where the last one stopped. It tells whether all
// collections have been looked through since a move was found or under way.
func (p *pass) sweep() bool {
	s := &search{targets: p.targets(), left: sweepLimit}
	n := len(p.view.Collections)
	for range n {
		if len(s.targets) == 0 || s.left <= 0 || p.full() {
			break
		}
		if p.c.cursor >= n {
			p.c.cursor = 0
		}
		if !p.balanceCollection(&p.view.Collections[p.c.cursor], s) {
			break
		}
		p.c.cursor++
		p.c.inVain++
	}
	if s.moved || len(p.pairs) > 0 {
		p.c.inVain = 0
	}
	if p.c.inVain < n {
		return false
	}
	p.c.inVain = 0
	return true
}

// search is one sweep.
type search struct {
	// targets are the nodes that may get copies, left how many shards may still be looked
	// at closely.
	targets []int
	left    int
	moved   bool
	// replicas and here are the least that a target has, in all and of the collection.
	replicas, here int
}

// targets returns the nodes that may get copies now, those with the least first.
func (p *pass) targets() []int {
	p.t.free = p.t.free[:0]
	for i := range p.t.peers {
		if n := &p.t.peers[i]; n.open && n.in < p.c.opt.TransfersIn {
			p.t.free = append(p.t.free, i)
		}
	}
	slices.SortFunc(p.t.free, func(a, b int) int {
		return cmp.Or(cmp.Compare(p.t.peers[a].replicas, p.t.peers[b].replicas), cmp.Compare(a, b))
	})
	seen := map[int]int{}
	kept := p.t.free[:0]
	for _, i := range p.t.free {
		zone := p.t.peers[i].zone
		if seen[zone]++; len(kept) < fewTargets || seen[zone] <= 2 {
			kept = append(kept, i)
		}
	}
	return kept
}

// balanceCollection plans moves of one collection. It is false when it has to stop before
// the end.
func (p *pass) balanceCollection(col *Collection, s *search) bool {
	p.countHere(col)
	if !p.worthwhile(col, s) {
		return true
	}
	for k := p.c.cursorShard; k < len(col.Shards); k++ {
		if len(s.targets) == 0 || s.left <= 0 || p.full() {
			p.c.cursorShard = k
			return false
		}
		sh := col.Shards[k]
		j := job{col: col, shard: sh}
		want, rule := wanted(col, sh.ID)
		if len(sh.Replicas) != want || len(sh.InSync) != want || p.view.Wall < rule.PinnedUntil || !p.mayGain(sh, s) || p.busy(&j) {
			continue
		}
		s.left--
		if p.move(&j, s.targets) {
			s.moved = true
			s.targets = slices.DeleteFunc(s.targets, func(i int) bool { return p.t.peers[i].in >= p.c.opt.TransfersIn })
		}
	}
	p.c.cursorShard = 0
	return true
}

// countHere counts the copies of one collection.
func (p *pass) countHere(col *Collection) {
	for i := range p.t.peers {
		p.t.peers[i].here = 0
	}
	if s := p.t.summaries[col.Incarnation]; s != nil {
		for _, part := range s.parts {
			p.t.peers[part.at].here = int(part.replicas)
		}
		return
	}
	for _, sh := range col.Shards {
		for _, r := range sh.Replicas {
			if i := p.t.find(r.Peer); i >= 0 {
				p.t.peers[i].here++
			}
		}
	}
	for _, t := range col.Transfers {
		if i := p.t.find(t.From); i >= 0 && t.Move {
			p.t.peers[i].here--
		}
	}
}

// worthwhile is a quick test that leaves out the collections of a balanced cluster.
func (p *pass) worthwhile(col *Collection, s *search) bool {
	for k, i := range s.targets {
		n := &p.t.peers[i]
		if k == 0 {
			s.replicas, s.here = n.replicas, n.here
		}
		s.replicas, s.here = min(s.replicas, n.replicas), min(s.here, n.here)
	}
	sum := p.t.summaries[col.Incarnation]
	if sum == nil || sum.crowded > 0 {
		return true
	}
	for _, part := range sum.parts {
		if n := &p.t.peers[part.at]; p.much(n.replicas, s.replicas) || p.much(n.here, s.here) {
			return true
		}
	}
	return false
}

// mayGain is a quick test that leaves out most shards.
func (p *pass) mayGain(sh *topology.Shard, s *search) bool {
	var zones [8]int
	places := zones[:0]
	for _, r := range sh.Replicas {
		i := p.t.find(r.Peer)
		if i < 0 || !p.t.peers[i].fit() {
			return false
		}
		places = append(places, i)
	}
	for _, i := range places {
		n := &p.t.peers[i]
		if !p.much(n.replicas, s.replicas) && !p.much(n.here, s.here) {
			continue
		}
		for _, to := range s.targets {
			if p.uneven(n, &p.t.peers[to]) && p.sharing(places, i, to) <= p.sharing(places, i, i) {
				return true
			}
		}
	}
	return p.t.crowded(sh)
}

// sharing counts the copies, without the one on a node, that share a zone with another.
func (p *pass) sharing(places []int, without, node int) int {
	n := 0
	for _, i := range places {
		if i != without && p.t.peers[i].zone == p.t.peers[node].zone {
			n++
		}
	}
	return n
}

// uneven tells whether one node has so much more than another that a move is worth it.
func (p *pass) uneven(a, b *standing) bool {
	return p.much(a.replicas, b.replicas) || p.much(a.here, b.here)
}

func (p *pass) much(a, b int) bool {
	return a-b >= 2 && float64(a-b) > p.c.opt.Imbalance*float64(a+b)/2
}

// move plans the best move of a shard's copies, if there is one.
func (p *pass) move(j *job, targets []int) bool {
	s := p.look(j)
	bestFrom, bestTo, least := -1, -1, [3]int{}
	for from := range s.copies {
		c := &s.copies[from]
		if !p.movable(&s, c) {
			continue
		}
		for _, to := range targets {
			cost, ok := p.moveCost(&s, from, to)
			if ok && (bestTo < 0 || slices.Compare(cost[:], least[:]) < 0) {
				bestFrom, bestTo, least = from, to, cost
			}
		}
	}
	if bestTo < 0 {
		return false
	}
	a, b := &p.t.peers[s.copies[bestFrom].at], &p.t.peers[bestTo]
	why := Reason(fmt.Sprintf("peer %d has %d copies, %d of the collection, peer %d has %d and %d", a.id, a.replicas, a.here, b.id, b.replicas, b.here))
	if least[0] < 0 {
		why = Reason(fmt.Sprintf("peer %d is in another zone than the other copies", b.id))
	}
	p.replicate(&s, bestFrom, bestTo, true, why)
	a.here--
	b.here++
	return true
}

// movable tells whether a copy can be moved now. What leads stays, unless it is alone:
// leaderships are balanced for themselves.
func (p *pass) movable(s *shardState, c *copyState) bool {
	if !c.seated || !c.staying || p.t.peers[c.at].out >= p.c.opt.TransfersOut {
		return false
	}
	return c.Peer != s.shard.Leader || len(s.copies) == 1 || p.c.opt.NoLeaderBalance
}

// moveCost returns by how much a move changes the cost: copies that share a zone, copies
// that are far from each other, squares of what nodes have. ok is false when it isn't
// worth it or not allowed.
func (p *pass) moveCost(s *shardState, from, to int) (cost [3]int, ok bool) {
	a, b := &p.t.peers[s.copies[from].at], &p.t.peers[to]
	if _, has := s.shard.Replica(b.id); has || p.pairs[pairOf(a.id, b.id)] {
		return cost, false
	}
	cost[0] = p.inZone(s, from, to) - p.inZone(s, from, s.copies[from].at)
	cost[2] = 2*(b.replicas-a.replicas+1) + 2*(b.here-a.here+1)
	if cost[0] > 0 || cost[0] == 0 && (cost[2] >= 0 || !p.uneven(a, b)) {
		return cost, false
	}
	if len(s.rule.Pool) > 0 && !slices.Contains(s.rule.Pool, b.id) || !p.c.memory.mayTry(p.c.now, copyName{shard: s.name(), peer: b.id}) {
		return cost, false
	}
	cost[1] = p.far(s, from, to) - p.far(s, from, s.copies[from].at)
	return cost, cost[0] < 0 || cost[1] <= 0
}
