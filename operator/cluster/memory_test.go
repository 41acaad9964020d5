package cluster

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	nodeclient "github.com/sextantdb/sextant/client"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// measured are nodes that tell how much memory they need, in mebibytes. Others don't answer.
type measured struct {
	nodes.Access
	needs map[string]uint64
	asked int
}

func (m *measured) Memory(_ context.Context, _ *nodes.Component, pod nodes.Pod) (*nodeclient.Memory, error) {
	m.asked++
	n, ok := m.needs[pod.Name]
	if !ok {
		return nil, errors.New("connection refused")
	}
	n <<= 20
	return &nodeclient.Memory{Needed: &n}, nil
}

func limited(c *appsv1.Cluster, memory string) {
	c.Spec.ComponentSpecs[0].Resources = appsv1.Resources{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}}
}

func runningPod(name string) *corev1.Pod {
	owner := naming.Owner{Cluster: key.Name, Component: "qdrant"}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: name, Labels: naming.PodLabels(owner, name, "", false)},
		Status:     corev1.PodStatus{PodIP: "10.0.0.1"},
	}
}

// TestMemoryBelowTheNeedIsNotFollowed: all stays as it is until the limit is enough, or the user accepts it.
func TestMemoryBelowTheNeedIsNotFollowed(t *testing.T) {
	c := example()
	limited(c, "4Gi")
	w := newWorld(t, append(definitions(), c, runningPod("c-qdrant-0"), runningPod("c-qdrant-1"))...)
	access := &measured{needs: map[string]uint64{"c-qdrant-0": 1000, "c-qdrant-1": 2000}}
	w.reconciler.options.Nodes = access
	memoryOf := func() string {
		q := w.component().Spec.Resources.Limits[corev1.ResourceMemory]
		return q.String()
	}
	w.settle()
	w.runs()
	w.told()
	require.Zero(t, access.asked, "nothing becomes less")

	w.change(func(c *appsv1.Cluster) { limited(c, "2Gi") })
	require.Equal(t, "4Gi", memoryOf())
	require.Equal(t, appsv1.ClusterAbnormal, w.cluster().Status.Phase)
	condition := meta.FindStatusCondition(w.cluster().Status.Conditions, appsv1.ConditionProvisioningStarted)
	require.Equal(t, memory.ReasonBelowNeed, condition.Reason)
	require.Contains(t, condition.Message, "component qdrant: a memory limit of 2Gi is too low for c-qdrant-1")
	require.Contains(t, w.told()[0], "Warning MemoryBelowNeed component qdrant")
	result, err := w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
	require.NoError(t, err)
	require.Equal(t, measureAgain, result.RequeueAfter, "nodes may come to need less")

	access.needs["c-qdrant-1"] = 1500
	w.settle()
	require.Equal(t, "2Gi", memoryOf())
	w.runs()
	require.Equal(t, appsv1.ClusterRunning, w.cluster().Status.Phase)
	w.told()

	asked := access.asked
	access.needs["c-qdrant-1"] = 9000
	w.settle()
	require.Equal(t, appsv1.ClusterRunning, w.cluster().Status.Phase, "what is followed stays")
	require.Equal(t, asked, access.asked)

	w.change(func(c *appsv1.Cluster) {
		limited(c, "1Gi")
		c.Annotations = map[string]string{naming.AnnotationAcceptLowMemory: "1Gi"}
	})
	require.Equal(t, "1Gi", memoryOf())
	require.Equal(t, asked, access.asked)
	w.told()

	clear(access.needs)
	w.change(func(c *appsv1.Cluster) { limited(c, "512Mi") })
	require.Equal(t, "512Mi", memoryOf(), "nothing is known")
	require.Contains(t, w.told()[0], "Warning MemoryNeedUnknown component qdrant gets less memory, and it isn't known whether that is enough: no answer from c-qdrant-0, c-qdrant-1")
}
