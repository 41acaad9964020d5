package segment

import (
	"sync"

	"github.com/sextantdb/sextant/internal/fsx"
)

// Kind says what a file holds: at most eight ASCII letters, digits or dashes,
// for example "graph".
type Kind string

// Dir is the directory of one shard, in which its files are created and opened.
// A value with FS and Path set is ready; a Dir must not be copied after first
// use. It is safe for concurrent use.
type Dir struct {
	// FS is the file system.
	FS fsx.FS
	// Path is the directory.
	Path string

	// mu guards everything below.
	mu sync.Mutex
}

// Create begins a new file whose name starts with prefix and is unique in the
// directory. The file counts for nothing until Writer.Finish returned and a
// stored Manifest names it.
func (d *Dir) Create(prefix string, kind Kind, version uint16) (*Writer, error) {
	return nil, errTodo
}

// Open maps a finished file. It fails with ErrCorrupted when the file isn't the
// one that info describes or is damaged outside its sections, and with
// ErrForeign or ErrNewer when it is of another kind or of a version above newest.
// The bytes of sections are verified later, by Section.Check.
func (d *Dir) Open(info FileInfo, kind Kind, newest uint16) (*Reader, error) {
	return nil, errTodo
}

// Discard removes files that were written and then given up, except those that
// the manifest names.
func (d *Dir) Discard(files ...FileInfo) error { return errTodo }
