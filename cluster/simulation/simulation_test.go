package simulation_test

import (
	"flag"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/simulation"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "live this life only, and tell what happens")
	seedsFlag = flag.Int("seeds", 0, "how many lives: 2,000, or 200 of a -short run")
	firstFlag = flag.Uint64("first", 1, "the first seed")
)

// TestLives lives many lives. `-seed N` lives one again, and tells all of it.
func TestLives(t *testing.T) {
	if *seedFlag != 0 {
		p := simulation.Draw(*seedFlag)
		t.Logf("seed %d: %v", *seedFlag, p)
		r := simulation.Run(p, func(at time.Duration, what string) { t.Log(at, what) })
		t.Logf("hash %x, %s, %d events, %v", r.Hash, r.Took, r.Events, r.Tally)
		require.NoError(t, r.Err)
		return
	}
	lives := uint64(*seedsFlag)
	if lives == 0 {
		lives = 2000
		if testing.Short() {
			lives = 200
		}
	}
	begun := time.Now()
	var next, failed atomic.Uint64
	next.Store(*firstFlag - 1)
	last := *firstFlag - 1 + lives
	var mu sync.Mutex
	total := map[string]int{}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1); seed <= last && failed.Load() < 10; seed = next.Add(1) {
				r := simulation.Run(simulation.Draw(seed), nil)
				mu.Lock()
				if r.Err != nil {
					failed.Add(1)
					t.Errorf("seed %d: %v\n%v", seed, r.Err, r.Plan)
				}
				for k, v := range r.Tally {
					total[k] += v
				}
				total["events"] += r.Events
				total["virtual s"] += int(r.Took / time.Second)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, k := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%-20s %d", k, total[k])
	}
	t.Logf("%d lives in %s", lives, time.Since(begun))
	if lives < 1000 {
		return
	}
	for _, k := range []string{
		"again", "cuts", "filled", "gave up data", "hands", "linearizable reads", "lost disks", "reads", "removed", "stalls", "full disks", "links down", "relieved",
	} {
		require.NotZero(t, total[k], "nothing was tested: %s", k)
	}
}

// TestFound lives the lives again that once found something (docs/track-record.md), each
// twice: the same seed is the same life.
func TestFound(t *testing.T) {
	t.Parallel()
	for name, seed := range map[string]uint64{
		"the same set proposed for ever":         393,
		"a proposal that is never answered":      410,
		"an epoch that goes back":                1527,
		"an epoch that goes back for lost files": 1596,
		"visible in another history":             1510,
		"a log that begins anew under a write":   258,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := simulation.Draw(seed)
			first, second := simulation.Run(p, nil), simulation.Run(p, func(time.Duration, string) {})
			require.NoError(t, first.Err, "seed %d: %v", seed, p)
			require.Equal(t, first.Hash, second.Hash, "seed %d", seed)
			require.Equal(t, first.Events, second.Events, "seed %d", seed)
			require.Equal(t, first.Tally, second.Tally, "seed %d", seed)
		})
	}
}
