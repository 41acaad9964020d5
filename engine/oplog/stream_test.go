package oplog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAppendRefuses(t *testing.T) {
	l := openLog(t, fsx.NewMem(), 0)
	s := l.Stream("s")
	require.Same(t, s, l.Stream("s"))
	require.Equal(t, "s", s.ID())
	require.ErrorIs(t, s.Append(1, 0, nil).Err(), oplog.ErrOutOfOrder, "0 is before every record")
	require.NoError(t, s.Append(5, 10, nil).Wait(t.Context()))
	for _, c := range []struct{ epoch, seq uint64 }{{5, 10}, {5, 12}, {5, 1}, {4, 11}} {
		require.ErrorIs(t, s.Append(c.epoch, c.seq, nil).Wait(t.Context()), oplog.ErrOutOfOrder, "%v", c)
	}
	require.NoError(t, s.Append(6, 11, nil).Wait(t.Context()))
	require.ErrorContains(t, l.Stream(strings.Repeat("x", 2000)).Append(1, 1, nil).Err(), "longer")
	require.Equal(t, []string{"s"}, l.Streams())

	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	require.ErrorIs(t, s.Append(6, 12, nil).Err(), oplog.ErrClosed)
	require.ErrorIs(t, s.Read(t.Context(), 10, nil), oplog.ErrClosed)
	require.ErrorIs(t, s.TruncateAfter(t.Context(), 10), oplog.ErrClosed)
	require.ErrorIs(t, s.Release(10), oplog.ErrClosed)
}

func TestOpenRefuses(t *testing.T) {
	mem := fsx.NewMem()
	_, err := oplog.Open(oplog.Options{FS: mem})
	require.Error(t, err)
	_, err = oplog.Open(oplog.Options{FS: mem, Dir: "/log", FileSize: -1})
	require.Error(t, err)
	_, err = oplog.Open(oplog.Options{FS: mem, Dir: "/log", QueueBytes: oplog.MaxRecord + 1})
	require.Error(t, err)
	l := openLog(t, mem, 0)
	_, err = oplog.Open(oplog.Options{FS: mem, Dir: "/log"})
	require.ErrorIs(t, err, fsx.ErrLocked)
	require.NoError(t, l.Close())
	require.NoError(t, openLog(t, mem, 0).Close())
	require.Empty(t, logFiles(t, mem), "a log without records has no files")
}

func TestPositionsProveEqualPrefixes(t *testing.T) {
	write := func(records ...string) oplog.Position {
		l := openLog(t, fsx.NewMem(), 0)
		l.Stream("other").Append(1, 1, []byte("not of this stream"))
		s := l.Stream("s")
		for i, data := range records {
			require.NoError(t, s.Append(1, uint64(i+1), []byte(data)).Wait(t.Context()))
		}
		defer func() { require.NoError(t, l.Close()) }()
		return s.Durable()
	}
	abc := write("a", "b", "c")
	require.Equal(t, abc, write("a", "b", "c"))
	require.NotEqual(t, abc, write("a", "x", "c"), "a difference stays in the chain")
	require.NotEqual(t, write("ab", ""), write("a", "b"))
}

func TestReadWhatIsGone(t *testing.T) {
	mem := fsx.NewMem()
	l := openLog(t, mem, 300)
	fill(t, l, 20, "s")
	s := l.Stream("s")
	require.Equal(t, uint64(1), s.First())
	require.NoError(t, s.Read(t.Context(), 21, func(oplog.Record) error { return errors.New("never called") }))
	require.NoError(t, s.Release(15))
	first := s.First()
	require.Greater(t, first, uint64(1))
	require.LessOrEqual(t, first, uint64(16))
	require.ErrorIs(t, s.Read(t.Context(), first-1, nil), oplog.ErrReleased)
	require.ErrorIs(t, s.TruncateAfter(t.Context(), 14), oplog.ErrReleased)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Read(ctx, 20, nil), context.Canceled)
	require.NoError(t, s.TruncateAfter(t.Context(), 20), "nothing to cut")
	require.NoError(t, s.TruncateAfter(t.Context(), 15))
	require.Equal(t, uint64(15), s.Durable().Seq)
	require.NoError(t, l.Close())
}

