package shard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/fsx"
)

// A copy made under load, of which the original gives up all files meanwhile, goes on
// with the entries after its position and is then the same: by checksum and by its
// answers.
func TestExportUnderLoad(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var entries []Entry
	add := func(op Op) { entries = append(entries, entry(t, 1, uint64(len(entries)+1), op)) }
	add(upload(t, rng, 400))
	for range 8 {
		for _, op := range everyChange(t, rng) {
			add(op)
		}
	}
	source, target := fsx.NewMem(), fsx.NewMem()
	o := Options{
		FS: source, Dir: "shard", Replicated: true, Config: twoVectors(), CheckpointBytes: 1, CheckpointIdle: 1,
		Hooks: Hooks{Attachment: func() []byte { return []byte("owner's") }},
	}
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	applyAll(t, s, entries[:20]...)
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, e := range entries[20:] {
			if _, err := s.Apply(context.Background(), e); err != nil {
				t.Error(err)
			}
		}
	})
	e, err := s.Export(t.Context())
	require.NoError(t, err)
	wg.Wait()
	require.NoError(t, s.WaitApplied(t.Context(), uint64(len(entries))))
	require.NoError(t, s.Checkpoint(t.Context()))
	require.Equal(t, "owner's", string(e.Attachment))
	stage(t, e, target, "staging")
	_, err = e.Open("../MANIFEST")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	left, err := source.ReadDir("shard/export")
	require.NoError(t, err)
	require.Empty(t, left)

	require.NoError(t, Install(t.Context(), target, "staging", "shard", e.Files))
	copied := replicated(t, target, Options{})
	require.Equal(t, e.Position, copied.Flushed())
	require.Equal(t, "owner's", string(copied.attachment))
	require.NoError(t, copied.Verify(t.Context()))
	applyAll(t, copied, entries[e.Position.Seq:]...)
	sameShards(t, s, copied)
	require.NoError(t, s.Close())
}

// sameShards compares two replicas at the same position.
func sameShards(t *testing.T, a, b *Shard) {
	t.Helper()
	want, err := a.Checksum(t.Context())
	require.NoError(t, err)
	got, err := b.Checksum(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	p, v := withAll()
	msg := &pb.ScrollPoints{Limit: new(uint32(10_000)), WithPayload: p, WithVectors: v}
	page, err := a.Scroll(t.Context(), msg)
	require.NoError(t, err)
	other, err := b.Scroll(t.Context(), msg)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(page.Points), fmt.Sprint(other.Points))
	for i := range 10 {
		q := nearest(float32(i), 1, 2)
		q.Params = &pb.SearchParams{Exact: new(true)}
		mine, err := a.Query(t.Context(), q)
		require.NoError(t, err)
		others, err := b.Query(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, mine, others)
	}
}

// exported is a shard's export on a file system of its own, and what it has to be.
func exported(t *testing.T) (mem *fsx.Mem, files []File, want Checksum) {
	t.Helper()
	source := replicated(t, fsx.NewMem(), Options{Config: twoVectors(), Hooks: Hooks{Attachment: func() []byte { return []byte{1} }}})
	applyAll(t, source, entry(t, 1, 1, upload(t, rand.New(rand.NewPCG(3, 3)), 100)))
	require.NoError(t, source.Optimize(t.Context()))
	want, err := source.Checksum(t.Context())
	require.NoError(t, err)
	e, err := source.Export(t.Context())
	require.NoError(t, err)
	mem = fsx.NewMem()
	stage(t, e, mem, "node/staging")
	require.NoError(t, e.Close())
	return mem, e.Files, want
}

// At whatever step a crash comes: there is nothing, or what was there before, or all of
// the new one, durable; and trying again works as long as there is a staging directory.
func TestInstallSurvivesEveryCrash(t *testing.T) {
	staged, files, want := exported(t)
	old := replicatedOld(t, staged)
	rng := rand.New(rand.NewPCG(4, 4))
	outcomes := map[string]int{}
	for done, stop := false, int64(1); !done; stop++ {
		for range 8 {
			mem := staged.KillClone()
			fault := fsx.NewFault(mem, nil)
			fault.SetInject(fsx.StopAt(stop))
			done = Install(t.Context(), fault, "node/staging", "node/shard", files) == nil
			crashed := mem.CrashClone(rng)
			if rng.IntN(2) == 0 {
				crashed = mem.KillClone()
			}
			got := whatIsThere(t, crashed)
			switch {
			case done:
				require.Equal(t, &want, got)
			case got != nil && *got != want:
				require.Equal(t, &old, got)
			}
			outcomes[outcome(got, want, old)]++
			if _, err := crashed.Stat("node/staging/MANIFEST"); err == nil && !done && got == nil {
				// The files were made durable before the first step that shows.
				require.NoError(t, Install(t.Context(), crashed, "node/staging", "node/shard", files))
				require.Equal(t, &want, whatIsThere(t, crashed))
			}
		}
	}
	require.Len(t, outcomes, 3, "%v", outcomes)
}

func outcome(got *Checksum, want, old Checksum) string {
	switch {
	case got == nil:
		return "nothing"
	case *got == want:
		return "new"
	case *got == old:
		return "old"
	}
	return "something else"
}

