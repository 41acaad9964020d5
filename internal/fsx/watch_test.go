package fsx_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/fsx"
)

// TestWatchSeesAStallWhileItLasts: not when it is over, which may be never.
func TestWatchSeesAStallWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stall := make(chan struct{})
		w := fsx.NewWatch(fsx.NewFault(fsx.NewMem(), func(op fsx.Op) error {
			if op.Kind == fsx.OpSync {
				<-stall
			}
			return nil
		}))
		f, err := w.Create("a")
		require.NoError(t, err)
		_, err = f.Write([]byte("b"))
		require.NoError(t, err)
		require.Zero(t, w.Oldest())
		done := make(chan error, 1)
		go func() { done <- f.Sync() }()
		<-time.After(3 * time.Second)
		require.Equal(t, 3*time.Second, w.Oldest())
		close(stall)
		require.NoError(t, <-done)
		require.Zero(t, w.Oldest())
		require.NoError(t, f.Close())
	})
}
