package controller

import (
	"fmt"
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// relieve decides whose leaderships and seats are taken over by others: of nodes that live, and hold others up. It is
// said again only when it didn't help.
func (c *Controller) relieve(v *View) []Action {
	a := Relieve{}
	slow, leads := map[topology.PeerID]bool{}, map[topology.PeerID]bool{}
	for i := range v.Peers {
		n, id := c.nodes[v.Peers[i].ID], v.Peers[i].ID
		if n.fenced {
			continue
		}
		switch reason := c.burden(id, n); {
		case reason == "":
			continue
		case n.digest.Slow:
			slow[id] = true
			a.Reason = reason
		default:
			leads[id] = true
			if a.Reason == "" {
				a.Reason = reason
			}
		}
		a.Peers = append(a.Peers, Process{Peer: id, Incarnation: n.incarnation})
	}
	if len(a.Peers) == 0 {
		c.relieved = 0
		return nil
	}
	if c.relieved != 0 && c.now < c.relieved+c.opt.RetryAfter {
		c.wakeAt(c.relieved + c.opt.RetryAfter)
		return nil
	}
	named := func(p topology.PeerID) bool { return slow[p] || leads[p] }
	if !c.canBeRelieved(v, named, func(sh *topology.Shard) bool {
		return leads[sh.Leader] || slices.ContainsFunc(sh.InSync, func(p topology.PeerID) bool { return slow[p] })
	}) {
		return nil
	}
	c.relieved = c.now
	c.wakeAt(c.now + c.opt.RetryAfter)
	return []Action{a}
}

// burden says why a node holds others up; empty when it doesn't, as far as is known.
func (c *Controller) burden(id topology.PeerID, n *node) Reason {
	switch {
	case n.digest.Slow:
		return "its disk stalls"
	case n.digest.Full && c.now >= n.fullSince+c.opt.FullAfter:
		return "its disk is full, and it couldn't hand over" // by itself
	case n.digest.Full:
		c.wakeAt(n.fullSince + c.opt.FullAfter)
	}
	complaints, others := 0, 0
	for _, by := range c.ids {
		o := c.nodes[by]
		if by == id || o.fenced {
			continue
		}
		others++
		if slices.Contains(o.digest.Unreached, id) && c.now < o.heard+c.opt.Session {
			complaints++
		}
	}
	if complaints > 1 && 2*complaints > others {
		return Reason(fmt.Sprintf("%d of %d other nodes can't reach it", complaints, others))
	}
	return ""
}

// canBeRelieved tells whether there is a shard that is held up and for which enough others are there.
func (c *Controller) canBeRelieved(v *View, named func(topology.PeerID) bool, heldUp func(*topology.Shard) bool) bool {
	for i := range v.Collections {
		for _, sh := range v.Collections[i].Shards {
			if !heldUp(sh) {
				continue
			}
			able := 0
			for _, p := range sh.InSync {
				if n := c.nodes[p]; n != nil && !n.fenced && !named(p) {
					able++
				}
			}
			if able >= max(1, v.Collections[i].MinInSync) {
				return true
			}
		}
	}
	return false
}
