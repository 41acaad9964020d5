package instanceset

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
