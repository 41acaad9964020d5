package instanceset

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/ordinals"
)

// podName is what stands in the template for the name of the pod.
const podName = "$(POD_NAME)"

// templateOf is the template of an instance, the same for all instances of one template.
func templateOf(set *workloadsv1.InstanceSet, t *appsv1.InstanceTemplate) *corev1.PodTemplateSpec {
	out := podsOf(set, t).DeepCopy()
	out.Labels = merged(out.Labels, set.Spec.Selector.MatchLabels)
	if t == nil {
		return out
	}
	out.Labels = merged(t.Labels, out.Labels)
	out.Annotations = merged(out.Annotations, t.Annotations)
	if t.Canary != nil && *t.Canary {
		out.Labels[naming.LabelReleasePhase] = naming.ReleaseCanary
	}
	out.Labels[naming.LabelTemplate] = t.Name
	if len(out.Spec.Containers) > 0 {
		engine := &out.Spec.Containers[0]
		engine.Env = overlaid(engine.Env, t.Env, func(v corev1.EnvVar) string { return v.Name })
		if t.Resources != nil {
			engine.Resources.Limits, engine.Resources.Requests = t.Resources.Limits, t.Resources.Requests
		}
	}
	schedule(&out.Spec, t.SchedulingPolicy)
	return out
}

// podsOf finds what the pods of a template are made from: most have that of the set.
func podsOf(set *workloadsv1.InstanceSet, t *appsv1.InstanceTemplate) *corev1.PodTemplateSpec {
	if t != nil {
		for i := range set.Spec.Templates {
			if set.Spec.Templates[i].Name == t.Name {
				return &set.Spec.Templates[i].Template
			}
		}
	}
	return &set.Spec.Template
}

// schedule puts a policy in the place of what the template says. What keeps instances apart stays as it
// is where the policy says nothing about it.
func schedule(spec *corev1.PodSpec, s *appsv1.SchedulingPolicy) {
	if s == nil {
		return
	}
	spec.NodeSelector, spec.NodeName, spec.Tolerations = s.NodeSelector, s.NodeName, s.Tolerations
	if s.SchedulerName != "" {
		spec.SchedulerName = s.SchedulerName
	}
	if s.Affinity != nil {
		spec.Affinity = s.Affinity
	}
	if s.TopologySpreadConstraints != nil {
		spec.TopologySpreadConstraints = s.TopologySpreadConstraints
	}
}

// overlaid puts entries in the place of those of the same name, and the others behind.
func overlaid[T any](list, over []T, name func(T) string) []T {
	list = slices.Clone(list)
	for _, one := range over {
		if i := slices.IndexFunc(list, func(t T) bool { return name(t) == name(one) }); i >= 0 {
			list[i] = one
		} else {
			list = append(list, one)
		}
	}
	return list
}

// merged adds the entries of over to those of base.
func merged(base, over map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}

// claimTemplates are the templates of the claims of an instance.
func claimTemplates(set *workloadsv1.InstanceSet, t *appsv1.InstanceTemplate) []appsv1.VolumeClaimTemplate {
	if t == nil {
		return set.Spec.VolumeClaimTemplates
	}
	return overlaid(set.Spec.VolumeClaimTemplates, t.VolumeClaimTemplates, func(v appsv1.VolumeClaimTemplate) string { return v.Name })
}

// ownLabels are the labels of a pod as its template has them.
func ownLabels(tpl *corev1.PodTemplateSpec, set, pod string) map[string]string {
	out := substituted(tpl.Labels, pod)
	out[naming.LabelPodName] = pod
	out[naming.LabelWorkloadManagedBy] = naming.WorkloadInstanceSet
	out[naming.LabelWorkloadInstance] = set
	if out[naming.LabelReleasePhase] == "" {
		out[naming.LabelReleasePhase] = naming.ReleaseStable
	}
	return out
}

func substituted(in map[string]string, pod string) map[string]string {
	out := map[string]string{}
	for k, v := range in {
		out[k] = strings.ReplaceAll(v, podName, pod)
	}
	return out
}

