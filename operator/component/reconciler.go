package component

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/apply"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// Options are what the controller needs.
type Options struct {
	// Nodes asks nodes.
	Nodes nodes.Access
	// Namespace is the operator's own: templates of files are there, and agents answer only to it.
	Namespace string
	// ClusterDomain ends the domain names of Kubernetes; cluster.local when empty.
	ClusterDomain string
	// NetworkPolicies says that each component gets one.
	NetworkPolicies bool
}

// reconciler carries out plans.
type reconciler struct {
	client.Client
	// live reads from the API server, not from the cache: what must not be older than it is.
	live   client.Reader
	events events.EventRecorder
	now    func() time.Time
	o      Options
}

// stale is how soon a component is looked at again that turned out to be newer than what was read.
const stale = 200 * time.Millisecond

// Reconcile looks at a component and does what is next.
func (r *reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	result, err := r.reconcile(ctx, req)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: stale}, nil
	}
	return result, err
}

func (r *reconciler) reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	c := &appsv1.Component{}
	if err := r.Get(ctx, req.NamespacedName, c); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("component %s: %w", req, err)
	}
	if c.DeletionTimestamp != nil {
		return ctrl.Result{}, r.remove(ctx, c)
	}
	if !controllerutil.ContainsFinalizer(c, naming.FinalizerComponent) {
		before := c.DeepCopy()
		controllerutil.AddFinalizer(c, naming.FinalizerComponent)
		if err := r.Patch(ctx, c, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return ctrl.Result{}, fmt.Errorf("component %s: add the finalizer: %w", req, err)
		}
	}
	o, err := r.observe(ctx, c)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("component %s: %w", req, err)
	}
	return r.follow(ctx, o)
}

// follow carries out what is planned for what was observed.
func (r *reconciler) follow(ctx context.Context, o *Observed) (ctrl.Result, error) {
	key := client.ObjectKeyFromObject(o.Component)
	plan := Build(o)
	for ; plan.Record != nil; plan = Build(o) {
		status := o.Component.Status.DeepCopy()
		status.Bootstrap = plan.Record
		if err := r.patchStatus(ctx, o.Component, status); err != nil {
			return ctrl.Result{}, fmt.Errorf("component %s: record how the cluster is founded: %w", key, err)
		}
	}
	changed, err := r.apply(ctx, o.Component, plan)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("component %s: %w", key, err)
	}
	status, after := Status(o, plan, plan.Pending || changed)
	if err := r.patchStatus(ctx, o.Component, &status); err != nil {
		return ctrl.Result{}, fmt.Errorf("component %s: status: %w", key, err)
	}
	return ctrl.Result{RequeueAfter: sooner(after, plan.After)}, nil
}

// apply applies the objects of a plan, and removes what is left over. It tells whether the InstanceSet changed.
func (r *reconciler) apply(ctx context.Context, c *appsv1.Component, plan *Plan) (set bool, err error) {
	if plan.Refused {
		return false, nil
	}
	for _, object := range plan.Objects {
		changed, err := apply.Owned(ctx, r.Client, c, object)
		if err != nil {
			return false, err
		}
		if _, ok := object.(*workloadsv1.InstanceSet); ok && changed {
			set = true
		}
	}
	return set, r.sweep(ctx, c, plan.Objects)
}

// patchStatus writes a status that differs, and tells of what changed.
func (r *reconciler) patchStatus(ctx context.Context, c *appsv1.Component, status *appsv1.ComponentStatus) error {
	if equality.Semantic.DeepEqual(&c.Status, status) {
		return nil
	}
	before := c.DeepCopy()
	c.Status = *status.DeepCopy()
	if err := r.Status().Patch(ctx, c, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		c.Status = before.Status
		return err
	}
	for _, e := range happened(&before.Status, status) {
		r.events.Eventf(c, nil, e.Type, e.Reason, "Reconcile", "%s", e.Message)
	}
	return nil
}

// sweep removes what the component has and should not have any more.
func (r *reconciler) sweep(ctx context.Context, c *appsv1.Component, keep []client.Object) error {
	kept := map[string]bool{}
	for _, object := range keep {
		kept[fmt.Sprintf("%T/%s", object, object.GetName())] = true
	}
	for _, list := range sweepable() {
		if err := r.List(ctx, list, client.InNamespace(c.Namespace), client.MatchingLabels(labelsOf(c))); err != nil {
			return fmt.Errorf("look for what is left over: %w", err)
		}
		for object, err := range objects(list) {
			if err != nil {
				return fmt.Errorf("look for what is left over: %w", err)
			}
			if kept[fmt.Sprintf("%T/%s", object, object.GetName())] || !metav1.IsControlledBy(object, c) || object.GetDeletionTimestamp() != nil {
				continue
			}
			if err := apply.Delete(ctx, r.Client, object); err != nil {
				return fmt.Errorf("remove what is left over: %w", err)
			}
		}
	}
	return nil
}

// remove takes the InstanceSet away, which takes pods and claims with it, and lets the component go then. All else goes by its owner
// reference.
func (r *reconciler) remove(ctx context.Context, c *appsv1.Component) error {
	if !controllerutil.ContainsFinalizer(c, naming.FinalizerComponent) {
		return nil
	}
	key := client.ObjectKeyFromObject(c)
	status := c.Status.DeepCopy()
	status.Phase, status.ObservedGeneration = appsv1.ComponentDeleting, c.Generation
	if err := r.patchStatus(ctx, c, status); err != nil {
		return fmt.Errorf("component %s: status: %w", key, err)
	}
	set := &workloadsv1.InstanceSet{}
	switch err := r.live.Get(ctx, key, set); {
	case err == nil && metav1.IsControlledBy(set, c):
		if set.DeletionTimestamp == nil {
			if err := apply.Delete(ctx, r.Client, set); err != nil {
				return fmt.Errorf("component %s: remove its instances: %w", key, err)
			}
		}
		if err := r.live.Get(ctx, key, set); !apierrors.IsNotFound(err) {
			return client.IgnoreNotFound(err) // its end brings the component here again
		}
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("component %s: look for its instances: %w", key, err)
	}
	before := c.DeepCopy()
	controllerutil.RemoveFinalizer(c, naming.FinalizerComponent)
	if err := r.Patch(ctx, c, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("component %s: let it go: %w", key, err)
	}
	return nil
}
