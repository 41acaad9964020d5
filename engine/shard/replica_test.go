package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// owner is what a replicated shard has around it: it keeps the log, and state of its own
// that must be in step with the shard's.
type owner struct {
	log *oplog.Stream
	// applied is the state: the last applied entry, and a sum of all tags.
	applied, tags uint64
	flushed       atomic.Uint64
	// opened are both as they were found.
	opened [2]uint64
}

func newOwner(log *oplog.Stream) *owner { return &owner{log: log} }

func (o *owner) hooks() Hooks {
	return Hooks{
		Opened: func(b []byte) error {
			if b != nil {
				o.applied, o.tags = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
			}
			o.opened = [2]uint64{o.applied, o.tags}
			return nil
		},
		Applied: func(pos oplog.Position, tag any, _ error) {
			if n, ok := tag.(uint64); ok {
				o.tags += n
			}
			o.applied = pos.Seq
		},
		Attachment: func() []byte {
			return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, o.applied), o.tags)
		},
		Flushed: func(pos oplog.Position) {
			o.flushed.Store(pos.Seq)
			// Others may need the log longer. An error is that of a log that was closed.
			_ = o.log.Release(pos.Seq - min(pos.Seq, 20))
		},
	}
}

// recover does what a node does at its start: it takes its state from the shard and
// applies the log from where the files end. Of tags, one entry has its sequence.
func (o *owner) recover(t *testing.T, s *Shard) {
	t.Helper()
	at := s.Flushed()
	require.Equal(t, at.Seq, s.Applied())
	require.Equal(t, [2]uint64{at.Seq, at.Seq * (at.Seq + 1) / 2}, o.opened, "the attachment is of another position")
	if at.Seq > 0 {
		known, err := o.log.At(t.Context(), at.Seq)
		require.NoError(t, err)
		require.Equal(t, known, at, "the manifest's position isn't the log's")
	}
	require.NoError(t, o.log.Read(t.Context(), at.Seq+1, func(r oplog.Record) error {
		_, err := s.Apply(t.Context(), Entry{Position: r.Position, Body: r.Data, Tag: r.Seq})
		return err
	}))
	require.NoError(t, s.WaitApplied(t.Context(), o.log.Durable().Seq))
}

// send gives the shard an operation: to a replicated one when it is durable.
func (m *meta) send(op Op) *Ticket {
	if !m.o.Replicated {
		t, err := m.shard.Submit(m.t.Context(), op)
		require.NoError(m.t, err)
		return t
	}
	var e Entry
	if op.Msg != nil {
		var err error
		e.Body, err = op.Encode()
		require.NoError(m.t, err)
	}
	if m.chance(50) {
		e.Op = op
	}
	stream := m.log.Stream("shard")
	last := stream.Last()
	var ticket *oplog.Ticket
	e.Position, ticket = stream.AppendAt(last.Epoch+uint64(m.rng.IntN(10)/9), last.Seq+1, e.Body)
	require.NoError(m.t, ticket.Wait(m.t.Context()))
	e.Tag = e.Seq
	t, err := m.shard.Apply(m.t.Context(), e)
	require.NoError(m.t, err)
	return t
}

// move copies the shard while operations go on, and goes on with the copy.
func (m *meta) move() {
	if !m.o.Replicated {
		return
	}
	e, err := m.shard.Export(m.t.Context())
	require.NoError(m.t, err)
	for range m.rng.IntN(5) {
		m.operate()
	}
	if m.chance(50) {
		require.NoError(m.t, m.shard.Checkpoint(m.t.Context())) // which gives up files
	}
	staging := fmt.Sprint("staging", m.moves)
	stage(m.t, e, m.fs, staging)
	m.settle()
	before, err := m.shard.Checksum(m.t.Context())
	require.NoError(m.t, err)
	require.NoError(m.t, m.shard.Close())
	require.NoError(m.t, e.Close())
	require.NoError(m.t, m.log.Close())
	if m.chance(50) { // else it takes the place of the old one
		m.moves++
		m.o.Dir = fmt.Sprint("shard", m.moves)
	}
	require.NoError(m.t, Install(m.t.Context(), m.fs, staging, m.o.Dir, e.Files))
	m.open()
	after, err := m.shard.Checksum(m.t.Context())
	require.NoError(m.t, err)
	require.Equal(m.t, before, after)
	m.checkAll()
}

