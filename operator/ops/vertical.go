package ops

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
)

// vertical changes resources. What it doesn't name stays: an operation that gives more memory
// doesn't take the limit of processors away.
type vertical struct{ base }

func (k vertical) components() []string {
	return named(k.op.Spec.VerticalScaling, func(v *opsv1.VerticalScalingOps) string { return v.ComponentName })
}

func (k vertical) check(o *Observed) error {
	changes := false
	for i := range k.op.Spec.VerticalScaling {
		v := &k.op.Spec.VerticalScaling[i]
		c := spec(o.Cluster, v.ComponentName)
		after := merged(c.Resources, v.Resources)
		if err := requestsFit("component "+c.Name, after); err != nil {
			return err
		}
		changes = changes || !sameResources(c.Resources, after)
		for _, instances := range v.Instances {
			if err := knownTemplate(c, instances.Name); err != nil {
				return err
			}
			before := template(c, instances.Name).Resources
			after := merged(valueOf(before), instances.Resources)
			if err := requestsFit("instances "+instances.Name, after); err != nil {
				return err
			}
			changes = changes || before == nil || !sameResources(*before, after)
		}
	}
	if !changes {
		return fmt.Errorf("%w: it has these resources", errNothing)
	}
	return nil
}

func (k vertical) record(o *Observed) opsv1.LastConfiguration {
	return recorded(o, k.components(), func(c *appsv1.ClusterComponentSpec) opsv1.LastComponentConfiguration {
		last := opsv1.LastComponentConfiguration{Resources: *c.Resources.DeepCopy()}
		for i := range c.Instances {
			last.Instances = append(last.Instances, opsv1.LastInstanceConfiguration{
				Name: c.Instances[i].Name, Resources: c.Instances[i].Resources.DeepCopy(),
			})
		}
		return last
	})
}

func (k vertical) edit(_ *Observed, c *appsv1.Cluster) {
	for i := range k.op.Spec.VerticalScaling {
		v := &k.op.Spec.VerticalScaling[i]
		component, last := spec(c, v.ComponentName), k.last(v.ComponentName)
		if sets(v) {
			component.Resources = merged(last.Resources, v.Resources)
		}
		for _, instances := range v.Instances {
			if t := template(component, instances.Name); t != nil {
				t.Resources = new(merged(valueOf(lastResources(last, instances.Name)), instances.Resources))
			}
		}
		if k.op.Spec.Force && limitsMemory(v) {
			acceptMemory(c, memory.Lowest(&component.Settings))
		}
	}
}

// limitsMemory tells whether an operation changes a limit of memory.
func limitsMemory(v *opsv1.VerticalScalingOps) bool {
	_, own := v.Limits[corev1.ResourceMemory]
	return own || slices.ContainsFunc(v.Instances, func(i opsv1.InstanceResources) bool {
		_, ok := i.Limits[corev1.ResourceMemory]
		return ok
	})
}

// acceptMemory has a limit followed whatever nodes need: the operation is forced.
func acceptMemory(c *appsv1.Cluster, lowest *resource.Quantity) {
	if before := memory.Accepted(c.Annotations); lowest == nil || before != nil && before.Cmp(*lowest) <= 0 {
		return
	}
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[naming.AnnotationAcceptLowMemory] = lowest.String()
}

// forgetMemory takes back what acceptMemory has noted.
func forgetMemory(c *appsv1.Cluster, lowest *resource.Quantity) {
	if accepted := memory.Accepted(c.Annotations); lowest != nil && accepted != nil && accepted.Cmp(*lowest) == 0 {
		delete(c.Annotations, naming.AnnotationAcceptLowMemory)
	}
}

func (k vertical) undo(c *appsv1.Cluster) {
	for i := range k.op.Spec.VerticalScaling {
		v := &k.op.Spec.VerticalScaling[i]
		component, last := spec(c, v.ComponentName), k.last(v.ComponentName)
		if component == nil {
			continue
		}
		if k.op.Spec.Force && limitsMemory(v) {
			forgetMemory(c, memory.Lowest(&component.Settings))
		}
		component.Resources = *last.Resources.DeepCopy()
		for _, instances := range v.Instances {
			if t := template(component, instances.Name); t != nil {
				t.Resources = lastResources(last, instances.Name).DeepCopy()
			}
		}
	}
}

