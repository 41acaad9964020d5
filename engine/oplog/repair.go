package oplog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/sextantdb/sextant/internal/fsx"
)

// What happens when the disk refuses. A batch that can't be written or synced fails
// its ticket at once, and the log refuses records from then on. Those that it has
// taken it keeps, and tries to write again and again: a shard has applied them, so
// they must be the next in its stream. When they are written, the log takes
// records again.

// copySuffix is the end of the name of a file that is to replace a log file.
const copySuffix = ".copy"

// pause tells everybody that waits about a failure, and returns true when it is time
// to try again, false when the log closes.
func (l *Log) pause(q *queue, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	l.trouble = failure(err)
	l.finish(q, l.trouble)
	l.finish(l.queue, l.trouble)
	l.room.Broadcast()
	again := false
	timer := time.AfterFunc(l.opts.RetryAfter, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		again = true
		l.wake.Signal()
	})
	defer timer.Stop()
	for !again && !l.closing {
		l.wake.Wait()
	}
	return !l.closing
}

// succeed ends a batch. A failure is over when everything is written that was taken
// before it was known.
func (l *Log) succeed(q *queue) {
	l.mu.Lock()
	l.finish(q, nil)
	if l.trouble != nil && l.queue.count == 0 {
		l.trouble = nil
		l.queue.ticket, l.queue.told = newTicket(), false
	}
	l.mu.Unlock()
	l.recycle(q.buf)
	l.markIfIdle()
}

// fail makes a failure final and gives it to everybody who waits.
func (l *Log) fail(q *queue, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = failure(err)
	l.finish(q, l.err)
	l.finish(l.queue, l.err)
	l.room.Broadcast()
}

// finish tells a batch's ticket, unless it was told of a failure before. mu is held.
func (l *Log) finish(q *queue, err error) {
	if !q.told {
		q.told = true
		q.ticket.finish(err)
	}
}

// failure is how callers see an error of the disk.
func failure(err error) error {
	if errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if fsx.IsFull(err) {
		return fmt.Errorf("%w: %w: %w", ErrFailed, ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

// giveBack cuts off what a write left that failed: on a full disk others need the room before the next
// attempt. If that fails it is done then.
func (t *tail) giveBack() {
	if t.w != nil && t.torn && !t.unsure && t.w.Truncate(t.size) == nil {
		t.torn = false
	}
}

// repair makes the end of the file sound again after a failure.
func (t *tail) repair() error {
	switch {
	case t.w == nil:
		return nil
	case t.unsure:
		return t.replace()
	case t.torn:
		if err := t.w.Truncate(t.size); err != nil {
			return fmt.Errorf("cut a failed write off the log: %w", err)
		}
		t.torn = false
	}
	return nil
}

// replace puts a copy of what is durable in the place of a file of which a sync has
// failed. Such a file can't be synced again: the system may hold the pages for
// clean that it has lost. What an earlier sync has made durable isn't concerned,
// and its checksums are compared on the way.
func (t *tail) replace() (err error) {
	system, name := t.log.opts.FS, t.file.path+copySuffix
	if err := removeIfThere(system, name); err != nil {
		return err
	}
	w, err := system.Create(name)
	if err != nil {
		return fmt.Errorf("replace log file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = w.Close()
		}
	}()
	if err := t.copyTo(w); err != nil {
		return err
	}
	if err := w.Sync(); err != nil {
		return fmt.Errorf("replace log file: %w", err)
	}
	if err := system.Rename(name, t.file.path); err != nil {
		return fmt.Errorf("replace log file: %w", err)
	}
	// Until the name is durable the old file may come back: then this is done again.
	if err := system.SyncDir(t.log.opts.Dir); err != nil {
		return fmt.Errorf("sync log directory: %w", err)
	}
	_ = t.w.Close() // it is gone
	t.w, t.end, t.torn, t.unsure = w, t.synced, false, false
	return nil
}

// copyTo writes the durable part of the file to w, verified.
func (t *tail) copyTo(w io.Writer) (err error) {
	src, err := t.log.opts.FS.Open(t.file.path)
	if err != nil {
		return fmt.Errorf("replace log file: %w", err)
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	r := newBatchReader(t.file, src, fileHeaderSize, t.synced.size)
	for {
		_, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errNoBatch) {
			return t.file.corrupted(r.off, "after a failed sync: "+r.why)
		}
		if err != nil {
			return fmt.Errorf("replace log file: %w", err)
		}
	}
	if r.prev == nil || r.prev.number+1 != t.synced.next || r.prev.sum != t.synced.prevSum {
		return t.file.corrupted(r.off, "after a failed sync the last batch is another")
	}
	if _, err := io.Copy(w, io.NewSectionReader(src, 0, t.synced.size)); err != nil {
		return fmt.Errorf("replace log file: %w", err)
	}
	return nil
}

func removeIfThere(system fsx.FS, name string) error {
	if err := system.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove unfinished log file: %w", err)
	}
	return nil
}
