//go:build !unix

package fsx

import (
	"errors"
	"io"
	"os"
)

// Without mmap a mapping is a copy.
func mapFile(f *os.File, size int64) (Mapping, error) {
	b := alignedBytes(size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, err
	}
	return &memMapping{b: b}, nil
}

func lockFile(*os.File) error { return errors.ErrUnsupported }

// Directories can't be synced on every system; their names are then as durable
// as the system makes them.
func syncDir(*os.File) error { return nil }
