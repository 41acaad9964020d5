// Package rawconn makes connections whose small reads and writes are system
// calls the Go runtime does not learn of.
//
// An ordinary system call wakes the runtime's monitor thread whenever it
// sleeps, which it does each time all processors were idle; it then looks around
// every 20 µs for a while. A node that answers calls one by one is idle between
// any two of them, and pays for the monitor as much as for a good part of a
// search. A read or write of a message on a connection that doesn't block takes
// a few microseconds and has nothing that the monitor could do for it.
//
// But somebody has to wake the monitor: without it nothing interrupts a long
// computation in favour of others, and nobody looks at the network while all
// processors compute. See pulse for how that is made sure of.
//
// Where this isn't possible (systems other than Linux, the race detector, which
// has to see reads and writes), connections stay what they are.
//
// Caller: server/grpc.
package rawconn

import (
	"sync/atomic"
	"time"
)

// beat bounds how long the monitor sleeps while messages pass. It interrupts a
// computation that has run for 10 ms since it looked first, so this is what is
// added to the wait for a processor in the worst case.
const beat = 5 * time.Millisecond

// pulse keeps the runtime's monitor from sleeping through the work that raw
// calls bring.
//
// The monitor goes to sleep only when all processors are idle, and then for no
// longer than until the next timer of the process. So while messages pass a
// timer is armed, and each message is followed by a moment, at most a beat later,
// at which the monitor is awake. If the message has led to a computation that is
// still running, a processor is not idle, and the monitor stays awake. When no
// message has passed for a beat, the timer is left alone, and the first message
// afterwards has to be read by an ordinary system call: that wakes the monitor
// from a sleep that may be as long as it likes, and a later one knows the timer.
type pulse struct {
	// seen is set by every message and cleared by every beat.
	seen atomic.Bool
	// beating is whether the timer is armed.
	beating atomic.Bool
	timer   *time.Timer
}

func newPulse() *pulse {
	p := &pulse{}
	p.timer = time.AfterFunc(time.Hour, p.tick)
	p.timer.Stop() // the first message arms it, because that makes an ordinary call
	return p
}

// touch is called before a message is read or written. When it returns false,
// the caller must use an ordinary system call.
func (p *pulse) touch() bool {
	if !p.seen.Load() { // spares the other processors a cache line that changes
		p.seen.Store(true)
	}
	return p.beating.Load() || !p.start()
}

// start arms the timer unless it is armed, and says whether it did so.
func (p *pulse) start() bool {
	if !p.beating.CompareAndSwap(false, true) {
		return false
	}
	p.timer.Reset(beat)
	return true
}

// tick is the beat. A message that comes while it runs either finds beating
// false and arms the timer itself, or is seen here.
func (p *pulse) tick() {
	p.beating.Store(false)
	if p.seen.Swap(false) {
		// Needs no ordinary call: the timer that brought us here has woken the
		// monitor, too, and it can't sleep again while we run.
		p.start()
	}
}
