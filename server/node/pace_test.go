package node

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSmallHeapsGetRoom(t *testing.T) {
	var live uint64
	var set []int
	p := pace{live: func() uint64 { return live }, set: func(percent int) { set = append(set, percent) }}
	fit := func(mib uint64) []int {
		live, set = mib<<20, nil
		p.fit()
		return set
	}
	require.Equal(t, []int{400}, fit(0), "before the first collection")
	require.Empty(t, fit(1), "not more than the smallest heap needs")
	require.Equal(t, []int{200}, fit(8))
	require.Empty(t, fit(8))
	require.Empty(t, fit(9), "hardly another heap")
	require.Equal(t, []int{100}, fit(16))
	require.Equal(t, []int{50}, fit(32))
	require.Empty(t, fit(1000))
	require.Empty(t, fit(30))
	require.Equal(t, []int{320}, fit(5))
}

func TestEachCollectionIsNoticed(t *testing.T) {
	fits := make(chan struct{}, 100)
	p := &pace{set: func(int) {}, live: func() uint64 {
		select {
		case fits <- struct{}{}:
		default: // the collections of other tests
		}
		return 1
	}}
	p.keep()
	for range 3 {
		<-fits
		runtime.GC()
	}
	<-fits
}

func TestTheRuntimeTellsWhatLives(t *testing.T) {
	b := make([]byte, 1<<20)
	runtime.GC()
	require.GreaterOrEqual(t, liveHeap(), uint64(len(b)))
	runtime.KeepAlive(b)
}
