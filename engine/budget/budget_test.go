package budget

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSlotsBound(t *testing.T) {
	b := New(Options{Slots: 2})
	r1, err := b.Acquire(t.Context())
	require.NoError(t, err)
	r2, ok := b.TryAcquire()
	require.True(t, ok)
	_, ok = b.TryAcquire()
	require.False(t, ok)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.Acquire(ctx)
	require.ErrorIs(t, err, context.Canceled)

	r1()
	r1() // giving back twice frees one slot only
	r3, ok := b.TryAcquire()
	require.True(t, ok)
	_, ok = b.TryAcquire()
	require.False(t, ok)
	r2()
	r3()
}

func TestYieldWaitsForQueriesButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{Processors: 1, MaxPause: time.Second})
		start := time.Now()
		b.Yield()
		require.Zero(t, time.Since(start), "nobody to wait for")

		b.Begin()
		b.Yield()
		require.Equal(t, time.Second, time.Since(start), "the pause is bounded")

		start = time.Now()
		var wg sync.WaitGroup
		wg.Go(b.Yield)
		synctest.Wait()
		b.End()
		wg.Wait()
		require.Zero(t, time.Since(start), "the end of the query wakes the worker")
	})
}

func TestNilBudget(t *testing.T) {
	var b *Budget
	b.Begin()
	b.Yield()
	b.End()
	release, err := b.Acquire(t.Context())
	require.NoError(t, err)
	release()
	require.Zero(t, b.Queries())
}
