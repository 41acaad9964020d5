package v1alpha1_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
)

// TestConditions pins the words that screens and scripts know.
func TestConditions(t *testing.T) {
	for opsType, want := range map[v1alpha1.OpsType]string{
		v1alpha1.Start:             "Starting",
		v1alpha1.Stop:              "Stopping",
		v1alpha1.Restart:           "Restarting",
		v1alpha1.VerticalScaling:   "VerticalScaling",
		v1alpha1.HorizontalScaling: "HorizontalScaling",
		v1alpha1.VolumeExpansion:   "VolumeExpanding",
		v1alpha1.Upgrade:           "VersionUpgrading",
		v1alpha1.Expose:            "Exposing",
		v1alpha1.Switchover:        "Switchover",
		v1alpha1.Reconfiguring:     "Reconfigure",
		v1alpha1.Backup:            "Backup",
		v1alpha1.Restore:           "Restore",
		v1alpha1.RebuildInstance:   "InstancesRebuilding",
	} {
		require.Equal(t, want, opsType.Condition(), opsType)
	}
}

func TestPhases(t *testing.T) {
	for phase, want := range map[v1alpha1.OpsPhase]struct{ started, finished bool }{
		"":                     {},
		v1alpha1.OpsPending:    {},
		v1alpha1.OpsCreating:   {started: true},
		v1alpha1.OpsRunning:    {started: true},
		v1alpha1.OpsCancelling: {started: true},
		v1alpha1.OpsCancelled:  {started: true, finished: true},
		v1alpha1.OpsAborted:    {started: true, finished: true},
		v1alpha1.OpsFailed:     {started: true, finished: true},
		v1alpha1.OpsSucceed:    {started: true, finished: true},
	} {
		require.Equal(t, want.started, phase.Started(), phase)
		require.Equal(t, want.finished, phase.Finished(), phase)
	}
}
