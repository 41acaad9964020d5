package fsx_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/fsx"
)

// systems gives every implementation with an empty directory in it.
func systems(t *testing.T) map[string]func(t *testing.T) (fsx.FS, string) {
	t.Helper()
	return map[string]func(t *testing.T) (fsx.FS, string){
		"os": func(t *testing.T) (fsx.FS, string) { //nolint:thelper // a constructor
			return fsx.OS{}, filepath.ToSlash(t.TempDir())
		},
		"mem": func(t *testing.T) (fsx.FS, string) { //nolint:thelper // a constructor
			m := fsx.NewMem()
			require.NoError(t, m.MkdirAll("/data"))
			return m, "/data"
		},
		"fault": func(t *testing.T) (fsx.FS, string) { //nolint:thelper // a constructor
			f := fsx.NewFault(fsx.NewMem(), nil)
			require.NoError(t, f.MkdirAll("data"))
			return f, "data"
		},
	}
}

func TestConformance(t *testing.T) {
	for name, open := range systems(t) {
		for title, check := range map[string]func(*testing.T, fsx.FS, string){
			"append and read":     checkAppendAndRead,
			"overwrite":           checkOverwrite,
			"truncate":            checkTruncate,
			"missing":             checkMissing,
			"names":               checkNames,
			"directories":         checkDirectories,
			"map":                 checkMap,
			"lock":                checkLock,
			"open after removal":  checkOpenAfterRemoval,
			"replace atomically":  checkWriteAtomic,
			"read only and twice": checkMisuse,
		} {
			t.Run(name+"/"+title, func(t *testing.T) {
				system, dir := open(t)
				check(t, system, dir)
			})
		}
	}
}

func write(t require.TestingT, system fsx.FS, name, content string) {
	f, err := system.Create(name)
	require.NoError(t, err)
	n, err := f.Write([]byte(content))
	require.NoError(t, err)
	require.Equal(t, len(content), n)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func read(t require.TestingT, system fsx.FS, name string) string {
	b, err := fsx.ReadFile(system, name)
	require.NoError(t, err)
	return string(b)
}

func checkAppendAndRead(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	name := dir + "/a"
	write(t, system, name, "hello")
	f, err := system.OpenWrite(name)
	require.NoError(t, err)
	_, err = f.Write([]byte(", world"))
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	require.EqualValues(t, 12, size)

	buf := make([]byte, 5)
	n, err := f.ReadAt(buf, 7)
	require.True(t, err == nil || errors.Is(err, io.EOF))
	require.Equal(t, "world", string(buf[:n]))
	n, err = f.ReadAt(buf, 10)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, "ld", string(buf[:n]))
	_, err = f.ReadAt(buf, 100)
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, f.Close())

	write(t, system, name, "new")
	require.Equal(t, "new", read(t, system, name))
}

func checkOverwrite(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	name := dir + "/a"
	write(t, system, name, "hello")
	f, err := system.OpenWrite(name)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("LL"), 2)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("xx"), 4)
	require.Error(t, err)
	_, err = f.WriteAt([]byte("x"), -1)
	require.Error(t, err)
	_, err = f.Write([]byte("!"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, "heLLo!", read(t, system, name))

	require.NoError(t, fsx.FlipBits(system, name, 0, 0x20))
	require.Equal(t, "HeLLo!", read(t, system, name))
	require.Error(t, fsx.FlipBits(system, name, 6, 1))
}

func checkTruncate(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	name := dir + "/a"
	write(t, system, name, "hello")
	f, err := system.OpenWrite(name)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(2))
	_, err = f.Write([]byte("y"))
	require.NoError(t, err)
	require.NoError(t, f.Truncate(5))
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
	require.Equal(t, "hey\x00\x00", read(t, system, name))
}

func checkMissing(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	for what, do := range map[string]func() error{
		"open":       func() error { _, err := system.Open(dir + "/no"); return err },
		"open-write": func() error { _, err := system.OpenWrite(dir + "/no"); return err },
		"create":     func() error { _, err := system.Create(dir + "/no/a"); return err },
		"map":        func() error { _, err := system.Map(dir + "/no"); return err },
		"stat":       func() error { _, err := system.Stat(dir + "/no"); return err },
		"read-dir":   func() error { _, err := system.ReadDir(dir + "/no"); return err },
		"remove":     func() error { return system.Remove(dir + "/no") },
		"rename":     func() error { return system.Rename(dir+"/no", dir+"/a") },
		"link":       func() error { return system.Link(dir+"/no", dir+"/a") },
		"sync-dir":   func() error { return system.SyncDir(dir + "/no") },
	} {
		require.ErrorIs(t, do(), fs.ErrNotExist, what)
	}
	require.NoError(t, system.RemoveAll(dir+"/no"))
	require.NoError(t, system.RemoveAll(dir+"/no/deeper"))
}

func checkNames(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	write(t, system, dir+"/a", "a")
	write(t, system, dir+"/b", "b")
	require.NoError(t, system.Rename(dir+"/a", dir+"/b"))
	require.Equal(t, "a", read(t, system, dir+"/b"))
	_, err := system.Stat(dir + "/a")
	require.ErrorIs(t, err, fs.ErrNotExist)

	require.NoError(t, system.Link(dir+"/b", dir+"/c"))
	require.ErrorIs(t, system.Link(dir+"/b", dir+"/c"), fs.ErrExist)
	require.NoError(t, system.Remove(dir+"/b"))
	require.Equal(t, "a", read(t, system, dir+"/./x/../c"))

	st, err := system.Stat(dir + "/c")
	require.NoError(t, err)
	require.Equal(t, "c", st.Name())
	require.EqualValues(t, 1, st.Size())
	require.False(t, st.IsDir())
}

