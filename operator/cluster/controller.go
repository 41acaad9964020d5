package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/apply"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// Options are what the controller needs.
type Options struct {
	// Nodes asks nodes.
	Nodes nodes.Access
	// ClusterDomain ends the domain names of Kubernetes; cluster.local when empty.
	ClusterDomain string
}

const (
	// again is when a round is repeated whose object was newer on the server than in the cache.
	again = time.Second
	// measureAgain is when nodes are asked again that need more memory than they would get.
	measureAgain = time.Minute
)

// reconciler is the controller of Cluster.
type reconciler struct {
	client  client.Client
	events  events.EventRecorder
	options Options
	now     func() time.Time
}

// Register adds the controller of Cluster to a manager.
func Register(mgr ctrl.Manager, o Options) error {
	r := &reconciler{client: mgr.GetClient(), events: mgr.GetEventRecorder("cluster"), options: o, now: time.Now}
	err := ctrl.NewControllerManagedBy(mgr).Named("cluster").
		For(&appsv1.Cluster{}).
		Owns(&appsv1.Component{}).
		Owns(&corev1.Service{}).
		Watches(&workloadsv1.InstanceSet{}, handler.EnqueueRequestsFromMapFunc(r.ofInstanceSet)).
		Watches(&appsv1.ClusterDefinition{}, handler.EnqueueRequestsFromMapFunc(r.ofClusterDefinition)).
		Watches(&appsv1.ComponentDefinition{}, handler.EnqueueRequestsFromMapFunc(r.ofComponentDefinition)).
		Watches(&appsv1.ComponentVersion{}, handler.EnqueueRequestsFromMapFunc(r.ofComponentVersion)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the controller of Cluster: %w", err)
	}
	return nil
}

// Reconcile takes a cluster one round further.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	c := &appsv1.Cluster{}
	if err := r.client.Get(ctx, request.NamespacedName, c); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("get the Cluster: %w", err)
	}
	if c.DeletionTimestamp != nil && !controllerutil.ContainsFinalizer(c, naming.FinalizerCluster) {
		return ctrl.Result{}, nil
	}
	after, err := r.round(ctx, c)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: again}, nil
	}
	return ctrl.Result{RequeueAfter: after}, err
}

// round takes a cluster further. After is when to look again although nothing was heard of; 0 is never.
func (r *reconciler) round(ctx context.Context, c *appsv1.Cluster) (after time.Duration, err error) {
	t, err := r.load(ctx, c)
	if err != nil {
		return 0, err
	}
	if c.DeletionTimestamp != nil && !t.held() {
		return 0, r.remove(ctx, t)
	}
	if err := r.finalizer(ctx, c, controllerutil.AddFinalizer); err != nil {
		return 0, err
	}
	p := Make(t)
	if p.Refused != nil && p.Refused.Reason == memory.ReasonBelowNeed {
		after = measureAgain
	}
	o := r.apply(ctx, t, p)
	for _, e := range Applied(p, o) {
		r.tell(c, e)
	}
	err = r.writeStatus(ctx, t, Status(t, p, o))
	return after, errors.Join(append(slices.Collect(maps.Values(o.Errors)), err)...)
}

func (r *reconciler) tell(c *appsv1.Cluster, e Event) {
	r.events.Eventf(c, nil, e.Type, e.Reason, "Reconcile", "%s", e.Note)
}

// finalizer adds or removes the finalizer of a cluster.
func (r *reconciler) finalizer(ctx context.Context, c *appsv1.Cluster, change func(client.Object, string) bool) error {
	base := c.DeepCopy()
	if !change(c, naming.FinalizerCluster) {
		return nil
	}
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}) // the list is replaced
	if err := r.client.Patch(ctx, c, patch); err != nil {
		return fmt.Errorf("change the finalizers of Cluster %s: %w", c.Name, err)
	}
	return nil
}

