package shard

import (
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestFullDisk: a full disk is told as such, reads go on, nothing acknowledged is
// lost, and when there is space again the shard goes on by itself.
func TestFullDisk(t *testing.T) {
	mem := fsx.NewMem()
	fault := fsx.NewFault(mem, nil)
	log, err := oplog.Open(oplog.Options{FS: fault, Dir: "log", RetryAfter: time.Microsecond})
	require.NoError(t, err)
	s, err := Open(t.Context(), Options{
		FS: fault, Dir: "shard", Log: log.Stream("shard"), Config: singleVector(2, pb.Distance_Dot), Manual: true,
	})
	require.NoError(t, err)
	n := &node{tb: t, fs: fault, log: log, shard: s}
	t.Cleanup(n.close)
	require.NoError(t, n.apply(upsertOf(t, numbered(1, dense(1, 1)))))

	fault.SetInject(func(op fsx.Op) error {
		if op.Kind == fsx.OpWrite || op.Kind == fsx.OpCreate {
			return syscall.ENOSPC
		}
		return nil
	})
	err = n.apply(upsertOf(t, numbered(2, dense(2, 1))))
	require.Equal(t, apierror.StorageFull, apierror.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "Insufficient storage: ")
	for range 3 {
		_, err = s.Submit(t.Context(), upsertOf(t, numbered(3, dense(3, 1))))
		require.Equal(t, apierror.StorageFull, apierror.KindOf(err), "%v", err)
	}
	hits, err := s.Query(t.Context(), nearest(1, 0))
	require.NoError(t, err)
	require.NotEmpty(t, hits)
	require.Error(t, s.Checkpoint(t.Context()))
	require.NoError(t, s.Err(), "a full disk is no reason for a quarantine")
	cut := openNode(t, mem.CrashClone(rand.New(rand.NewPCG(1, 1))), Options{Manual: true})
	require.EqualValues(t, 1, cut.shard.Info().Points)

	fault.SetInject(nil)
	for log.Err() != nil {
		runtime.Gosched()
	}
	// The operation whose ticket has failed was taken, and is durable now.
	require.NoError(t, s.Checkpoint(t.Context()))
	require.NoError(t, n.apply(upsertOf(t, numbered(3, dense(3, 1)))))
	cut = openNode(t, mem.CrashClone(rand.New(rand.NewPCG(2, 2))), Options{Manual: true})
	require.EqualValues(t, 3, cut.shard.Info().Points)
}

// TestDocumentNumbersUsedUp: an upsert that needs more document numbers than there
// are left is refused as a whole, the same again after a restart; one that needs
// none is applied.
func TestDocumentNumbersUsedUp(t *testing.T) {
	mem := fsx.NewMem()
	o := Options{Config: singleVector(2, pb.Distance_Dot), Manual: true, docNumbers: 3}
	n := openNode(t, mem, o)
	refused := func(op Op) {
		t.Helper()
		err := n.apply(op)
		require.Equal(t, apierror.StorageFull, apierror.KindOf(err), "%v", err)
	}
	require.NoError(t, n.apply(upsertOf(t, numbered(1, dense(1, 1)), numbered(2, dense(1, 1)))))
	refused(upsertOf(t, numbered(3, dense(1, 1)), numbered(4, dense(1, 1))))
	require.EqualValues(t, 2, n.shard.Info().Points, "nothing of a refused operation is applied")
	// One new point, twice.
	require.NoError(t, n.apply(upsertOf(t, numbered(1, dense(1, 1)), numbered(3, dense(1, 1)), numbered(3, dense(2, 2)))))
	refused(upsertOf(t, numbered(1, dense(7, 7)), numbered(4, dense(1, 1))))
	require.NoError(t, n.apply(upsertOf(t, numbered(2, dense(1, 1)), numbered(2, dense(1, 1)))))
	update, mode := upsertOf(t, numbered(1, dense(1, 1)), numbered(4, dense(1, 1))), pb.UpdateMode_UpdateOnly
	update.Msg.(*pb.UpsertPoints).UpdateMode = &mode
	require.NoError(t, n.apply(update))

	again := openNode(t, mem.KillClone(), o)
	require.NoError(t, again.shard.Err())
	require.EqualValues(t, 3, again.shard.Info().Points)
	require.Equal(t, n.shard.Info().Seq, again.shard.Info().Seq)
}
