package catalog

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// Options of the controllers.
type Options struct{}

// controllers share what they need.
type controllers struct {
	client client.Client
	events events.EventRecorder
}

// Register adds the controllers of ClusterDefinition, ComponentDefinition and ComponentVersion to a
// manager.
func Register(mgr ctrl.Manager, _ Options) error {
	c := &controllers{client: mgr.GetClient(), events: mgr.GetEventRecorder("catalog")}
	if err := ctrl.NewControllerManagedBy(mgr).Named("componentdefinition").
		For(&appsv1.ComponentDefinition{}).
		Complete(reconcile.Func(c.componentDefinition)); err != nil {
		return fmt.Errorf("set up the controller of ComponentDefinition: %w", err)
	}
	if err := ctrl.NewControllerManagedBy(mgr).Named("clusterdefinition").
		For(&appsv1.ClusterDefinition{}).
		Watches(&appsv1.ComponentDefinition{}, handler.EnqueueRequestsFromMapFunc(c.allClusterDefinitions)).
		Complete(reconcile.Func(c.clusterDefinition)); err != nil {
		return fmt.Errorf("set up the controller of ClusterDefinition: %w", err)
	}
	if err := ctrl.NewControllerManagedBy(mgr).Named("componentversion").
		For(&appsv1.ComponentVersion{}).
		Watches(&appsv1.ComponentDefinition{}, handler.EnqueueRequestsFromMapFunc(c.allComponentVersions)).
		Complete(reconcile.Func(c.componentVersion)); err != nil {
		return fmt.Errorf("set up the controller of ComponentVersion: %w", err)
	}
	return nil
}

func (c *controllers) componentDefinition(ctx context.Context, r ctrl.Request) (ctrl.Result, error) {
	d := &appsv1.ComponentDefinition{}
	if err := c.client.Get(ctx, r.NamespacedName, d); err != nil {
		return ctrl.Result{}, missing("ComponentDefinition", err)
	}
	want, seen, err := checkComponentDefinition(d)
	if err != nil {
		return ctrl.Result{}, err
	}
	// Remembered before the definition is said to be available: what was used is known.
	if err := c.annotate(ctx, d, naming.AnnotationSpecSeen, seen); err != nil {
		return ctrl.Result{}, err
	}
	base := d.DeepCopy()
	d.Status = want
	return ctrl.Result{}, c.patchStatus(ctx, d, base, d.Status, base.Status)
}

func (c *controllers) clusterDefinition(ctx context.Context, r ctrl.Request) (ctrl.Result, error) {
	d := &appsv1.ClusterDefinition{}
	if err := c.client.Get(ctx, r.NamespacedName, d); err != nil {
		return ctrl.Result{}, missing("ClusterDefinition", err)
	}
	defs, err := c.definitions(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	base := d.DeepCopy()
	d.Status = checkClusterDefinition(d, defs)
	return ctrl.Result{}, c.patchStatus(ctx, d, base, d.Status.DefinitionStatus, base.Status.DefinitionStatus)
}

func (c *controllers) componentVersion(ctx context.Context, r ctrl.Request) (ctrl.Result, error) {
	v := &appsv1.ComponentVersion{}
	if err := c.client.Get(ctx, r.NamespacedName, v); err != nil {
		return ctrl.Result{}, missing("ComponentVersion", err)
	}
	defs, err := c.definitions(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	want, fits := checkComponentVersion(v, defs)
	if err := c.annotate(ctx, v, naming.AnnotationCompatibleDefinitions, strings.Join(fits, ",")); err != nil {
		return ctrl.Result{}, err
	}
	base := v.DeepCopy()
	v.Status = want
	return ctrl.Result{}, c.patchStatus(ctx, v, base, v.Status.DefinitionStatus, base.Status.DefinitionStatus)
}

// annotate sets an annotation of an object where it isn't yet what it should be. An empty value removes it.
func (c *controllers) annotate(ctx context.Context, object client.Object, key, value string) error {
	annotations := object.GetAnnotations()
	if annotations[key] == value {
		return nil
	}
	base, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("annotate %T: its copy is no object", object)
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	if value == "" {
		delete(annotations, key)
	}
	object.SetAnnotations(annotations)
	if err := c.client.Patch(ctx, object, client.MergeFrom(base)); err != nil {
		return fmt.Errorf("annotate %T %s with %s: %w", object, object.GetName(), key, err)
	}
	return nil
}

// patchStatus writes the status of an object where it differs, and tells of a definition that has
// become unavailable.
func (c *controllers) patchStatus(ctx context.Context, object, base client.Object, is, was appsv1.DefinitionStatus) error {
	if equality.Semantic.DeepEqual(object, base) {
		return nil
	}
	if err := c.client.Status().Patch(ctx, object, client.MergeFrom(base)); err != nil {
		return fmt.Errorf("write the status of %T %s: %w", object, object.GetName(), err)
	}
	if is.Phase == appsv1.DefinitionUnavailable && (was.Phase != is.Phase || was.Message != is.Message) {
		c.events.Eventf(object, nil, corev1.EventTypeWarning, string(appsv1.DefinitionUnavailable), "Check", "%s", is.Message)
	}
	return nil
}

func (c *controllers) definitions(ctx context.Context) ([]appsv1.ComponentDefinition, error) {
	var defs appsv1.ComponentDefinitionList
	if err := c.client.List(ctx, &defs); err != nil {
		return nil, fmt.Errorf("list ComponentDefinitions: %w", err)
	}
	return defs.Items, nil
}

func (c *controllers) allClusterDefinitions(ctx context.Context, _ client.Object) []ctrl.Request {
	var all appsv1.ClusterDefinitionList
	if err := c.client.List(ctx, &all); err != nil {
		log.FromContext(ctx).Error(err, "List ClusterDefinitions after a change of a ComponentDefinition")
		return nil
	}
	requests := make([]ctrl.Request, len(all.Items))
	for i := range all.Items {
		requests[i].Name = all.Items[i].Name
	}
	return requests
}

func (c *controllers) allComponentVersions(ctx context.Context, _ client.Object) []ctrl.Request {
	var all appsv1.ComponentVersionList
	if err := c.client.List(ctx, &all); err != nil {
		log.FromContext(ctx).Error(err, "List ComponentVersions after a change of a ComponentDefinition")
		return nil
	}
	requests := make([]ctrl.Request, len(all.Items))
	for i := range all.Items {
		requests[i].Name = all.Items[i].Name
	}
	return requests
}

// missing is nil for an object that is gone: there is nothing to do.
func missing(kind string, err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("get the %s: %w", kind, err)
}
