package operator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

// Checks 14, 15, 16, 17, 26: pods stop, start and are replaced, one after another.

// ways are the two ways to ask for anything.
var ways = []string{"op", "patch"}

// ask asks for what the examples ask for in a file, in one of the two ways. An operation is waited for.
func (b *bed) ask(way, file string) {
	b.t.Helper()
	if way == "patch" {
		b.patch(file)
		return
	}
	b.ends(b.op(file), operationsv1alpha1.OpsSucceed)
}

func Test14StopAndStart(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t, 3)
			b.runs(3)
			b.load()
			b.world.Stopping(true)
			id, claims := b.world.ClusterID(), b.versionsOfClaims()
			b.ask(way, "stop.yaml")
			b.phase(appsv1.ClusterStopped)
			pods, err := b.pods()
			require.NoError(t, err)
			require.Empty(t, pods)
			require.Equal(t, claims, b.versionsOfClaims(), "claims stay")
			var s corev1.Service
			require.NoError(t, b.c.Get(b.ctx, b.key(set), &s), "services stay")

			b.ask(way, "start.yaml")
			b.phase(appsv1.ClusterRunning)
			b.whole()
			require.Equal(t, id, b.world.ClusterID())
		})
	}
}

// versionsOfClaims tells claims apart that are called the same.
func (b *bed) versionsOfClaims() map[string]string {
	b.t.Helper()
	claims, err := b.claims()
	require.NoError(b.t, err)
	all := map[string]string{}
	for name, c := range claims {
		all[name] = string(c.UID)
	}
	return all
}

// Who founded must not found again, wherever its disk went.
func Test15FirstDiskLostWhileStopped(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	require.NoError(t, b.world.CreateCollection("c1", 4, 2))
	id := b.world.ClusterID()
	// All are stopped at once. When the first node is the last to end, it may have the only
	// copy in sync of a shard, which nothing could replace.
	for try := 0; ; try++ {
		require.Less(t, try, 10)
		b.world.Stopping(true)
		b.ask("patch", "stop.yaml")
		b.phase(appsv1.ClusterStopped)
		b.world.Stopping(false)
		shard := b.world.Irreplaceable(podName(0))
		if shard == "" {
			break
		}
		t.Logf("%s ended last, with the only copy in sync of %s: once more", podName(0), shard)
		b.ask("patch", "start.yaml")
		b.phase(appsv1.ClusterRunning)
		b.whole()
	}
	claims, err := b.claims()
	require.NoError(t, err)
	lost := claims[claimName(0)]
	require.NoError(t, b.c.Delete(b.ctx, lost))
	b.eventually("the claim gone", func() (string, error) {
		claims, err := b.claims()
		if c := claims[claimName(0)]; c != nil && c.UID == lost.UID {
			return "it is there", err
		}
		return "", err
	})
	b.ask("patch", "start.yaml")
	b.phase(appsv1.ClusterRunning)
	b.whole()
	require.Equal(t, id, b.world.ClusterID(), "one cluster, the same")
	require.Len(t, b.world.Spread(), 3)
}

// replaced expects that all pods are others than before, and lists them, the oldest first.
func (b *bed) replaced(before map[string]*corev1.Pod) (order []string) {
	b.t.Helper()
	pods, err := b.pods()
	require.NoError(b.t, err)
	require.Equal(b.t, names(before), names(pods))
	order = names(pods)
	for _, name := range order {
		require.NotEqual(b.t, before[name].UID, pods[name].UID, name+" was replaced")
	}
	slices.SortStableFunc(order, func(x, y string) int {
		return pods[x].CreationTimestamp.Compare(pods[y].CreationTimestamp.Time)
	})
	return order
}

func Test16Restart(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	b.redundant()
	leader := b.world.Leader()
	before, err := b.pods()
	require.NoError(t, err)
	o := b.ends(b.op("restart.yaml"), operationsv1alpha1.OpsSucceed)
	require.Equal(t, "3/3", o.Status.Progress)
	b.phase(appsv1.ClusterRunning)
	order := b.replaced(before)
	require.Equal(t, leader, order[2], "who leads is last, %v", order)
	require.Equal(t, 1, b.world.Load().Down, "nodes down at once")
	b.whole()
	b.served()
}

