package member

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHealthOfADisk: one slow sync is enough to be stalled, one quick one isn't enough to be well.
func TestHealthOfADisk(t *testing.T) {
	var h health
	for _, look := range []struct {
		now, oldest time.Duration
		stalled     bool
	}{
		{now: 0, oldest: 0},
		{now: time.Second, oldest: time.Second},
		{now: 2 * time.Second, oldest: 2 * time.Second, stalled: true},
		{now: 9 * time.Second, oldest: 9 * time.Second, stalled: true},
		{now: 9500 * time.Millisecond, oldest: 0, stalled: true},
		{now: 9900 * time.Millisecond, oldest: 600 * time.Millisecond, stalled: true},
		{now: 10500 * time.Millisecond, oldest: 0, stalled: true},
		{now: 10900 * time.Millisecond, oldest: 0},
		{now: 12 * time.Second, oldest: 1900 * time.Millisecond},
	} {
		require.Equal(t, look.stalled, h.see(look.now, look.oldest), "%+v", look)
	}
}
