package process

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sextantdb/sextant/operator/naming"
)

// labelled are the kinds of which only our own objects are kept in memory: a Kubernetes cluster may have
// thousands of others.
func labelled() []client.Object {
	return []client.Object{
		&corev1.Pod{}, &corev1.Secret{}, &corev1.ConfigMap{}, &corev1.Service{}, &corev1.ServiceAccount{},
		&corev1.PersistentVolumeClaim{}, &policyv1.PodDisruptionBudget{}, &networkingv1.NetworkPolicy{}, &rbacv1.RoleBinding{},
	}
}

// isLabelled tells whether an object is of one of these kinds.
func isLabelled(o client.Object) bool {
	switch o.(type) {
	case *corev1.Pod, *corev1.Secret, *corev1.ConfigMap, *corev1.Service, *corev1.ServiceAccount,
		*corev1.PersistentVolumeClaim, *policyv1.PodDisruptionBudget, *networkingv1.NetworkPolicy, *rbacv1.RoleBinding:
		return true
	default:
		return false
	}
}

// cacheOptions bounds what the caches hold. The operator's namespace has the templates of files, which are the chart's.
func cacheOptions(namespace string) (cache.Options, error) {
	ours, err := labels.NewRequirement(naming.LabelManagedBy, selection.In, []string{naming.ManagedBy, "Helm"})
	if err != nil {
		return cache.Options{}, fmt.Errorf("select objects: %w", err)
	}
	own := labels.SelectorFromSet(labels.Set{naming.LabelManagedBy: naming.ManagedBy})
	o := cache.Options{DefaultTransform: lighten, ByObject: map[client.Object]cache.ByObject{}}
	for _, kind := range labelled() {
		o.ByObject[kind] = cache.ByObject{Label: own}
		if _, ok := kind.(*corev1.ConfigMap); ok {
			o.ByObject[kind] = cache.ByObject{Namespaces: map[string]cache.Config{
				cache.AllNamespaces: {LabelSelector: own},
				namespace:           {LabelSelector: labels.NewSelector().Add(*ours)},
			}}
		}
	}
	return o, nil
}

// lighten takes out of an object what no controller reads before it is kept: who set which field, and of
// machines the images that they have.
func lighten(o any) (any, error) {
	if m, err := meta.Accessor(o); err == nil {
		m.SetManagedFields(nil)
	}
	if n, ok := o.(*corev1.Node); ok {
		n.Status.Images, n.Status.VolumesInUse, n.Status.VolumesAttached = nil, nil, nil
	}
	return o, nil
}

// fallback is a client that asks the API server for what its cache doesn't have. The caches hold
// our own objects only, but users have Secrets that a cluster names, and objects of others may bear the
// name of one of ours: neither may seem not to exist. That a Secret isn't there is believed for a while, since most
// clusters have no keys and are asked for them in every round.
type fallback struct {
	client.Client
	live client.Reader
	now  func() time.Time

	mu     sync.Mutex
	absent map[client.ObjectKey]time.Time // Secrets, and until when
}

// For how long, and of how many Secrets it is believed that they aren't there.
const (
	absentFor  = 10 * time.Second
	absentMost = 1000
)

// Get implements client.Reader.
func (f *fallback) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	err := f.Client.Get(ctx, key, o, opts...)
	if !apierrors.IsNotFound(err) || !isLabelled(o) || f.isAbsent(key, o) {
		return err
	}
	if err := f.live.Get(ctx, key, o, opts...); err != nil {
		if apierrors.IsNotFound(err) {
			f.noteAbsent(key, o)
		}
		return err
	}
	if _, err := lighten(o); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

// isAbsent tells whether a Secret wasn't there a moment ago.
func (f *fallback) isAbsent(key client.ObjectKey, o client.Object) bool {
	if _, ok := o.(*corev1.Secret); !ok {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	until, ok := f.absent[key]
	return ok && f.now().Before(until)
}

// noteAbsent remembers that a Secret isn't there.
func (f *fallback) noteAbsent(key client.ObjectKey, o client.Object) {
	if _, ok := o.(*corev1.Secret); !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.absent == nil || len(f.absent) >= absentMost {
		f.absent = map[client.ObjectKey]time.Time{}
	}
	f.absent[key] = f.now().Add(absentFor)
}
