package budget_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/budget"
)

const mib = 1 << 20

func TestShardsShareWhatMayBeUnsaved(t *testing.T) {
	b := budget.New(budget.Options{Unsaved: 10 * mib})
	much, little, idle := b.Unsaved(), b.Unsaved(), b.Unsaved()
	pressures := func(want ...float64) {
		t.Helper()
		for i, u := range []*budget.Unsaved{much, little, idle} {
			require.InDelta(t, want[i], u.Pressure(), 1e-9, "shard %d", i)
		}
	}
	much.Add(7 * mib)
	little.Add(2 * mib)
	pressures(0, 0, 0)
	little.Add(mib)
	pressures(1, 0, 0) // the share of each is 5
	little.Add(mib)
	much.Add(9 * mib)
	pressures(2, 0, 0)
	much.Add(-16 * mib) // its checkpoint
	pressures(0, 0, 0)
	little.Add(8 * mib)
	pressures(0, 1.2, 0)
	little.Release()
	pressures(0, 0, 0)
}

func TestALittleIsNotWorthACheckpoint(t *testing.T) {
	b := budget.New(budget.Options{Unsaved: 1})
	u := b.Unsaved()
	u.Add(mib - 1)
	require.Zero(t, u.Pressure())
	u.Add(1)
	require.GreaterOrEqual(t, u.Pressure(), 1.0)
}

func TestWithoutALimitNobodyIsPressed(t *testing.T) {
	for _, b := range []*budget.Budget{nil, budget.New(budget.Options{})} {
		u := b.Unsaved()
		u.Add(1 << 40)
		require.Zero(t, u.Pressure())
		require.EqualValues(t, 1<<40, u.Load())
	}
}

// Nothing of what is added and taken away at the same time stays behind.
func TestUnsavedOfManyAtOnce(t *testing.T) {
	b := budget.New(budget.Options{Unsaved: mib})
	last := b.Unsaved()
	var all sync.WaitGroup
	for range 4 {
		u := b.Unsaved()
		for range 4 {
			all.Go(func() {
				for range 1000 {
					u.Add(3)
					u.Add(-3)
				}
			})
		}
	}
	all.Wait()
	last.Add(mib)
	require.InDelta(t, 1, last.Pressure(), 0)
}