// writeStatus writes the status of a cluster where it differs, then tells what has happened.
func (r *reconciler) writeStatus(ctx context.Context, t *Tree, s appsv1.ClusterStatus) error {
	if equality.Semantic.DeepEqual(s, t.Cluster.Status) {
		return nil
	}
	told := Events(t, &s)
	c := t.Cluster.DeepCopy()
	c.Status = s
	patch := client.MergeFromWithOptions(t.Cluster, client.MergeFromWithOptimisticLock{})
	if err := r.client.Status().Patch(ctx, c, patch); err != nil {
		return fmt.Errorf("write the status of Cluster %s: %w", c.Name, err)
	}
	for _, e := range told {
		r.tell(c, e)
	}
	t.Cluster = c
	return nil
}

// apply makes what a plan says, as far as it gets.
func (r *reconciler) apply(ctx context.Context, t *Tree, p *Plan) *Outcome {
	o := &Outcome{Changed: map[string]bool{}, Waiting: map[string]string{}, Errors: map[string]error{}}
	settled := map[string]bool{}
	for _, c := range p.Components {
		live := t.component(c.Name)
		if wait := waitsFor(t, &c, settled); wait != "" {
			o.Waiting[c.Name] = fmt.Sprintf("waits for component %s, which comes before it in the orders of the topology", wait)
			continue
		}
		changed, err := apply.Owned(ctx, r.client, t.Cluster, c.Object)
		if err != nil {
			o.Errors[c.Name] = err
			continue
		}
		// Annotations aren't followed, they are there.
		o.Changed[c.Name] = changed && (live == nil || !equality.Semantic.DeepEqual(live.Spec, c.Object.Spec))
		settled[c.Name] = !o.Changed[c.Name] && live != nil && live.Status.ObservedGeneration == live.Generation && atRest(live)
	}
	var wrong []error
	for _, s := range p.Services {
		if _, err := apply.Owned(ctx, r.client, t.Cluster, s); err != nil {
			wrong = append(wrong, err)
		}
	}
	for i := range p.Superfluous {
		wrong = append(wrong, r.delete(ctx, &p.Superfluous[i]))
	}
	if err := errors.Join(wrong...); err != nil {
		o.Errors[""] = err
	}
	return o
}

// waitsFor returns the component for which another one waits, if any.
func waitsFor(t *Tree, c *Component, settled map[string]bool) string {
	for _, name := range c.Awaits {
		if live := t.component(name); live == nil || !atRest(live) {
			return name
		}
	}
	for _, name := range c.Follows {
		if t.component(name) != nil && !settled[name] {
			return name
		}
	}
	return ""
}

// atRest tells whether a Component is as it should be.
func atRest(c *appsv1.Component) bool {
	return c.Status.Phase == appsv1.ComponentRunning || c.Status.Phase == appsv1.ComponentStopped
}

// remove takes the next step in taking a cluster down.
func (r *reconciler) remove(ctx context.Context, t *Tree) error {
	next := Remove(t)
	if err := r.writeStatus(ctx, t, removing(t, next)); err != nil {
		return err
	}
	var wrong []error
	for i := range next.Retarget {
		c := &next.Retarget[i]
		base := c.DeepCopy()
		c.Spec.TerminationPolicy = t.Cluster.Spec.TerminationPolicy
		if err := r.client.Patch(ctx, c, client.MergeFrom(base)); client.IgnoreNotFound(err) != nil {
			wrong = append(wrong, fmt.Errorf("change the termination policy of Component %s: %w", c.Name, err))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return err // nothing goes by a policy that no longer holds
	}
	for i := range next.Services {
		wrong = append(wrong, r.delete(ctx, &next.Services[i]))
	}
	for i := range next.Components {
		wrong = append(wrong, r.delete(ctx, &next.Components[i]))
	}
	for i := range next.Backups {
		wrong = append(wrong, r.delete(ctx, &next.Backups[i]))
	}
	if err := errors.Join(wrong...); err != nil || len(next.Awaits) > 0 {
		return err
	}
	return client.IgnoreNotFound(r.finalizer(ctx, t.Cluster, controllerutil.RemoveFinalizer))
}

// delete deletes an object; what it owns goes after it.
func (r *reconciler) delete(ctx context.Context, object client.Object) error {
	return apply.Delete(ctx, r.client, object, client.PropagationPolicy(metav1.DeletePropagationBackground))
}
