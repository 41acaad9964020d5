package telemetry

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/arena"
)

func TestAnonymousMemoryInTheWordsOfTheKernel(t *testing.T) {
	const status = "Name:\tsextant\nVmRSS:\t  900 kB\nRssAnon:\t  100 kB\nRssFile:\t  799 kB\nRssShmem:\t  1 kB\nVmSwap:\t  7 kB\n"
	require.EqualValues(t, 108<<10, anonymousIn(status))
	require.Zero(t, anonymousIn("Name:\tsextant\nVmRSS:\t  900 kB\n"))
	require.Zero(t, anonymousIn("RssAnon:\tmuch kB\n"))
}

func TestWhatIsNeeded(t *testing.T) {
	for name, one := range map[string]struct{ anonymous, objects, live, free, want uint64 }{
		"outside the heap":        {anonymous: 1000, want: 1000},
		"free memory is not":      {anonymous: 1000, objects: 200, live: 200, free: 300, want: 700},
		"garbage is not":          {anonymous: 1000, objects: 500, live: 200, want: 700},
		"no collection yet":       {anonymous: 1000, objects: 500, want: 1000},
		"more live than objects":  {anonymous: 1000, objects: 200, live: 300, want: 1000},
		"more free than resident": {anonymous: 100, objects: 500, live: 200, free: 300, want: 0},
	} {
		require.Equal(t, one.want, needed(one.anonymous, one.objects, one.live, one.free), name)
	}
}

// TestVectorsAreNeeded: memory outside the heap is, as soon as it is touched.
func TestVectorsAreNeeded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	const size = 64 << 20
	before := ReadMemory()
	require.NotZero(t, before.Needed)
	require.LessOrEqual(t, before.Needed, before.Resident)
	a, err := arena.New(arena.Options{Reserve: size})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Free()) })
	for i := 0; i < size; i += 4096 {
		a.Bytes()[i] = 1
	}
	require.Greater(t, ReadMemory().Needed, before.Needed+size/2)
}
