package coordinator_test

import (
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestFullDisk: a full disk is told as such by changes of collections and points,
// and a collection can be deleted without a free block.
func TestFullDisk(t *testing.T) {
	var full atomic.Value // the prefix of paths without space
	full.Store("none")
	mem := fsx.NewMem()
	fs := fsx.NewFault(mem, func(op fsx.Op) error {
		if strings.HasPrefix(op.Path, full.Load().(string)) {
			return fsx.NoSpace(op)
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

	// Deleting needs no more than the reserve of the topology, and makes room.
	_, err = c.Collections().Delete(t.Context(), &pb.DeleteCollection{CollectionName: "a"})
	require.NoError(t, err)
	entries, err := fs.ReadDir("/storage/collections")
	require.NoError(t, err)
	require.Empty(t, entries)
	cut := open(t, mem.CrashClone(rand.New(rand.NewPCG(1, 1))))
	require.Empty(t, list(t, cut), "it doesn't come back")

	full.Store("none")
	create(t, c, "a", 2) // the name is free
	require.Eventually(t, func() bool { return upsert() == nil }, time.Minute, time.Millisecond)
}

func list(t *testing.T, c *coordinator.Coordinator) []*pb.CollectionDescription {
	t.Helper()
	l, err := c.Collections().List(t.Context(), &pb.ListCollectionsRequest{})
	require.NoError(t, err)
	return l.GetCollections()
}
