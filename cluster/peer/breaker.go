package peer

import (
	"math/rand/v2"
	"time"
)

// breaker keeps calls away from a peer that is down. Closed lets all through, open none,
// and when its time is up one call tries (half-open): what becomes of it decides. The
// owner locks.
type breaker struct {
	base, max time.Duration // how long it is open, growing

	open     bool
	until    time.Time // when the next try may begin
	probing  bool      // a try is under way
	failures int       // openings in a row
	slow     int       // calls in a row that ran out of time
	why      string    // the last failure
}

// slowCalls is how many calls in a row that weren't answered in time count as a peer that is down.
const slowCalls = 3

// outcome is what a call says about its peer.
type outcome int

const (
	// reached: it answered, whatever.
	reached outcome = iota
	// failed: the connection couldn't be made, or broke.
	failed
	// late: there was no answer in time.
	late
	// unknown: the caller gave up, or it says nothing.
	unknown
)

// allow tells whether a call may try. One that may must report.
func (b *breaker) allow(now time.Time) bool {
	if !b.open {
		return true
	}
	if b.probing || now.Before(b.until) {
		return false
	}
	b.probing = true
	return true
}

// report takes what became of a call that was allowed.
func (b *breaker) report(now time.Time, o outcome, why string) {
	switch o {
	case reached:
		b.reset()
	case failed:
		b.trip(now, why)
	case late:
		if b.slow++; b.slow >= slowCalls || b.open {
			b.trip(now, why)
		}
	case unknown:
		b.probing = false
	}
}

// trip opens the breaker, for longer each time in a row. Calls that failed together count once.
func (b *breaker) trip(now time.Time, why string) {
	b.why = why
	if b.open && !b.probing && now.Before(b.until) {
		return
	}
	d := min(b.base<<min(b.failures, 20), b.max)
	b.failures++
	b.open, b.probing = true, false
	b.until = now.Add(d/2 + rand.N(d/2+1))
}

// reset closes it.
func (b *breaker) reset() {
	b.open, b.probing, b.failures, b.slow, b.why = false, false, 0, 0, ""
}
