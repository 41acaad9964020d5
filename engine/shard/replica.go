package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/segment"
)

// Hooks are what the owner of a replicated shard hears and adds. Each may be nil. None
// may block, nor call Apply, Close, Checkpoint, Checksum or Export.
type Hooks struct {
	// Opened is called by Open with what Attachment gave the checkpoint that was found, nil for
	// a new shard: before any other hook, since a checkpoint may come as soon as the shard is open.
	Opened func(attachment []byte) error
	// Applied is called by the applier after each entry, before the next one and before
	// the entry's ticket tells: with it the owner keeps replicated state of its own in
	// step. err is the operation's result, the same on every replica.
	Applied func(pos oplog.Position, tag any, err error)
	// Attachment returns that state, at most MaxAttachment bytes, to be stored with a
	// checkpoint. The applier calls it between two entries, so it is the state after all
	// entries for which Applied was called. The bytes must not change afterwards.
	Attachment func() []byte
	// Flushed is told after a checkpoint up to where files hold everything: entries up to
	// there aren't needed to open this shard. The log may be needed longer for others.
	Flushed func(pos oplog.Position)
}

// Entry is a committed entry of a replicated shard's log. It must be durable: files may
// hold it before the call returns.
type Entry struct {
	// Position is its place. Entries follow each other without gap.
	oplog.Position
	// Body is the operation as Op.Encode gives it, Op the operation itself; either will
	// do, and with both nothing is decoded. Without either the entry changes nothing. Body
	// isn't kept after Apply.
	Body []byte
	Op   Op
	// Tag is for Hooks.Applied.
	Tag any
	// Checksum asks for the checksum of the state after the entry: Ticket.Checksum.
	Checksum bool
}

// Apply queues a committed entry of a replicated shard, which must be the next one, and
// waits while the queue is full. The ticket tells when it is applied and what came of
// it. An entry that this version can't decode puts the shard into quarantine: it can't
// follow.
func (s *Shard) Apply(ctx context.Context, e Entry) (*Ticket, error) {
	if !s.o.Replicated {
		return nil, errors.New("apply: the shard keeps its own log")
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if e.Op.Msg == nil && len(e.Body) > 0 {
		var err error
		if e.Op, err = DecodeOp(e.Body); err != nil {
			s.quarantine(fmt.Errorf("entry %d: %w: %w", e.Seq, err, segment.ErrNewer))
			return nil, s.Err()
		}
	}
	size := int64(len(e.Body))
	if size == 0 && e.Op.Msg != nil {
		size = int64(proto.Size(e.Op.Msg))
	}
	t := s.newTicket(e.Op, size)
	t.pos, t.tag = e.Position, e.Tag
	if e.Checksum {
		t.checksum = &checksumResult{done: make(chan struct{})}
	}
	if err := s.room.Acquire(ctx, t.weight); err != nil {
		return nil, err
	}
	if err := s.enqueueEntry(t, size); err != nil {
		s.room.Release(t.weight)
		return nil, err
	}
	return t, nil
}

func (s *Shard) enqueueEntry(t *Ticket, size int64) error {
	s.submitMu.Lock()
	defer s.submitMu.Unlock()
	if err := s.accepts(); err != nil {
		return err
	}
	if t.pos.Seq != s.tail.Seq+1 || t.pos.Epoch < s.tail.Epoch {
		return fmt.Errorf("apply entry %d of epoch %d: the one before is %d of epoch %d: %w",
			t.pos.Seq, t.pos.Epoch, s.tail.Seq, s.tail.Epoch, oplog.ErrOutOfOrder)
	}
	s.push(t, size)
	return nil
}

// Applied returns the sequence of the last applied operation.
func (s *Shard) Applied() uint64 { return s.applied.Load() }

// Flushed returns the position up to which the shard's files hold everything. After Open
// it is where a replicated shard is.
func (s *Shard) Flushed() oplog.Position { return *s.flushed.Load() }

// MaxAttachment bounds the owner's state that is stored with a checkpoint.
const MaxAttachment = 8 << 20

// The file of an attachment.
const (
	attachmentName    = "attachment"
	attachmentKind    = segment.Kind("attach")
	attachmentVersion = 1
	attachmentSection = 1
)

// attachment is the owner's state in a checkpoint.
type attachment struct {
	bytes []byte
	files segment.Batch
}

// Write writes it as a file.
func (a *attachment) Write(_ context.Context, dir *segment.Dir) ([]segment.FileInfo, error) {
	if len(a.bytes) > MaxAttachment {
		return nil, fmt.Errorf("%d bytes are more than %d", len(a.bytes), MaxAttachment)
	}
	a.files.Dir = dir
	info, err := a.files.Write(attachmentName, attachmentKind, attachmentVersion, func(w *segment.Writer) error {
		_, err := w.Section(attachmentSection).Write(a.bytes)
		return err
	})
	return []segment.FileInfo{info}, err
}

// Commit does nothing: the manifest has the file.
func (*attachment) Commit() error { return nil }

// Abort removes the file.
func (a *attachment) Abort() { a.files.Discard() }

// readAttachment returns what a checkpoint has of the owner's state.
func (s *Shard) readAttachment(m *segment.Manifest) (b []byte, err error) {
	for _, info := range m.Files[attachmentName] {
		r, err := s.dir.Open(info, attachmentKind, attachmentVersion)
		if err != nil {
			return nil, fmt.Errorf("read attachment: %w", err)
		}
		b, err = firstSection(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("read attachment: %w", err)
		}
	}
	return b, nil
}

func firstSection(r *segment.Reader) ([]byte, error) {
	section, err := r.Section(attachmentSection)
	if err != nil {
		return nil, err
	}
	b, err := section.All()
	return slices.Clone(b), err
}

// release lets go of the log up to a checkpoint. A replicated shard's log isn't its own:
// others may need it longer.
func (s *Shard) release(pos oplog.Position) error {
	switch {
	case !s.o.Replicated:
		return s.o.Log.Release(pos.Seq)
	case s.o.Hooks.Flushed != nil:
		s.o.Hooks.Flushed(pos)
	}
	return nil
}

// WaitApplied returns when the operation with this sequence is applied, whoever queued
// it: what is read afterwards is the state after it, or a later one.
func (s *Shard) WaitApplied(ctx context.Context, seq uint64) error {
	ready, forget := s.waiters.add(seq)
	defer forget()
	// After add, or the news could come between the look and the wait.
	if s.applied.Load() < seq && s.Err() == nil {
		select {
		case <-ready:
		case <-s.applierDone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	if s.applied.Load() < seq {
		return errClosed
	}
	return nil
}
