//go:build unix

package fsx

import (
	"errors"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// osMapping is a memory-mapped file. mu guards b against Advise after Close.
type osMapping struct {
	mu sync.Mutex
	b  []byte
}

func mapFile(f *os.File, size int64) (Mapping, error) {
	if size == 0 {
		return &osMapping{}, nil
	}
	if size > math.MaxInt {
		return nil, errors.New("file is larger than the address space")
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &osMapping{b: b}, nil
}

func (m *osMapping) Bytes() []byte { return m.b }

// Advise ignores failures: an advice changes speed alone.
func (m *osMapping) Advise(a Advice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.b) == 0 {
		return
	}
	how := unix.MADV_NORMAL
	switch a {
	case AdviseNormal:
	case AdviseRandom:
		how = unix.MADV_RANDOM
	case AdviseWillNeed:
		how = unix.MADV_WILLNEED
	case AdviseDontNeed:
		how = unix.MADV_DONTNEED
	}
	_ = unix.Madvise(m.b, how)
}

func (m *osMapping) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.b
	m.b = nil
	if b == nil {
		return nil
	}
	return unix.Munmap(b)
}

func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

func syncDir(d *os.File) error { return d.Sync() }
