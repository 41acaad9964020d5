package oplog

import (
	"context"
	"errors"
)

// The reasons for which a stream refuses.
var (
	// ErrCorrupted is a log whose bytes aren't those that were written. The error
	// is a *CorruptedError.
	ErrCorrupted = errors.New("corrupted log")
	// ErrClosed is a log that was closed.
	ErrClosed = errors.New("log is closed")
	// ErrDropped is a stream that was dropped.
	ErrDropped = errors.New("stream was dropped")
	// ErrOutOfOrder is a record that doesn't follow the last one.
	ErrOutOfOrder = errors.New("record out of order")
	// ErrReleased is a read or truncation below what was released.
	ErrReleased = errors.New("records were released")
)

// Position is a place in a stream. Equal positions of two replicas of a shard
// prove equal records up to there.
type Position struct {
	// Epoch is the leadership term that wrote the record.
	Epoch uint64
	// Seq numbers the records of a stream without gaps.
	Seq uint64
	// Chain is a running hash over all records up to this one.
	Chain uint64
}

// Record is one operation read back.
type Record struct {
	Position
	// Data is the operation; it is valid only during the callback.
	Data []byte
}

// Stream is the log of one shard replica. Append, TruncateAfter and Drop belong
// to one goroutine; everything else is safe for concurrent use.
type Stream struct{}

// Append queues a record. seq must follow the last one (any first one will do),
// epoch must not fall. data is copied. The call waits only while the queue is
// full. A refused record gives a ticket that already failed.
func (s *Stream) Append(epoch, seq uint64, data []byte) *Ticket { return nil }

// Last returns the position of the last record appended, durable or not.
func (s *Stream) Last() Position { return Position{} }

// Durable returns the position of the last durable record.
func (s *Stream) Durable() Position { return Position{} }

// First returns the sequence of the first record that can be read; Last().Seq+1
// when there is none.
func (s *Stream) First() uint64 { return 0 }

// Read calls fn for each record from seq on that was durable when it was called,
// in order, until fn fails. It fails with ErrReleased when seq is gone.
func (s *Stream) Read(ctx context.Context, seq uint64, fn func(Record) error) error { return errTodo }

// TruncateAfter durably forgets every record above seq.
func (s *Stream) TruncateAfter(ctx context.Context, seq uint64) error { return errTodo }

// Release says that records up to seq are no longer needed. It removes the
// files that no stream needs.
func (s *Stream) Release(seq uint64) error { return errTodo }

// Drop durably forgets the stream and everything in it. Log.Stream then gives a
// new one for the same id.
func (s *Stream) Drop(ctx context.Context) error { return errTodo }

// Ticket tells when appended records are durable. Records that are committed
// together share one.
type Ticket struct{}

// Wait returns when the record is durable or has failed, or ctx is done.
func (t *Ticket) Wait(ctx context.Context) error { return errTodo }

// Done is closed when Err is known.
func (t *Ticket) Done() <-chan struct{} { return nil }

// Err returns why the record isn't durable; nil while that is open.
func (t *Ticket) Err() error { return nil }
