package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/tests/kubernetes/schedule"
)

func steps(seed uint64, n int) []schedule.Step {
	s := schedule.New(seed)
	all := make([]schedule.Step, n)
	for i := range all {
		all[i] = s.Next()
	}
	return all
}

func TestTheSeedDecides(t *testing.T) {
	first := steps(7, 100)
	require.Equal(t, first, steps(7, 100))
	require.NotEqual(t, first, steps(8, 100))
}

func TestEverythingComesUpInAnHour(t *testing.T) {
	for seed := range uint64(50) {
		faults, operations := map[schedule.Fault]int{}, map[schedule.Operation]int{}
		for _, s := range steps(seed, 40) {
			faults[s.Fault]++
			operations[s.Operation]++
		}
		require.Len(t, faults, 7, "seed %d: %v", seed, faults)
		require.Len(t, operations, 9, "seed %d: %v", seed, operations)
	}
}

// What goes out comes back in, what is upgraded is downgraded, and nothing is asked for twice.
func TestOperationsChangeSomething(t *testing.T) {
	pairs := map[schedule.Operation]schedule.Operation{
		schedule.ScaleOut: schedule.ScaleIn, schedule.Enlarge: schedule.Shrink, schedule.Upgrade: schedule.Downgrade,
	}
	for seed := range uint64(50) {
		for there, back := range pairs {
			done := false
			for _, s := range steps(seed, 100) {
				switch s.Operation {
				case there:
					require.False(t, done, "seed %d: %s", seed, s)
					done = true
				case back:
					require.True(t, done, "seed %d: %s", seed, s)
					done = false
				default:
				}
			}
		}
	}
}

func TestStepsDoWhatTheyMay(t *testing.T) {
	for seed := range uint64(50) {
		for i, s := range steps(seed, 100) {
			require.Equal(t, i+1, s.Number)
			require.False(t, s.Fault == schedule.NoFault && s.Operation == schedule.NoOperation, "%s does nothing", s)
			if s.Operation != schedule.NoOperation {
				require.NotEqual(t, schedule.LoseDisk, s.Fault, "the disk may be the only one with everything")
				require.LessOrEqual(t, s.For, 20*time.Second)
			}
			require.GreaterOrEqual(t, s.For, time.Second)
			require.GreaterOrEqual(t, s.After, time.Duration(0))
		}
	}
}
