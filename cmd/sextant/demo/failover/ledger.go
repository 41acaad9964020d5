package failover

import (
	"sync"
	"time"

	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/engine/point"
)

// Ledger knows of every note which version was acknowledged last, and what requests went how. Its
// methods are safe for concurrent use.
type Ledger struct {
	ring *placement.Ring

	// mu guards the rest.
	mu     sync.Mutex
	acked  []int64 // by note; 0 is never
	writes Tally
	reads  Tally
	// since is when the watch for first writes began; first are the shards written to after it.
	since time.Time
	first map[uint32]time.Duration
}

// Tally counts requests.
type Tally struct {
	// OK are those that went well, Retried those of them at the second attempt, Failed those that
	// failed twice.
	OK, Retried, Failed int
	// Slowest is the longest of all since the last reset.
	Slowest time.Duration
	// Fault is the error of the last failed one.
	Fault error
}

// outcome is how a request went.
type outcome struct {
	begun   time.Time
	took    time.Duration
	retried bool
	err     error
}

// newLedger makes the ledger of the notes in a collection of so many shards.
func newLedger(shards int) *Ledger {
	ids := make([]uint32, shards)
	for i := range ids {
		ids[i] = uint32(i)
	}
	return &Ledger{ring: placement.NewRing(ids), acked: make([]int64, notes), first: map[uint32]time.Duration{}}
}

func (t *Tally) add(o outcome) {
	t.Slowest = max(t.Slowest, o.took)
	switch {
	case o.err != nil:
		t.Failed++
		t.Fault = o.err
	case o.retried:
		t.Retried++
		fallthrough
	default:
		t.OK++
	}
}

// wrote notes how a write of a version of a note went.
func (l *Ledger) wrote(note int, version int64, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes.add(o)
	if o.err != nil {
		return
	}
	l.acked[note] = max(l.acked[note], version)
	if l.since.IsZero() || o.begun.Before(l.since) {
		return // an answer to a write from before says nothing about now
	}
	shard := l.ring.Shard(point.Num(noteBase + uint64(note)))
	if _, ok := l.first[shard]; !ok {
		l.first[shard] = o.begun.Add(o.took).Sub(l.since)
	}
}

// read notes how a search went.
func (l *Ledger) read(o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads.add(o)
}

// watch begins to look for the first acknowledged write on each shard.
func (l *Ledger) watch(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since, l.first = now, map[uint32]time.Duration{}
}

// firstWrite returns how long after the watch began a write to a shard was begun and acknowledged.
func (l *Ledger) firstWrite(shard uint32) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.first[shard]
	return d, ok
}

// tallies returns the counts so far; the slowest ones begin anew if so asked.
func (l *Ledger) tallies(reset bool) (writes, reads Tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	writes, reads = l.writes, l.reads
	if reset {
		l.writes.Slowest, l.reads.Slowest = 0, 0
	}
	return writes, reads
}

// promised returns the last acknowledged version of every note that has one, by point.
func (l *Ledger) promised() map[uint64]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := map[uint64]int64{}
	for i, v := range l.acked {
		if v > 0 {
			m[noteBase+uint64(i)] = v
		}
	}
	return m
}
