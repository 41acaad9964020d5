package manifests

import (
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/ordinals"
)

// Instances are the names of the instances that are to run when none exists yet, those of the default template first, each
// template's by ordinal.
func Instances(set string, s *appsv1.Settings) []string {
	chosen, _ := ordinals.Choose(asked(set, s), nil)
	var names []string
	for _, one := range chosen {
		names = append(names, one.Name)
	}
	return names
}

// PossibleInstances are the instances that are to run, those that are offline, and of each template the next ones.
func PossibleInstances(set string, s *appsv1.Settings, next int) []string {
	return ordinals.Possible(asked(set, s), next)
}

func asked(set string, s *appsv1.Settings) *ordinals.Spec {
	return &ordinals.Spec{
		Set: set, Replicas: s.Replicas, Templates: s.Instances, Ordinals: s.Ordinals, Flat: s.FlatInstanceOrdinal, Offline: s.OfflineInstances,
	}
}
