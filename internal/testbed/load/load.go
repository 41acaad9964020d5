// Package load is clients that read and write points side by side until they are stopped, and the history of what they
// saw, which package history judges.
//
// Callers: tests/robustness, tests/kubernetes.
package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sextantdb/sextant/internal/testbed/history"
)

const (
	// Points are written again and again by everybody; their numbers begin at 1.
	Points = 32
	// OpTime bounds how long a client waits for an answer.
	OpTime = 10 * time.Second
)

// ErrNotDone says that an operation certainly wasn't carried out; after any other error it
// may have been.
var ErrNotDone = errors.New("not carried out")

// Client does what the load wants, over one door.
type Client interface {
	// Write carries out an operation of a point, and tells whether every read sees it.
	Write(ctx context.Context, op history.Op, wait bool) (visible bool, err error)
	// Read gets points; now asks for what is committed at this moment.
	Read(ctx context.Context, ids []uint64, now bool) (map[uint64]history.Point, error)
	// Near searches for the points nearest to the vector of a point.
	Near(ctx context.Context, id uint64, limit uint64) (map[uint64]history.Point, error)
	// Name is that of the door.
	Name() string
}

// Load is clients at work.
type Load struct {
	// Log is what they saw.
	Log *history.Log

	clients []Client
	acks    []atomic.Int64 // of writes, by client
	values  atomic.Int64   // the last one that was given out
	failed  atomic.Int64
	stop    context.CancelFunc
	running sync.WaitGroup

	// turn is held for reading during an operation, and for writing by who changes the points.
	turn sync.RWMutex
	base uint64 // guarded by turn: points are those behind it

	mu    sync.Mutex
	notes map[string]int // guarded by mu: errors by their text, for the output of a failed test
}

// Start has every client work, with some time between two operations of each. A client goes to the door of another one
// when its own fails. The load ends with the test at the latest.
func Start(tb testing.TB, seed uint64, pace time.Duration, clients []Client) *Load {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{Log: history.NewLog(), clients: clients, acks: make([]atomic.Int64, len(clients)), stop: cancel, notes: map[string]int{}}
	tb.Cleanup(l.End)
	for i := range clients {
		rng := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // a test that can be repeated
		l.running.Go(func() { l.work(ctx, rng, i, pace) })
	}
	return l
}

// End stops the clients and waits for them.
func (l *Load) End() {
	l.stop()
	l.running.Wait()
}

// Clients is how many there are. Who adds operations to the log by itself is one of the next numbers.
func (l *Load) Clients() int { return len(l.clients) }

// Value is one that nobody else writes.
func (l *Load) Value() int64 { return l.values.Add(1) }

// Failed is how many operations have failed.
func (l *Load) Failed() int64 { return l.failed.Load() }

// Errors is what failed how often.
func (l *Load) Errors() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.notes)
}

// Next has the clients go on with other points, and returns those they had: nobody writes these any more, and all that was
// done with them is in the log.
func (l *Load) Next() []uint64 {
	l.turn.Lock()
	defer l.turn.Unlock()
	ids := make([]uint64, Points)
	for i := range ids {
		ids[i] = l.base + 1 + uint64(i)
	}
	l.base += Points
	return ids
}

// Progress waits until every client got a number of writes acknowledged from now on.
func (l *Load) Progress(ctx context.Context, each int64) error {
	before := make([]int64, len(l.acks))
	for i := range l.acks {
		before[i] = l.acks[i].Load()
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		behind := l.behind(before, each)
		if behind == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(behind, ctx.Err())
		}
	}
}

func (l *Load) behind(before []int64, each int64) error {
	for i := range l.acks {
		if n := l.acks[i].Load() - before[i]; n < each {
			return fmt.Errorf("%s has %d of %d acknowledgements; failed so far: %v", l.clients[i].Name(), n, each, l.Errors())
		}
	}
	return nil
}

func (l *Load) work(ctx context.Context, rng *rand.Rand, who int, pace time.Duration) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	at := who
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := l.step(rng, who, l.clients[at]); err != nil {
			l.note(err)
			at = rng.IntN(len(l.clients))
		} else if rng.IntN(20) == 0 {
			at = who // its own door may be open again
		}
	}
}

// step does one operation. It isn't cut short when the load ends, so that what it does stays
// known.
func (l *Load) step(rng *rand.Rand, who int, c Client) error {
	l.turn.RLock()
	defer l.turn.RUnlock()
	op := history.Op{Client: who, ID: l.base + 1 + rng.Uint64N(Points), Where: c.Name()}
	switch n := rng.IntN(100); {
	case n < 35:
		op.Kind = history.Upsert
	case n < 50:
		op.Kind = history.SetNote
	case n < 56:
		op.Kind = history.Delete
	case n < 76:
		op.Kind = history.Read
	case n < 92:
		op.Kind = history.AnyRead
	default:
		return l.search(c, op)
	}
	if op.Kind == history.Read || op.Kind == history.AnyRead {
		return l.get(c, op)
	}
	return l.write(c, op, rng.IntN(2) == 0)
}

func (l *Load) write(c Client, op history.Op, wait bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), OpTime)
	defer cancel()
	op.Value, op.Call = l.Value(), l.Log.Now()
	visible, err := c.Write(ctx, op, wait)
	op.Return = l.Log.Now()
	switch {
	case errors.Is(err, ErrNotDone):
		return named(c, err)
	case err != nil:
		op.Return = history.Unknown
	default:
		op.Visible = visible
		l.acks[op.Client].Add(1)
	}
	l.Log.Add(op)
	return named(c, err)
}

// named says at which door something failed.
func named(c Client, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", c.Name(), err)
}

func (l *Load) get(c Client, op history.Op) error {
	ctx, cancel := context.WithTimeout(context.Background(), OpTime)
	defer cancel()
	op.Call = l.Log.Now()
	got, err := c.Read(ctx, []uint64{op.ID}, op.Kind == history.Read)
	op.Return = l.Log.Now()
	if err != nil {
		return named(c, err)
	}
	op.Got = got[op.ID]
	l.Log.Add(op)
	return nil
}

// search notes what it found as reads of those points.
func (l *Load) search(c Client, op history.Op) error {
	ctx, cancel := context.WithTimeout(context.Background(), OpTime)
	defer cancel()
	op.Kind, op.Call = history.AnyRead, l.Log.Now()
	got, err := c.Near(ctx, op.ID, 4)
	op.Return = l.Log.Now()
	for id, p := range got {
		op.ID, op.Got = id, p
		l.Log.Add(op)
	}
	return named(c, err)
}

func (l *Load) note(err error) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := err.Error(); len(l.notes) < 100 || l.notes[text] > 0 {
		l.notes[text]++
	}
}
