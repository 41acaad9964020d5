package shard

import (
	"errors"
	"runtime"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// pair is a log of small files with two shards on it.
type pair struct {
	tb     testing.TB
	log    *oplog.Log
	shards map[string]*Shard
}

func openPair(tb testing.TB, fs fsx.FS) *pair {
	tb.Helper()
	log, err := oplog.Open(oplog.Options{FS: fs, Dir: "log", FileSize: 1000})
	require.NoError(tb, err)
	p := &pair{tb: tb, log: log, shards: map[string]*Shard{}}
	for _, name := range []string{"sick", "sound"} {
		p.shards[name], err = Open(tb.Context(), Options{
			FS: fs, Dir: name, Log: log.Stream(name), Config: singleVector(2, pb.Distance_Dot), Manual: true,
		})
		require.NoError(tb, err)
	}
	return p
}

func (p *pair) put(name string, from, to int) {
	p.tb.Helper()
	for id := from; id < to; id++ {
		ticket, err := p.shards[name].Submit(p.tb.Context(), upsertOf(p.tb, numbered(id, dense(1, 1))))
		require.NoError(p.tb, err)
		require.NoError(p.tb, ticket.Applied(p.tb.Context()))
	}
}

func (p *pair) close() {
	p.tb.Helper()
	require.NoError(p.tb, p.shards["sick"].Close())
	require.NoError(p.tb, p.shards["sound"].Close())
	require.NoError(p.tb, p.log.Close())
}

// TestQuarantineReleasesTheLog: a shard in quarantine doesn't keep the log of the
// others from getting shorter, and has all its points when the reason is over.
func TestQuarantineReleasesTheLog(t *testing.T) {
	mem := fsx.NewMem()
	p := openPair(t, mem)
	sick := p.shards["sick"]
	for round := range 2 {
		p.put("sick", 10*round, 10*round+10)
		sick.quarantine(errors.New("no memory"))
		p.put("sound", 0, 10)
		require.NoError(t, p.shards["sound"].Checkpoint(t.Context()))
		require.True(t, p.log.Stream("sick").Holds())
		held := p.log.Size()
		require.NoError(t, sick.setLogAside(t.Context()))
		require.Less(t, p.log.Size(), held)
		require.False(t, p.log.Stream("sick").Holds())
		p.close()

		p = openPair(t, mem)
		sick = p.shards["sick"]
		require.NoError(t, sick.Err())
		require.EqualValues(t, 10*round+10, sick.Info().Points)
	}
	p.put("sick", 20, 22)
	require.NoError(t, sick.Checkpoint(t.Context()))
	require.Equal(t, p.log.Stream("sick").Last(), sick.Flushed())
	_, err := mem.Stat(sick.asideDir())
	require.Error(t, err, "a checkpoint has what was set aside")
	p.close()
	p = openPair(t, mem)
	require.EqualValues(t, 22, p.shards["sick"].Info().Points)
	p.close()
}

// TestQuarantineKeepsADamagedLog: what of the log can't be read is kept, and the shard
// doesn't come back as if nothing had been there.
func TestQuarantineKeepsADamagedLog(t *testing.T) {
	mem := fsx.NewMem()
	p := openPair(t, mem)
	p.put("sick", 0, 10)
	p.put("sound", 0, 10)
	p.put("sick", 10, 11)
	killed := mem.KillClone()
	p.close()
	name := "log/0000000000000001.log"
	require.NoError(t, fsx.FlipBits(killed, name, 560, 1))

	p = openPair(t, killed)
	sick := p.shards["sick"]
	require.ErrorIs(t, sick.Err(), oplog.ErrCorrupted)
	require.NoError(t, p.shards["sound"].Err())
	require.NoError(t, p.shards["sound"].Checkpoint(t.Context()))
	content, err := fsx.ReadFile(killed, name)
	require.NoError(t, err)
	require.NoError(t, sick.setLogAside(t.Context()))
	_, err = killed.Stat(name)
	require.Error(t, err, "the log doesn't have it any more")
	kept, err := fsx.ReadFile(killed, "sick/log.damaged/0000000000000001.log")
	require.NoError(t, err)
	require.Equal(t, content, kept)
	for range 2 {
		p.close()
		p = openPair(t, killed)
		require.ErrorIs(t, p.shards["sick"].Err(), oplog.ErrCorrupted)
		require.NoError(t, p.shards["sound"].Err())
		require.EqualValues(t, 10, p.shards["sound"].Info().Points)
	}
	p.close()
}

// TestOptimizerSetsTheLogAside: it happens by itself.
func TestOptimizerSetsTheLogAside(t *testing.T) {
	mem := fsx.NewMem()
	p := openPair(t, mem)
	p.put("sick", 0, 10)
	killed := mem.KillClone()
	p.close()
	require.NoError(t, fsx.FlipBits(killed, "sick/MANIFEST", 20, 1))
	log, err := oplog.Open(oplog.Options{FS: killed, Dir: "log"})
	require.NoError(t, err)
	require.True(t, log.Stream("sick").Holds())
	s, err := Open(t.Context(), Options{FS: killed, Dir: "sick", Log: log.Stream("sick"), CheckpointIdle: 1})
	require.NoError(t, err)
	require.Error(t, s.Err())
	for log.Stream("sick").Holds() {
		runtime.Gosched()
	}
	require.NoError(t, s.Close())
	require.NoError(t, log.Close())
}
