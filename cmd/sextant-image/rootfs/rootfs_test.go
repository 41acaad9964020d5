package rootfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheSameFilesGiveTheSameArchive(t *testing.T) {
	build := func(names ...string) []byte {
		tree := Tree{}
		for _, name := range names {
			tree.Add(name, File{Mode: 0o644, Content: []byte(path.Base(name))})
		}
		tree.Add("/link", File{Mode: 0o777, Link: "a/b"})
		tree.Add("data", File{Mode: 0o755, Directory: true, Owner: 7})
		var out bytes.Buffer
		require.NoError(t, tree.Write(&out, time.Unix(100, 0)))
		return out.Bytes()
	}
	one := build("/a/b", "a/c", "d")
	require.True(t, bytes.Equal(one, build("d", "a/c", "a/b")))
	var listed []string
	for archive := tar.NewReader(bytes.NewReader(one)); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.EqualValues(t, 100, h.ModTime.Unix())
		if h.Name == "data/" {
			require.Equal(t, []int{7, 7}, []int{h.Uid, h.Gid})
		}
		listed = append(listed, h.Name+h.Linkname)
	}
	require.Equal(t, []string{"a/", "a/b", "a/c", "d", "data/", "linka/b"}, listed)
}

func TestLinksAreFollowed(t *testing.T) {
	tree := Tree{}
	tree.Add("usr/lib/x/lib.so.1.2", File{Content: []byte("x")})
	tree.Add("usr/lib/x/lib.so.1", File{Link: "lib.so.1.2"})
	tree.Add("lib", File{Link: "usr/lib"})
	tree.Add("lib64", File{Link: "/lib/x"})
	tree.Add("a", File{Link: "b"})
	tree.Add("b", File{Link: "a"})
	f := func(name, want string, there bool) {
		t.Helper()
		got, ok := tree.Follow(name)
		require.Equal(t, there, ok)
		if there {
			require.Equal(t, want, got)
		}
	}
	f("/lib64/lib.so.1", "usr/lib/x/lib.so.1.2", true)
	f("usr/lib/x/lib.so.1.2", "usr/lib/x/lib.so.1.2", true)
	f("usr/lib/x/lib.so.2", "", false)
	place, ok := tree.Place("/lib64/lib.so.1")
	require.True(t, ok)
	require.Equal(t, "usr/lib/x/lib.so.1", place)
	f("a", "", false)
}

// TestAProgramComesWithItsLibraries takes a program of this machine.
func TestAProgramComesWithItsLibraries(t *testing.T) {
	const shell = "/bin/sh"
	content, err := os.ReadFile(shell)
	if runtime.GOOS != "linux" || err != nil {
		t.Skip("needs a program that uses libraries")
	}
	names, err := needed(content)
	if err != nil || len(names) < 2 {
		t.Skip("the shell uses no libraries")
	}
	from := Tree{}
	from.Add(shell, File{Content: content})
	err = Tree{}.Program(from, shell, nil)
	require.ErrorContains(t, err, "which is in none of the packages")
	for _, name := range names {
		at := name
		if !strings.HasPrefix(name, "/") {
			at = "libs/" + name
		}
		from.Add(at, File{Content: content}) // which needs the same
	}
	to := Tree{}
	require.NoError(t, to.Program(from, shell, []string{"nowhere", "libs"}))
	for _, name := range names {
		_, ok := find(to, name, []string{"libs"})
		require.True(t, ok, name)
	}
	require.ErrorContains(t, Tree{}.Program(from, "bin/nothing", nil), "bin/nothing is in none of the packages")
}

func TestReadAndUnpack(t *testing.T) {
	tree := Tree{}
	tree.Add("lib/a.so", File{Mode: 0o644, Content: []byte("a")})
	tree.Add("lib/b.so", File{Mode: 0o777, Link: "a.so"})
	tree.Add("a", File{Mode: 0o777, Link: "lib"})
	tree.Add("doc/readme", File{Mode: 0o644, Content: []byte("?")})
	var packed bytes.Buffer
	require.NoError(t, tree.Write(&packed, time.Time{}))
	got := Tree{}
	require.NoError(t, got.Read(&packed, func(name string) (string, bool) {
		return "usr/" + name, !strings.HasPrefix(name, "doc/")
	}))
	require.Equal(t, []string{"usr", "usr/a", "usr/lib", "usr/lib/a.so", "usr/lib/b.so"}, got.Names())
	dir := filepath.Join(t.TempDir(), "root")
	require.NoError(t, got.Unpack(dir))
	raw, err := os.ReadFile(filepath.Join(dir, "usr/lib/b.so"))
	require.NoError(t, err)
	require.Equal(t, "a", string(raw))
}
