package oplog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sextantdb/sextant/internal/fsx"
)

// The defaults of Options.
const (
	DefaultFileSize   = 64 << 20
	DefaultQueueBytes = 4 << 20
	DefaultRetryAfter = time.Second
)

// Options says where a log lives. The zero value of a field is its default.
type Options struct {
	// FS is the file system. Required.
	FS fsx.FS
	// Dir is the log's own directory; it is made when missing. Required.
	Dir string
	// FileSize is the length at which a file is closed and the next one begun,
	// 64 MiB by default. It may be another one at each Open.
	FileSize int64
	// QueueBytes bounds the records that wait to be written, 4 MiB by default.
	// Append waits for room; a single larger record passes alone. A log holds
	// about twice as much memory: one queue is written while the next one fills.
	QueueBytes int
	// Salvage opens a log although a stretch of it is lost with all that says whose records it had:
	// streams that may have lost some have a hole, across which nothing is read (ErrCorrupted).
	// Without it such a log doesn't open.
	Salvage bool
	// Expect are ids of streams of which the caller knows. Those that such a log knows nothing of
	// (any more) count as hurt, too.
	Expect []string
	// RetryAfter is how long the log waits after a failed write or sync before it
	// tries again, 1 s by default.
	RetryAfter time.Duration
	// Hold, when not nil, is asked before each write: true means that what room there is on the
	// disk is for somebody else, which is as if it were full.
	Hold func() bool
}

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil || o.Dir == "" {
		return o, errors.New("open log: file system and directory are required")
	}
	if o.FileSize < 0 || o.QueueBytes < 0 || o.QueueBytes > MaxRecord {
		// A batch's length has 32 bits: a queue and one large record must fit.
		return o, fmt.Errorf("open log: file size %d or queue size %d out of range", o.FileSize, o.QueueBytes)
	}
	if o.FileSize == 0 {
		o.FileSize = DefaultFileSize
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = DefaultQueueBytes
	}
	if o.RetryAfter <= 0 {
		o.RetryAfter = DefaultRetryAfter
	}
	return o, nil
}

// Log is the operation log of one disk. It is safe for concurrent use.
type Log struct {
	opts Options
	lock io.Closer
	// tail belongs to the goroutine run, and to Open before it starts.
	tail tail
	// ended is closed when run has returned.
	ended chan struct{}

	// lost is what Open has found missing; it doesn't change afterwards.
	lost error

	// trimming is held while files are removed, which must happen in order. It is
	// taken before mu.
	trimming sync.Mutex

	// mu guards everything below, all fields of Stream that are said to be, and the
	// changing fields of logFile.
	mu sync.Mutex
	// wake tells run that something waits or that the log closes; room tells
	// Append that the queue was taken.
	wake, room sync.Cond
	streams    map[string]*Stream
	index      index
	// files are the log's files, oldest first.
	files []*logFile
	// queue has the records that wait; spare is a buffer for the next queue.
	queue *queue
	spare []byte
	// trouble is why nothing can be written at the moment; err why the log takes
	// nothing any more.
	trouble, err error
	closing      bool
}

// queue is a batch being filled.
type queue struct {
	ticket *Ticket
	// told says that the ticket is finished, with a failure: the records still are
	// to be written.
	told bool
	// buf has room for the batch's header, then the records.
	buf   []byte
	count uint32
}

// Open opens or makes a log, cuts a torn tail, and begins to accept records. It
// needs no free space. It fails with ErrCorrupted when anything but the tail is
// damaged, unless it is certain which streams that concerns: then Read of those does. See also
// Options.Salvage.
// It fails with fsx.ErrLocked when another process has it open.
func Open(o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	lock, err := o.FS.Lock(path.Join(o.Dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{
		opts: o, lock: lock, ended: make(chan struct{}),
		streams: map[string]*Stream{}, index: index{byNumber: map[uint32]*Stream{}},
	}
	l.wake.L, l.room.L = &l.mu, &l.mu
	l.tail.log = l
	l.queue = l.newQueue()
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, l.tail.close(), lock.Close())
	}
	go l.run()
	return l, nil
}

// Stream returns the stream with this id, the same object for the same id. A new
// one becomes durable with its first record.
func (l *Log) Stream(id string) *Stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.streams[id]; s != nil {
		return s
	}
	return l.newStream(strings.Clone(id))
}

// newStream registers a stream; nil when there is one. mu is held, or Open runs.
func (l *Log) newStream(id string) *Stream {
	if l.streams[id] != nil {
		return nil
	}
	s := &Stream{log: l, id: id}
	l.streams[id] = s
	return s
}

// Streams returns the ids of the streams that have a record or a position in the
// log, sorted.
func (l *Log) Streams() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(l.streams)) {
		if l.streams[id].bound {
			ids = append(ids, id)
		}
	}
	return ids
}

// Err returns the failure because of which the log takes no records, nil when it
// takes them. It is over when the disk can be written again.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Or(l.err, l.trouble)
}

// Holder is a stream whose unreleased records keep the log's oldest file.
type Holder struct {
	// Stream is the stream's id.
	Stream string
	// Seq is up to where it must be released for the file to go.
	Seq uint64
	// Bytes is the length of the log from that file on.
	Bytes int64
}

// Holders returns the streams that keep the oldest file from being removed, sorted
// by id; nil while the log has one file only.
func (l *Log) Holders() []Holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) < 2 {
		return nil
	}
	var out []Holder
	bytes := l.size()
	for _, s := range l.index.byNumber {
		if last, holds := s.holds(); holds {
			out = append(out, Holder{Stream: s.id, Seq: last, Bytes: bytes})
		}
	}
	slices.SortFunc(out, func(a, b Holder) int { return strings.Compare(a.Stream, b.Stream) })
	return out
}

// Size returns the bytes that the log occupies.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size()
}

func (l *Log) size() int64 {
	var n int64
	for _, f := range l.files {
		n += f.size
	}
	return n
}

// trim removes the oldest files as long as no stream needs them and nobody reads
// them. Each removal is durable before the next one begins, because a gap
// between files would look like damage.
func (l *Log) trim() error {
	l.trimming.Lock()
	defer l.trimming.Unlock()
	for {
		f := l.removable()
		if f == nil {
			return nil
		}
		if err := l.opts.FS.Remove(f.path); err != nil {
			return fmt.Errorf("remove released log file: %w", err)
		}
		if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
			return fmt.Errorf("remove released log file: %w", err)
		}
		l.mu.Lock()
		l.files = l.files[1:]
		l.mu.Unlock()
	}
}

// removable takes the oldest file out of the index if it may go. A file whose
// removal failed stays first in files and is given again.
func (l *Log) removable() *logFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) < 2 || l.files[0].readers > 0 {
		return nil
	}
	f := l.files[0]
	for _, s := range l.index.byNumber {
		if _, holds := s.holds(); holds {
			return nil
		}
	}
	for _, s := range l.index.byNumber {
		s.extents = slices.DeleteFunc(s.extents, func(e extent) bool { return e.file == f })
	}
	return f
}

// Close writes and syncs what waits and closes the log. It returns the failure of
// the log, if it has failed. Idempotent.
func (l *Log) Close() error {
	l.mu.Lock()
	first := !l.closing
	l.closing = true
	l.wake.Signal()
	l.room.Broadcast()
	l.mu.Unlock()
	<-l.ended
	if !first {
		return nil
	}
	l.mu.Lock()
	err := l.err
	l.mu.Unlock()
	return errors.Join(err, l.tail.close(), l.lock.Close())
}
