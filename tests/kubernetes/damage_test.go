package kubernetes_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// Checks 22, 28, 38 and 40: members that never come back, damaged disks, machines that are emptied, operators that start anew.

// said is all that the cluster says of itself.
func (b *bed) said() (string, error) {
	c, err := b.cluster()
	if err != nil {
		return "", err
	}
	return fmt.Sprint(c.Status.Phase, c.Status.Message, c.Status.Components, c.Status.Conditions), nil
}

// members are the nodes of the cluster, as one of them says.
func (b *bed) members() (int, error) {
	var m membership
	_, err := b.door.patiently(b.ctx, http.MethodGet, "/cluster", nil, &m)
	return len(m.Peers), err
}

// A member leaves whose machine is gone for good. What others have as well isn't waited for; what only it had is given up when
// the user says so, and not before.
func Test22DeadMemberLeaves(t *testing.T) {
	for _, only := range []bool{false, true} {
		t.Run(fmt.Sprintf("only copy %t", only), func(t *testing.T) {
			b := newBed(t)
			out := newOutage(t)
			b.runs(3)
			b.door.fill(t)
			if !only {
				b.door.must(t, http.MethodDelete, "/collections/c2", nil)
			}
			b.inSync()
			lost := b.spare()
			tr := startTraffic(t, b.door)
			out.kill(lost.Spec.NodeName)
			b.machineGone(lost.Spec.NodeName)
			began := time.Now()
			b.change(func(c *appsv1.Cluster) {
				spec := &c.Spec.ComponentSpecs[0]
				spec.Replicas, spec.OfflineInstances = 2, []string{lost.Name}
			})
			if only {
				b.eventually("the shards at risk are named", func() (string, error) {
					text, err := b.said()
					if strings.Contains(text, "of c2") && strings.Contains(text, naming.AnnotationAcceptDataLoss) {
						return "", err
					}
					return text, err
				})
				many, err := b.members()
				require.NoError(t, err)
				require.Equal(t, 3, many, "it is a member as long as nobody gave its data up")
				b.change(func(c *appsv1.Cluster) { c.Annotations = map[string]string{naming.AnnotationAcceptDataLoss: lost.Name} })
			}
			b.phase(appsv1.ClusterRunning)
			b.agree(2)
			figure(t, "machine gone for good, its member leaves", "Running after", time.Since(began).Round(100*time.Millisecond))
			require.NotContains(t, names(b.mustPods()), lost.Name)
			claims, err := b.claims()
			require.NoError(t, err)
			require.NotContains(t, names(claims), "data-"+lost.Name)
			b.inSync()
			tr.stop(t, "a dead member leaves")
			b.door.whole(t, "c1")
		})
	}
}

// uids tell objects apart that are called the same.
func uids[T client.Object](all map[string]T) map[string]types.UID {
	out := map[string]types.UID{}
	for name, o := range all {
		out[name] = o.GetUID()
	}
	return out
}

// A node whose part in the consensus is damaged on disk can't start: it must not vote twice. It is rebuilt from the others.
func Test28DamagedDisk(t *testing.T) {
	const log = "/qdrant/storage/consensus/log/0000000000000001.log"
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	// With the only copy of something nobody would rebuild it without being told to.
	b.door.must(t, http.MethodDelete, "/collections/c2", nil)
	b.inSync()
	id := b.agree(3)
	claims, err := b.claims()
	require.NoError(t, err)
	before := uids(claims)
	tr := startTraffic(t, b.door)
	pod := b.mustPods()[podName(1)]
	// There is no shell in the image, but something that copies files. It writes over the file as it lies there.
	_, err = inPod(t.Context(), pod.Name, "qdrant", "curl", "-sS", "-o", log, "file:///qdrant/config/config.yaml")
	require.NoError(t, err)
	require.NoError(t, b.c.Delete(b.ctx, pod, client.GracePeriodSeconds(0)))
	b.eventually("it shows", func() (string, error) {
		text, err := b.said()
		c, err2 := b.cluster()
		if err == nil && err2 == nil && c.Status.Phase == appsv1.ClusterAbnormal && strings.Contains(text, pod.Name) {
			return "", nil
		}
		return text, cmp.Or(err, err2)
	})
	began := time.Now()
	o := b.op("rebuild.yaml")
	require.Equal(t, "1/1", o.Status.Progress)
	b.phase(appsv1.ClusterRunning)
	require.Equal(t, id, b.agree(3), "one cluster, the same")
	b.inSync()
	figure(t, "damaged disk rebuilt", "in sync after", time.Since(began).Round(100*time.Millisecond))
	tr.stop(t, "a damaged disk")
	claims, err = b.claims()
	require.NoError(t, err)
	after := uids(claims)
	require.Equal(t, before[claimName(0)], after[claimName(0)])
	require.Equal(t, before[claimName(2)], after[claimName(2)])
	require.NotEqual(t, before[claimName(1)], after[claimName(1)])
	b.door.whole(t, "c1")
}

// cordon keeps new pods from a machine, or no longer.
func (b *bed) cordon(machine string, on bool) {
	b.t.Helper()
	n := new(corev1.Node)
	n.Name = machine
	patch := client.RawPatch(types.StrategicMergePatchType, fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, on))
	require.NoError(b.t, b.c.Patch(b.ctx, n, patch))
}

// evict asks Kubernetes to take a pod down, which the pod's budget may forbid for now. A trial only asks.
func (b *bed) evict(p *corev1.Pod, trial bool) error {
	e := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}
	e.DeleteOptions = &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(p.UID))}
	if trial {
		e.DeleteOptions.DryRun = []string{metav1.DryRunAll}
	}
	return b.c.SubResource("eviction").Create(b.ctx, p, e) //nolint:wrapcheck // what is asked is what the API server says
}

