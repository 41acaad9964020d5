package operator_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
)

// everyNth ends the operator whenever so many things have happened to pods, until the test ends it.
func (b *bed) everyNth(n int) (stop func()) {
	b.t.Helper()
	watched, err := client.NewWithWatch(plane.config, client.Options{Scheme: plane.scheme})
	require.NoError(b.t, err)
	w, err := watched.Watch(b.ctx, &corev1.PodList{}, client.InNamespace(b.ns))
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(b.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for seen := 1; ; seen++ {
			select {
			case _, more := <-w.ResultChan():
				if !more {
					return
				}
			case <-ctx.Done():
				return
			}
			if seen%n == 0 {
				operator.restart()
			}
		}
	})
	return func() {
		cancel()
		w.Stop()
		wg.Wait()
	}
}

// An operator that is ended over and over, wherever it is, leaves no trace but that all takes longer.
func TestOperatorKilledAllTheTime(t *testing.T) {
	b := newBed(t, 4)
	stop := b.everyNth(5)
	defer stop()
	b.runs(3)
	b.redundant()
	b.ask("op", "scale-out.yaml")
	b.phase(appsv1.ClusterRunning)
	b.consists(0, 1, 2, 3)
	b.ask("patch", "upgrade.yaml")
	b.phase(appsv1.ClusterRunning)
	b.ends(b.op("restart.yaml"), operationsv1alpha1.OpsSucceed)
	b.change(func(c *appsv1.Cluster) { replicas(3)(c) })
	b.phase(appsv1.ClusterRunning)
	b.consists(0, 1, 2)
	b.whole()
	require.LessOrEqual(t, b.world.Load().Down, 1, "nodes down at once")
	b.served()
}
