package instanceset

import (
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/ordinals"
)

// slot is an instance that should run.
type slot struct {
	name    string
	ordinal int32
	// template is nil for instances that follow the set.
	template *appsv1.InstanceTemplate
}

// templateName is the name of the template, "" that of the set's own.
func (s *slot) templateName() string {
	if s.template == nil {
		return ""
	}
	return s.template.Name
}

// slots chooses which instances should run. Missing tells what can't be had.
func slots(set *workloadsv1.InstanceSet, existing map[string]ordinals.Known) (out []slot, missing string) {
	spec := &set.Spec
	chosen, missing := ordinals.Choose(&ordinals.Spec{
		Set: set.Name, Replicas: replicas(set), Templates: spec.Instances, Ordinals: spec.Ordinals, Flat: spec.FlatInstanceOrdinal, Offline: spec.OfflineInstances,
	}, existing)
	for _, s := range chosen {
		out = append(out, slot{name: s.Name, ordinal: s.Ordinal, template: s.Template})
	}
	return out, missing
}

// replicas is how many instances should run.
func replicas(set *workloadsv1.InstanceSet) int32 {
	if set.Spec.Replicas == nil {
		return 1
	}
	return *set.Spec.Replicas
}
