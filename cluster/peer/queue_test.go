package peer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestQueueForgetsOldestFirst compares with a plain list.
func TestQueueForgetsOldestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxMessages, maxBytes := rapid.IntRange(1, 8).Draw(t, "messages"), rapid.IntRange(1, 100).Draw(t, "bytes")
		q := newQueue(maxMessages, maxBytes, false)
		var want []message
		size := func(all []message) (n int) {
			for _, m := range all {
				n += m.size
			}
			return n
		}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "what") > 0 {
				m := message{size: rapid.IntRange(1, 60).Draw(t, "size"), raft: []byte{byte(i)}}
				want = append(want, m)
				n := 0
				for len(want)-n > 1 && (len(want)-n > maxMessages || size(want[n:]) > maxBytes) {
					n++
				}
				require.Equal(t, append([]message(nil), want[:n]...), append([]message(nil), q.push(m)...))
				want = want[n:]
				continue
			}
			budget := rapid.IntRange(0, 120).Draw(t, "budget")
			n := 0
			for n < len(want) && (n == 0 || size(want[:n+1]) <= budget) {
				n++
			}
			require.Equal(t, append([]message(nil), want[:n]...), append([]message(nil), q.take(nil, budget)...))
			want = want[n:]
		}
		require.Equal(t, append([]message(nil), want...), append([]message(nil), q.clear()...))
	})
}

func TestQueueLargeMessages(t *testing.T) {
	small := func(b byte) message { return message{size: 1, raft: []byte{b}} }
	large := message{size: frameBytes + 1}
	for _, overtake := range []bool{false, true} {
		q := newQueue(10, 10*frameBytes, overtake)
		q.push(small(1))
		q.push(large)
		q.push(small(2))
		got := q.take(nil, frameBytes)
		if overtake {
			require.Equal(t, []message{small(1), small(2)}, got)
		} else {
			require.Equal(t, []message{small(1)}, got)
			require.Empty(t, q.take(nil, frameBytes), "a large message is in the way")
		}
		m, ok := q.takeLarge()
		require.True(t, ok)
		require.Equal(t, large, m)
		_, ok = q.takeLarge()
		require.False(t, ok)
	}
}

func TestBreaker(t *testing.T) {
	now := time.Unix(0, 0)
	fresh := func() *breaker { return &breaker{base: time.Second, max: 4 * time.Second} }

	b := fresh()
	require.True(t, b.allow(now))
	b.report(now, failed, "it broke")
	require.False(t, b.allow(now))
	require.Equal(t, "it broke", b.why)
	b.report(now, failed, "it broke") // another call that was under way
	now = now.Add(time.Second)
	require.True(t, b.allow(now), "its time is up, failures at the same time count once")
	require.False(t, b.allow(now), "only one tries")
	b.report(now, unknown, "")
	require.True(t, b.allow(now), "the one that tried gave up")
	b.report(now, failed, "again")
	require.False(t, b.allow(now.Add(time.Second-1)), "it is open for longer: at least half of two seconds")
	for range 20 {
		now = now.Add(4 * time.Second)
		require.True(t, b.allow(now), "and for no more than the maximum")
		b.report(now, failed, "again")
	}
	now = now.Add(4 * time.Second)
	require.True(t, b.allow(now))
	b.report(now, reached, "")
	require.True(t, b.allow(now))
	require.True(t, b.allow(now), "it is closed")

	b = fresh()
	b.report(now, late, "slow")
	b.report(now, late, "slow")
	require.True(t, b.allow(now))
	b.report(now, reached, "")
	b.report(now, late, "slow")
	b.report(now, late, "slow")
	require.True(t, b.allow(now))
	b.report(now, late, "slow")
	require.False(t, b.allow(now), "three in a row")
	now = now.Add(time.Second)
	require.True(t, b.allow(now))
	b.report(now, late, "slow")
	require.False(t, b.allow(now), "one that tries is enough")
}
