package manifests

import (
	"slices"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// Instances are the names of the instances that are to run, those of the default template first, each
// template's by ordinal.
func Instances(set string, s *appsv1.Settings) []string {
	groups := templates(s)
	if s.FlatInstanceOrdinal {
		return flat(set, s, groups)
	}
	var names []string
	for _, g := range groups {
		names = append(names, take(set, g, g.replicas, s.OfflineInstances)...)
	}
	return names
}

// PossibleInstances are the instances that are to run, those that are offline, and of each template the next ones.
func PossibleInstances(set string, s *appsv1.Settings, next int) []string {
	names := slices.Concat(Instances(set, s), s.OfflineInstances)
	for _, g := range templates(s) {
		if s.FlatInstanceOrdinal {
			g.name = ""
			g.replicas = int(s.Replicas)
		}
		names = append(names, take(set, g, g.replicas+len(s.OfflineInstances)+next, nil)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// group is a template with the number of its instances.
type group struct {
	name     string
	replicas int
	ordinals *appsv1.Ordinals
}

// templates lists the templates: the default one, which has the instances that no other has, first.
func templates(s *appsv1.Settings) []group {
	rest := int(s.Replicas)
	groups := []group{{ordinals: s.Ordinals}}
	for i := range s.Instances {
		t := &s.Instances[i]
		n := int(t.Count())
		rest -= n
		groups = append(groups, group{name: t.Name, replicas: n, ordinals: t.Ordinals})
	}
	groups[0].replicas = max(rest, 0)
	return groups
}

// take returns the first so many instances of a template without some.
func take(set string, g group, n int, without []string) []string {
	var names []string
	for ordinal := range candidates(g.ordinals) {
		if len(names) == n {
			break
		}
		name := naming.Instance(set, g.name, ordinal)
		if !slices.Contains(without, name) {
			names = append(names, name)
		}
	}
	return names
}

// flat returns the instances where all templates share one series of ordinals: templates with
// ordinals of their own take theirs, the rest fills up.
func flat(set string, s *appsv1.Settings, groups []group) []string {
	taken := slices.Clone(s.OfflineInstances)
	var names []string
	for _, own := range []bool{true, false} {
		for _, g := range groups {
			if (g.ordinals != nil) != own {
				continue
			}
			g.name = ""
			got := take(set, g, g.replicas, taken)
			taken, names = append(taken, got...), append(names, got...)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		x, _ := naming.Ordinal(a)
		y, _ := naming.Ordinal(b)
		return int(x - y)
	})
	return names
}

// candidates yields the ordinals that instances may have, upwards.
func candidates(o *appsv1.Ordinals) func(yield func(int32) bool) {
	return func(yield func(int32) bool) {
		for ordinal := int32(0); ordinal <= appsv1.MaxOrdinal; ordinal++ {
			if o.Allows(ordinal) && !yield(ordinal) {
				return
			}
		}
	}
}
