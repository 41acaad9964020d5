package member

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/sextantdb/sextant/cluster/consensus"
	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// boss runs the controller where this node leads the consensus, and is the node's ear for it
// everywhere.
type boss struct {
	m *Member

	mu sync.Mutex
	c  *controller.Controller
	// leader leads the consensus as far as is known here; former did before nobody did, until lost.
	leader, former topology.PeerID
	lost           controller.Now
	leading        bool
	// asked is how often others were asked because nobody leads.
	asked int
	// hands are leaderships to be handed over, by who is to do it: they go with the answer of that
	// node's next heartbeat.
	hands map[topology.PeerID][]hand
	// gone are processes whose node refused a connection, for the next heartbeat.
	gone []controller.Process
	// poked is told when the controller has news, hurry when a heartbeat shouldn't wait.
	poked, hurry chan struct{}
	viewer       controller.Viewer
}

// hand is a leadership to be handed over.
type hand struct {
	Shard topology.ShardName
	Epoch uint64
	To    topology.PeerID
}

// report is what a heartbeat says.
type report struct {
	Digest controller.Digest
	Gone   []controller.Process
}

func newBoss(m *Member) *boss {
	return &boss{
		m: m, c: controller.New(m.self.Peer, m.o.Controller), hands: map[topology.PeerID][]hand{},
		poked: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// leaderChanged hears of each change of who leads the consensus.
func (b *boss) leaderChanged(leader topology.PeerID, me bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.m.now()
	if b.leader != 0 && leader != b.leader {
		b.former, b.lost = b.leader, now
	}
	b.leader = leader
	switch {
	case me && !b.leading:
		b.leading = true
		b.c.Observe(now, controller.BecameLeader{Former: b.former, Heard: max(b.lost-b.m.electionTime(), 0)})
	case !me && b.leading:
		b.leading = false
		b.c.Observe(now, controller.LostLeadership{})
		clear(b.hands)
	}
	poke(b.poked)
}

// peerDown hears that a node can't be reached.
func (b *boss) peerDown(d peer.Down) {
	b.m.linkDown(d)
	if !d.Refused || d.Incarnation == 0 {
		return
	}
	p := controller.Process{Peer: d.Peer, Incarnation: d.Incarnation}
	b.m.group.LeaderGone(d.Peer)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leading {
		b.c.Observe(b.m.now(), controller.Refused{By: b.m.self.Peer, Process: p})
		poke(b.poked)
		return
	}
	if !slices.Contains(b.gone, p) {
		b.gone = append(b.gone, p)
	}
	poke(b.hurry)
}

// peerUp hears that a node was reached.
func (b *boss) peerUp(u peer.Up) {
	b.m.linkUp(u)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = slices.DeleteFunc(b.gone, func(p controller.Process) bool { return p.Peer == u.Peer })
}

// heard takes a heartbeat in and returns what its sender is to do.
func (b *boss) heard(from controller.Process, r report) []hand {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.leading {
		return nil
	}
	now := b.m.now()
	b.c.Observe(now, controller.Heartbeat{Process: from, Digest: r.Digest})
	for _, p := range r.Gone {
		b.c.Observe(now, controller.Refused{By: from.Peer, Process: p})
	}
	if len(r.Gone) > 0 {
		poke(b.poked)
	}
	out := b.hands[from.Peer]
	delete(b.hands, from.Peer)
	return out
}

// decide asks the controller what to do.
func (b *boss) decide(v *view) (actions []controller.Action, next time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.m.now()
	if !b.leading { // it only learns who is there and who counts as gone
		b.viewer = controller.Viewer{}
		b.c.Decide(now, controller.View{Version: v.State.Index(), Peers: controller.PeersOf(v.State)})
		return nil, time.Hour
	}
	actions = b.c.Decide(now, b.viewer.View(v.State, time.Now().UnixMilli()))
	return actions, b.c.NextDecision() - now
}

// rule carries out what the controller decides.
func (m *Member) rule(ctx context.Context) {
	for {
		v, changed := m.machine.Newest()
		actions, next := m.boss.decide(v)
		for _, a := range actions {
			m.carryOut(ctx, a)
		}
		t := time.NewTimer(max(next, time.Millisecond))
		select {
		case <-t.C:
		case <-changed:
		case <-m.boss.poked:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// carryOut carries out an action. What fails is decided again.
func (m *Member) carryOut(ctx context.Context, a controller.Action) {
	m.log.InfoContext(ctx, "controller", "action", a.String())
	if h, ok := a.(controller.Hand); ok {
		m.boss.mu.Lock()
		m.boss.hands[h.From] = append(m.boss.hands[h.From], hand{h.Shard, h.Epoch, h.To})
		m.boss.mu.Unlock()
		return
	}
	cmd, ok := controller.Command(a)
	if !ok {
		return
	}
	timed, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := m.Change(timed, cmd); err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, "controller", "action", a.String(), "error", err)
	}
}

// beat says that this node lives, again and again, to whoever leads the consensus, or to any other node when nobody is
// known to lead.
func (m *Member) beat(ctx context.Context) {
	t := time.NewTicker(m.o.Heartbeat)
	defer t.Stop()
	for {
		timed, cancel := context.WithTimeout(ctx, time.Second)
		m.beatOnce(timed)
		cancel()
		select {
		case <-t.C:
		case <-m.boss.hurry:
		case <-ctx.Done():
			return
		}
	}
}

func (m *Member) beatOnce(ctx context.Context) {
	b := m.boss
	b.mu.Lock()
	leader, gone := b.leader, slices.Clone(b.gone)
	if leader == 0 {
		b.asked++
		leader = m.another(b.asked)
	}
	b.mu.Unlock()
	r := report{Digest: m.digest(), Gone: gone}
	self := controller.Process{Peer: m.self.Peer, Incarnation: m.self.Incarnation}
	var todo []hand
	switch leader {
	case 0:
		return
	case m.self.Peer:
		todo = b.heard(self, r)
	default:
		conn, err := m.pool.Peer(leader)
		if err != nil {
			return
		}
		data, err := json.Marshal(r)
		if err != nil {
			return
		}
		answer, err := conn.Heartbeat(ctx, peer.Heartbeat{Incarnation: m.self.Incarnation, Digest: data})
		if apierror.KindOf(err) == apierror.Precondition {
			m.turnedAway.Store(true)
		}
		if err != nil {
			return // the controller's clock runs
		}
		if len(answer.Answer) > 0 && json.Unmarshal(answer.Answer, &todo) != nil {
			return
		}
	}
	for _, h := range todo {
		if own := m.replica(h.Shard); own != nil {
			own.handOver(h)
		}
	}
}

// another returns one other node after the other, 0 when there is none. Who hears of no leader may have been removed while
// it was away: then nobody sends it anything any more, and whoever it asks tells it.
func (m *Member) another(turn int) topology.PeerID {
	var others []topology.PeerID
	for _, p := range m.State().Peers() {
		if p.ID != m.self.Peer {
			others = append(others, p.ID)
		}
	}
	if len(others) == 0 {
		return 0
	}
	return others[turn%len(others)]
}

// handOver asks the state machine to hand a leadership over, if it is still that one.
func (r *replica) handOver(h hand) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && r.sm.Epoch() == h.Epoch {
		r.stepLocked(replication.Transfer{To: h.To})
	}
}

// digest is what this node says about itself.
func (m *Member) digest() controller.Digest {
	return controller.Digest{Full: m.short.Load() || m.data.Err() != nil, Slow: m.stalled.Load(), Unreached: m.links.unreached()}
}

// electionTime is how long the consensus may be without a leader's message before it elects
// another.
func (m *Member) electionTime() time.Duration {
	tick := m.o.Tick
	if tick <= 0 {
		tick = consensus.DefaultTickInterval
	}
	return consensus.DefaultElectionTicks * tick
}
