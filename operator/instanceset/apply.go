package instanceset

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sextantdb/sextant/operator/naming"
)

// apply does what was decided. What the API server refuses for good is told in the status, all else ends
// the round: the next one looks again.
func (r *round) apply(ctx context.Context, d *Decision) error {
	if d.AddFinalizer {
		if err := r.finalizer(ctx, true); err != nil {
			return err
		}
	}
	var refused []Refusal
	steps := []func(context.Context, *Decision, *[]Refusal) error{r.createAll, r.patchAll, r.deleteAll}
	for _, step := range steps {
		if err := step(ctx, d, &refused); err != nil {
			return err
		}
	}
	if d.RemoveFinalizer {
		// Last: when the set is gone nobody knows its claims any more.
		return r.finalizer(ctx, false)
	}
	if d.Status == nil {
		return nil
	}
	set := r.observed.Set
	Refused(d.Status, set.Generation, metav1.NewTime(r.observed.Now), refused)
	if equality.Semantic.DeepEqual(&set.Status, d.Status) {
		return nil
	}
	changed := set.DeepCopy()
	changed.Status = *d.Status
	if err := r.r.client.Status().Patch(ctx, changed, client.MergeFrom(set)); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}

func (r *round) finalizer(ctx context.Context, add bool) error {
	set := r.observed.Set
	changed := set.DeepCopy()
	if add {
		controllerutil.AddFinalizer(changed, naming.FinalizerInstanceSet)
	} else {
		controllerutil.RemoveFinalizer(changed, naming.FinalizerInstanceSet)
	}
	if err := r.r.client.Patch(ctx, changed, client.MergeFromWithOptions(set, client.MergeFromWithOptimisticLock{})); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write the finalizer: %w", err)
	}
	return nil
}

// refusal tells whether an error is an answer that stays the same until somebody does something.
func refusal(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
}

