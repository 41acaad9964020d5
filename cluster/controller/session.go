package controller

import (
	"fmt"

	"github.com/sextantdb/sextant/cluster/topology"
)

// node is what the controller remembers of a peer.
type node struct {
	incarnation      uint64
	fenced, draining bool
	// gone is when it was first seen fenced.
	gone Now
	// heard is when its process was last heard of.
	heard Now
	// refusals are reports that its process is gone, one of each peer.
	refusals []refusal
	// asked is when a fence was last proposed; 0 is never.
	asked Now
	// drained says that DrainDone was said.
	drained bool
	digest  Digest
	// fullSince is since when it says that its disk is full.
	fullSince Now
}

type refusal struct {
	by topology.PeerID
	at Now
}

func (n *node) startSession(at Now) {
	n.heard, n.refusals, n.asked, n.digest = at, nil, 0, Digest{}
}

func (c *Controller) heard(e Heartbeat) {
	n := c.nodes[e.Peer]
	if n == nil || n.incarnation != e.Incarnation {
		return // an earlier process, or one that isn't registered yet
	}
	if e.Full && !n.digest.Full {
		n.fullSince = c.now
	}
	n.digest = e.Digest
	c.memory.progressed(c.now, e.Peer, e.Progress)
	if !n.fenced {
		n.heard, n.refusals = c.now, nil
	}
}

func (c *Controller) refused(e Refused) {
	n, by := c.nodes[e.Peer], c.nodes[e.By]
	if n == nil || n.fenced || n.incarnation != e.Incarnation || e.By == e.Peer {
		return
	}
	if e.By != c.self && (by == nil || by.fenced) {
		return
	}
	for i := range n.refusals {
		if n.refusals[i].by == e.By {
			n.refusals[i].at = c.now
			return
		}
	}
	n.refusals = append(n.refusals, refusal{by: e.By, at: c.now})
}

// evidence tells whether (and since when) a node's connections are refused: by the
// controller's own account, or that of two others at about the same time.
func (c *Controller) evidence(n *node) (at Now, ok bool) {
	for i, r := range n.refusals {
		if r.by == c.self {
			return r.at, true
		}
		for _, o := range n.refusals[:i] {
			if max(r.at-o.at, o.at-r.at) <= c.opt.RefusedWithin {
				return max(r.at, o.at), true
			}
		}
	}
	return 0, false
}

// fence decides which nodes count as gone.
func (c *Controller) fence(peers []topology.Peer) []Action {
	due, quick, ripe := c.due(peers)
	if len(due) == 0 {
		c.brake = 0
		return nil
	}
	if !ripe || !quick && c.othersFollow(due) || c.braked(len(due)) {
		return nil
	}
	f := Fence{Reason: Reason("nothing heard for " + c.opt.Session.String())}
	if quick {
		f.Reason = "connections are refused"
	}
	if c.brake != 0 {
		f.Reason += Reason(fmt.Sprintf(", after a second look at %d nodes", len(due)))
	}
	c.brake, c.changed = 0, c.now
	for _, id := range due {
		c.nodes[id].asked = c.now
		f.Peers = append(f.Peers, Process{Peer: id, Incarnation: c.nodes[id].incarnation})
	}
	c.wakeAt(c.now + c.opt.RetryAfter)
	return []Action{f}
}

// due returns the nodes that are to be fenced, ascending. quick says that some are because
// their connections are refused; not ripe, that those wait for more of their kind.
func (c *Controller) due(peers []topology.Peer) (due []topology.PeerID, quick, ripe bool) {
	ripeAt := Now(-1)
	for i := range peers {
		n := c.nodes[peers[i].ID]
		if n.fenced || peers[i].ID == c.self || n.asked != 0 && c.now < n.asked+c.opt.RetryAfter {
			continue
		}
		if at, ok := c.evidence(n); ok {
			due = append(due, peers[i].ID)
			quick = true
			if at += c.opt.RefusedDelay; ripeAt < 0 || at < ripeAt {
				ripeAt = at
			}
			continue
		}
		if expires := n.heard + c.opt.Session; c.now >= expires {
			due = append(due, peers[i].ID)
			ripe = true
		} else {
			c.wakeAt(expires)
		}
	}
	if ripeAt >= 0 {
		ripe = ripe || c.now >= ripeAt
		c.wakeAt(max(ripeAt, c.now))
	}
	return due, quick, ripe
}

// othersFollow tells whether a node that isn't due has been silent for almost as long as
// those that are: then they are fenced together a little later.
func (c *Controller) othersFollow(due []topology.PeerID) bool {
	first := c.now
	for _, id := range due {
		first = min(first, c.nodes[id].heard)
	}
	follow := false
	for _, id := range c.ids {
		n := c.nodes[id]
		if n.fenced || id == c.self || n.heard+c.opt.Session <= c.now {
			continue
		}
		// Within Group of the first, and not just between two heartbeats.
		if n.heard <= first+c.opt.Group && c.now-n.heard > 2*c.opt.Heartbeat {
			follow = true
		}
	}
	return follow
}

// braked tells whether a fence of n nodes has to wait, because more than a minority would
// be fenced within one session: then another session passes first, in which they may be
// heard again.
func (c *Controller) braked(n int) bool {
	live, recent := 0, 0
	for _, id := range c.ids {
		o := c.nodes[id]
		switch {
		case !o.fenced:
			live++
		case o.asked != 0 && c.now-o.asked < c.opt.Session:
			live++
			recent++
		}
	}
	if n+recent <= max(1, (live-1)/2) {
		return false
	}
	if c.brake == 0 {
		c.brake = c.now + c.opt.Session
	}
	if c.now < c.brake {
		c.wakeAt(c.brake)
		return true
	}
	return false
}
