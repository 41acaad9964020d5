package member

import (
	"context"
	"time"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// leaveTime bounds how long a node that stops tries to hand over what it leads.
const leaveTime = 3 * time.Second

// Leave hands over what this node leads, gives up its seats in the sets in sync, and hands the
// consensus over, so that nobody waits for this node when it stops. Where no other copy is in sync
// there is nobody to hand over to.
func (m *Member) Leave(ctx context.Context) {
	m.leaving.Store(true)
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	select {
	case <-m.group.Done():
		return // nobody can agree to anything any more
	default:
	}
	if left := m.handOverAll(ctx); left > 0 {
		m.log.WarnContext(ctx, "handing leaderships over", "left", left)
	}
	if m.registered.Load() > 0 {
		self := topology.Session{Peer: m.self.Peer, Incarnation: m.self.Incarnation}
		if _, err := m.Change(ctx, topology.FencePeers{Sessions: []topology.Session{self}}); err != nil {
			m.log.WarnContext(ctx, "leaving the sets in sync", "error", err)
		}
	}
	if err := m.handOverConsensus(ctx, 0); err != nil {
		m.log.WarnContext(ctx, "handing the consensus over", "error", err)
	}
}

// handOverAll hands over what this node leads, until there is nothing that could be or the time is
// up. It returns how much is left.
func (m *Member) handOverAll(ctx context.Context) (left int) {
	for {
		left = 0
		for _, r := range m.open() {
			if r.handOverToAny() {
				left++
			}
		}
		if left == 0 || ctx.Err() != nil {
			return left
		}
		_, news := m.machine.Newest()
		_ = pause(ctx, 2*firstPause, news) // the loop sees that ctx has ended
	}
}

// handOverConsensus lets another voter lead the consensus: a given one, or with 0 any.
func (m *Member) handOverConsensus(ctx context.Context, to topology.PeerID) error {
	s := m.group.Status()
	if s.Leader != m.self.Peer {
		return nil
	}
	if to != 0 {
		return m.group.TransferLeadership(ctx, to)
	}
	for _, v := range s.Voters {
		if p := m.State().Peer(v); v != m.self.Peer && p != nil && !p.Fenced {
			return m.group.TransferLeadership(ctx, v)
		}
	}
	return nil
}

// handOverToAny asks the state machine to hand over, and tells whether this copy still leads though
// another one could.
func (r *replica) handOverToAny() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.sm.Role() != replication.Leader || len(r.sm.InSync()) < 2 {
		return false
	}
	r.stepLocked(replication.Transfer{})
	return true
}

// Ready tells whether the node is registered (and wasn't removed), knows all that there was then, and its copies
// have caught up: each is in sync and can be read. What nobody could change isn't waited for: copies of shards that no node
// leads, and those that are made while other nodes have all that there should be.
func (m *Member) Ready() bool {
	select {
	case <-m.part:
	default:
		return false
	}
	if m.turnedAway.Load() || m.Behind() {
		return false
	}
	v := m.machine.Now()
	for _, c := range v.Collections() {
		for _, s := range c.Shards {
			rep, ok := s.Replica(m.self.Peer)
			if !ok || rep.Kind != topology.Voter || s.Leader == 0 {
				continue
			}
			r := m.replica(nameOf(c, s))
			if r == nil || !s.IsInSync(m.self.Peer) {
				return false
			}
			if _, err := r.readable(); err != nil {
				return false
			}
		}
	}
	return true
}
