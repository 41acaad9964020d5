package instanceset

import (
	"cmp"
	"fmt"
	"slices"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
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

// known is what speaks for an instance to keep its ordinal.
type known struct {
	// runs: there is a pod, or the status says that it is to run; else there are only claims.
	runs bool
	// template is that of the pod, where the name doesn't tell.
	template string
}

// slots chooses which instances should run. Those that are there keep their ordinals, the lowest first, so
// that scaling in removes the highest; others get the lowest free ones. Missing tells what can't be had.
func slots(set *workloadsv1.InstanceSet, existing map[string]known) (chosen []slot, missing string) {
	c := chooser{set: set, existing: existing, taken: map[int32]bool{}}
	rest := replicas(set)
	var parts []part
	for i := range set.Spec.Instances {
		t := &set.Spec.Instances[i]
		n := min(t.Count(), rest)
		rest -= n
		ordinals := t.Ordinals
		if ordinals == nil && set.Spec.FlatInstanceOrdinal {
			ordinals = set.Spec.Ordinals
		}
		parts = append(parts, part{template: t, replicas: n, ordinals: ordinals})
	}
	parts = append(parts, part{replicas: rest, ordinals: set.Spec.Ordinals})
	if set.Spec.FlatInstanceOrdinal {
		// All parts keep what they have before one takes what is free.
		for i := range parts {
			c.keep(&parts[i])
		}
	}
	for i := range parts {
		if !set.Spec.FlatInstanceOrdinal {
			c.taken = map[int32]bool{}
			c.keep(&parts[i])
		}
		c.fill(&parts[i])
	}
	slices.SortFunc(c.chosen, func(a, b slot) int {
		return cmp.Or(cmp.Compare(a.templateName(), b.templateName()), cmp.Compare(a.ordinal, b.ordinal))
	})
	return c.chosen, c.missing
}

// part are the instances of one template.
type part struct {
	template *appsv1.InstanceTemplate
	replicas int32
	ordinals *appsv1.Ordinals
}

type chooser struct {
	set      *workloadsv1.InstanceSet
	existing map[string]known
	taken    map[int32]bool
	chosen   []slot
	missing  string
}

func (c *chooser) name(p *part, ordinal int32) string {
	if p.template == nil || c.set.Spec.FlatInstanceOrdinal {
		return naming.Instance(c.set.Name, "", ordinal)
	}
	return naming.Instance(c.set.Name, p.template.Name, ordinal)
}

// keep takes the instances that there are.
func (c *chooser) keep(p *part) {
	var have []int32
	for name := range c.existing {
		ordinal, ok := naming.Ordinal(name)
		if ok && c.name(p, ordinal) == name && c.free(p, ordinal) && c.belongs(p, name) {
			have = append(have, ordinal)
		}
	}
	slices.SortFunc(have, func(a, b int32) int {
		x, y := c.existing[c.name(p, a)], c.existing[c.name(p, b)]
		if x.runs != y.runs {
			return map[bool]int{true: -1, false: 1}[x.runs]
		}
		return cmp.Compare(a, b)
	})
	for _, ordinal := range have {
		if p.replicas > 0 {
			c.take(p, ordinal)
		}
	}
}

// belongs tells whether an instance is of a template, where all templates share a series.
func (c *chooser) belongs(p *part, name string) bool {
	if !c.set.Spec.FlatInstanceOrdinal {
		return true
	}
	if p.template == nil {
		return c.existing[name].template == ""
	}
	return c.existing[name].template == p.template.Name
}

// fill takes free ordinals for what is still missing.
func (c *chooser) fill(p *part) {
	for ordinal := int32(0); p.replicas > 0 && ordinal <= appsv1.MaxOrdinal; ordinal++ {
		if c.free(p, ordinal) {
			c.take(p, ordinal)
		}
	}
	if p.replicas > 0 {
		of := "the set"
		if p.template != nil {
			of = "the template " + p.template.Name
		}
		c.missing = fmt.Sprintf("the ordinals of %s are too few: %d more are needed", of, p.replicas)
	}
}

func (c *chooser) free(p *part, ordinal int32) bool {
	return !c.taken[ordinal] && p.ordinals.Allows(ordinal) && !slices.Contains(c.set.Spec.OfflineInstances, c.name(p, ordinal))
}

func (c *chooser) take(p *part, ordinal int32) {
	p.replicas--
	c.taken[ordinal] = true
	c.chosen = append(c.chosen, slot{name: c.name(p, ordinal), ordinal: ordinal, template: p.template})
}

// replicas is how many instances should run.
func replicas(set *workloadsv1.InstanceSet) int32 {
	if set.Spec.Replicas == nil {
		return 1
	}
	return *set.Spec.Replicas
}