// drain empties a machine, as kubectl drain does: it takes no new pods, and all that are on it are evicted, those that the
// budget protects as soon as it lets them.
func (b *bed) drain(machine string) {
	b.t.Helper()
	b.cordon(machine, true)
	b.eventually("machine "+machine+" empty", func() (string, error) {
		all, err := b.machines()
		if err != nil {
			return "", err
		}
		for _, p := range all[machine] {
			if p.DeletionTimestamp != nil {
				continue
			}
			// One that is gone or another one by now is evicted; one that its budget protects is asked for again.
			if err := b.evict(p, false); err != nil && !apierrors.IsTooManyRequests(err) && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return p.Name, err
			}
		}
		if left := len(all[machine]); left > 0 {
			return fmt.Sprintf("%d pods are left", left), nil
		}
		return "", nil
	})
}

// All machines are emptied one after another: clients go on, and no second pod of the cluster can be taken meanwhile.
func Test38MachinesDrained(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	b.inSync()
	budget := new(policyv1.PodDisruptionBudget)
	require.NoError(t, b.c.Get(b.ctx, key(set), budget))
	require.Equal(t, 1, budget.Spec.MaxUnavailable.IntValue())
	b.eventually("the budget lets one go", func() (string, error) {
		err := b.c.Get(b.ctx, key(set), budget)
		if budget.Status.DisruptionsAllowed == 1 {
			return "", err
		}
		return fmt.Sprintf("%+v", budget.Status), err
	})
	at := map[string]string{} // machines by pod
	for name, p := range b.mustPods() {
		require.NotContains(t, slices.Collect(maps.Values(at)), p.Spec.NodeName, "pods keep apart")
		at[name] = p.Spec.NodeName
	}
	t.Cleanup(func() {
		for _, machine := range at {
			b.cordon(machine, false)
		}
	})
	tr := startTraffic(t, b.door)
	for _, name := range names(at) {
		pods := b.mustPods()
		before := pods[name]
		b.drain(at[name])
		delete(pods, name)
		other := pods[names(pods)[0]]
		require.True(t, apierrors.IsTooManyRequests(b.evict(other, true)), "%s may be evicted while %s is away", other.Name, name)
		b.cordon(at[name], false)
		b.eventually(name+" is back", func() (string, error) {
			pods, err := b.pods()
			if p := pods[name]; p != nil && p.UID != before.UID && ready(p) {
				return "", err
			}
			return "not yet", err
		})
		b.phase(appsv1.ClusterRunning)
		b.inSync()
	}
	tr.stop(t, "all machines drained")
	b.agree(3)
	b.door.whole(t, "c1", "c2")
}

// versions are the versions of all that belongs to the cluster.
func (b *bed) versions() (map[string]string, error) {
	all := map[string]string{}
	for _, list := range []client.ObjectList{
		&appsv1.ClusterList{}, &appsv1.ComponentList{}, &workloadsv1.InstanceSetList{}, &corev1.PodList{}, &corev1.PersistentVolumeClaimList{},
		&corev1.ServiceList{}, &corev1.ConfigMapList{}, &corev1.SecretList{}, &corev1.ServiceAccountList{}, &policyv1.PodDisruptionBudgetList{},
	} {
		if err := b.c.List(b.ctx, list, client.InNamespace(demo)); err != nil {
			return nil, fmt.Errorf("list %T: %w", list, err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			return nil, fmt.Errorf("look at %T: %w", list, err)
		}
		for _, item := range items {
			o, err := meta.Accessor(item)
			if err != nil {
				return nil, fmt.Errorf("look at %T: %w", item, err)
			}
			all[fmt.Sprintf("%T %s", item, o.GetName())] = string(o.GetUID()) + " " + o.GetResourceVersion()
		}
	}
	return all, nil
}

// changed says what has another version, or isn't in both.
func changed(before, after map[string]string) (what []string) {
	for name := range after {
		if before[name] != after[name] {
			what = append(what, name)
		}
	}
	for name := range before {
		if after[name] == "" {
			what = append(what, name)
		}
	}
	slices.Sort(what)
	return what
}

// rests waits until nothing has changed for a while, and returns the versions.
func (b *bed) rests() (versions map[string]string) {
	b.t.Helper()
	b.eventually("rest", func() (string, error) {
		before, err := b.versions()
		if err != nil {
			return "", err
		}
		if err := pause(b.ctx, 15*time.Second); err != nil {
			return "", err
		}
		versions, err = b.versions()
		return strings.Join(changed(before, versions), ", "), err
	})
	return versions
}

// An operator that starts anew finds all as it should be: no pod restarts, and nothing is written.
func Test40OperatorRestartsAtRest(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	b.inSync()
	before := b.rests()
	pods := b.mustPods()
	b.killOperator()
	// Something new shows that the operator has looked at all of the cluster.
	b.change(func(c *appsv1.Cluster) {
		c.Spec.Services = []appsv1.ClusterService{{
			Name: "extra", ComponentSelector: componentName, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "tcp-qdrant", Port: 6333}}},
		}}
	})
	extra := naming.ClusterService(clusterName, "extra", "")
	b.eventually("the new operator", func() (string, error) { return "", b.c.Get(b.ctx, key(extra), new(corev1.Service)) })
	b.phase(appsv1.ClusterRunning)
	after := b.rests()
	require.Equal(t, []string{"*v1.Cluster " + clusterName, "*v1.Service " + extra}, changed(before, after))
	for name, p := range b.mustPods() {
		require.Equal(t, pods[name].UID, p.UID)
		require.Equal(t, restarts(pods[name]), restarts(p))
	}
	b.door.whole(t, "c1", "c2")
}
