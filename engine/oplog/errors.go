package oplog

import (
	"errors"
	"fmt"
)

// The reasons for which a log or stream refuses.
var (
	// ErrCorrupted is a log whose bytes aren't those that were written. The error
	// is a *CorruptedError.
	ErrCorrupted = errors.New("corrupted log")
	// ErrNewer is a log written by a later version of the program.
	ErrNewer = errors.New("log of a newer version")
	// ErrFailed is a record that couldn't be written or synced, or that was refused
	// because one before couldn't. A record that was not refused may become durable
	// later. The log takes records again when it could write what it has.
	ErrFailed = errors.New("log can't be written")
	// ErrFull is an ErrFailed for which there is no space on the disk.
	ErrFull = errors.New("disk is full")
	// ErrClosed is a log that was closed.
	ErrClosed = errors.New("log is closed")
	// ErrDropped is a stream that was dropped.
	ErrDropped = errors.New("stream was dropped")
	// ErrOutOfOrder is a record that doesn't follow the last one.
	ErrOutOfOrder = errors.New("record out of order")
	// ErrDiverged is a record whose chain value isn't what it would be here: the
	// records before it are others.
	ErrDiverged = errors.New("record continues another log")
	// ErrMissing is a position behind the last record.
	ErrMissing = errors.New("no such record yet")
	// ErrTooLarge is a record above MaxRecord.
	ErrTooLarge = errors.New("record is too large")
	// ErrReleased is a read or truncation below what was released.
	ErrReleased = errors.New("records were released")
)

// CorruptedError says where a log is damaged. It matches ErrCorrupted.
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
	return fmt.Sprintf("corrupted log file %s at offset %d: %s", e.File, e.Offset, e.Why)
}

// Is makes errors.Is(err, ErrCorrupted) true.
func (e *CorruptedError) Is(target error) bool { return target == ErrCorrupted }
