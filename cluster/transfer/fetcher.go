package transfer

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/backoff"
	"github.com/sextantdb/sextant/internal/fsx"
)

// ErrCorrupt is a file that arrived twice with another checksum than the manifest's: the
// sender's copy is damaged.
var ErrCorrupt = errors.New("file of an export doesn't have the checksum of its manifest")

const (
	defaultStall    = 10 * time.Second
	defaultAttempts = 10
	retryBase       = 100 * time.Millisecond
	retryMax        = 2 * time.Second
)

// FetcherOptions are what a Fetcher needs.
type FetcherOptions struct {
	// FS is where staging folders are.
	FS fsx.FS
	// Limit is how many transfers run at a time; others wait. 0 is 2.
	Limit int
	// BytesPerSecond is how fast all of them together read; 0 is 100 MiB.
	BytesPerSecond int
	// Stall is how long a stream may bring nothing before it is opened anew; 0 is 10 s.
	Stall time.Duration
	// Attempts is how often in a row a stream may fail without bringing anything; 0 is
	// 10.
	Attempts int
	Logger   *slog.Logger
}

// Fetcher gets copies from other nodes. It is safe for concurrent use.
type Fetcher struct {
	o       FetcherOptions
	limiter *rate.Limiter
	slots   chan struct{}
}

// NewFetcher makes a Fetcher.
func NewFetcher(o FetcherOptions) *Fetcher {
	if o.Limit <= 0 {
		o.Limit = defaultLimit
	}
	if o.BytesPerSecond <= 0 {
		o.BytesPerSecond = defaultRate
	}
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	if o.Attempts <= 0 {
		o.Attempts = defaultAttempts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Fetcher{o: o, limiter: newLimiter(o.BytesPerSecond), slots: make(chan struct{}, o.Limit)}
}

// Job is one transfer.
type Job struct {
	// Shard is the shard, From who has its files.
	Shard topology.ShardName
	From  Source
	// Dir is the staging folder. What is in it is removed first, and after a failure.
	Dir string
	// Install gets the staging folder with all files, synced. It moves or removes it.
	Install func(ctx context.Context, dir string, m Manifest) error
	// Progress, when not nil, is kept up to date.
	Progress *Progress
}

// Progress is how far a transfer is. Its counters may be read at any time.
type Progress struct {
	// Files and Bytes are what there is to get, FilesDone and BytesDone what is there.
	Files, FilesDone, Bytes, BytesDone atomic.Int64
	// Resumed counts streams that broke and were opened again where they had been.
	Resumed atomic.Int64
}

// Fetch carries out a transfer. It waits for its turn, and ends with ctx.
func (f *Fetcher) Fetch(ctx context.Context, j Job) error {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if j.Progress == nil {
		j.Progress = new(Progress)
	}
	m, err := f.stage(ctx, j)
	if err != nil {
		if rm := f.o.FS.RemoveAll(j.Dir); rm != nil {
			f.o.Logger.WarnContext(ctx, "can't remove the staging folder of a failed transfer", "dir", j.Dir, "error", rm)
		}
		return err
	}
	return j.Install(ctx, j.Dir, m)
}

// stage fills the staging folder, beginning anew while the sender forgets the export.
func (f *Fetcher) stage(ctx context.Context, j Job) (Manifest, error) {
	for attempt := 1; ; attempt++ {
		m, err := f.stageOnce(ctx, j)
		if apierror.KindOf(err) != apierror.NotFound || m.Token == "" || attempt == f.o.Attempts || ctx.Err() != nil {
			return m, err
		}
		f.o.Logger.InfoContext(ctx, "the sender closed an export, the transfer begins anew",
			"collection", j.Shard.Collection, "shard", j.Shard.Shard, "error", err)
	}
}

// stageOnce gets one export. The returned manifest has a token when one was opened.
func (f *Fetcher) stageOnce(ctx context.Context, j Job) (Manifest, error) {
	if err := f.o.FS.RemoveAll(j.Dir); err != nil {
		return Manifest{}, err
	}
	if err := f.o.FS.MkdirAll(j.Dir); err != nil {
		return Manifest{}, err
	}
	s := staging{fs: f.o.FS, dir: j.Dir, progress: j.Progress}
	err := f.fill(ctx, j, &s)
	_ = s.close() // only open after a failure, which says more
	if s.manifest.Token != "" {
		f.release(ctx, j, s.manifest.Token)
	}
	if err == nil {
		err = s.syncDirs()
	}
	return s.manifest, err
}

// fill opens streams until the staging folder has everything.
func (f *Fetcher) fill(ctx context.Context, j Job, s *staging) error {
	wait := backoff.Backoff{Base: retryBase, Max: retryMax}
	for {
		before := s.received
		err := f.stream(ctx, j, s)
		if s.received != before {
			wait.Reset()
		}
		switch {
		case err == nil && s.complete():
			return nil
		case err == nil:
			err = errors.New("the stream ended early")
		case ctx.Err() != nil:
			return ctx.Err()
		case !passing(err):
			return err
		}
		d := wait.Next()
		if wait.Failures() >= f.o.Attempts {
			return apierror.New(apierror.Unavailable, "transfer of shard %d of %s failed %d times in a row: %w",
				j.Shard.Shard, j.Shard.Collection, wait.Failures(), err)
		}
		f.o.Logger.DebugContext(ctx, "a stream of a transfer broke", "shard", j.Shard.Shard, "error", err)
		if s.manifest.Token != "" {
			j.Progress.Resumed.Add(1)
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fatal is an error that trying again doesn't help.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// passing tells whether a stream that failed so may be opened again.
func passing(err error) bool {
	if _, ok := errors.AsType[fatal](err); ok {
		return false
	}
	e, ok := errors.AsType[*apierror.Error](err)
	return !ok || e.Kind == apierror.Unavailable || e.Kind == apierror.Timeout
}

// stream opens one stream where the staging folder ends and reads it to its end.
func (f *Fetcher) stream(ctx context.Context, j Job, s *staging) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := apierror.New(apierror.Unavailable, "nothing came for %v", f.o.Stall)
	timer := time.AfterFunc(f.o.Stall, func() { cancel(stalled) })
	defer timer.Stop()

	in, err := j.From.Files(ctx, Request{Shard: j.Shard, Token: s.manifest.Token, File: s.file, Offset: s.offset})
	for err == nil {
		var c Chunk
		if c, err = in.Recv(); err != nil {
			break
		}
		timer.Stop() // our own throttle and disk aren't the sender's silence
		if err = f.limiter.WaitN(ctx, min(len(c.Data), ChunkBytes)); err == nil {
			err = s.take(c)
		}
		timer.Reset(f.o.Stall)
	}
	if context.Cause(ctx) == stalled { //nolint:errorlint // that very value
		return stalled
	}
	return endOfStream(err)
}

// release tells the sender that the export isn't needed any more. If it doesn't hear it,
// the lease ends it.
func (f *Fetcher) release(ctx context.Context, j Job, token string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	in, err := j.From.Files(ctx, Request{Shard: j.Shard, Token: token, Done: true})
	if err == nil {
		_, err = in.Recv()
	}
	if endOfStream(err) != nil {
		f.o.Logger.DebugContext(ctx, "can't tell the end of a transfer", "shard", j.Shard.Shard, "error", err)
	}
}