func (k vertical) progress(o *Observed, component string) work {
	if c := meta.FindStatusCondition(o.Cluster.Status.Conditions, appsv1.ConditionProvisioningStarted); c != nil &&
		c.Status == metav1.ConditionFalse && c.Reason == memory.ReasonBelowNeed && c.ObservedGeneration == o.Cluster.Generation {
		return work{failed: c.Message} // nodes have come to need more since it was checked
	}
	i := slices.IndexFunc(k.op.Spec.VerticalScaling, func(v opsv1.VerticalScalingOps) bool { return v.ComponentName == component })
	v, last := &k.op.Spec.VerticalScaling[i], k.last(component)
	if sets(v) && !slices.ContainsFunc(last.Instances, func(l opsv1.LastInstanceConfiguration) bool { return l.Resources != nil }) {
		return whole(o, component)
	}
	return rolling(o, component, func(i *workloadsv1.InstanceStatus) bool {
		named := slices.ContainsFunc(v.Instances, func(r opsv1.InstanceResources) bool { return r.Name == i.TemplateName })
		return named || sets(v) && lastResources(last, i.TemplateName) == nil
	})
}

// enoughMemory fails an operation that gives nodes less memory than they need. It has nodes asked when that matters. Doubt is
// what isn't known, as the end of a sentence.
func (r *round) enoughMemory(op *operation) (doubt string, ok bool) {
	k, is := op.kind.(vertical)
	if !is || op.now.Spec.Force {
		return "", true
	}
	// The change as it will be made, which needs what is recorded when it starts.
	started, changed := vertical{base{op: op.now.DeepCopy()}}, r.cluster.DeepCopy()
	started.op.Status.LastConfiguration = k.record(r.o)
	started.edit(r.o, changed)
	var doubts strings.Builder
	for _, name := range k.components() {
		component, after := r.o.component(name), spec(changed, name)
		accepted := memory.Accepted(r.cluster.Annotations)
		if component == nil || !memory.Lowers(&component.Spec.Settings, &after.Settings, accepted) {
			continue
		}
		instances, known := r.o.Memory[name]
		if !known {
			r.out.Measure = append(r.out.Measure, name)
			continue
		}
		refusal, unknown := memory.Check(&component.Spec.Settings, &after.Settings, accepted, instances)
		if refusal != "" {
			r.invalid(op, fmt.Errorf("component %s: %s", name, refusal))
			return "", false
		}
		if unknown != "" {
			fmt.Fprintf(&doubts, "; whether the memory of component %s is enough isn't known: %s", name, unknown)
		}
	}
	return doubts.String(), len(r.out.Measure) == 0
}

func lastResources(last opsv1.LastComponentConfiguration, name string) *appsv1.Resources {
	for i := range last.Instances {
		if last.Instances[i].Name == name {
			return last.Instances[i].Resources
		}
	}
	return nil
}

func valueOf(r *appsv1.Resources) appsv1.Resources {
	if r == nil {
		return appsv1.Resources{}
	}
	return *r
}

// merged are resources after a change that names some of them.
func merged(before, change appsv1.Resources) appsv1.Resources {
	after := *before.DeepCopy()
	put := func(into *corev1.ResourceList, from corev1.ResourceList) {
		if *into == nil && len(from) > 0 {
			*into = corev1.ResourceList{}
		}
		maps.Copy(*into, from)
	}
	put(&after.Limits, change.Limits)
	put(&after.Requests, change.Requests)
	return after
}

func sameResources(a, b appsv1.Resources) bool { return contains(a, b) && contains(b, a) }

func requestsFit(whose string, r appsv1.Resources) error {
	for _, name := range slices.Sorted(maps.Keys(r.Requests)) {
		request := r.Requests[name]
		if l, ok := r.Limits[name]; ok && l.Cmp(request) < 0 {
			return fmt.Errorf("the %s that %s requests (%s) would be above its limit (%s): give both", name, whose, request.String(), l.String())
		}
	}
	return nil
}

// sets tells whether the component itself gets resources, not only templates of instances.
func sets(v *opsv1.VerticalScalingOps) bool { return v.Limits != nil || v.Requests != nil }
