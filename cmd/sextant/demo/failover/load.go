package failover

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/time/rate"
)

// The load: so many clients of each kind, together at most at these rates. It is meant to be noticed,
// not to measure; a laptop runs three nodes besides.
const (
	writers         = 6
	searchers       = 3
	writesPerSecond = 300
	searchesPer     = 150
	// patience is how long a client waits for an answer before it asks another node, avoid how long it
	// leaves a node alone that didn't answer.
	patience = 5 * time.Second
	avoid    = time.Second
	// noteBase is the ID of the first note; notes is how many there are before the first is written
	// again, with the next version.
	noteBase = 1_000_000
	notes    = 60_000
)

// load is clients that write and search until they are stopped.
type load struct {
	doors   []Door
	ledger  *Ledger
	queries []*pb.QueryPoints
	vectors func(note int) *pb.Vectors
	// bad are the doors whose last request failed: until when they are left alone, 0 is good.
	bad []atomic.Int64
	// next is where each writer goes on when there is load again; each is used by one writer.
	next [writers]int
}

func newLoad(doors []Door, ledger *Ledger, queries []*pb.QueryPoints, vectors func(int) *pb.Vectors) *load {
	return &load{doors: doors, ledger: ledger, queries: queries, vectors: vectors, bad: make([]atomic.Int64, len(doors))}
}

// run keeps the clients busy until ctx ends, and returns when all have their answers.
func (l *load) run(ctx context.Context) {
	writes := rate.NewLimiter(writesPerSecond, writers)
	searches := rate.NewLimiter(searchesPer, searchers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for writes.Wait(ctx) == nil {
				l.write(ctx, w)
			}
		})
	}
	for s := range searchers {
		wg.Go(func() {
			for i := s; searches.Wait(ctx) == nil; i++ {
				q := l.queries[i%len(l.queries)]
				l.ledger.read(l.twice(ctx, i, func(ctx context.Context, d Door) error { return d.Search(ctx, q) }))
			}
		})
	}
	wg.Wait()
}

// write writes the writer's next note. Notes are dealt out, so that nobody else writes it.
func (l *load) write(ctx context.Context, writer int) {
	n := l.next[writer]
	l.next[writer]++
	note := (n*writers + writer) % notes
	version := int64(n*writers/notes) + 1
	p := Note(noteBase+uint64(note), version, l.vectors(note))
	l.ledger.wrote(note, version, l.twice(ctx, n+writer, func(ctx context.Context, d Door) error { return d.Write(ctx, p) }))
}

// twice asks the door whose turn it is, and when that fails, once another. A request that is under way
// when ctx ends is still waited for: whoever hung up in between wouldn't know whether the write counts.
func (l *load) twice(ctx context.Context, turn int, ask func(context.Context, Door) error) (o outcome) {
	o.begun = time.Now()
	for attempt := range 2 {
		door := l.choose(turn + attempt)
		timed, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		o.err = ask(timed, l.doors[door])
		cancel()
		o.retried = attempt > 0
		if o.err == nil {
			l.bad[door].Store(0)
			break
		}
		l.bad[door].Store(time.Now().Add(avoid).UnixNano())
	}
	o.took = time.Since(o.begun)
	return o
}

// choose returns the next door from turn on that isn't bad. One that was bad for long enough is tried
// by one client, as the others would wait there with it. When all are bad, any will do.
func (l *load) choose(turn int) int {
	now := time.Now()
	for i := range l.doors {
		door := (turn + i) % len(l.doors)
		until := l.bad[door].Load()
		if until == 0 || until < now.UnixNano() && l.bad[door].CompareAndSwap(until, now.Add(patience).UnixNano()) {
			return door
		}
	}
	return turn % len(l.doors)
}
