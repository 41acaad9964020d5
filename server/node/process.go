package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// heapShare is the part of the container's memory that the Go heap may use
// before the collector works harder. Vectors, codes and graphs live outside the
// heap, so most of a loaded node's memory is not the collector's to manage, and
// the limit is only there to keep garbage from taking what they need.
const heapShare = 0.8

// TuneProcess fits the Go runtime to the machine: the heap's soft limit to the
// container's memory, the number of processors to $QDRANT_NUM_CPUS, and the
// collector to a small heap, unless $GOGC says otherwise. The program's pages that
// only its start needed are given back to the machine. It changes the whole process,
// hence only a command calls it.
func TuneProcess(log *slog.Logger) {
	if err := dropProgram(); err != nil {
		log.Debug("the program's pages stay where they are", "error", err)
	}
	if os.Getenv("GOGC") == "" {
		paceCollector()
	}
	limit, err := memlimit.Set(memlimit.WithRatio(heapShare), memlimit.WithProvider(memlimit.FromCgroup))
	switch {
	case err == nil && limit > 0:
		log.Debug("set the heap's soft limit", "bytes", limit)
	case err != nil && !errors.Is(err, memlimit.ErrNoCgroup) && !errors.Is(err, memlimit.ErrNoLimit):
		log.Debug("no soft limit for the heap", "error", err)
	}
	if v := os.Getenv("QDRANT_NUM_CPUS"); v != "" {
		if n, err := strconv.Atoi(v); err == nil && n >= 0 {
			if n > 0 {
				runtime.GOMAXPROCS(n)
			}
		} else {
			log.Warn("ignoring QDRANT_NUM_CPUS: not a number of processors", "value", v)
		}
	}
}

// TouchInitFile creates the file named by $QDRANT_INIT_FILE_PATH, by which
// deployments see that a node came up once; without the variable it does
// nothing.
func TouchInitFile() error {
	name := os.Getenv("QDRANT_INIT_FILE_PATH")
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Clean(name), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("touch init file: %w", err)
	}
	return f.Close()
}
