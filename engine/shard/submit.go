package shard

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/apierror"
)

// minWeight is what an operation counts at least in the queue, so that the
// queue's length is bounded as well as its bytes.
const minWeight = 16 << 10

// Ticket follows one submitted operation.
type Ticket struct {
	seq    uint64
	op     Op            // emptied when it has been applied
	weight int64         // bytes of the queue that it takes
	log    *oplog.Ticket // follows it to the disk
	done   chan struct{} // closed when it has been applied
	err    error         // the operation's own; read after done is closed
}

// Seq returns the operation's position in the shard's log.
func (t *Ticket) Seq() uint64 { return t.seq }

// Durable waits until the operation survives a power cut.
func (t *Ticket) Durable(ctx context.Context) error {
	if err := t.log.Wait(ctx); err != nil {
		return logError(fmt.Errorf("write operation %d to the log: %w", t.seq, err))
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
	if err := s.Err(); err != nil {
		return nil, err
	}
	data, err := op.Encode()
	if err != nil {
		return nil, err
	}
	// Not more than the queue: a larger operation would wait for ever. It goes alone.
	t := &Ticket{op: op, done: make(chan struct{}), weight: min(max(int64(len(data)), minWeight), s.o.QueueBytes)}
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
	if s.closed {
		return errClosed
	}
	if err := s.Err(); err != nil {
		return err // also here: see setLogAside
	}
	// An append that is refused leaves the sequence to the next operation.
	t.seq = s.nextSeq
	t.log = s.o.Log.Append(s.o.Epoch, t.seq, data)
	if t.log.Refused() {
		return logError(t.log.Err())
	}
	s.nextSeq++
	s.queued.Add(1)
	s.optimizer.logged.Add(int64(len(data)))
	s.queue <- t // never blocks: room bounds the number of tickets
	return nil
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
			if t.err = s.Err(); t.err == nil {
				t.err = s.apply(t.seq, t.op)
			}
			// A checkpoint waits for it, so that files are never ahead of the log.
			s.lastLog = t.log
			t.op = Op{} // whoever keeps the ticket needn't keep the points
			s.queued.Add(-1)
			s.room.Release(t.weight)
			close(t.done)
			s.optimizer.poke()
		case f := <-s.calls:
			f()
		}
	}
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
func (s *Shard) apply(seq uint64, op Op) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.o.Logger.Error("applying an operation panicked", "seq", seq, "panic", r, "stack", string(debug.Stack()))
			err = apierror.New(apierror.Internal, "apply operation %d: %v", seq, r)
		}
		switch {
		case s.Err() != nil:
			err = s.Err()
		case err != nil && apierror.KindOf(err) == apierror.Internal:
			s.quarantine(err)
		default:
			s.applied.Store(seq)
		}
	}()
	// Odd from here on: sets of documents made now may be those of no state at all.
	s.changes.Add(1)
	defer s.changes.Add(1)
	defer s.docs.Pin().Release()
	a := applier{s: s, st: s.state.Load(), seq: seq}
	return a.do(op)
}