// settle sorts an error: refusals are noted, nil and what is done already is fine.
func settle(err error, refused *[]Refusal, instance, reason, what string) error {
	switch {
	case err == nil:
		return nil
	case refusal(err):
		*refused = append(*refused, Refusal{Instance: instance, Reason: reason, Message: what + ": " + err.Error()})
		return nil
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}

func (r *round) createAll(ctx context.Context, d *Decision, refused *[]Refusal) error {
	for _, c := range d.CreateClaims {
		err := r.r.client.Create(ctx, c)
		if apierrors.IsAlreadyExists(err) {
			err = nil // the cache is behind, or somebody made it before: then it is used as it is
		}
		if err := settle(err, refused, c.Labels[naming.LabelPodName], "ClaimRefused", "create the claim "+c.Name); err != nil {
			return err
		}
	}
	for _, p := range d.CreatePods {
		err := r.r.client.Create(ctx, p)
		if apierrors.IsAlreadyExists(err) {
			err = r.known(ctx, p, refused)
		} else if err == nil {
			r.event(p, corev1.EventTypeNormal, "Created", "the pod is made")
		}
		if err := settle(err, refused, p.Name, "PodRefused", "create the pod "+p.Name); err != nil {
			return err
		}
	}
	return nil
}

// known finds out whose the pod is that exists already.
func (r *round) known(ctx context.Context, p *corev1.Pod, refused *[]Refusal) error {
	var there corev1.Pod
	err := r.r.live.Get(ctx, client.ObjectKeyFromObject(p), &there)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(&there, r.observed.Set) {
		*refused = append(*refused, Refusal{Instance: p.Name, Reason: "NameTaken", Message: "there is a pod " + p.Name + " that doesn't belong to the set"})
	}
	return nil
}

func (r *round) patchAll(ctx context.Context, d *Decision, refused *[]Refusal) error {
	for i := range d.PatchClaims {
		one := &d.PatchClaims[i]
		err := r.patchClaim(ctx, one)
		if err == nil {
			r.event(one.Claim, corev1.EventTypeNormal, one.Reason, one.Why)
		}
		if err := settle(err, refused, one.Claim.Labels[naming.LabelPodName], "ClaimRefused", "change the claim "+one.Claim.Name); err != nil {
			return err
		}
	}
	for i := range d.PatchPods {
		one := &d.PatchPods[i]
		err := r.patchPod(ctx, one)
		if err == nil && one.Reason != "" {
			r.event(one.Pod, corev1.EventTypeNormal, one.Reason, one.Why)
		}
		if err := settle(client.IgnoreNotFound(err), refused, one.Pod.Name, "PodRefused", "change the pod "+one.Pod.Name); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) patchClaim(ctx context.Context, p *ClaimPatch) error {
	changed := p.Claim.DeepCopy()
	if p.Storage != "" {
		size, err := resource.ParseQuantity(p.Storage)
		if err != nil {
			return fmt.Errorf("the size %q: %w", p.Storage, err)
		}
		if changed.Spec.Resources.Requests == nil {
			changed.Spec.Resources.Requests = corev1.ResourceList{}
		}
		changed.Spec.Resources.Requests[corev1.ResourceStorage] = size
	}
	changed.Annotations = written(changed.Annotations, p.Annotations)
	return r.r.client.Patch(ctx, changed, client.MergeFrom(p.Claim))
}

func (r *round) patchPod(ctx context.Context, p *PodPatch) error {
	changed := p.Pod.DeepCopy()
	changed.Labels = written(changed.Labels, p.Labels)
	changed.Annotations = written(changed.Annotations, p.Annotations)
	for i := range changed.Spec.Containers {
		if image := p.Images[changed.Spec.Containers[i].Name]; image != "" {
			changed.Spec.Containers[i].Image = image
		}
	}
	// Only this very state of the pod is changed: what is written was decided on it.
	return r.r.client.Patch(ctx, changed, client.StrategicMergeFrom(p.Pod, client.MergeFromWithOptimisticLock{}))
}

// written sets entries and removes those that are empty.
func written(m, changes map[string]string) map[string]string {
	for k, v := range changes {
		if v == "" {
			delete(m, k)
			continue
		}
		if m == nil {
			m = map[string]string{}
		}
		m[k] = v
	}
	return m
}

// deleteAll takes claims away before pods: a claim that is deleted stays until its pod is gone, so a round
// that ends between the two is finished by the next one.
func (r *round) deleteAll(ctx context.Context, d *Decision, _ *[]Refusal) error {
	for i := range d.DeleteClaims {
		one := &d.DeleteClaims[i]
		if err := r.remove(ctx, one.Claim, false, one.Reason, one.Why); err != nil {
			return fmt.Errorf("delete the claim %s: %w", one.Claim.Name, err)
		}
	}
	for i := range d.DeletePods {
		one := &d.DeletePods[i]
		if err := r.remove(ctx, one.Pod, one.Force, one.Reason, one.Why); err != nil {
			return fmt.Errorf("delete the pod %s: %w", one.Pod.Name, err)
		}
	}
	return nil
}

// remove deletes this very object.
func (r *round) remove(ctx context.Context, object client.Object, force bool, reason, why string) error {
	uid := object.GetUID()
	options := []client.DeleteOption{client.Preconditions{UID: &uid}}
	if force {
		options = append(options, client.GracePeriodSeconds(0))
	}
	err := r.r.client.Delete(ctx, object, options...)
	switch {
	case err == nil:
		kind := corev1.EventTypeNormal
		if force {
			kind = corev1.EventTypeWarning
		}
		r.event(object, kind, reason, why)
		return nil
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil // it is gone, another one has its name
	default:
		return err
	}
}

func (r *round) event(about client.Object, kind, reason, why string) {
	if reason == "" {
		return
	}
	r.r.events.Eventf(r.observed.Set, about, kind, reason, "Reconcile", "%s: %s", about.GetName(), why)
}
