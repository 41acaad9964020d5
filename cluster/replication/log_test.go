package replication

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDurableBehindCut: what is about to be cut off doesn't count as durable, also when
// it is heard only now that it was stored, nor what is appended in its place.
func TestDurableBehindCut(t *testing.T) {
	var fx Effects
	entries := func(epoch uint64, seqs ...uint64) (es []Entry) {
		for _, s := range seqs {
			es = append(es, Entry{Position: Position{Epoch: epoch, Seq: s}})
		}
		return es
	}
	l := newLogView(LogState{First: 1})
	l.append(entries(1, 1, 2, 3), &fx)          // 1
	l.adopt(2, 0, &fx)                          // 2
	l.truncate(Position{Epoch: 1, Seq: 1}, &fx) // 3
	l.append(entries(2, 2, 3, 4), &fx)          // 4
	require.NoError(t, l.storedUpTo(Stored{Number: 1, Last: Position{Epoch: 1, Seq: 3}}))
	require.Equal(t, uint64(1), l.durable)
	require.False(t, l.settled())
	require.Equal(t, uint64(0), l.stored)
	require.NoError(t, l.storedUpTo(Stored{Number: 3, Last: Position{Epoch: 1, Seq: 1}}))
	require.Equal(t, uint64(1), l.durable)
	require.True(t, l.settled())
	require.Equal(t, uint64(2), l.stored)
	require.NoError(t, l.storedUpTo(Stored{Number: 4, Last: Position{Epoch: 2, Seq: 4}}))
	require.Equal(t, uint64(4), l.durable)
	require.Error(t, l.storedUpTo(Stored{Number: 5}))

	l.append(entries(2, 5), &fx)
	require.Error(t, l.storedUpTo(Stored{Number: 5, Last: Position{Epoch: 2, Seq: 4}}), "the log is too short")
}
