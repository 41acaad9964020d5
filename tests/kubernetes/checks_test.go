package kubernetes_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

// inPod runs a command in a container, as kubectl exec does.
func inPod(ctx context.Context, pod, container string, command ...string) (string, error) {
	set, err := kubernetes.NewForConfig(place.config)
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	req := set.CoreV1().RESTClient().Post().Resource("pods").Namespace(demo).Name(pod).SubResource("exec").VersionedParams(
		&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	e, err := remotecommand.NewSPDYExecutor(place.config, http.MethodPost, req.URL())
	if err != nil {
		return "", fmt.Errorf("prepare exec: %w", err)
	}
	var out, complaints bytes.Buffer
	if err := e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &complaints}); err != nil {
		return "", fmt.Errorf("exec %v in %s/%s: %w: %s", command, pod, container, err, complaints.String())
	}
	return out.String(), nil
}

func Test01Hierarchy(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	pods := b.mustPods()
	require.Equal(t, []string{podName(0), podName(1), podName(2)}, names(pods))
	claims, err := b.claims()
	require.NoError(t, err)
	require.Equal(t, []string{claimName(0), claimName(1), claimName(2)}, names(claims))
	machines := map[string]bool{}
	for _, p := range pods {
		require.Equal(t, "InstanceSet", p.OwnerReferences[0].Kind)
		machines[p.Spec.NodeName] = true
	}
	require.Len(t, machines, 3, "pods keep apart")
	b.agree(3)
}

func Test02ContainersAndMetrics(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	for name, p := range b.mustPods() {
		require.Len(t, p.Status.ContainerStatuses, 3)
		for _, s := range p.Status.ContainerStatuses {
			require.True(t, s.Ready, "%s/%s", name, s.Name)
			require.Zero(t, s.RestartCount, "%s/%s", name, s.Name)
		}
		for url, want := range map[string]string{
			"http://127.0.0.1:6333":         "version",
			"http://127.0.0.1:6333/metrics": "collections_total",
			"http://127.0.0.1:9187/metrics": "cluster_peers_total",
		} {
			out, err := inPod(t.Context(), name, "kbagent", "curl", "-s", url)
			require.NoError(t, err)
			require.Contains(t, out, want, url)
		}
	}
}

// roleOf asks the agent of a pod.
func roleOf(ctx context.Context, pod string) (string, error) {
	out, err := inPod(ctx, pod, "kbagent", "curl", "-s", "http://127.0.0.1:5001/v1.0/getrole")
	for _, role := range []string{"leader", "follower"} {
		if strings.Contains(out, `"`+role+`"`) {
			return role, err
		}
	}
	return out, err
}

// oneLeader waits until exactly one pod leads, by what agents and labels say, and returns which.
func (b *bed) oneLeader(not string) (leader string) {
	b.t.Helper()
	b.eventually("one leader", func() (string, error) {
		pods, err := b.pods()
		if err != nil {
			return "", err
		}
		count := map[string]int{}
		for name, p := range pods {
			role, err := roleOf(b.ctx, name)
			if err != nil {
				return name, err
			}
			if p.Labels[naming.LabelRole] != role {
				return fmt.Sprintf("the label of %s is %q, the agent says %q", name, p.Labels[naming.LabelRole], role), nil
			}
			if count[role]++; role == "leader" {
				leader = name
			}
		}
		if count["leader"] != 1 || count["follower"] != len(pods)-1 || leader == not {
			return fmt.Sprintf("%v, %s", count, leader), nil
		}
		return "", nil
	})
	return leader
}

func Test03ExactlyOneLeader(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	leader := b.oneLeader("")
	began := time.Now()
	require.NoError(t, b.c.Delete(b.ctx, b.mustPods()[leader], client.GracePeriodSeconds(0)))
	b.eventually("another label", func() (string, error) {
		pods, err := b.pods()
		for name, p := range pods {
			if name != leader && p.Labels[naming.LabelRole] == "leader" {
				return "", nil
			}
		}
		return "none", err
	})
	figure(t, "leader killed", "another one labelled after", time.Since(began).Round(100*time.Millisecond))
	b.oneLeader(leader)
}

