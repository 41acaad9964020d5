package ops

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// defaultClass marks the storage class of claims that name none.
const defaultClass = "storageclass.kubernetes.io/is-default-class"

// expansion grows volumes.
type expansion struct{ base }

// growth is a new size: that of a template of claims, for the instances of one template of instances or
// (empty) for those that have no such template of claims of their own.
type growth struct {
	instances string
	opsv1.VolumeSize
}

func growths(v *opsv1.VolumeExpansionOps) []growth {
	var out []growth
	for _, size := range v.VolumeClaimTemplates {
		out = append(out, growth{VolumeSize: size})
	}
	for _, i := range v.Instances {
		for _, size := range i.VolumeClaimTemplates {
			out = append(out, growth{instances: i.Name, VolumeSize: size})
		}
	}
	return out
}

func (k expansion) components() []string {
	return named(k.op.Spec.VolumeExpansion, func(v *opsv1.VolumeExpansionOps) string { return v.ComponentName })
}

func (k expansion) check(o *Observed) error {
	grows := false
	for i := range k.op.Spec.VolumeExpansion {
		v := &k.op.Spec.VolumeExpansion[i]
		c := spec(o.Cluster, v.ComponentName)
		for _, g := range growths(v) {
			more, err := k.checkGrowth(o, c, g)
			if err != nil {
				return err
			}
			grows = grows || more
		}
	}
	if !grows {
		return fmt.Errorf("%w: the volumes have this size", errNothing)
	}
	return nil
}

func (k expansion) checkGrowth(o *Observed, c *appsv1.ClusterComponentSpec, g growth) (grows bool, err error) {
	if g.instances != "" {
		if err := knownTemplate(c, g.instances); err != nil {
			return false, err
		}
	}
	t := claimTemplate(c, g.instances, g.Name)
	if t == nil {
		return false, fmt.Errorf("%s has no volumeClaimTemplate %s: it has %s", whose(c, g.instances), g.Name, naming.List(claimTemplateNames(c, g.instances)))
	}
	have := t.Spec.Resources.Requests[corev1.ResourceStorage]
	if g.Storage.Cmp(have) < 0 {
		return false, fmt.Errorf("volumeClaimTemplate %s of %s has %s and can't shrink to %s: a volume can only grow",
			g.Name, whose(c, g.instances), have.String(), g.Storage.String())
	}
	claims := k.claims(o, c, g)
	for _, class := range classesOf(t, claims) {
		if err := expandable(o.Classes, class, g.Name, c.Name); err != nil {
			return false, err
		}
	}
	return g.Storage.Cmp(have) > 0 || slices.ContainsFunc(claims, func(p *corev1.PersistentVolumeClaim) bool { return !grown(p, g.Storage) }), nil
}

func whose(c *appsv1.ClusterComponentSpec, instances string) string {
	if instances == "" {
		return "component " + c.Name
	}
	return "the template " + instances + " of component " + c.Name
}

// claims are those that the growth is about.
func (expansion) claims(o *Observed, c *appsv1.ClusterComponentSpec, g growth) []*corev1.PersistentVolumeClaim {
	var out []*corev1.PersistentVolumeClaim
	for _, i := range o.active(c.Name) {
		if p := o.claim(naming.Claim(g.Name, i.PodName)); p != nil && about(c, g, &i) {
			out = append(out, p)
		}
	}
	return out
}

// about tells whether a growth is about an instance.
func about(c *appsv1.ClusterComponentSpec, g growth, i *workloadsv1.InstanceStatus) bool {
	if g.instances != "" {
		return i.TemplateName == g.instances
	}
	return i.TemplateName == "" || claimTemplate(c, i.TemplateName, g.Name) == nil
}

