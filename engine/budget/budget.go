// Package budget shares the processor between queries and background work, and among shards the memory for what isn't
// saved yet.
//
// Background workers (indexing, merging, transfers) take a slot before they
// start a job and call Yield between small pieces of it; queries mark their
// beginning and end. While queries run, workers step aside, but never for so
// long that they would starve: a worker waits a bounded time and then does its
// next piece regardless.
//
// One Budget serves a whole process and is passed down; there is no global.
package budget

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Options configures a Budget. The zero value is the default.
type Options struct {
	// Slots is the number of background jobs that may run at the same time; 0 is
	// the number of processors.
	Slots int
	// MaxPause is how long one Yield may wait for queries to end; 0 is 500 µs.
	// With pieces of work of about 100 µs between two calls, background work
	// keeps at least a sixth of a processor under a constant load of queries.
	MaxPause time.Duration
	// Processors is how many queries may run before workers step aside
	// entirely; 0 is GOMAXPROCS. Below that number a worker only lets others go
	// first.
	Processors int
	// Unsaved is how many bytes of operations all shards together may have in memory that no checkpoint has
	// yet; 0 leaves it to each of them.
	Unsaved int64
}

// Budget is the processor time of one process, and its memory for what isn't saved yet. Its methods are safe for
// concurrent use, and on a nil Budget do nothing.
type Budget struct {
	slots      chan struct{}
	maxPause   time.Duration
	processors int64
	queries    atomic.Int64
	waiters    atomic.Int64
	// maxUnsaved bounds unsaved, which holders shards have.
	maxUnsaved       int64
	unsaved, holders atomic.Int64

	// mu guards quiet.
	mu sync.Mutex
	// quiet is closed, and replaced, when a query ends while workers wait.
	quiet chan struct{}
}

// New returns a Budget.
func New(o Options) *Budget {
	if o.Processors <= 0 {
		o.Processors = runtime.GOMAXPROCS(0)
	}
	if o.Slots <= 0 {
		o.Slots = o.Processors
	}
	if o.MaxPause <= 0 {
		o.MaxPause = 500 * time.Microsecond
	}
	return &Budget{
		slots:      make(chan struct{}, o.Slots),
		maxPause:   o.MaxPause,
		processors: int64(o.Processors),
		maxUnsaved: o.Unsaved,
		quiet:      make(chan struct{}),
	}
}

// Slots returns the number of background jobs that may run at the same time.
func (b *Budget) Slots() int {
	if b == nil {
		return runtime.GOMAXPROCS(0)
	}
	return cap(b.slots)
}

// Acquire waits for a slot for one background job. The returned function gives
// it back and must be called once. The error is the context's.
func (b *Budget) Acquire(ctx context.Context) (release func(), err error) {
	if b == nil {
		return func() {}, ctx.Err()
	}
	select {
	case b.slots <- struct{}{}:
		return sync.OnceFunc(func() { <-b.slots }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TryAcquire takes a slot when one is free at once.
func (b *Budget) TryAcquire() (release func(), ok bool) {
	if b == nil {
		return func() {}, true
	}
	select {
	case b.slots <- struct{}{}:
		return sync.OnceFunc(func() { <-b.slots }), true
	default:
		return nil, false
	}
}

// Begin marks the beginning of a query. Every Begin is followed by one End.
func (b *Budget) Begin() {
	if b != nil {
		b.queries.Add(1)
	}
}

// End marks the end of a query.
func (b *Budget) End() {
	if b == nil {
		return
	}
	if b.queries.Add(-1) < b.processors && b.waiters.Load() > 0 {
		b.mu.Lock()
		close(b.quiet)
		b.quiet = make(chan struct{})
		b.mu.Unlock()
	}
}

// Queries returns the number of queries that are running.
func (b *Budget) Queries() int {
	if b == nil {
		return 0
	}
	return int(b.queries.Load())
}

// Yield is called by background workers between small pieces of work (about
// 100 µs). Without queries it costs one atomic load.
func (b *Budget) Yield() {
	if b == nil {
		return
	}
	switch n := b.queries.Load(); {
	case n == 0:
	case n < b.processors:
		// A processor is free for us, unless the scheduler has put a query behind
		// us in the same run queue.
		runtime.Gosched()
	default:
		b.pause()
	}
}

// pause waits until a processor is free of queries, at most maxPause.
func (b *Budget) pause() {
	b.waiters.Add(1)
	defer b.waiters.Add(-1)
	b.mu.Lock()
	quiet := b.quiet
	b.mu.Unlock()
	if b.queries.Load() < b.processors {
		return // ended before we counted as a waiter
	}
	t := time.NewTimer(b.maxPause)
	defer t.Stop()
	select {
	case <-quiet:
	case <-t.C:
	}
}
