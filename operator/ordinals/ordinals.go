// Package ordinals chooses which instances of a set run: by name, ordinal and template. It is pure.
//
// Callers: instanceset, which knows what there is already; manifests, for a set of which nothing is known yet.
package ordinals

import (
	"cmp"
	"fmt"
	"slices"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// Spec is what is asked for.
type Spec struct {
	// Set is the name of the set.
	Set string
	// Replicas is how many run, those of templates included.
	Replicas int32
	// Templates are those of instances that differ from the rest.
	Templates []appsv1.InstanceTemplate
	// Ordinals are those that the rest may have; nil is any.
	Ordinals *appsv1.Ordinals
	// Flat has all templates share one series of ordinals, and names without them.
	Flat bool
	// Offline are the names of instances that must not run.
	Offline []string
}

// Slot is an instance that should run.
type Slot struct {
	Name    string
	Ordinal int32
	// Template is nil for instances that follow the set.
	Template *appsv1.InstanceTemplate
}

// TemplateName is the name of the template, "" that of the set's own.
func (s *Slot) TemplateName() string {
	if s.Template == nil {
		return ""
	}
	return s.Template.Name
}

// Known is what speaks for an instance to keep its ordinal.
type Known struct {
	// Runs says that there is a pod, or that it was to run; else there are only claims.
	Runs bool
	// Template is that of the pod, where the name doesn't tell.
	Template string
}

// Choose returns the instances that should run, those of the set's own template first, each template's by ordinal. Those that
// exist keep their ordinals, the lowest first, so that scaling in removes the highest; others get the lowest free ones. Missing
// tells what can't be had.
func Choose(s *Spec, existing map[string]Known) (chosen []Slot, missing string) {
	c := chooser{spec: s, existing: existing, taken: map[int32]bool{}}
	parts := s.parts()
	if s.Flat {
		// All keep what they have before one takes what is free, and who may have any ordinal takes what is left.
		slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(anyOrdinal(&a), anyOrdinal(&b)) })
		for i := range parts {
			c.keep(&parts[i])
		}
	}
	for i := range parts {
		if !s.Flat {
			c.taken = map[int32]bool{}
			c.keep(&parts[i])
		}
		c.fill(&parts[i])
	}
	slices.SortFunc(c.chosen, func(a, b Slot) int {
		return cmp.Or(cmp.Compare(a.TemplateName(), b.TemplateName()), cmp.Compare(a.Ordinal, b.Ordinal))
	})
	return c.chosen, c.missing
}

// Possible are the names of the instances that should run when none exists, of those that are offline, and of those that each
// template may have next.
func Possible(s *Spec, next int) []string {
	chosen, _ := Choose(s, nil)
	names := slices.Clone(s.Offline)
	for _, one := range chosen {
		names = append(names, one.Name)
	}
	for _, p := range s.parts() {
		n := int(p.replicas)
		if s.Flat {
			n = int(s.Replicas)
		}
		n += len(s.Offline) + next
		for ordinal := int32(0); n > 0 && ordinal <= appsv1.MaxOrdinal; ordinal++ {
			if p.ordinals.Allows(ordinal) {
				names = append(names, s.name(&p, ordinal))
				n--
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// part are the instances of one template.
type part struct {
	template *appsv1.InstanceTemplate
	replicas int32
	ordinals *appsv1.Ordinals
	// own says that the template has ordinals of its own.
	own bool
}

// anyOrdinal orders parts: 0 is one with ordinals of its own.
func anyOrdinal(p *part) int {
	if p.own {
		return 0
	}
	return 1
}

// parts lists the templates with the number of their instances; the rest, which has no template, comes last.
func (s *Spec) parts() []part {
	rest := s.Replicas
	var parts []part
	for i := range s.Templates {
		t := &s.Templates[i]
		p := part{template: t, replicas: min(t.Count(), rest), ordinals: t.Ordinals, own: t.Ordinals != nil}
		if !p.own && s.Flat {
			p.ordinals = s.Ordinals
		}
		rest -= p.replicas
		parts = append(parts, p)
	}
	return append(parts, part{replicas: rest, ordinals: s.Ordinals})
}

// name is that of an instance of a template.
func (s *Spec) name(p *part, ordinal int32) string {
	if p.template == nil || s.Flat {
		return naming.Instance(s.Set, "", ordinal)
	}
	return naming.Instance(s.Set, p.template.Name, ordinal)
}

type chooser struct {
	spec     *Spec
	existing map[string]Known
	taken    map[int32]bool
	chosen   []Slot
	missing  string
}

// keep takes the instances that there are.
func (c *chooser) keep(p *part) {
	var have []int32
	for name := range c.existing {
		ordinal, ok := naming.Ordinal(name)
		if ok && c.spec.name(p, ordinal) == name && c.free(p, ordinal) && c.belongs(p, name) {
			have = append(have, ordinal)
		}
	}
	slices.SortFunc(have, func(a, b int32) int {
		x, y := c.existing[c.spec.name(p, a)], c.existing[c.spec.name(p, b)]
		if x.Runs != y.Runs {
			return map[bool]int{true: -1, false: 1}[x.Runs]
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
	if !c.spec.Flat {
		return true
	}
	if p.template == nil {
		return c.existing[name].Template == ""
	}
	return c.existing[name].Template == p.template.Name
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
	return !c.taken[ordinal] && p.ordinals.Allows(ordinal) && !slices.Contains(c.spec.Offline, c.spec.name(p, ordinal))
}

func (c *chooser) take(p *part, ordinal int32) {
	p.replicas--
	c.taken[ordinal] = true
	c.chosen = append(c.chosen, Slot{Name: c.spec.name(p, ordinal), Ordinal: ordinal, Template: p.template})
}