// stage copies the files of an export to a directory, as one node sends them to
// another.
func stage(t *testing.T, e *Export, to fsx.FS, dir string) {
	t.Helper()
	require.NoError(t, to.MkdirAll(dir))
	for _, f := range e.Files {
		src, err := e.Open(f.Name)
		require.NoError(t, err)
		b := make([]byte, f.Size)
		_, err = src.ReadAt(b, 0)
		require.NoError(t, err)
		require.NoError(t, src.Close())
		dst, err := to.Create(path.Join(dir, f.Name))
		require.NoError(t, err)
		_, err = dst.Write(b)
		require.NoError(t, err)
		require.NoError(t, dst.Close())
	}
}

// replicated opens a replicated shard that does nothing by itself.
func replicated(t *testing.T, fs fsx.FS, o Options) *Shard {
	t.Helper()
	o.FS, o.Dir, o.Replicated, o.Manual = fs, "shard", true, true
	if o.Config == nil {
		o.Config = singleVector(2, pb.Distance_Dot)
	}
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func entry(t *testing.T, epoch, seq uint64, op Op) Entry {
	t.Helper()
	return Entry{Position: oplog.Position{Epoch: epoch, Seq: seq, Chain: 100 + seq}, Op: op}
}

func applyAll(t *testing.T, s *Shard, entries ...Entry) {
	t.Helper()
	for _, e := range entries {
		_, err := s.Apply(t.Context(), e)
		require.NoError(t, err)
		require.NoError(t, s.WaitApplied(t.Context(), e.Seq))
	}
}

// A replicated shard takes entries in order and nothing else, and a shard with a log of
// its own takes none.
func TestApplyRefuses(t *testing.T) {
	s := replicated(t, fsx.NewMem(), Options{})
	up := upsertOf(t, numbered(1, dense(1, 2)))
	_, err := s.Submit(t.Context(), up)
	require.Error(t, err)
	for _, e := range []Entry{entry(t, 1, 2, up), entry(t, 1, 0, up)} {
		_, err = s.Apply(t.Context(), e)
		require.ErrorIs(t, err, oplog.ErrOutOfOrder)
	}
	applyAll(t, s, entry(t, 5, 1, up), entry(t, 6, 2, Op{}))
	for _, e := range []Entry{entry(t, 6, 2, up), entry(t, 6, 4, up), entry(t, 5, 3, up)} {
		_, err = s.Apply(t.Context(), e)
		require.ErrorIs(t, err, oplog.ErrOutOfOrder)
	}
	missing := UpdateVectors(&pb.UpdatePointVectors{Points: []*pb.PointVectors{{
		Id: numbered(7, nil).GetId(), Vectors: dense(1, 1),
	}}})
	ticket, err := s.Apply(t.Context(), entry(t, 6, 3, missing))
	require.NoError(t, err)
	require.NoError(t, ticket.Durable(t.Context()))
	require.Equal(t, apierror.NotFound, apierror.KindOf(ticket.Applied(t.Context())), "a result, not a failure")
	require.EqualValues(t, 3, s.Applied())
	require.NoError(t, s.Err())

	_, err = s.Apply(t.Context(), Entry{Position: oplog.Position{Epoch: 6, Seq: 4}, Body: []byte{200, 1}})
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
	require.ErrorIs(t, s.Err(), segment.ErrNewer, "who can't read the log can't follow")
	_, err = s.Apply(t.Context(), entry(t, 6, 4, up))
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
	require.NoError(t, s.Close())
	_, err = s.Apply(t.Context(), entry(t, 6, 4, up))
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))

	n := openNode(t, fsx.NewMem(), Options{Config: singleVector(2, pb.Distance_Dot)})
	_, err = n.shard.Apply(t.Context(), entry(t, 1, 1, up))
	require.Error(t, err)
}

