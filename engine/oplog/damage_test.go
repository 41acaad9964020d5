package oplog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

func openLog(t require.TestingT, system fsx.FS, fileSize int64) *oplog.Log {
	l, err := oplog.Open(oplog.Options{FS: system, Dir: "/log", FileSize: fileSize})
	require.NoError(t, err)
	return l
}

// fill appends n records to each stream, one synced batch each.
func fill(t *testing.T, l *oplog.Log, n int, ids ...string) {
	t.Helper()
	for range n {
		for _, id := range ids {
			s := l.Stream(id)
			seq := s.Last().Seq + 1
			require.NoError(t, s.Append(1, seq, fmt.Appendf(nil, "%s-%d", id, seq)).Wait(t.Context()))
		}
	}
}

// contents reads all streams: id to records as "seq=data".
func contents(t *testing.T, l *oplog.Log) (map[string][]string, error) {
	t.Helper()
	out := map[string][]string{}
	for _, id := range l.Streams() {
		s := l.Stream(id)
		out[id] = []string{}
		err := s.Read(t.Context(), s.First(), func(r oplog.Record) error {
			out[id] = append(out[id], fmt.Sprintf("%d=%s", r.Seq, r.Data))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func logFiles(t require.TestingT, system fsx.FS) []string {
	entries, err := system.ReadDir("/log")
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".log") {
			names = append(names, path.Join("/log", e.Name()))
		}
	}
	return names
}

// TestEveryFlippedBitIsFound: whatever byte of whatever file is damaged, either the
// log says so when it is opened or read, or nothing is missing.
func TestEveryFlippedBitIsFound(t *testing.T) {
	mem := fsx.NewMem()
	l := openLog(t, mem, 700)
	fill(t, l, 6, "one", "two")
	require.NoError(t, l.Stream("two").TruncateAfter(t.Context(), 4))
	fill(t, l, 3, "two")
	want, err := contents(t, l)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	names := logFiles(t, mem)
	require.GreaterOrEqual(t, len(names), 3)
	harmless := 0
	for _, name := range names {
		st, err := mem.Stat(name)
		require.NoError(t, err)
		for off := range st.Size() {
			damaged := mem.KillClone()
			require.NoError(t, fsx.FlipBits(damaged, name, off, 1<<(off%8)))
			l, err := oplog.Open(oplog.Options{FS: damaged, Dir: "/log"})
			if err != nil {
				require.ErrorIs(t, err, oplog.ErrCorrupted, "%s byte %d", name, off)
				continue
			}
			got, err := contents(t, l)
			require.NoError(t, l.Close())
			if err != nil {
				require.ErrorIs(t, err, oplog.ErrCorrupted, "%s byte %d", name, off)
				continue
			}
			harmless++
			require.Equal(t, want, got, "%s byte %d", name, off)
		}
	}
	require.Positive(t, harmless, "marks carry nothing, so their damage is mended")
}

// TestEveryCut: a newest file cut anywhere after its creation opens with
// a prefix; an older file cut anywhere is damage, unless only its index is gone.
func TestEveryCut(t *testing.T) {
	mem := fsx.NewMem()
	l := openLog(t, mem, 1000)
	fill(t, l, 9, "one")
	want, err := contents(t, l)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	names := logFiles(t, mem)
	require.Len(t, names, 2)
	for i, name := range names {
		content, err := fsx.ReadFile(mem, name)
		require.NoError(t, err)
		for n := range content {
			damaged := mem.KillClone()
			require.NoError(t, fsx.WriteAtomic(damaged, name, content[:n]))
			l, err := oplog.Open(oplog.Options{FS: damaged, Dir: "/log"})
			if i == 0 && err != nil {
				require.ErrorIs(t, err, oplog.ErrCorrupted, "cut at %d", n)
				continue
			}
			require.NoError(t, err, "cut at %d", n)
			got, err := contents(t, l)
			require.NoError(t, err)
			require.Equal(t, want["one"][:len(got["one"])], got["one"])
			require.True(t, i > 0 || len(got["one"]) == 9, "cut at %d", n)
			fill(t, l, 5, "one")
			require.NoError(t, l.Close())
		}
	}
}

func TestFilesThatDontBelong(t *testing.T) {
	build := func() *fsx.Mem {
		mem := fsx.NewMem()
		l := openLog(t, mem, 300)
		fill(t, l, 12, "one")
		require.NoError(t, l.Close())
		return mem
	}
	a, b := build(), build()
	// How many files there are depends on how many marks were written.
	names := logFiles(t, a)[:4]
	swap := func(from fsx.FS, name, as string) {
		content, err := fsx.ReadFile(from, name)
		require.NoError(t, err)
		require.NoError(t, fsx.WriteAtomic(a, as, content))
	}
	open := func() error {
		l, err := oplog.Open(oplog.Options{FS: a.KillClone(), Dir: "/log"})
		if err == nil {
			require.NoError(t, l.Close())
		}
		return err
	}
	require.NoError(t, open())
	for _, name := range names {
		swap(b, name, name)
		require.ErrorIs(t, open(), oplog.ErrCorrupted, "a file of another log")
		swap(build(), name, name)
		require.ErrorIs(t, open(), oplog.ErrCorrupted, "a file of another log")
		a = build()
	}
	swap(a, names[1], names[2])
	require.ErrorIs(t, open(), oplog.ErrCorrupted, "a file under another number")

	a = build()
	require.NoError(t, a.Remove(names[1]))
	require.ErrorIs(t, open(), oplog.ErrCorrupted, "a missing file")
	require.NoError(t, a.Remove(names[0]))
	require.NoError(t, open(), "missing oldest files were released")
}

func TestNewerVersion(t *testing.T) {
	mem := fsx.NewMem()
	l := openLog(t, mem, 0)
	fill(t, l, 1, "one")
	require.NoError(t, l.Close())
	name := logFiles(t, mem)[0]
	content, err := fsx.ReadFile(mem, name)
	require.NoError(t, err)
	for _, header := range [][]byte{content[:64], content[64:128]} {
		header[8] = 3
		binary.LittleEndian.PutUint32(header[60:], crc32.Checksum(header[:60], crc32.MakeTable(crc32.Castagnoli)))
	}
	require.NoError(t, fsx.WriteAtomic(mem, name, content))
	_, err = oplog.Open(oplog.Options{FS: mem, Dir: "/log"})
	require.ErrorIs(t, err, oplog.ErrNewer)
	require.NotErrorIs(t, err, oplog.ErrCorrupted)
	again, err := fsx.ReadFile(mem, name)
	require.NoError(t, err)
	require.Equal(t, content, again, "and the file is left alone")
}

// TestCrashAtEveryOperation tells one story and ends it before each of its
// operations, by kill and by power cut.
func TestCrashAtEveryOperation(t *testing.T) {
	for n := int64(1); ; n++ {
		mem := fsx.NewMem()
		acked, err := story(t, fsx.NewFault(mem, fsx.StopAt(n)))
		if err == nil {
			require.Greater(t, n, int64(60))
			return
		}
		require.ErrorIs(t, err, fsx.ErrStopped)
		afterCrash(t, mem.KillClone(), acked, n)
		for seed := range uint64(8) {
			afterCrash(t, mem.CrashClone(rand.New(rand.NewPCG(seed, uint64(n)))), acked, n)
		}
	}
}

// TestLostMarkIsMended: a mark isn't synced, so a power cut may take it and leave the
// batch behind it. That is no damage, and the mark is written again.
func TestLostMarkIsMended(t *testing.T) {
	// The first record is as long as it takes for its mark to end a disk sector.
	const sector, markSize, firstData = 512, 36, 126
	mem, marked := fsx.NewMem(), make(chan struct{})
	var crashes []*fsx.Mem
	seen := false
	system := fsx.NewFault(mem, func(op fsx.Op) error {
		switch {
		case op.Kind == fsx.OpWrite && op.Size == markSize && !seen:
			seen = true
			close(marked)
		case op.Kind == fsx.OpSync && seen && crashes == nil:
			for seed := range uint64(60) {
				crashes = append(crashes, mem.CrashClone(rand.New(rand.NewPCG(seed, 6))))
			}
		}
		return nil
	})
	l := openLog(t, system, 0)
	s := l.Stream("s")
	require.NoError(t, s.Append(1, 1, make([]byte, firstData)).Wait(t.Context()))
	<-marked
	require.NoError(t, s.Append(1, 2, make([]byte, 100)).Wait(t.Context()))
	require.NoError(t, l.Close())

	mended := 0
	for _, crash := range crashes {
		name := logFiles(t, crash)[0]
		mark := func() []byte {
			b, err := fsx.ReadFile(crash, name)
			require.NoError(t, err)
			return append(b, make([]byte, sector)...)[sector-markSize : sector]
		}
		lost := bytes.Equal(mark(), make([]byte, markSize))
		l := openLog(t, crash, 0)
		require.GreaterOrEqual(t, l.Stream("s").Durable().Seq, uint64(1))
		if lost && l.Stream("s").Durable().Seq == 2 {
			mended++
			require.NotEqual(t, make([]byte, markSize), mark())
		}
		_, err := contents(t, l)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	require.Positive(t, mended)
}

// progress is what story saw acknowledged.
type progress struct {
	keep, cut          uint64
	truncated, dropped bool
}

// story fills three streams over several files, truncates one, drops one and
// releases one.
func story(t *testing.T, system fsx.FS) (p progress, err error) {
	t.Helper()
	l, err := oplog.Open(oplog.Options{FS: system, Dir: "/log", FileSize: 500})
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	add := func(id string, upTo uint64, acked *uint64) error {
		s := l.Stream(id)
		for s.Last().Seq < upTo {
			seq := s.Last().Seq + 1
			if err := s.Append(1, seq, fmt.Appendf(nil, "%s-%d", id, seq)).Wait(t.Context()); err != nil {
				return err
			}
			*acked = seq
		}
		return nil
	}
	var gone uint64
	for _, do := range []func() error{
		func() error { return add(strings.Repeat("long id ", 100), 2, new(uint64)) }, // a snapshot of several sectors
		func() error { return add("keep", 3, &p.keep) },
		func() error { return add("cut", 5, &p.cut) },
		func() error { return add("gone", 4, &gone) },
		func() error { p.cut = 2; return l.Stream("cut").TruncateAfter(t.Context(), 2) },
		func() error { p.truncated = true; return nil },
		func() error { return add("keep", 6, &p.keep) },
		func() error { return add("cut", 4, &p.cut) },
		func() error { return l.Stream("gone").Drop(t.Context()) },
		func() error { p.dropped = true; return add("keep", 9, &p.keep) },
		func() error { return l.Stream("cut").Release(4) },
		func() error { return l.Stream("keep").Release(7) },
		func() error { return add("keep", 12, &p.keep) },
	} {
		if err := do(); err != nil {
			return p, err
		}
	}
	return p, nil
}

func afterCrash(t *testing.T, system fsx.FS, p progress, n int64) {
	t.Helper()
	l := openLog(t, system, 500)
	got, err := contents(t, l)
	require.NoError(t, err, "stop %d", n)
	keep, cut := l.Stream("keep"), l.Stream("cut")
	require.GreaterOrEqual(t, keep.Durable().Seq, p.keep, "stop %d", n)
	require.LessOrEqual(t, keep.Durable().Seq, p.keep+1, "stop %d", n)
	require.LessOrEqual(t, keep.First(), uint64(8), "stop %d", n)
	require.GreaterOrEqual(t, cut.Durable().Seq, p.cut, "stop %d", n)
	if p.truncated {
		require.LessOrEqual(t, cut.Durable().Seq, p.cut+1, "stop %d", n)
	}
	if p.dropped {
		require.NotContains(t, l.Streams(), "gone")
	}
	for id, records := range got {
		for i, r := range records {
			seq := l.Stream(id).First() + uint64(i)
			require.Equal(t, fmt.Sprintf("%d=%s-%d", seq, id, seq), r)
		}
	}
	fill(t, l, 3, "keep", "cut", "new")
	want, err := contents(t, l)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	l = openLog(t, system, 500)
	again, err := contents(t, l)
	require.NoError(t, err)
	require.Equal(t, want, again)
	require.NoError(t, l.Close())
}

// TestFailureIsOverWhenTheDiskWorks: a failed write or sync fails what waits and
// what comes, loses nothing acknowledged, and when the disk works again the log
// writes what it has taken and goes on.
func TestFailureIsOverWhenTheDiskWorks(t *testing.T) {
	for title, fault := range map[string]struct {
		kind fsx.OpKind
		err  error
	}{
		"write without space":        {fsx.OpWrite, syscall.ENOSPC},
		"short write without space":  {fsx.OpWrite, &fsx.ShortWrite{N: 40, Err: syscall.ENOSPC}},
		"write fails":                {fsx.OpWrite, syscall.EIO},
		"sync fails":                 {fsx.OpSync, syscall.EIO},
		"sync without space":         {fsx.OpSync, syscall.EDQUOT},
		"no space for the next file": {fsx.OpCreate, syscall.ENOSPC},
		"directory sync fails":       {fsx.OpSyncDir, syscall.EIO},
	} {
		t.Run(title, func(t *testing.T) {
			mem := fsx.NewMem()
			system := fsx.NewFault(mem, nil)
			l := openRetrying(t, system)
			fill(t, l, 2, "doomed", "a", "b")
			system.SetInject(func(op fsx.Op) error {
				if op.Kind != fault.kind {
					return nil
				}
				if op.Kind == fsx.OpSync {
					require.NoError(t, mem.FailSync(op.Path))
				}
				return fault.err
			})
			acked := map[string]uint64{}
			var failed *oplog.Ticket
			for seq := uint64(3); failed == nil; seq++ {
				for _, id := range []string{"a", "b"} {
					ticket := l.Stream(id).Append(1, seq, []byte(id))
					if ticket.Wait(t.Context()) != nil {
						failed = ticket
						break
					}
					acked[id] = seq
				}
			}
			require.False(t, failed.Refused())
			last := map[string]oplog.Position{"a": l.Stream("a").Last(), "b": l.Stream("b").Last()}
			for _, err := range []error{
				failed.Err(), l.Err(), l.Stream("b").TruncateAfter(t.Context(), 1), l.Stream("doomed").Drop(t.Context()),
				l.Stream("new").Append(1, 1, nil).Err(),
			} {
				require.ErrorIs(t, err, oplog.ErrFailed)
				require.Equal(t, fsx.IsFull(fault.err), errors.Is(err, oplog.ErrFull))
			}
			require.True(t, l.Stream("a").Append(1, last["a"].Seq+1, nil).Refused())

			// Reading goes on, and a power cut finds what was acknowledged.
			_, err := contents(t, l)
			require.NoError(t, err)
			powerCuts(t, mem, acked, 10)

			system.SetInject(nil)
			for l.Err() != nil {
				runtime.Gosched()
			}
			for id, pos := range last {
				require.Equal(t, pos, l.Stream(id).Durable(), "what was taken is written")
				acked[id] = pos.Seq
			}
			require.NotContains(t, l.Streams(), "doomed", "a drop is taken, because it makes room")
			powerCuts(t, mem, acked, 10)
			fill(t, l, 30, "a", "b", "new")
			want, err := contents(t, l)
			require.NoError(t, err)
			require.NoError(t, l.Close())
			for seed := range uint64(10) {
				crashed := openLog(t, mem.CrashClone(rand.New(rand.NewPCG(seed, 5))), 600)
				got, err := contents(t, crashed)
				require.NoError(t, err)
				require.Equal(t, want, got)
				require.NoError(t, crashed.Close())
			}
		})
	}
}

func openRetrying(t require.TestingT, system fsx.FS) *oplog.Log {
	l, err := oplog.Open(oplog.Options{FS: system, Dir: "/log", FileSize: 600, RetryAfter: time.Microsecond})
	require.NoError(t, err)
	return l
}

// powerCuts opens what power cuts at this moment may leave.
func powerCuts(t *testing.T, mem *fsx.Mem, acked map[string]uint64, n uint64) {
	t.Helper()
	for seed := range n {
		crashed := openLog(t, mem.CrashClone(rand.New(rand.NewPCG(seed, 6))), 600)
		_, err := contents(t, crashed)
		require.NoError(t, err)
		for id, seq := range acked {
			require.GreaterOrEqual(t, crashed.Stream(id).Durable().Seq, seq)
		}
		require.NoError(t, crashed.Close())
	}
}

// TestEveryOperationMayFail lets each operation fail in turn, alone and with those
// that follow it: the log gets over it, and loses nothing that it took.
func TestEveryOperationMayFail(t *testing.T) {
	const records = 12
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO, &fsx.ShortWrite{N: 50, Err: syscall.ENOSPC}} {
		for _, times := range []int64{1, 2, 5} {
			for from, done := int64(1), false; !done; from++ {
				done = failOnce(t, cause, from, times, records)
			}
		}
	}
}

// failOnce lets the operations from one on fail a number of times, and says whether
// there were no so many.
func failOnce(t *testing.T, cause error, from, times int64, records uint64) (beyond bool) {
	t.Helper()
	mem := fsx.NewMem()
	system := fsx.NewFault(mem, nil)
	l := openRetrying(t, system)
	first := system.Changes()
	var failures atomic.Int64
	system.SetInject(func(op fsx.Op) error {
		if !op.Kind.Changes() || op.N < first+from || failures.Add(1) > times {
			return nil
		}
		if op.Kind == fsx.OpSync {
			if err := mem.FailSync(op.Path); err != nil {
				return err
			}
		}
		return cause
	})
	acked := map[string]uint64{}
	for seq := uint64(1); seq <= records; {
		for _, id := range []string{"a", "b"} {
			ticket := l.Stream(id).Append(1, seq, fmt.Appendf(nil, "%s-%d", id, seq))
			for ticket.Refused() { // until the log is over it
				runtime.Gosched()
				ticket = l.Stream(id).Append(1, seq, fmt.Appendf(nil, "%s-%d", id, seq))
			}
			if ticket.Wait(t.Context()) == nil {
				acked[id] = seq
			}
		}
		seq++
	}
	powerCuts(t, mem, acked, 1)
	for l.Err() != nil {
		runtime.Gosched()
	}
	require.NoError(t, l.Close())
	again := openLog(t, mem.CrashClone(rand.New(rand.NewPCG(uint64(from), 7))), 600)
	got, err := contents(t, again)
	require.NoError(t, err)
	for _, id := range []string{"a", "b"} {
		require.Len(t, got[id], int(records), "failing %d times from operation %d with %v", times, from, cause)
	}
	require.NoError(t, again.Close())
	return failures.Load() == 0
}

// TestCloseGivesUp: a log that can't write what it took closes all the same, and
// says so.
func TestCloseGivesUp(t *testing.T) {
	mem := fsx.NewMem()
	system := fsx.NewFault(mem, nil)
	l := openRetrying(t, system)
	fill(t, l, 2, "a")
	system.SetInject(func(op fsx.Op) error {
		if op.Kind == fsx.OpWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	require.ErrorIs(t, l.Stream("a").Append(1, 3, nil).Wait(t.Context()), oplog.ErrFull)
	require.ErrorIs(t, l.Close(), oplog.ErrFull)
	require.ErrorIs(t, l.Stream("a").Append(1, 4, nil).Err(), oplog.ErrFull)
	l = openLog(t, mem, 600)
	require.EqualValues(t, 2, l.Stream("a").Last().Seq)
	require.NoError(t, l.Close())
}

// TestReplacementIsVerified: when a sync fails and what was durable has rotted, the
// log doesn't carry the damage on.
func TestReplacementIsVerified(t *testing.T) {
	mem := fsx.NewMem()
	system := fsx.NewFault(mem, nil)
	l := openRetrying(t, system)
	fill(t, l, 2, "a")
	require.NoError(t, fsx.FlipBits(mem, logFiles(t, mem)[0], 150, 1))
	var failed atomic.Bool
	system.SetInject(func(op fsx.Op) error {
		if op.Kind == fsx.OpSync && failed.CompareAndSwap(false, true) {
			return syscall.EIO
		}
		return nil
	})
	require.ErrorIs(t, l.Stream("a").Append(1, 3, nil).Wait(t.Context()), oplog.ErrFailed)
	for !errors.Is(l.Err(), oplog.ErrCorrupted) {
		runtime.Gosched()
	}
	require.ErrorIs(t, l.Close(), oplog.ErrCorrupted)
}

// TestPowerCutDuringRepair lets a sync or write fail, and then the world end before
// each operation by which the log gets over it.
func TestPowerCutDuringRepair(t *testing.T) {
	for _, kind := range []fsx.OpKind{fsx.OpSync, fsx.OpWrite} {
		stopped := true
		for n := int64(1); stopped; n++ {
			stopped = stopDuringRepair(t, kind, n)
		}
	}
}

func stopDuringRepair(t *testing.T, kind fsx.OpKind, n int64) bool {
	t.Helper()
	mem := fsx.NewMem()
	system := fsx.NewFault(mem, nil)
	l := openRetrying(t, system)
	fill(t, l, 3, "a", "b")
	acked := map[string]uint64{"a": 3, "b": 3}
	var failed, stopped atomic.Bool
	var stop atomic.Int64
	system.SetInject(func(op fsx.Op) error {
		switch {
		case stopped.Load():
			return fsx.ErrStopped
		case op.Kind == kind && failed.CompareAndSwap(false, true):
			stop.Store(op.N + n)
			if kind == fsx.OpSync {
				if err := mem.FailSync(op.Path); err != nil {
					return err
				}
			}
			return syscall.EIO
		case failed.Load() && op.Kind.Changes() && op.N >= stop.Load():
			stopped.Store(true)
			return fsx.ErrStopped
		}
		return nil
	})
	for seq := uint64(4); seq < 12 && !stopped.Load(); seq++ {
		for _, id := range []string{"a", "b"} {
			ticket := l.Stream(id).Append(1, seq, fmt.Appendf(nil, "%s-%d", id, seq))
			for ticket.Refused() && !stopped.Load() {
				runtime.Gosched()
				ticket = l.Stream(id).Append(1, seq, fmt.Appendf(nil, "%s-%d", id, seq))
			}
			if ticket.Wait(t.Context()) == nil {
				acked[id] = seq
			}
		}
	}
	was := stopped.Load()
	stopped.Store(true)
	_ = l.Close() // ends its goroutine
	powerCuts(t, mem, acked, 5)
	powerCuts(t, mem.KillClone(), acked, 1)
	return was
}
