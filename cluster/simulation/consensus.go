package simulation

import (
	"fmt"
	"time"

	"github.com/sextantdb/sextant/cluster/topology"
)

// view is the topology after a command of the consensus.
type view struct {
	*topology.State
	index uint64
}

// consensus is what all nodes agree on: commands in one order. It is atomic; what is real
// about it is who leads, that a majority must be there, and what gets lost on the way.
type consensus struct {
	log    [][]byte
	master *topology.State
	// hashes are of the topology at some indexes.
	hashes map[uint64]uint64
	leader *node
	// well is when the leader last had a majority.
	well time.Duration
	// ghosts are voters whose disk is lost, until they are removed.
	ghosts map[topology.PeerID]bool
}

// The times of the consensus.
const (
	raftTick  = 100 * time.Millisecond
	raftQuiet = time.Second
)

// hashEvery is at which indexes the topologies of nodes are compared.
const hashEvery = 16

// hasMajority tells whether a node reaches most voters.
func (w *world) hasMajority(n *node) bool {
	return n.isUp() && w.most(nil, func(o *node) bool { return o.isUp() && w.linked(n, o) })
}

// most tells whether most votes, but for one node's, are of nodes of which something is true.
func (w *world) most(but *node, is func(*node) bool) bool {
	all, there := len(w.raft.ghosts), 0
	for _, o := range w.nodes {
		if o == but || !o.voter || o.gone {
			continue
		}
		all++
		if is(o) {
			there++
		}
	}
	return 2*there > all
}

// tickConsensus lets who leads change, and nodes hear of it.
func (w *world) tickConsensus() {
	c := &w.raft
	switch {
	case c.leader != nil && w.hasMajority(c.leader):
		c.well = w.now
	case c.leader != nil && w.now-c.well > raftQuiet:
		c.leader = nil
	}
	if c.leader == nil && w.rnd.IntN(4) == 0 {
		var can []*node
		for _, n := range w.nodes {
			if n.voter && !n.gone && w.hasMajority(n) {
				can = append(can, n)
			}
		}
		if len(can) > 0 {
			c.leader, c.well = can[w.rnd.IntN(len(can))], w.now
			w.tally["raft elections"]++
			w.trace("%d leads the consensus", c.leader.id)
		}
	}
	for _, n := range w.nodes {
		if n.isUp() {
			w.hearLeader(n)
		}
	}
	w.after(w.between(raftTick/2, raftTick), w.tickConsensus)
}

// hearLeader tells a node who leads the consensus.
func (w *world) hearLeader(n *node) {
	c, p := &w.raft, n.proc
	leader := p.boss.leader
	switch {
	case c.leader != nil && w.linked(n, c.leader) && c.leader.isUp() && n.joined:
		p.heardRaft, leader = w.now, c.leader.id
	case w.now-p.heardRaft > raftQuiet+raftTick:
		leader = 0
	}
	if leader != p.boss.leader {
		p.leaderChanged(leader)
	}
	p.learn()
}

// propose has a command put into the log. done hears when this node has applied it, or that
// nothing is known by the timeout.
func (p *proc) propose(c topology.Command, timeout time.Duration, done func(index uint64, err error)) {
	w := p.n.w
	data, err := topology.EncodeCommand(c)
	if err != nil {
		w.violate("encode %T: %v", c, err)
		return
	}
	asked := &proposal{done: done}
	p.n.soon(timeout, func(*proc) { asked.end(0, errTimeout) })
	from := p.n
	leader := w.raft.leader
	if leader == nil || !w.linked(from, leader) || !w.calm && w.chance(w.plan.Drop) {
		return
	}
	delay := w.around(w.plan.Delay) + w.around(w.plan.Sync)
	w.after(delay, func() {
		if w.raft.leader != leader || !w.hasMajority(leader) {
			return
		}
		index := w.commit(data, fmt.Sprintf("%T%+v", c, c))
		if from.proc == p && (w.calm || !w.chance(w.plan.Drop)) {
			p.waits[index] = asked
		}
	})
}

// proposal is a command whose proposer waits.
type proposal struct {
	done  func(uint64, error)
	ended bool
}

func (a *proposal) end(index uint64, err error) {
	if !a.ended {
		a.ended = true
		a.done(index, err)
	}
}

// commit puts a command at the end of the log.
func (w *world) commit(data []byte, what string) uint64 {
	c := &w.raft
	c.log = append(c.log, data)
	index := uint64(len(c.log))
	old := c.master.Clone()
	cmd, err := topology.DecodeCommand(data)
	if err != nil {
		w.violate("decode %s: %v", what, err)
		return index
	}
	_, err = c.master.Apply(cmd)
	w.trace("topology %d: %s: %v", index, what, err)
	if index%hashEvery == 0 {
		c.hashes[index] = w.hashOf(c.master)
	}
	w.note(1, index, uint64(len(data)))
	w.tally["commands"]++
	w.committedTopology(old, cmd)
	for _, n := range w.nodes {
		if n.isUp() {
			n.proc.learn()
		}
	}
	return index
}

func (w *world) hashOf(s *topology.State) uint64 {
	h, err := s.Hash()
	if err != nil {
		w.violate("hash of the topology: %v", err)
	}
	return h
}

// learn has the commands come to a process that it doesn't know.
func (p *proc) learn() {
	w := p.n.w
	if p.learning || p.view.index >= uint64(len(w.raft.log)) || !p.n.joined {
		return
	}
	p.learning = true
	d := w.around(w.plan.Delay)
	leader := w.raft.leader
	if leader == nil || !w.linked(leader, p.n) || !leader.isUp() {
		p.learning = false
		return // the next tick tries again
	}
	p.n.soon(d, func(*proc) {
		p.learning = false
		p.applyCommands(1 + w.rnd.IntN(8))
		p.learn()
	})
}

// applyCommands applies the next commands.
func (p *proc) applyCommands(most int) {
	w := p.n.w
	if p.view.index == 0 && w.chance(300) {
		p.takeSnapshot()
	}
	for ; most > 0 && p.view.index < uint64(len(w.raft.log)); most-- {
		index := p.view.index + 1
		cmd, err := topology.DecodeCommand(w.raft.log[index-1])
		if err != nil {
			w.violate("decode: %v", err)
			return
		}
		next := p.view.Clone()
		if _, err = next.Apply(cmd); err != nil {
			next = p.view.State
		}
		p.view = view{next, index}
		if want, ok := w.raft.hashes[index]; ok {
			if got := w.hashOf(next); got != want {
				w.violate("node %d has another topology at %d: hash %x, not %x", p.n.id, index, got, want)
			}
		}
		if a := p.waits[index]; a != nil {
			delete(p.waits, index)
			a.end(index, err)
		}
	}
	if w.chance(100) {
		p.n.disk.topology = p.view
	}
	p.news()
}

// takeSnapshot brings a node that knows nothing the topology as bytes.
func (p *proc) takeSnapshot() {
	w := p.n.w
	data, err := w.raft.master.Encode()
	if err != nil {
		w.violate("encode the topology: %v", err)
		return
	}
	s, err := topology.DecodeState(data)
	if err != nil {
		w.violate("decode the topology: %v", err)
		return
	}
	p.view = view{s, uint64(len(w.raft.log))}
}
