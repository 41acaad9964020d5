package operator_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
)

// Checks 18 to 23, 27, 28, 39: members come and go.

// consists waits until the cluster has these pods and no others, with their claims and as members.
func (b *bed) consists(of ...int) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("members %v", of), func() (string, error) {
		pods, err := b.pods()
		if err != nil {
			return "", err
		}
		claims, err := b.claims()
		if err != nil {
			return "", err
		}
		members := names(b.world.Spread())
		if slices.Equal(names(pods), ordinals(podName, of...)) && slices.Equal(members, names(pods)) &&
			slices.Equal(names(claims), ordinals(claimName, of...)) {
			return "", nil
		}
		return fmt.Sprintf("pods %v, claims %v, members %v", names(pods), names(claims), members), nil
	})
}

// balanced waits until no node has more than one copy more than another.
func (b *bed) balanced() {
	b.t.Helper()
	b.eventually("balanced", func() (string, error) {
		spread := b.world.Spread()
		counts := slices.Collect(maps.Values(spread))
		if slices.Max(counts)-slices.Min(counts) <= 1 {
			return "", nil
		}
		return fmt.Sprint(spread), nil
	})
}

// served expects that reads were served throughout: a copy that dies is missed for a step or two until
// another one answers, but copies that are moved aren't.
func (b *bed) served() {
	b.t.Helper()
	require.Zero(b.t, b.world.Load().Unread, "steps in which a shard could not be read")
}

func Test18ScaleOut(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t, 4)
			b.runs(3)
			b.load()
			b.ask(way, "scale-out.yaml")
			b.phase(appsv1.ClusterRunning)
			b.consists(0, 1, 2, 3)
			b.balanced()
			b.whole()
			b.served()
		})
	}
}

func Test19ScaleIn(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t, 4)
			b.runs(4)
			b.load()
			if way == "patch" {
				b.change(func(c *appsv1.Cluster) { replicas(3)(c) })
			} else {
				b.ask(way, "scale-in.yaml")
			}
			b.phase(appsv1.ClusterRunning)
			b.consists(0, 1, 2)
			b.whole()
			b.served()
		})
	}
}

// What there are too few nodes for is lowered, and nothing waits for ever.
func Test20ScaleInBelowTheFactor(t *testing.T) {
	for _, c := range []struct {
		to     int32
		factor int
	}{{2, 2}, {1, 2}, {2, 3}} {
		t.Run(fmt.Sprintf("to %d with %d copies", c.to, c.factor), func(t *testing.T) {
			b := newBed(t, 3)
			b.runs(3)
			require.NoError(t, b.world.CreateCollection("c1", 4, c.factor))
			b.world.StartLoad()
			b.change(func(cluster *appsv1.Cluster) { replicas(c.to)(cluster) })
			b.phase(appsv1.ClusterRunning)
			left := []int{0, 1, 2}[:c.to]
			b.consists(left...)
			b.whole()
			b.served()
		})
	}
}

func Test21ScaleInByTwo(t *testing.T) {
	b := newBed(t, 5)
	b.runs(5)
	b.load()
	b.change(func(c *appsv1.Cluster) { replicas(3)(c) })
	b.phase(appsv1.ClusterRunning)
	b.consists(0, 1, 2)
	b.balanced()
	b.whole()
	b.served()
}

// machineOf is where a pod runs.
func (b *bed) machineOf(pod string) string {
	b.t.Helper()
	pods, err := b.pods()
	require.NoError(b.t, err)
	require.NotNil(b.t, pods[pod])
	return pods[pod].Spec.NodeName
}

func Test22ScaleInOfADeadMember(t *testing.T) {
	b := newBed(t, 4)
	b.runs(4)
	require.NoError(t, b.world.CreateCollection("c1", 4, 2))
	require.NoError(t, b.machines.Kill(b.ctx, b.machineOf(podName(3))))
	b.change(func(c *appsv1.Cluster) { replicas(3)(c) })
	b.eventually("the member gone", func() (string, error) {
		if spread := b.world.Spread(); len(spread) != 3 {
			return fmt.Sprint(spread), nil
		}
		return "", nil
	})
	b.phase(appsv1.ClusterRunning)
	b.whole()
}

// The only copy of something is given up only when the user says so.
func Test22DeadMemberWithTheOnlyCopy(t *testing.T) {
	b := newBed(t, 4)
	b.runs(4)
	require.NoError(t, b.world.CreateCollection("alone", 4, 1))
	require.Equal(t, 1, b.world.Spread()[podName(3)])
	require.NoError(t, b.machines.Kill(b.ctx, b.machineOf(podName(3))))
	b.change(func(c *appsv1.Cluster) { replicas(3)(c) })
	b.eventually("the shards at risk are named", func() (string, error) {
		its, err := b.its()
		if err != nil {
			return "", err
		}
		component, err := b.component()
		if err != nil {
			return "", err
		}
		text := conditions(its.Status.Conditions) + fmt.Sprint(component.Status.Message)
		if strings.Contains(text, "of alone") {
			return "", nil
		}
		return text, nil
	})
	require.Len(t, b.world.Spread(), 4, "it is still a member")
	b.change(func(c *appsv1.Cluster) {
		c.Annotations = map[string]string{naming.AnnotationAcceptDataLoss: podName(3)}
	})
	b.eventually("the member gone", func() (string, error) {
		if spread := b.world.Spread(); len(spread) != 3 {
			return fmt.Sprint(spread), nil
		}
		return "", nil
	})
	b.world.Pardon("alone")
}

