package peer

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/sextantdb/sextant/cluster/peer/peerpb"
	"github.com/sextantdb/sextant/cluster/topology"
)

// Conn is the connections to one peer. It is safe for concurrent use.
type Conn struct {
	pool   *Pool
	peer   topology.PeerID
	cancel context.CancelFunc
	lanes  sync.WaitGroup

	control, replication *lane
	// Connections for calls; each is dialled when it is used.
	urgent, forward, bulk line

	mu      sync.Mutex
	target  Target
	state   reachability
	breaker breaker

	// news is held while the owner is told something, so that it hears it in order.
	news sync.Mutex
}

// reachability is what the lanes know of the peer.
type reachability struct {
	open        int    // lanes that are open
	incarnation uint64 // the process that was reached last
	up          bool
	down        bool
	refused     bool // it is down since nobody listens
	heard       time.Time
}

// line is a connection for calls.
type line struct {
	mu     sync.Mutex
	client *grpc.ClientConn
	closed bool
}

func newConn(p *Pool, t Target) *Conn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Conn{pool: p, peer: t.Peer, target: t, cancel: cancel, breaker: breaker{
		base: 2 * p.o.Timing.BackoffBase, max: p.o.Timing.BackoffMax,
	}}
	c.control = newLane(c, peerpb.Lane_LANE_CONTROL)
	c.replication = newLane(c, peerpb.Lane_LANE_REPLICATION)
	c.lanes.Go(func() { c.control.run(ctx) })
	c.lanes.Go(func() { c.replication.run(ctx) })
	return c
}

// Target is who is reached, and where.
func (c *Conn) Target() Target {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.target
}

// name is how errors call the peer.
func (c *Conn) name() string {
	if c.peer == 0 {
		return "node at " + c.Target().Addr
	}
	return "peer " + strconv.FormatUint(uint64(c.peer), 10)
}

// expect says which process of the peer is meant from now on.
func (c *Conn) expect(incarnation uint64) {
	c.mu.Lock()
	changed := c.target.Incarnation != incarnation
	c.target.Incarnation = incarnation
	c.mu.Unlock()
	if !changed {
		return
	}
	for _, l := range []*lane{c.control, c.replication} {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

// send queues a message. What had to go for it counts as failed.
func (c *Conn) send(l *lane, m message) {
	dropped := l.queue.push(m)
	if len(dropped) > 0 {
		c.failed(errOverflow, len(dropped))
	}
	for i := range dropped {
		dropped[i].done(errOverflow)
	}
}

// failed counts messages that weren't sent.
func (c *Conn) failed(err error, n int) { c.pool.failed(c.Target().Addr, err, n) }

// connected notes that a lane has reached a process.
func (c *Conn) connected(incarnation uint64) {
	c.news.Lock()
	defer c.news.Unlock()
	c.mu.Lock()
	s := &c.state
	s.open++
	tell := !s.up || s.incarnation != incarnation
	s.incarnation, s.up, s.down, s.refused, s.heard = incarnation, true, false, false, time.Now()
	unused := c.breaker.open && !c.breaker.probing
	c.mu.Unlock()
	if tell {
		c.retry(unused) // before the breaker lets calls through
	}
	c.report(reached, "")
	if !tell {
		return
	}
	c.pool.o.Logger.Info("reached a peer", "peer", c.peer, "incarnation", incarnation)
	if c.pool.o.OnUp != nil {
		c.pool.o.OnUp(Up{Peer: c.peer, Incarnation: incarnation})
	}
}

// disconnected notes that a lane has ended, err is nil when that was intended. A broken
// one is news only when dialling again fails, or when there was silence.
func (c *Conn) disconnected(err error) {
	c.mu.Lock()
	c.state.open--
	c.mu.Unlock()
	if errors.Is(err, errSilent) {
		c.unreached(time.Time{}, err)
	}
}

// hear notes that a lane has heard something.
func (c *Conn) hear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.heard = time.Now()
}

// isDown tells whether the last news is that the peer can't be reached.
func (c *Conn) isDown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.down
}

