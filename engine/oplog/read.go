package oplog

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Read calls fn for each record from seq on that was durable when it was called,
// in order, until fn fails; it returns fn's error as it is. It fails with
// ErrReleased when seq is gone, and does nothing when seq is above the last
// durable record.
func (s *Stream) Read(ctx context.Context, seq uint64, fn func(Record) error) error {
	extents, number, last, err := s.pin(seq)
	if err != nil {
		return fmt.Errorf("read stream %q from %d: %w", s.id, seq, err)
	}
	defer s.unpin(extents)
	r := reading{stream: number, next: seq, fn: fn}
	for i := range extents {
		if r.next < extents[i].first {
			return s.hole(r.next, extents[i].first-1)
		}
		if err := r.extent(ctx, s.log, &extents[i]); err != nil {
			return err
		}
	}
	if r.next <= last {
		return s.hole(r.next, last)
	}
	return nil
}

// hole is why records can't be read that are nowhere.
func (s *Stream) hole(first, last uint64) error {
	return &CorruptedError{File: s.log.opts.Dir, Why: fmt.Sprintf("records %d to %d of stream %q may be lost", first, last, s.id)}
}

// pinned is an extent that can't be removed while it is read.
type pinned struct {
	extent
	// size is the length of the durable part of the file.
	size int64
}

// pin returns the extents from seq on, the number that the stream has in them, and its last record,
// and keeps their files.
func (s *Stream) pin(seq uint64) (out []pinned, number uint32, last uint64, err error) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case s.dropped:
		return nil, 0, 0, ErrDropped
	case l.closing:
		return nil, 0, 0, ErrClosed
	case seq > s.durable.Seq:
		return nil, 0, 0, nil
	case seq <= s.base().Seq:
		return nil, 0, 0, ErrReleased
	}
	for _, e := range s.extents {
		if e.last >= seq {
			e.file.readers++
			out = append(out, pinned{extent: e, size: e.file.size})
		}
	}
	return out, s.number, s.durable.Seq, nil
}

func (s *Stream) unpin(extents []pinned) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, e := range extents {
		e.file.readers--
	}
}

// reading is one Read on its way.
type reading struct {
	stream uint32
	// next is the record that must come next.
	next uint64
	fn   func(Record) error
	// prev is the position of the last record of the stream that was met, needed or
	// not; the chain value of what follows it is checked.
	prev *Position
	// damage is the first damaged batch that was met; nil when none was. It matters
	// when a record is missing.
	damage error
}

// extent reads the records of one extent.
func (r *reading) extent(ctx context.Context, l *Log, e *pinned) (err error) {
	src, err := l.opts.FS.Open(e.file.path)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	batches := newBatchReader(e.file, src, e.from(r.next), e.size)
	if r.next == e.first {
		r.prev = &e.base
	}
	for r.next <= e.last {
		if ctx.Err() != nil {
			return fmt.Errorf("read log: %w", context.Cause(ctx))
		}
		b, err := batches.next()
		switch {
		case errors.Is(err, errNoBatch):
			if batches, err = r.damaged(e, batches); err != nil {
				return err
			}
			continue
		case errors.Is(err, io.EOF):
			return r.missing(e, e.size, fmt.Sprintf("record %d isn't where the index has it", r.next))
		case err != nil:
			return fmt.Errorf("read log: %w", err)
		case b.kind != batchRecords:
			continue
		}
		if err := r.batch(e, b); err != nil {
			return err
		}
	}
	return nil
}

// missing is a record that isn't where it should be: because of the damage that was
// met, if any was.
func (r *reading) missing(e *pinned, off int64, why string) error {
	if r.damage != nil {
		return r.damage
	}
	return e.file.corrupted(off, why)
}

// damaged goes over a damaged batch. Where it is known where that ends, those of its records
// that prove to be the next of the stream are taken. What else there was of the
// stream will be missed later; other streams may be all that is damaged.
//
// The lengths of records can't be trusted, so one is looked for at every byte.
func (r *reading) damaged(e *pinned, batches *batchReader) (*batchReader, error) {
	if r.damage == nil {
		r.damage = e.file.corrupted(batches.off, batches.why)
	}
	b, framed := batches.damaged()
	if !framed {
		_, at, found, err := nextBatch(e.file, batches.at, batches.off, e.size)
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		if !found {
			return nil, r.damage
		}
		return newBatchReader(e.file, batches.at, at, e.size), nil
	}
	for at := 0; at < len(b.body) && r.next <= e.last; {
		rec, rest, ok := decodeRecord(b.body[at:])
		if !ok || !r.mine(rec) || r.prev == nil || rec.pos.Seq != r.prev.Seq+1 || !r.prev.verified(rec) {
			at++
			continue
		}
		if err := r.take(rec); err != nil {
			return nil, err
		}
		at = len(b.body) - len(rest)
	}
	return batches, nil
}

func (r *reading) mine(rec record) bool { return rec.kind == recordData && rec.stream == r.stream }

// take gives a record to fn, if it is needed.
func (r *reading) take(rec record) error {
	if rec.pos.Seq >= r.next {
		if err := r.fn(Record{Position: rec.pos, Data: rec.data}); err != nil {
			return err
		}
		r.next++
	}
	r.prev = &rec.pos
	return nil
}

// batch takes the records that a batch has of the extent.
func (r *reading) batch(e *pinned, b *batch) error {
	for body := b.body; len(body) > 0 && r.next <= e.last; {
		rec, rest, ok := decodeRecord(body)
		if !ok {
			return e.file.corrupted(b.off, "record in a sound batch doesn't decode")
		}
		body = rest
		// What isn't needed is still what the next one follows; but before the extent
		// there may be records that were cut.
		if !r.mine(rec) || rec.pos.Seq < e.first {
			continue
		}
		if rec.pos.Seq > r.next {
			return r.missing(e, b.off, fmt.Sprintf("record %d instead of %d", rec.pos.Seq, r.next))
		}
		if r.prev != nil && r.prev.Seq+1 == rec.pos.Seq && !r.prev.verified(rec) {
			return e.file.corrupted(b.off, fmt.Sprintf("chain value of record %d", rec.pos.Seq))
		}
		if err := r.take(rec); err != nil {
			return err
		}
	}
	return nil
}
