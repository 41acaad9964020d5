package segment_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/fsx"
)

func TestManifestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDir(rt)
		want := &segment.Manifest{
			Epoch: rapid.Uint64().Draw(rt, "epoch"), Seq: rapid.Uint64().Draw(rt, "seq"),
			Chain: rapid.Uint64().Draw(rt, "chain"), NextDoc: rapid.Uint32().Draw(rt, "next"),
			Config: rapid.SliceOf(rapid.Byte()).Draw(rt, "config"), Files: map[string][]segment.FileInfo{},
		}
		if len(want.Config) == 0 {
			want.Config = nil
		}
		for component := range rapid.MapOf(rapid.String(), rapid.Just(true)).Draw(rt, "components") {
			files := []segment.FileInfo{}
			for range rapid.IntRange(0, 3).Draw(rt, "files") {
				files = append(files, writeFile(rt, d, rapid.IntRange(0, 100).Draw(rt, "length")))
			}
			want.Files[component] = files
		}
		require.NoError(rt, d.Store(want))
		got, err := (&segment.Dir{FS: d.FS, Path: d.Path}).Load()
		require.NoError(rt, err)
		if len(got.Config) == 0 {
			got.Config = nil
		}
		require.Equal(rt, want, got)
	})
}

func TestEveryFlippedBitOfTheManifestIsFound(t *testing.T) {
	d := newDir(t)
	m := &segment.Manifest{Seq: 5, Config: []byte("config"), Files: map[string][]segment.FileInfo{"a": {writeFile(t, d, 10)}}}
	require.NoError(t, d.Store(m))
	name := d.Path + "/MANIFEST"
	content, err := fsx.ReadFile(d.FS, name)
	require.NoError(t, err)
	before := list(t, d)
	for off := range content {
		require.NoError(t, fsx.FlipBits(d.FS, name, int64(off), 1<<(off%8)))
		_, err := d.Load()
		require.ErrorIs(t, err, segment.ErrCorrupted, "byte %d", off)
		require.NoError(t, fsx.FlipBits(d.FS, name, int64(off), 1<<(off%8)))
	}
	for n := range content {
		require.NoError(t, fsx.WriteAtomic(d.FS, name, content[:n]))
		_, err := d.Load()
		require.ErrorIs(t, err, segment.ErrCorrupted, "cut to %d", n)
	}
	require.Equal(t, before, list(t, d), "a damaged manifest is no reason to remove files")
}

func TestLoadRefusesADamagedShard(t *testing.T) {
	d := newDir(t)
	_, err := d.Load()
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NotErrorIs(t, err, segment.ErrCorrupted)

	info := writeFile(t, d, 10)
	_, err = d.Load()
	require.ErrorIs(t, err, segment.ErrCorrupted, "files without a manifest")
	require.Len(t, list(t, d), 1)

	m := &segment.Manifest{Files: map[string][]segment.FileInfo{"a": {info}}}
	require.NoError(t, d.Store(m))
	content, err := fsx.ReadFile(d.FS, d.Path+"/"+info.Name)
	require.NoError(t, err)
	require.NoError(t, fsx.WriteAtomic(d.FS, d.Path+"/"+info.Name, content[:50]))
	_, err = d.Load()
	require.ErrorIs(t, err, segment.ErrCorrupted, "a shortened file")
	require.NoError(t, d.FS.Remove(d.Path+"/"+info.Name))
	_, err = d.Load()
	require.ErrorIs(t, err, segment.ErrCorrupted, "a missing file")
	require.ErrorContains(t, err, info.Name)
}

func TestStoreRefusesWhatIsNotFinished(t *testing.T) {
	d := newDir(t)
	for _, name := range []string{"a-00000000.seg", "../a.seg", "MANIFEST", ""} {
		m := &segment.Manifest{Files: map[string][]segment.FileInfo{"a": {{Name: name, Size: 1}}}}
		require.Error(t, d.Store(m), name)
	}
	require.Empty(t, list(t, d))
}

