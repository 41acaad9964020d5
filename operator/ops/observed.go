package ops

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
)

// Observed is a cluster with its operations, as they were read. Plan changes nothing in it.
type Observed struct {
	// Now is when it was read.
	Now time.Time
	// Key is the name of the cluster.
	Key types.NamespacedName
	// Cluster is nil when there is none.
	Cluster *appsv1.Cluster
	// Ops are all operations that name the cluster.
	Ops []opsv1.OpsRequest
	// Components, Sets and Claims are those of the cluster.
	Components []appsv1.Component
	Sets       []workloadsv1.InstanceSet
	Claims     []corev1.PersistentVolumeClaim
	// Services are those by the names of services to expose, whomever they belong to.
	Services []corev1.Service
	// Classes are the storage classes, when volumes are to grow.
	Classes []storagev1.StorageClass
	// Machines are the names of those that are to be rebuilt on, as far as there are such Nodes.
	Machines []string
	// Catalog are the definitions, when there is something to upgrade.
	Catalog Catalog
	// Outcomes say how the actions of switchovers go, by operation.
	Outcomes map[types.UID]Outcome
	// Memory is what the nodes of components need, by name of the component: those that Decision.Measure asked for.
	Memory map[string][]memory.Instance
	// Refused is what the API server said when it refused the edit of the Cluster in this round.
	Refused string
}

// spec returns the part of a cluster's spec that is about a component, or nil.
func spec(c *appsv1.Cluster, component string) *appsv1.ClusterComponentSpec {
	for i := range c.Spec.ComponentSpecs {
		if c.Spec.ComponentSpecs[i].Name == component {
			return &c.Spec.ComponentSpecs[i]
		}
	}
	return nil
}

func (o *Observed) component(name string) *appsv1.Component {
	name = naming.Component(o.Key.Name, name)
	for i := range o.Components {
		if o.Components[i].Name == name {
			return &o.Components[i]
		}
	}
	return nil
}

func (o *Observed) set(component string) *workloadsv1.InstanceSet {
	name := naming.Component(o.Key.Name, component)
	for i := range o.Sets {
		if o.Sets[i].Name == name {
			return &o.Sets[i]
		}
	}
	return nil
}

// active returns the instances of a component that are to run.
func (o *Observed) active(component string) []workloadsv1.InstanceStatus {
	set := o.set(component)
	if set == nil {
		return nil
	}
	var out []workloadsv1.InstanceStatus
	for _, i := range set.Status.InstanceStatus {
		if i.DesiredState == workloadsv1.InstanceActive || i.DesiredState == "" {
			out = append(out, i)
		}
	}
	return out
}

func (o *Observed) instance(component, pod string) *workloadsv1.InstanceStatus {
	if set := o.set(component); set != nil {
		for i := range set.Status.InstanceStatus {
			if set.Status.InstanceStatus[i].PodName == pod {
				return &set.Status.InstanceStatus[i]
			}
		}
	}
	return nil
}

// there tells whether an instance has a pod, be it on its way out.
func there(i *workloadsv1.InstanceStatus) bool {
	return i != nil && i.CurrentState != workloadsv1.InstanceAbsent
}

// serving tells whether an instance does its work: it is available, and has a role where there are roles.
func (o *Observed) serving(component string, i *workloadsv1.InstanceStatus) bool {
	set := o.set(component)
	return set != nil && i != nil && i.Available && i.CurrentState != workloadsv1.InstanceTerminating &&
		(i.Role != "" || len(set.Spec.Roles) == 0)
}

// claimsOf returns the claims of a pod.
func (o *Observed) claimsOf(pod string) []*corev1.PersistentVolumeClaim {
	var out []*corev1.PersistentVolumeClaim
	for i := range o.Claims {
		if o.Claims[i].Labels[naming.LabelPodName] == pod {
			out = append(out, &o.Claims[i])
		}
	}
	return out
}

func (o *Observed) claim(name string) *corev1.PersistentVolumeClaim {
	for i := range o.Claims {
		if o.Claims[i].Name == name {
			return &o.Claims[i]
		}
	}
	return nil
}

