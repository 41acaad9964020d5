package backoff_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/backoff"
)

func TestGrowsToMaxAndStaysThere(t *testing.T) {
	b := backoff.Backoff{Base: 50 * time.Millisecond, Max: time.Second}
	for i := range 100 {
		full := min(b.Base<<min(i, 10), b.Max)
		d := b.Next()
		require.GreaterOrEqual(t, d, full/2, "failure %d", i)
		require.LessOrEqual(t, d, full, "failure %d", i)
	}
	require.Equal(t, 100, b.Failures())
	b.Reset()
	require.LessOrEqual(t, b.Next(), b.Base)
}

func TestIsJittered(t *testing.T) {
	b := backoff.Backoff{Base: time.Hour, Max: time.Hour}
	first := b.Next()
	for range 100 {
		if b.Next() != first {
			return
		}
	}
	t.Fatal("a hundred equal waits")
}