// claimTemplate returns a template of claims of a component, or of a template of its instances.
func claimTemplate(c *appsv1.ClusterComponentSpec, instances, name string) *appsv1.VolumeClaimTemplate {
	list := c.VolumeClaimTemplates
	if instances != "" {
		t := template(c, instances)
		if t == nil {
			return nil
		}
		list = t.VolumeClaimTemplates
	}
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func claimTemplateNames(c *appsv1.ClusterComponentSpec, instances string) []string {
	list := c.VolumeClaimTemplates
	if t := template(c, instances); t != nil {
		list = t.VolumeClaimTemplates
	}
	return named(list, func(t *appsv1.VolumeClaimTemplate) string { return t.Name })
}

// classesOf are the names of the storage classes of claims, or what their template says while there are
// none. An empty name stands for the default class.
func classesOf(t *appsv1.VolumeClaimTemplate, claims []*corev1.PersistentVolumeClaim) []string {
	var out []string
	for _, p := range claims {
		if p.Spec.StorageClassName != nil && !slices.Contains(out, *p.Spec.StorageClassName) {
			out = append(out, *p.Spec.StorageClassName)
		}
	}
	if len(out) == 0 {
		name := ""
		if t.Spec.StorageClassName != nil {
			name = *t.Spec.StorageClassName
		}
		out = append(out, name)
	}
	return out
}

func expandable(classes []storagev1.StorageClass, name, claimTemplate, component string) error {
	for i := range classes {
		c := &classes[i]
		if c.Name != name && (name != "" || c.Annotations[defaultClass] != "true") {
			continue
		}
		if on(c.AllowVolumeExpansion) {
			return nil
		}
		name = c.Name
		break
	}
	return fmt.Errorf("storageClass: [%s] of volumeClaimTemplate: [%s] not support volume expansion in component [%s]", name, claimTemplate, component)
}

func (k expansion) record(o *Observed) opsv1.LastConfiguration {
	sizes := func(list []appsv1.VolumeClaimTemplate) []opsv1.VolumeSize {
		var out []opsv1.VolumeSize
		for i := range list {
			out = append(out, opsv1.VolumeSize{Name: list[i].Name, Storage: list[i].Spec.Resources.Requests[corev1.ResourceStorage]})
		}
		return out
	}
	return recorded(o, k.components(), func(c *appsv1.ClusterComponentSpec) opsv1.LastComponentConfiguration {
		last := opsv1.LastComponentConfiguration{VolumeClaimTemplates: sizes(c.VolumeClaimTemplates)}
		for i := range c.Instances {
			if own := c.Instances[i].VolumeClaimTemplates; len(own) > 0 {
				last.Instances = append(last.Instances, opsv1.LastInstanceConfiguration{Name: c.Instances[i].Name, VolumeClaimTemplates: sizes(own)})
			}
		}
		return last
	})
}

// edit sets the sizes, but never to less than there is.
func (k expansion) edit(_ *Observed, c *appsv1.Cluster) {
	for i := range k.op.Spec.VolumeExpansion {
		v := &k.op.Spec.VolumeExpansion[i]
		for _, g := range growths(v) {
			t := claimTemplate(spec(c, v.ComponentName), g.instances, g.Name)
			if t == nil {
				continue
			}
			requests := &t.Spec.Resources.Requests
			if have := (*requests)[corev1.ResourceStorage]; have.Cmp(g.Storage) >= 0 {
				continue
			}
			if *requests == nil {
				*requests = corev1.ResourceList{}
			}
			(*requests)[corev1.ResourceStorage] = g.Storage.DeepCopy()
		}
	}
}

func (k expansion) progress(o *Observed, component string) work {
	i := slices.IndexFunc(k.op.Spec.VolumeExpansion, func(v opsv1.VolumeExpansionOps) bool { return v.ComponentName == component })
	c, out := spec(o.Cluster, component), work{settled: o.follows(component)}
	for _, g := range growths(&k.op.Spec.VolumeExpansion[i]) {
		for _, instance := range o.active(component) {
			if !about(c, g, &instance) {
				continue
			}
			name := naming.Claim(g.Name, instance.PodName)
			status, message := growing(o.claim(name), g.Storage)
			out.steps = append(out.steps, step("PVC", name, status, message))
		}
	}
	out.total = len(out.steps)
	return out
}

func growing(p *corev1.PersistentVolumeClaim, size resource.Quantity) (opsv1.ProgressStatus, string) {
	switch {
	case p == nil:
		return opsv1.ProgressPending, ""
	case grown(p, size):
		return opsv1.ProgressSucceed, ""
	}
	message := ""
	for _, c := range p.Status.Conditions {
		if c.Status == corev1.ConditionTrue && c.Message != "" {
			message = c.Message
		}
	}
	if asked := p.Spec.Resources.Requests[corev1.ResourceStorage]; asked.Cmp(size) < 0 {
		return opsv1.ProgressPending, message
	}
	return opsv1.ProgressProcessing, message
}

func grown(p *corev1.PersistentVolumeClaim, size resource.Quantity) bool {
	have := p.Status.Capacity[corev1.ResourceStorage]
	return have.Cmp(size) >= 0
}
