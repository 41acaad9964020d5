// Package timelimit bounds the time of a call without a timer. A context of the
// standard library starts a timer at once, and stops it when the call is over;
// at tens of thousands of searches a second, none of which waits for anything,
// that is a good part of what surrounds a search. A context of this package
// looks at the clock when it is asked for its error, and starts the timer when
// somebody wants to wait for its end.
//
// Callers: cluster/coordinator and the doors.
package timelimit

import (
	"context"
	"sync"
	"time"
)

// Within returns a context that ends after d, or when ctx does, whichever is
// sooner. The caller calls cancel when the call is over.
func Within(ctx context.Context, d time.Duration) (_ context.Context, cancel context.CancelFunc) {
	now := time.Now()
	at := now.Add(d)
	if sooner, ok := ctx.Deadline(); ok && !sooner.After(at) {
		// A deadline that is sooner anyway needs no second one beside it.
		return ctx, func() {}
	}
	l := &lazy{Context: ctx, at: at}
	return l, l.cancel
}

// lazy is a context whose timer is started when it is needed.
type lazy struct {
	context.Context // the parent, from which the values come

	at time.Time

	// mu guards the rest.
	mu    sync.Mutex
	ended bool               // cancel was called
	timed context.Context    // nil until somebody waits
	stop  context.CancelFunc // of timed
}

// Deadline implements context.Context.
func (l *lazy) Deadline() (time.Time, bool) { return l.at, true }

// Err implements context.Context.
func (l *lazy) Err() error {
	l.mu.Lock()
	timed, ended := l.timed, l.ended
	l.mu.Unlock()
	if timed != nil {
		// From now on the timer decides, so that Err and Done agree.
		return timed.Err()
	}
	if err := l.Context.Err(); err != nil {
		return err
	}
	if ended {
		return context.Canceled
	}
	if !time.Now().Before(l.at) {
		return context.DeadlineExceeded
	}
	return nil
}

// Done implements context.Context.
func (l *lazy) Done() <-chan struct{} { return l.wait().Done() }

// AfterFunc lets the standard library hang contexts below this one without a
// goroutine for each.
func (l *lazy) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(l.wait(), f) }

// wait returns a context with a timer.
func (l *lazy) wait() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.timed != nil:
	case l.ended:
		l.timed, l.stop = context.WithCancel(l.Context)
		l.stop()
	default:
		l.timed, l.stop = context.WithDeadline(l.Context, l.at)
	}
	return l.timed
}

func (l *lazy) cancel() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.stop != nil {
		l.stop()
	}
}
