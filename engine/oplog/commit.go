package oplog

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"path"

	"github.com/sextantdb/sextant/internal/fsx"
)

// Ticket tells when appended records are durable. Records that are committed
// together share one, so that an append costs no allocation of its own.
type Ticket struct {
	done chan struct{}
	// err is written before done is closed.
	err error
}

// failedTicket is what a refused record gets.
func failedTicket(err error) *Ticket {
	t := &Ticket{done: make(chan struct{}), err: err}
	close(t.done)
	return t
}

// Wait returns when the record is durable (nil) or has failed, or ctx is done.
func (t *Ticket) Wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		// Both may be ready; what is known counts more.
		if t.finished() {
			return t.err
		}
		return fmt.Errorf("wait for the log: %w", context.Cause(ctx))
	}
}

// Done is closed when Err is known.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Err returns why the record isn't durable; nil when it is, or while that is open.
func (t *Ticket) Err() error {
	if t.finished() {
		return t.err
	}
	return nil
}

func (t *Ticket) finished() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

func (t *Ticket) finish(err error) {
	t.err = err
	close(t.done)
}

// newQueue begins a batch. mu is held, or Open runs.
func (l *Log) newQueue() *queue {
	buf := l.spare
	l.spare = nil
	if buf == nil {
		buf = make([]byte, 0, 4096)
	}
	return &queue{ticket: &Ticket{done: make(chan struct{})}, buf: append(buf[:0], make([]byte, batchHeaderSize)...)}
}

// run is the one goroutine that writes: it takes what has gathered while the last
// batch was written and synced, and commits it as one.
func (l *Log) run() {
	defer close(l.ended)
	for {
		q := l.take()
		if q == nil {
			return
		}
		err := l.tail.commit(q)
		if err == nil {
			q.ticket.finish(nil)
			l.recycle(q.buf)
			err = l.markIfIdle()
		} else {
			q.ticket.finish(l.fail(err))
		}
		if err != nil {
			_ = l.fail(err)
			return
		}
	}
}

// take waits for records and takes all of them; nil when the log is closed and
// nothing waits.
func (l *Log) take() *queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.queue.count == 0 && !l.closing {
		l.wake.Wait()
	}
	if l.queue.count == 0 {
		return nil
	}
	q := l.queue
	l.queue = l.newQueue()
	l.room.Broadcast()
	return q
}

// recycle keeps a buffer for a later queue, unless one huge record made it huge.
func (l *Log) recycle(buf []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spare == nil && cap(buf) <= 2*l.opts.QueueBytes {
		l.spare = buf
	}
}

// markIfIdle proves on disk that the last batch was synced, when no batch follows
// that would prove it.
func (l *Log) markIfIdle() error {
	l.mu.Lock()
	busy := l.queue.count > 0
	l.mu.Unlock()
	if busy {
		return nil
	}
	return l.tail.put(batchMark, make([]byte, batchHeaderSize), 0, false)
}

// fail makes the first failure final and gives it to everybody who waits.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("%w: %w", ErrFailed, err)
		l.queue.ticket.finish(l.err)
		l.room.Broadcast()
	}
	return l.err
}

// tail is the end of the log, where batches are written. It belongs to one
// goroutine.
type tail struct {
	log *Log
	// file is the newest file, nil in a log without files; w is open while file is
	// neither nil nor sealed.
	file *logFile
	w    fsx.File
	// size is the file's length, records says whether it has anything but its
	// snapshot.
	size    int64
	records bool
	// next is the number of the next batch, prevSum the header checksum of the last.
	next    uint64
	prevSum uint32
	logID   uint64
}

// commit writes a batch of records, syncs it, and brings the index up to date.
func (t *tail) commit(q *queue) error {
	if err := t.makeRoom(int64(len(q.buf))); err != nil {
		return err
	}
	off := t.size
	if err := t.put(batchRecords, q.buf, q.count, true); err != nil {
		return err
	}
	t.records = true
	l := t.log
	l.mu.Lock()
	defer l.mu.Unlock()
	t.file.size = t.size
	return l.index.apply(t.file, off, q.buf[batchHeaderSize:], false, nil)
}

// put writes one batch, whose header's place in b is filled here.
func (t *tail) put(kind batchKind, b []byte, count uint32, sync bool) error {
	body := b[batchHeaderSize:]
	h := batchHeader{
		kind: kind, number: t.next, bodyLen: uint32(len(body)), bodySum: checksum(body), prevSum: t.prevSum, count: count,
	}
	at := t.file.place(t.size)
	sum := h.put(b, at)
	if kind == batchSeal {
		b = append(b, encodeTrailer(at)...)
	}
	if _, err := t.w.Write(b); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	t.size += int64(len(b))
	t.next, t.prevSum = t.next+1, sum
	if !sync {
		return nil
	}
	if err := t.w.Sync(); err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	return nil
}

// makeRoom sees to a file that is open and takes n more bytes.
func (t *tail) makeRoom(n int64) error {
	if t.w != nil && t.records && t.size+n > t.log.opts.FileSize {
		if err := t.seal(); err != nil {
			return err
		}
	}
	if t.w == nil {
		return t.create()
	}
	return nil
}

// seal ends the current file with its index. The seal is durable before the next
// file exists, so that only the newest file can be without.
func (t *tail) seal() error {
	l := t.log
	l.mu.Lock()
	body, count := l.index.encodeSeal(t.file)
	l.mu.Unlock()
	b := append(make([]byte, batchHeaderSize, batchHeaderSize+len(body)+trailerSize), body...)
	if err := t.put(batchSeal, b, count, true); err != nil {
		return err
	}
	l.mu.Lock()
	t.file.size = t.size
	l.mu.Unlock()
	return t.close()
}

// create begins the next file with a snapshot of the streams. It is durable, with
// its name, before the first record goes into it.
func (t *tail) create() error {
	l := t.log
	if t.file == nil {
		var id [8]byte
		if _, err := rand.Read(id[:]); err != nil {
			return fmt.Errorf("make up the log's id: %w", err)
		}
		t.logID, t.next = binary.LittleEndian.Uint64(id[:]), 1
	}
	h := fileHeader{logID: t.logID, number: 1, firstBatch: t.next, prevSum: t.prevSum}
	if t.file != nil {
		h.number = t.file.number + 1
	}
	l.mu.Lock()
	h.nextStream = l.index.durableNext
	body, count := l.index.snapshot(make([]byte, batchHeaderSize))
	l.mu.Unlock()
	f := &logFile{number: h.number, path: path.Join(l.opts.Dir, fileName(h.number)), logID: t.logID}
	w, err := l.opts.FS.Create(f.path)
	if err != nil {
		return fmt.Errorf("create log file: %w", err)
	}
	t.file, t.w, t.size, t.records = f, w, fileHeaderSize, false
	if _, err := w.Write(h.encode()); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	if err := t.put(batchSnapshot, body, count, true); err != nil {
		return err
	}
	if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
		return fmt.Errorf("sync log directory: %w", err)
	}
	l.mu.Lock()
	f.size = t.size
	l.files = append(l.files, f)
	l.mu.Unlock()
	return nil
}

// close closes the file that is open, if one is.
func (t *tail) close() error {
	if t.w == nil {
		return nil
	}
	w := t.w
	t.w = nil
	if err := w.Close(); err != nil {
		return fmt.Errorf("close log file: %w", err)
	}
	return nil
}
