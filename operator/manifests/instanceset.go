package manifests

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// InstanceSet runs the pods.
func (s *Source) InstanceSet() (*workloadsv1.InstanceSet, error) {
	revisions, hash, err := s.revisions()
	if err != nil {
		return nil, err
	}
	template, err := s.template(hash)
	if err != nil {
		return nil, err
	}
	pods, err := s.instancePods()
	if err != nil {
		return nil, err
	}
	settings, definition := &s.Component.Spec.Settings, &s.Definition.Spec
	set := &workloadsv1.InstanceSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: workloadsv1.GroupVersion.String(), Kind: "InstanceSet"},
		ObjectMeta: s.meta(s.Component.Name),
		Spec: workloadsv1.InstanceSetSpec{
			Replicas:                             new(settings.Replicas),
			Stop:                                 settings.Stop,
			Selector:                             workloadsv1.PodSelector{MatchLabels: naming.PodSelector(s.owner())},
			Template:                             template,
			Instances:                            instanceTemplates(settings.Instances),
			Templates:                            pods,
			Ordinals:                             settings.Ordinals.DeepCopy(),
			FlatInstanceOrdinal:                  settings.FlatInstanceOrdinal,
			OfflineInstances:                     settings.OfflineInstances,
			VolumeClaimTemplates:                 claims(settings.VolumeClaimTemplates),
			PersistentVolumeClaimRetentionPolicy: settings.PersistentVolumeClaimRetentionPolicy.DeepCopy(),
			MinReadySeconds:                      definition.MinReadySeconds,
			PodManagementPolicy:                  cmp.Or(definition.PodManagementPolicy, appsv1.Parallel),
			ParallelPodManagementConcurrency:     settings.ParallelPodManagementConcurrency,
			PodUpgradePolicy:                     definition.PodUpgradePolicy,
			InstanceUpdateStrategy:               settings.InstanceUpdateStrategy.DeepCopy(),
			MemberUpdateStrategy:                 new(cmp.Or(definition.UpdateStrategy, appsv1.UpdateSerial)),
			Roles:                                definition.Roles,
			LifecycleActions:                     definition.LifecycleActions.DeepCopy(),
			Configs:                              revisions,
		},
	}
	if p := settings.PodUpdatePolicy; p != nil {
		set.Spec.PodUpdatePolicy = *p
	}
	set.Annotations = map[string]string{}
	if pods := s.Component.Annotations[naming.AnnotationAcceptDataLoss]; pods != "" {
		set.Annotations[naming.AnnotationAcceptDataLoss] = pods
	}
	if s.Founding != "" {
		set.Annotations[naming.AnnotationFounding] = s.Founding
	}
	return set, nil
}

// instanceTemplates are the user's, with requests for what is only limited.
func instanceTemplates(templates []appsv1.InstanceTemplate) []appsv1.InstanceTemplate {
	var out []appsv1.InstanceTemplate
	for i := range templates {
		t := templates[i].DeepCopy()
		if t.Resources != nil {
			t.Resources = new(completeResources(*t.Resources))
		}
		t.VolumeClaimTemplates = claims(t.VolumeClaimTemplates)
		out = append(out, *t)
	}
	return out
}

// claims are the user's. An empty class means the default one, which Kubernetes wants to have left out.
func claims(templates []appsv1.VolumeClaimTemplate) []appsv1.VolumeClaimTemplate {
	var out []appsv1.VolumeClaimTemplate
	for i := range templates {
		t := templates[i].DeepCopy()
		if class := t.Spec.StorageClassName; class != nil && *class == "" {
			t.Spec.StorageClassName = nil
		}
		out = append(out, *t)
	}
	return out
}
