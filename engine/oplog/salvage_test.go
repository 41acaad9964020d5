package oplog_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// batchesOf returns where the batches of a log file begin and end, without the snapshot.
func batchesOf(content []byte) (spans [][2]int) {
	at := bytes.Index(content, []byte("SXBT"))
	for at >= 0 {
		next := bytes.Index(content[at+4:], []byte("SXBT"))
		end := len(content)
		if next >= 0 {
			next += at + 4
			end = next
		}
		spans = append(spans, [2]int{at, end})
		at = next
	}
	return spans[1:]
}

func salvage(t *testing.T, system fsx.FS, expect ...string) *oplog.Log {
	t.Helper()
	l, err := oplog.Open(oplog.Options{FS: system, Dir: "/log", FileSize: 700, Salvage: true, Expect: expect})
	require.NoError(t, err)
	return l
}

// blank overwrites a stretch of a file.
func blank(t *testing.T, mem *fsx.Mem, name string, span [2]int) {
	t.Helper()
	f, err := mem.OpenWrite(name)
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, span[1]-span[0]), int64(span[0]))
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func TestALostBatchHurtsOnlyWhomItMay(t *testing.T) {
	mem := fsx.NewMem()
	l := openLog(t, mem, 0)
	fill(t, l, 2, "goes on", "lost one", "was idle")
	fill(t, l, 1, "lost one") // batch 6
	fill(t, l, 1, "goes on", "lost one", "new")
	require.NoError(t, l.Close())
	name := logFiles(t, mem)[0]
	content, err := fsx.ReadFile(mem, name)
	require.NoError(t, err)
	var records [][2]int
	for _, span := range batchesOf(content) {
		if span[1]-span[0] > 36 { // no mark
			records = append(records, span)
		}
	}
	blank(t, mem, name, records[6])
	_, err = oplog.Open(oplog.Options{FS: mem.KillClone(), Dir: "/log"})
	require.ErrorIs(t, err, oplog.ErrCorrupted, "whoever didn't ask for it doesn't get it")

	expect := []string{"goes on", "lost one", "was idle", "new", "unheard of"}
	for range 3 { // and every time again, with another newest file
		l = salvage(t, mem, expect...)
		expect = nil // that is remembered
		require.ErrorIs(t, l.Lost(), oplog.ErrCorrupted)
		got, err := read(t, l, "goes on")
		require.NoError(t, err)
		require.Equal(t, []string{"goes on-1", "goes on-2", "goes on-3"}, got[:3])
		got, err = read(t, l, "lost one")
		require.ErrorIs(t, err, oplog.ErrCorrupted)
		require.Equal(t, []string{"lost one-1", "lost one-2"}, got)
		require.EqualValues(t, 4, l.Stream("lost one").Last().Seq)
		got, err = read(t, l, "was idle")
		require.ErrorIs(t, err, oplog.ErrCorrupted, "it may have had one")
		require.Equal(t, []string{"was idle-1", "was idle-2"}, got)
		got, err = read(t, l, "new")
		require.NoError(t, err)
		require.Equal(t, "new-1", got[0])
		require.Positive(t, l.Stream("unheard of").Last().Seq)
		require.ErrorIs(t, l.Stream("unheard of").Read(t.Context(), 1, func(oplog.Record) error { return nil }), oplog.ErrReleased)
		fill(t, l, 4, "goes on", "new")
		require.NoError(t, l.Close())
	}
	// What begins anew is whole.
	l = salvage(t, mem)
	require.NoError(t, l.Stream("was idle").Reset(t.Context(), oplog.Position{Epoch: 1, Seq: 7}))
	fill(t, l, 1, "was idle")
	got, err := read(t, l, "was idle")
	require.NoError(t, err)
	require.Equal(t, []string{"was idle-8"}, got)
	require.NoError(t, l.Close())
}

// TestWhateverIsLostIsMissed blanks each batch of random logs: what a stream gives is a part of what it
// had, and it is complete unless reading says otherwise; now, after another opening, and after more was written.
func TestWhateverIsLostIsMissed(t *testing.T) {
	runs := 8
	if testing.Short() {
		runs = 2
	}
	opened := 0
	for seed := range runs {
		rng := rand.New(rand.NewPCG(uint64(seed), 5))
		mem := fsx.NewMem()
		had := randomLife(t, mem, rng)
		for i, name := range logFiles(t, mem) {
			content, err := fsx.ReadFile(mem, name)
			require.NoError(t, err)
			for j, span := range batchesOf(content) {
				what := fmt.Sprintf("seed %d, file %d, batch %d", seed, i, j)
				damaged := mem.KillClone()
				blank(t, damaged, name, span)
				now := maps.Clone(had)
				for range 2 {
					l, err := oplog.Open(oplog.Options{
						FS: damaged, Dir: "/log", FileSize: 700, Salvage: true, Expect: slices.Collect(maps.Keys(now)),
					})
					if err != nil {
						require.ErrorIs(t, err, oplog.ErrCorrupted, what)
						break
					}
					opened++
					requireNoneMissed(t, l, now, what)
					require.NoError(t, l.Close())
				}
			}
		}
	}
	require.Greater(t, opened, 10*runs)
}

// randomLife fills a log with batches of some streams, and returns what each of them has.
func randomLife(t *testing.T, mem *fsx.Mem, rng *rand.Rand) map[string][]string {
	t.Helper()
	l := openLog(t, mem, 700)
	had := map[string][]string{}
	for range 25 {
		id := fmt.Sprint("s", rng.IntN(4))
		s := l.Stream(id)
		switch n := rng.IntN(10); {
		case n == 0 && len(had[id]) > 0:
			keep := rng.IntN(len(had[id])) + 1
			require.NoError(t, s.TruncateAfter(t.Context(), uint64(keep)))
			had[id] = slices.Clone(had[id][:keep])
		case n == 1 && len(had[id]) > 0:
			require.NoError(t, s.Drop(t.Context()))
			delete(had, id)
		default:
			data := fmt.Sprint(id, " ", rng.Uint32())
			require.NoError(t, s.Append(1, s.Last().Seq+1, []byte(data)).Wait(t.Context()))
			had[id] = append(slices.Clone(had[id]), data)
		}
	}
	require.NoError(t, l.Close())
	return had
}

// requireNoneMissed reads all streams that a log should have, from every record on.
func requireNoneMissed(t *testing.T, l *oplog.Log, had map[string][]string, what string) {
	t.Helper()
	for id, want := range had {
		s := l.Stream(id)
		require.NotZero(t, s.Last().Seq, "%s: stream %s is forgotten", what, id)
		for from := range want {
			var got []string
			err := s.Read(t.Context(), uint64(from+1), func(r oplog.Record) error {
				got = append(got, string(r.Data))
				return nil
			})
			if err == nil {
				require.Equal(t, want[from:], got, "%s: stream %s from %d", what, id, from+1)
				continue
			}
			require.True(t, errors.Is(err, oplog.ErrCorrupted) || errors.Is(err, oplog.ErrReleased), "%s: stream %s: %v", what, id, err)
		}
		// Who has everything up to the last record of before must not take the log for complete, if that
		// is another one.
		if last := s.Last(); last.Seq > uint64(len(want)) {
			require.Zero(t, last.Chain, "%s: stream %s", what, id)
		}
	}
}
