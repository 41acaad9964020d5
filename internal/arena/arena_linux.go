package arena

import (
	"errors"

	"golang.org/x/sys/unix"
)

// reserve maps anonymous memory. MAP_NORESERVE: only touched pages count.
func reserve(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
}

// advise asks for huge pages or against them. Kernels without them refuse, which
// costs speed only.
func advise(b []byte, huge bool) {
	advice := unix.MADV_NOHUGEPAGE
	if huge {
		advice = unix.MADV_HUGEPAGE
	}
	ignore(unix.Madvise(b, advice))
	// Vectors and graphs can be had again from the files; in a core dump they
	// would only fill the disk.
	ignore(unix.Madvise(b, unix.MADV_DONTDUMP))
}

func release(b []byte) {
	if errors.Is(unix.Madvise(b, unix.MADV_DONTNEED), unix.EINVAL) {
		clear(b) // locked memory can't be given back
	}
}

func unreserve(b []byte) error { return unix.Munmap(b) }

// ignore drops the error of a call that is only a hint.
func ignore(error) {}
