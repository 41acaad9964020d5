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

// TestNoFlippedByteIsServed flips each byte of a file with batches of several
// streams: either the log doesn't open, or each stream is complete or says that it
// is corrupted, and some of the former were spared.
func TestNoFlippedByteIsServed(t *testing.T) {
	mem := fsx.NewMem()
	gathered(t, mem, 3, "one", "two")
	l := openLog(t, mem.KillClone(), 0)
	want, err := contents(t, l)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	name := logFiles(t, mem)[0]
	st, err := mem.Stat(name)
	require.NoError(t, err)
	spared := 0
	for off := range st.Size() {
		damaged := mem.KillClone()
		require.NoError(t, fsx.FlipBits(damaged, name, off, 1<<(off%8)))
		l, err := oplog.Open(oplog.Options{FS: damaged, Dir: "/log"})
		if err != nil {
			require.ErrorIs(t, err, oplog.ErrCorrupted, "byte %d", off)
			continue
		}
		corrupted := 0
		require.Len(t, l.Streams(), len(want))
		for id, records := range want {
			got, err := read(t, l, id)
			if err != nil {
				require.ErrorIs(t, err, oplog.ErrCorrupted, "byte %d", off)
				corrupted++
				continue
			}
			require.Len(t, got, len(records), "byte %d, stream %s", off, id)
		}
		if corrupted == 1 {
			spared++
		}
		require.NoError(t, l.Close())
	}
	require.Positive(t, spared)
}
