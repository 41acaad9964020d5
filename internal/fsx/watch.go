package fsx

import (
	"sync"
	"time"
)

// Watch passes everything on to another file system, and knows how long the changes that are under way have been:
// a disk that stalls is seen while it does.
type Watch struct {
	FS
	mu    sync.Mutex
	next  uint64
	under map[uint64]time.Time // when each began
}

// NewWatch watches a file system.
func NewWatch(under FS) *Watch { return &Watch{FS: under, under: map[uint64]time.Time{}} }

// Oldest returns for how long the oldest change has been under way; 0 when none is.
func (w *Watch) Oldest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var oldest time.Duration
	for _, begun := range w.under {
		oldest = max(oldest, time.Since(begun))
	}
	return oldest
}

// begin notes a change; what it returns ends it.
func (w *Watch) begin() (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	n := w.next
	w.under[n] = time.Now()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.under, n)
	}
}

// Create implements FS.
func (w *Watch) Create(name string) (File, error) {
	defer w.begin()()
	f, err := w.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &watchedFile{f, w}, nil
}

// OpenWrite implements FS.
func (w *Watch) OpenWrite(name string) (File, error) {
	f, err := w.FS.OpenWrite(name)
	if err != nil {
		return nil, err
	}
	return &watchedFile{f, w}, nil
}

// Rename implements FS.
func (w *Watch) Rename(oldName, newName string) error {
	defer w.begin()()
	return w.FS.Rename(oldName, newName)
}

// SyncDir implements FS.
func (w *Watch) SyncDir(name string) error {
	defer w.begin()()
	return w.FS.SyncDir(name)
}

type watchedFile struct {
	File
	w *Watch
}

func (f *watchedFile) Write(p []byte) (int, error) {
	defer f.w.begin()()
	return f.File.Write(p)
}

func (f *watchedFile) WriteAt(p []byte, off int64) (int, error) {
	defer f.w.begin()()
	return f.File.WriteAt(p, off)
}

func (f *watchedFile) Sync() error {
	defer f.w.begin()()
	return f.File.Sync()
}
