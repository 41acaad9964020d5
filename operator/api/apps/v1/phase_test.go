package v1_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

func TestComposeClusterPhase(t *testing.T) {
	const (
		creating = appsv1.ComponentCreating
		updating = appsv1.ComponentUpdating
		stopping = appsv1.ComponentStopping
		starting = appsv1.ComponentStarting
		running  = appsv1.ComponentRunning
		stopped  = appsv1.ComponentStopped
		failed   = appsv1.ComponentFailed
		deleting = appsv1.ComponentDeleting
	)
	type phases = []appsv1.ComponentPhase
	for _, c := range []struct {
		components phases
		want       appsv1.ClusterPhase
	}{
		{nil, ""},
		{phases{""}, ""},
		{phases{running, ""}, ""},

		{phases{creating}, appsv1.ClusterCreating},
		{phases{running}, appsv1.ClusterRunning},
		{phases{updating}, appsv1.ClusterUpdating},
		{phases{stopping}, appsv1.ClusterStopping},
		{phases{stopped}, appsv1.ClusterStopped},
		{phases{starting}, appsv1.ClusterUpdating},
		{phases{failed}, appsv1.ClusterFailed},
		{phases{deleting}, ""},

		{phases{stopped, stopped}, appsv1.ClusterStopped},
		{phases{running, stopped}, appsv1.ClusterRunning},
		{phases{creating, creating}, appsv1.ClusterCreating},
		{phases{creating, running}, appsv1.ClusterUpdating},
		{phases{creating, updating, running}, appsv1.ClusterUpdating},
		{phases{stopped, starting}, appsv1.ClusterUpdating},
		{phases{starting, stopping}, appsv1.ClusterUpdating},
		{phases{starting, failed}, appsv1.ClusterUpdating},
		{phases{stopping, running}, appsv1.ClusterStopping},
		{phases{stopping, failed}, appsv1.ClusterStopping},
		{phases{failed, failed}, appsv1.ClusterFailed},
		{phases{failed, running}, appsv1.ClusterAbnormal},
		{phases{failed, updating}, appsv1.ClusterAbnormal},
		{phases{failed, deleting}, appsv1.ClusterAbnormal},
		{phases{creating, stopped}, ""},
		{phases{deleting, running}, ""},
	} {
		t.Run(fmt.Sprint(c.components), func(t *testing.T) {
			require.Equal(t, c.want, appsv1.ComposeClusterPhase(c.components))
		})
	}
}

// TestOrderDoesNotMatter: the phase is that of the set, and repeating a component's
// phase changes nothing.
func TestOrderDoesNotMatter(t *testing.T) {
	phase := rapid.SampledFrom([]appsv1.ComponentPhase{
		"", appsv1.ComponentCreating, appsv1.ComponentUpdating, appsv1.ComponentStopping, appsv1.ComponentStarting,
		appsv1.ComponentRunning, appsv1.ComponentStopped, appsv1.ComponentFailed, appsv1.ComponentDeleting,
	})
	rapid.Check(t, func(t *rapid.T) {
		phases := rapid.SliceOfN(phase, 1, 5).Draw(t, "phases")
		want := appsv1.ComposeClusterPhase(phases)
		shuffled := rapid.Permutation(phases).Draw(t, "shuffled")
		require.Equal(t, want, appsv1.ComposeClusterPhase(append(shuffled, shuffled[0])))
	})
}
