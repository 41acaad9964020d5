package component

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/manifests"
	"github.com/sextantdb/sextant/operator/nodes"
)

// spare is how many instances beyond those that are to run have an entry, so that a pod that is
// made a moment before the ConfigMap follows starts at once.
const spare = 3

// step is what is next in founding and joining: something to record, or what the ConfigMap says.
type step struct {
	record  *appsv1.Bootstrap
	entries map[string]string
	after   time.Duration
}

// found decides who founds the cluster, and whom pods join.
//
// The founder's entry is empty only until it has told an identity. That is recorded in a later round, when the entry
// is gone and the founder says the same: a founder that lost its disk in between founds again before the entry
// goes, or can't start, and the identity that is recorded is the one that it has. When it can't
// start because of that the entry comes back: nothing is recorded, and nobody else belongs to it.
func found(o *Observed, s *manifests.Source) (step, string) {
	b := o.Component.Status.Bootstrap
	if b != nil && b.ClusterID != "" {
		return step{entries: joins(o, s), after: atRest}, ""
	}
	instances := manifests.Instances(o.Component.Name, &o.Component.Spec.Settings)
	switch {
	case len(instances) == 0:
		return step{}, "no instance may run: ordinals leaves none for the replicas"
	case b == nil && o.Recorded != nil:
		return step{record: o.Recorded.DeepCopy()}, "" // the claims are still there
	case b == nil:
		return step{record: &appsv1.Bootstrap{Founder: instances[0]}}, ""
	case !slices.Contains(instances, b.Founder):
		return step{}, "the instance " + b.Founder + " founds the cluster: it must be one of those that run until it has"
	}
	open := o.Bootstrap != nil && hasEntry(o.Bootstrap, b.Founder)
	id := o.Answers[b.Founder].ID
	switch {
	case id == "":
		return step{entries: map[string]string{b.Founder: ""}, after: askFounder}, ""
	case open:
		return step{entries: map[string]string{}, after: askFounder}, ""
	default:
		return step{record: &appsv1.Bootstrap{Founder: b.Founder, ClusterID: id, FoundedAt: new(metav1.NewTime(o.Now).Rfc3339Copy())}}, ""
	}
}

func hasEntry(cm *corev1.ConfigMap, pod string) bool {
	_, ok := cm.Data[pod]
	return ok
}

// joins says whom each instance joins that comes with an empty disk: another pod that is ready. An entry stays as it is
// while its pod is ready, and when none is.
func joins(o *Observed, s *manifests.Source) map[string]string {
	founder := o.Component.Status.Bootstrap.Founder
	names := manifests.PossibleInstances(o.Component.Name, &o.Component.Spec.Settings, spare)
	var ready []string
	for i := range o.Pods {
		p := &o.Pods[i]
		names = append(names, p.Name)
		if serves(o, p) {
			ready = append(ready, p.Name)
		}
	}
	slices.Sort(ready)
	slices.Sort(names)
	names = slices.Compact(names)
	entries := make(map[string]string, len(names))
	for _, name := range names {
		entries[name] = s.NodeURL(join(name, present(o, name), founder, names, ready))
	}
	return entries
}

// present is the pod that an entry names, or "".
func present(o *Observed, name string) string {
	if o.Bootstrap == nil {
		return ""
	}
	_, host, _ := strings.Cut(o.Bootstrap.Data[name], "://")
	pod, _, _ := strings.Cut(host, ".")
	return pod
}

// join chooses the pod that an instance joins.
func join(name, present, founder string, names, ready []string) string {
	others := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(n string) bool { return n == name })
	}
	candidates := others(ready)
	switch {
	case present != "" && present != name && (slices.Contains(candidates, present) || len(candidates) == 0):
		return present
	case slices.Contains(candidates, founder):
		return founder
	case len(candidates) > 0:
		return candidates[0]
	case founder != name:
		return founder
	default:
		return others(names)[0] // there are some to spare
	}
}

// serves tells whether a pod is ready and its node is one of the component's cluster.
func serves(o *Observed, p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil || !nodes.Ready(p) {
		return false
	}
	b, a := o.Component.Status.Bootstrap, o.Answers[p.Name]
	return b == nil || b.ClusterID == "" || a.ID == "" || a.ID == b.ClusterID
}
