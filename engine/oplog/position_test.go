package oplog_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// A follower that takes the leader's records has the leader's positions, and refuses
// what continues another log before it has it.
func TestAppendAllComparesChains(t *testing.T) {
	l := openLog(t, fsx.NewMem(), 0)
	defer func() { require.NoError(t, l.Close()) }()
	leader, follower := l.Stream("leader"), l.Stream("follower")
	var records []oplog.Known
	for seq := uint64(1); seq <= 20; seq++ {
		data := fmt.Append(nil, "record ", seq)
		pos, ticket := leader.AppendAt(1+seq/7, seq, data)
		require.False(t, ticket.Refused())
		records = append(records, oplog.Known{Record: oplog.Record{Position: pos, Data: data}, Sum: oplog.Sum(data)})
	}
	taken, ticket, err := follower.AppendAll(records[:12])
	require.NoError(t, err)
	require.Equal(t, 12, taken)
	require.NoError(t, ticket.Wait(t.Context()))
	require.Equal(t, records[11].Position, follower.Durable())

	other := records[14]
	other.Data = []byte("something else")
	other.Sum = oplog.Sum(other.Data)
	taken, ticket, err = follower.AppendAll([]oplog.Known{records[12], records[13], other, records[15]})
	require.ErrorIs(t, err, oplog.ErrDiverged)
	require.Equal(t, 2, taken)
	require.NoError(t, ticket.Wait(t.Context()))
	require.Equal(t, records[13].Position, follower.Last())

	taken, ticket, err = follower.AppendAll(records[15:])
	require.ErrorIs(t, err, oplog.ErrOutOfOrder)
	require.Zero(t, taken)
	require.Nil(t, ticket)
	_, _, err = follower.AppendAll(records[14:])
	require.NoError(t, err)
	require.Equal(t, leader.Last(), follower.Last())

	taken, ticket, err = l.Stream("nothing yet").AppendAll([]oplog.Known{other})
	require.ErrorIs(t, err, oplog.ErrDiverged)
	require.Zero(t, taken)
	require.Nil(t, ticket)
	require.NotContains(t, l.Streams(), "nothing yet", "a refused record leaves no trace")
}

// Positions of records that aren't there, or not any more.
func TestAt(t *testing.T) {
	l := openLog(t, fsx.NewMem(), 300)
	defer func() { require.NoError(t, l.Close()) }()
	s := l.Stream("s")
	pos, err := s.At(t.Context(), 0)
	require.NoError(t, err)
	require.Zero(t, pos)
	_, err = s.At(t.Context(), 1)
	require.ErrorIs(t, err, oplog.ErrMissing)
	var all []oplog.Position
	for seq := uint64(1); seq <= 30; seq++ {
		pos, _ := s.AppendAt(seq/10, seq, []byte("0123456789"))
		all = append(all, pos)
		if seq%3 == 0 {
			at, err := s.At(t.Context(), seq-1) // which isn't durable, perhaps
			require.NoError(t, err)
			require.Equal(t, all[seq-2], at)
		}
	}
	require.NoError(t, s.TruncateAfter(t.Context(), 28))
	_, err = s.At(t.Context(), 29)
	require.ErrorIs(t, err, oplog.ErrMissing)
	epochs, err := s.Epochs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []oplog.EpochStart{{Epoch: 0, First: 1}, {Epoch: 1, First: 10}, {Epoch: 2, First: 20}}, epochs)
	require.NoError(t, s.Release(15))
	first := s.First()
	require.Greater(t, first, uint64(2))
	pos, err = s.At(t.Context(), first-1)
	require.NoError(t, err)
	require.Equal(t, all[first-2], pos)
	_, err = s.At(t.Context(), first-2)
	require.ErrorIs(t, err, oplog.ErrReleased)
	require.ErrorIs(t, s.TruncateAfter(t.Context(), 14), oplog.ErrReleased, "also where records are still there")
	require.NoError(t, s.Drop(t.Context()))
	_, err = s.At(t.Context(), 20)
	require.ErrorIs(t, err, oplog.ErrDropped)
	epochs, err = l.Stream("s").Epochs(t.Context())
	require.NoError(t, err)
	require.Empty(t, epochs)
}

// A stream that begins anew forgets its records, in whatever file, lets the files go,
// and goes on behind its position, also after it was opened again.
func TestReset(t *testing.T) {
	mem := fsx.NewMem()
	l := openLog(t, mem, 300)
	s := l.Stream("s")
	for seq := uint64(1); seq <= 30; seq++ {
		require.NoError(t, s.Append(1, seq, []byte("0123456789")).Wait(t.Context()))
	}
	size := l.Size()
	for _, pos := range []oplog.Position{{Epoch: 7, Seq: 1000, Chain: 42}, {Epoch: 7, Seq: 12, Chain: 43}, {Epoch: 8, Seq: 13, Chain: 44}} {
		require.NoError(t, s.Reset(t.Context(), pos))
		require.Less(t, l.Size(), size)
		require.Equal(t, pos, s.Durable())
		require.Equal(t, pos.Seq+1, s.First())
		require.ErrorIs(t, s.Append(pos.Epoch-1, pos.Seq+1, nil).Err(), oplog.ErrOutOfOrder)
		require.ErrorIs(t, s.Append(pos.Epoch, pos.Seq+2, nil).Err(), oplog.ErrOutOfOrder)
		require.NoError(t, l.Close())
		l = openLog(t, mem, 300)
		s = l.Stream("s")
		require.Equal(t, pos, s.Last())
		for seq := pos.Seq + 1; seq < pos.Seq+5; seq++ {
			require.NoError(t, s.Append(pos.Epoch, seq, fmt.Append(nil, seq)).Wait(t.Context()))
		}
		next := pos.Seq
		require.NoError(t, s.Read(t.Context(), s.First(), func(r oplog.Record) error {
			next++
			require.Equal(t, fmt.Append(nil, next), r.Data)
			return nil
		}))
		require.Equal(t, pos.Seq+4, next)
		size = l.Size() + 1
	}
	require.Equal(t, []string{"s"}, l.Streams())
	require.NoError(t, s.Drop(t.Context()))
	require.ErrorIs(t, s.Reset(t.Context(), oplog.Position{}), oplog.ErrDropped)
	require.NoError(t, l.Close())
}
