package fsx

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// Mem is a file system in memory that knows which bytes and names were synced.
// CrashClone and KillClone give what a new process would find after a power cut or
// after kill -9; the original goes on for whoever still holds it. For tests.
type Mem struct {
	// mu guards the whole tree, pending and locks.
	mu   sync.RWMutex
	root *memNode
	// pending has the changes of names that no SyncDir has made durable, in order.
	pending []nameChange
	locks   map[string]*memLock
}

var _ FS = (*Mem)(nil)

// memNode is a file or a directory.
type memNode struct {
	// children are a directory's names as processes see them, durable as a power
	// cut leaves them. nil for a file.
	children, durable map[string]*memNode
	// data is a file's content as processes see it; stable is the content at the
	// last Sync. Both agree below clean, unless FailSync tore them apart.
	data, stable []byte
	clean        int
}

// nameChange is one atomic change of names: a rename has two edits.
type nameChange []nameEdit

// nameEdit sets (node != nil) or removes one name of a directory.
type nameEdit struct {
	dir  *memNode
	name string
	node *memNode
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{root: newMemDir(), locks: map[string]*memLock{}}
}

func newMemDir() *memNode {
	return &memNode{children: map[string]*memNode{}, durable: map[string]*memNode{}}
}

func (n *memNode) isDir() bool { return n.children != nil }

// change applies edits to what processes see and remembers them as not durable.
func (m *Mem) change(edits ...nameEdit) {
	for _, e := range edits {
		if e.node == nil {
			delete(e.dir.children, e.name)
		} else {
			e.dir.children[e.name] = e.node
		}
	}
	m.pending = append(m.pending, edits)
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func cleanParts(name string) []string {
	p := path.Clean("/" + name)
	if p == "/" {
		return nil
	}
	return strings.Split(p[1:], "/")
}

// find returns the node of a path.
func (m *Mem) find(op, name string) (*memNode, error) {
	n := m.root
	for _, part := range cleanParts(name) {
		next := n.children[part]
		if !n.isDir() {
			return nil, pathError(op, name, errors.New("not a directory"))
		}
		if next == nil {
			return nil, pathError(op, name, fs.ErrNotExist)
		}
		n = next
	}
	return n, nil
}

// parent returns the directory that holds (or would hold) a path, and the last
// element of the path.
func (m *Mem) parent(op, name string) (*memNode, string, error) {
	parts := cleanParts(name)
	if len(parts) == 0 {
		return nil, "", pathError(op, name, fs.ErrInvalid)
	}
	dir, err := m.find(op, strings.Join(parts[:len(parts)-1], "/"))
	if err != nil {
		return nil, "", err
	}
	if !dir.isDir() {
		return nil, "", pathError(op, name, errors.New("not a directory"))
	}
	return dir, parts[len(parts)-1], nil
}

func (m *Mem) findFile(op, name string) (*memNode, error) {
	n, err := m.find(op, name)
	if err != nil {
		return nil, err
	}
	if n.isDir() {
		return nil, pathError(op, name, errors.New("is a directory"))
	}
	return n, nil
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent("create", name)
	if err != nil {
		return nil, err
	}
	n := dir.children[base]
	switch {
	case n == nil:
		n = &memNode{}
		m.change(nameEdit{dir, base, n})
	case n.isDir():
		return nil, pathError("create", name, errors.New("is a directory"))
	default:
		n.truncate(0)
	}
	return &memFile{m: m, n: n, name: name, write: true}, nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenWrite implements FS.
func (m *Mem) OpenWrite(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, write bool) (File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.findFile("open", name)
	if err != nil {
		return nil, err
	}
	return &memFile{m: m, n: n, name: name, write: write}, nil
}

// Map implements FS with a copy, aligned as a real mapping would be.
func (m *Mem) Map(name string) (Mapping, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.findFile("map", name)
	if err != nil {
		return nil, err
	}
	b := alignedBytes(int64(len(n.data)))
	copy(b, n.data)
	return &memMapping{b: b}, nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	oldDir, oldBase, err := m.parent("rename", oldName)
	if err != nil {
		return err
	}
	newDir, newBase, err := m.parent("rename", newName)
	if err != nil {
		return err
	}
	n := oldDir.children[oldBase]
	if n == nil {
		return pathError("rename", oldName, fs.ErrNotExist)
	}
	target := newDir.children[newBase]
	if target == n {
		return nil
	}
	if target != nil && (target.isDir() || n.isDir()) {
		return pathError("rename", newName, fs.ErrExist)
	}
	if n.isDir() && strings.HasPrefix(path.Clean("/"+newName), path.Clean("/"+oldName)+"/") {
		return pathError("rename", newName, fs.ErrInvalid)
	}
	m.change(nameEdit{oldDir, oldBase, nil}, nameEdit{newDir, newBase, n})
	return nil
}

// Link implements FS.
func (m *Mem) Link(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findFile("link", oldName)
	if err != nil {
		return err
	}
	dir, base, err := m.parent("link", newName)
	if err != nil {
		return err
	}
	if dir.children[base] != nil {
		return pathError("link", newName, fs.ErrExist)
	}
	m.change(nameEdit{dir, base, n})
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent("remove", name)
	if err != nil {
		return err
	}
	n := dir.children[base]
	if n == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if len(n.children) > 0 {
		return pathError("remove", name, errors.New("directory not empty"))
	}
	m.change(nameEdit{dir, base, nil})
	return nil
}

// RemoveAll implements FS.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent("remove", name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if n := dir.children[base]; n != nil {
		m.removeTree(dir, base, n)
	}
	return nil
}

