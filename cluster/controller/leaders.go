package controller

import (
	"fmt"
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// astrayCost is what a shard costs that the preferred node doesn't lead. Together with
// the squares of what nodes lead it makes the cost that every handover lowers: a
// preferred node gets its shard back unless it leads two more than the other then.
const astrayCost = 3

// balanceLeaders hands leaderships over, a few at a time, once the nodes are quiet.
func (p *pass) balanceLeaders() {
	if p.c.opt.NoLeaderBalance {
		return
	}
	if quiet := p.c.changed + p.c.opt.LeaderQuiet; p.c.now < quiet {
		p.c.passAt(quiet)
		return
	}
	if p.t.astray == 0 && p.leadSpread() < 2 {
		return
	}
	for i := range p.view.Collections {
		col := &p.view.Collections[i]
		for _, sh := range col.Shards {
			if p.hands >= p.c.opt.Handovers || p.full() {
				return
			}
			p.balanceLeader(&job{col: col, shard: sh})
		}
	}
}

// leadSpread is how many more shards one node leads than another.
func (p *pass) leadSpread() int {
	least, most := 0, 0
	first := true
	for i := range p.t.peers {
		n := &p.t.peers[i]
		if !n.fit() {
			continue
		}
		if first {
			least, most, first = n.leads, n.leads, false
		}
		least, most = min(least, n.leads), max(most, n.leads)
	}
	return most - least
}

// balanceLeader hands one shard over if that lowers the cost.
func (p *pass) balanceLeader(j *job) {
	sh := j.shard
	if sh.Leader == 0 || len(sh.InSync) < 2 {
		return
	}
	from := p.t.find(sh.Leader)
	if from < 0 || !p.t.peers[from].fit() {
		return
	}
	best, gain := -1, 0
	for _, r := range sh.Replicas {
		if r.Peer == sh.Leader || r.Kind != topology.Voter || !sh.IsInSync(r.Peer) {
			continue
		}
		to := p.t.find(r.Peer)
		if to < 0 || !p.t.peers[to].fit() || p.t.peers[to].slow {
			continue
		}
		cost := 2 * (p.t.peers[to].leads - p.t.peers[from].leads + 1)
		switch sh.Preferred {
		case r.Peer:
			cost -= astrayCost
		case sh.Leader:
			cost += astrayCost
		}
		if cost < gain {
			best, gain = to, cost
		}
	}
	if best < 0 {
		return
	}
	to := p.t.peers[best].id
	if !p.c.memory.mayTry(p.c.now, copyName{shard: j.name(), peer: to, lead: true}) || p.busy(j) {
		return
	}
	why := Reason(fmt.Sprintf("peer %d leads %d shards, peer %d %d", sh.Leader, p.t.peers[from].leads, to, p.t.peers[best].leads))
	if to == sh.Preferred {
		why = Reason(fmt.Sprintf("peer %d is preferred", to))
	}
	p.hand(j, to, why)
}

// busy tells whether something is under way on a shard.
func (p *pass) busy(j *job) bool {
	if _, busy := p.c.memory.underWay(p.c.now, j.name(), j.shard); busy {
		return true
	}
	_, found := slices.BinarySearchFunc(j.col.Transfers, j.shard.ID, func(t Transfer, id uint32) int {
		switch {
		case t.Shard < id:
			return -1
		case t.Shard > id:
			return 1
		default:
			return 0
		}
	})
	return found
}
