package instanceset

import (
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/ordinals"
)

// slots chooses which instances should run. Missing tells what can't be had.
func slots(set *workloadsv1.InstanceSet, existing map[string]ordinals.Known) (chosen []ordinals.Slot, missing string) {
	spec := &set.Spec
	return ordinals.Choose(&ordinals.Spec{
		Set: set.Name, Replicas: replicas(set), Templates: spec.Instances, Ordinals: spec.Ordinals, Flat: spec.FlatInstanceOrdinal, Offline: spec.OfflineInstances,
	}, existing)
}

// replicas is how many instances should run.
func replicas(set *workloadsv1.InstanceSet) int32 {
	if set.Spec.Replicas == nil {
		return 1
	}
	return *set.Spec.Replicas
}