// TestTruncationToTheBeginning: the chain value of a position is kept when every
// record before it is gone.
func TestTruncationToTheBeginning(t *testing.T) {
	mem := fsx.NewMem()
	l := openLog(t, mem, 300)
	fill(t, l, 30, "s", "t")
	s := l.Stream("s")
	var before oplog.Position
	require.NoError(t, s.Read(t.Context(), 20, func(r oplog.Record) error {
		if r.Seq == 20 {
			before = r.Position
		}
		return nil
	}))
	require.NoError(t, s.Release(20))
	require.NoError(t, l.Stream("t").Release(30))
	for more := true; more; more = s.First() < 21 {
		fill(t, l, 1, "t")
		require.NoError(t, s.TruncateAfter(t.Context(), 20))
		require.NoError(t, s.Release(20))
		require.NoError(t, l.Stream("t").Release(l.Stream("t").Durable().Seq))
	}
	require.Equal(t, before, s.Durable())
	require.NoError(t, l.Close())
	l = openLog(t, mem, 300)
	require.Equal(t, before, l.Stream("s").Durable())
	fill(t, l, 2, "s")
	require.NoError(t, l.Stream("s").TruncateAfter(t.Context(), 20))
	require.Equal(t, before, l.Stream("s").Durable())
	require.NoError(t, l.Close())
}

func TestFilesGoWhenAllStreamsReleased(t *testing.T) {
	mem := fsx.NewMem()
	l := openLog(t, mem, 400)
	require.Nil(t, l.Holders())
	fill(t, l, 1, "cold")
	fill(t, l, 30, "hot")
	files := len(logFiles(t, mem))
	require.Greater(t, files, 4)
	require.NoError(t, l.Stream("hot").Release(30))
	require.Len(t, logFiles(t, mem), files, "the cold stream holds them")
	require.Equal(t, []oplog.Holder{{Stream: "cold", Seq: 1, Bytes: l.Size()}}, l.Holders())
	require.NoError(t, l.Stream("cold").Release(1))
	require.Len(t, logFiles(t, mem), 1)
	require.Less(t, l.Size(), int64(1000))

	fill(t, l, 30, "hot")
	require.NoError(t, l.Stream("hot").Drop(t.Context()))
	require.Len(t, logFiles(t, mem), 1, "a dropped stream holds nothing")
	require.Equal(t, uint64(1), l.Stream("cold").Durable().Seq, "positions outlive their records")
	require.NoError(t, l.Close())
	l = openLog(t, mem, 400)
	require.Equal(t, []string{"cold"}, l.Streams())
	require.Equal(t, uint64(1), l.Stream("cold").Durable().Seq)
	require.Equal(t, uint64(2), l.Stream("cold").First())
	require.NoError(t, l.Close())
}

func TestDrop(t *testing.T) {
	mem := fsx.NewMem()
	l := openLog(t, mem, 0)
	fill(t, l, 3, "s", "t")
	old := l.Stream("s")
	require.NoError(t, old.Drop(t.Context()))
	require.NoError(t, old.Drop(t.Context()))
	require.ErrorIs(t, old.Append(1, 4, nil).Err(), oplog.ErrDropped)
	require.ErrorIs(t, old.Read(t.Context(), 1, nil), oplog.ErrDropped)
	require.ErrorIs(t, old.TruncateAfter(t.Context(), 1), oplog.ErrDropped)
	require.NoError(t, l.Stream("never written").Drop(t.Context()))
	require.Equal(t, []string{"t"}, l.Streams())
	fill(t, l, 1, "s")
	require.NotSame(t, old, l.Stream("s"))
	want, err := contents(t, l)
	require.NoError(t, err)
	require.Equal(t, []string{"1=s-1"}, want["s"])
	require.NoError(t, l.Close())
	l = openLog(t, mem, 0)
	got, err := contents(t, l)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, l.Close())
}

func TestTicketWait(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	system := fsx.NewFault(fsx.NewMem(), func(op fsx.Op) error {
		if op.Kind == fsx.OpCreate {
			once.Do(func() { close(held) })
			<-hold
		}
		return nil
	})
	l := openLog(t, system, 0)
	s := l.Stream("s")
	first := s.Append(1, 1, nil)
	<-held
	second := s.Append(1, 2, nil)
	require.Same(t, second, s.Append(1, 3, nil), "records that gather share a ticket")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, first.Wait(ctx), context.Canceled)
	require.NoError(t, first.Err(), "not known yet")
	require.ErrorIs(t, s.TruncateAfter(ctx, 1), context.Canceled)
	require.Zero(t, s.Durable().Seq)
	require.Equal(t, uint64(3), s.Last().Seq)
	close(hold)
	<-second.Done()
	require.NoError(t, first.Wait(ctx), "what is known is told")
	require.Equal(t, uint64(3), s.Durable().Seq)
	require.NoError(t, l.Close())
}

