package ops

import (
	"fmt"
	"slices"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// horizontal adds and removes instances.
type horizontal struct{ base }

// change is by how much a component grows or shrinks.
type change struct {
	// total counts all instances, templates those of each template, too.
	total     int32
	templates map[string]int32
}

// counted adds up a change: instances that are named count as part of those of their template, and
// all of them as part of replicaChanges where that is given.
func counted(replicaChanges *int32, instances []opsv1.InstanceReplicas, names []string, templateOf func(string) string) change {
	out := change{templates: map[string]int32{}}
	for _, name := range names {
		out.templates[templateOf(name)]++
	}
	for _, i := range instances {
		out.templates[i.Name] = max(out.templates[i.Name], i.ReplicaChanges)
	}
	for _, n := range out.templates {
		out.total += n
	}
	if replicaChanges != nil {
		out.total = max(out.total, *replicaChanges)
	}
	return out
}

// scaling is what an operation does to a component.
func (k horizontal) scaling(cluster string, c *appsv1.ClusterComponentSpec, h *opsv1.HorizontalScalingOps) (out, in change) {
	template := func(pod string) string {
		name, _ := templateOf(cluster, c, pod)
		return name
	}
	if s := h.ScaleOut; s != nil {
		added := int32(0)
		for i := range s.NewInstances {
			added += s.NewInstances[i].Count()
		}
		out = counted(nil, s.Instances, s.OfflineInstancesToOnline, template)
		out.total += added
		if s.ReplicaChanges != nil {
			out.total = max(out.total, *s.ReplicaChanges)
		}
	}
	if s := h.ScaleIn; s != nil {
		in = counted(s.ReplicaChanges, s.Instances, s.OnlineInstancesToOffline, template)
	}
	return out, in
}

func (k horizontal) components() []string {
	return named(k.op.Spec.HorizontalScaling, func(h *opsv1.HorizontalScalingOps) string { return h.ComponentName })
}

func (k horizontal) check(o *Observed) error {
	for i := range k.op.Spec.HorizontalScaling {
		h := &k.op.Spec.HorizontalScaling[i]
		if err := k.checkComponent(o, spec(o.Cluster, h.ComponentName), h); err != nil {
			return err
		}
	}
	return nil
}

func (k horizontal) checkComponent(o *Observed, c *appsv1.ClusterComponentSpec, h *opsv1.HorizontalScalingOps) error {
	if !o.follows(c.Name) {
		return notYet{fmt.Sprintf("component %s is following a change: which instances it has isn't known yet", c.Name)}
	}
	if s := h.ScaleOut; s != nil {
		if err := checkOut(o, c, s); err != nil {
			return err
		}
	}
	if s := h.ScaleIn; s != nil {
		if err := checkIn(o, c, s); err != nil {
			return err
		}
	}
	out, in := k.scaling(o.Key.Name, c, h)
	if h.ScaleOut != nil && h.ScaleOut.ReplicaChanges != nil && *h.ScaleOut.ReplicaChanges < out.total {
		return fmt.Errorf("scaleOut names %d instances of component %s, more than replicaChanges: they count as part of it", out.total, c.Name)
	}
	if h.ScaleIn != nil && h.ScaleIn.ReplicaChanges != nil && *h.ScaleIn.ReplicaChanges < in.total {
		return fmt.Errorf("scaleIn names %d instances of component %s, more than replicaChanges: they count as part of it", in.total, c.Name)
	}
	return checkResult(c, out, in)
}

func checkOut(o *Observed, c *appsv1.ClusterComponentSpec, s *opsv1.ScaleOut) error {
	for _, name := range s.OfflineInstancesToOnline {
		if !slices.Contains(c.OfflineInstances, name) {
			return fmt.Errorf("instance %s of component %s isn't offline: offline are %s", name, c.Name, naming.List(c.OfflineInstances))
		}
		if _, ok := templateOf(o.Key.Name, c, name); !ok {
			return fmt.Errorf("instance %s belongs to no template of component %s any more", name, c.Name)
		}
	}
	for _, i := range s.Instances {
		if err := knownTemplate(c, i.Name); err != nil {
			return err
		}
	}
	for i := range s.NewInstances {
		if template(c, s.NewInstances[i].Name) != nil {
			return fmt.Errorf("component %s has a template of instances %s: give the new one another name, or scale that one out with instances",
				c.Name, s.NewInstances[i].Name)
		}
	}
	return nil
}

func checkIn(o *Observed, c *appsv1.ClusterComponentSpec, s *opsv1.ScaleIn) error {
	for _, name := range s.OnlineInstancesToOffline {
		if err := knownInstance(o, c.Name, name); err != nil {
			return err
		}
		if i := o.instance(c.Name, name); c.FlatInstanceOrdinal && i.TemplateName != "" {
			return fmt.Errorf("instance %s is of the template %s, which its name doesn't tell (flatInstanceOrdinal): edit the Cluster to take it offline",
				name, i.TemplateName)
		}
	}
	for _, i := range s.Instances {
		if err := knownTemplate(c, i.Name); err != nil {
			return err
		}
	}
	return nil
}

func checkResult(c *appsv1.ClusterComponentSpec, out, in change) error {
	after := c.Replicas + out.total - in.total
	if after < 1 {
		return fmt.Errorf("component %s has %d replicas and would have %d: at least 1 must stay; to take all down and keep the data, use Stop",
			c.Name, c.Replicas, after)
	}
	sum := int32(0)
	for i := range c.Instances {
		t := &c.Instances[i]
		n := t.Count() + out.templates[t.Name] - in.templates[t.Name]
		if n < 0 {
			return fmt.Errorf("the template %s of component %s has %d replicas: %d can't leave", t.Name, c.Name, t.Count(), in.templates[t.Name])
		}
		sum += n
	}
	if sum > after {
		return fmt.Errorf("component %s would have %d replicas, fewer than the %d of its templates: say from which template instances leave",
			c.Name, after, sum)
	}
	return nil
}

func (k horizontal) record(o *Observed) opsv1.LastConfiguration {
	return recorded(o, k.components(), func(c *appsv1.ClusterComponentSpec) opsv1.LastComponentConfiguration {
		last := opsv1.LastComponentConfiguration{
			Replicas: new(c.Replicas), OfflineInstances: slices.Sorted(slices.Values(c.OfflineInstances)),
		}
		for i := range c.Instances {
			last.Instances = append(last.Instances, opsv1.LastInstanceConfiguration{
				Name: c.Instances[i].Name, Replicas: new(c.Instances[i].Count()),
			})
		}
		return last
	})
}

func (k horizontal) edit(_ *Observed, c *appsv1.Cluster) {
	for i := range k.op.Spec.HorizontalScaling {
		h := &k.op.Spec.HorizontalScaling[i]
		component, last := spec(c, h.ComponentName), k.last(h.ComponentName)
		if last.Replicas == nil {
			continue
		}
		out, in := k.scaling(c.Name, component, h)
		component.Replicas = *last.Replicas + out.total - in.total
		for _, l := range last.Instances {
			t, n := template(component, l.Name), out.templates[l.Name]-in.templates[l.Name]
			if t != nil && n != 0 && l.Replicas != nil {
				t.Replicas = new(*l.Replicas + n)
			}
		}
		component.OfflineInstances = k.offline(component.OfflineInstances, last, h)
		if h.ScaleOut == nil {
			continue
		}
		for j := range h.ScaleOut.NewInstances {
			if added := &h.ScaleOut.NewInstances[j]; template(component, added.Name) == nil {
				component.Instances = append(component.Instances, *added.DeepCopy())
			}
		}
	}
}

// offline are the offline instances after the operation. The list keeps its order as long as it names
// the same instances.
func (horizontal) offline(have []string, last opsv1.LastComponentConfiguration, h *opsv1.HorizontalScalingOps) []string {
	want := slices.Clone(last.OfflineInstances)
	if h.ScaleIn != nil {
		want = append(want, h.ScaleIn.OnlineInstancesToOffline...)
	}
	if h.ScaleOut != nil {
		want = slices.DeleteFunc(want, func(name string) bool { return slices.Contains(h.ScaleOut.OfflineInstancesToOnline, name) })
	}
	if sameElements(have, want) {
		return have
	}
	if len(want) == 0 {
		return nil
	}
	return want
}

func (k horizontal) undo(c *appsv1.Cluster) {
	for i := range k.op.Spec.HorizontalScaling {
		h := &k.op.Spec.HorizontalScaling[i]
		component, last := spec(c, h.ComponentName), k.last(h.ComponentName)
		if component == nil || last.Replicas == nil {
			continue
		}
		component.Replicas = *last.Replicas
		if !sameElements(component.OfflineInstances, last.OfflineInstances) {
			component.OfflineInstances = slices.Clone(last.OfflineInstances)
		}
		if h.ScaleOut != nil {
			component.Instances = slices.DeleteFunc(component.Instances, func(t appsv1.InstanceTemplate) bool {
				return slices.ContainsFunc(h.ScaleOut.NewInstances, func(n appsv1.InstanceTemplate) bool { return n.Name == t.Name })
			})
		}
		for _, l := range last.Instances {
			if t := template(component, l.Name); t != nil && l.Replicas != nil && t.Count() != *l.Replicas {
				t.Replicas = new(*l.Replicas)
			}
		}
	}
}

func (k horizontal) progress(o *Observed, name string) work {
	i := slices.IndexFunc(k.op.Spec.HorizontalScaling, func(h opsv1.HorizontalScalingOps) bool { return h.ComponentName == name })
	h, last, c := &k.op.Spec.HorizontalScaling[i], k.last(name), spec(o.Cluster, name)
	out, in := k.scaling(o.Key.Name, c, h)
	result := work{total: int(out.total + in.total), settled: o.follows(name), mends: in.total > 0}
	if !result.settled {
		return result
	}
	active := o.active(name)
	for j := range active {
		if i := &active[j]; !slices.Contains(last.Pods, i.PodName) {
			result.steps = append(result.steps, step("Pod", i.PodName, joining(o, name, i), i.Message))
		}
	}
	keep := c.PersistentVolumeClaimRetentionPolicy != nil && c.PersistentVolumeClaimRetentionPolicy.WhenScaled == appsv1.RetainClaims
	for _, pod := range last.Pods {
		if slices.ContainsFunc(active, func(i workloadsv1.InstanceStatus) bool { return i.PodName == pod }) {
			continue
		}
		i := o.instance(name, pod)
		message := ""
		if i != nil {
			message = i.Message
		}
		result.steps = append(result.steps, step("Pod", pod, leaving(o, i, pod, keep), message))
	}
	return result
}

// joining is how far a new instance is: it is done when it is available and has a role, which the
// node only has as a member.
func joining(o *Observed, component string, i *workloadsv1.InstanceStatus) opsv1.ProgressStatus {
	switch {
	case o.serving(component, i):
		return opsv1.ProgressSucceed
	case i.Failed:
		return opsv1.ProgressFailed
	case i.CurrentState == workloadsv1.InstancePresent:
		return opsv1.ProgressProcessing
	default:
		return opsv1.ProgressPending
	}
}

// leaving is how far an instance is on its way out: it is done when its pod is gone, and its claims,
// unless they are kept.
func leaving(o *Observed, i *workloadsv1.InstanceStatus, pod string, keep bool) opsv1.ProgressStatus {
	if !there(i) && (keep || len(o.claimsOf(pod)) == 0) {
		return opsv1.ProgressSucceed
	}
	return opsv1.ProgressProcessing
}
