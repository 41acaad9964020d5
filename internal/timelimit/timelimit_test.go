package timelimit_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/timelimit"
)

type key struct{}

// TestEndsInTime asks for the error only, so that no timer is ever started.
func TestEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := timelimit.Within(context.WithValue(t.Context(), key{}, "v"), time.Second)
		defer cancel()
		at, ok := ctx.Deadline()
		require.True(t, ok)
		require.Equal(t, time.Second, time.Until(at))
		require.Equal(t, "v", ctx.Value(key{}))
		<-time.After(time.Second - 1)
		require.NoError(t, ctx.Err())
		<-time.After(1)
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
	})
}

// TestWaiting waits for the end, in the ways that callers do.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := timelimit.Within(t.Context(), time.Second)
		defer cancel()
		below, cancelBelow := context.WithCancel(ctx)
		defer cancelBelow()
		called := make(chan struct{})
		context.AfterFunc(ctx, func() { close(called) })
		begun := time.Now()
		<-ctx.Done()
		<-below.Done()
		<-called
		require.Equal(t, time.Second, time.Since(begun))
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		require.ErrorIs(t, below.Err(), context.DeadlineExceeded)
	})
}

// TestCancel ends the context by hand, before and after somebody waits.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, cancel := timelimit.Within(t.Context(), time.Hour)
		done := before.Done()
		cancel()
		<-done
		require.ErrorIs(t, before.Err(), context.Canceled)

		after, cancel := timelimit.Within(t.Context(), time.Hour)
		cancel()
		cancel()
		require.ErrorIs(t, after.Err(), context.Canceled)
		<-after.Done()
		require.ErrorIs(t, after.Err(), context.Canceled)
	})
}

// TestParent ends with the context above, whether or not somebody waits.
func TestParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, end := context.WithCancel(t.Context())
		asked, cancel := timelimit.Within(parent, time.Hour)
		defer cancel()
		waited, cancel := timelimit.Within(parent, time.Hour)
		defer cancel()
		done := waited.Done()
		end()
		<-done
		require.ErrorIs(t, asked.Err(), context.Canceled)
		require.ErrorIs(t, waited.Err(), context.Canceled)
	})
}

// TestSooner leaves a context alone that ends in time anyway.
func TestSooner(t *testing.T) {
	parent, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	same, cancel := timelimit.Within(parent, time.Hour)
	cancel()
	require.Same(t, parent, same)
	require.NoError(t, same.Err())

	later, cancel := timelimit.Within(parent, time.Second)
	defer cancel()
	at, _ := later.Deadline()
	require.Less(t, time.Until(at), 2*time.Second)
}

func BenchmarkWithin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := timelimit.Within(b.Context(), time.Minute)
		if ctx.Err() != nil {
			b.Fatal("ended")
		}
		cancel()
	}
}

func BenchmarkStandardLibrary(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		if ctx.Err() != nil {
			b.Fatal("ended")
		}
		cancel()
	}
}