// newPod is the pod of an instance.
func newPod(set *workloadsv1.InstanceSet, s *ordinals.Slot, tpl *corev1.PodTemplateSpec, rev revision) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Name, Namespace: set.Namespace,
			Labels: ownLabels(tpl, set.Name, s.Name), Annotations: substituted(tpl.Annotations, s.Name), Finalizers: tpl.Finalizers,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, workloadsv1.GroupVersion.WithKind("InstanceSet"))},
		},
		Spec: *tpl.Spec.DeepCopy(),
	}
	p.Annotations[naming.AnnotationManagedKeys] = managedKeys(p.Labels, p.Annotations)
	p.Annotations[naming.AnnotationPodRevision] = rev.pod
	p.Labels[naming.LabelRevision] = rev.all
	p.Spec.Hostname, p.Spec.Subdomain = s.Name, naming.SetHeadlessService(set.Name)
	for i := range p.Spec.InitContainers {
		nameKeys(p.Spec.InitContainers[i].Env, s.Name)
	}
	for i := range p.Spec.Containers {
		nameKeys(p.Spec.Containers[i].Env, s.Name)
	}
	for i := range p.Spec.Volumes {
		if m := p.Spec.Volumes[i].ConfigMap; m != nil {
			for k := range m.Items {
				m.Items[k].Key = strings.ReplaceAll(m.Items[k].Key, podName, s.Name)
			}
		}
	}
	claims := claimTemplates(set, s.Template)
	volumes := make([]corev1.Volume, len(claims))
	for i := range claims {
		volumes[i] = corev1.Volume{Name: claims[i].Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: naming.Claim(claims[i].Name, s.Name)},
		}}
	}
	p.Spec.Volumes = overlaid(p.Spec.Volumes, volumes, func(v corev1.Volume) string { return v.Name })
	return p
}

// nameKeys puts the pod's name into the keys of ConfigMaps that variables are from.
func nameKeys(env []corev1.EnvVar, pod string) {
	for i := range env {
		if from := env[i].ValueFrom; from != nil && from.ConfigMapKeyRef != nil {
			from.ConfigMapKeyRef.Key = strings.ReplaceAll(from.ConfigMapKeyRef.Key, podName, pod)
		}
	}
}

// newClaim is a claim of an instance. No owner is set: whether claims go with the set is for the set to
// say, not for the garbage collector.
func newClaim(set *workloadsv1.InstanceSet, s *ordinals.Slot, t *appsv1.VolumeClaimTemplate, token string) *corev1.PersistentVolumeClaim {
	labels := merged(t.Labels, set.Spec.Selector.MatchLabels)
	labels[naming.LabelClaimTemplate], labels[naming.LabelPodName] = t.Name, s.Name
	labels[naming.LabelWorkloadManagedBy], labels[naming.LabelWorkloadInstance] = naming.WorkloadInstanceSet, set.Name
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: naming.Claim(t.Name, s.Name), Namespace: set.Namespace, Labels: labels, Annotations: merged(t.Annotations, nil),
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: t.Spec.StorageClassName, VolumeAttributesClassName: t.Spec.VolumeAttributesClassName,
			Resources: corev1.VolumeResourceRequirements{Requests: t.Spec.Resources.Requests, Limits: t.Spec.Resources.Limits},
		},
	}
	if class := c.Spec.StorageClassName; class != nil && *class == "" {
		c.Spec.StorageClassName = nil // the default class; Kubernetes reads "" as none
	}
	for _, mode := range t.Spec.AccessModes {
		c.Spec.AccessModes = append(c.Spec.AccessModes, corev1.PersistentVolumeAccessMode(mode))
	}
	if len(c.Spec.AccessModes) == 0 {
		c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	if m := t.Spec.VolumeMode; m != nil {
		c.Spec.VolumeMode = new(corev1.PersistentVolumeMode(*m))
	}
	if token != "" {
		c.Annotations[naming.AnnotationRebuild] = token
	}
	return c
}
