package node

import (
	"strconv"
	"strings"
)

// mapping is a piece of the process's memory, from start up to end.
type mapping struct{ start, end uintptr }

// cleanMappings returns where pages of a file are mapped that hold what the file holds: read-only, and without a
// page of the process's own. Those with one are left out: a debugger or probe has put its breakpoint there, which
// isn't in the file. smaps is /proc/self/smaps.
func cleanMappings(smaps, file string) []mapping {
	var clean []mapping
	var now mapping
	wanted := false
	for line := range strings.Lines(smaps) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !strings.HasSuffix(key, ":"):
			now, wanted = header(key, rest, file)
		case key == "Anonymous:" && wanted && strings.TrimSpace(rest) == "0 kB":
			clean = append(clean, now)
		}
	}
	return clean
}

// header reads the first line of a mapping: its range, and then its permissions, offset, device, inode and file. It
// says whether this is a read-only mapping of file.
func header(span, rest, file string) (mapping, bool) {
	from, to, _ := strings.Cut(span, "-")
	start, errStart := strconv.ParseUint(from, 16, 64)
	end, errEnd := strconv.ParseUint(to, 16, 64)
	if errStart != nil || errEnd != nil {
		return mapping{}, false
	}
	permissions, rest, _ := strings.Cut(rest, " ")
	// Only blanks pad the fields, and a file's name may have blanks too.
	for range 3 {
		_, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
	}
	readOnly := strings.HasPrefix(permissions, "r-")
	return mapping{start: uintptr(start), end: uintptr(end)}, readOnly && strings.TrimLeft(rest, " ") == file
}
