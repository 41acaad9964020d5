package observe

import (
	"log/slog"
	"strings"
)

// LevelTrace is below slog.LevelDebug: what TRACE of the filter language means.
const LevelTrace = slog.Level(-8)

// levelOff is above every level that is ever logged.
const levelOff = slog.Level(1 << 20)

// Filter says from which level on a component's records are kept. The zero
// Filter keeps everything from slog.LevelInfo on.
type Filter struct {
	base  slog.Level
	parts []directive // longest component first
}

// directive is a level for one component and the parts below it.
type directive struct {
	component string
	level     slog.Level
}

// ParseFilter reads a level ("debug") or a comma-separated list of directives
// in the language of Rust's EnvFilter ("TRACE,raft::raft=info"), which operators
// bring along from the server whose configuration we accept. A directive's
// target is compared with the "component" attribute of a logger. Directives
// that name spans or fields, and anything else that can't be read, are left out
// and returned in ignored: a log expression must never stop a node.
func ParseFilter(expr string) (f Filter, ignored []string) {
	for _, d := range splitDirectives(expr) {
		target, name, hasLevel := cutLast(d, '=')
		if !hasLevel {
			if lvl, ok := parseLevel(d); ok {
				f.base = lvl
				continue
			}
			target, name = d, "trace" // a bare target switches all of it on
		}
		lvl, ok := parseLevel(name)
		if !ok || target == "" || strings.ContainsAny(target, "[{\"") {
			ignored = append(ignored, d)
			continue
		}
		f.add(directive{component: normalize(target), level: lvl})
	}
	return f, ignored
}

// add keeps parts sorted by length, longest first, a later directive before an
// earlier one for the same component.
func (f *Filter) add(d directive) {
	at := 0
	for at < len(f.parts) && len(f.parts[at].component) > len(d.component) {
		at++
	}
	f.parts = append(f.parts, directive{})
	copy(f.parts[at+1:], f.parts[at:])
	f.parts[at] = d
}

// Level returns the lowest level kept for a component ("" = no component).
func (f *Filter) Level(component string) slog.Level {
	for _, d := range f.parts {
		rest, ok := strings.CutPrefix(component, d.component)
		if ok && (rest == "" || rest[0] == '/') {
			return d.level
		}
	}
	return f.base
}

// min returns the lowest level kept for any component.
func (f *Filter) min() slog.Level {
	low := f.base
	for _, d := range f.parts {
		low = min(low, d.level)
	}
	return low
}

// splitDirectives cuts at the commas outside brackets and braces.
func splitDirectives(expr string) []string {
	var out []string
	depth, start := 0, 0
	flush := func(end int) {
		if d := strings.TrimSpace(expr[start:end]); d != "" {
			out = append(out, d)
		}
	}
	for i, c := range expr {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth <= 0 {
				flush(i)
				start = i + 1
			}
		}
	}
	flush(len(expr))
	return out
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return strings.TrimSpace(s[:i]), strings.TrimSpace(s[i+1:]), true
}

// normalize turns a Rust path into a component name: raft::raft → raft/raft.
func normalize(target string) string {
	return strings.ReplaceAll(strings.ToLower(target), "::", "/")
}

func parseLevel(s string) (slog.Level, bool) {
	switch strings.ToLower(s) {
	case "trace", "5":
		return LevelTrace, true
	case "debug", "4":
		return slog.LevelDebug, true
	case "info", "3":
		return slog.LevelInfo, true
	case "warn", "warning", "2":
		return slog.LevelWarn, true
	case "error", "1":
		return slog.LevelError, true
	case "off", "0":
		return levelOff, true
	}
	return 0, false
}
