package oplog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Position is a place in a stream. Equal positions of two replicas of a shard
// prove equal records up to there.
type Position struct {
	// Epoch is the leadership term that wrote the record.
	Epoch uint64
	// Seq numbers the records of a stream without gaps, from 1 or more.
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

// Known is a record to append whose position is known already, and with it Sum(Data).
type Known struct {
	Record
	Sum uint64
}

// Stream is the log of one shard replica. Append, TruncateAfter, Reset and Drop
// belong to one goroutine; everything else is safe for concurrent use.
type Stream struct {
	log *Log
	id  string

	// All below is guarded by Log.mu.

	// number stands for the id in the log, once bound is true: when the record that
	// says so was queued. known says that it is durable.
	number       uint32
	bound, known bool
	// last is the position of the last record queued, durable of the last one that
	// is durable.
	last, durable Position
	// pending is the ticket of the last record queued.
	pending *Ticket
	// extents are where the durable records are, ascending and without gap. cut says
	// that the next record begins a new one.
	extents []extent
	cut     bool
	// released is up to where records aren't needed.
	released uint64
	dropped  bool
}

// Append queues a record. seq must follow the last one (any first one from 1 on
// will do), epoch must not fall. data is copied. The call waits only while the
// queue is full. A refused record gives a ticket that already failed and says so. While the
// disk can't be written all are refused.
func (s *Stream) Append(epoch, seq uint64, data []byte) *Ticket {
	_, t := s.AppendAt(epoch, seq, data)
	return t
}

// AppendAt is Append that also tells the position that the record got, the zero one
// when it was refused.
func (s *Stream) AppendAt(epoch, seq uint64, data []byte) (Position, *Ticket) {
	sum := Sum(data)
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if err := s.add(epoch, seq, data, sum, nil); err != nil {
		return Position{}, failedTicket(err)
	}
	return s.last, s.pending
}

// AppendAll queues records whose positions are known: a follower has them from its
// leader, and a leader made them (Position.Follow) to send them. What the chain comes to
// here is compared before a record is taken, and one that would get another position is
// refused with ErrDiverged. It returns how many were taken, the ticket of the last of them
// (nil when there is none), and why the rest was not.
func (s *Stream) AppendAll(records []Known) (taken int, last *Ticket, err error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for i := range records {
		r := &records[i]
		if err := s.add(r.Epoch, r.Seq, r.Data, r.Sum, &r.Chain); err != nil {
			return i, last, err
		}
		last = s.pending
	}
	return len(records), last, nil
}

// add queues a record, whose chain value must be the given one unless that is nil. mu is
// held.
func (s *Stream) add(epoch, seq uint64, data []byte, sum uint64, chain *uint64) error {
	if len(data) > MaxRecord {
		return fmt.Errorf("append %d bytes to stream %q: %w", len(data), s.id, ErrTooLarge)
	}
	if err := s.log.waitForRoom(len(data) + 2*recordHeadSize + len(s.id)); err != nil {
		return err
	}
	if err := s.admit(epoch, seq); err != nil {
		return fmt.Errorf("append to stream %q: %w", s.id, err)
	}
	base := s.last
	if !s.bound {
		base = Position{Seq: seq - 1}
	}
	next := base.Follow(epoch, seq, sum)
	if chain != nil && *chain != next.Chain {
		return fmt.Errorf("append to stream %q: %w: record %d of epoch %d has chain value %016x, here it would be %016x",
			s.id, ErrDiverged, seq, epoch, *chain, next.Chain)
	}
	if !s.bound {
		s.bind(base)
	}
	s.last = next
	s.queue(recordData, next, data)
	return nil
}

// waitForRoom returns when n bytes more may be queued. mu is held.
func (l *Log) waitForRoom(n int) error {
	for {
		switch {
		case l.err != nil:
			return l.err
		case l.trouble != nil:
			return l.trouble
		case l.closing:
			return ErrClosed
		case l.queue.count == 0 || len(l.queue.buf)+n <= l.opts.QueueBytes:
			return nil
		}
		l.room.Wait()
	}
}

// admit says whether a record may come next. mu is held.
func (s *Stream) admit(epoch, seq uint64) error {
	switch {
	case s.dropped:
		return ErrDropped
	case len(s.id) > maxID:
		return fmt.Errorf("id is longer than %d bytes", maxID)
	case seq == 0, s.bound && seq != s.last.Seq+1:
		return fmt.Errorf("%w: %d after %d", ErrOutOfOrder, seq, s.last.Seq)
	case s.bound && epoch < s.last.Epoch:
		return fmt.Errorf("%w: epoch %d after %d", ErrOutOfOrder, epoch, s.last.Epoch)
	}
	return nil
}

// bind gives the stream its number. mu is held.
func (s *Stream) bind(base Position) {
	x := &s.log.index
	s.number, s.bound, s.last = x.nextStream, true, base
	x.nextStream++
	x.byNumber[s.number] = s
	s.queue(recordBind, base, []byte(s.id))
}

// queue adds a record to the batch being filled. mu is held. In one batch the
// records of a stream are: bind or truncation or drop, if any, then data.
func (s *Stream) queue(kind recordKind, pos Position, data []byte) {
	q := s.log.queue
	q.buf = appendRecord(q.buf, kind, s.number, pos, data)
	q.count++
	if q.count == 1 {
		s.log.wake.Signal()
	}
	s.pending = q.ticket
}

// ID returns the stream's id.
func (s *Stream) ID() string { return s.id }

// Last returns the position of the last record appended, durable or not.
func (s *Stream) Last() Position {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.last
}

// Durable returns the position of the last durable record.
func (s *Stream) Durable() Position {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.durable
}

// First returns the sequence of the first record that can be read;
// Durable().Seq+1 when there is none.
func (s *Stream) First() uint64 {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.base().Seq + 1
}

// base returns the position before the first record that can be read. mu is held.
func (s *Stream) base() Position {
	if len(s.extents) > 0 {
		return s.extents[0].base
	}
	return s.durable
}

// Holds says whether the log could be shorter if the stream were released.
func (s *Stream) Holds() bool {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	_, holds := s.holds()
	return holds && len(s.log.files) > 1
}

// holds tells whether the log's oldest file has unreleased records of the stream, and
// which is the last. mu is held.
func (s *Stream) holds() (last uint64, holds bool) {
	for _, e := range s.extents {
		if e.file != s.log.files[0] {
			break
		}
		last = e.last
	}
	return last, last > s.released
}

// control waits until nothing of the stream is on its way, then lets change queue what
// it wants (false for nothing), and waits for that. Waiting first keeps the order of
// records in a batch that the index relies on.
func (s *Stream) control(ctx context.Context, change func() (queued bool, err error)) error {
	l := s.log
	for {
		l.mu.Lock()
		if err := l.waitForRoom(recordHeadSize); err != nil {
			l.mu.Unlock()
			return err
		}
		if p := s.pending; p != nil && !p.finished() {
			l.mu.Unlock()
			if err := p.Wait(ctx); err != nil {
				return err
			}
			continue
		}
		queued, err := change()
		p := s.pending
		l.mu.Unlock()
		if err != nil || !queued {
			return err
		}
		return p.Wait(ctx)
	}
}

// TruncateAfter durably forgets every record above seq; there may be none. It
// fails with ErrReleased for a seq below what was released. When it fails because
// of ctx or of the disk, the truncation may take place all the same.
func (s *Stream) TruncateAfter(ctx context.Context, seq uint64) error {
	target, err := s.position(ctx, seq)
	if err != nil {
		return fmt.Errorf("truncate stream %q after %d: %w", s.id, seq, err)
	}
	err = s.control(ctx, func() (bool, error) {
		switch {
		case s.dropped:
			return false, ErrDropped
		case seq >= s.last.Seq:
			return false, nil
		case seq < s.released:
			return false, ErrReleased
		}
		s.last = target
		s.queue(recordTruncate, target, nil)
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("truncate stream %q after %d: %w", s.id, seq, err)
	}
	return nil
}

// Release says that records up to seq are no longer needed. It removes the
// files that no stream needs, which is I/O; a file that is being read goes at a
// later Release. Releasing isn't durable by itself: after a crash some records may
// be there again.
func (s *Stream) Release(seq uint64) error {
	l := s.log
	l.mu.Lock()
	s.released = max(s.released, min(seq, s.durable.Seq))
	closing := l.closing
	l.mu.Unlock()
	if closing {
		return ErrClosed
	}
	return l.trim()
}

// Keep makes links to the log files that have records of the stream in a directory
// of the same disk. They outlive the log's own names.
func (s *Stream) Keep(dir string) error {
	extents, _, _, err := s.pin(s.First())
	if err != nil {
		return fmt.Errorf("keep log files of stream %q: %w", s.id, err)
	}
	defer s.unpin(extents)
	system := s.log.opts.FS
	if err := system.MkdirAll(dir); err != nil {
		return fmt.Errorf("keep log files of stream %q: %w", s.id, err)
	}
	for _, e := range extents {
		to := path.Join(dir, path.Base(e.file.path))
		if err := system.Link(e.file.path, to); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("keep log files of stream %q: %w", s.id, err)
		}
	}
	return system.SyncDir(dir)
}

// Drop durably forgets the stream and everything in it. Log.Stream then gives a
// new one for the same id. When it fails because of ctx or of the disk, the
// stream may be dropped all the same: a log that can't write at the moment takes
// the drop nevertheless, because it is what makes room.
func (s *Stream) Drop(ctx context.Context) error {
	err := s.control(ctx, func() (bool, error) {
		if s.dropped || !s.forget() {
			return false, nil
		}
		s.queue(recordDrop, Position{}, nil)
		return true, nil
	})
	if errors.Is(err, ErrFailed) {
		s.dropLater()
	}
	if err != nil {
		return fmt.Errorf("drop stream %q: %w", s.id, err)
	}
	return s.log.trim()
}

// dropLater queues the drop behind what the log has taken and couldn't write.
func (s *Stream) dropLater() {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && !l.closing && !s.dropped && s.forget() {
		s.queue(recordDrop, Position{}, nil)
	}
}

// forget takes the stream's id away, and tells whether the log must hear of it. mu
// is held.
func (s *Stream) forget() bool {
	s.dropped = true
	delete(s.log.streams, s.id)
	return s.bound
}
