package kubernetes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

// Checks 17, 21 and 37: operations that need more than to be asked for.

// request asks for an operation of the examples, changed, and doesn't wait for it.
func (b *bed) request(path string, change ...func(*operationsv1alpha1.OpsRequest)) (name string) {
	b.t.Helper()
	o := sample.One[operationsv1alpha1.OpsRequest](b.t, place.root, "ops/"+path, demo)
	for _, do := range change {
		do(o)
	}
	require.NoError(b.t, b.c.Create(b.ctx, o))
	return o.Name
}

// ends waits until an operation has come to its end, and expects which.
func (b *bed) ends(name string, want operationsv1alpha1.OpsPhase) *operationsv1alpha1.OpsRequest {
	b.t.Helper()
	o := new(operationsv1alpha1.OpsRequest)
	b.eventually("operation "+name+" "+string(want), func() (string, error) {
		err := b.c.Get(b.ctx, key(name), o)
		if err == nil && o.Status.Phase.Finished() {
			require.Equal(b.t, want, o.Status.Phase, "%s: %v", name, o.Status.Conditions)
			return "", nil
		}
		return fmt.Sprintf("it is %s, %s", o.Status.Phase, o.Status.Progress), err
	})
	return o
}

// inPhase waits until an operation is in a phase that it doesn't stay in.
func (b *bed) inPhase(name string, want operationsv1alpha1.OpsPhase) {
	b.t.Helper()
	b.eventually("operation "+name+" "+string(want), func() (string, error) {
		o := new(operationsv1alpha1.OpsRequest)
		err := b.c.Get(b.ctx, key(name), o)
		if err == nil && o.Status.Phase == want {
			return "", nil
		}
		return "it is " + string(o.Status.Phase), err
	})
}

// cancel cancels an operation.
func (b *bed) cancel(name string) {
	b.t.Helper()
	b.eventually("cancelled "+name, func() (string, error) {
		o := new(operationsv1alpha1.OpsRequest)
		if err := b.c.Get(b.ctx, key(name), o); err != nil {
			return "", err
		}
		o.Spec.Cancel = true
		return "", b.c.Update(b.ctx, o)
	})
}

// engine are the resources of the node in a pod.
func engine(p *corev1.Pod) corev1.ResourceRequirements {
	i := slices.IndexFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == "qdrant" })
	return p.Spec.Containers[i].Resources
}

func Test17VerticalScaling(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t)
			b.runs(3)
			b.door.fill(t)
			b.inSync()
			before := b.mustPods()
			tr := startTraffic(t, b.door)
			if way == "op" {
				require.Equal(t, "3/3", b.op("vertical-scaling.yaml").Status.Progress)
			} else {
				b.patch("vertical-scaling.yaml")
			}
			b.phase(appsv1.ClusterRunning)
			tr.stop(t, "vertical scaling by "+way)
			for name, p := range b.mustPods() {
				require.NotEqual(t, before[name].UID, p.UID)
				for _, list := range []corev1.ResourceList{engine(p).Limits, engine(p).Requests} {
					require.Equal(t, "1", list.Cpu().String(), name)
					require.Equal(t, "1Gi", list.Memory().String(), name)
				}
			}
			b.inSync()
			b.door.whole(t, "c1", "c2")
		})
	}
}

func Test17ImpossibleResourcesAreRefused(t *testing.T) {
	b := newBed(t)
	less := func(r *appsv1.Resources) {
		r.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
		r.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}
	}
	c := sample.One[appsv1.Cluster](t, place.root, "cluster.yaml", demo)
	less(&c.Spec.ComponentSpecs[0].Resources)
	require.ErrorContains(t, b.c.Create(b.ctx, c), "limits")
	o := sample.One[operationsv1alpha1.OpsRequest](t, place.root, "ops/vertical-scaling.yaml", demo)
	less(&o.Spec.VerticalScaling[0].Resources)
	require.ErrorContains(t, b.c.Create(b.ctx, o), "limits")
}

func Test17CancelPutsBackWhatWas(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	b.inSync()
	tr := startTraffic(t, b.door)
	name := b.request("vertical-scaling.yaml")
	b.eventually("the first pod has changed", func() (string, error) {
		pods, err := b.pods()
		for _, p := range pods {
			if r := engine(p); r.Limits.Memory().String() == "1Gi" {
				return "", nil
			}
		}
		return "none has", err
	})
	b.cancel(name)
	b.ends(name, operationsv1alpha1.OpsCancelled)
	b.phase(appsv1.ClusterRunning)
	tr.stop(t, "vertical scaling cancelled")
	for name, p := range b.mustPods() {
		r := engine(p)
		require.Equal(t, "512Mi", r.Limits.Memory().String(), name)
		require.Equal(t, "500m", r.Requests.Cpu().String(), name)
	}
	b.inSync()
	b.door.whole(t, "c1", "c2")
}

