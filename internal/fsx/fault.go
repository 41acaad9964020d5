package fsx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// ErrStopped is what every operation gives after the moment of a simulated crash.
var ErrStopped = errors.New("file system has stopped")

// OpKind is a kind of operation.
type OpKind uint8

// The operations. Those from OpCreate on change something.
const (
	OpOpen OpKind = iota
	OpMap
	OpRead
	OpReadDir
	OpStat
	OpClose
	OpCreate
	OpOpenWrite
	OpWrite
	OpSync
	OpTruncate
	OpRename
	OpLink
	OpRemove
	OpRemoveAll
	OpMkdirAll
	OpSyncDir
	OpLock
)

var opNames = [...]string{
	"open", "map", "read", "readdir", "stat", "close", "create", "open-write", "write", "sync", "truncate", "rename",
	"link", "remove", "remove-all", "mkdir-all", "sync-dir", "lock",
}

// String returns the operation's name.
func (k OpKind) String() string { return opNames[k] }

// Changes says whether the operation changes the file system.
func (k OpKind) Changes() bool { return k >= OpCreate }

// Op is an operation about to be done.
type Op struct {
	Kind OpKind
	// Path is the file or directory, for a rename and a link the old name.
	Path string
	// NewPath is the new name of a rename or a link.
	NewPath string
	// Size is the number of bytes of a write or read, the length of a truncation.
	Size int64
	// Overwrites says that a write stays inside its file, which a full disk allows.
	Overwrites bool
	// N counts the changing operations from 1; for another operation it is the
	// number of the last changing one.
	N int64
}

// ShortWrite lets N bytes of a write through before Err; an injector may give it
// for OpWrite.
type ShortWrite struct {
	N   int
	Err error
}

// Error returns what happened.
func (s *ShortWrite) Error() string { return fmt.Sprintf("short write of %d bytes: %v", s.N, s.Err) }

// Unwrap returns Err.
func (s *ShortWrite) Unwrap() error { return s.Err }

// Fault passes operations on to another file system, unless an injector refuses
// them. For tests.
type Fault struct {
	under  FS
	inject atomic.Pointer[func(Op) error]
	count  atomic.Int64
}

var _ FS = (*Fault)(nil)

// NewFault wraps a file system. inject is called before each operation, by any
// goroutine; an error makes the operation fail without being done. It may be nil.
func NewFault(under FS, inject func(Op) error) *Fault {
	f := &Fault{under: under}
	f.SetInject(inject)
	return f
}

// SetInject changes the injector; nil lets everything pass.
func (f *Fault) SetInject(inject func(Op) error) {
	if inject == nil {
		inject = func(Op) error { return nil }
	}
	f.inject.Store(&inject)
}

// Changes returns how many changing operations were asked for.
func (f *Fault) Changes() int64 { return f.count.Load() }

// StopAt returns an injector that ends the world just before the n-th changing
// operation: that one and every later operation of any kind fail.
func StopAt(n int64) func(Op) error {
	var stopped atomic.Bool
	return func(op Op) error {
		if op.Kind.Changes() && op.N >= n {
			stopped.Store(true)
		}
		if stopped.Load() {
			return ErrStopped
		}
		return nil
	}
}

// NoSpace is an injector that is a disk full to the last block: no file can be made
// or become longer.
func NoSpace(op Op) error {
	if op.Kind == OpCreate || op.Kind == OpWrite && !op.Overwrites {
		return syscall.ENOSPC
	}
	return nil
}

func (f *Fault) before(op Op) error {
	if op.Kind.Changes() {
		op.N = f.count.Add(1)
	} else {
		op.N = f.count.Load()
	}
	if err := (*f.inject.Load())(op); err != nil {
		return &fs.PathError{Op: op.Kind.String(), Path: op.Path, Err: err}
	}
	return nil
}

// Create implements FS.
func (f *Fault) Create(name string) (File, error) { return f.open(OpCreate, name, f.under.Create) }

// Open implements FS.
func (f *Fault) Open(name string) (File, error) { return f.open(OpOpen, name, f.under.Open) }

// OpenWrite implements FS.
func (f *Fault) OpenWrite(name string) (File, error) {
	return f.open(OpOpenWrite, name, f.under.OpenWrite)
}

