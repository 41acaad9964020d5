package oplog_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// gathered writes the records of all streams as one batch: its first sync waits
// until the others are queued.
func gathered(t *testing.T, mem *fsx.Mem, batches int, ids ...string) {
	t.Helper()
	hold, arrived := make(chan struct{}), make(chan struct{}, 1000)
	system := fsx.NewFault(mem, func(op fsx.Op) error {
		if op.Kind == fsx.OpSync {
			select {
			case arrived <- struct{}{}:
			default:
			}
			<-hold
		}
		return nil
	})
	close(hold)
	l := openLog(t, system, 1<<20)
	for range batches {
		hold = make(chan struct{})
		for len(arrived) > 0 {
			<-arrived
		}
		plug := l.Stream("plug")
		tickets := []*oplog.Ticket{plug.Append(1, plug.Last().Seq+1, []byte("plug"))}
		<-arrived
		for range 2 {
			for _, id := range ids {
				s := l.Stream(id)
				seq := s.Last().Seq + 1
				tickets = append(tickets, s.Append(1, seq, fmt.Appendf(nil, "%s-%d-%s", id, seq, "some data")))
			}
		}
		close(hold)
		for _, ticket := range tickets {
			require.NoError(t, ticket.Wait(t.Context()))
		}
	}
	require.NoError(t, l.Close())
}

// read reads one stream whole.
func read(t *testing.T, l *oplog.Log, id string) (out []string, err error) {
	t.Helper()
	s := l.Stream(id)
	err = s.Read(t.Context(), s.First(), func(r oplog.Record) error {
		out = append(out, string(r.Data))
		return nil
	})
	return out, err
}

// TestDamageOfOneStream: a flipped byte in the newest file is the affair of the
// stream that it belongs to, wherever that can be told.
func TestDamageOfOneStream(t *testing.T) {
	mem := fsx.NewMem()
	gathered(t, mem, 3, "one", "two", "three")
	name := logFiles(t, mem)[0]
	content, err := fsx.ReadFile(mem, name)
	require.NoError(t, err)
	for _, victim := range []string{"two-4-", "two-3-", "two-5-", "two-6-"} {
		damaged := mem.KillClone()
		require.NoError(t, fsx.FlipBits(damaged, name, int64(bytes.Index(content, []byte(victim)))+8, 4))
		// The same must be known after another opening, and when the file is sealed.
		for fileSize := int64(1 << 20); fileSize > 100; fileSize /= 20 {
			l := openLog(t, damaged, fileSize)
			for _, id := range []string{"one", "three", "plug"} {
				got, err := read(t, l, id)
				require.NoError(t, err, "%s is damaged, %s isn't", victim, id)
				require.Len(t, got, int(l.Stream(id).Last().Seq))
			}
			got, err := read(t, l, "two")
			require.ErrorIs(t, err, oplog.ErrCorrupted, victim)
			require.Len(t, got, int(victim[4]-'1'), "what lies before can be read")
			require.EqualValues(t, 6, l.Stream("two").Last().Seq, "nothing is forgotten")
			after, err := read(t, openSecond(t, damaged), "three")
			require.NoError(t, err)
			require.NotEmpty(t, after)
			fill(t, l, 3, "one", "three", "plug")
			require.NoError(t, l.Close())
		}
		// Who needs nothing of the damaged batch reads on behind it.
		l, n := openLog(t, damaged, 0), 0
		from := (int(victim[4]-'0')+1)/2*2 + 1 // two records of a stream in a batch
		require.NoError(t, l.Stream("two").Read(t.Context(), uint64(from), func(oplog.Record) error { n++; return nil }))
		require.Equal(t, 7-from, n)
		require.NoError(t, l.Close())
	}
}

// openSecond opens a copy, beside the log that is open.
func openSecond(t *testing.T, mem *fsx.Mem) *oplog.Log {
	t.Helper()
	l := openLog(t, mem.KillClone(), 0)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// TestNoFlippedByteIsServed flips each byte of the newest file, with batches of
// several streams and all kinds of records: the log opens, each stream is complete or
// says that it is corrupted, and of a batch only one is. Opening again tells the same.
func TestNoFlippedByteIsServed(t *testing.T) {
	mem := fsx.NewMem()
	gathered(t, mem, 2, "one", "two", "gone")
	l := openLog(t, mem, 1<<20)
	require.NoError(t, l.Stream("one").TruncateAfter(t.Context(), 3))
	require.NoError(t, l.Stream("gone").Drop(t.Context()))
	require.NoError(t, l.Close())
	gathered(t, mem, 2, "one", "two", "three")
	l = openLog(t, mem.KillClone(), 0)
	want, err := contents(t, l)
	require.NoError(t, err)
	require.Len(t, want, 4)
	require.NoError(t, l.Close())
	name := logFiles(t, mem)[0]
	st, err := mem.Stat(name)
	require.NoError(t, err)
	hurt := 0
	for off := range st.Size() {
		damaged := mem.KillClone()
		require.NoError(t, fsx.FlipBits(damaged, name, off, 1<<(off%8)))
		var first map[string]string
		for range 2 {
			failures := corrupted(t, damaged, want, off)
			require.LessOrEqual(t, len(failures), 1, "byte %d", off)
			if first == nil {
				first = failures
			}
			require.Equal(t, first, failures, "byte %d", off)
		}
		hurt += len(first)
	}
	require.Greater(t, hurt, 500, "damaged records are found")
	require.Less(t, hurt, int(st.Size()), "damage of headers and directories hurts nobody")
}

// corrupted opens a log with a damaged byte and returns the streams that can't be
// read whole. All others have what is wanted.
func corrupted(t *testing.T, damaged *fsx.Mem, want map[string][]string, off int64) map[string]string {
	t.Helper()
	l, err := oplog.Open(oplog.Options{FS: damaged, Dir: "/log"})
	require.NoError(t, err, "byte %d", off)
	defer func() { require.NoError(t, l.Close()) }()
	require.Len(t, l.Streams(), len(want), "byte %d", off)
	out := map[string]string{}
	for id, records := range want {
		require.Contains(t, l.Streams(), id, "byte %d", off)
		got, err := read(t, l, id)
		if err != nil {
			require.ErrorIs(t, err, oplog.ErrCorrupted, "byte %d", off)
			out[id] = err.Error()
			continue
		}
		require.Len(t, got, len(records), "byte %d, stream %s", off, id)
	}
	return out
}

// TestDamageOfHeaderAndRecords: a damaged batch of which the header is damaged too is
// known by its directory.
func TestDamageOfHeaderAndRecords(t *testing.T) {
	mem := fsx.NewMem()
	gathered(t, mem, 3, "one", "two", "three")
	name := logFiles(t, mem)[0]
	content, err := fsx.ReadFile(mem, name)
	require.NoError(t, err)
	record := bytes.Index(content, []byte("two-3-"))
	header := bytes.LastIndex(content[:record], []byte("SXBT"))
	for off := range 36 {
		damaged := mem.KillClone()
		require.NoError(t, fsx.FlipBits(damaged, name, int64(header+off), 0xff))
		require.NoError(t, fsx.FlipBits(damaged, name, int64(record), 0xff))
		for range 2 {
			l := openLog(t, damaged, 0)
			for _, id := range []string{"one", "three", "plug"} {
				_, err := read(t, l, id)
				require.NoError(t, err, "byte %d, stream %s", off, id)
			}
			got, err := read(t, l, "two")
			require.ErrorIs(t, err, oplog.ErrCorrupted)
			require.Len(t, got, 2)
			fill(t, l, 2, "one", "two")
			require.NoError(t, l.Close())
		}
	}
}
