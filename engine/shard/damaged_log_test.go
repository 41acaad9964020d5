package shard

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestDamagedRecordQuarantinesItsShard: a byte that has rotted in the newest log file
// takes the shard out of service that needs it, and no other.
func TestDamagedRecordQuarantinesItsShard(t *testing.T) {
	const rare = 12345.678
	mem := fsx.NewMem()
	openBoth := func() (*oplog.Log, [2]*Shard) {
		log, err := oplog.Open(oplog.Options{FS: mem, Dir: "log"})
		require.NoError(t, err)
		var shards [2]*Shard
		for i, name := range []string{"a", "b"} {
			shards[i], err = Open(t.Context(), Options{
				FS: mem, Dir: name, Log: log.Stream(name), Config: singleVector(2, pb.Distance_Dot), Manual: true,
			})
			require.NoError(t, err)
		}
		return log, shards
	}
	log, shards := openBoth()
	submit := func(s *Shard, op Op) {
		ticket, err := s.Submit(t.Context(), op)
		require.NoError(t, err)
		require.NoError(t, ticket.Applied(t.Context()))
	}
	for id := range 3 {
		submit(shards[0], upsertOf(t, numbered(id, dense(1, 1))))
		submit(shards[1], upsertOf(t, numbered(id, dense(1, 1))))
	}
	submit(shards[0], upsertOf(t, numbered(9, dense(rare, 1))))
	submit(shards[1], upsertOf(t, numbered(9, dense(1, 1))))
	// Neither is closed, so what follows is in the log alone.
	mem = mem.KillClone()
	name := "log/0000000000000001.log"
	content, err := fsx.ReadFile(mem, name)
	require.NoError(t, err)
	at := bytes.Index(content, binary.LittleEndian.AppendUint32(nil, math.Float32bits(rare)))
	require.Positive(t, at)
	require.NoError(t, fsx.FlipBits(mem, name, int64(at), 1))
	require.NoError(t, log.Close())

	for range 2 { // the second time with more log behind the damage
		log, shards = openBoth()
		require.ErrorIs(t, shards[0].Err(), oplog.ErrCorrupted)
		_, err = shards[0].Query(t.Context(), nearest(1, 0))
		require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
		require.NoError(t, shards[1].Err())
		require.EqualValues(t, 4, shards[1].Info().Points)
		submit(shards[1], upsertOf(t, numbered(9, dense(2, 1))))
		require.NoError(t, shards[0].Close())
		require.NoError(t, shards[1].Close())
		require.NoError(t, log.Close())
	}
}

// TestDamageBehindACheckpoint: a damaged record that a checkpoint has made
// superfluous hurts nobody.
func TestDamageBehindACheckpoint(t *testing.T) {
	const rare = 12345.678
	mem := fsx.NewMem()
	n := openNode(t, mem, Options{Config: singleVector(2, pb.Distance_Dot), Manual: true})
	for id := range 3 {
		require.NoError(t, n.apply(upsertOf(t, numbered(id, dense(rare, 1)))))
	}
	require.NoError(t, n.shard.Checkpoint(t.Context()))
	require.NoError(t, n.apply(upsertOf(t, numbered(9, dense(1, 1)))))
	damaged := mem.KillClone()
	name := "log/0000000000000001.log"
	content, err := fsx.ReadFile(damaged, name)
	require.NoError(t, err)
	at := bytes.LastIndex(content, binary.LittleEndian.AppendUint32(nil, math.Float32bits(rare)))
	require.NoError(t, fsx.FlipBits(damaged, name, int64(at), 1))
	again := openNode(t, damaged, Options{Manual: true})
	require.NoError(t, again.shard.Err())
	require.EqualValues(t, 4, again.shard.Info().Points)
	require.NoError(t, again.apply(upsertOf(t, numbered(10, dense(1, 1)))))
}
