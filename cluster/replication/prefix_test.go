package replication

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// modelLog is a whole log: the epochs of its entries. The protocol lets two entries of one
// epoch and sequence be the same.
type modelLog struct {
	epochs []uint64
	// first is what can be read, applied what is known to be committed.
	first, applied uint64
}

func (l *modelLog) table() table {
	t := table{first: l.first, last: Position{Seq: uint64(len(l.epochs))}}
	at := func(seq uint64) uint64 {
		if seq == 0 {
			return 0
		}
		return l.epochs[seq-1]
	}
	t.last.Epoch, t.base = at(t.last.Seq), at(l.first-1)
	for seq := l.first; seq <= t.last.Seq; seq++ {
		if n := len(t.epochs); n == 0 || t.epochs[n-1].Epoch != at(seq) {
			t.epochs = append(t.epochs, EpochStart{Epoch: at(seq), First: seq})
		}
	}
	return t
}

// TestMeetFindsTheCommonPrefix compares what leader and follower find by their tables with
// what comparing whole logs finds, in logs that leaders wrote one after the other.
func TestMeetFindsTheCommonPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := make([]modelLog, 3)
		committed, last := 0, 0
		for epoch := range uint64(rapid.IntRange(1, 8).Draw(t, "epochs")) {
			var can []int // Leaders have what is committed (R9).
			for i := range logs {
				if len(logs[i].epochs) >= committed {
					can = append(can, i)
				}
			}
			last = rapid.SampledFrom(can).Draw(t, "leader")
			leader := &logs[last]
			begin := len(leader.epochs)
			for range rapid.IntRange(1, 4).Draw(t, "entries") {
				leader.epochs = append(leader.epochs, epoch+1)
			}
			for i := range logs {
				if l := &logs[i]; l != leader && rapid.Bool().Draw(t, "follows") {
					n := rapid.IntRange(begin, len(leader.epochs)).Draw(t, "gets")
					l.epochs = slices.Clone(leader.epochs[:max(n, committed)])
				}
			}
			least := len(leader.epochs)
			for i := range logs {
				least = min(least, prefix(leader.epochs, logs[i].epochs))
			}
			committed = max(committed, least)
		}
		// The last leader has everything committed; followers may have anything.
		leader, follower := &logs[last], &logs[(last+1)%3]
		for _, l := range []*modelLog{leader, follower} {
			l.applied = uint64(rapid.IntRange(0, min(committed, len(l.epochs))).Draw(t, "applied"))
			l.first = uint64(rapid.IntRange(1, int(l.applied)+1).Draw(t, "first"))
		}
		ft, lt := follower.table(), leader.table()
		at := meet(&lt, &Hello{First: ft.first, Last: ft.last, Epochs: ft.epochs, Applied: follower.applied})
		want := uint64(prefix(leader.epochs, follower.epochs))
		if want+1 >= leader.first {
			require.Equal(t, want, at.Seq)
			if at.Epoch != 0 {
				require.Equal(t, follower.epochs[at.Seq-1], at.Epoch)
			}
		} else {
			require.Less(t, at.Seq+1, leader.first, "the leader can't read what comes next")
		}
	})
}

func prefix(a, b []uint64) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// TestTableReleaseAndCut: a table that is released and cut is that of the log that is left.
func TestTableReleaseAndCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := modelLog{first: 1}
		for epoch := uint64(1); len(l.epochs) == 0 || rapid.Bool().Draw(t, "more"); epoch++ {
			for range rapid.IntRange(0, 3).Draw(t, "entries") {
				l.epochs = append(l.epochs, epoch)
			}
		}
		have := l.table()
		for range 3 {
			n := len(l.epochs)
			if rapid.Bool().Draw(t, "release") {
				l.first = uint64(rapid.IntRange(int(l.first), n+1).Draw(t, "to"))
				have.release(l.first)
			} else {
				to := rapid.IntRange(int(l.first)-1, n).Draw(t, "to")
				epoch, _ := have.epochAt(uint64(to))
				have.cut(Position{Epoch: epoch, Seq: uint64(to)})
				l.epochs = l.epochs[:to]
			}
			want := l.table()
			require.Equal(t, want.first, have.first)
			require.Equal(t, want.last, have.last)
			require.Equal(t, want.base, have.base)
			require.Equal(t, append([]EpochStart{}, want.epochs...), append([]EpochStart{}, have.epochs...))
		}
	})
}
