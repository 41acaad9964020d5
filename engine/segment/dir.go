package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/sextantdb/sextant/internal/fsx"
)

// suffix ends the name of every segment file.
const suffix = ".seg"

// maxPrefix bounds the readable part of a file name.
const maxPrefix = 48

// Kind says what a file holds: at most eight ASCII letters, digits or dashes,
// for example "graph".
type Kind string

// Dir is the directory of one shard, in which its files are created and opened.
// A value with FS and Path set is ready; a Dir must not be copied after first
// use. It is safe for concurrent use.
//
// A file lives through: Create, Finish, named by a stored Manifest (live), no
// longer named (dead), removed by RemoveDead. A file that no manifest ever names
// is removed by Discard, or by the next Load.
type Dir struct {
	// FS is the file system.
	FS fsx.FS
	// Path is the directory.
	Path string

	// mu guards next, scanned, live and dead.
	mu sync.Mutex
	// next is the number of the next file; it counts once scanned is true.
	next    uint64
	scanned bool
	// live has the files of the manifest in force. After a failed Store it has
	// those of the old and of the new one, since either may be in force.
	live map[string]FileInfo
	// dead has the files that were live and aren't any more.
	dead map[string]FileInfo
}

// Create begins a new file whose name starts with prefix (characters that don't
// suit a file name are replaced) and is unique in the directory. The file counts
// for nothing until Writer.Finish returned and a stored Manifest names it.
func (d *Dir) Create(prefix string, kind Kind, version uint16) (*Writer, error) {
	head, err := encodeHeader(kind, version)
	if err != nil {
		return nil, fmt.Errorf("create segment file: %w", err)
	}
	name, err := d.newName(prefix)
	if err != nil {
		return nil, fmt.Errorf("create segment file: %w", err)
	}
	f, err := d.FS.Create(d.file(name))
	if err != nil {
		return nil, fmt.Errorf("create segment file: %w", err)
	}
	return newWriter(d, name, f, head), nil
}

// Open maps a finished file. It fails with ErrCorrupted when the file isn't the
// one that info describes or is damaged outside its sections, and with
// ErrForeign or ErrNewer when it is of another kind or of a version above newest.
// The bytes of sections are verified later, by Section.Check.
func (d *Dir) Open(info FileInfo, kind Kind, newest uint16) (*Reader, error) {
	r, err := d.OpenAny(info)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Kind() != kind:
		err = fmt.Errorf("open %s: %w: %q instead of %q", r.path, ErrForeign, r.Kind(), kind)
	case r.Version() > newest:
		err = fmt.Errorf("open %s: %w: version %d of %q, newest known is %d", r.path, ErrNewer, r.Version(), kind, newest)
	default:
		return r, nil
	}
	return nil, errors.Join(err, r.Close())
}

// OpenAny is Open for whoever takes any kind, such as a verification of all files.
func (d *Dir) OpenAny(info FileInfo) (*Reader, error) {
	if err := checkName(info.Name); err != nil {
		return nil, err
	}
	name := d.file(info.Name)
	m, err := d.FS.Map(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptedError{File: name, Why: "file is missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("open segment file: %w", err)
	}
	r, err := newReader(name, info, m)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return r, nil
}

// Discard removes files that were written and then given up, except those that
// the manifest names.
func (d *Dir) Discard(files ...FileInfo) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, f := range files {
		if _, live := d.live[f.Name]; !live {
			delete(d.dead, f.Name)
			errs = append(errs, d.remove(f.Name))
		}
	}
	return errors.Join(errs...)
}

// RemoveDead removes the files that an earlier manifest named and the one stored
// last doesn't. Mappings of them stay usable until they are closed.
func (d *Dir) RemoveDead() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for name := range d.dead {
		if err := d.remove(name); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(d.dead, name)
	}
	return errors.Join(errs...)
}

func (d *Dir) file(name string) string { return path.Join(d.Path, name) }

// remove removes a file; a missing one is no error.
func (d *Dir) remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := d.FS.Remove(d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove segment file: %w", err)
	}
	return nil
}

// newName gives a name that no file of the directory has or had while it was
// in a manifest.
func (d *Dir) newName(prefix string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.scan(); err != nil {
		return "", err
	}
	number := d.next
	d.next++
	word := strings.Map(func(r rune) rune {
		if notWord(r) {
			return '_'
		}
		return r
	}, prefix)
	return fmt.Sprintf("%s-%08x%s", word[:min(len(word), maxPrefix)], number, suffix), nil
}

// scan finds the first free file number. d.mu is held.
func (d *Dir) scan() error {
	if d.scanned {
		return nil
	}
	entries, err := d.FS.ReadDir(d.Path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if n, ok := fileNumber(e.Name()); ok && n >= d.next {
			d.next = n + 1
		}
	}
	d.scanned = true
	return nil
}

// fileNumber returns the number in a segment file's name.
func fileNumber(name string) (uint64, bool) {
	word, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(word[strings.LastIndexByte(word, '-')+1:], 16, 64)
	return n, err == nil
}

// checkName refuses names that lead out of the directory.
func checkName(name string) error {
	if !strings.HasSuffix(name, suffix) || strings.ContainsAny(name, "/\\") || len(name) > 255 {
		return fmt.Errorf("%q is not the name of a segment file", name)
	}
	return nil
}
