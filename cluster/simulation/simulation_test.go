package simulation_test

import (
	"flag"
	"fmt"
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
	seedsFlag = flag.Int("seeds", 2000, "how many lives")
	firstFlag = flag.Uint64("first", 1, "the first seed")
)

// TestLives lives many lives.
func TestLives(t *testing.T) {
	if *seedFlag != 0 {
		p := simulation.Draw(*seedFlag)
		t.Logf("seed %d: %v", *seedFlag, p)
		r := simulation.Run(p, func(at time.Duration, what string) { fmt.Printf("%s %s\n", at, what) })
		t.Logf("hash %x, %s, %d events, %v", r.Hash, r.Took, r.Events, r.Tally)
		require.NoError(t, r.Err)
		return
	}
	begun := time.Now()
	var next, failed atomic.Uint64
	next.Store(*firstFlag - 1)
	last := *firstFlag - 1 + uint64(*seedsFlag)
	var mu sync.Mutex
	total := map[string]int{}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1); seed <= last && failed.Load() < 10; seed = next.Add(1) {
				one := time.Now()
				r := simulation.Run(simulation.Draw(seed), nil)
				mu.Lock()
				if d := time.Since(one); d > time.Second {
					fmt.Println("SLOW", seed, d, r.Events)
				}
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
	t.Logf("%d lives in %s", *seedsFlag, time.Since(begun))
}
