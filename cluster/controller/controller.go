package controller

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// Controller decides for the cluster. It isn't safe for concurrent use.
type Controller struct {
	self topology.PeerID
	opt  Options

	// now is the time of the last call; before the first one called is false.
	now    Now
	called bool
	// leading says that this node leads the consensus; former led before, and was heard
	// of at formerHeard.
	leading     bool
	former      topology.PeerID
	formerHeard Now

	// nodes are the peers of the last view, ids their names, ascending.
	nodes map[topology.PeerID]*node
	ids   []topology.PeerID
	// changed is when a node was last added, removed, fenced or registered. hurt is when
	// copies were last being repaired.
	changed, hurt Now
	// brake is until when a mass fence waits; 0 is not. relieved is when nodes that hold others up were
	// last relieved, 0 when there are none.
	brake, relieved Now

	// seen is the version of the view at the last pass, passed when it was, next when
	// another one is due without a change. fresh says that there was none yet.
	seen         uint64
	passed, next Now
	fresh        bool
	// swept is when copies were last looked through for moves in vain.
	swept    Now
	sweptYet bool
	// cursor and cursorShard are the collection and the place in it where the search goes
	// on, inVain how many collections were looked through since a move was found.
	cursor, cursorShard, inVain int
	// wake is when Decide should be called again.
	wake Now

	memory memory
	tally  tally
	status Status
}

// New returns the controller of a node.
func New(self topology.PeerID, opt Options) *Controller {
	return &Controller{self: self, opt: opt.withDefaults(), nodes: map[topology.PeerID]*node{}, memory: newMemory()}
}

// Observe takes note of what has happened.
func (c *Controller) Observe(now Now, e Event) {
	c.advance(now)
	switch e := e.(type) {
	case BecameLeader:
		c.lead(e)
		c.wake = c.now
	case LostLeadership:
		c.leading = false
	case Heartbeat:
		c.heard(e)
	case Refused:
		c.refused(e)
		c.wake = c.now
	}
}

// advance moves the time on. After a gap in which nobody was heard, because the
// controller itself was stopped, nobody is blamed for it.
func (c *Controller) advance(now Now) {
	gap := now - c.now
	if c.called && c.leading && gap > c.opt.Paused {
		for _, n := range c.nodes {
			n.heard += gap
			n.refusals = nil
		}
		c.brake = 0
	}
	c.now, c.called = max(now, c.now), true
}

func (c *Controller) lead(e BecameLeader) {
	c.leading, c.fresh, c.brake, c.sweptYet = true, true, 0, false
	c.former, c.formerHeard = e.Former, e.Heard
	c.changed, c.hurt = c.now, c.now
	c.memory = newMemory()
	for id, n := range c.nodes {
		n.startSession(c.sessionStart(id))
		n.drained = false
	}
}

// sessionStart is when a node of a new leadership was last heard of.
func (c *Controller) sessionStart(p topology.PeerID) Now {
	if p == c.former && p != c.self {
		return min(c.formerHeard, c.now)
	}
	return c.now
}

// Decide says what is to be done now. On a node that doesn't lead it takes note of the
// peers.
func (c *Controller) Decide(now Now, v View) []Action {
	c.advance(now)
	c.track(v.Peers)
	c.wake = c.now + c.opt.PassAtLeast
	if !c.leading {
		return nil
	}
	if len(c.ids) > 1 {
		c.wakeAt(c.now + c.opt.Heartbeat)
	}
	if f := c.fence(v.Peers); f != nil {
		return f // the view doesn't show it yet
	}
	actions := c.relieve(&v)
	if c.fresh || c.now >= c.next || v.Version != c.seen && c.now >= c.passed+c.opt.PassEvery {
		actions = append(actions, c.pass(&v)...)
	}
	if v.Version != c.seen {
		c.wakeAt(c.passed + c.opt.PassEvery)
	}
	c.wakeAt(c.next)
	return actions
}

// NextDecision says when to call Decide again, unless the topology changes before. What is
// observed may make it earlier.
func (c *Controller) NextDecision() Now { return c.wake }

func (c *Controller) wakeAt(t Now) { c.wake = min(c.wake, t) }

// passAt asks for another pass.
func (c *Controller) passAt(t Now) { c.next = min(c.next, t) }

// track compares the peers of the view with those of the last one.
func (c *Controller) track(peers []topology.Peer) {
	for i := range peers {
		p := &peers[i]
		n := c.nodes[p.ID]
		if n == nil {
			n = &node{incarnation: p.Incarnation, fenced: p.Fenced, gone: c.now, heard: c.sessionStart(p.ID)}
			n.draining = p.Draining
			c.nodes[p.ID] = n
			c.changed = c.now
		}
		c.trackNode(n, p)
	}
	same := slices.EqualFunc(c.ids, peers, func(id topology.PeerID, p topology.Peer) bool { return id == p.ID })
	if same {
		return
	}
	c.changed = c.now
	c.ids = c.ids[:0]
	for i := range peers {
		c.ids = append(c.ids, peers[i].ID)
	}
	for id := range c.nodes {
		if _, ok := slices.BinarySearch(c.ids, id); !ok {
			delete(c.nodes, id)
		}
	}
}

func (c *Controller) trackNode(n *node, p *topology.Peer) {
	if n.incarnation != p.Incarnation || n.fenced && !p.Fenced {
		n.incarnation = p.Incarnation
		n.startSession(c.now)
		c.changed = c.now
	}
	if !n.fenced && p.Fenced {
		n.gone = c.now
		c.changed = c.now
	}
	if n.draining != p.Draining {
		n.drained = false
		c.changed = c.now
	}
	n.fenced, n.draining = p.Fenced, p.Draining
}
