package peer

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/sextantdb/sextant/cluster/peer/peerpb"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Pool is the calling side: connections to the peers it was told of. It is safe for
// concurrent use.
type Pool struct {
	o PoolOptions

	mu     sync.RWMutex
	conns  map[topology.PeerID]*Conn
	closed bool

	failMu   sync.Mutex
	failures map[string]Failure // by address; of known peers only
}

// NewPool makes a Pool without peers. Close it.
func NewPool(o PoolOptions) *Pool {
	o.Timing = o.Timing.withDefaults()
	if o.QueueMessages <= 0 {
		o.QueueMessages = defaultQueueMessages
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = defaultQueueBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Pool{o: o, conns: make(map[topology.PeerID]*Conn), failures: make(map[string]Failure)}
}

// Set says where a peer is, and which process of it is meant. Another address than before
// means new connections.
func (p *Pool) Set(t Target) error {
	switch {
	case t.Peer == 0 || t.Addr == "":
		return errors.New("a peer to be reached needs an ID and an address")
	case t.Peer == p.o.Self.Peer:
		return errors.New("a node doesn't connect to itself")
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return errClosed
	}
	old := p.conns[t.Peer]
	if old != nil && old.Target().Addr == t.Addr {
		p.mu.Unlock()
		old.expect(t.Incarnation)
		return nil
	}
	p.conns[t.Peer] = newConn(p, t)
	p.mu.Unlock()
	p.retire(old)
	return nil
}

// Remove forgets a peer and closes its connections.
func (p *Pool) Remove(id topology.PeerID) {
	p.mu.Lock()
	old := p.conns[id]
	delete(p.conns, id)
	p.mu.Unlock()
	p.retire(old)
}

// retire closes connections that aren't used any more.
func (p *Pool) retire(c *Conn) {
	if c == nil {
		return
	}
	c.close()
	p.failMu.Lock()
	delete(p.failures, c.Target().Addr)
	p.failMu.Unlock()
}

// Peer returns the connections to a peer, for calls.
func (p *Pool) Peer(id topology.PeerID) (*Conn, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if c := p.conns[id]; c != nil {
		return c, nil
	}
	return nil, apierror.New(apierror.Unavailable, "peer %d isn't known", id)
}

// SendRaft sends a message of the consensus. It never blocks. The message may be lost, then it
// counts in Failures; sent, when not nil, hears once whether it was handed to the network (nil) or
// dropped, which isn't yet that it arrived. It must not block. The bytes must not be changed any more.
func (p *Pool) SendRaft(to topology.PeerID, msg []byte, sent func(error)) {
	m := message{raft: msg, size: len(msg) + 8, sent: sent}
	c, err := p.Peer(to)
	if err != nil {
		m.done(err)
		return
	}
	c.send(c.control, m)
}

// SendReplication sends a message to another copy. It never blocks; the message may be
// lost. Bodies must not be changed any more.
func (p *Pool) SendReplication(e replication.Envelope) {
	c, err := p.Peer(e.To)
	if err != nil {
		return
	}
	c.send(c.replication, message{envelope: e, size: envelopeSize(&e)})
}

// Failures counts, by address, messages that weren't sent since the peer is known.
func (p *Pool) Failures() map[string]Failure {
	p.failMu.Lock()
	defer p.failMu.Unlock()
	return maps.Clone(p.failures)
}

func (p *Pool) failed(addr string, err error, n int) {
	p.failMu.Lock()
	defer p.failMu.Unlock()
	p.failures[addr] = Failure{
		Count: p.failures[addr].Count + uint64(n), LatestError: err.Error(), LatestTime: time.Now(),
	}
}

// handshake says who calls whom.
func (p *Pool) handshake(t Target) *peerpb.Handshake {
	return &peerpb.Handshake{
		Cluster: p.o.Self.Cluster, From: uint64(p.o.Self.Peer), FromIncarnation: p.o.Self.Incarnation,
		To: uint64(t.Peer), ToIncarnation: t.Incarnation,
	}
}

// Close closes all connections and waits for that.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	conns := p.conns
	p.conns = make(map[topology.PeerID]*Conn)
	p.mu.Unlock()
	for _, c := range conns {
		c.cancel() // all at once
	}
	for _, c := range conns {
		c.close()
	}
}

// Ask reaches a node of which only the address is known, before this one is in its cluster.
// It uses the options' key, TLS and timing.
type Ask struct {
	conn *Conn
}

// NewAsk prepares calls to an address. Close it.
func NewAsk(o PoolOptions, addr string) *Ask {
	p := NewPool(o)
	c := &Conn{pool: p, target: Target{Addr: addr}, cancel: func() {}}
	c.breaker.base, c.breaker.max = p.o.Timing.BackoffBase, p.o.Timing.BackoffMax
	return &Ask{conn: c}
}

// Join asks for membership.
func (a *Ask) Join(ctx context.Context, j Join) (Joined, error) {
	r, err := call(ctx, a.conn, &a.conn.urgent, true, peerpb.PeerClient.Join, &peerpb.JoinRequest{
		Peer: uint64(j.Peer), Uri: j.URI, Incarnation: j.Incarnation, Zone: j.Zone, Version: j.Version,
	})
	out := Joined{Cluster: r.GetCluster()}
	for _, m := range r.GetPeers() {
		out.Members = append(out.Members, Member{Peer: topology.PeerID(m.GetPeer()), URI: m.GetUri()})
	}
	return out, err
}

// Status asks who is there.
func (a *Ask) Status(ctx context.Context) (Status, error) { return a.conn.Status(ctx) }

// Close closes the connection.
func (a *Ask) Close() { a.conn.reset(true) }
