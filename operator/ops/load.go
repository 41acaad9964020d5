package ops

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// refusalError is the API server's no to a change of a Cluster: trying again is no use.
type refusalError struct{ error }

func (e refusalError) Unwrap() error { return e.error }

// load reads a cluster with its operations and what they need; nil when there are no operations.
func (r *reconciler) load(ctx context.Context, key types.NamespacedName) (*Observed, error) {
	var list opsv1.OpsRequestList
	if err := r.client.List(ctx, &list, client.InNamespace(key.Namespace), client.MatchingFields{indexCluster: key.Name}); err != nil {
		return nil, fmt.Errorf("list the operations of cluster %s: %w", key, err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	o := &Observed{Now: r.now(), Key: key, Ops: list.Items, Cluster: &appsv1.Cluster{}}
	if found, err := r.get(ctx, key, o.Cluster); err != nil {
		return nil, err
	} else if !found {
		o.Cluster = nil
	}
	open := slices.DeleteFunc(slices.Clone(list.Items), func(op opsv1.OpsRequest) bool { return op.Status.Phase.Finished() })
	if o.Cluster == nil || len(open) == 0 {
		return o, nil
	}
	for _, load := range []func(context.Context, *Observed, []opsv1.OpsRequest) error{
		r.loadComponents, r.loadServices, r.loadClasses, r.loadMachines, r.loadCatalog, r.act,
	} {
		if err := load(ctx, o, open); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// get reads an object, and tells whether there is one.
func (r *reconciler) get(ctx context.Context, key types.NamespacedName, object client.Object) (bool, error) {
	if err := r.client.Get(ctx, key, object); apierrors.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read %T %s: %w", object, key, err)
	}
	return true, nil
}

func (r *reconciler) loadComponents(ctx context.Context, o *Observed, _ []opsv1.OpsRequest) error {
	for _, name := range componentNames(o.Cluster) {
		key := types.NamespacedName{Namespace: o.Key.Namespace, Name: naming.Component(o.Key.Name, name)}
		var component appsv1.Component
		if found, err := r.get(ctx, key, &component); err != nil {
			return err
		} else if found {
			o.Components = append(o.Components, component)
		}
		var set workloadsv1.InstanceSet
		if found, err := r.get(ctx, key, &set); err != nil {
			return err
		} else if found {
			o.Sets = append(o.Sets, set)
		}
	}
	var claims corev1.PersistentVolumeClaimList
	if err := r.client.List(ctx, &claims, client.InNamespace(o.Key.Namespace), client.MatchingLabels{naming.LabelInstance: o.Key.Name}); err != nil {
		return fmt.Errorf("list the claims of cluster %s: %w", o.Key, err)
	}
	o.Claims = claims.Items
	return nil
}

// loadServices reads the services that are to be made or removed, whomever they belong to.
func (r *reconciler) loadServices(ctx context.Context, o *Observed, open []opsv1.OpsRequest) error {
	for i := range open {
		for _, e := range open[i].Spec.Expose {
			for _, s := range e.Services {
				name := naming.ClusterService(o.Key.Name, naming.ExposedService(e.ComponentName, s.Name), "")
				var service corev1.Service
				if o.service(name) != nil {
					continue
				}
				if found, err := r.get(ctx, types.NamespacedName{Namespace: o.Key.Namespace, Name: name}, &service); err != nil {
					return err
				} else if found {
					o.Services = append(o.Services, service)
				}
			}
		}
	}
	return nil
}

func (r *reconciler) loadClasses(ctx context.Context, o *Observed, open []opsv1.OpsRequest) error {
	if !some(open, opsv1.VolumeExpansion) {
		return nil
	}
	var classes storagev1.StorageClassList
	if err := r.client.List(ctx, &classes); err != nil {
		return fmt.Errorf("list the storage classes: %w", err)
	}
	o.Classes = classes.Items
	return nil
}

// loadMachines looks for the machines that instances are to be rebuilt on.
func (r *reconciler) loadMachines(ctx context.Context, o *Observed, open []opsv1.OpsRequest) error {
	for i := range open {
		for _, of := range open[i].Spec.RebuildFrom {
			for _, instance := range of.Instances {
				name := instance.TargetNodeName
				if name == "" || slices.Contains(o.Machines, name) {
					continue
				}
				if found, err := r.get(ctx, types.NamespacedName{Name: name}, &corev1.Node{}); err != nil {
					return err
				} else if found {
					o.Machines = append(o.Machines, name)
				}
			}
		}
	}
	return nil
}

func (r *reconciler) loadCatalog(ctx context.Context, o *Observed, open []opsv1.OpsRequest) error {
	if !some(open, opsv1.Upgrade) {
		return nil
	}
	if name := o.Cluster.Spec.ClusterDef; name != "" {
		var definition appsv1.ClusterDefinition
		if found, err := r.get(ctx, types.NamespacedName{Name: name}, &definition); err != nil {
			return err
		} else if found {
			o.Catalog.ClusterDefinition = &definition
		}
	}
	var definitions appsv1.ComponentDefinitionList
	if err := r.client.List(ctx, &definitions); err != nil {
		return fmt.Errorf("list the component definitions: %w", err)
	}
	var versions appsv1.ComponentVersionList
	if err := r.client.List(ctx, &versions); err != nil {
		return fmt.Errorf("list the component versions: %w", err)
	}
	o.Catalog.Definitions, o.Catalog.Versions = definitions.Items, versions.Items
	return nil
}

func some(ops []opsv1.OpsRequest, t opsv1.OpsType) bool {
	return slices.ContainsFunc(ops, func(op opsv1.OpsRequest) bool { return op.Spec.Type == t })
}

// act asks the agents for the actions of switchovers that are under way.
func (r *reconciler) act(ctx context.Context, o *Observed, open []opsv1.OpsRequest) error {
	for i := range open {
		action := NextAction(&open[i])
		if action == nil {
			continue
		}
		outcome := Outcome{Component: action.Component, Pod: action.Pod}
		if err := r.ask(ctx, o, action, &outcome); err != nil {
			outcome.Unreachable = strings.TrimSpace(err.Error())
		}
		if o.Outcomes == nil {
			o.Outcomes = map[types.UID]Outcome{}
		}
		o.Outcomes[open[i].UID] = outcome
	}
	return nil
}

// measure asks nodes how much memory they need.
func (r *reconciler) measure(ctx context.Context, o *Observed, components []string) error {
	o.Memory = map[string][]memory.Instance{}
	for _, name := range components {
		instances, err := nodes.Measure(ctx, r.options.Nodes, r.client, o.component(name), r.options.ClusterDomain)
		if err != nil {
			return fmt.Errorf("find out how much memory component %s needs: %w", name, err)
		}
		o.Memory[name] = instances
	}
	return nil
}

// ask has the agent of a pod carry out an action, or tell how it goes.
func (r *reconciler) ask(ctx context.Context, o *Observed, action *Action, outcome *Outcome) error {
	component := o.component(action.Component)
	if component == nil {
		return fmt.Errorf("component %s is not there yet", action.Component)
	}
	var pods corev1.PodList
	selector := client.MatchingLabels(naming.PodSelector(naming.Owner{Cluster: o.Key.Name, Component: action.Component}))
	if err := r.client.List(ctx, &pods, client.InNamespace(o.Key.Namespace), selector); err != nil {
		return fmt.Errorf("list the pods of component %s: %w", action.Component, err)
	}
	whole, err := nodes.Of(ctx, r.client, component, pods.Items, r.options.ClusterDomain)
	if err != nil {
		return fmt.Errorf("reach the nodes of component %s: %w", action.Component, err)
	}
	i := slices.IndexFunc(whole.Pods, func(p nodes.Pod) bool { return p.Name == action.Pod })
	if i < 0 {
		return fmt.Errorf("pod %s has no address", action.Pod)
	}
	out, err := r.options.Nodes.Act(ctx, whole, whole.Pods[i], action.Name, action.Parameters)
	if err != nil {
		return fmt.Errorf("ask the agent of %s: %w", action.Pod, err)
	}
	outcome.Done, outcome.Word, outcome.Message = out.Done, out.Word, out.Message
	return nil
}
