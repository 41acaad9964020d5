package member

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/oplog"
)

// mark is what a node must remember of a copy besides its log: which copy it is, the highest epoch
// that was adopted (R2), and the identity of the log.
type mark struct {
	alloc   topology.AllocID
	epoch   uint64
	history uint64
}

// marks keeps the mark of one copy: the last record of its stream (docs/format/entry.md). All copies
// of a node store their marks through the one synced log: after an election that is thousands at
// a time.
type marks struct {
	stream *oplog.Stream
	mu     sync.Mutex
	last   mark
}

const markSize = 24

// loadMarks reads the mark of a copy; ok is false when there is none.
func loadMarks(ctx context.Context, s *oplog.Stream) (m *marks, ok bool, err error) {
	m = &marks{stream: s}
	last := s.Durable()
	if last.Seq == 0 {
		return m, false, nil
	}
	err = m.read(ctx, last.Seq, &ok)
	if errors.Is(err, oplog.ErrCorrupted) || errors.Is(err, oplog.ErrReleased) {
		// The log has lost a part, and perhaps a newer mark with it: then the copy's log is in doubt as
		// well, or the number in this mark isn't the one in the record. Only an epoch may be missing,
		// and R1 is enough to keep this process from taking part in that.
		if err = m.read(ctx, s.First(), &ok); errors.Is(err, oplog.ErrCorrupted) {
			err = nil
		}
	}
	return m, ok, err
}

// read takes in the marks from one on; the last one counts.
func (m *marks) read(ctx context.Context, from uint64, ok *bool) error {
	s := m.stream
	return s.Read(ctx, from, func(r oplog.Record) error {
		if len(r.Data) != markSize {
			return fmt.Errorf("mark of stream %q has %d bytes: %w", s.ID(), len(r.Data), oplog.ErrCorrupted)
		}
		le := binary.LittleEndian
		m.last = mark{topology.AllocID(le.Uint64(r.Data)), le.Uint64(r.Data[8:]), le.Uint64(r.Data[16:])}
		*ok = true
		return nil
	})
}

// store makes a mark durable. A history of 0 leaves the one that is known, and the epoch never
// goes back (R2): files are installed while epochs are adopted.
func (m *marks) store(ctx context.Context, next mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next.epoch = max(next.epoch, m.last.epoch)
	if next.history == 0 {
		next.history = m.last.history
	}
	if err := m.write(ctx, next); err != nil {
		return err
	}
	m.last = next
	return nil
}

// get returns the mark.
func (m *marks) get() mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// renew writes the mark again, so that the log's oldest file isn't kept for it.
func (m *marks) renew(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(ctx, m.last)
}

// write appends a mark and lets those before it go. mu is held.
func (m *marks) write(ctx context.Context, next mark) error {
	var data [markSize]byte
	le := binary.LittleEndian
	le.PutUint64(data[:], uint64(next.alloc))
	le.PutUint64(data[8:], next.epoch)
	le.PutUint64(data[16:], next.history)
	seq := m.stream.Last().Seq + 1
	if err := m.stream.Append(0, seq, data[:]).Wait(ctx); err != nil {
		return fmt.Errorf("store mark of %q: %w", m.stream.ID(), err)
	}
	if err := m.stream.Release(seq - 1); err != nil && !errors.Is(err, oplog.ErrClosed) {
		return fmt.Errorf("release marks of %q: %w", m.stream.ID(), err)
	}
	return nil
}
