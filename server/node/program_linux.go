package node

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dropProgram unmaps the pages of the program's own file; those that are used again come back from the page cache
// for some microseconds each. Starting touches most of the file (it sets up the kinds of the Kubernetes API and
// the protocol's messages, of which a node uses a small part), 56 MB that would count as the process's until the
// kernel is short of memory.
func dropProgram() error {
	file, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	for _, m := range cleanMappings(string(smaps), file) {
		// Not unix.Madvise: this memory isn't Go's, so there is no slice of it.
		if _, _, e := unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED); e != 0 {
			return fmt.Errorf("advise: %w", e)
		}
	}
	return nil
}