func Test05ServicesAndNames(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	for name, headless := range map[string]bool{set: false, set + "-qdrant": false, set + "-headless": true} {
		var s corev1.Service
		require.NoError(t, b.c.Get(b.ctx, key(name), &s))
		var ports []int32
		for _, p := range s.Spec.Ports {
			ports = append(ports, p.Port)
		}
		require.Contains(t, ports, int32(6333))
		require.Contains(t, ports, int32(6334))
		require.Equal(t, headless, slices.Contains(ports, 6335))
		require.Equal(t, headless, s.Spec.ClusterIP == corev1.ClusterIPNone)
	}
	for name, p := range b.mustPods() {
		b.eventually("the name of "+name, func() (string, error) {
			found, err := net.DefaultResolver.LookupHost(b.ctx, fmt.Sprintf("%s.%s-headless.%s.svc.cluster.local", name, set, demo))
			if slices.Contains(found, p.Status.PodIP) {
				return "", nil
			}
			return fmt.Sprint(found), err
		})
	}
}

// Nodes are killed under load, one after another: nobody notices but by a moment.
func Test08Failover(t *testing.T) {
	b := newBed(t)
	f := needFaults(t)
	b.runs(3)
	b.door.fill(t)
	tr := startTraffic(t, b.door)
	for i := range 3 {
		pod := b.mustPods()[podName(i)]
		began := time.Now()
		require.NoError(t, f.crash(pod.UID))
		b.eventually(pod.Name+" is back", func() (string, error) {
			pods, err := b.pods()
			if p := pods[pod.Name]; p != nil && restarts(p) == 1 && ready(p) {
				return "", nil
			}
			return "not yet", err
		})
		figure(t, "node killed", "ready again after", time.Since(began).Round(100*time.Millisecond))
		b.inSync()
	}
	tr.stop(t, "nodes killed one after another")
	b.phase(appsv1.ClusterRunning)
	b.door.whole(t, "c1", "c2")
}

// Pods are deleted by force under load.
func Test08PodsDeleted(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	tr := startTraffic(t, b.door)
	for i := range 3 {
		pod := b.mustPods()[podName(i)]
		require.NoError(t, b.c.Delete(b.ctx, pod, client.GracePeriodSeconds(0)))
		b.eventually(pod.Name+" is back", func() (string, error) {
			pods, err := b.pods()
			if p := pods[pod.Name]; p != nil && p.UID != pod.UID && ready(p) {
				return "", nil
			}
			return "not yet", err
		})
		b.inSync()
	}
	tr.stop(t, "pods deleted one after another")
	b.phase(appsv1.ClusterRunning)
	b.door.whole(t, "c1", "c2")
}

func Test14StopAndStart(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t)
			b.runs(3)
			b.door.fill(t)
			id := b.agree(3)
			b.ask(way, "stop.yaml")
			b.phase(appsv1.ClusterStopped)
			require.Empty(t, b.mustPods())
			claims, err := b.claims()
			require.NoError(t, err)
			require.Len(t, claims, 3)
			b.ask(way, "start.yaml")
			b.phase(appsv1.ClusterRunning)
			require.Equal(t, id, b.agree(3))
			b.inSync()
			b.door.whole(t, "c1", "c2")
		})
	}
}

func Test15FirstDiskLostWhileStopped(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	id := b.agree(3)
	b.patch("stop.yaml")
	b.phase(appsv1.ClusterStopped)
	claims, err := b.claims()
	require.NoError(t, err)
	lost := claims[claimName(0)]
	require.NoError(t, b.c.Delete(b.ctx, lost))
	b.eventually("the claim gone", func() (string, error) {
		var c corev1.PersistentVolumeClaim
		err := b.c.Get(b.ctx, key(lost.Name), &c)
		if apierrors.IsNotFound(err) || err == nil && c.UID != lost.UID {
			return "", nil
		}
		return "it is there", err
	})
	b.patch("start.yaml")
	b.phase(appsv1.ClusterRunning)
	require.Equal(t, id, b.agree(3), "one cluster, the same")
	b.inSync()
	b.door.whole(t, "c1")
}