func (o *Observed) service(name string) *corev1.Service {
	for i := range o.Services {
		if o.Services[i].Name == name {
			return &o.Services[i]
		}
	}
	return nil
}

// follows tells whether the component and its set were made from the present spec of the
// cluster, and what they say of themselves speaks of that. Generations alone don't tell, as caches aren't as
// new as each other, so it also compares what operations change.
func (o *Observed) follows(name string) bool {
	want, have, set := spec(o.Cluster, name), o.component(name), o.set(name)
	return want != nil && have != nil && set != nil && o.Cluster.Status.ObservedGeneration >= o.Cluster.Generation &&
		have.Generation >= o.Cluster.Status.Components[name].ObservedGeneration &&
		have.Status.ObservedGeneration >= have.Generation && set.Status.ObservedGeneration >= set.Generation &&
		componentFollows(want, have) && setFollows(want, have, set)
}

func componentFollows(want *appsv1.ClusterComponentSpec, have *appsv1.Component) bool {
	s := &have.Spec.Settings
	return want.Replicas == s.Replicas && on(want.Stop) == on(s.Stop) &&
		sameElements(want.OfflineInstances, s.OfflineInstances) &&
		want.Annotations[naming.AnnotationRestart] == s.Annotations[naming.AnnotationRestart] &&
		contains(s.Resources, want.Resources) && sameInstances(want.Instances, s.Instances) &&
		(want.ServiceVersion == "" || want.ServiceVersion == s.ServiceVersion)
}

// sameInstances compares templates of instances as a user and as the operator writes them, who makes definitions concrete.
func sameInstances(want, have []appsv1.InstanceTemplate) bool {
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		one := *want[i].DeepCopy()
		if one.CompDef != "" {
			one.CompDef = have[i].CompDef
		}
		if !equality.Semantic.DeepEqual(one, have[i]) {
			return false
		}
	}
	return true
}

// podsOf are what the pods of a template of instances are made from.
func podsOf(set *workloadsv1.InstanceSet, name string) *corev1.PodTemplateSpec {
	for i := range set.Spec.Templates {
		if set.Spec.Templates[i].Name == name {
			return &set.Spec.Templates[i].Template
		}
	}
	return &set.Spec.Template
}

func setFollows(want *appsv1.ClusterComponentSpec, component *appsv1.Component, set *workloadsv1.InstanceSet) bool {
	template := &set.Spec.Template
	if v := template.Labels[naming.LabelServiceVersion]; v != "" && v != component.Spec.ServiceVersion {
		return false
	}
	if containers := template.Spec.Containers; len(containers) > 0 { // the engine's is the first
		r := containers[0].Resources
		if !contains(appsv1.Resources{Limits: r.Limits, Requests: r.Requests}, want.Resources) {
			return false
		}
	}
	for i := range want.Instances {
		t := &want.Instances[i]
		j := slices.IndexFunc(set.Spec.Instances, func(s appsv1.InstanceTemplate) bool { return s.Name == t.Name })
		if j < 0 || set.Spec.Instances[j].Count() != t.Count() ||
			!contains(valueOf(set.Spec.Instances[j].Resources), valueOf(t.Resources)) {
			return false
		}
		if v := podsOf(set, t.Name).Labels[naming.LabelServiceVersion]; v != "" && t.ServiceVersion != "" && v != t.ServiceVersion {
			return false
		}
	}
	return set.Spec.Replicas != nil && *set.Spec.Replicas == want.Replicas && on(set.Spec.Stop) == on(want.Stop) &&
		sameElements(set.Spec.OfflineInstances, want.OfflineInstances) &&
		template.Annotations[naming.AnnotationRestart] == want.Annotations[naming.AnnotationRestart]
}

func on(b *bool) bool { return b != nil && *b }

func sameElements(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// contains tells whether have says all that want says.
func contains(have, want appsv1.Resources) bool {
	return holds(have.Limits, want.Limits) && holds(have.Requests, want.Requests)
}

func holds(have, want corev1.ResourceList) bool {
	for name, quantity := range want {
		h, ok := have[name]
		if !ok || h.Cmp(quantity) != 0 {
			return false
		}
	}
	return true
}
