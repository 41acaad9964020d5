// Package fsx is the only way of this code base to files and directories: a
// small file-system interface with the operating system behind it (OS), and two
// file systems for tests behind it as well, one that forgets what was not
// synced when the power is cut (Mem), and one that fails on request (Fault).
//
// Callers: engine/oplog, engine/segment and everything of the engine that
// persists; nothing in engine/ imports os for I/O.
//
// Durability contract, the same for every implementation:
//
//   - the bytes of a file survive a power cut only after File.Sync returned;
//   - the name of a created, renamed, linked or removed file survives (or is
//     gone) only after FS.SyncDir of its directory returned;
//   - Rename replaces the target atomically.
//
// A missing file gives an error that matches fs.ErrNotExist. All paths use "/" and
// are cleaned by the implementation. Implementations are safe for concurrent use.
// ReadAt and Size of a File may be called by any goroutine at any time before
// Close; everything else on it belongs to one goroutine.
package fsx

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked is a lock that somebody else holds.
var ErrLocked = errors.New("file is locked by another holder")

// FS is a file system.
type FS interface {
	// Create makes or truncates a file and opens it for writing and reading.
	Create(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing; Write appends at
	// its end.
	OpenWrite(name string) (File, error)
	// Map maps a whole existing file for reading. An empty file gives a Mapping
	// without bytes.
	Map(name string) (Mapping, error)
	// Rename atomically gives a file (or directory) another name.
	Rename(oldName, newName string) error
	// Link makes a hard link.
	Link(oldName, newName string) error
	// Remove removes one file or empty directory.
	Remove(name string) error
	// RemoveAll removes a tree; a missing one is no error.
	RemoveAll(name string) error
	// MkdirAll makes a directory and its parents and syncs what it made.
	MkdirAll(name string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat describes a file.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Lock takes an exclusive advisory lock, which is gone with the process or
	// with Close. It fails at once when another holder has it.
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.Writer // appends at the file's end
	// WriteAt overwrites bytes inside the file; a range that ends beyond the
	// file's end is refused.
	io.WriterAt
	io.Closer
	// Sync makes the bytes written so far durable. After a failed Sync nothing is
	// known about them: the caller must stop using the file, not try again.
	Sync() error
	// Truncate cuts (or extends with zeros) the file.
	Truncate(size int64) error
	// Size returns the file's length in bytes.
	Size() (int64, error)
}

// Mapping is a whole file as bytes.
type Mapping interface {
	// Bytes returns the content. It must not be written to, nor used after Close.
	Bytes() []byte
	// Advise tells how the bytes will be read; it may do nothing.
	Advise(a Advice)
	io.Closer
}

// Advice says how the bytes of a Mapping will be read.
type Advice int

const (
	// AdviseNormal takes back the other advices.
	AdviseNormal Advice = iota
	// AdviseRandom expects random reads: no read-ahead.
	AdviseRandom
	// AdviseWillNeed asks to load the whole file in the background.
	AdviseWillNeed
	// AdviseDontNeed lets the pages go.
	AdviseDontNeed
)