func (f *Fault) open(kind OpKind, name string, open func(string) (File, error)) (File, error) {
	if err := f.before(Op{Kind: kind, Path: name}); err != nil {
		return nil, err
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{fault: f, under: file, name: name}, nil
}

// Map implements FS.
func (f *Fault) Map(name string) (Mapping, error) {
	if err := f.before(Op{Kind: OpMap, Path: name}); err != nil {
		return nil, err
	}
	return f.under.Map(name)
}

// Rename implements FS.
func (f *Fault) Rename(oldName, newName string) error {
	if err := f.before(Op{Kind: OpRename, Path: oldName, NewPath: newName}); err != nil {
		return err
	}
	return f.under.Rename(oldName, newName)
}

// Link implements FS.
func (f *Fault) Link(oldName, newName string) error {
	if err := f.before(Op{Kind: OpLink, Path: oldName, NewPath: newName}); err != nil {
		return err
	}
	return f.under.Link(oldName, newName)
}

// Remove implements FS.
func (f *Fault) Remove(name string) error { return f.named(OpRemove, name, f.under.Remove) }

// RemoveAll implements FS.
func (f *Fault) RemoveAll(name string) error { return f.named(OpRemoveAll, name, f.under.RemoveAll) }

// MkdirAll implements FS.
func (f *Fault) MkdirAll(name string) error { return f.named(OpMkdirAll, name, f.under.MkdirAll) }

// SyncDir implements FS.
func (f *Fault) SyncDir(name string) error { return f.named(OpSyncDir, name, f.under.SyncDir) }

func (f *Fault) named(kind OpKind, name string, do func(string) error) error {
	if err := f.before(Op{Kind: kind, Path: name}); err != nil {
		return err
	}
	return do(name)
}

// ReadDir implements FS.
func (f *Fault) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.before(Op{Kind: OpReadDir, Path: name}); err != nil {
		return nil, err
	}
	return f.under.ReadDir(name)
}

// Stat implements FS.
func (f *Fault) Stat(name string) (fs.FileInfo, error) {
	if err := f.before(Op{Kind: OpStat, Path: name}); err != nil {
		return nil, err
	}
	return f.under.Stat(name)
}

// Lock implements FS.
func (f *Fault) Lock(name string) (io.Closer, error) {
	if err := f.before(Op{Kind: OpLock, Path: name}); err != nil {
		return nil, err
	}
	return f.under.Lock(name)
}

type faultFile struct {
	fault *Fault
	under File
	name  string
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fault.before(Op{Kind: OpRead, Path: f.name, Size: int64(len(p))}); err != nil {
		return 0, err
	}
	return f.under.ReadAt(p, off)
}

func (f *faultFile) Write(p []byte) (int, error) { return f.write(p, false, f.under.Write) }

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	return f.write(p, true, func(p []byte) (int, error) { return f.under.WriteAt(p, off) })
}

func (f *faultFile) write(p []byte, overwrites bool, write func([]byte) (int, error)) (int, error) {
	err := f.fault.before(Op{Kind: OpWrite, Path: f.name, Size: int64(len(p)), Overwrites: overwrites})
	if short, ok := errors.AsType[*ShortWrite](err); ok {
		n, werr := write(p[:min(short.N, len(p))])
		return n, errors.Join(err, werr)
	}
	if err != nil {
		return 0, err
	}
	return write(p)
}

func (f *faultFile) Sync() error {
	if err := f.fault.before(Op{Kind: OpSync, Path: f.name}); err != nil {
		return err
	}
	return f.under.Sync()
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fault.before(Op{Kind: OpTruncate, Path: f.name, Size: size}); err != nil {
		return err
	}
	return f.under.Truncate(size)
}

func (f *faultFile) Size() (int64, error) {
	if err := f.fault.before(Op{Kind: OpStat, Path: f.name}); err != nil {
		return 0, err
	}
	return f.under.Size()
}

// Close always closes the file underneath, whatever is injected.
func (f *faultFile) Close() error {
	err := f.fault.before(Op{Kind: OpClose, Path: f.name})
	return errors.Join(err, f.under.Close())
}

// Quota is an injector that is a disk with room for so many bytes, as far as files grow
// and go while it looks on. For tests.
type Quota struct {
	mu    sync.Mutex
	room  int64
	sizes map[string]int64
}

// NewQuota returns a disk with some room.
func NewQuota(room int64) *Quota { return &Quota{room: room, sizes: map[string]int64{}} }

// SetRoom says how much room there is from now on.
func (q *Quota) SetRoom(room int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room = room
}

// Inject is the injector.
func (q *Quota) Inject(op Op) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch op.Kind {
	case OpCreate, OpRemove:
		q.resize(op.Path, 0)
	case OpTruncate:
		q.resize(op.Path, min(op.Size, q.sizes[op.Path]))
	case OpRename:
		size := q.sizes[op.Path]
		delete(q.sizes, op.Path)
		q.resize(op.NewPath, 0)
		q.sizes[op.NewPath] = size
	case OpRemoveAll:
		for name := range q.sizes {
			if name == op.Path || strings.HasPrefix(name, op.Path+"/") {
				q.resize(name, 0)
			}
		}
	case OpWrite:
		if op.Overwrites {
			return nil
		}
		if op.Size > q.room {
			return syscall.ENOSPC
		}
		q.resize(op.Path, q.sizes[op.Path]+op.Size)
	default:
	}
	return nil
}

func (q *Quota) resize(name string, size int64) {
	q.room += q.sizes[name] - size
	q.sizes[name] = size
	if size == 0 {
		delete(q.sizes, name)
	}
}
