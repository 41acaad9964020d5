package transfer

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Defaults of both sides.
const (
	defaultLimit = 2
	defaultRate  = 100 << 20
	defaultLease = 30 * time.Second
)

// streamsPerExport is how many streams one export may have: the one that is used, and one that
// broke and hasn't been noticed.
const streamsPerExport = 2

// Export is a copy's files as they are at one moment. They stay as they are until Close,
// which is called once, after all files were closed.
type Export interface {
	// Meta is what the one who installs the files needs besides them.
	Meta() []byte
	// Files are the files.
	Files() []File
	// Open opens the file with this number. ReadAt is called by one goroutine.
	Open(i int) (ReaderAtCloser, error)
	io.Closer
}

// ReaderAtCloser is an open file of an export.
type ReaderAtCloser interface {
	io.ReaderAt
	io.Closer
}

// ExportsOptions are what Exports need.
type ExportsOptions struct {
	// Open makes an export of the node's copy of a shard.
	Open func(ctx context.Context, shard topology.ShardName) (Export, error)
	// Limit is how many exports may be open; 0 is 2.
	Limit int
	// BytesPerSecond is how fast all of them together are sent; 0 is 100 MiB.
	BytesPerSecond int
	// Lease is how long an export that nobody reads stays open; 0 is 30 s.
	Lease  time.Duration
	Logger *slog.Logger
}

// Exports sends copies of this node's shards. It is safe for concurrent use.
type Exports struct {
	o       ExportsOptions
	limiter *rate.Limiter

	mu      sync.Mutex
	open    map[string]*lease // by token
	opening int
	closed  bool
}

// lease is an open export. Fields are guarded by Exports.mu, except the fixed ones.
type lease struct {
	token   string
	shard   topology.ShardName
	export  Export
	files   []File
	streams int
	expiry  *time.Timer // runs while there is no stream
	ended   bool        // close it with the last stream
	sent    int64
}

// NewExports makes Exports.
func NewExports(o ExportsOptions) *Exports {
	if o.Limit <= 0 {
		o.Limit = defaultLimit
	}
	if o.BytesPerSecond <= 0 {
		o.BytesPerSecond = defaultRate
	}
	if o.Lease <= 0 {
		o.Lease = defaultLease
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Exports{o: o, limiter: newLimiter(o.BytesPerSecond), open: make(map[string]*lease)}
}

// newLimiter makes a limiter through which a whole chunk fits at once.
func newLimiter(bytesPerSecond int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(bytesPerSecond), ChunkBytes)
}

// Send answers a request: it calls send with chunk after chunk until all is sent, send
// fails, or ctx ends. A chunk's data may be used until send returns. The error is
// apierror.Unavailable when too many exports are open, apierror.NotFound when the token
// names none.
func (e *Exports) Send(ctx context.Context, r Request, send func(Chunk) error) error {
	if r.Done {
		e.end(r.Token)
		return nil
	}
	l, opened, err := e.enter(ctx, r)
	if err != nil {
		return err
	}
	defer e.leave(l)
	if opened {
		m := &Manifest{Token: l.token, Meta: l.export.Meta(), Files: l.files}
		if err := send(Chunk{Manifest: m}); err != nil {
			return err
		}
	}
	return e.sendFrom(ctx, l, r.File, r.Offset, send)
}

// sendFrom sends the files from a place on.
func (e *Exports) sendFrom(ctx context.Context, l *lease, file int, offset int64, send func(Chunk) error) error {
	if file < 0 || file > len(l.files) || offset < 0 || (file < len(l.files) && offset > l.files[file].Size) {
		return apierror.New(apierror.BadInput, "export of shard %d of %s has no file %d at %d", l.shard.Shard, l.shard.Collection, file, offset)
	}
	buf := make([]byte, ChunkBytes)
	for ; file < len(l.files); file++ {
		if err := e.sendFile(ctx, l, file, offset, buf, send); err != nil {
			return err
		}
		offset = 0
	}
	return nil
}

