package component

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// workers is how many components are looked at at the same time: a round asks nodes, and those of one component may be slow.
const workers = 4

// Register adds the controller to a manager.
func Register(mgr ctrl.Manager, o Options) error {
	r := &reconciler{
		Client: mgr.GetClient(), live: mgr.GetAPIReader(), events: mgr.GetEventRecorder("component"), now: time.Now, o: o,
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("component").
		For(&appsv1.Component{}).
		Owns(&workloadsv1.InstanceSet{}).
		Owns(&corev1.Service{}, builder.WithPredicates(specChanges())).
		Owns(&corev1.ConfigMap{}).
		Owns(&corev1.Secret{}).
		Owns(&corev1.ServiceAccount{}).
		Owns(&rbacv1.RoleBinding{}).
		Owns(&policyv1.PodDisruptionBudget{}, builder.WithPredicates(specChanges())).
		Owns(&networkingv1.NetworkPolicy{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(ofPod), builder.WithPredicates(podChanges())).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(r.ofService)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.ofSecret)).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.ofTemplate)).
		Watches(&appsv1.ComponentDefinition{}, handler.EnqueueRequestsFromMapFunc(r.ofDefinition), builder.WithPredicates(specChanges())).
		Watches(&appsv1.ComponentVersion{}, handler.EnqueueRequestsFromMapFunc(r.all), builder.WithPredicates(specChanges())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("controller of components: %w", err)
	}
	return nil
}

// specChanges passes over changes of status alone.
func specChanges() predicate.Predicate {
	return predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{})
}

// podChanges passes over what matters neither for whom to join nor for whether clients are served.
func podChanges() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*corev1.Pod)
		after, ok2 := e.ObjectNew.(*corev1.Pod)
		return !ok || !ok2 || nodes.Ready(before) != nodes.Ready(after) || before.Status.PodIP != after.Status.PodIP ||
			before.Labels[naming.LabelRole] != after.Labels[naming.LabelRole] || (before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil)
	}}
}

// ofPod is the component of a pod.
func ofPod(_ context.Context, object client.Object) []reconcile.Request {
	l := object.GetLabels()
	if l[naming.LabelManagedBy] != naming.ManagedBy || l[naming.LabelInstance] == "" || l[naming.LabelComponentName] == "" {
		return nil
	}
	key := client.ObjectKey{Namespace: object.GetNamespace(), Name: naming.Component(l[naming.LabelInstance], l[naming.LabelComponentName])}
	return []reconcile.Request{{NamespacedName: key}}
}

// ofTemplate are the components whose definition has files from a ConfigMap.
func (r *reconciler) ofTemplate(ctx context.Context, object client.Object) []reconcile.Request {
	definitions := &appsv1.ComponentDefinitionList{}
	if err := r.List(ctx, definitions); err != nil {
		return nil // the lists are those of the cache, which doesn't fail
	}
	var names []string
	for i := range definitions.Items {
		d := &definitions.Items[i]
		if slices.ContainsFunc(slices.Concat(d.Spec.Configs, d.Spec.Scripts), func(t appsv1.FileTemplate) bool {
			return r.templateOf(&t) == client.ObjectKeyFromObject(object)
		}) {
			names = append(names, d.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return r.where(ctx, func(c *appsv1.Component) bool {
		return slices.ContainsFunc(names, func(name string) bool { return uses(c, name) })
	})
}

// ofService are the components with TLS that a service of their cluster reaches: its names stand in their certificate.
func (r *reconciler) ofService(ctx context.Context, object client.Object) []reconcile.Request {
	service, ok := object.(*corev1.Service)
	if !ok || service.Labels[naming.LabelInstance] == "" {
		return nil
	}
	return r.where(ctx, func(c *appsv1.Component) bool {
		return c.Namespace == service.Namespace && wantsTLS(c) && reaches(service, c)
	})
}

// ofSecret are the components that have their certificates from a Secret.
func (r *reconciler) ofSecret(ctx context.Context, object client.Object) []reconcile.Request {
	return r.where(ctx, func(c *appsv1.Component) bool {
		key, ok := certificatesOf(c)
		return ok && key == client.ObjectKeyFromObject(object)
	})
}

// ofDefinition are the components of a definition.
func (r *reconciler) ofDefinition(ctx context.Context, object client.Object) []reconcile.Request {
	return r.where(ctx, func(c *appsv1.Component) bool { return uses(c, object.GetName()) })
}

// uses tells whether a component, or some of its instances, have a definition.
func uses(c *appsv1.Component, definition string) bool {
	return c.Spec.CompDef == definition ||
		slices.ContainsFunc(c.Spec.Instances, func(t appsv1.InstanceTemplate) bool { return t.CompDef == definition })
}

func (r *reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.where(ctx, func(*appsv1.Component) bool { return true })
}

// where lists the components that something holds for.
func (r *reconciler) where(ctx context.Context, holds func(*appsv1.Component) bool) []reconcile.Request {
	components := &appsv1.ComponentList{}
	if err := r.List(ctx, components); err != nil {
		return nil
	}
	var requests []reconcile.Request
	for i := range components.Items {
		if c := &components.Items[i]; holds(c) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(c)})
		}
	}
	return requests
}
