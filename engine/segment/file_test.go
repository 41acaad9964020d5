package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/fsx"
)

const block = 64 << 10

func newDir(t require.TestingT) *segment.Dir {
	m := fsx.NewMem()
	require.NoError(t, m.MkdirAll("/shard"))
	return &segment.Dir{FS: m, Path: "/shard"}
}

// pattern gives n bytes that differ from place to place.
func pattern(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// writeFile writes sections 1, 2, … of the given lengths.
func writeFile(t require.TestingT, d *segment.Dir, lengths ...int) segment.FileInfo {
	w, err := d.Create("test", "test", 3)
	require.NoError(t, err)
	for i, n := range lengths {
		_, err := w.Section(uint16(i + 1)).Write(pattern(uint64(i), n))
		require.NoError(t, err)
	}
	info, err := w.Finish()
	require.NoError(t, err)
	return info
}

func TestRoundTrip(t *testing.T) {
	lengths := rapid.OneOf(rapid.IntRange(0, 200), rapid.SampledFrom([]int{
		0, 1, 63, 64, 65, block - 1, block, block + 1, 2 * block, 3*block + 17,
	}))
	rapid.Check(t, func(rt *rapid.T) {
		d := newDir(rt)
		sections := rapid.SliceOfN(lengths, 0, 5).Draw(rt, "lengths")
		w, err := d.Create("any name / of ☃ user", "graph", 7)
		require.NoError(rt, err)
		for i, n := range sections {
			out := w.Section(uint16(i * 3))
			for rest := pattern(uint64(i), n); len(rest) > 0; {
				step := min(len(rest), rapid.IntRange(1, 100_000).Draw(rt, "step"))
				_, err := out.Write(rest[:step])
				require.NoError(rt, err)
				rest = rest[step:]
			}
		}
		info, err := w.Finish()
		require.NoError(rt, err)

		r, err := d.Open(info, "graph", 7)
		require.NoError(rt, err)
		require.Equal(rt, segment.Kind("graph"), r.Kind())
		require.Equal(rt, uint16(7), r.Version())
		require.Equal(rt, info, r.Info())
		require.Len(rt, r.Sections(), len(sections))
		for i, n := range sections {
			s, err := r.Section(uint16(i * 3))
			require.NoError(rt, err)
			require.Equal(rt, uint16(i*3), s.ID())
			require.EqualValues(rt, n, s.Len())
			if n > 0 {
				off := rapid.IntRange(0, n-1).Draw(rt, "off")
				length := rapid.IntRange(0, n-off).Draw(rt, "length")
				part, err := s.At(int64(off), int64(length))
				require.NoError(rt, err)
				require.True(rt, bytes.Equal(pattern(uint64(i), n)[off:off+length], part))
				require.Zero(rt, uintptr(unsafe.Pointer(&s.Bytes()[0]))%64)
			}
			all, err := s.All()
			require.NoError(rt, err)
			require.True(rt, bytes.Equal(pattern(uint64(i), n), all))
		}
		require.NoError(rt, r.VerifyAll(t.Context()))
		require.NoError(rt, r.Close())
		require.NoError(rt, r.Close())
	})
}

func TestViews(t *testing.T) {
	d := newDir(t)
	w, err := d.Create("v", "views", 1)
	require.NoError(t, err)
	floats, links := []float32{1.5, -2, 3}, []uint32{7, 8, 9, 1 << 31}
	for id, b := range [][]byte{segment.Raw(floats), segment.Raw(links), segment.Raw[int64](nil)} {
		_, err := w.Section(uint16(id)).Write(b)
		require.NoError(t, err)
	}
	info, err := w.Finish()
	require.NoError(t, err)
	r, err := d.Open(info, "views", 1)
	require.NoError(t, err)
	all := func(id uint16) []byte {
		s, err := r.Section(id)
		require.NoError(t, err)
		b, err := s.All()
		require.NoError(t, err)
		return b
	}
	gotFloats, err := segment.View[float32](all(0))
	require.NoError(t, err)
	require.Equal(t, floats, gotFloats)
	gotLinks, err := segment.View[uint32](all(1))
	require.NoError(t, err)
	require.Equal(t, links, gotLinks)
	none, err := segment.View[int64](all(2))
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = segment.View[uint32](all(1)[:6])
	require.ErrorIs(t, err, segment.ErrCorrupted)
	_, err = segment.View[uint32](all(1)[1:5])
	require.ErrorIs(t, err, segment.ErrCorrupted)
	require.NoError(t, r.Close())
}

// verify opens a file and reads everything.
func verify(t *testing.T, d *segment.Dir, info segment.FileInfo) error {
	t.Helper()
	r, err := d.Open(info, "test", 3)
	if err != nil {
		return err
	}
	err = r.VerifyAll(t.Context())
	require.NoError(t, r.Close())
	return err
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	d := newDir(t)
	info := writeFile(t, d, 10, 0, 200)
	require.NoError(t, verify(t, d, info))
	name := d.Path + "/" + info.Name
	for off := range info.Size {
		mask := byte(1 << (off % 8))
		require.NoError(t, fsx.FlipBits(d.FS, name, off, mask))
		err := verify(t, d, info)
		require.ErrorIs(t, err, segment.ErrCorrupted, "byte %d", off)
		require.ErrorContains(t, err, name)
		require.NoError(t, fsx.FlipBits(d.FS, name, off, mask))
	}
	require.NoError(t, verify(t, d, info))
}

func TestEveryWrongLengthIsFound(t *testing.T) {
	d := newDir(t)
	info := writeFile(t, d, 10, 200)
	name := d.Path + "/" + info.Name
	content, err := fsx.ReadFile(d.FS, name)
	require.NoError(t, err)
	for n := range info.Size + 2 {
		if n == info.Size {
			continue
		}
		require.NoError(t, fsx.WriteAtomic(d.FS, name, append(content, 0)[:n]))
		require.ErrorIs(t, verify(t, d, info), segment.ErrCorrupted)
		// Whoever has no manifest must find it as well.
		alone := segment.FileInfo{Name: info.Name, Size: n, Sum: info.Sum}
		require.ErrorIs(t, verify(t, d, alone), segment.ErrCorrupted)
	}
}

// TestBlocksAreVerifiedWhenTouched: damage in a block hurts whoever reads that
// block and nobody else, also beyond the first 64 blocks.
func TestBlocksAreVerifiedWhenTouched(t *testing.T) {
	d := newDir(t)
	const blocks = 70
	info := writeFile(t, d, 5, blocks*block+100)
	for _, bad := range []int64{0, 1, 63, 64, 69, 70} {
		r, err := d.Open(info, "test", 3)
		require.NoError(t, err)
		second, err := r.Section(2)
		require.NoError(t, err)
		at := int64(128) + bad*block + 99
		damaged := reopenDamaged(t, d, info, at)
		s, err := damaged.Section(2)
		require.NoError(t, err)
		for b := range int64(blocks + 1) {
			err := s.Check(b*block, 1)
			require.NoError(t, second.Check(b*block, 1))
			if b != bad {
				require.NoError(t, err)
				continue
			}
			var found *segment.CorruptedError
			require.ErrorAs(t, err, &found)
			require.Equal(t, 128+bad*block, found.Offset)
			require.ErrorIs(t, s.Check(b*block, 1), segment.ErrCorrupted, "a failure is never forgotten")
		}
		require.ErrorIs(t, s.Check(0, s.Len()), segment.ErrCorrupted)
		require.ErrorIs(t, damaged.VerifyAll(t.Context()), segment.ErrCorrupted)
		require.NoError(t, damaged.Close())
		require.NoError(t, r.Close())
	}
}

// reopenDamaged opens the file with one byte flipped, and mends it on disk.
func reopenDamaged(t *testing.T, d *segment.Dir, info segment.FileInfo, at int64) *segment.Reader {
	t.Helper()
	name := d.Path + "/" + info.Name
	require.NoError(t, fsx.FlipBits(d.FS, name, at, 4))
	r, err := d.Open(info, "test", 3)
	require.NoError(t, err)
	require.NoError(t, fsx.FlipBits(d.FS, name, at, 4))
	return r
}

func TestRangesOutsideASection(t *testing.T) {
	d := newDir(t)
	info := writeFile(t, d, 100, 50)
	r, err := d.Open(info, "test", 3)
	require.NoError(t, err)
	s, err := r.Section(1)
	require.NoError(t, err)
	for _, c := range [][2]int64{{-1, 1}, {0, -1}, {0, 101}, {100, 1}, {101, 0}, {1 << 62, 1 << 62}, {1, 1<<63 - 1}} {
		_, err := s.At(c[0], c[1])
		require.ErrorIs(t, err, segment.ErrCorrupted, "%v", c)
	}
	require.NoError(t, s.Check(100, 0))
	require.True(t, r.Has(2))
	require.False(t, r.Has(3))
	_, err = r.Section(3)
	require.ErrorIs(t, err, segment.ErrCorrupted)
	require.NoError(t, r.Close())
}

func TestForeignAndNewerFiles(t *testing.T) {
	d := newDir(t)
	info := writeFile(t, d, 10)
	_, err := d.Open(info, "other", 3)
	require.ErrorIs(t, err, segment.ErrForeign)
	_, err = d.Open(info, "test", 2)
	require.ErrorIs(t, err, segment.ErrNewer)

	other := writeFile(t, d, 10)
	other.Sum++
	_, err = d.Open(other, "test", 3)
	require.ErrorIs(t, err, segment.ErrCorrupted)
	require.ErrorContains(t, err, "another file under this name")

	_, err = d.Open(segment.FileInfo{Name: "gone-00000001.seg", Size: 200}, "test", 3)
	require.ErrorIs(t, err, segment.ErrCorrupted)
	_, err = d.Open(segment.FileInfo{Name: "../x.seg"}, "test", 3)
	require.Error(t, err)

	require.NoError(t, fsx.WriteAtomic(d.FS, d.Path+"/x-01.seg", bytes.Repeat([]byte("text "), 100)))
	_, err = d.OpenAny(segment.FileInfo{Name: "x-01.seg", Size: 500})
	require.ErrorContains(t, err, "magic")
}

func TestWriterMisuse(t *testing.T) {
	for title, use := range map[string]func(*segment.Writer) error{
		"section twice": func(w *segment.Writer) error { w.Section(1); w.Section(1); return nil },
		"write to an ended section": func(w *segment.Writer) error {
			first := w.Section(1)
			w.Section(2)
			_, err := first.Write([]byte("x"))
			return err
		},
	} {
		d := newDir(t)
		w, err := d.Create("a", "test", 1)
		require.NoError(t, err, title)
		err = use(w)
		_, finishErr := w.Finish()
		require.Error(t, errors.Join(err, finishErr), title)
		require.Empty(t, list(t, d), title)
		_, err = w.Finish()
		require.Error(t, err, title)
	}
	d := newDir(t)
	for _, kind := range []segment.Kind{"", "a b", "toolongkind", "ä"} {
		_, err := d.Create("a", kind, 1)
		require.Error(t, err)
	}
	w, err := d.Create("a", "test", 1)
	require.NoError(t, err)
	w.Abort()
	w.Abort()
	require.Empty(t, list(t, d))
}

// TestWriterFailures: whatever operation fails, Finish says so and no file stays.
func TestWriterFailures(t *testing.T) {
	full := fmt.Errorf("write: %w", syscall.ENOSPC)
	for n := int64(1); ; n++ {
		d := newDir(t)
		fault := fsx.NewFault(d.FS, func(op fsx.Op) error {
			if op.N != n || !op.Kind.Changes() || op.Kind == fsx.OpRemove {
				return nil
			}
			return &fsx.ShortWrite{N: 5, Err: full}
		})
		d.FS = fault
		w, err := d.Create("a", "test", 1)
		if err == nil {
			_, _ = w.Section(1).Write(pattern(1, 600<<10))
			_, err = w.Finish()
		}
		if err == nil {
			require.Greater(t, n, int64(5))
			return
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.Empty(t, list(t, d))
	}
}

func list(t require.TestingT, d *segment.Dir) []string {
	entries, err := d.FS.ReadDir(d.Path)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestCutUnderTheMapping: the operating system faults on a page that is gone;
// that must become an error.
func TestCutUnderTheMapping(t *testing.T) {
	d := &segment.Dir{FS: fsx.OS{}, Path: filepath.ToSlash(t.TempDir())}
	info := writeFile(t, d, 3*block)
	r, err := d.Open(info, "test", 3)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(filepath.Join(d.Path, info.Name), block))
	s, err := r.Section(1)
	require.NoError(t, err)
	require.ErrorIs(t, s.Check(2*block, 1), segment.ErrCorrupted)
	require.NoError(t, r.Close())
}

func TestRetainOutlivesClose(t *testing.T) {
	d := &segment.Dir{FS: fsx.OS{}, Path: filepath.ToSlash(t.TempDir())}
	info := writeFile(t, d, 1000)
	r, err := d.Open(info, "test", 3)
	require.NoError(t, err)
	require.True(t, r.Retain())
	require.NoError(t, r.Close())
	s, err := r.Section(1)
	require.NoError(t, err)
	b, err := s.All()
	require.NoError(t, err)
	require.True(t, bytes.Equal(pattern(0, 1000), b))
	require.NoError(t, r.Release())
	require.False(t, r.Retain())
}

func TestConcurrentChecks(t *testing.T) {
	d := newDir(t)
	info := writeFile(t, d, 70*block)
	r, err := d.Open(info, "test", 3)
	require.NoError(t, err)
	s, err := r.Section(1)
	require.NoError(t, err)
	var group errgroup.Group
	for seed := range uint64(8) {
		group.Go(func() error {
			rng := rand.New(rand.NewPCG(seed, 3))
			for range 300 {
				off := rng.Int64N(s.Len())
				if err := s.Check(off, rng.Int64N(s.Len()-off)/8); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	require.NoError(t, s.Check(0, s.Len()))
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = s.Check(5*block, 100) }))
	require.NoError(t, r.Close())
}

func BenchmarkCheck(b *testing.B) {
	for _, all := range []bool{false, true} {
		b.Run(map[bool]string{false: "some verified", true: "all verified"}[all], func(b *testing.B) {
			d := newDir(b)
			info := writeFile(b, d, 70*block)
			r, err := d.Open(info, "test", 3)
			require.NoError(b, err)
			s, err := r.Section(1)
			require.NoError(b, err)
			require.NoError(b, s.Check(0, 60*block))
			if all {
				require.NoError(b, s.Check(0, s.Len()))
			}
			for i := 0; b.Loop(); i++ {
				if err := s.Check(int64(i&31)*block+512, 512); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
