package simulation

import (
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// reach is what a process knows of the ways to other nodes: a likeness of what cluster/peer notices. A way that is cut
// in one direction is none: nothing is heard on it.
type reach struct {
	// heard is when nodes were heard of last, down those that can't be reached.
	heard map[topology.PeerID]time.Duration
	down  map[topology.PeerID]replication.LinkDown
}

func newReach() reach {
	return reach{heard: map[topology.PeerID]time.Duration{}, down: map[topology.PeerID]replication.LinkDown{}}
}

// listen notes which nodes are heard, and tells copies what is new.
func (p *proc) listen() {
	w, now := p.n.w, p.clock()
	for _, n := range w.nodes {
		if n == p.n {
			continue
		}
		_, isDown := p.reach.down[n.id]
		if n.isUp() && w.linked(n, p.n) {
			p.reach.heard[n.id] = now
			if isDown {
				delete(p.reach.down, n.id)
				p.tellAll(replication.LinkUp{Peer: n.id, Incarnation: n.proc.inc})
			}
			continue
		}
		since, known := p.reach.heard[n.id]
		if !known {
			p.reach.heard[n.id] = now // it was tried
			continue
		}
		if me := p.view.Peer(n.id); !isDown && me != nil && now >= since+w.plan.silence() {
			down := replication.LinkDown{Peer: n.id, Incarnation: me.Incarnation, Since: since}
			p.reach.down[n.id] = down
			w.tally["links down"]++
			p.tellAll(down)
		}
	}
}

// refusedBy notes that a node refuses connections: its process is gone.
func (p *proc) refusedBy(id topology.PeerID, inc uint64) {
	down := replication.LinkDown{Peer: id, Incarnation: inc, Since: p.clock(), Refused: true}
	p.reach.down[id] = down
	p.tellAll(down)
}

func (p *proc) tellAll(ev replication.Event) {
	for _, r := range slices.Clone(p.replicas) {
		r.step(ev)
	}
}

// tellLinks tells a copy that was just opened.
func (p *proc) tellLinks(r *replica) {
	for _, n := range p.n.w.nodes {
		if down, ok := p.reach.down[n.id]; ok {
			r.step(down)
		}
	}
}

// unreached are the nodes that can't be reached.
func (p *proc) unreached() (out []topology.PeerID) {
	for _, n := range p.n.w.nodes {
		if _, ok := p.reach.down[n.id]; ok {
			out = append(out, n.id)
		}
	}
	return out
}

// stalls tells whether the node's disk has stalled for so long that it says so.
func (n *node) stalls() bool {
	return n.stalled > n.w.now && n.w.now >= n.stalledSince+n.w.plan.stallAfter()
}
