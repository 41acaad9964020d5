package cluster

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	dataprotectionv1alpha1 "github.com/sextantdb/sextant/operator/api/dataprotection/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/catalog"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// load observes the tree of a cluster.
func (r *reconciler) load(ctx context.Context, c *appsv1.Cluster) (*Tree, error) {
	var (
		definitions appsv1.ClusterDefinitionList
		components  appsv1.ComponentDefinitionList
		versions    appsv1.ComponentVersionList
		live        appsv1.ComponentList
		services    corev1.ServiceList
		sets        workloadsv1.InstanceSetList
		backups     dataprotectionv1alpha1.BackupList
	)
	here := client.InNamespace(c.Namespace)
	ours := client.MatchingLabels{naming.LabelInstance: c.Name}
	get := func(list client.ObjectList, opts ...client.ListOption) error {
		if err := r.client.List(ctx, list, opts...); err != nil {
			return fmt.Errorf("list %T for Cluster %s: %w", list, c.Name, err)
		}
		return nil
	}
	if err := get(&definitions); err != nil {
		return nil, err
	}
	if err := get(&components); err != nil {
		return nil, err
	}
	if err := get(&versions); err != nil {
		return nil, err
	}
	if err := get(&live, here, ours); err != nil {
		return nil, err
	}
	if err := get(&services, here, ours); err != nil {
		return nil, err
	}
	if servesPods(c) {
		if err := get(&sets, here, ours); err != nil {
			return nil, err
		}
	}
	if c.DeletionTimestamp != nil {
		if err := get(&backups, here); err != nil {
			return nil, err
		}
	}
	t := &Tree{
		Now: r.now(), Cluster: c,
		ClusterDefinitions: definitions.Items, Definitions: components.Items, Versions: versions.Items,
		Components: slices.DeleteFunc(live.Items, func(o appsv1.Component) bool { return !metav1.IsControlledBy(&o, c) }),
		Services:   slices.DeleteFunc(services.Items, func(o corev1.Service) bool { return !metav1.IsControlledBy(&o, c) }),
		Sets:       sets.Items, Backups: backups.Items,
	}
	return t, r.loadMemory(ctx, t)
}

// loadMemory asks nodes how much memory they need, where their limit becomes lower.
func (r *reconciler) loadMemory(ctx context.Context, t *Tree) error {
	if t.Cluster.DeletionTimestamp != nil {
		return nil
	}
	accepted := memory.Accepted(t.Cluster.Annotations)
	for i := range t.Cluster.Spec.ComponentSpecs {
		spec := &t.Cluster.Spec.ComponentSpecs[i]
		live := t.component(spec.Name)
		if live == nil || !memory.Lowers(&live.Spec.Settings, &spec.Settings, accepted) {
			continue
		}
		instances, err := nodes.Measure(ctx, r.options.Nodes, r.client, live, r.options.ClusterDomain)
		if err != nil {
			return fmt.Errorf("component %s: find out how much memory it needs: %w", spec.Name, err)
		}
		if t.Memory == nil {
			t.Memory = map[string][]memory.Instance{}
		}
		t.Memory[spec.Name] = instances
	}
	return nil
}

// servesPods tells whether a service of the cluster is made for each pod.
func servesPods(c *appsv1.Cluster) bool {
	return slices.ContainsFunc(c.Spec.Services, func(s appsv1.ClusterService) bool { return s.PodService != nil && *s.PodService })
}

// ofInstanceSet returns the cluster of an InstanceSet, where it makes a service for each pod.
func (r *reconciler) ofInstanceSet(ctx context.Context, set client.Object) []ctrl.Request {
	key := types.NamespacedName{Namespace: set.GetNamespace(), Name: set.GetLabels()[naming.LabelInstance]}
	c := &appsv1.Cluster{}
	if err := r.client.Get(ctx, key, c); err != nil {
		if client.IgnoreNotFound(err) != nil {
			log.FromContext(ctx).Error(err, "Get the Cluster of an InstanceSet", "cluster", key)
		}
		return nil
	}
	if !servesPods(c) {
		return nil
	}
	return []ctrl.Request{{NamespacedName: key}}
}

// ofClusterDefinition returns the clusters of a ClusterDefinition.
func (r *reconciler) ofClusterDefinition(ctx context.Context, definition client.Object) []ctrl.Request {
	return r.clusters(ctx, func(c *appsv1.Cluster, _ []string) bool { return c.Spec.ClusterDef == definition.GetName() })
}

// ofComponentDefinition returns the clusters that use a ComponentDefinition, or may wait for it.
func (r *reconciler) ofComponentDefinition(ctx context.Context, definition client.Object) []ctrl.Request {
	return r.clusters(ctx, func(_ *appsv1.Cluster, used []string) bool { return slices.Contains(used, definition.GetName()) })
}

// ofComponentVersion returns the clusters that use a ComponentVersion, or may wait for it.
func (r *reconciler) ofComponentVersion(ctx context.Context, object client.Object) []ctrl.Request {
	v, ok := object.(*appsv1.ComponentVersion)
	if !ok {
		return nil
	}
	return r.clusters(ctx, func(_ *appsv1.Cluster, used []string) bool {
		return slices.ContainsFunc(used, func(definition string) bool { return catalog.Fits(v, definition) })
	})
}

// clusters returns those whose spec isn't followed yet, and those that are picked. Pick is given the
// definitions that the components of the cluster use.
func (r *reconciler) clusters(ctx context.Context, pick func(c *appsv1.Cluster, used []string) bool) []ctrl.Request {
	var all appsv1.ClusterList
	var components appsv1.ComponentList
	for _, list := range []client.ObjectList{&all, &components} {
		if err := r.client.List(ctx, list); err != nil {
			log.FromContext(ctx).Error(err, "List what uses a definition that has changed")
			return nil
		}
	}
	used := map[types.NamespacedName][]string{}
	for i := range components.Items {
		c := &components.Items[i]
		key := types.NamespacedName{Namespace: c.Namespace, Name: c.Labels[naming.LabelInstance]}
		used[key] = append(used[key], c.Spec.CompDef)
		for _, template := range c.Spec.Instances {
			used[key] = append(used[key], template.CompDef)
		}
	}
	var requests []ctrl.Request
	for i := range all.Items {
		c := &all.Items[i]
		if key := client.ObjectKeyFromObject(c); !understood(c) || pick(c, used[key]) {
			requests = append(requests, ctrl.Request{NamespacedName: key})
		}
	}
	return requests
}

// understood tells whether the spec of a cluster was resolved when it was last looked at.
func understood(c *appsv1.Cluster) bool {
	return meta.IsStatusConditionTrue(c.Status.Conditions, appsv1.ConditionProvisioningStarted)
}