// Two leave at once: nothing moves onto one that goes next, and what is left is spread evenly.
func Test21ScaleInByTwo(t *testing.T) {
	b := newBed(t)
	b.runs(5)
	b.door.fill(t)
	b.inSync()
	tr := startTraffic(t, b.door)
	b.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].Replicas = 3 })
	b.phase(appsv1.ClusterRunning)
	b.agree(3)
	tr.stop(t, "5 to 3")
	require.Equal(t, []string{podName(0), podName(1), podName(2)}, names(b.mustPods()))
	claims, err := b.claims()
	require.NoError(t, err)
	require.Len(t, claims, 3)
	b.inSync()
	b.eventually("copies spread evenly", func() (string, error) {
		many := map[uint64]int{}
		for _, collection := range []string{"c1", "c2"} {
			all, _, err := b.door.layout(b.ctx, collection)
			if err != nil {
				return "", err
			}
			for _, c := range all {
				many[c.Peer]++
			}
		}
		least, most := 1<<20, 0
		for _, n := range many {
			least, most = min(least, n), max(most, n)
		}
		if len(many) != 3 || most-least > 1 {
			return fmt.Sprint(many), nil
		}
		return "", nil
	})
	b.door.whole(t, "c1", "c2")
}

// Operations of a cluster run one after another, but for those that are forced; those that wait can be cancelled, and those
// that are done go when their time is up.
func Test37Queue(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	b.inSync()
	tr := startTraffic(t, b.door)
	restart := b.request("restart.yaml")
	b.inPhase(restart, operationsv1alpha1.OpsRunning)
	waiting := b.request("scale-out.yaml")
	b.inPhase(waiting, operationsv1alpha1.OpsPending)
	// Behind those two, which it must not overtake.
	behind := b.request("vertical-scaling.yaml", func(o *operationsv1alpha1.OpsRequest) { o.Spec.TTLSecondsAfterSucceed = 20 })
	forced := b.request("expose.yaml", func(o *operationsv1alpha1.OpsRequest) {
		o.Spec.Force = true
		o.Spec.Expose[0].Services[0].ServiceType = corev1.ServiceTypeClusterIP
	})
	b.cancel(waiting)
	cancelled := b.ends(waiting, operationsv1alpha1.OpsCancelled)
	require.True(t, meta.IsStatusConditionTrue(cancelled.Status.Conditions, operationsv1alpha1.ConditionCancelled))
	require.Nil(t, cancelled.Status.StartTimestamp, "it never began")
	last := b.ends(forced, operationsv1alpha1.OpsSucceed)

	first := b.ends(restart, operationsv1alpha1.OpsSucceed)
	require.Equal(t, "3/3", first.Status.Progress)
	require.True(t, meta.IsStatusConditionTrue(first.Status.Conditions, "Restarting"))
	require.True(t, last.Status.StartTimestamp.Before(first.Status.CompletionTimestamp), "what is forced doesn't wait")
	second := b.ends(behind, operationsv1alpha1.OpsSucceed)
	require.False(t, second.Status.StartTimestamp.Before(first.Status.CompletionTimestamp), "one after the other")
	b.eventually("the operation gone", func() (string, error) {
		err := b.c.Get(b.ctx, key(behind), new(operationsv1alpha1.OpsRequest))
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		return "it is there", err
	})
	b.phase(appsv1.ClusterRunning)
	tr.stop(t, "operations one after another")
	b.agree(3)
	b.inSync()
	b.door.whole(t, "c1", "c2")
}

// An operation that can't be carried out fails at once, and says why where people look.
func Test37WhatIsWrongIsSaid(t *testing.T) {
	b := newBed(t)
	b.runs(1)
	began := time.Now()
	for name, one := range map[string]struct {
		path, want string
		change     func(*operationsv1alpha1.OpsRequest)
	}{
		"component": {"restart.yaml", "no-such", func(o *operationsv1alpha1.OpsRequest) { o.Spec.Restart[0].ComponentName = "no-such" }},
		"version":   {"upgrade.yaml", "9.9.9", func(o *operationsv1alpha1.OpsRequest) { o.Spec.Upgrade.Components[0].ServiceVersion = new("9.9.9") }},
		"instance":  {"rebuild.yaml", podName(7), func(o *operationsv1alpha1.OpsRequest) { o.Spec.RebuildFrom[0].Instances[0].Name = podName(7) }},
	} {
		o := b.ends(b.request(one.path, one.change, func(o *operationsv1alpha1.OpsRequest) { o.Name = "wrong-" + name }), operationsv1alpha1.OpsFailed)
		v := meta.FindStatusCondition(o.Status.Conditions, operationsv1alpha1.ConditionValidated)
		require.NotNil(t, v, name)
		require.Equal(t, metav1.ConditionFalse, v.Status, name)
		require.Contains(t, v.Message, one.want, name)
		b.eventually("an event", func() (string, error) {
			var events corev1.EventList
			err := b.c.List(b.ctx, &events, client.InNamespace(demo))
			for i := range events.Items {
				if e := &events.Items[i]; e.InvolvedObject.UID == o.UID && e.Type == corev1.EventTypeWarning && strings.Contains(e.Message, one.want) {
					return "", nil
				}
			}
			return fmt.Sprintf("%d events", len(events.Items)), err
		})
	}
	figure(t, "3 impossible operations", "refused within", time.Since(began).Round(100*time.Millisecond))
	b.phase(appsv1.ClusterRunning)
}