func checkDirectories(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	require.NoError(t, system.MkdirAll(dir+"/x/y"))
	require.NoError(t, system.MkdirAll(dir+"/x/y"))
	write(t, system, dir+"/x/y/b", "")
	write(t, system, dir+"/x/y/a", "")
	require.Error(t, system.MkdirAll(dir+"/x/y/a"))
	require.Error(t, system.Remove(dir+"/x/y"))
	_, err := system.Create(dir + "/x/y")
	require.Error(t, err)
	_, err = system.Open(dir + "/x/y")
	require.Error(t, err)
	_, err = system.Map(dir + "/x/y")
	require.Error(t, err)

	entries, err := system.ReadDir(dir + "/x/y")
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{"a", "b"}, names)

	require.NoError(t, system.SyncDir(dir+"/x/y"))
	require.NoError(t, system.Rename(dir+"/x/y", dir+"/z"))
	require.Empty(t, read(t, system, dir+"/z/a"))
	require.NoError(t, system.RemoveAll(dir+"/z"))
	require.NoError(t, system.Remove(dir+"/x"))
	entries, err = system.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func checkMap(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	write(t, system, dir+"/a", "mapped")
	m, err := system.Map(dir + "/a")
	require.NoError(t, err)
	require.Equal(t, "mapped", string(m.Bytes()))
	for _, a := range []fsx.Advice{fsx.AdviseNormal, fsx.AdviseRandom, fsx.AdviseWillNeed, fsx.AdviseDontNeed} {
		m.Advise(a)
	}
	require.NoError(t, system.Remove(dir+"/a"))
	require.Equal(t, "mapped", string(m.Bytes()))
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())

	write(t, system, dir+"/empty", "")
	m, err = system.Map(dir + "/empty")
	require.NoError(t, err)
	require.Empty(t, m.Bytes())
	require.NoError(t, m.Close())
}

func checkLock(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	l, err := system.Lock(dir + "/LOCK")
	require.NoError(t, err)
	_, err = system.Lock(dir + "/LOCK")
	require.ErrorIs(t, err, fsx.ErrLocked)
	require.NoError(t, l.Close())
	l, err = system.Lock(dir + "/LOCK")
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func checkOpenAfterRemoval(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	write(t, system, dir+"/a", "still")
	f, err := system.Open(dir + "/a")
	require.NoError(t, err)
	require.NoError(t, system.Remove(dir+"/a"))
	b := make([]byte, 5)
	_, err = f.ReadAt(b, 0)
	require.True(t, err == nil || errors.Is(err, io.EOF))
	require.Equal(t, "still", string(b))
	require.NoError(t, f.Close())
}

func checkWriteAtomic(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	require.NoError(t, fsx.WriteAtomic(system, dir+"/a", []byte("one")))
	require.NoError(t, fsx.WriteAtomic(system, dir+"/a", []byte("two")))
	require.Equal(t, "two", read(t, system, dir+"/a"))
	_, err := system.Stat(dir + "/a.tmp")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Error(t, fsx.WriteAtomic(system, dir+"/no/a", nil))
}

func checkMisuse(t *testing.T, system fsx.FS, dir string) {
	t.Helper()
	write(t, system, dir+"/a", "a")
	f, err := system.Open(dir + "/a")
	require.NoError(t, err)
	_, err = f.Write([]byte("b"))
	require.Error(t, err)
	require.NoError(t, f.Close())
	require.Error(t, f.Close())
	_, err = f.ReadAt(make([]byte, 1), 0)
	require.Error(t, err)
}

// TestMemBehavesAsOS does random operations on both and compares what is seen.
func TestMemBehavesAsOS(t *testing.T) {
	names := []string{"/a", "/b", "/d/a", "/d/b", "/d", "/e/f/c", "/e"}
	for seed := range uint64(12) {
		r := rng(seed)
		sides := []side{{fsx.OS{}, filepath.ToSlash(t.TempDir())}, {fsx.NewMem(), ""}}
		for step := range 40 {
			op, a, b := r.IntN(7), names[r.IntN(len(names))], names[r.IntN(len(names))]
			require.Equal(t, sides[0].step(op, a, b), sides[1].step(op, a, b),
				"seed %d step %d: operation %d on %s and %s", seed, step, op, a, b)
		}
		require.Equal(t, sides[0].tree(t, "/"), sides[1].tree(t, "/"), "seed %d", seed)
	}
}

type side struct {
	fsx.FS
	root string
}

// step says whether the operation succeeded.
func (s side) step(op int, a, b string) bool {
	a, b = s.root+a, s.root+b
	var err error
	switch op {
	case 0:
		var f fsx.File
		if f, err = s.Create(a); err == nil {
			_, err = f.Write([]byte(b[len(s.root):]))
			err = errors.Join(err, f.Close())
		}
	case 1:
		if a == b {
			return true // systems differ about renaming a directory to itself
		}
		err = s.Rename(a, b)
	case 2:
		err = s.Link(a, b)
	case 3:
		err = s.Remove(a)
	case 4:
		err = s.RemoveAll(a)
	case 5:
		err = s.MkdirAll(a)
	case 6:
		_, err = s.ReadDir(a)
	}
	return err == nil
}

// tree lists every path with its content.
func (s side) tree(t require.TestingT, dir string) map[string]string {
	out := map[string]string{}
	entries, err := s.ReadDir(s.root + dir)
	require.NoError(t, err)
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if !e.IsDir() {
			out[name] = read(t, s, s.root+name)
			continue
		}
		out[name] = "directory"
		maps.Copy(out, s.tree(t, name))
	}
	return out
}
