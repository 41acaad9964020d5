package shard

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/apierror"
)

// minWeight is what an operation counts at least in the queue, so that the
// queue's length is bounded as well as its bytes.
const minWeight = 16 << 10

// Ticket follows one submitted operation.
type Ticket struct {
	pos    oplog.Position
	op     Op            // emptied when it has been applied
	weight int64         // bytes of the queue that it takes
	log    *oplog.Ticket // follows it to the disk; nil when it was there before
	done   chan struct{} // closed when it has been applied
	err    error         // the operation's own; read after done is closed

	// Of an entry of a replicated shard.
	tag      any
	checksum *checksumResult // nil when none is asked for
}

// newTicket makes the ticket of an operation of some bytes. They count not more than the
// queue has, or a larger operation would wait for ever; it goes alone.
func (s *Shard) newTicket(op Op, size int64) *Ticket {
	return &Ticket{op: op, done: make(chan struct{}), weight: min(max(size, minWeight), s.o.QueueBytes)}
}

// Seq returns the operation's position in the shard's log.
func (t *Ticket) Seq() uint64 { return t.pos.Seq }

// Durable waits until the operation survives a power cut.
func (t *Ticket) Durable(ctx context.Context) error {
	if t.log == nil {
		return nil
	}
	if err := t.log.Wait(ctx); err != nil {
		return logError(fmt.Errorf("write operation %d to the log: %w", t.pos.Seq, err))
	}
	return nil
}

// logError gives a failure of the log the kind that clients are to see.
func logError(err error) error {
	switch {
	case errors.Is(err, oplog.ErrFull):
		return apierror.New(apierror.StorageFull, "%w", err)
	case errors.Is(err, oplog.ErrFailed), errors.Is(err, oplog.ErrClosed), errors.Is(err, oplog.ErrDropped):
		return apierror.New(apierror.Unavailable, "the operation log refuses: %w", err)
	default:
		return err
	}
}

// Applied waits until the operation is durable and visible to every read. Its
// error is the operation's own (a missing point: NotFound), or the context's, or
// the log's.
func (t *Ticket) Applied(ctx context.Context) error {
	if err := t.Durable(ctx); err != nil {
		return err
	}
	return t.Visible(ctx)
}

// Visible waits until the operation is visible to every read, which may be a
// moment before it is durable. Its error is the operation's own, or the
// context's.
func (t *Ticket) Visible(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Submit appends an operation to the log and queues it for application. It
// waits while the queue is full. After an error the operation is not applied. What
// it came to is told by the ticket. When that says that the log has failed, the
// operation is applied, and found after a restart or not, like any that wasn't
// acknowledged: the log writes it as soon as it can.
//
// An operation is applied while the log is still being synced: reads may see it
// a moment before it is durable, and before its ticket says so.
func (s *Shard) Submit(ctx context.Context, op Op) (*Ticket, error) {
	if s.o.Replicated {
		return nil, errors.New("submit: the shard applies what others have put into its log")
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	data, err := op.Encode()
	if err != nil {
		return nil, err
	}
	t := s.newTicket(op, int64(len(data)))
	if err := s.room.Acquire(ctx, t.weight); err != nil {
		return nil, err
	}
	if err := s.enqueue(t, data); err != nil {
		s.room.Release(t.weight)
		return nil, err
	}
	return t, nil
}

// enqueue gives the operation its place in the log and, the same one, in the
// queue.
func (s *Shard) enqueue(t *Ticket, data []byte) error {
	s.submitMu.Lock()
	defer s.submitMu.Unlock()
	if err := s.accepts(); err != nil {
		return err
	}
	// An append that is refused leaves the sequence to the next operation.
	t.pos, t.log = s.o.Log.AppendAt(s.o.Epoch, s.tail.Seq+1, data)
	if t.log.Refused() {
		return logError(t.log.Err())
	}
	s.push(t, int64(len(data)))
	return nil
}

// accepts says why nothing can be queued; also after it was asked before, see
// setLogAside. submitMu is held.
func (s *Shard) accepts() error {
	if s.closed {
		return errClosed
	}
	return s.Err()
}

// push puts an operation of some bytes of log into the queue. submitMu is held.
func (s *Shard) push(t *Ticket, size int64) {
	s.tail = t.pos
	s.queued.Add(1)
	s.optimizer.logged.Add(size)
	s.queue <- t // never blocks: room bounds the number of tickets
}

// applyLoop is the applier: the one goroutine that changes components.
func (s *Shard) applyLoop() {
	defer close(s.applierDone)
	for {
		select {
		case t, ok := <-s.queue:
			if !ok {
				return
			}
			s.applyTicket(t)
		case f := <-s.calls:
			f()
		}
	}
}

// applyTicket applies a queued operation and tells everybody who waits for it.
func (s *Shard) applyTicket(t *Ticket) {
	if t.err = s.Err(); t.err == nil {
		t.err = s.apply(t.pos, t.op)
	}
	if hook := s.o.Hooks.Applied; hook != nil && s.Err() == nil {
		hook(t.pos, t.tag, t.err)
	}
	if t.checksum != nil {
		s.startChecksum(t.checksum)
	}
	// A checkpoint waits for it, so that files are never ahead of the log.
	s.lastLog = t.log
	t.op, t.tag = Op{}, nil // whoever keeps the ticket needn't keep the points
	s.queued.Add(-1)
	s.room.Release(t.weight)
	close(t.done)
	s.waiters.wake(s.applied.Load())
	s.optimizer.poke()
}

// between runs f while no operation is being applied: in the applier, or here when
// that has ended. Once it has begun it is waited for, whatever ctx says: the caller
// reads what f has collected.
func (s *Shard) between(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.calls <- func() { f(); close(done) }:
		<-done
		return nil
	case <-s.applierDone:
		f()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apply applies one operation. An error about the operation itself is its
// result, and the operation counts as applied. Any other failure means that this
// replica can't follow the log: the shard goes into quarantine.
func (s *Shard) apply(pos oplog.Position, op Op) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.o.Logger.Error("applying an operation panicked", "seq", pos.Seq, "panic", r, "stack", string(debug.Stack()))
			err = apierror.New(apierror.Internal, "apply operation %d: %v", pos.Seq, r)
		}
		switch {
		case s.Err() != nil:
			err = s.Err()
		case err != nil && apierror.KindOf(err) == apierror.Internal:
			s.quarantine(err)
		default:
			s.at = pos
			s.applied.Store(pos.Seq)
		}
	}()
	if op.Msg == nil {
		return nil // an entry of the replication itself
	}
	if c, ok := op.Msg.(*pb.CollectionConfig); ok && proto.Equal(c, s.state.Load().config) {
		return nil // every leader tells it anew
	}
	s.changed = pos.Seq
	// Odd from here on: sets of documents made now may be those of no state at all.
	s.changes.Add(1)
	defer s.changes.Add(1)
	defer s.docs.Pin().Release()
	a := applier{s: s, st: s.state.Load(), seq: pos.Seq}
	return a.do(op)
}
