package robustness

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

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/testbed/history"
)

const (
	// busyPoints are written again and again by everybody; their numbers begin at 1.
	busyPoints = 32
	// pace is between two operations of a client.
	pace = 20 * time.Millisecond
)

// load is clients that read and write until they are stopped, and what they saw.
type load struct {
	log     *history.Log
	clients []client
	acks    []atomic.Int64 // of writes, by client
	values  atomic.Int64   // the last one that was given out
	failed  atomic.Int64
	stop    context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	notes map[string]int // guarded by mu: errors by their text, for the output of a failed test
}

// startLoad has every client work. Each one goes to another when its own node fails.
func startLoad(t *testing.T, seed uint64, clients []client) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{log: history.NewLog(), clients: clients, acks: make([]atomic.Int64, len(clients)), stop: cancel, notes: map[string]int{}}
	t.Cleanup(l.end)
	for i := range clients {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		l.running.Go(func() { l.work(ctx, rng, i) })
	}
	return l
}

// end stops the clients and waits for them.
func (l *load) end() {
	l.stop()
	l.running.Wait()
}

func (l *load) work(ctx context.Context, rng *rand.Rand, who int) {
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
			at = who // its own node may be back
		}
	}
}

// step does one operation. It isn't cut short when the load ends, so that what it does stays
// known.
func (l *load) step(rng *rand.Rand, who int, c client) error {
	op := history.Op{Client: who, ID: 1 + rng.Uint64N(busyPoints), Where: c.name()}
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

func (l *load) write(c client, op history.Op, wait bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), opTime)
	defer cancel()
	op.Value, op.Call = l.values.Add(1), l.log.Now()
	visible, err := c.write(ctx, op, wait)
	op.Return = l.log.Now()
	switch {
	case errors.Is(err, errNotDone):
		return err
	case err != nil:
		op.Return = history.Unknown
	default:
		op.Visible = visible
		l.acks[op.Client].Add(1)
	}
	l.log.Add(op)
	return err
}

func (l *load) get(c client, op history.Op) error {
	ctx, cancel := context.WithTimeout(context.Background(), opTime)
	defer cancel()
	op.Call = l.log.Now()
	got, err := c.read(ctx, []uint64{op.ID}, op.Kind == history.Read)
	op.Return = l.log.Now()
	if err != nil {
		return err
	}
	op.Got = got[op.ID]
	l.log.Add(op)
	return nil
}

// search notes what it found as reads of those points.
func (l *load) search(c client, op history.Op) error {
	ctx, cancel := context.WithTimeout(context.Background(), opTime)
	defer cancel()
	op.Kind, op.Call = history.AnyRead, l.log.Now()
	got, err := c.near(ctx, op.ID, 4)
	op.Return = l.log.Now()
	for id, p := range got {
		op.ID, op.Got = id, p
		l.log.Add(op)
	}
	return err
}

func (l *load) note(err error) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := err.Error(); len(l.notes) < 100 || l.notes[text] > 0 {
		l.notes[text]++
	}
}

// errors returns what failed how often.
func (l *load) errors() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.notes)
}

// progress waits until every client got a number of writes acknowledged from now on.
func (l *load) progress(t *testing.T, each int64) {
	t.Helper()
	before := make([]int64, len(l.acks))
	for i := range l.acks {
		before[i] = l.acks[i].Load()
	}
	until(t, "every client writes", func(context.Context) error {
		for i := range l.acks {
			if l.acks[i].Load() < before[i]+each {
				return fmt.Errorf("%s has %d of %d acknowledgements; failed so far: %v", l.clients[i].name(), l.acks[i].Load()-before[i], each, l.errors())
			}
		}
		return nil
	})
}

// patience is how long a condition may take. Nothing that is checked takes near as long; the
// machine may be busy.
const patience = 60 * time.Second

// until asks again and again until there is no error.
func until(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.NoError(t, err, "waited in vain: %s", what)
		}
	}
}