func Test17VerticalScaling(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t, 3)
			b.runs(3)
			b.redundant()
			b.ask(way, "vertical-scaling.yaml")
			b.phase(appsv1.ClusterRunning)
			pods, err := b.pods()
			require.NoError(t, err)
			require.Len(t, pods, 3)
			for _, p := range pods {
				have := p.Spec.Containers[0].Resources
				for _, list := range []corev1.ResourceList{have.Limits, have.Requests} {
					require.Equal(t, "1", list.Cpu().String())
					require.Equal(t, "1Gi", list.Memory().String())
				}
			}
			require.LessOrEqual(t, b.world.Load().Down, 1)
			b.whole()
			b.served()
		})
	}
}

func Test17ImpossibleResourcesAreRefused(t *testing.T) {
	b := newBed(t, 1)
	b.runs(1)
	less := func(r *appsv1.Resources) {
		r.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
		r.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}
	}
	err := b.tryChange(func(c *appsv1.Cluster) { less(&c.Spec.ComponentSpecs[0].Resources) })
	require.ErrorContains(t, err, "limits")
	o := sample.One[operationsv1alpha1.OpsRequest](t, root, "ops/vertical-scaling.yaml", b.ns)
	less(&o.Spec.VerticalScaling[0].Resources)
	require.ErrorContains(t, b.c.Create(b.ctx, o), "limits")
}

func Test17CancelPutsBackWhatWas(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	b.redundant()
	name := b.op("vertical-scaling.yaml")
	b.eventually("the first pod has changed", func() (string, error) {
		pods, err := b.pods()
		for _, p := range pods {
			if p.Spec.Containers[0].Resources.Limits.Memory().String() == "1Gi" {
				return "", nil
			}
		}
		return "none has", err
	})
	b.cancel(name)
	b.ends(name, operationsv1alpha1.OpsCancelled)
	b.phase(appsv1.ClusterRunning)
	pods, err := b.pods()
	require.NoError(t, err)
	for _, p := range pods {
		require.Equal(t, "512Mi", p.Spec.Containers[0].Resources.Limits.Memory().String())
	}
	b.whole()
}

// Test17MemoryBelowTheNeed: it isn't followed, by neither way, unless it is forced.
func Test17MemoryBelowTheNeed(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	b.world.NeedMemory(400 << 20) // of the 512Mi that the example has
	less := func(r *appsv1.Resources, memory string) {
		r.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse(memory)}
		r.Requests = r.Limits.DeepCopy()
	}
	scale := func(o *operationsv1alpha1.OpsRequest) { less(&o.Spec.VerticalScaling[0].Resources, "256Mi") }
	o := b.ends(b.op("vertical-scaling.yaml", scale), operationsv1alpha1.OpsFailed)
	require.Contains(t, conditions(o.Status.Conditions), "a memory limit of 256Mi is too low")

	before, err := b.pods()
	require.NoError(t, err)
	b.change(func(c *appsv1.Cluster) { less(&c.Spec.ComponentSpecs[0].Resources, "256Mi") })
	b.phase(appsv1.ClusterAbnormal)
	c, err := b.cluster()
	require.NoError(t, err)
	require.Contains(t, c.Status.Message, "a memory limit of 256Mi is too low")
	b.change(func(c *appsv1.Cluster) { less(&c.Spec.ComponentSpecs[0].Resources, "512Mi") })
	b.phase(appsv1.ClusterRunning)
	after, err := b.pods()
	require.NoError(t, err)
	for name := range before {
		require.Equal(t, before[name].UID, after[name].UID, "no pod is replaced")
	}

	b.ends(b.op("vertical-scaling.yaml", scale, func(o *operationsv1alpha1.OpsRequest) {
		o.Name, o.Spec.Force = "forced", true
	}), operationsv1alpha1.OpsSucceed)
	after, err = b.pods()
	require.NoError(t, err)
	for _, p := range after {
		require.Equal(t, "256Mi", p.Spec.Containers[0].Resources.Limits.Memory().String())
	}
}

// cancel cancels an operation.
func (b *bed) cancel(name string) {
	b.t.Helper()
	b.eventually("cancelled "+name, func() (string, error) {
		o := new(operationsv1alpha1.OpsRequest)
		if err := b.c.Get(b.ctx, b.key(name), o); err != nil {
			return "", err
		}
		o.Spec.Cancel = true
		return "", b.c.Update(b.ctx, o)
	})
}

