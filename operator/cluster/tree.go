// Package cluster makes Components and services from a Cluster, tells how it is, and takes it down.
//
// The pure part looks at a Tree, everything that was observed: Make says which objects there
// should be, Remove what goes next when the cluster is deleted, and Status what the user is told.
// The controller loads the tree, applies, and writes the status where it differs. Nothing is
// remembered between two rounds: what was chosen for a component (its definition, and its version
// where the user left it out) stands in its Component.
//
// Callers: the manager of the operator.
package cluster

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	dataprotectionv1alpha1 "github.com/sextantdb/sextant/operator/api/dataprotection/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
)

// Tree is a cluster and everything around it that matters, as it was observed.
type Tree struct {
	Now     time.Time
	Cluster *appsv1.Cluster

	// ClusterDefinitions, Definitions and Versions are all that there are.
	ClusterDefinitions []appsv1.ClusterDefinition
	Definitions        []appsv1.ComponentDefinition
	Versions           []appsv1.ComponentVersion

	// Components and Services are those that the cluster owns.
	Components []appsv1.Component
	Services   []corev1.Service

	// Memory is what the nodes of components need, by name of the component; only loaded where a limit becomes
	// lower.
	Memory map[string][]memory.Instance
	// Sets are the InstanceSets of the cluster; only loaded when a service is made for each pod.
	Sets []workloadsv1.InstanceSet
	// Backups are those of the namespace; only loaded when the cluster is deleted.
	Backups []dataprotectionv1alpha1.Backup
}

// component returns the Component of a component, or nil.
func (t *Tree) component(name string) *appsv1.Component {
	name = naming.Component(t.Cluster.Name, name)
	i := slices.IndexFunc(t.Components, func(c appsv1.Component) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Components[i]
}

// set returns the InstanceSet of a component, or nil.
func (t *Tree) set(name string) *workloadsv1.InstanceSet {
	name = naming.Component(t.Cluster.Name, name)
	i := slices.IndexFunc(t.Sets, func(s workloadsv1.InstanceSet) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Sets[i]
}

// definition returns the cluster definition, or nil when there is none of its name.
func (t *Tree) definition() *appsv1.ClusterDefinition {
	i := slices.IndexFunc(t.ClusterDefinitions, func(d appsv1.ClusterDefinition) bool { return d.Name == t.Cluster.Spec.ClusterDef })
	if i < 0 {
		return nil
	}
	return &t.ClusterDefinitions[i]
}

// held tells whether a cluster that was deleted stays, because its policy says so.
func (t *Tree) held() bool {
	return t.Cluster.DeletionTimestamp != nil && t.Cluster.Spec.TerminationPolicy == appsv1.DoNotTerminate
}

// owner is a component of the cluster for names and labels.
func (t *Tree) owner(component string) naming.Owner {
	return naming.Owner{Cluster: t.Cluster.Name, Component: component}
}

// before returns the components that come before one in an order. Those that stand in no order
// wait for nobody.
func before(order []string, component string) []string {
	var earlier []string
	for _, step := range order {
		names := strings.Split(step, ",")
		if slices.Contains(names, component) {
			return earlier
		}
		earlier = append(earlier, names...)
	}
	return nil
}
