package member

import (
	"context"
	"sync"
	"time"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// links tells copies which nodes this one can't reach.
type links struct {
	mu sync.Mutex
	// down are the nodes that can't be reached; guarded by mu, as is news: what copies
	// haven't been told, the last of each node.
	down map[topology.PeerID]replication.LinkDown
	news map[topology.PeerID]replication.Event
	poke chan struct{}
}

func newLinks() *links {
	return &links{
		down: map[topology.PeerID]replication.LinkDown{}, news: map[topology.PeerID]replication.Event{}, poke: make(chan struct{}, 1),
	}
}

// linkDown takes in that a node can't be reached.
func (m *Member) linkDown(d peer.Down) {
	ev := replication.LinkDown{
		Peer: d.Peer, Incarnation: d.Incarnation, Since: m.now() - time.Since(d.Since), Refused: d.Refused && d.Incarnation != 0,
	}
	l := m.links
	l.mu.Lock()
	l.down[d.Peer], l.news[d.Peer] = ev, ev
	l.mu.Unlock()
	poke(l.poke)
}

// linkUp takes in that a node can be reached.
func (m *Member) linkUp(u peer.Up) {
	l := m.links
	l.mu.Lock()
	delete(l.down, u.Peer)
	l.news[u.Peer] = replication.LinkUp{Peer: u.Peer, Incarnation: u.Incarnation}
	l.mu.Unlock()
	poke(l.poke)
}

// tellLinks tells copies of news until ctx ends. Who has the news may not wait for them.
func (m *Member) tellLinks(ctx context.Context) {
	l := m.links
	for {
		select {
		case <-l.poke:
		case <-ctx.Done():
			return
		}
		l.mu.Lock()
		news := l.news
		l.news = map[topology.PeerID]replication.Event{}
		l.mu.Unlock()
		for _, r := range m.open() {
			for _, ev := range news {
				r.step(ev)
			}
		}
	}
}

// tell tells a copy that was just opened of all nodes that can't be reached. It must be one of
// the open ones already, so that it misses nothing.
func (l *links) tell(r *replica) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range l.down {
		r.step(ev)
	}
}

// forget forgets a node that isn't there any more.
func (l *links) forget(p topology.PeerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.down, p)
}

// unreached are the nodes that can't be reached.
func (l *links) unreached() []topology.PeerID {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]topology.PeerID, 0, len(l.down))
	for p := range l.down {
		out = append(out, p)
	}
	return out
}
