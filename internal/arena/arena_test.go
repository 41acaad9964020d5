package arena_test

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/arena"
)

func TestReserveIsLazyAlignedAndZero(t *testing.T) {
	var account arena.Account
	a, err := arena.New(arena.Options{Reserve: 64 << 30, Account: &account})
	require.NoError(t, err)
	require.Zero(t, uintptr(a.Base())%(2<<20))
	require.GreaterOrEqual(t, a.Len(), 64<<30)
	require.Equal(t, int64(a.Len()), account.Reserved())
	require.Less(t, resident(t), 16<<30, "reserving must not touch memory")

	b := a.Bytes()
	require.Zero(t, b[0])
	b[len(b)-1] = 7
	require.Equal(t, byte(7), a.Bytes()[a.Len()-1])

	require.NoError(t, a.Free())
	require.NoError(t, a.Free())
	require.Zero(t, account.Reserved())
}

func TestViewsShareMemory(t *testing.T) {
	a, err := arena.New(arena.Options{Reserve: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Free()) }()
	a.Float32s()[3] = 1
	require.Equal(t, uint32(0x3f800000), a.Uint32s()[3])
	require.Equal(t, uint16(0x3f80), a.Uint16s()[7])
	require.Equal(t, uint64(0x3f800000)<<32, a.Uint64s()[1])
}

func TestReleaseClears(t *testing.T) {
	a, err := arena.New(arena.Options{Reserve: 4 << 20, SmallPages: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Free()) }()
	for _, r := range [][2]int{{0, 4 << 20}, {100, 200}, {100, 5000}, {4095, 4097}, {4096, 8192}, {10, 3 << 20}} {
		b := a.Bytes()
		for i := range b {
			b[i] = 1
		}
		a.Release(r[0], r[1])
		for i, x := range b {
			if inside := i >= r[0] && i < r[1]; inside != (x == 0) {
				t.Fatalf("release %v: byte %d is %d", r, i, x)
			}
		}
	}
}

func TestAccountCountsUse(t *testing.T) {
	var account arena.Account
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			a, err := arena.New(arena.Options{Reserve: 1 << 20, Account: &account})
			if err != nil {
				t.Error(err)
				return
			}
			a.SetUsed(100)
			a.SetUsed(1000)
		})
	}
	wg.Wait()
	require.Equal(t, int64(8000), account.Used())
	require.Equal(t, int64(8*2<<20), account.Reserved())
}

func TestRefusesNonsense(t *testing.T) {
	for _, n := range []int64{-1, 1 << 60} {
		_, err := arena.New(arena.Options{Reserve: n})
		require.Error(t, err)
	}
}

// resident returns the process's resident memory in bytes, 0 where unknown.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}
