package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/peer/peerpb"
	"github.com/sextantdb/sextant/internal/backoff"
)

var (
	errSilent    = errors.New("nothing was heard from it")
	errIdle      = errors.New("the lane isn't used")
	errNoConnect = errors.New("it didn't answer the handshake in time")
	errRestarted = errors.New("the peer has restarted")
	errClosed    = errors.New("the connection to the peer was given up")
)

// lane sends messages to one peer over one stream. All fields but the queue belong to
// its goroutine.
type lane struct {
	conn  *Conn
	kind  peerpb.Lane
	queue *queue
	kick  chan struct{} // has one when it is worth dialling now

	wait        backoff.Backoff
	lastSend    time.Time
	incarnation uint64 // the process that was reached last
	large       *largeMessage
	batch       []message // of the frame that is being sent
}

// largeMessage is a message that is sent in parts.
type largeMessage struct {
	message
	rest []byte
}

// session is one open stream.
type session struct {
	client *grpc.ClientConn
	stream grpc.BidiStreamingClient[peerpb.Frame, peerpb.Frame]
	cancel context.CancelCauseFunc
	ctx    context.Context //nolint:containedctx // it is the session's life
	ended  chan struct{}   // closed when the receiving side has ended, with err
	err    error
}

func (s *session) close(cause error) {
	s.cancel(cause)
	_ = s.client.Close() // it only fails when it is closed already
}

func newLane(c *Conn, kind peerpb.Lane) *lane {
	o := &c.pool.o
	return &lane{
		conn: c, kind: kind, kick: make(chan struct{}, 1),
		queue: newQueue(o.QueueMessages, o.QueueBytes, kind == peerpb.Lane_LANE_CONTROL),
		wait:  backoff.Backoff{Base: o.Timing.BackoffBase, Max: o.Timing.BackoffMax},
	}
}

// run dials when there is something to send, and stays connected while there is. A peer that can't be reached it dials until
// it can be: what was said about it must not stay said when it isn't true any more.
func (l *lane) run(ctx context.Context) {
	defer l.forget(errClosed)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-l.queue.wake:
		}
		l.lastSend = time.Now()
		for ctx.Err() == nil && (time.Since(l.lastSend) < l.conn.pool.o.Timing.Idle || l.conn.isDown()) {
			if errors.Is(l.connectAndServe(ctx), errIdle) {
				break
			}
		}
	}
}

// connectAndServe has one session, or waits after a failed try.
func (l *lane) connectAndServe(ctx context.Context) error {
	tried := time.Now()
	s, incarnation, err := l.connect(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		l.forget(err)
		l.conn.unreached(tried, err)
		l.pause(ctx, l.wait.Next())
		return err
	}
	if l.incarnation != 0 && l.incarnation != incarnation {
		l.forget(errRestarted) // it was meant for the process before
	}
	l.incarnation = incarnation
	l.conn.connected(incarnation)
	began := time.Now()
	err = l.serve(s)
	s.close(err)
	<-s.ended
	l.dropLarge(err)
	if ctx.Err() != nil || errors.Is(err, errIdle) {
		l.conn.disconnected(nil)
		return err
	}
	l.conn.disconnected(err)
	if time.Since(began) >= l.wait.Max {
		l.wait.Reset() // else two who push each other off a lane would do so without end
	}
	// Soon, as the answer says whether the process is gone; but not all peers of a node
	// that vanished in the same moment.
	l.pause(ctx, l.wait.Next())
	return err
}

// pause waits, unless there is a reason to go on.
func (l *lane) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-l.kick:
		case <-ctx.Done():
		case <-l.queue.wake: // noted, but what failed isn't tried sooner for it
			l.lastSend = time.Now()
			continue
		}
		return
	}
}

