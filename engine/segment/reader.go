package segment

import (
	"context"

	"github.com/sextantdb/sextant/internal/fsx"
)

// Reader is an open, mapped file. It is safe for concurrent use.
type Reader struct{}

// Info returns what identifies the file.
func (r *Reader) Info() FileInfo { return FileInfo{} }

// Kind returns what the file holds.
func (r *Reader) Kind() Kind { return "" }

// Version returns the format version of the file's kind.
func (r *Reader) Version() uint16 { return 0 }

// Has says whether the file has a section.
func (r *Reader) Has(id uint16) bool { return false }

// Section returns a section; a missing one is ErrCorrupted, because whoever asks
// for it knows from kind and version that it must be there.
func (r *Reader) Section(id uint16) (*Section, error) { return nil, errTodo }

// VerifyAll reads and verifies every byte of the file.
func (r *Reader) VerifyAll(ctx context.Context) error { return errTodo }

// Advise tells how the mapped bytes will be read.
func (r *Reader) Advise(a fsx.Advice) {}

// Retain adds a user of the mapping, which must call Close as well.
func (r *Reader) Retain() {}

// Close takes one user away; the last one unmaps the file: no slice of its bytes
// may be used afterwards.
func (r *Reader) Close() error { return nil }

// Section is one contiguous part of a file. It is safe for concurrent use.
type Section struct{}

// ID returns the section's id.
func (s *Section) ID() uint16 { return 0 }

// Len returns the section's length in bytes.
func (s *Section) Len() int64 { return 0 }

// Bytes returns the mapped bytes, 64-byte aligned, NOT verified: call Check on a
// range before its first use.
func (s *Section) Bytes() []byte { return nil }

// Check verifies the 64-KiB blocks under the range that weren't verified before.
// A range outside the section is ErrCorrupted too, since offsets come from files.
// When everything was verified it costs about one atomic load.
func (s *Section) Check(off, n int64) error { return errTodo }

// At is Check followed by the bytes of the range.
func (s *Section) At(off, n int64) ([]byte, error) { return nil, errTodo }

// All is Check of the whole section followed by its bytes.
func (s *Section) All() ([]byte, error) { return nil, errTodo }

// Number is an element of which a section can be made up.
type Number interface {
	~uint8 | ~int8 | ~uint16 | ~int16 | ~uint32 | ~int32 | ~uint64 | ~int64 | ~float32 | ~float64
}

// View returns bytes as elements without copying. It fails with ErrCorrupted when
// the length isn't a multiple of the element or the start isn't aligned to it.
func View[T Number](b []byte) ([]T, error) { return nil, errTodo }

// Raw returns the bytes of elements without copying, to be written to a section.
func Raw[T Number](v []T) []byte { return nil }