// replicatedOld makes the shard that is in the way.
func replicatedOld(t *testing.T, mem *fsx.Mem) Checksum {
	t.Helper()
	s, err := Open(t.Context(), Options{FS: mem, Dir: "node/shard", Replicated: true, Manual: true, Config: twoVectors()})
	require.NoError(t, err)
	applyAll(t, s, entry(t, 1, 1, upload(t, rand.New(rand.NewPCG(8, 8)), 10)))
	sum, err := s.Checksum(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close())
	// What a node has done long ago is durable.
	for _, dir := range []string{"node/shard", "node/staging", "node"} {
		require.NoError(t, mem.SyncDir(dir))
	}
	return sum
}

// whatIsThere opens and verifies the shard, if there is one.
func whatIsThere(t *testing.T, mem *fsx.Mem) *Checksum {
	t.Helper()
	if _, err := mem.Stat("node/shard"); err != nil {
		return nil
	}
	s, err := Open(t.Context(), Options{FS: mem.KillClone(), Dir: "node/shard", Replicated: true, Manual: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Verify(t.Context()))
	sum, err := s.Checksum(t.Context())
	require.NoError(t, err)
	return &sum
}

// What isn't exactly the export isn't installed, and what is there stays.
func TestInstallRefuses(t *testing.T) {
	staged, files, _ := exported(t)
	old := replicatedOld(t, staged)
	refused := func(why string, mem *fsx.Mem, files []File) {
		err := Install(t.Context(), mem, "node/staging", "node/shard", files)
		require.Error(t, err, why)
		require.Equal(t, &old, whatIsThere(t, mem), why)
	}
	rng := rand.New(rand.NewPCG(4, 4))
	for _, f := range files {
		name := path.Join("node/staging", f.Name)
		for range 5 {
			mem := staged.KillClone()
			require.NoError(t, fsx.FlipBits(mem, name, rng.Int64N(f.Size), 1<<rng.IntN(8)))
			refused("flipped byte of "+f.Name, mem, files)
		}
		mem := staged.KillClone()
		file, err := mem.OpenWrite(name)
		require.NoError(t, err)
		require.NoError(t, file.Truncate(f.Size-1))
		require.NoError(t, file.Close())
		refused("cut "+f.Name, mem, files)
		mem = staged.KillClone()
		require.NoError(t, mem.Remove(name))
		refused("without "+f.Name, mem, files)
		var others []File
		for _, g := range files {
			if g.Name != f.Name {
				others = append(others, g)
			}
		}
		refused("an export without "+f.Name, staged.KillClone(), others)
	}
	refused("an export with more", staged.KillClone(), append(slices.Clip(files), File{Name: "more.seg"}))
	other, otherFiles, _ := exportedOther(t)
	err := Install(t.Context(), other, "node/staging", "node/shard", files)
	require.ErrorIs(t, err, segment.ErrCorrupted, "another export")
	require.NoError(t, Install(t.Context(), other, "node/staging", "node/shard", otherFiles))
}

func exportedOther(t *testing.T) (*fsx.Mem, []File, Checksum) {
	t.Helper()
	source := replicated(t, fsx.NewMem(), Options{Config: twoVectors()})
	applyAll(t, source, entry(t, 1, 1, upload(t, rand.New(rand.NewPCG(6, 3)), 10)))
	e, err := source.Export(t.Context())
	require.NoError(t, err)
	mem := fsx.NewMem()
	stage(t, e, mem, "node/staging")
	require.NoError(t, e.Close())
	sum, err := source.Checksum(t.Context())
	require.NoError(t, err)
	return mem, e.Files, sum
}

// What a crash leaves of exports goes when the shard is opened.
func TestOpenDropsExports(t *testing.T) {
	mem := fsx.NewMem()
	s := replicated(t, mem, Options{})
	applyAll(t, s, entry(t, 1, 1, upsertOf(t, numbered(1, dense(1, 2)))))
	for range 2 {
		_, err := s.Export(t.Context())
		require.NoError(t, err)
	}
	left, err := mem.ReadDir("shard/export")
	require.NoError(t, err)
	require.Len(t, left, 2)
	killed := mem.KillClone()
	again := replicated(t, killed, Options{})
	require.EqualValues(t, 1, again.Info().Points)
	_, err = killed.Stat("shard/export")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// An export that fails leaves nothing, and the shard goes on.
func TestExportFails(t *testing.T) {
	mem := fsx.NewMem()
	fault := fsx.NewFault(mem, nil)
	s := replicated(t, fault, Options{})
	applyAll(t, s, entry(t, 1, 1, upsertOf(t, numbered(1, dense(1, 2)))))
	links := 0
	fault.SetInject(func(op fsx.Op) error {
		if op.Kind == fsx.OpLink {
			if links++; links == 2 {
				return errors.New("too many links")
			}
		}
		return nil
	})
	_, err := s.Export(t.Context())
	require.ErrorContains(t, err, "too many links")
	require.Equal(t, 2, links)
	left, err := mem.ReadDir("shard/export")
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, s.Err())
	fault.SetInject(nil)
	e, err := s.Export(t.Context())
	require.NoError(t, err)
	for _, f := range e.Files {
		require.NotContains(t, f.Name, "/")
	}
	require.NoError(t, e.Close())
}