func Test23OperatorKilledDuringScaleIn(t *testing.T) {
	b := newBed(t, 4)
	b.runs(4)
	b.load()
	b.change(func(c *appsv1.Cluster) { replicas(3)(c) })
	// At every step that can be seen from outside an operator ends and another one goes on.
	for step := range 8 {
		b.eventually("a step", func() (string, error) {
			spread := b.world.Spread()
			if len(spread) == 3 || spread[podName(3)] <= 3-step/2 {
				return "", nil
			}
			return fmt.Sprint(spread), nil
		})
		operator.restart()
	}
	b.phase(appsv1.ClusterRunning)
	b.consists(0, 1, 2)
	b.whole()
	b.served()
}

func Test27Decommission(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t, 4)
			b.runs(3)
			b.load()
			b.ask(way, "decommission.yaml")
			b.phase(appsv1.ClusterRunning)
			b.consists(0, 2)
			b.whole()
			b.served()
			c, err := b.cluster()
			require.NoError(t, err)
			require.Equal(t, []string{podName(1)}, c.Spec.ComponentSpecs[0].OfflineInstances)
			require.EqualValues(t, 2, c.Spec.ComponentSpecs[0].Replicas)

			b.change(func(c *appsv1.Cluster) { replicas(3)(c) })
			b.phase(appsv1.ClusterRunning)
			b.consists(0, 2, 3)
			b.ask("op", "recommission.yaml")
			b.phase(appsv1.ClusterRunning)
			b.consists(0, 1, 2, 3)
			b.whole()
		})
	}
}

func Test28Rebuild(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	b.redundant()
	before := b.versionsOfClaims()
	b.ends(b.op("rebuild.yaml"), operationsv1alpha1.OpsSucceed)
	b.phase(appsv1.ClusterRunning)
	after := b.versionsOfClaims()
	require.NotEqual(t, before[claimName(1)], after[claimName(1)])
	require.Equal(t, before[claimName(0)], after[claimName(0)])
	b.consists(0, 1, 2)
	b.whole()
}

// Test28RebuildElsewhere: in place on a named machine, and by a new instance that takes the place of the old one.
func Test28RebuildElsewhere(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	b.redundant()
	target, err := b.machines.AddMachine(b.ctx)
	require.NoError(t, err)
	b.ends(b.op("rebuild.yaml", func(o *operationsv1alpha1.OpsRequest) {
		o.Spec.RebuildFrom[0].Instances[0].TargetNodeName = target
	}), operationsv1alpha1.OpsSucceed)
	b.phase(appsv1.ClusterRunning)
	pods, err := b.pods()
	require.NoError(t, err)
	require.Equal(t, target, pods[podName(1)].Spec.NodeName)
	b.whole()

	b.ends(b.op("rebuild.yaml", func(o *operationsv1alpha1.OpsRequest) {
		o.Name, o.Spec.RebuildFrom[0].InPlace = "elsewhere", false
	}), operationsv1alpha1.OpsSucceed)
	b.phase(appsv1.ClusterRunning)
	b.consists(0, 2, 3)
	c, err := b.cluster()
	require.NoError(t, err)
	require.Equal(t, []string{podName(1)}, c.Spec.ComponentSpecs[0].OfflineInstances)
	require.EqualValues(t, 3, c.Spec.ComponentSpecs[0].Replicas)
	b.whole()
}

// A machine that is gone with its disks is made up for elsewhere, without a human.
func Test39MachineLost(t *testing.T) {
	for _, removed := range []bool{false, true} {
		t.Run(fmt.Sprintf("removed %t", removed), func(t *testing.T) {
			b := newBed(t, 4)
			b.runs(3)
			b.redundant()
			machine := b.machineOf(podName(1))
			if removed {
				require.NoError(t, b.machines.Remove(b.ctx, machine))
			} else {
				require.NoError(t, b.machines.Kill(b.ctx, machine))
			}
			b.eventually("it shows", func() (string, error) {
				c, err := b.cluster()
				if err == nil && c.Status.Phase != appsv1.ClusterRunning {
					return "", nil
				}
				return "Running", err
			})
			b.eventually("a new pod elsewhere", func() (string, error) {
				pods, err := b.pods()
				if p := pods[podName(1)]; p != nil && p.Spec.NodeName != machine && ready(p) {
					return "", err
				}
				return "not yet", err
			})
			b.phase(appsv1.ClusterRunning)
			b.consists(0, 1, 2)
			b.whole()
		})
	}
}

// Power that comes back in time changes nothing.
func Test39MachineBackInTime(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	b.load()
	before := b.versionsOfClaims()
	machine := b.machineOf(podName(1))
	require.NoError(t, b.machines.Kill(b.ctx, machine))
	b.eventually("the pod isn't ready", func() (string, error) {
		pods, err := b.pods()
		if p := pods[podName(1)]; p != nil && !ready(p) {
			return "", err
		}
		return "it is", err
	})
	require.NoError(t, b.machines.Heal(b.ctx, machine))
	b.phase(appsv1.ClusterRunning)
	b.whole()
	require.Equal(t, before, b.versionsOfClaims())
}

func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// A pod that is deleted by hand comes back with its data.
func TestPodDeletedByHand(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	b.load()
	before := b.versionsOfClaims()
	pods, err := b.pods()
	require.NoError(t, err)
	require.NoError(t, b.c.Delete(b.ctx, pods[podName(2)], client.GracePeriodSeconds(30)))
	b.eventually("another pod", func() (string, error) {
		now, err := b.pods()
		if p := now[podName(2)]; p != nil && p.UID != pods[podName(2)].UID && ready(p) {
			return "", err
		}
		return "not yet", err
	})
	b.phase(appsv1.ClusterRunning)
	b.whole()
	require.Equal(t, before, b.versionsOfClaims())
}
