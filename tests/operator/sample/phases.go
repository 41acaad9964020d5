package sample

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/watch"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

// PhasesUntil follows through which phases a watch sees a cluster pass, and stops the watch when it is in the last one. What it
// returns waits for that, up to a minute: whoever asks for the phase may know it before the watch is told.
func PhasesUntil(w watch.Interface, last appsv1.ClusterPhase) (wait func(*testing.T) []appsv1.ClusterPhase) {
	seen := make(chan []appsv1.ClusterPhase, 1)
	go func() {
		defer w.Stop()
		var phases []appsv1.ClusterPhase
		for e := range w.ResultChan() {
			if c, ok := e.Object.(*appsv1.Cluster); ok && c.Status.Phase != "" && !slices.Contains(phases, c.Status.Phase) {
				phases = append(phases, c.Status.Phase)
			}
			if slices.Contains(phases, last) {
				break
			}
		}
		seen <- phases
	}()
	return func(t *testing.T) []appsv1.ClusterPhase {
		t.Helper()
		select {
		case phases := <-seen:
			return phases
		case <-time.After(time.Minute):
			require.FailNow(t, "the watch wasn't told", "phase %s", last)
			return nil
		}
	}
}
