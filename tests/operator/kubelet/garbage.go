package kubelet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
)

// kinds are those that are looked through for what has lost its owner.
func kinds() []client.ObjectList {
	return []client.ObjectList{
		&appsv1.ClusterList{}, &appsv1.ComponentList{}, &workloadsv1.InstanceSetList{}, &operationsv1alpha1.OpsRequestList{},
		&corev1.PodList{}, &corev1.PersistentVolumeClaimList{}, &corev1.ServiceList{}, &corev1.ConfigMapList{}, &corev1.SecretList{},
		&corev1.ServiceAccountList{}, &policyv1.PodDisruptionBudgetList{}, &networkingv1.NetworkPolicyList{},
		&rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
	}
}

// collect removes what has lost all of its owners, and ends deletions that wait for what is owned.
func (k *Kubelet) collect(ctx context.Context) error {
	there, dependents, all, err := k.everything(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range all {
		owners := o.GetOwnerReferences()
		lost := len(owners) > 0 && !slices.ContainsFunc(owners, func(r metav1.OwnerReference) bool { return there[r.UID] })
		if lost && o.GetDeletionTimestamp() == nil && !k.owned(ctx, o) {
			uid := o.GetUID()
			err := k.client.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &uid})
			errs = append(errs, client.IgnoreNotFound(err))
		}
		if o.GetDeletionTimestamp() != nil && slices.Contains(o.GetFinalizers(), metav1.FinalizerDeleteDependents) {
			errs = append(errs, k.foreground(ctx, o, dependents[o.GetUID()]))
		}
	}
	return errors.Join(errs...)
}

// owned tells whether an owner is there after all: what was seen of one kind may be older than what
// was seen of another.
func (k *Kubelet) owned(ctx context.Context, o client.Object) bool {
	for _, r := range o.GetOwnerReferences() {
		owner := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: r.APIVersion, Kind: r.Kind}}
		err := k.cluster.GetAPIReader().Get(ctx, client.ObjectKey{Namespace: o.GetNamespace(), Name: r.Name}, owner)
		if err == nil && owner.UID == r.UID || err != nil && !apierrors.IsNotFound(err) {
			return true
		}
	}
	return false
}

// everything lists all objects, who is there, and what each owns.
func (k *Kubelet) everything(ctx context.Context) (there map[types.UID]bool, dependents map[types.UID][]client.Object, all []client.Object, err error) {
	there, dependents = map[types.UID]bool{}, map[types.UID][]client.Object{}
	for _, kind := range k.kinds {
		list, ok := kind.DeepCopyObject().(client.ObjectList)
		if !ok {
			return nil, nil, nil, fmt.Errorf("%T is no list", kind)
		}
		if err := k.client.List(ctx, list); err != nil {
			return nil, nil, nil, fmt.Errorf("list %T: %w", kind, err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read %T: %w", kind, err)
		}
		for _, item := range items {
			o, ok := item.(client.Object)
			if !ok {
				continue
			}
			all = append(all, o)
			there[o.GetUID()] = true
			for _, r := range o.GetOwnerReferences() {
				dependents[r.UID] = append(dependents[r.UID], o)
			}
		}
	}
	return there, dependents, all, nil
}

// foreground deletes what an object owns, then lets it go.
func (k *Kubelet) foreground(ctx context.Context, o client.Object, dependents []client.Object) error {
	var errs []error
	blocked := false
	for _, d := range dependents {
		for _, r := range d.GetOwnerReferences() {
			blocked = blocked || r.UID == o.GetUID() && r.BlockOwnerDeletion != nil && *r.BlockOwnerDeletion
		}
		if d.GetDeletionTimestamp() == nil {
			err := k.client.Delete(ctx, d, client.PropagationPolicy(metav1.DeletePropagationForeground))
			errs = append(errs, client.IgnoreNotFound(err))
		}
	}
	if !blocked {
		next, ok := o.DeepCopyObject().(client.Object)
		if !ok {
			return fmt.Errorf("%T is no object", o)
		}
		next.SetFinalizers(slices.DeleteFunc(next.GetFinalizers(), func(f string) bool { return f == metav1.FinalizerDeleteDependents }))
		errs = append(errs, k.client.Update(ctx, next))
	}
	return errors.Join(errs...)
}
