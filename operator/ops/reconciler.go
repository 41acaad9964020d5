package ops

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/apply"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

const (
	controllerName = "ops"
	// markOwner is under whose name marks for rebuilds are: the rest of an InstanceSet is the component's.
	markOwner = client.FieldOwner("sextant-ops")
	// indexCluster finds operations by the cluster that they name.
	indexCluster = "spec.clusterName"
	// again is when to look again after another writer was faster.
	again = time.Second
)

// Options are what the controller of operations needs.
type Options struct {
	// Nodes carries out switchovers.
	Nodes nodes.Access
	// ClusterDomain is the domain of Kubernetes services.
	ClusterDomain string
}

// Register adds the controller of operations to a manager.
func Register(mgr ctrl.Manager, o Options) error {
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &opsv1.OpsRequest{}, indexCluster, clusterNameOf); err != nil {
		return fmt.Errorf("index operations by cluster: %w", err)
	}
	r := &reconciler{client: mgr.GetClient(), events: mgr.GetEventRecorder(controllerName), options: o, now: time.Now}
	ofInstance := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		name := object.GetLabels()[naming.LabelInstance]
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
	})
	err := ctrl.NewControllerManagedBy(mgr).Named(controllerName).
		Watches(&opsv1.OpsRequest{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: clusterNameOf(object)[0]}}}
		})).
		Watches(&appsv1.Cluster{}, &handler.EnqueueRequestForObject{}).
		Watches(&appsv1.Component{}, ofInstance).
		Watches(&workloadsv1.InstanceSet{}, ofInstance).
		Watches(&corev1.PersistentVolumeClaim{}, ofInstance).
		Watches(&corev1.Service{}, ofInstance).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the controller of operations: %w", err)
	}
	return nil
}

func clusterNameOf(object client.Object) []string {
	if op, ok := object.(*opsv1.OpsRequest); ok {
		return []string{op.Spec.ClusterName}
	}
	return []string{""}
}

// reconciler looks after the operations of clusters. A request is the name of a cluster, not that of an
// operation: the queue belongs to the cluster, and so only one round at a time is about it.
type reconciler struct {
	client  client.Client
	events  events.EventRecorder
	options Options
	now     func() time.Time
}

// Reconcile reads a cluster and its operations, and writes what the plan says.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	o, err := r.load(ctx, request.NamespacedName)
	if err != nil || o == nil {
		return ctrl.Result{}, err
	}
	decision, err := Plan(o)
	if err == nil && len(decision.Measure) > 0 {
		if err = r.measure(ctx, o, decision.Measure); err == nil {
			decision, err = Plan(o)
		}
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	err = r.write(ctx, o, decision)
	if refusal, ok := errors.AsType[refusalError](err); ok {
		// What was written so far is what the second plan starts from.
		o.Refused = refusal.Error()
		if decision, err = Plan(o); err != nil {
			return ctrl.Result{}, err
		}
		err = r.write(ctx, o, decision)
	}
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return ctrl.Result{RequeueAfter: again}, nil
	}
	return ctrl.Result{RequeueAfter: decision.After}, err
}

// write carries out a decision. The operations that were read take on what was written.
func (r *reconciler) write(ctx context.Context, o *Observed, d *Decision) error {
	for i := range d.Ops {
		written, err := r.writeOp(ctx, &d.Ops[i])
		if err != nil {
			return err
		}
		for j := range o.Ops {
			if o.Ops[j].UID == written.UID {
				o.Ops[j] = *written
			}
		}
	}
	for _, m := range d.Marks {
		if err := r.mark(ctx, m); err != nil {
			return err
		}
	}
	if d.Cluster != nil {
		if err := r.client.Patch(ctx, d.Cluster.DeepCopy(), optimistic(o.Cluster)); apierrors.IsInvalid(err) {
			return refusalError{err}
		} else if err != nil {
			return fmt.Errorf("change cluster %s: %w", o.Key, err)
		}
	}
	for _, op := range d.Release {
		without := op.DeepCopy()
		controllerutil.RemoveFinalizer(without, naming.FinalizerOpsRequest)
		if err := r.client.Patch(ctx, without, optimistic(op)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("let go of operation %s: %w", op.Name, err)
		}
	}
	for _, op := range d.Delete {
		if err := apply.Delete(ctx, r.client, op); err != nil {
			return err
		}
	}
	for _, e := range d.Events {
		r.events.Eventf(e.Op, nil, e.Type, e.Reason, string(e.Op.Spec.Type), "%s", e.Message)
	}
	return nil
}

// writeOp writes the metadata and the status of an operation, as far as they change, and returns what is stored.
func (r *reconciler) writeOp(ctx context.Context, w *Write) (*opsv1.OpsRequest, error) {
	was, now := w.Was, w.Now.DeepCopy()
	if !equality.Semantic.DeepEqual(was.ObjectMeta, now.ObjectMeta) {
		meta := now.DeepCopy()
		if err := r.client.Patch(ctx, meta, optimistic(was)); err != nil {
			return nil, fmt.Errorf("receive operation %s: %w", now.Name, err)
		}
		was = meta.DeepCopy()
		meta.Status = now.Status
		now = meta
	}
	if equality.Semantic.DeepEqual(was.Status, now.Status) {
		return now, nil
	}
	if err := r.client.Status().Patch(ctx, now, optimistic(was)); err != nil {
		return nil, fmt.Errorf("write the status of operation %s: %w", now.Name, err)
	}
	return now, nil
}

// mark writes the annotation for rebuilds of an InstanceSet, unless the set has changed since it was read.
func (r *reconciler) mark(ctx context.Context, m Mark) error {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(workloadsv1.GroupVersion.WithKind("InstanceSet"))
	u.SetNamespace(m.Set.Namespace)
	u.SetName(m.Set.Name)
	u.SetUID(m.Set.UID)
	u.SetResourceVersion(m.Set.ResourceVersion)
	u.SetAnnotations(map[string]string{naming.AnnotationRebuild: m.Annotation})
	if err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), markOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("mark InstanceSet %s for a rebuild: %w", m.Set.Name, err)
	}
	return nil
}

// optimistic is a patch that is refused when the object has changed since it was read. The object that is
// patched must be another one.
func optimistic(was client.Object) client.Patch {
	return client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})
}