// TestQueueIsBounded: Append waits for room, and a record larger than the queue
// passes.
func TestQueueIsBounded(t *testing.T) {
	var largest int64
	system := fsx.NewFault(fsx.NewMem(), func(op fsx.Op) error {
		if op.Kind == fsx.OpWrite {
			largest = max(largest, op.Size)
		}
		return nil
	})
	l, err := oplog.Open(oplog.Options{FS: system, Dir: "/log", QueueBytes: 2000})
	require.NoError(t, err)
	var group errgroup.Group
	for w := range 20 {
		s := l.Stream(fmt.Sprint("s", w))
		group.Go(func() error {
			var last *oplog.Ticket
			for seq := range uint64(50) {
				last = s.Append(1, seq+1, make([]byte, 200))
			}
			return last.Wait(t.Context())
		})
	}
	require.NoError(t, group.Wait())
	require.NoError(t, l.Stream("big").Append(1, 1, make([]byte, 100_000)).Wait(t.Context()))
	require.NoError(t, l.Close())
	require.Greater(t, largest, int64(100_000))
	require.Less(t, largest, int64(103_000), "the large record wasn't gathered with others beyond the bound")
}

func TestAppendAllocates(t *testing.T) {
	l := openLog(t, fsx.NewMem(), 0)
	s := l.Stream("s")
	data := make([]byte, 100)
	seq := uint64(0)
	require.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
		seq++
		s.Append(1, seq, data)
	}), 1.0)
	require.NoError(t, l.Close())
}

// TestConcurrentStreams has writers, readers and releases at once, on the real
// file system and in memory.
func TestConcurrentStreams(t *testing.T) {
	for name, system := range map[string]fsx.FS{"os": fsx.OS{}, "mem": fsx.NewMem()} {
		t.Run(name, func(t *testing.T) {
			o := oplog.Options{FS: system, Dir: filepath.ToSlash(t.TempDir()), FileSize: 20_000, QueueBytes: 5000}
			l, err := oplog.Open(o)
			require.NoError(t, err)
			const writers, records = 12, 120
			data := func(id string, seq uint64) []byte {
				return bytes.Repeat(fmt.Appendf(nil, "%s/%d;", id, seq), 1+int(seq)%9)
			}
			var group errgroup.Group
			for w := range writers {
				s := l.Stream(fmt.Sprint("stream ", w))
				group.Go(func() error { return writeAndCheck(t.Context(), s, records, data) })
			}
			require.NoError(t, group.Wait())
			require.NoError(t, l.Close())
			l, err = oplog.Open(o)
			require.NoError(t, err)
			require.Len(t, l.Streams(), writers)
			for _, id := range l.Streams() {
				require.Equal(t, uint64(records), l.Stream(id).Durable().Seq)
			}
			_, err = contents(t, l)
			require.NoError(t, err)
			require.NoError(t, l.Close())
		})
	}
}

// writeAndCheck writes a stream, reads back what is durable now and then, cuts and
// writes again, and releases.
func writeAndCheck(ctx context.Context, s *oplog.Stream, records uint64, data func(string, uint64) []byte) error {
	for seq := uint64(1); seq <= records; seq++ {
		ticket := s.Append(1, seq, data(s.ID(), seq))
		if seq%3 == 0 {
			if err := ticket.Wait(ctx); err != nil {
				return err
			}
		}
		if seq%20 == 0 {
			if err := s.TruncateAfter(ctx, seq-2); err != nil {
				return err
			}
			seq -= 2
			if err := s.Append(1, seq+1, data(s.ID(), seq+1)).Wait(ctx); err != nil {
				return err
			}
			if err := s.Append(1, seq+2, data(s.ID(), seq+2)).Wait(ctx); err != nil {
				return err
			}
			seq += 2
		}
		if seq%7 == 0 {
			next := s.First()
			err := s.Read(ctx, next, func(r oplog.Record) error {
				if r.Seq != next || !bytes.Equal(r.Data, data(s.ID(), next)) {
					return fmt.Errorf("record %d of %s is %q", next, s.ID(), r.Data)
				}
				next++
				return nil
			})
			if err != nil && !errors.Is(err, oplog.ErrReleased) {
				return err
			}
		}
		if seq%30 == 0 {
			if err := s.Release(seq - 5); err != nil {
				return err
			}
		}
	}
	return nil
}
