package kubernetes_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// outage knows which machines a test has taken away, and gives them back when it is over.
type outage struct {
	t *testing.T
	f faults
	// away are the machines, and how each comes back.
	away map[string]func(string) error
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	o := &outage{t: t, f: needFaults(t), away: map[string]func(string) error{}}
	t.Cleanup(func() {
		for machine, back := range o.away {
			if err := back(machine); err != nil {
				t.Errorf("machine %s doesn't come back: %v", machine, err)
			}
		}
	})
	return o
}

// kill takes the power from a machine, cut its network.
func (o *outage) kill(machine string) {
	o.t.Helper()
	o.away[machine] = o.f.boot
	require.NoError(o.t, o.f.kill(machine))
}

func (o *outage) cut(machine string) {
	o.t.Helper()
	o.away[machine] = o.f.heal
	require.NoError(o.t, o.f.cut(machine))
}

// back gives a machine back.
func (o *outage) back(machine string) {
	o.t.Helper()
	require.NoError(o.t, o.away[machine](machine))
	delete(o.away, machine)
}

// machines are those of the cluster, by name, with the pods on each that haven't ended and aren't on every machine.
func (b *bed) machines() (map[string][]*corev1.Pod, error) {
	var nodes corev1.NodeList
	if err := b.c.List(b.ctx, &nodes); err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	var pods corev1.PodList
	if err := b.c.List(b.ctx, &pods); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	all := map[string][]*corev1.Pod{}
	for i := range nodes.Items {
		all[nodes.Items[i].Name] = nil
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		daemon := slices.ContainsFunc(p.OwnerReferences, func(r metav1.OwnerReference) bool { return r.Kind == "DaemonSet" })
		if _, there := all[p.Spec.NodeName]; there && !ended && !daemon {
			all[p.Spec.NodeName] = append(all[p.Spec.NodeName], p)
		}
	}
	return all, nil
}

// spare is a pod of the cluster that is alone on its machine: neither the operator nor the name service is there, so nothing
// else is lost with it.
func (b *bed) spare() *corev1.Pod {
	b.t.Helper()
	all, err := b.machines()
	require.NoError(b.t, err)
	for _, machine := range names(all) {
		if pods := all[machine]; len(pods) == 1 && pods[0].Namespace == demo {
			return pods[0]
		}
	}
	require.FailNow(b.t, "no machine has just one pod", "%v", all)
	return nil
}

// machineGone removes the object of a machine, as a cloud does with one that will never come back.
func (b *bed) machineGone(machine string) {
	b.t.Helper()
	n := new(corev1.Node)
	n.Name = machine
	require.NoError(b.t, client.IgnoreNotFound(b.c.Delete(b.ctx, n)))
}
