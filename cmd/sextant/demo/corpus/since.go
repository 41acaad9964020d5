package corpus

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// history maps "import/path" and "import/path Symbol" (a method's or field's
// symbol is Type.Name) to the minor version of the first release that had it.
type history map[string]int

// release returns the name of a release, and −1 with an empty name when a symbol
// is not in the history, as internal and unexported ones are.
func (h history) release(importPath, symbol string) (name string, minor int) {
	key := importPath
	if symbol != "" {
		key += " " + symbol
	}
	minor, ok := h[key]
	switch {
	case !ok:
		return "", -1
	case minor == 0:
		return "go1", 0
	default:
		return "go1." + strconv.Itoa(minor), minor
	}
}

// readSince reads the lists of exported symbols that Go keeps of each release.
// An installation without them has an empty history.
func readSince(root string) (history, error) {
	files, err := filepath.Glob(filepath.Join(root, "api", "go1*.txt"))
	if err != nil {
		return nil, err
	}
	h := make(history)
	for _, file := range files {
		minor := 0
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if number, ok := strings.CutPrefix(name, "go1."); ok {
			if minor, err = strconv.Atoi(number); err != nil {
				return nil, fmt.Errorf("version of %s: %w", file, err)
			}
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
			h.add(lines.Text(), minor)
		}
	}
	return h, nil
}

// add enters a line like "pkg bytes, method (*Buffer) Available() int #53685".
func (h history) add(line string, minor int) {
	pkg, rest, ok := strings.Cut(strings.TrimPrefix(line, "pkg "), ", ")
	if !ok || !strings.HasPrefix(line, "pkg ") {
		return
	}
	importPath, _, _ := strings.Cut(pkg, " ") // without "(linux-amd64)"
	h.first(importPath, minor)
	kind, rest, _ := strings.Cut(rest, " ")
	switch kind {
	case "func", "const", "var":
		h.first(importPath+" "+identifier(rest), minor)
	case "method":
		receiver, after, _ := strings.Cut(strings.TrimPrefix(rest, "("), ") ")
		h.first(importPath+" "+identifier(strings.TrimPrefix(receiver, "*"))+"."+identifier(after), minor)
	case "type":
		name := identifier(rest)
		h.first(importPath+" "+name, minor)
		h.addMembers(importPath+" "+name+".", strings.TrimPrefix(rest, name), minor)
	}
}

// addMembers enters the members in the rest of a type's line: " struct, Field T",
// " interface, Method() T" or " interface { Method, Method }".
func (h history) addMembers(prefix, rest string, minor int) {
	for _, head := range []string{" struct, ", " interface, "} {
		if member, ok := strings.CutPrefix(rest, head); ok {
			h.first(prefix+identifier(member), minor)
		}
	}
	if list, ok := strings.CutPrefix(rest, " interface { "); ok {
		list, _, _ = strings.Cut(list, " }")
		for member := range strings.SplitSeq(list, ", ") {
			h.first(prefix+identifier(member), minor)
		}
	}
}

func (h history) first(key string, minor int) {
	if known, ok := h[key]; !ok || minor < known {
		h[key] = minor
	}
}

// identifier returns the identifier that s begins with.
func identifier(s string) string {
	if end := strings.IndexAny(s, " ([{,=*"); end >= 0 {
		return s[:end]
	}
	return s
}