// connect opens a stream and waits for the other side's handshake.
func (l *lane) connect(ctx context.Context) (*session, uint64, error) {
	p := l.conn.pool
	target := l.conn.Target()
	d := &dialer{timing: p.o.Timing}
	client, err := newClient(target.Addr, p.o.TLS, d)
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &session{client: client, ctx: ctx, cancel: cancel, ended: make(chan struct{})}
	// Twice: a connection and a handshake.
	timer := time.AfterFunc(2*p.o.Timing.Connect, func() { cancel(errNoConnect) })
	incarnation, err := l.handshake(s, target)
	if !timer.Stop() && err == nil {
		err = errNoConnect
	}
	if err == nil {
		return s, incarnation, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	s.close(err)
	if d.refused() {
		err = fmt.Errorf("%w: %w", errConnectionRefused, err)
	}
	return nil, 0, err
}

// errConnectionRefused is a peer where nobody listens.
var errConnectionRefused = errors.New("connection refused")

// handshake opens a session's stream and returns which process answered.
func (l *lane) handshake(s *session, target Target) (uint64, error) {
	h := l.conn.pool.handshake(target)
	h.Lane = l.kind
	if l.kind == peerpb.Lane_LANE_CONTROL {
		// A process that isn't registered yet needs the consensus's messages to become so.
		h.ToIncarnation = 0
	}
	ctx, err := outgoing(s.ctx, h, l.conn.pool.o.Keys)
	if err != nil {
		return 0, err
	}
	if s.stream, err = peerpb.NewPeerClient(s.client).Messages(ctx); err != nil {
		return 0, err
	}
	md, err := s.stream.Header()
	if err != nil {
		return 0, err
	}
	if len(md.Get(handshakeKey)) == 0 { // it ended without: the status says why
		if _, err := s.stream.Recv(); err != nil {
			return 0, err
		}
	}
	answer, err := handshakeIn(md)
	if err != nil {
		return 0, err
	}
	if answer.GetFrom() != uint64(target.Peer) {
		return 0, &Refused{Reason: RefusedPeer, Text: fmt.Sprintf("peer %d answers at %s, not %d", answer.GetFrom(), target.Addr, target.Peer)}
	}
	return answer.GetFromIncarnation(), nil
}

// serve sends what is queued until the session ends.
func (l *lane) serve(s *session) error {
	t := l.conn.pool.o.Timing
	silence := time.AfterFunc(t.Silence, func() { s.cancel(errSilent) })
	defer silence.Stop()
	go func() {
		defer close(s.ended)
		s.err = receive(s, func() {
			silence.Reset(t.Silence)
			l.conn.hear()
		})
	}()
	beat := time.NewTicker(t.Beat)
	defer beat.Stop()
	l.lastSend = time.Now()
	quiet := false // nothing was sent since the last beat
	for {
		frame := l.nextFrame()
		if frame == nil {
			select {
			case <-l.queue.wake:
				continue
			case <-beat.C:
				if time.Since(l.lastSend) >= t.Idle {
					return errIdle
				}
				if !quiet {
					quiet = true
					continue
				}
				frame = &peerpb.Frame{}
			case <-s.ended:
				return s.err
			case <-s.ctx.Done():
				return context.Cause(s.ctx)
			}
		} else {
			l.lastSend, quiet = time.Now(), false
		}
		if err := s.stream.Send(frame); err != nil {
			s.cancel(nil) // so that receive ends, whose error says more
			<-s.ended
			l.frameSent(s.err)
			return s.err
		}
		l.frameSent(nil)
	}
}

// receive hears the beats of the other side until the stream ends.
func receive(s *session, heard func()) error {
	for {
		if _, err := s.stream.Recv(); err != nil {
			if cause := context.Cause(s.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
				return cause
			}
			if status.Code(err) == status.Code(errUnheard) {
				return fmt.Errorf("%w: %w", errSilent, err)
			}
			return err
		}
		heard()
	}
}

// nextFrame takes what is next from the queue, nil when there is nothing.
func (l *lane) nextFrame() *peerpb.Frame {
	frame, budget := &peerpb.Frame{}, frameBytes
	if l.large == nil {
		l.startLarge()
	}
	if l.large != nil {
		n := min(len(l.large.rest), frameBytes)
		frame.Part, l.large.rest = l.large.rest[:n], l.large.rest[n:]
		frame.LastPart = len(l.large.rest) == 0
		budget -= n
	}
	if l.large == nil || l.queue.overtake {
		l.batch = l.queue.take(l.batch[:0], budget)
	}
	for i := range l.batch {
		l.add(frame, &l.batch[i])
	}
	if l.large == nil && len(l.batch) == 0 {
		return nil
	}
	return frame
}

// add puts a small message into a frame.
func (l *lane) add(frame *peerpb.Frame, m *message) {
	if l.kind == peerpb.Lane_LANE_CONTROL {
		frame.Control = append(frame.Control, m.raft)
		return
	}
	e, err := envelopeToPB(&m.envelope)
	if err != nil {
		l.conn.failed(err, 1)
		return
	}
	frame.Replication = append(frame.Replication, e)
}

// startLarge begins with the next message if it has to be sent in parts.
func (l *lane) startLarge() {
	m, ok := l.queue.takeLarge()
	if !ok {
		return
	}
	raw := m.raft
	if l.kind == peerpb.Lane_LANE_REPLICATION {
		e, err := envelopeToPB(&m.envelope)
		if err == nil {
			raw, err = proto.Marshal(e)
		}
		if err != nil {
			l.conn.failed(err, 1)
			m.done(err)
			return
		}
	}
	l.large = &largeMessage{message: m, rest: raw}
}

// frameSent tells what became of the messages of a frame.
func (l *lane) frameSent(err error) {
	if err != nil && len(l.batch) > 0 {
		l.conn.failed(err, len(l.batch))
	}
	for i := range l.batch {
		l.batch[i].done(err)
		l.batch[i] = message{}
	}
	l.batch = l.batch[:0]
	if err == nil && l.large != nil && len(l.large.rest) == 0 {
		l.large.done(nil)
		l.large = nil
	}
}

// dropLarge gives up a message of which only a part was sent.
func (l *lane) dropLarge(err error) {
	if l.large == nil {
		return
	}
	l.conn.failed(err, 1)
	l.large.done(err)
	l.large = nil
}

// forget empties the queue: what waited for a peer that isn't there is of no use later.
func (l *lane) forget(err error) {
	all := l.queue.clear()
	if len(all) > 0 {
		l.conn.failed(err, len(all))
	}
	for i := range all {
		all[i].done(err)
	}
}
