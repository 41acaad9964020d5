package oplog

import (
	"context"
	"errors"
	"fmt"
)

// errStop ends a reading early.
var errStop = errors.New("stop")

// EpochStart is where a leadership begins in a stream.
type EpochStart struct {
	// Epoch is the leadership.
	Epoch uint64
	// First is the sequence of its first record.
	First uint64
}

// At returns the position of a record, or of the one before the first that can be
// read. It waits for one that isn't durable yet. It fails with ErrReleased when the
// record is gone, and with ErrMissing when it isn't there yet.
func (s *Stream) At(ctx context.Context, seq uint64) (Position, error) {
	pos, err := s.position(ctx, seq)
	if err == nil && pos.Seq != seq {
		err = ErrMissing
	}
	if err != nil {
		return Position{}, fmt.Errorf("find record %d of stream %q: %w", seq, s.id, err)
	}
	return pos, nil
}

// position is At, which gives the last record for all above.
func (s *Stream) position(ctx context.Context, seq uint64) (Position, error) {
	s.log.mu.Lock()
	last, durable, pending, dropped := s.last, s.durable, s.pending, s.dropped
	s.log.mu.Unlock()
	switch {
	case dropped:
		return Position{}, ErrDropped
	case seq >= last.Seq:
		return last, nil
	}
	if seq > durable.Seq && pending != nil {
		if err := pending.Wait(ctx); err != nil {
			return Position{}, err
		}
	}
	s.log.mu.Lock()
	base := s.base()
	s.log.mu.Unlock()
	switch {
	case seq < base.Seq:
		return Position{}, ErrReleased
	case seq == base.Seq:
		return base, nil
	}
	var found Position
	err := s.Read(ctx, seq, func(r Record) error {
		found = r.Position
		return errStop
	})
	switch {
	case err == nil:
		return Position{}, ErrMissing // cut off meanwhile
	case !errors.Is(err, errStop):
		return Position{}, err
	}
	return found, nil
}

// Epochs returns the leaderships whose durable records can be read, oldest first. It
// reads a few records for each: epochs never fall, so where one ends is searched
// for. The stream must not be cut meanwhile.
func (s *Stream) Epochs(ctx context.Context) ([]EpochStart, error) {
	for {
		out, err := s.epochs(ctx)
		if errors.Is(err, ErrReleased) {
			continue // the oldest file has gone meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("find epochs of stream %q: %w", s.id, err)
		}
		return out, nil
	}
}

func (s *Stream) epochs(ctx context.Context) (out []EpochStart, err error) {
	known := s.landmarks()
	if len(known) == 0 {
		return nil, nil
	}
	before, last := known[0], known[len(known)-1]
	// When nothing changes from before the first record on, nothing is read.
	first := Position{Epoch: before.Epoch, Seq: before.Seq + 1}
	if before.Epoch != last.Epoch {
		if first, err = s.At(ctx, first.Seq); err != nil {
			return nil, err
		}
	}
	out = append(out, EpochStart{first.Epoch, first.Seq})
	for _, next := range known[1:] {
		if out, err = s.startsBetween(ctx, first, next, out); err != nil {
			return nil, err
		}
		first = next
	}
	return out, nil
}

// landmarks returns the positions that the index has: before each extent, and the last;
// nothing when no record can be read.
func (s *Stream) landmarks() (out []Position) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, e := range s.extents {
		out = append(out, e.base)
	}
	if len(out) > 0 {
		out = append(out, s.durable)
	}
	return out
}

// startsBetween adds the epochs that begin behind one record and not behind another.
func (s *Stream) startsBetween(ctx context.Context, low, high Position, out []EpochStart) ([]EpochStart, error) {
	switch {
	case low.Epoch == high.Epoch:
		return out, nil
	case low.Seq+1 == high.Seq:
		return append(out, EpochStart{high.Epoch, high.Seq}), nil
	}
	middle, err := s.At(ctx, low.Seq+(high.Seq-low.Seq)/2)
	if err != nil {
		return nil, err
	}
	if out, err = s.startsBetween(ctx, low, middle, out); err != nil {
		return nil, err
	}
	return s.startsBetween(ctx, middle, high, out)
}