func TestDeadFilesAndOrphans(t *testing.T) {
	d := newDir(t)
	a, b, c := writeFile(t, d, 1), writeFile(t, d, 2), writeFile(t, d, 3)
	store := func(files ...segment.FileInfo) error {
		return d.Store(&segment.Manifest{Files: map[string][]segment.FileInfo{"x": files}})
	}
	require.NoError(t, store(a, b))
	require.NoError(t, d.Discard(a))
	require.Contains(t, list(t, d), a.Name, "a live file isn't discarded")
	require.NoError(t, store(b))
	require.Contains(t, list(t, d), a.Name, "dead files wait for RemoveDead")

	fault := fsx.NewFault(d.FS, func(op fsx.Op) error {
		if op.Kind == fsx.OpSyncDir {
			return errors.New("input/output error")
		}
		return nil
	})
	under := d.FS
	d.FS = fault
	require.Error(t, store(a), "the new manifest may be in force")
	require.NoError(t, d.RemoveDead())
	require.Equal(t, []string{"MANIFEST", a.Name, b.Name, c.Name}, list(t, d), "so both manifests' files stay")
	d.FS = under
	require.NoError(t, store(b))
	require.NoError(t, d.RemoveDead())
	require.Equal(t, []string{"MANIFEST", b.Name, c.Name}, list(t, d))

	_, err := (&segment.Dir{FS: d.FS, Path: d.Path}).Load()
	require.NoError(t, err)
	require.Equal(t, []string{"MANIFEST", b.Name}, list(t, d), "c was never named")
	again := writeFile(t, &segment.Dir{FS: d.FS, Path: d.Path}, 4)
	require.NotEqual(t, b.Name, again.Name)
	require.NoError(t, d.Discard(again))
	require.NotContains(t, list(t, d), again.Name)
}

// TestManifestSurvivesEveryCrash runs checkpoints, ends the world before every
// single operation by kill or by power cut, and looks at what is left.
func TestManifestSurvivesEveryCrash(t *testing.T) {
	for n := int64(1); ; n++ {
		mem := fsx.NewMem()
		require.NoError(t, mem.MkdirAll("/shard"))
		d := &segment.Dir{FS: fsx.NewFault(mem, fsx.StopAt(n)), Path: "/shard"}
		acknowledged, err := checkpoints(d, 4)
		if err == nil {
			require.Greater(t, n, int64(30))
			return
		}
		require.ErrorIs(t, err, fsx.ErrStopped)
		inspect(t, mem.KillClone(), acknowledged, n)
		killed := mem.KillClone()
		_, _ = (&segment.Dir{FS: killed, Path: "/shard"}).Load()
		for seed := range uint64(6) {
			inspect(t, killed.CrashClone(rand.New(rand.NewPCG(seed, uint64(n)))), acknowledged, n)
		}
		for seed := range uint64(6) {
			inspect(t, mem.CrashClone(rand.New(rand.NewPCG(seed, uint64(n)))), acknowledged, n)
		}
	}
}

// checkpoints stores rounds manifests, of which the i-th keeps the first file,
// drops the one before and adds a new one, and returns the number of the last
// that was stored.
func checkpoints(d *segment.Dir, rounds int) (stored uint64, err error) {
	if err := d.Store(&segment.Manifest{}); err != nil {
		return 0, err
	}
	var first, last segment.FileInfo
	for i := range uint64(rounds) {
		w, err := d.Create("part", "test", 1)
		if err != nil {
			return stored, err
		}
		_, _ = fmt.Fprintf(w.Section(1), "round %d %s", i+1, strings.Repeat("x", 1000))
		last, err = w.Finish()
		if err != nil {
			return stored, err
		}
		if i == 0 {
			first = last
		}
		m := &segment.Manifest{Seq: i + 1, Files: map[string][]segment.FileInfo{"parts": {first, last}}}
		if err := d.Store(m); err != nil {
			return stored, err
		}
		stored = i + 1
		if err := d.RemoveDead(); err != nil {
			return stored, err
		}
	}
	return stored, nil
}

// inspect opens what a crash left: the manifest must be the acknowledged one or
// the one after it, with all its files sound and nothing else around, and
// the shard must go on working.
func inspect(t *testing.T, system fsx.FS, acknowledged uint64, n int64) {
	t.Helper()
	d := &segment.Dir{FS: system, Path: "/shard"}
	m, err := d.Load()
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, segment.ErrCorrupted) {
		require.Zero(t, acknowledged, "stop %d", n)
		require.Empty(t, slices.DeleteFunc(list(t, d), func(s string) bool { return strings.HasSuffix(s, ".tmp") }))
		return
	}
	require.NoError(t, err, "stop %d", n)
	require.GreaterOrEqual(t, m.Seq, acknowledged, "stop %d", n)
	require.LessOrEqual(t, m.Seq, acknowledged+1, "stop %d", n)
	want := map[string]bool{"MANIFEST": true}
	for i, f := range m.Files["parts"] {
		want[f.Name] = true
		r, err := d.Open(f, "test", 1)
		require.NoError(t, err)
		require.NoError(t, r.VerifyAll(t.Context()))
		s, err := r.Section(1)
		require.NoError(t, err)
		round := []uint64{1, m.Seq}[i]
		require.True(t, strings.HasPrefix(string(s.Bytes()), fmt.Sprintf("round %d ", round)))
		require.NoError(t, r.Close())
	}
	for _, name := range list(t, d) {
		require.True(t, want[name], "stop %d: orphan %s", n, name)
	}
	_, err = checkpoints(d, 2)
	require.NoError(t, err)
}