// Open brings a replicated shard to where its files are and no further.
func TestReplicatedOpensAtItsFiles(t *testing.T) {
	mem := fsx.NewMem()
	log, err := oplog.Open(oplog.Options{FS: mem, Dir: "log"})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	o := newOwner(log.Stream("shard"))
	s := replicated(t, mem, Options{Hooks: o.hooks()})
	require.Nil(t, s.attachment)
	require.Zero(t, s.Flushed())
	tagged := func(e Entry) Entry {
		e.Tag = e.Seq
		return e
	}
	for seq := uint64(1); seq <= 10; seq++ {
		applyAll(t, s, tagged(entry(t, seq/4, seq, upsertOf(t, numbered(int(seq), dense(1, 2))))))
		if seq == 6 {
			require.NoError(t, s.Checkpoint(t.Context()))
			require.EqualValues(t, 6, o.flushed.Load())
			require.Equal(t, oplog.Position{Epoch: 1, Seq: 6, Chain: 106}, s.Flushed())
		}
	}
	killed := mem.KillClone()
	again := replicated(t, killed, Options{})
	require.Equal(t, oplog.Position{Epoch: 1, Seq: 6, Chain: 106}, again.Flushed())
	require.EqualValues(t, 6, again.Applied())
	require.EqualValues(t, 6, again.Info().Points)
	b := again.attachment
	require.EqualValues(t, 6, binary.LittleEndian.Uint64(b))
	require.EqualValues(t, 21, binary.LittleEndian.Uint64(b[8:]))
	applyAll(t, again, entry(t, 1, 7, upsertOf(t, numbered(7, dense(1, 2)))))

	// A last checkpoint when it is closed.
	require.NoError(t, s.Close())
	again = replicated(t, mem, Options{})
	require.EqualValues(t, 10, again.Applied())
	require.EqualValues(t, 10, binary.LittleEndian.Uint64(again.attachment))
}

// What changes nothing moves the position of the files, and writes none.
func TestCheckpointOfNothingWritesNoFiles(t *testing.T) {
	mem := fsx.NewMem()
	owners := []byte("owner's")
	o := Options{Hooks: Hooks{Attachment: func() []byte { return owners }}}
	s := replicated(t, mem, o)
	files := func() []string {
		var names []string
		list, err := mem.ReadDir("shard")
		require.NoError(t, err)
		for _, f := range list {
			names = append(names, f.Name())
		}
		return names
	}
	applyAll(t, s, entry(t, 1, 1, upsertOf(t, numbered(1, dense(1, 2)))))
	require.NoError(t, s.Checkpoint(t.Context()))
	before := files()
	info := s.Info()
	applyAll(t, s, entry(t, 2, 2, Op{}), entry(t, 2, 3, SetConfig(info.Config)))
	require.NoError(t, s.Checkpoint(t.Context()))
	require.Equal(t, before, files())
	require.EqualValues(t, 3, s.Flushed().Seq)

	// Only what is another one is written.
	owners = []byte("another")
	applyAll(t, s, entry(t, 2, 4, Op{}))
	require.NoError(t, s.Checkpoint(t.Context()))
	require.Len(t, files(), len(before))
	require.NotEqual(t, before, files())
	again := replicated(t, mem.KillClone(), Options{})
	require.EqualValues(t, 4, again.Flushed().Seq)
	require.EqualValues(t, 1, again.Info().Points)
	require.Equal(t, "another", string(again.attachment))
	owners = nil
	require.NoError(t, s.Checkpoint(t.Context()))
	require.Len(t, files(), len(before)-1)

	applyAll(t, s, entry(t, 2, 5, upsertOf(t, numbered(2, dense(1, 2)))))
	require.NoError(t, s.Close())
	again = replicated(t, mem, Options{})
	require.EqualValues(t, 5, again.Flushed().Seq)
	require.EqualValues(t, 2, again.Info().Points)
}

