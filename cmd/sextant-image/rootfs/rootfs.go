// Package rootfs builds the file system of an image in memory: the same files give the same archive.
//
// Callers: cmd/sextant-image.
package rootfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// File is a file, a directory or a symbolic link.
type File struct {
	// Mode are the permissions; Directory says that it is one.
	Mode      int64
	Directory bool
	// Link is where a symbolic link leads, "" for others.
	Link string
	// Content of a file.
	Content []byte
	// Owner is the number of the user and of the group.
	Owner int
}

// Tree are files by path, without a leading slash.
type Tree map[string]File

// Add adds a file and the directories above it. What is there is replaced.
func (t Tree) Add(name string, f File) {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" {
		return
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := t[dir]; !ok {
			t[dir] = File{Mode: 0o755, Directory: true}
		}
	}
	t[name] = f
}

// Follow returns the path of the file that a path leads to, over symbolic links, and whether there is one.
func (t Tree) Follow(name string) (string, bool) {
	name, ok := t.follow(name, 0)
	f, there := t[name]
	return name, ok && there && f.Link == ""
}

// Place returns the path of a file without the links of the directories above it.
func (t Tree) Place(name string) (string, bool) { return t.follow(name, 1) }

// follow takes the symbolic links of a path, but for those in so many of its last parts.
func (t Tree) follow(name string, last int) (string, bool) {
	name = strings.Trim(path.Clean("/"+name), "/")
	for range 40 {
		next, moved := t.step(name, last)
		if !moved {
			return name, true
		}
		name = next
	}
	return "", false
}

// step takes the first of them.
func (t Tree) step(name string, last int) (string, bool) {
	parts := strings.Split(name, "/")
	for i := range parts[:len(parts)-last] {
		at := strings.Join(parts[:i+1], "/")
		f, ok := t[at]
		if !ok || f.Link == "" {
			continue
		}
		to := f.Link
		if !strings.HasPrefix(to, "/") {
			to = path.Join(path.Dir(at), to)
		}
		return strings.Trim(path.Join("/"+to, strings.Join(parts[i+1:], "/")), "/"), true
	}
	return name, false
}

// Read adds what an archive has, for which keep is true; where says under which name.
func (t Tree) Read(r io.Reader, where func(name string) (to string, keep bool)) error {
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read an archive: %w", err)
		}
		to, keep := where(strings.Trim(path.Clean("/"+h.Name), "/"))
		if !keep {
			continue
		}
		switch h.Typeflag {
		case tar.TypeReg:
			content, err := io.ReadAll(archive)
			if err != nil {
				return fmt.Errorf("read %s of an archive: %w", h.Name, err)
			}
			t.Add(to, File{Mode: h.Mode & 0o777, Content: content})
		case tar.TypeSymlink:
			t.Add(to, File{Mode: 0o777, Link: h.Linkname})
		}
	}
}

// Write writes the archive: files in the order of their names, all as old as modified says.
func (t Tree) Write(w io.Writer, modified time.Time) error {
	archive := tar.NewWriter(w)
	for _, name := range t.Names() {
		f := t[name]
		h := &tar.Header{
			Name: name, Mode: f.Mode, Size: int64(len(f.Content)), Typeflag: tar.TypeReg, ModTime: modified,
			Uid: f.Owner, Gid: f.Owner, Format: tar.FormatUSTAR,
		}
		switch {
		case f.Directory:
			h.Name, h.Typeflag = name+"/", tar.TypeDir
		case f.Link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
		}
		if err := archive.WriteHeader(h); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if _, err := archive.Write(f.Content); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write an archive: %w", err)
	}
	return nil
}

// Names returns all paths in order.
func (t Tree) Names() []string { return slices.Sorted(maps.Keys(t)) }

// Unpack writes the files below a directory.
func (t Tree) Unpack(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as in the image
		return fmt.Errorf("unpack into %s: %w", dir, err)
	}
	for _, name := range t.Names() {
		f, at := t[name], filepath.Join(dir, filepath.FromSlash(name))
		var err error
		switch {
		case f.Directory:
			err = os.MkdirAll(at, 0o755) //nolint:gosec // as in the image
		case f.Link != "":
			err = os.Symlink(f.Link, at)
		default:
			err = os.WriteFile(at, f.Content, os.FileMode(f.Mode)) //nolint:gosec // permissions
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", name, err)
		}
	}
	return nil
}
