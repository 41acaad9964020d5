// Package backoff says how long to wait before something that failed is tried again:
// longer each time up to a bound, and never the same for all who wait.
//
// Callers: cluster/peer (redialling), cluster/transfer (reopening a stream), cluster/member (asking a
// shard again).
package backoff

import (
	"math/rand/v2"
	"time"
)

// Backoff counts failures in a row. The zero value isn't usable: set Base and Max. It
// belongs to one goroutine.
type Backoff struct {
	// Base is the first wait, Max the longest.
	Base, Max time.Duration
	failures  int
}

// Next counts a failure and returns how long to wait: between half and all of Base, twice
// that, four times, and so on to Max.
func (b *Backoff) Next() time.Duration {
	d := min(b.Base<<min(b.failures, 30), b.Max)
	if d <= 0 { // shifted out
		d = b.Max
	}
	b.failures++
	return d/2 + rand.N(d/2+1)
}

// Failures is how many there were since the last Reset.
func (b *Backoff) Failures() int { return b.failures }

// Reset forgets the failures.
func (b *Backoff) Reset() { b.failures = 0 }
