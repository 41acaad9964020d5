package rootfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
	"strings"
)

// Program adds a program of another tree with all that it needs to run: the loader and the libraries.
func (t Tree) Program(from Tree, name string, libraries []string) error {
	todo := []string{name}
	for len(todo) > 0 {
		name, todo = todo[0], todo[1:]
		target, found := from.Follow(name)
		place, ok := from.Place(name)
		if !found || !ok {
			return fmt.Errorf("%s is in none of the packages", name)
		}
		name = place // nothing may lie below a link
		t.Add(name, File{Mode: 0o755, Content: from[target].Content})
		needs, err := needed(from[target].Content)
		if err != nil {
			return fmt.Errorf("look what %s needs: %w", name, err)
		}
		for _, need := range needs {
			at, ok := find(from, need, libraries)
			if !ok {
				return fmt.Errorf("%s needs %s, which is in none of the packages", name, need)
			}
			if place, ok := from.Place(at); !ok || t[place].Content == nil {
				todo = append(todo, at)
			}
		}
	}
	return nil
}

// find is where a library is: a path, or a name in one of the directories.
func find(from Tree, need string, libraries []string) (string, bool) {
	if strings.HasPrefix(need, "/") {
		_, ok := from.Follow(need)
		return strings.Trim(need, "/"), ok
	}
	for _, dir := range libraries {
		if _, ok := from.Follow(path.Join(dir, need)); ok {
			return path.Join(dir, need), true
		}
	}
	return "", false
}

// needed are the libraries that a program asks for, and its loader.
func needed(content []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("no program: %w", err)
	}
	all, err := f.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("read its libraries: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		loader := make([]byte, p.Filesz)
		if _, err := p.ReadAt(loader, 0); err != nil {
			return nil, fmt.Errorf("read the name of its loader: %w", err)
		}
		all = append(all, strings.TrimRight(string(loader), "\x00"))
	}
	return all, nil
}
