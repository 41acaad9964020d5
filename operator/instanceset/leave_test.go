package instanceset

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A node that has left refuses everybody, so it leaves when Kubernetes sends nobody there any more.
func TestClientsAreSentElsewhereBeforeAMemberLeaves(t *testing.T) {
	w := newWorld()
	w.rounds(t, mostRounds, true)
	w.set.Spec.Replicas = new(int32(2))
	leaves := func() bool {
		d, asked, err := w.plan()
		require.NoError(t, err)
		require.Empty(t, d.DeletePods)
		return slices.ContainsFunc(asked, func(q Question) bool { return q.Kind == AskLeave })
	}
	d, _, err := w.plan()
	require.NoError(t, err)
	require.Len(t, d.DeletePods, 1)
	require.Equal(t, soon, d.Requeue)
	pod := w.pods["c-2"]
	require.Equal(t, pod.UID, d.DeletePods[0].Pod.UID)
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = new(metav1.NewTime(w.now.Add(time.Minute))), new(int64(60))
	require.False(t, leaves())
	w.now = w.now.Add(elsewhere)
	require.True(t, leaves())
}

// An instance that isn't ready may be no member: then all members answer, and there is one instance too few all the same.
func TestNobodyLeavesEarlyWhileAnInstanceIsDown(t *testing.T) {
	w := newWorld()
	w.set.Spec.Replicas = new(int32(4))
	w.rounds(t, mostRounds, true)
	id, runs := w.process("c-1")
	require.True(t, runs)
	w.remove(id)
	w.pods["c-1"].Status.Phase = corev1.PodFailed
	w.set.Spec.Replicas = new(int32(3))
	d, asked, err := w.plan()
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(asked, func(q Question) bool { return q.Kind == AskLeave && q.Pod == "c-3" }), asked)
	for _, one := range d.DeletePods {
		require.Equal(t, "c-1", one.Pod.Name, one.Why)
	}
}