// unreached makes it news that the peer can't be reached, unless a lane is open. tried is when it
// was dialled, if it was.
func (c *Conn) unreached(tried time.Time, err error) {
	refused := errors.Is(err, errConnectionRefused)
	c.news.Lock()
	defer c.news.Unlock()
	c.mu.Lock()
	s := &c.state
	if s.open > 0 {
		c.mu.Unlock()
		return
	}
	c.breaker.trip(time.Now(), err.Error())
	tell := !s.down || (refused && !s.refused)
	s.up, s.down, s.refused = false, true, s.refused || refused
	d := Down{Peer: c.peer, Incarnation: s.incarnation, Refused: refused, Since: s.heard}
	if tried.After(d.Since) {
		d.Since = tried
	}
	c.mu.Unlock()
	if !tell {
		return
	}
	c.pool.o.Logger.Warn("can't reach a peer", "peer", c.peer, "addr", c.Target().Addr, "refused", refused, "error", err)
	c.reset(false) // else calls would wait for a connection that may come back very late
	if c.pool.o.OnDown != nil {
		c.pool.o.OnDown(d)
	}
}

// dial returns the connection of a line.
func (c *Conn) dial(l *line) (*grpc.ClientConn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, unreachable(c.name(), ErrDown, errClosed.Error())
	}
	if l.client != nil {
		return l.client, nil
	}
	p := c.pool
	client, err := newClient(c.Target().Addr, p.o.TLS, &dialer{timing: p.o.Timing})
	if err != nil {
		return nil, err
	}
	l.client = client
	return client, nil
}

// retry has calls dial anew that would fail until the next try of a connection that
// couldn't be made. A connection tells calls that it failed a moment before it says so
// itself, so when no call is let through, and none waits, whatever isn't ready goes.
func (c *Conn) retry(unused bool) {
	for _, l := range []*line{&c.urgent, &c.forward, &c.bulk} {
		l.mu.Lock()
		if l.client != nil {
			state := l.client.GetState()
			if state == connectivity.TransientFailure || unused && state != connectivity.Ready {
				l.hangUp()
			}
		}
		l.mu.Unlock()
	}
}

// reset gives up the connections for calls; unless it is for good, the next call dials.
func (c *Conn) reset(forGood bool) {
	for _, l := range []*line{&c.urgent, &c.forward, &c.bulk} {
		l.mu.Lock()
		if l.client != nil {
			l.hangUp()
		}
		l.closed = l.closed || forGood
		l.mu.Unlock()
	}
}

// hangUp gives up the connection, which there is. l.mu is held.
func (l *line) hangUp() {
	_ = l.client.Close() // it only fails when it is closed already
	l.client = nil
}

// close ends everything and waits for it.
func (c *Conn) close() {
	c.cancel()
	c.lanes.Wait()
	c.reset(true)
}

// begin asks the breaker, and gives a call its handshake and connection.
func (c *Conn) begin(ctx context.Context, l *line, h *peerpb.Handshake) (context.Context, peerpb.PeerClient, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	ok, why := c.breaker.allow(time.Now()), c.breaker.why
	c.mu.Unlock()
	if !ok {
		return nil, nil, unreachable(c.name(), ErrDown, why)
	}
	client, err := c.dial(l)
	if err == nil {
		ctx, err = outgoing(ctx, h, c.pool.o.Keys)
	}
	if err != nil {
		c.report(unknown, "")
		return nil, nil, err
	}
	return ctx, peerpb.NewPeerClient(client), nil
}

// finish tells the breaker what became of a call, and says it to the caller.
func (c *Conn) finish(ctx context.Context, err error) error {
	if err == nil {
		c.report(reached, "")
		return nil
	}
	switch status.Code(err) {
	case codes.Unavailable:
		c.report(failed, status.Convert(err).Message())
	case codes.DeadlineExceeded:
		c.report(late, "calls weren't answered in time")
	case codes.Canceled:
		c.report(unknown, "")
	default:
		c.report(reached, "")
	}
	return errorFromGRPC(ctx, c.name(), err)
}

func (c *Conn) report(o outcome, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o == late && c.state.open > 0 {
		o = unknown // a lane hears it: the call was slow
	}
	c.breaker.report(time.Now(), o, why)
}
