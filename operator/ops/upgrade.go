package ops

import (
	"fmt"
	"slices"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/catalog"
)

// Catalog are the definitions that say which versions there are.
type Catalog struct {
	ClusterDefinition *appsv1.ClusterDefinition
	Definitions       []appsv1.ComponentDefinition
	Versions          []appsv1.ComponentVersion
}

// upgrade changes versions and definitions.
type upgrade struct{ base }

func (k upgrade) entries() []opsv1.UpgradeComponent {
	if k.op.Spec.Upgrade == nil {
		return nil
	}
	return k.op.Spec.Upgrade.Components
}

func (k upgrade) components() []string {
	return named(k.entries(), func(u *opsv1.UpgradeComponent) string { return u.ComponentName })
}

func (k upgrade) check(o *Observed) error {
	changes := false
	for i := range k.entries() {
		u := &k.entries()[i]
		c := spec(o.Cluster, u.ComponentName)
		after := c.DeepCopy()
		if u.ComponentDefinitionName != nil {
			after.ComponentDef = *u.ComponentDefinitionName
		}
		if u.ServiceVersion != nil {
			after.ServiceVersion = *u.ServiceVersion
		}
		version, err := o.version(after)
		if err != nil {
			return err
		}
		changes = changes || version != k.runs(o, c) || after.ComponentDef != c.ComponentDef
	}
	if !changes {
		return fmt.Errorf("%w: it has this version", errNothing)
	}
	return nil
}

// version is what a component would run.
func (o *Observed) version(c *appsv1.ClusterComponentSpec) (string, error) {
	choice, err := catalog.Resolve(o.Catalog.ClusterDefinition, o.Cluster.Spec.Topology, c, o.Catalog.Definitions, o.Catalog.Versions)
	if err != nil {
		return "", err // a sentence for users
	}
	return choice.ServiceVersion, nil
}

// runs is the version that a component has.
func (upgrade) runs(o *Observed, c *appsv1.ClusterComponentSpec) string {
	if component := o.component(c.Name); c.ServiceVersion == "" && component != nil {
		return component.Spec.ServiceVersion
	}
	return c.ServiceVersion
}

func (k upgrade) record(o *Observed) opsv1.LastConfiguration {
	return recorded(o, k.components(), func(c *appsv1.ClusterComponentSpec) opsv1.LastComponentConfiguration {
		return opsv1.LastComponentConfiguration{ServiceVersion: c.ServiceVersion, ComponentDefinitionName: c.ComponentDef}
	})
}

// edit sets the versions. The newest one (an empty version) is chosen once: where the version differs from the
// recorded one, that has been done.
func (k upgrade) edit(o *Observed, c *appsv1.Cluster) {
	for i := range k.entries() {
		u := &k.entries()[i]
		component := spec(c, u.ComponentName)
		if u.ComponentDefinitionName != nil {
			component.ComponentDef = *u.ComponentDefinitionName
		}
		switch {
		case u.ServiceVersion == nil:
		case *u.ServiceVersion != "":
			component.ServiceVersion = *u.ServiceVersion
		case component.ServiceVersion == k.last(u.ComponentName).ServiceVersion:
			newest := component.DeepCopy()
			newest.ServiceVersion = ""
			if version, err := o.version(newest); err == nil {
				component.ServiceVersion = version
			}
		}
	}
}

func (k upgrade) undo(c *appsv1.Cluster) {
	for _, name := range k.components() {
		if component := spec(c, name); component != nil {
			last := k.last(name)
			component.ServiceVersion, component.ComponentDef = last.ServiceVersion, last.ComponentDefinitionName
		}
	}
}

// progress counts the instances that have no version or definition of their own.
func (k upgrade) progress(o *Observed, component string) work {
	c := spec(o.Cluster, component)
	out := whole(o, component)
	if slices.ContainsFunc(c.Instances, ownVersion) {
		out = rolling(o, component, func(i *workloadsv1.InstanceStatus) bool {
			t := template(c, i.TemplateName)
			return t == nil || !ownVersion(*t)
		})
	}
	if have := o.component(component); have != nil && k.otherDefinition(o, component, have.Spec.CompDef) {
		out.settled = false
	}
	return out
}

// otherDefinition tells whether the operation names a definition, and it isn't the one that is used. What it names
// may also be a pattern, of which this can't be told.
func (k upgrade) otherDefinition(o *Observed, component, used string) bool {
	return slices.ContainsFunc(k.entries(), func(u opsv1.UpgradeComponent) bool {
		return u.ComponentName == component && u.ComponentDefinitionName != nil && *u.ComponentDefinitionName != used &&
			slices.ContainsFunc(o.Catalog.Definitions, func(d appsv1.ComponentDefinition) bool { return d.Name == *u.ComponentDefinitionName })
	})
}

func ownVersion(t appsv1.InstanceTemplate) bool { return t.ServiceVersion != "" || t.CompDef != "" }
