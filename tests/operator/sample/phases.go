package sample

import (
	"slices"

	"k8s.io/apimachinery/pkg/watch"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

// PhasesUntil tells through which phases a watch sees a cluster pass, once it is in the last one, and stops the watch: whoever
// asks for the phase may know it before. When the watch ends before, the phases so far.
func PhasesUntil(w watch.Interface, last appsv1.ClusterPhase) <-chan []appsv1.ClusterPhase {
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
	return seen
}
