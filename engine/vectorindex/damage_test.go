package vectorindex

import (
	"errors"
	"math/rand/v2"
	"path"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/fsx"
)

// complete makes an index with every kind of file: full and partial chunks, codes,
// a graph.
func complete(t *testing.T) *fixture {
	t.Helper()
	cfg := Config{Dim: 6, Distance: vector.Dot, IndexingThresholdKB: 1, FullScanThresholdKB: -1, M: 4, EfConstruct: 16, VacuumMin: 100}
	f := newFixture(t, cfg)
	rng := rand.New(rand.NewPCG(7, 7))
	for doc := range uint32(400) {
		f.upsert(doc, randomVector(rng, cfg))
	}
	f.settle()
	f.delete(5)
	f.checkpoint()
	return f
}

// TestEveryFlippedByteIsDetected flips bytes all over each file. Opening, or then
// reading everything, must fail as corrupted, or the answers must be right (a byte
// that nothing depends on).
func TestEveryFlippedByteIsDetected(t *testing.T) {
	f := complete(t)
	require.NoError(t, f.ix.Close())
	rng := rand.New(rand.NewPCG(1, 1))
	for _, file := range f.o.Files {
		name := path.Join(f.o.Dir.Path, file.Name)
		for range 40 {
			at := rng.Int64N(file.Size)
			flip(t, f.o.Dir.FS, name, at)
			err := f.readAll()
			if err != nil {
				require.True(t, errors.Is(err, segment.ErrCorrupted) || errors.Is(err, segment.ErrForeign) ||
					errors.Is(err, segment.ErrNewer), "%s at %d: %v", name, at, err)
			}
			flip(t, f.o.Dir.FS, name, at)
		}
	}
	require.NoError(t, f.readAll())
}

// flip inverts one byte of a file.
func flip(t *testing.T, fs fsx.FS, name string, at int64) {
	t.Helper()
	file, err := fs.Open(name)
	require.NoError(t, err)
	size, err := file.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	_, err = file.ReadAt(b, 0)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	b[at] ^= 0xff
	out, err := fs.Create(name)
	require.NoError(t, err)
	_, err = out.Write(b)
	require.NoError(t, err)
	require.NoError(t, out.Close())
}

// readAll opens the index and compares all that it holds with the oracle; only
// errors of reading are returned.
func (f *fixture) readAll() error {
	dir := &segment.Dir{FS: f.o.Dir.FS, Path: f.o.Dir.Path}
	o := f.o
	o.Dir = dir
	ix, err := Open(o)
	if err != nil {
		return err
	}
	defer func() { require.NoError(f.t, ix.Close()) }()
	rng := rand.New(rand.NewPCG(2, 2))
	for range 3 {
		q := randomVector(rng, o.Config)
		for _, exact := range []bool{true, false} {
			hits, _, err := ix.Search(f.t.(*testing.T).Context(), Query{Vector: q, K: 10, Exact: exact})
			if err != nil {
				return err
			}
			f.ref.valid(f.t, hits, q, 10, nil)
		}
	}
	for doc := range uint32(400) {
		v, ok, err := ix.Vector(doc, nil)
		if err != nil {
			return err
		}
		require.Equal(f.t, doc != 5, ok)
		require.Equal(f.t, f.ref.docs[doc], v)
	}
	return nil
}

func TestMissingAndForeignFiles(t *testing.T) {
	f := complete(t)
	require.NoError(t, f.ix.Close())
	open := func(change func(o *Options)) error {
		o := f.o
		o.Files = append([]segment.FileInfo(nil), f.o.Files...)
		change(&o)
		ix, err := Open(o)
		if err == nil {
			require.NoError(t, ix.Close())
		}
		return err
	}
	require.NoError(t, open(func(*Options) {}))
	require.ErrorIs(t, open(func(o *Options) { o.Files = o.Files[:len(o.Files)-1] }), ErrInvalid)
	require.ErrorIs(t, open(func(o *Options) { o.Config.Dim = 7 }), ErrInvalid)
	require.ErrorIs(t, open(func(o *Options) { o.Config.Distance = vector.Euclid }), ErrInvalid)
	require.Error(t, open(func(o *Options) { o.Files[1], o.Files[0] = o.Files[0], o.Files[1] }))
	require.Error(t, open(func(o *Options) { o.Files[2].Sum++ }))
}

// TestFailedWritesLeaveTheIndexAsItWas makes every file operation of a checkpoint
// fail once; after Abort the next checkpoint must hold everything.
func TestFailedWritesLeaveTheIndexAsItWas(t *testing.T) {
	errDisk := errors.New("disk is on fire")
	for fail := int64(0); ; fail++ {
		f := complete(t)
		rng := rand.New(rand.NewPCG(3, 3))
		for doc := range uint32(150) {
			f.upsert(doc*2, randomVector(rng, f.o.Config))
		}
		f.settle()
		var n atomic.Int64 // files are read side by side
		var disarmed atomic.Bool
		f.o.Dir.FS = fsx.NewFault(f.o.Dir.FS, func(fsx.Op) error {
			if n.Add(1) == fail+1 && !disarmed.Load() {
				return errDisk
			}
			return nil
		})
		cp := f.ix.Freeze()
		_, err := cp.Write(t.Context(), f.o.Dir)
		cp.Abort()
		disarmed.Store(true)
		f.checkpoint()
		f.reopen()
		f.compare(rng)
		require.NoError(t, f.ix.Close())
		if err == nil {
			require.Greater(t, fail, int64(5))
			return
		}
		require.ErrorIs(t, err, errDisk)
	}
}

func TestAbandonedReaderKeepsItsRows(t *testing.T) {
	f := complete(t)
	v := f.ix.acquire()
	want := make([]float32, 6)
	f.ix.format.decode(want, v.address(17))
	f.checkpoint()
	rng := rand.New(rand.NewPCG(4, 4))
	for doc := range uint32(400) {
		f.upsert(doc, randomVector(rng, f.o.Config))
	}
	f.settle() // a vacuum
	require.NotSame(t, v.gen, f.ix.current.Load().gen)
	got := make([]float32, 6)
	f.ix.format.decode(got, v.address(17))
	require.Equal(t, want, got)
	v.release()
	require.NoError(t, f.ix.Close())
}
