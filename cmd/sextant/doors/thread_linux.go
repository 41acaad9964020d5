package doors

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the processor time of this thread.
func threadTime() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0, fmt.Errorf("ask for the thread's processor time: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// sleep blocks this thread. time.Sleep would wait for a millisecond at least.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&t, nil) // ends early when a signal comes
}
