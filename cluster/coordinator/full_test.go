package coordinator_test

import (
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestFullDisk: a full disk is told as such by changes of collections and points,
// and deleting a collection makes room before it needs any in the log.
func TestFullDisk(t *testing.T) {
	var full atomic.Value // the prefix of paths without space
	full.Store("none")
	fs := fsx.NewFault(fsx.NewMem(), func(op fsx.Op) error {
		if op.Kind == fsx.OpWrite && strings.HasPrefix(op.Path, full.Load().(string)) {
			return syscall.ENOSPC
		}
		return nil
	})
	c := open(t, fs)
	create(t, c, "a", 2)
	full.Store("/storage")
	_, err := c.Collections().Create(t.Context(), &pb.CreateCollection{
		CollectionName: "b", VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 4, Distance: pb.Distance_Dot}),
	})
	require.Equal(t, apierror.StorageFull, apierror.KindOf(err), "%v", err)
	upsert := func() error {
		_, err := c.Points().Upsert(t.Context(), &pb.UpsertPoints{
			CollectionName: "a", Wait: new(true), Points: []*pb.PointStruct{randomPoint(rand.New(rand.NewPCG(1, 1)), 1)},
		})
		return err
	}
	err = upsert()
	require.Equal(t, apierror.StorageFull, apierror.KindOf(err), "%v", err)

	full.Store("/storage/oplog")
	_, err = c.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "a"})
	require.Equal(t, apierror.StorageFull, apierror.KindOf(err), "%v", err)
	entries, err := fs.ReadDir("/storage/collections/a")
	require.NoError(t, err)
	require.Empty(t, entries, "its files are gone though the log is full")
	full.Store("none")
}
