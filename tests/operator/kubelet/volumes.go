package kubelet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sextantdb/sextant/tests/operator/fleet"
)

const protection = "kubernetes.io/pvc-protection"

// claimsOf are the names of a pod's claims.
func claimsOf(p *corev1.Pod) (names []string) {
	for i := range p.Spec.Volumes {
		if c := p.Spec.Volumes[i].PersistentVolumeClaim; c != nil {
			names = append(names, c.ClaimName)
		}
	}
	return names
}

// pinned is the machine that has the volumes of a pod, empty while they are nowhere.
func (k *Kubelet) pinned(ctx context.Context, p *corev1.Pod) (string, error) {
	machine := ""
	for _, name := range claimsOf(p) {
		var c corev1.PersistentVolumeClaim
		if err := k.client.Get(ctx, client.ObjectKey{Namespace: k.o.Namespace, Name: name}, &c); err != nil {
			return "", fmt.Errorf("persistentvolumeclaim %q not found", name)
		}
		if c.DeletionTimestamp != nil {
			return "", fmt.Errorf("persistentvolumeclaim %q is being deleted", name)
		}
		if c.Spec.VolumeName == "" {
			continue
		}
		var v corev1.PersistentVolume
		if err := k.client.Get(ctx, client.ObjectKey{Name: c.Spec.VolumeName}, &v); err != nil {
			return "", fmt.Errorf("find the volume of claim %s: %w", name, err)
		}
		machine = v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0]
	}
	return machine, nil
}

// mounted tells whether the volumes of a pod are there, and which disk is the first claim.
func (k *Kubelet) mounted(ctx context.Context, p *corev1.Pod) (disk string, ready bool, err error) {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		var err error
		switch {
		case v.ConfigMap != nil:
			_, err = k.configMap(ctx, v.ConfigMap.Name, v.ConfigMap.Optional)
		case v.Secret != nil:
			_, err = k.secret(ctx, v.Secret.SecretName, v.Secret.Optional)
		}
		if apierrors.IsNotFound(errors.Unwrap(err)) {
			return "", false, nil
		}
		if err != nil {
			return "", false, err
		}
	}
	for _, name := range claimsOf(p) {
		var c corev1.PersistentVolumeClaim
		if err := k.client.Get(ctx, client.ObjectKey{Namespace: k.o.Namespace, Name: name}, &c); err != nil {
			return "", false, fmt.Errorf("find claim %s: %w", name, err)
		}
		if c.Status.Phase != corev1.ClaimBound {
			return "", false, nil
		}
		if disk == "" {
			disk = c.Spec.VolumeName
		}
	}
	if disk == "" {
		disk = "empty-" + string(p.UID) // as long as the pod
	}
	return disk, true, nil
}

// certificate is what is mounted for TLS: a Secret with a certificate and its key. None is no TLS.
func (k *Kubelet) certificate(ctx context.Context, p *corev1.Pod) (*fleet.Certificate, error) {
	for i := range p.Spec.Volumes {
		v := p.Spec.Volumes[i].Secret
		if v == nil {
			continue
		}
		all, err := k.secret(ctx, v.SecretName, v.Optional)
		if err != nil {
			return nil, err
		}
		if all[corev1.TLSCertKey] != "" && all[corev1.TLSPrivateKeyKey] != "" {
			return &fleet.Certificate{
				Cert: []byte(all[corev1.TLSCertKey]), Key: []byte(all[corev1.TLSPrivateKeyKey]), CA: []byte(all["ca.crt"]),
			}, nil
		}
	}
	return nil, nil //nolint:nilnil // there needn't be one
}

// claims binds, grows and removes claims, and throws away the disks of those that are gone.
func (k *Kubelet) claims(ctx context.Context, claims *corev1.PersistentVolumeClaimList, pods *corev1.PodList) {
	there := map[types.UID]bool{}
	for i := range claims.Items {
		c := &claims.Items[i]
		there[c.UID] = true
		k.complain(ctx, "look after claim "+c.Name, k.claim(ctx, c, pods))
	}
	for uid, volume := range k.volumes {
		if there[uid] {
			continue
		}
		k.o.World.DropDisk(volume)
		err := k.client.Delete(ctx, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: volume}})
		k.complain(ctx, "remove volume "+volume, client.IgnoreNotFound(err))
		delete(k.volumes, uid)
	}
}

func (k *Kubelet) claim(ctx context.Context, c *corev1.PersistentVolumeClaim, pods *corev1.PodList) error {
	var user *corev1.Pod
	for i := range pods.Items {
		if slices.Contains(claimsOf(&pods.Items[i]), c.Name) {
			user = &pods.Items[i]
		}
	}
	switch {
	case c.DeletionTimestamp != nil:
		if i := slices.Index(c.Finalizers, protection); i >= 0 && user == nil {
			next := c.DeepCopy()
			next.Finalizers = slices.Delete(next.Finalizers, i, i+1)
			if err := k.client.Update(ctx, next); err != nil {
				return fmt.Errorf("let it go: %w", err)
			}
		}
		return nil
	case c.Status.Phase != corev1.ClaimBound:
		if user == nil || user.Spec.NodeName == "" {
			return nil
		}
		return k.bind(ctx, c, user.Spec.NodeName)
	}
	k.volumes[c.UID] = c.Spec.VolumeName
	have, want := c.Status.Capacity[corev1.ResourceStorage], c.Spec.Resources.Requests[corev1.ResourceStorage]
	if k.hold || want.Cmp(have) <= 0 {
		return nil
	}
	next := c.DeepCopy()
	next.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: want}
	if err := k.client.Status().Update(ctx, next); err != nil {
		return fmt.Errorf("grow it: %w", err)
	}
	return nil
}

// bind gives a claim a volume on a machine.
func (k *Kubelet) bind(ctx context.Context, c *corev1.PersistentVolumeClaim, machine string) error {
	size := c.Spec.Resources.Requests[corev1.ResourceStorage]
	v := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv-" + string(c.UID)},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: size}, AccessModes: c.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: c.Namespace, Name: c.Name, UID: c.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/volumes/" + string(c.UID)}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{machine},
				}},
			}}}},
		},
	}
	if c.Spec.StorageClassName != nil {
		v.Spec.StorageClassName = *c.Spec.StorageClassName
	}
	if err := k.client.Create(ctx, v); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make a volume: %w", err)
	}
	next := c.DeepCopy()
	if next.Spec.VolumeName == "" {
		next.Spec.VolumeName = v.Name
		if err := k.client.Update(ctx, next); err != nil {
			return fmt.Errorf("bind it: %w", err)
		}
	}
	next.Status.Phase, next.Status.AccessModes = corev1.ClaimBound, next.Spec.AccessModes
	next.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: size}
	if err := k.client.Status().Update(ctx, next); err != nil {
		return fmt.Errorf("say that it is bound: %w", err)
	}
	k.volumes[c.UID] = v.Name
	return nil
}
