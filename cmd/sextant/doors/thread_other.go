//go:build !linux

package doors

import (
	"errors"
	"time"
)

// threadTime is the processor time of this thread.
func threadTime() (time.Duration, error) {
	return 0, errors.New("the processor time of a thread is known on Linux only")
}

func sleep(d time.Duration) { time.Sleep(d) }
