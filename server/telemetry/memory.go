package telemetry

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
)

// Memory is the process's memory in bytes, under the names that the public API
// has for an allocator's statistics.
type Memory struct {
	// Active is held by the heap for objects, free slots included.
	Active uint64 `json:"active_bytes"`
	// Allocated is in live or not yet collected objects.
	Allocated uint64 `json:"allocated_bytes"`
	// Metadata is the runtime's own.
	Metadata uint64 `json:"metadata_bytes"`
	// Resident is what the kernel counts for the process, memory outside the
	// heap and touched parts of mapped files included.
	Resident uint64 `json:"resident_bytes"`
	// Retained is address space kept for later use without memory behind it.
	Retained uint64 `json:"retained_bytes"`
	// Needed is what the process can't do without: all that isn't pages of files, which the
	// kernel can drop and read again, less the heap's garbage and free memory. It is left out
	// where the kernel doesn't tell. Other servers with this API don't have it.
	Needed uint64 `json:"needed_bytes,omitempty"`
}

// ReadMemory asks the runtime and the kernel.
func ReadMemory() Memory {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/metadata/mcache/inuse:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	n := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0 // a name this runtime doesn't know
		}
		return samples[i].Value.Uint64()
	}
	return Memory{
		Active: n(0) + n(1), Allocated: n(0), Metadata: n(3) + n(4) + n(5),
		Resident: resident(), Retained: n(2), Needed: needed(anonymous(), n(0), n(7), n(6)),
	}
}

// needed is what is left of the memory that is no file's without the heap's garbage (objects that aren't live)
// and its free memory.
func needed(anonymous, objects, live, free uint64) uint64 {
	dropped := free
	if live > 0 && live < objects { // before the first collection nothing is known to be garbage
		dropped += objects - live
	}
	return anonymous - min(dropped, anonymous)
}

// anonymous reads how much memory of the process is no file's, swapped out or not; 0 where the kernel doesn't tell.
func anonymous() uint64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return anonymousIn(string(text))
}

func anonymousIn(status string) (bytes uint64) {
	for line := range strings.Lines(status) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "RssAnon:" && f[0] != "RssShmem:" && f[0] != "VmSwap:" {
			continue
		}
		kib, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			return 0
		}
		bytes += kib << 10
	}
	return bytes
}

// resident reads the resident set's size; 0 where the kernel doesn't tell.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	if f := bytes.Fields(text); len(f) > 1 {
		pages, _ := strconv.ParseUint(string(f[1]), 10, 64)
		return pages * uint64(os.Getpagesize())
	}
	return 0
}
