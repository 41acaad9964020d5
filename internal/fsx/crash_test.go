package fsx_test

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/internal/fsx"
)

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := fsx.NewMem()
		require.NoError(rt, m.MkdirAll("/d"))
		f, err := m.Create("/d/log")
		require.NoError(rt, err)
		require.NoError(rt, m.SyncDir("/d"))
		var synced, written []byte
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			chunk := bytes.Repeat([]byte{byte(len(written)) | 1}, rapid.IntRange(1, 2000).Draw(rt, "bytes"))
			_, err := f.Write(chunk)
			require.NoError(rt, err)
			written = append(written, chunk...)
			if rapid.Bool().Draw(rt, "sync") {
				require.NoError(rt, f.Sync())
				synced = append(synced[:0], written...)
			}
		}
		killed := read(rt, m.KillClone(), "/d/log")
		require.Equal(rt, string(written), killed)

		crashed := read(rt, m.CrashClone(rng(rapid.Uint64().Draw(rt, "seed"))), "/d/log")
		require.GreaterOrEqual(rt, len(crashed), len(synced))
		require.LessOrEqual(rt, len(crashed), len(written))
		require.Equal(rt, string(synced), crashed[:len(synced)])
		for i := len(synced); i < len(crashed); i++ {
			require.True(rt, crashed[i] == 0 || crashed[i] == written[i], "byte %d was never written", i)
		}
	})
}

// TestCrashOutcomes: each thing a power cut may do to unsynced data happens for
// some seed, and what a kill may not do happens for none.
func TestCrashOutcomes(t *testing.T) {
	m := fsx.NewMem()
	require.NoError(t, m.MkdirAll("/d"))
	write(t, m, "/d/old", "old")
	require.NoError(t, m.SyncDir("/d"))
	write(t, m, "/d/new", "new")
	require.NoError(t, m.Rename("/d/old", "/d/moved"))
	f, err := m.Create("/d/torn")
	require.NoError(t, err)
	_, err = f.Write(bytes.Repeat([]byte{1}, 3000))
	require.NoError(t, err)

	seen := map[string]bool{}
	for seed := range uint64(300) {
		c := m.CrashClone(rng(seed))
		exists := func(name string) bool { _, err := c.Stat(name); return err == nil }
		require.NotEqual(t, exists("/d/old"), exists("/d/moved"), "a rename happens whole or not at all")
		seen["moved"] = seen["moved"] || exists("/d/moved")
		seen["not moved"] = seen["not moved"] || exists("/d/old")
		seen["created name lost"] = seen["created name lost"] || !exists("/d/new")
		seen["created name kept"] = seen["created name kept"] || exists("/d/new")
		if exists("/d/torn") {
			b := read(t, c, "/d/torn")
			kept := bytes.Count([]byte(b), []byte{1})
			seen["all bytes"] = seen["all bytes"] || kept == 3000
			seen["no bytes"] = seen["no bytes"] || len(b) == 0
			seen["short"] = seen["short"] || kept == len(b) && kept > 0 && kept < 3000
			seen["holes"] = seen["holes"] || kept > 0 && kept < len(b)
		}
	}
	for _, outcome := range []string{
		"moved", "not moved", "created name lost", "created name kept", "all bytes", "no bytes", "short", "holes",
	} {
		require.True(t, seen[outcome], outcome)
	}
}

func TestCrashSameSeedSameResult(t *testing.T) {
	m := fsx.NewMem()
	for _, name := range []string{"/a", "/b", "/c"} {
		write(t, m, name, name)
		f, err := m.OpenWrite(name)
		require.NoError(t, err)
		_, err = f.Write(make([]byte, 5000))
		require.NoError(t, err)
	}
	for seed := range uint64(20) {
		first := side{m.CrashClone(rng(seed)), ""}.tree(t, "/")
		require.Equal(t, first, side{m.CrashClone(rng(seed)), ""}.tree(t, "/"))
	}
}

func TestKilledThenPowerCut(t *testing.T) {
	m := fsx.NewMem()
	require.NoError(t, m.SyncDir("/"))
	f, err := m.Create("/a")
	require.NoError(t, err)
	_, err = f.Write([]byte("unsynced"))
	require.NoError(t, err)
	killed := m.KillClone()
	require.Equal(t, "unsynced", read(t, killed, "/a"))
	lost := 0
	for seed := range uint64(50) {
		if _, err := killed.CrashClone(rng(seed)).Stat("/a"); err != nil {
			require.ErrorIs(t, err, fs.ErrNotExist)
			lost++
		}
	}
	require.Positive(t, lost, "a kill makes nothing durable")
}

func TestFailedSyncLosesWhatIsNotWrittenAgain(t *testing.T) {
	for _, again := range []bool{false, true} {
		m := fsx.NewMem()
		require.NoError(t, m.SyncDir("/"))
		write(t, m, "/a", "good")
		require.NoError(t, m.SyncDir("/"))
		f, err := m.OpenWrite("/a")
		require.NoError(t, err)
		_, err = f.Write([]byte("lost"))
		require.NoError(t, err)
		require.NoError(t, m.FailSync("/a"))
		require.Equal(t, "goodlost", read(t, m, "/a"))
		want := "good\x00\x00\x00\x00"
		if again {
			_, err := f.WriteAt([]byte("lost"), 4)
			require.NoError(t, err)
			want = "goodlost"
		}
		require.NoError(t, f.Sync())
		require.Equal(t, want, read(t, m.CrashClone(rng(1)), "/a"))
	}
}

func TestWriteAtomicSurvivesEveryCrash(t *testing.T) {
	for n := int64(1); ; n++ {
		mem := fsx.NewMem()
		require.NoError(t, fsx.WriteAtomic(mem, "/a", []byte("old")))
		fault := fsx.NewFault(mem, fsx.StopAt(n))
		err := fsx.WriteAtomic(fault, "/a", []byte("new"))
		for seed := range uint64(30) {
			got := read(t, mem.CrashClone(rng(seed)), "/a")
			if err == nil {
				require.Equal(t, "new", got)
			} else {
				require.Contains(t, []string{"old", "new"}, got)
			}
		}
		if err == nil {
			require.Greater(t, n, int64(5), "an operation that could have been interrupted")
			return
		}
		require.ErrorIs(t, err, fsx.ErrStopped)
	}
}

func TestFault(t *testing.T) {
	full := fs.ErrPermission
	f := fsx.NewFault(fsx.NewMem(), func(op fsx.Op) error {
		if op.Kind == fsx.OpWrite && op.Path == "/a" {
			return &fsx.ShortWrite{N: 3, Err: full}
		}
		return nil
	})
	a, err := f.Create("/a")
	require.NoError(t, err)
	n, err := a.Write([]byte("hello"))
	require.ErrorIs(t, err, full)
	require.Equal(t, 3, n)
	require.Equal(t, "hel", read(t, f, "/a"))
	write(t, f, "/b", "hello")

	changes := f.Changes()
	_ = read(t, f, "/b")
	require.Equal(t, changes, f.Changes(), "reading changes nothing")

	f.SetInject(fsx.StopAt(changes + 2))
	require.NoError(t, f.Remove("/a"))
	require.ErrorIs(t, f.Remove("/b"), fsx.ErrStopped)
	_, err = f.Stat("/b")
	require.ErrorIs(t, err, fsx.ErrStopped, "after the stop nothing works")
	require.Equal(t, "sync-dir", fsx.OpSyncDir.String())
}
