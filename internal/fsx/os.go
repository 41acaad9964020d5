package fsx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
)

// OS is the operating system's file system. The zero value is ready.
type OS struct{}

var _ FS = OS{}

// Create implements FS.
func (OS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

// Open implements FS.
func (OS) Open(name string) (File, error) { return openOS(name, os.O_RDONLY) }

// OpenWrite implements FS.
func (OS) OpenWrite(name string) (File, error) { return openOS(name, os.O_RDWR) }

// Map implements FS.
func (OS) Map(name string) (Mapping, error) {
	f, err := os.Open(osPath(name))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read; the mapping outlives the descriptor
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, &fs.PathError{Op: "map", Path: name, Err: errors.New("is a directory")}
	}
	m, err := mapFile(f, st.Size())
	if err != nil {
		return nil, &fs.PathError{Op: "map", Path: name, Err: err}
	}
	return m, nil
}

// Rename implements FS.
func (OS) Rename(oldName, newName string) error {
	return os.Rename(osPath(oldName), osPath(newName))
}

// Link implements FS.
func (OS) Link(oldName, newName string) error {
	return os.Link(osPath(oldName), osPath(newName))
}

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(osPath(name)) }

// RemoveAll implements FS.
func (OS) RemoveAll(name string) error { return os.RemoveAll(osPath(name)) }

// MkdirAll implements FS. Each level's name is synced in its parent, so that a
// file synced in a fresh directory can't vanish together with the directory.
func (o OS) MkdirAll(name string) error {
	name = osPath(name)
	st, err := os.Stat(name)
	switch {
	case err == nil && st.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: name, Err: errors.New("is a file")}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(name)
	if parent != name {
		if err := o.MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

// ReadDir implements FS.
func (OS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(osPath(name)) }

// Stat implements FS.
func (OS) Stat(name string) (fs.FileInfo, error) { return os.Stat(osPath(name)) }

// SyncDir implements FS.
func (OS) SyncDir(name string) error {
	d, err := os.Open(osPath(name))
	if err != nil {
		return err
	}
	return errors.Join(syncDir(d), d.Close())
}

// Lock implements FS.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(osPath(name), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return f, nil
}

func osPath(name string) string { return filepath.Clean(filepath.FromSlash(name)) }

// osFile keeps the length itself instead of opening with O_APPEND, under which
// the runtime refuses WriteAt.
type osFile struct {
	f    *os.File
	size atomic.Int64
}

func openOS(name string, flag int) (File, error) {
	f, err := os.OpenFile(osPath(name), flag, 0o644)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("is a directory")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	o := &osFile{f: f}
	o.size.Store(st.Size())
	return o, nil
}

func (o *osFile) ReadAt(p []byte, off int64) (int, error) { return o.f.ReadAt(p, off) }

func (o *osFile) Write(p []byte) (int, error) {
	n, err := o.f.WriteAt(p, o.size.Load())
	o.size.Add(int64(n))
	return n, err
}

func (o *osFile) WriteAt(p []byte, off int64) (int, error) {
	if err := insideFile(off, len(p), o.size.Load()); err != nil {
		return 0, &fs.PathError{Op: "write", Path: o.f.Name(), Err: err}
	}
	return o.f.WriteAt(p, off)
}

func (o *osFile) Sync() error { return syncData(o.f) }

func (o *osFile) Truncate(size int64) error {
	if err := o.f.Truncate(size); err != nil {
		return err
	}
	o.size.Store(size)
	return nil
}

// Size asks the file, because another handle may have appended to it.
func (o *osFile) Size() (int64, error) {
	st, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (o *osFile) Close() error { return o.f.Close() }

// insideFile refuses a range that isn't inside a file of the given size.
func insideFile(off int64, n int, size int64) error {
	if off < 0 || off > size || int64(n) > size-off {
		return fmt.Errorf("overwrite %d bytes at %d of %d", n, off, size)
	}
	return nil
}