// An attachment that is too large fails the checkpoint and nothing else.
func TestAttachmentIsBounded(t *testing.T) {
	mem := fsx.NewMem()
	b := make([]byte, MaxAttachment+1)
	s := replicated(t, mem, Options{Hooks: Hooks{Attachment: func() []byte { return b }}})
	applyAll(t, s, entry(t, 1, 1, Op{}))
	require.ErrorContains(t, s.Checkpoint(t.Context()), "attachment")
	require.NoError(t, s.Err())
	b = b[1:]
	b[17] = 1
	require.NoError(t, s.Checkpoint(t.Context()))
	b = nil
	require.Equal(t, byte(1), replicated(t, mem.KillClone(), Options{}).attachment[17])
	require.NoError(t, s.Close())
	require.Nil(t, replicated(t, mem, Options{}).attachment, "the last checkpoint had none")
}

// A checkpoint that fails, again and again, leaves no attachments behind.
func TestFailedCheckpointsLeaveNoAttachment(t *testing.T) {
	mem := fsx.NewMem()
	fault := fsx.NewFault(mem, nil)
	s := replicated(t, fault, Options{Hooks: Hooks{Attachment: func() []byte { return []byte("state") }}})
	require.NoError(t, s.Checkpoint(t.Context()))
	before, err := mem.ReadDir("shard")
	require.NoError(t, err)
	full := errors.New("no space")
	for seq := range uint64(5) {
		applyAll(t, s, entry(t, 1, seq+1, upsertOf(t, numbered(int(seq), dense(1, 2)))))
		fault.SetInject(func(op fsx.Op) error {
			if strings.Contains(op.Path, "vec-rows") {
				return full
			}
			return nil
		})
		require.ErrorIs(t, s.Checkpoint(t.Context()), full)
		fault.SetInject(nil)
		after, err := mem.ReadDir("shard")
		require.NoError(t, err)
		require.Len(t, after, len(before))
	}
	require.NoError(t, s.Checkpoint(t.Context()))
}

// The queue of entries is bounded like that of operations.
func TestApplyWaitsForRoom(t *testing.T) {
	s := replicated(t, fsx.NewMem(), Options{QueueBytes: 2 * minWeight})
	stuck, entered := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.between(context.Background(), func() { close(entered); <-stuck })
	}()
	<-entered
	for seq := range uint64(2) {
		_, err := s.Apply(t.Context(), entry(t, 1, seq+1, Op{}))
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Apply(ctx, entry(t, 1, 3, Op{}))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.WaitApplied(ctx, 1), context.Canceled)
	waited := make(chan error)
	go func() { waited <- s.WaitApplied(context.Background(), 3) }()
	close(stuck)
	require.NoError(t, s.WaitApplied(t.Context(), 2))
	applyAll(t, s, entry(t, 1, 3, Op{}))
	require.NoError(t, <-waited)
}

// Whoever waits for what never comes is told when it can't come any more.
func TestWaitAppliedEnds(t *testing.T) {
	for name, end := range map[string]func(s *Shard){
		"closed":     func(s *Shard) { _ = s.Close() },
		"quarantine": func(s *Shard) { s.quarantine(errors.New("disk is gone")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := replicated(t, fsx.NewMem(), Options{})
			waited := make(chan error)
			for range 3 {
				go func() { waited <- s.WaitApplied(context.Background(), 1) }()
			}
			for s.waiters.n.Load() < 3 {
				runtime.Gosched() // until all of them wait, or are about to
			}
			end(s)
			for range 3 {
				require.Equal(t, apierror.Unavailable, apierror.KindOf(<-waited))
			}
			require.Zero(t, s.waiters.n.Load())
		})
	}
}
