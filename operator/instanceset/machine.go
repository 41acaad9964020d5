package instanceset

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sextantdb/sextant/operator/naming"
)

// machine is the Kubernetes node on which the pod of an instance is to be made, "" is any: the one that its rebuild
// names, as long as that is there and takes pods. A machine that is lost must not keep its pods from others.
func (p *planner) machine(i *instance) string {
	name := naming.RebuildMachine(p.token(i.Name))
	at := slices.IndexFunc(p.o.Nodes, func(n corev1.Node) bool { return n.Name == name })
	if name == "" || at < 0 || p.silent(&p.o.Nodes[at]) || p.o.Nodes[at].Spec.Unschedulable {
		return ""
	}
	return name
}

const nodeNameField = "metadata.name"

// pin has the scheduler put a pod on a machine. The scheduler does it, not we, as volumes may only be made once it has
// chosen.
func pin(spec *corev1.PodSpec, machine string) {
	if machine == "" {
		return
	}
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	if spec.Affinity.NodeAffinity == nil {
		spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	if spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{}
	}
	required := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if len(required.NodeSelectorTerms) == 0 {
		required.NodeSelectorTerms = []corev1.NodeSelectorTerm{{}}
	}
	for i := range required.NodeSelectorTerms { // one of them is enough, so each needs it
		t := &required.NodeSelectorTerms[i]
		t.MatchFields = append(t.MatchFields, corev1.NodeSelectorRequirement{
			Key: nodeNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{machine},
		})
	}
}

// pinnedTo is the machine that a pod was made for, "" is any.
func pinnedTo(spec *corev1.PodSpec) string {
	a := spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range t.MatchFields {
			if f.Key == nodeNameField && f.Operator == corev1.NodeSelectorOpIn && len(f.Values) == 1 {
				return f.Values[0]
			}
		}
	}
	return ""
}