func Test26Upgrade(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t, 3)
			b.runs(3)
			b.redundant()
			before, err := b.pods()
			require.NoError(t, err)
			b.ask(way, "upgrade.yaml")
			b.phase(appsv1.ClusterRunning)
			pods, err := b.pods()
			require.NoError(t, err)
			for name, p := range pods {
				require.Equal(t, before[name].UID, p.UID, "the pod is the same")
				require.EqualValues(t, 1, p.Status.ContainerStatuses[0].RestartCount)
				require.Equal(t, "test/sextant:1.14.0", p.Spec.Containers[0].Image)
			}
			component, err := b.component()
			require.NoError(t, err)
			require.Equal(t, "1.14.0", component.Spec.ServiceVersion)
			require.Equal(t, 1, b.world.Load().Down, "nodes down at once")
			b.whole()
			b.served()
		})
	}
}

// Test26ATrialOfAVersion: some instances have a version of their own, until all have it.
func Test26ATrialOfAVersion(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3, func(c *appsv1.Cluster) {
		c.Spec.ComponentSpecs[0].Instances = []appsv1.InstanceTemplate{{Name: "canary", ServiceVersion: "1.14.0"}}
	})
	b.redundant()
	images := func(canary, others string) {
		t.Helper()
		pods, err := b.pods()
		require.NoError(t, err)
		require.Equal(t, []string{set + "-0", set + "-1", set + "-canary-0"}, names(pods))
		for name, p := range pods {
			want := others
			if name == set+"-canary-0" {
				want = canary
			}
			require.Equal(t, "test/sextant:"+want, p.Spec.Containers[0].Image)
			require.Equal(t, want, p.Labels[naming.LabelServiceVersion])
		}
	}
	images("1.14.0", "1.10.0")
	before, err := b.pods()
	require.NoError(t, err)
	b.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].Instances[0].ServiceVersion = "1.13.4" })
	b.phase(appsv1.ClusterRunning)
	images("1.13.4", "1.10.0")
	b.change(func(c *appsv1.Cluster) {
		c.Spec.ComponentSpecs[0].Instances[0].ServiceVersion = ""
		c.Spec.ComponentSpecs[0].ServiceVersion = "1.14.0"
	})
	b.phase(appsv1.ClusterRunning)
	images("1.14.0", "1.14.0")
	after, err := b.pods()
	require.NoError(t, err)
	for name := range before {
		require.Equal(t, before[name].UID, after[name].UID, "images are changed in place")
	}
	b.whole()
}

func Test26UnknownVersionIsRefused(t *testing.T) {
	b := newBed(t, 1)
	b.runs(1)
	name := b.op("upgrade.yaml", func(o *operationsv1alpha1.OpsRequest) { o.Spec.Upgrade.Components[0].ServiceVersion = new("2.0.0") })
	o := b.ends(name, operationsv1alpha1.OpsFailed)
	require.Contains(t, conditions(o.Status.Conditions), "2.0.0")
	pods, err := b.pods()
	require.NoError(t, err)
	require.Equal(t, "test/sextant:1.10.0", pods[podName(0)].Spec.Containers[0].Image)
}

// An image that isn't there takes down one pod, not all, and the way back is open.
func Test26MissingImageStopsAfterTheFirstPod(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	b.redundant()
	b.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].ServiceVersion = "1.15.0" })
	with := func() (pods []string) {
		all, err := b.pods()
		require.NoError(t, err)
		for name, p := range all {
			if strings.Contains(p.Spec.Containers[0].Image, "missing") {
				pods = append(pods, name)
			}
		}
		return pods
	}
	b.eventually("the reason", func() (string, error) {
		c, err := b.cluster()
		if err != nil {
			return "", err
		}
		text := c.Status.Message + conditions(c.Status.Conditions) + fmt.Sprint(c.Status.Components)
		if (c.Status.Phase == appsv1.ClusterAbnormal || c.Status.Phase == appsv1.ClusterFailed) && strings.Contains(text, "1.15.0") {
			return "", nil
		}
		return text, nil
	})
	require.Len(t, with(), 1)
	b.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].ServiceVersion = "1.10.0" })
	b.phase(appsv1.ClusterRunning)
	require.Empty(t, with())
	require.Equal(t, 1, b.world.Load().Down, "nodes down at once")
	b.whole()
}
