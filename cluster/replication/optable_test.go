package replication_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/replication"
)

func op(peer, inc, counter uint64) replication.OpID {
	return replication.OpID{Peer: peerID(peer), Incarnation: inc, Counter: counter}
}

// TestOpTableRemembers compares the table with a plain set: of a process's last 4,096
// counters it knows exactly which were added, of earlier ones that it doesn't know.
func TestOpTableRemembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table replication.OpTable
		added := map[replication.OpID]bool{}
		highest := map[uint64]uint64{}
		steps := rapid.IntRange(1, 300).Draw(t, "steps")
		for seq := range uint64(steps) {
			peer := rapid.Uint64Range(1, 3).Draw(t, "peer")
			// Mostly near the newest, at times far in front or behind.
			jump := rapid.OneOf(rapid.Uint64Range(0, 8), rapid.Uint64Range(0, 9000)).Draw(t, "jump")
			c := highest[peer] + 4 - min(highest[peer]+3, 8) + jump
			id := op(peer, 1, max(c, 1))
			table.Add(id, seq+1)
			added[id] = true
			highest[peer] = max(highest[peer], id.Counter)
			probe := op(peer, 1, rapid.Uint64Range(1, highest[peer]+3).Draw(t, "probe"))
			want := replication.NotSeen
			switch {
			case probe.Counter+4096 <= highest[peer]:
				want = replication.Forgotten
			case added[probe]:
				want = replication.Done
			}
			require.Equal(t, want, table.Seen(probe), "%v with highest %d", probe, highest[peer])
		}
		enc := table.AppendTo(nil)
		back, err := replication.DecodeOpTable(enc)
		require.NoError(t, err)
		require.Equal(t, enc, back.AppendTo(nil))
		require.Equal(t, enc, table.Clone().AppendTo(nil))
		for id := range added {
			require.Equal(t, table.Seen(id), back.Seen(id))
		}
	})
}

func TestOpTableForgetsOldProcesses(t *testing.T) {
	var table replication.OpTable
	for p := range uint64(1024) {
		table.Add(op(p+1, 1, 1), p+1)
	}
	table.Add(op(1, 1, 2), 2000) // The oldest writes again.
	table.Add(op(5000, 1, 1), 2001)
	require.Equal(t, replication.Done, table.Seen(op(1, 1, 1)))
	require.Equal(t, replication.NotSeen, table.Seen(op(2, 1, 1)), "the one that hasn't written for longest")
	require.Equal(t, replication.Done, table.Seen(op(3, 1, 1)))
	require.Equal(t, replication.Done, table.Seen(op(5000, 1, 1)))
}

func TestOpTableTakesNoID(t *testing.T) {
	var table replication.OpTable
	empty := table.AppendTo(nil)
	table.Add(replication.OpID{}, 1)
	require.Equal(t, empty, table.AppendTo(nil))
}

// FuzzDecodeOpTable: whatever is read is written in the same way again.
func FuzzDecodeOpTable(f *testing.F) {
	var table replication.OpTable
	f.Add(table.AppendTo(nil))
	for i := range uint64(200) {
		table.Add(op(i%3+1, i%2+1, i*50+1), i+1)
	}
	f.Add(table.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := replication.DecodeOpTable(b)
		if err != nil {
			return
		}
		require.Equal(t, b, table.AppendTo(nil))
		table.Add(op(1, 1, 77), 99)
		require.NotEqual(t, replication.NotSeen, table.Seen(op(1, 1, 77)))
	})
}