func Test16Restart(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	leader := b.oneLeader("")
	before := b.mustPods()
	tr := startTraffic(t, b.door)
	o := b.op("restart.yaml")
	require.Equal(t, "3/3", o.Status.Progress)
	b.phase(appsv1.ClusterRunning)
	tr.stop(t, "rolling restart")
	after := b.mustPods()
	order := names(after)
	slices.SortStableFunc(order, func(x, y string) int { return after[x].CreationTimestamp.Compare(after[y].CreationTimestamp.Time) })
	for _, name := range order {
		require.NotEqual(t, before[name].UID, after[name].UID)
	}
	require.Equal(t, leader, order[2], "who leads is last")
	b.inSync()
	b.door.whole(t, "c1", "c2")
}

func Test18And19ScaleOutAndIn(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t)
			b.runs(3)
			b.door.fill(t)
			tr := startTraffic(t, b.door)
			b.ask(way, "scale-out.yaml")
			b.phase(appsv1.ClusterRunning)
			b.agree(4)
			b.spread()
			if way == "patch" {
				b.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].Replicas = 3 })
			} else {
				b.op("scale-in.yaml")
			}
			b.phase(appsv1.ClusterRunning)
			b.agree(3)
			tr.stop(t, "3 to 4 to 3 by "+way)
			claims, err := b.claims()
			require.NoError(t, err)
			require.Len(t, claims, 3)
			b.inSync()
			b.door.whole(t, "c1", "c2")
		})
	}
}

func Test20ScaleInToOne(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	tr := startTraffic(t, b.door)
	b.patch("scale-in.yaml")
	b.phase(appsv1.ClusterRunning)
	b.agree(1)
	tr.stop(t, "3 to 1")
	b.door.whole(t, "c1", "c2")
}

func Test24VolumeExpansion(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t)
			b.runs(3)
			before := b.mustPods()
			b.ask(way, "volume-expansion.yaml")
			b.eventually("all claims have grown", func() (string, error) {
				claims, err := b.claims()
				for name, c := range claims {
					if c.Status.Capacity.Storage().Cmp(resource.MustParse("30Gi")) < 0 {
						return name, err
					}
				}
				return "", err
			})
			b.phase(appsv1.ClusterRunning)
			for name, p := range b.mustPods() {
				require.Equal(t, before[name].UID, p.UID)
			}
		})
	}
}

func Test25Expose(t *testing.T) {
	b := newBed(t)
	b.runs(1)
	o := sample.One[operationsv1alpha1.OpsRequest](t, place.root, "ops/expose.yaml", demo)
	began := time.Now()
	require.NoError(t, b.c.Create(b.ctx, o))
	var s corev1.Service
	b.eventually("the service", func() (string, error) { return "", b.c.Get(b.ctx, key(set+"-internet"), &s) })
	require.Equal(t, corev1.ServiceTypeLoadBalancer, s.Spec.Type)
	for _, p := range s.Spec.Ports {
		require.NotEqualValues(t, 6335, p.Port)
	}
	if len(s.Status.LoadBalancer.Ingress) == 0 { // a cluster without load balancers: the test plays one
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.7"}}
		require.NoError(t, b.c.Status().Update(b.ctx, &s))
	}
	b.succeeds(o.Name, began)
	b.op("unexpose.yaml")
	b.eventually("no service", func() (string, error) {
		err := b.c.Get(b.ctx, key(set+"-internet"), &s)
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		return "it is there", err
	})
}

func Test26Upgrade(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t)
			b.runs(3)
			b.door.fill(t)
			before := b.mustPods()
			tr := startTraffic(t, b.door)
			b.ask(way, "upgrade.yaml")
			b.phase(appsv1.ClusterRunning)
			tr.stop(t, "upgrade by "+way)
			for name, p := range b.mustPods() {
				require.Equal(t, before[name].UID, p.UID, "in place")
				require.EqualValues(t, 1, restarts(p))
				out, err := inPod(t.Context(), name, "kbagent", "curl", "-s", "http://127.0.0.1:6333")
				require.NoError(t, err)
				require.Contains(t, out, "1.14.0")
			}
			b.door.whole(t, "c1", "c2")
		})
	}
}