// removeTree removes name by name, from the leaves up, as a process must.
func (m *Mem) removeTree(dir *memNode, base string, n *memNode) {
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		m.removeTree(n, name, n.children[name])
	}
	m.change(nameEdit{dir, base, nil})
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, part := range cleanParts(name) {
		next := n.children[part]
		if next == nil {
			next = newMemDir()
			m.change(nameEdit{n, part, next})
			m.syncDir(n)
		}
		if !next.isDir() {
			return pathError("mkdir", name, errors.New("is a file"))
		}
		n = next
	}
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !n.isDir() {
		return nil, pathError("readdir", name, errors.New("not a directory"))
	}
	entries := make([]fs.DirEntry, 0, len(n.children))
	for _, base := range slices.Sorted(maps.Keys(n.children)) {
		entries = append(entries, fs.FileInfoToDirEntry(n.children[base].info(base)))
	}
	return entries, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find("stat", name)
	if err != nil {
		return nil, err
	}
	return n.info(path.Base(path.Clean("/" + name))), nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("syncdir", name)
	if err != nil {
		return err
	}
	if !n.isDir() {
		return pathError("syncdir", name, errors.New("not a directory"))
	}
	m.syncDir(n)
	return nil
}

// syncDir makes every pending change of dir durable, and with a rename across
// directories everything that went before it in the other directory: a journal
// never keeps an effect without its causes.
func (m *Mem) syncDir(dir *memNode) {
	involved := map[*memNode]bool{dir: true}
	take := make([]bool, len(m.pending))
	for i, c := range slices.Backward(m.pending) {
		take[i] = slices.ContainsFunc(c, func(e nameEdit) bool { return involved[e.dir] })
		if take[i] {
			for _, e := range c {
				involved[e.dir] = true
			}
		}
	}
	var rest []nameChange
	for i, c := range m.pending {
		if !take[i] {
			rest = append(rest, c)
			continue
		}
		c.apply(func(d *memNode) map[string]*memNode { return d.durable })
	}
	m.pending = rest
}

// apply does the edits on the maps that names gives.
func (c nameChange) apply(names func(*memNode) map[string]*memNode) {
	for _, e := range c {
		if e.node == nil {
			delete(names(e.dir), e.name)
		} else {
			names(e.dir)[e.name] = e.node
		}
	}
}

// Lock implements FS. A clone has no locks: their holders are dead.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent("lock", name)
	if err != nil {
		return nil, err
	}
	key := path.Clean("/" + name)
	if m.locks[key] != nil {
		return nil, pathError("lock", name, ErrLocked)
	}
	if dir.children[base] == nil {
		m.change(nameEdit{dir, base, &memNode{}})
	}
	l := &memLock{m: m, key: key}
	m.locks[key] = l
	return l, nil
}

type memLock struct {
	m   *Mem
	key string
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.locks[l.key] == l {
		delete(l.m.locks, l.key)
	}
	return nil
}

func (n *memNode) info(name string) fs.FileInfo {
	return memInfo{name: name, size: int64(len(n.data)), dir: n.isDir()}
}

// memInfo has no times: nothing may depend on them.
type memInfo struct {
	name string
	size int64
	dir  bool
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) Sys() any           { return nil }

func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

// truncate sets the length; clean falls with it.
func (n *memNode) truncate(size int) {
	if size <= len(n.data) {
		n.data = n.data[:size]
	} else {
		n.data = append(n.data, make([]byte, size-len(n.data))...)
	}
	n.clean = min(n.clean, size)
}

// memFile is an open file of a Mem.
type memFile struct {
	m      *Mem
	n      *memNode
	name   string
	write  bool
	closed bool
}

// usable says why an operation can't be done, if it can't. m.mu is held.
func (f *memFile) usable(op string, write bool) error {
	switch {
	case f.closed:
		return pathError(op, f.name, fs.ErrClosed)
	case write && !f.write:
		return pathError(op, f.name, fs.ErrPermission)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if err := f.usable("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", f.name, fs.ErrInvalid)
	}
	if off >= int64(len(f.n.data)) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) Write(p []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("write", true); err != nil {
		return 0, err
	}
	f.n.data = append(f.n.data, p...)
	return len(p), nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("write", true); err != nil {
		return 0, err
	}
	if err := insideFile(off, len(p), int64(len(f.n.data))); err != nil {
		return 0, pathError("write", f.name, err)
	}
	copy(f.n.data[off:], p)
	f.n.clean = min(f.n.clean, int(off))
	return len(p), nil
}

// Sync copies only what changed, so that a long log can be synced often.
func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("sync", false); err != nil {
		return err
	}
	n := f.n
	n.stable = append(n.stable[:n.clean], n.data[n.clean:]...)
	n.clean = len(n.data)
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("truncate", true); err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", f.name, fs.ErrInvalid)
	}
	f.n.truncate(int(size))
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if err := f.usable("stat", false); err != nil {
		return 0, err
	}
	return int64(len(f.n.data)), nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("close", false); err != nil {
		return err
	}
	f.closed = true
	return nil
}

// memMapping is a copy of a file.
type memMapping struct{ b []byte }

func (m *memMapping) Bytes() []byte { return m.b }
func (m *memMapping) Advise(Advice) {}

func (m *memMapping) Close() error {
	m.b = nil
	return nil
}

// alignedBytes returns zeroed bytes that start at a page boundary, as mapped ones
// do: code that views them as wider elements relies on it.
func alignedBytes(size int64) []byte {
	const page = 4096
	if size == 0 {
		return nil
	}
	b := make([]byte, size+page-1)
	skip := int(-uintptr(unsafe.Pointer(&b[0])) & (page - 1))
	return b[skip : skip+int(size) : skip+int(size)]
}
