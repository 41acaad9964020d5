package fsx

import (
	"errors"
	"fmt"
	"io"
	"path"
)

// ReadFile returns the content of a file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], errors.Join(err, f.Close())
}

// WriteAtomic replaces a file's content such that after a crash at any moment the
// old or the new content is there, and after success the new one. It uses the
// name with ".tmp" appended, and leaves nothing under that name when it fails,
// if it can.
func WriteAtomic(fsys FS, name string, content []byte) error {
	tmp := name + ".tmp"
	if err := writeSynced(fsys, tmp, content); err != nil {
		_ = fsys.Remove(tmp)
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	if err := fsys.Rename(tmp, name); err != nil {
		_ = fsys.Remove(tmp)
		return fmt.Errorf("replace %s: %w", name, err)
	}
	if err := fsys.SyncDir(path.Dir(name)); err != nil {
		return fmt.Errorf("sync directory of %s: %w", name, err)
	}
	return nil
}

func writeSynced(fsys FS, name string, content []byte) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// FlipBits damages one byte of a file durably, as a dying disk would: the byte is
// xored with mask. For tests.
func FlipBits(fsys FS, name string, off int64, mask byte) error {
	f, err := fsys.OpenWrite(name)
	if err != nil {
		return err
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		return errors.Join(err, f.Close())
	}
	b[0] ^= mask
	if _, err := f.WriteAt(b[:], off); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}