func Test27Decommission(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	tr := startTraffic(t, b.door)
	b.op("decommission.yaml")
	b.phase(appsv1.ClusterRunning)
	require.Equal(t, []string{podName(0), podName(2)}, names(b.mustPods()))
	b.agree(2)
	tr.stop(t, "one of three removed by name")
	b.door.whole(t, "c1", "c2")
	b.op("recommission.yaml")
	b.phase(appsv1.ClusterRunning)
	b.agree(3)
}

// A machine without power: clients go on, and when it stays away its pod comes back elsewhere.
func Test39MachineLost(t *testing.T) {
	b := newBed(t)
	needFaults(t)
	b.runs(3)
	b.door.fill(t)
	b.door.must(t, "DELETE", "/collections/c2", nil) // what has one copy isn't given up: check 22
	b.inSync()
	tr := startTraffic(t, b.door)
	lost := b.mustPods()[podName(1)]
	killed(t, lost.Spec.NodeName)
	began := time.Now()
	b.eventually("it shows", func() (string, error) {
		c, err := b.cluster()
		if err == nil && c.Status.Phase == appsv1.ClusterAbnormal {
			require.Contains(t, c.Status.Message, lost.Spec.NodeName)
			return "", nil
		}
		return string(c.Status.Phase), err
	})
	figure(t, "machine lost", "Abnormal after", time.Since(began).Round(100*time.Millisecond))
	b.phase(appsv1.ClusterRunning)
	figure(t, "machine lost", "Running again after", time.Since(began).Round(100*time.Millisecond))
	require.NotEqual(t, lost.Spec.NodeName, b.mustPods()[podName(1)].Spec.NodeName)
	b.inSync()
	tr.stop(t, "machine lost")
	b.door.whole(t, "c1")
}

// A machine that is cut off and comes back changes nothing.
func Test39MachineCutOff(t *testing.T) {
	b := newBed(t)
	f := needFaults(t)
	b.runs(3)
	b.door.fill(t)
	tr := startTraffic(t, b.door)
	machine := b.mustPods()[podName(2)].Spec.NodeName
	require.NoError(t, f.cut(machine))
	healed := false
	t.Cleanup(func() {
		if !healed {
			require.NoError(t, f.heal(machine))
		}
	})
	b.eventually("Kubernetes notices", func() (string, error) {
		pods, err := b.pods()
		if p := pods[podName(2)]; p != nil && !ready(p) {
			return "", nil
		}
		return "not yet", err
	})
	require.NoError(t, f.heal(machine))
	healed = true
	b.phase(appsv1.ClusterRunning)
	tr.stop(t, "machine cut off")
	b.agree(3)
	b.inSync()
	b.door.whole(t, "c1", "c2")
}

// The operator is killed in the middle of things, and the next one goes on.
func Test23OperatorKilledDuringScaleIn(t *testing.T) {
	b := newBed(t)
	b.runs(4)
	b.door.fill(t)
	tr := startTraffic(t, b.door)
	b.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].Replicas = 3 })
	for range 3 {
		b.killOperator()
	}
	b.phase(appsv1.ClusterRunning)
	b.agree(3)
	tr.stop(t, "operator killed while a node leaves")
	b.inSync()
	b.door.whole(t, "c1", "c2")
}

// killOperator kills the operator's pods and waits for others.
func (b *bed) killOperator() {
	b.t.Helper()
	var pods corev1.PodList
	require.NoError(b.t, b.c.List(b.ctx, &pods, client.InNamespace(system)))
	killed := map[string]bool{}
	for i := range pods.Items {
		if strings.Contains(pods.Items[i].Name, "operator") || strings.Contains(pods.Items[i].Name, "sextant") {
			killed[string(pods.Items[i].UID)] = true
			require.NoError(b.t, client.IgnoreNotFound(b.c.Delete(b.ctx, &pods.Items[i], client.GracePeriodSeconds(0))))
		}
	}
	require.NotEmpty(b.t, killed, "the operator runs in %s", system)
	b.eventually("another operator", func() (string, error) {
		err := b.c.List(b.ctx, &pods, client.InNamespace(system))
		for i := range pods.Items {
			if !killed[string(pods.Items[i].UID)] && ready(&pods.Items[i]) {
				return "", err
			}
		}
		return "none", err
	})
}