// sendFile sends the rest of a file.
func (e *Exports) sendFile(ctx context.Context, l *lease, file int, offset int64, buf []byte, send func(Chunk) error) (err error) {
	size := l.files[file].Size
	if offset == size {
		return nil
	}
	f, err := l.export.Open(file)
	if err != nil {
		return apierror.New(apierror.Internal, "can't open %s of an export: %w", l.files[file], err)
	}
	defer func() { _ = f.Close() }() // it was only read
	for offset < size {
		data := buf[:min(size-offset, int64(len(buf)))]
		if err := e.limiter.WaitN(ctx, len(data)); err != nil {
			return err
		}
		if n, err := f.ReadAt(data, offset); n < len(data) {
			return apierror.New(apierror.Internal, "can't read %s of an export at %d: %w", l.files[file], offset, err)
		}
		if err := send(Chunk{File: file, Offset: offset, Data: data, CRC: Checksum(data)}); err != nil {
			return err
		}
		offset += int64(len(data))
		e.mu.Lock()
		l.sent += int64(len(data))
		e.mu.Unlock()
	}
	return nil
}

// enter finds the export of a request, or opens one.
func (e *Exports) enter(ctx context.Context, r Request) (l *lease, opened bool, err error) {
	if r.Token != "" {
		l, err = e.resume(r)
		return l, false, err
	}
	e.mu.Lock()
	switch {
	case e.closed:
		err = apierror.New(apierror.Unavailable, "the node is shutting down")
	case len(e.open)+e.opening >= e.o.Limit:
		err = apierror.New(apierror.Unavailable, "%d copies are being sent already", e.o.Limit)
	default:
		e.opening++
	}
	e.mu.Unlock()
	if err != nil {
		return nil, false, err
	}
	export, err := e.o.Open(ctx, r.Shard)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opening--
	if err != nil {
		return nil, false, err
	}
	l = &lease{token: rand.Text(), shard: r.Shard, export: export, files: export.Files(), streams: 1, ended: e.closed}
	e.open[l.token] = l
	return l, true, nil
}

// resume adds a stream to an open export.
func (e *Exports) resume(r Request) (*lease, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.open[r.Token]
	switch {
	case l == nil || l.ended || l.shard != r.Shard:
		return nil, apierror.New(apierror.NotFound, "there is no such export of shard %d of %s", r.Shard.Shard, r.Shard.Collection)
	case l.streams >= streamsPerExport:
		return nil, apierror.New(apierror.Unavailable, "the export is being sent already")
	}
	l.streams++
	if l.expiry != nil {
		l.expiry.Stop()
		l.expiry = nil
	}
	return l, nil
}

// leave ends a stream. The export stays open for the lease, unless it has ended.
func (e *Exports) leave(l *lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.streams--
	switch {
	case l.streams > 0:
	case l.ended:
		e.drop(l)
	default:
		l.expiry = time.AfterFunc(e.o.Lease, func() { e.expire(l) })
	}
}

// expire closes an export whose lease is over, unless a stream came back in time.
func (e *Exports) expire(l *lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l.streams == 0 && e.open[l.token] == l {
		e.drop(l)
	}
}

// end closes an export as soon as no stream reads it.
func (e *Exports) end(token string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.open[token]
	if l == nil {
		return
	}
	l.ended = true
	if l.streams == 0 {
		e.drop(l)
	}
}

// drop forgets an export and closes it; e.mu is held.
func (e *Exports) drop(l *lease) {
	delete(e.open, l.token)
	if l.expiry != nil {
		l.expiry.Stop()
	}
	if err := l.export.Close(); err != nil {
		e.o.Logger.Warn("can't close an export", "collection", l.shard.Collection, "shard", l.shard.Shard, "error", err)
	}
}

// Sending is an open export.
type Sending struct {
	Shard topology.ShardName
	// Bytes is the size of all files, Sent how much was sent, more than once where it
	// had to be.
	Bytes, Sent int64
}

// Open lists the exports that are open.
func (e *Exports) Open() []Sending {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]Sending, 0, len(e.open))
	for _, l := range e.open {
		m := Manifest{Files: l.files}
		all = append(all, Sending{Shard: l.shard, Bytes: m.Bytes(), Sent: l.sent})
	}
	return all
}

// Close closes the exports that nobody reads, and the others when their streams end,
// which is the caller's to bring about. No new ones are opened.
func (e *Exports) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, l := range e.open {
		l.ended = true
		if l.streams == 0 {
			e.drop(l)
		}
	}
}
