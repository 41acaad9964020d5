package oplog

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/sextantdb/sextant/internal/fsx"
)

// Ticket tells when appended records are durable. Records that are committed
// together share one, so that an append costs no allocation of its own.
type Ticket struct {
	done chan struct{}
	// err is written before done is closed.
	err error
	// refused says that the log didn't take the record.
	refused bool
}

func newTicket() *Ticket { return &Ticket{done: make(chan struct{})} }

// failedTicket is what a refused record gets.
func failedTicket(err error) *Ticket {
	t := &Ticket{done: make(chan struct{}), err: err, refused: true}
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

// Refused says that the record was not taken: the next one has its number. A
// ticket that fails without was taken, and its record may become durable yet.
func (t *Ticket) Refused() bool { return t.refused }

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
	return &queue{ticket: newTicket(), buf: append(buf[:0], make([]byte, batchHeaderSize)...)}
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
		if err := l.write(q); err != nil {
			l.fail(q, err)
			return
		}
	}
}

// write commits a batch, however often it takes. It gives up when the log is
// damaged, or when it closes and a last attempt fails.
func (l *Log) write(q *queue) error {
	for again := true; ; {
		err := ErrFull
		if l.opts.Hold == nil || !l.opts.Hold() {
			err = l.tail.commit(q)
		}
		if err == nil {
			l.succeed(q)
			return nil
		}
		l.tail.giveBack()
		if errors.Is(err, ErrCorrupted) || !again {
			return err
		}
		again = l.pause(q, err)
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
// that would prove it. A mark that can't be written is left out.
func (l *Log) markIfIdle() {
	l.mu.Lock()
	busy := l.queue.count > 0
	l.mu.Unlock()
	if !busy {
		_ = l.tail.put(batchMark, make([]byte, batchHeaderSize), 0, false)
	}
}

// tail is the end of the log, where batches are written. It belongs to one
// goroutine. When one of its steps fails, it is as before, and the step can be
// done again after repair.
type tail struct {
	log *Log
	// file is the newest file, nil in a log without files; w is open while file is
	// neither nil nor sealed.
	file *logFile
	w    fsx.File
	end
	// synced is the end that the last sync has made durable.
	synced end
	// torn says that the file has bytes behind end, from a write that failed;
	// unsure that a sync of it failed.
	torn, unsure bool
	logID        uint64
}

// end is where the next batch goes, and what it must continue.
type end struct {
	// size is the file's length, records says whether it has anything but its
	// snapshot.
	size    int64
	records bool
	// next is the number of the next batch, prevSum the header checksum of the last.
	next    uint64
	prevSum uint32
}

// commit writes a batch of records, syncs it, and brings the index up to date.
func (t *tail) commit(q *queue) error {
	if err := t.repair(); err != nil {
		return err
	}
	if err := t.makeRoom(int64(len(q.buf))); err != nil {
		return err
	}
	// Room for the directory of few streams, in a buffer that later queues use again.
	q.buf = slices.Grow(q.buf, int(min(q.count, 64))*recordHeadSize+directoryTail)
	off := t.size
	if err := t.put(batchRecords, q.buf, q.count, true); err != nil {
		return err
	}
	l := t.log
	l.mu.Lock()
	defer l.mu.Unlock()
	t.file.size = t.size
	return l.index.apply(t.file, off, q.buf[batchHeaderSize:], false, nil)
}

// put writes one batch, whose header's place in b is filled here.
func (t *tail) put(kind batchKind, b []byte, count uint32, sync bool) error {
	at := t.file.place(t.size)
	h := batchHeader{
		kind: kind, number: t.next, bodySum: checksum(b[batchHeaderSize:]), prevSum: t.prevSum, count: count,
	}
	if kind.hasDirectory() {
		b = appendDirectory(b, at)
	}
	h.bodyLen = uint32(len(b) - batchHeaderSize)
	sum := h.put(b, at)
	if kind == batchSeal {
		b = append(b, encodeTrailer(at)...)
	}
	if _, err := t.w.Write(b); err != nil {
		t.torn = true
		return fmt.Errorf("write log: %w", err)
	}
	t.end = end{
		size: t.size + int64(len(b)), records: t.records || kind == batchRecords, next: t.next + 1, prevSum: sum,
	}
	if !sync {
		return nil
	}
	if err := t.w.Sync(); err != nil {
		t.end, t.unsure = t.synced, true
		return fmt.Errorf("sync log: %w", err)
	}
	t.synced = t.end
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
	_ = t.close() // everything in it is durable
	return nil
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
	next := tail{log: l, file: f, logID: t.logID, end: end{size: fileHeaderSize, next: t.next, prevSum: t.prevSum}}
	if err := next.begin(h, body, count); err != nil {
		// What there is of it is no file yet; another try makes it anew. If it
		// stays after a crash, Open finds it unfinished.
		_ = next.close()
		return errors.Join(err, removeIfThere(l.opts.FS, f.path))
	}
	f.size = next.size
	l.mu.Lock()
	l.files = append(l.files, f)
	l.mu.Unlock()
	*t = next
	return nil
}

// begin makes the file and writes header and snapshot.
func (t *tail) begin(h fileHeader, snapshot []byte, count uint32) (err error) {
	system := t.log.opts.FS
	if t.w, err = system.Create(t.file.path); err != nil {
		return fmt.Errorf("create log file: %w", err)
	}
	if _, err := t.w.Write(h.encode()); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	if err := t.put(batchSnapshot, snapshot, count, true); err != nil {
		return err
	}
	if err := system.SyncDir(t.log.opts.Dir); err != nil {
		return fmt.Errorf("sync log directory: %w", err)
	}
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
