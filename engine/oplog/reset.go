package oplog

import (
	"context"
	"fmt"
)

// Reset durably forgets all records, and lets the next one follow pos: the stream
// continues a state that came another way, as files. It is one step: after a crash
// either all is as before or the stream is empty and ends at pos. When it fails because
// of ctx or of the disk, it may take place all the same.
func (s *Stream) Reset(ctx context.Context, pos Position) error {
	err := s.control(ctx, func() (bool, error) {
		switch {
		case s.dropped:
			return false, ErrDropped
		case len(s.id) > maxID:
			return false, fmt.Errorf("id is longer than %d bytes", maxID)
		}
		s.leave()
		s.durable = pos // so that no release counts for what comes
		s.bind(pos)
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("begin stream %q anew behind %d: %w", s.id, pos.Seq, err)
	}
	return s.log.trim()
}

// leave gives the stream's number and records to another object, which is dropped, and
// makes the stream a new one. Drop and bind are in one batch, so both are done or
// neither is. A truncation couldn't do this: what older files have would be taken for
// records before the new ones. Nothing of the stream is on its way. mu is held.
func (s *Stream) leave() {
	if !s.bound {
		return
	}
	old := &Stream{
		log: s.log, id: s.id, number: s.number, bound: true, known: s.known,
		last: s.last, durable: s.durable, extents: s.extents, released: s.released, dropped: true,
	}
	s.log.index.byNumber[old.number] = old
	old.queue(recordDrop, Position{}, nil)
	s.bound, s.known, s.cut = false, false, false
	s.extents, s.released = nil, 0
}
