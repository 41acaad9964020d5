package segment

import (
	"errors"
	"fmt"
)

// The reasons for which a file can't be used.
var (
	// ErrCorrupted is a file whose bytes aren't those that were written, or a
	// missing one. The error is a *CorruptedError.
	ErrCorrupted = errors.New("corrupted file")
	// ErrForeign is a sound file of another kind than expected.
	ErrForeign = errors.New("file of another kind")
	// ErrNewer is a sound file written by a later version of the program.
	ErrNewer = errors.New("file of a newer version")
)

// CorruptedError says which byte of which file is wrong. It matches ErrCorrupted.
type CorruptedError struct {
	// File is the file's path.
	File string
	// Offset is where the damaged part begins.
	Offset int64
	// Why is a short reason.
	Why string
}

// Error returns file, offset and reason.
func (e *CorruptedError) Error() string {
	return fmt.Sprintf("corrupted file %s at offset %d: %s", e.File, e.Offset, e.Why)
}

// Is makes errors.Is(err, ErrCorrupted) true.
func (e *CorruptedError) Is(target error) bool { return target == ErrCorrupted }
