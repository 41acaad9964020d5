package node

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMemoryGoesBackOnceWhenTheNodeIsQuiet(t *testing.T) {
	var now heapState
	releases := 0
	k := heapKeeper{
		read:    func() heapState { return now },
		release: func() { releases++; now.free = 0 },
	}
	look := func(allocated, free uint64) int {
		now = heapState{allocated: now.allocated + allocated, free: free}
		k.look()
		return releases
	}
	require.Zero(t, look(100<<20, 60<<20), "busy: the runtime's affair")
	require.Zero(t, look(100<<20, 60<<20))
	require.Equal(t, 1, look(1<<20, 60<<20), "quiet")
	require.Equal(t, 1, look(1<<20, 0), "nothing new to be had")
	require.Equal(t, 1, look(0, 3<<20))
	require.Equal(t, 2, look(0, 40<<20), "free memory alone is worth it")
	require.Equal(t, 2, look(40<<20, 0))
	require.Equal(t, 3, look(0, 0), "garbage that is not collected yet")
	require.Equal(t, 3, look(0, 0))
}

func TestTheRuntimeTellsItsHeap(t *testing.T) {
	before := readHeap()
	require.NotZero(t, before.allocated)
	b := make([]byte, 1<<20)
	require.GreaterOrEqual(t, readHeap().allocated, before.allocated+uint64(len(b)))
}
