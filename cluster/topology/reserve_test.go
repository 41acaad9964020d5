package topology_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/fsx"
)

// saved returns a file system on which three collections are recorded.
func saved(t *testing.T) (mem *fsx.Mem, s *topology.State) {
	t.Helper()
	mem, s = fsx.NewMem(), &topology.State{}
	require.NoError(t, mem.MkdirAll("/data"))
	for i := range 3 {
		apply(t, s, topology.CreateCollection{Collection: collection(t, fmt.Sprint("c", i), strconv.Itoa(i))})
	}
	require.NoError(t, topology.Store{FS: mem, Path: "/data/topology"}.Save(s))
	return mem, s
}

// TestDeletionOnAFullDisk: a deletion is recorded on a disk without a free block,
// other changes aren't; the reserve that this takes is there again when there is room.
func TestDeletionOnAFullDisk(t *testing.T) {
	mem, s := saved(t)
	disk := fsx.NewFault(mem, fsx.NoSpace)
	store := topology.Store{FS: disk, Path: "/data/topology"}
	stored := func() int {
		s, _, err := topology.Store{FS: mem.CrashClone(rand.New(rand.NewPCG(1, 1))), Path: store.Path}.Load()
		require.NoError(t, err)
		return len(s.Collections())
	}
	require.True(t, fsx.IsFull(store.Save(s)))
	remove := func(name string) error {
		apply(t, s, topology.DeleteCollection{Name: name})
		return store.SaveDeletion(s)
	}
	require.NoError(t, remove("c0"))
	require.Equal(t, 2, stored())
	require.True(t, fsx.IsFull(remove("c1")), "there is one reserve")
	require.Equal(t, 2, stored())

	disk.SetInject(nil)
	store.KeepReserve()
	disk.SetInject(fsx.NoSpace)
	require.NoError(t, store.SaveDeletion(s))
	require.Equal(t, 1, stored())

	disk.SetInject(nil)
	require.NoError(t, store.Save(s))
	disk.SetInject(fsx.NoSpace)
	require.NoError(t, remove("c2"))
	require.Zero(t, stored())
}

// TestDeletionSurvivesPowerCuts: a power cut while the reserve is used leaves the old
// or the new state.
func TestDeletionSurvivesPowerCuts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for stop, finished := int64(1), false; !finished; stop++ {
		mem, s := saved(t)
		disk := fsx.NewFault(mem, nil)
		cut := fsx.StopAt(stop)
		disk.SetInject(func(op fsx.Op) error {
			if err := cut(op); err != nil {
				return err
			}
			return fsx.NoSpace(op)
		})
		apply(t, s, topology.DeleteCollection{Name: "c0"})
		finished = topology.Store{FS: disk, Path: "/data/topology"}.SaveDeletion(s) == nil
		for range 20 {
			after := topology.Store{FS: mem.CrashClone(rng), Path: "/data/topology"}
			got, found, err := after.Load()
			require.NoError(t, err)
			require.True(t, found)
			if finished {
				require.Len(t, got.Collections(), 2)
			} else {
				require.Contains(t, []int{2, 3}, len(got.Collections()))
			}
			// Whatever is left of the reserve doesn't hinder what follows.
			require.NoError(t, after.Save(got))
			full := topology.Store{FS: fsx.NewFault(after.FS, fsx.NoSpace), Path: after.Path}
			require.NoError(t, full.SaveDeletion(got))
		}
	}
}
