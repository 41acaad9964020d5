package oplog

import (
	"errors"

	"github.com/sextantdb/sextant/internal/fsx"
)

var errTodo = errors.New("not built yet")

// Options says where a log lives. The zero value of a field is its default.
type Options struct {
	// FS is the file system.
	FS fsx.FS
	// Dir is the log's own directory; it is made when missing.
	Dir string
	// FileSize is the length at which a file is closed and the next one begun,
	// 64 MiB by default.
	FileSize int64
	// QueueBytes bounds the records that wait to be written, 4 MiB by default.
	// Append waits for room; a single larger record passes alone.
	QueueBytes int
}

// Log is the operation log of one disk. It is safe for concurrent use.
type Log struct{}

// Open opens or makes a log, cuts a torn tail, and begins to accept records. It
// fails with ErrCorrupted when anything but the tail is damaged.
func Open(o Options) (*Log, error) { return nil, errTodo }

// Stream returns the stream with this id, the same object for the same id. A new
// one becomes durable with its first record.
func (l *Log) Stream(id string) *Stream { return nil }

// Streams returns the ids of the streams that have a record or a position in the
// log, sorted.
func (l *Log) Streams() []string { return nil }

// Err returns the failure that poisoned the log, or nil.
func (l *Log) Err() error { return nil }

// Holder is a stream whose unreleased records keep the log's oldest file.
type Holder struct {
	// Stream is the stream's id.
	Stream string
	// Seq is up to where it must be released for the file to go.
	Seq uint64
	// Bytes is the length of the log from that file on.
	Bytes int64
}

// Holders returns the streams that keep the oldest file from being removed; nil
// while the log has one file only.
func (l *Log) Holders() []Holder { return nil }

// Size returns the bytes that the log occupies.
func (l *Log) Size() int64 { return 0 }

// Close writes and syncs what waits and closes the log. Idempotent.
func (l *Log) Close() error { return nil }
