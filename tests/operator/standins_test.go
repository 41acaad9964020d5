package operator_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// What stands in for Kubernetes is tried without the operator.

// byHand makes a pod of one container with a claim, and what it needs.
func (b *bed) byHand(decided bool) (*corev1.Pod, *corev1.ConfigMap) {
	b.t.Helper()
	boot := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "boot"}}
	if decided {
		boot.Data = map[string]string{"p-0": ""}
	}
	require.NoError(b.t, b.c.Create(b.ctx, boot))
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "data-p-0"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	require.NoError(b.t, b.c.Create(b.ctx, claim))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "p-0"},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "qdrant", Image: "test/sextant:1.10.0",
				Env: []corev1.EnvVar{
					{Name: "NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
					{Name: "QDRANT_URI", Value: "http://$(NAME).p-headless." + b.ns + ".svc.cluster.local:6335"},
					{Name: "QDRANT_BOOTSTRAP", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
						LocalObjectReference: corev1.LocalObjectReference{Name: "boot"}, Key: "p-0",
					}}},
				},
			}},
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-p-0"},
			}}},
		},
	}
	require.NoError(b.t, b.c.Create(b.ctx, pod))
	return pod, boot
}

// podIs waits until a pod is as wanted, and returns it.
func (b *bed) podIs(what string, wanted func(*corev1.Pod) bool) *corev1.Pod {
	b.t.Helper()
	p := new(corev1.Pod)
	b.eventually(what, func() (string, error) {
		if err := b.c.Get(b.ctx, b.key("p-0"), p); err != nil || wanted(p) {
			return "", err
		}
		return p.Status.String(), nil
	})
	return p
}

func TestStandInsStartWhatIsDecided(t *testing.T) {
	b := newBed(t, 1)
	_, boot := b.byHand(false)
	b.podIs("the missing variable shows", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CreateContainerConfigError"
	})
	boot.Data = map[string]string{"p-0": ""}
	require.NoError(t, b.c.Update(b.ctx, boot))
	b.podIs("ready", ready)
	require.NotEmpty(t, b.world.ClusterID())
}

func TestStandInsRestartInPlace(t *testing.T) {
	b := newBed(t, 1)
	b.byHand(true)
	before := b.podIs("ready", ready)
	id := b.world.ClusterID()
	next := before.DeepCopy()
	next.Spec.Containers[0].Image = "test/sextant:1.14.0"
	require.NoError(t, b.c.Update(b.ctx, next))
	after := b.podIs("restarted", func(p *corev1.Pod) bool { return ready(p) && p.Status.ContainerStatuses[0].RestartCount == 1 })
	require.Equal(t, before.UID, after.UID)
	require.Equal(t, id, b.world.ClusterID(), "the disk stays")
	next = after.DeepCopy()
	next.Spec.Containers[0].Image = "test/missing:1"
	require.NoError(t, b.c.Update(b.ctx, next))
	b.podIs("the image is missed", func(p *corev1.Pod) bool {
		w := p.Status.ContainerStatuses[0].State.Waiting
		return !ready(p) && w != nil && w.Reason == "ImagePullBackOff"
	})
}

func TestStandInsKeepVolumes(t *testing.T) {
	b := newBed(t, 2)
	pod, boot := b.byHand(true)
	p := b.podIs("ready", ready)
	id := b.world.ClusterID()
	claim := new(corev1.PersistentVolumeClaim)
	require.NoError(t, b.c.Get(b.ctx, b.key("data-p-0"), claim))
	claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("2Gi")
	require.NoError(t, b.c.Update(b.ctx, claim))
	b.eventually("the claim has grown", func() (string, error) {
		err := b.c.Get(b.ctx, b.key("data-p-0"), claim)
		if have := claim.Status.Capacity.Storage().String(); have != "2Gi" {
			return have, err
		}
		return "", err
	})
	// A claim in use outlives its deletion, and the pod that follows is on the same machine.
	require.NoError(t, b.c.Delete(b.ctx, pod))
	b.eventually("the pod gone", b.goneFunc(new(corev1.Pod), "p-0"))
	again := pod.DeepCopy()
	again.ResourceVersion, again.UID = "", ""
	require.NoError(t, b.c.Create(b.ctx, again))
	require.Equal(t, p.Spec.NodeName, b.podIs("ready again", ready).Spec.NodeName)
	require.Equal(t, id, b.world.ClusterID())
	require.NoError(t, b.c.Delete(b.ctx, claim))
	require.NoError(t, b.c.Get(b.ctx, b.key("data-p-0"), claim), "it is protected while it is used")
	// What is owned goes after its owner, and the claim when nobody uses it.
	require.NoError(t, b.c.Get(b.ctx, b.key("p-0"), again))
	require.NoError(t, controllerutil.SetOwnerReference(boot, again, plane.scheme))
	require.NoError(t, b.c.Update(b.ctx, again))
	require.NoError(t, b.c.Delete(b.ctx, boot))
	b.eventually("the pod gone", b.goneFunc(new(corev1.Pod), "p-0"))
	b.eventually("the claim gone", b.goneFunc(new(corev1.PersistentVolumeClaim), "data-p-0"))
}

func (b *bed) goneFunc(o client.Object, name string) func() (string, error) {
	return func() (string, error) {
		err := b.c.Get(b.ctx, b.key(name), o)
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		return "it is there", err
	}
}

func TestStandInsLoseMachines(t *testing.T) {
	b := newBed(t, 1)
	pod, _ := b.byHand(true)
	p := b.podIs("ready", ready)
	require.NoError(t, b.machines.Kill(b.ctx, p.Spec.NodeName))
	b.podIs("not ready", func(p *corev1.Pod) bool { return !ready(p) })
	require.NoError(t, b.c.Delete(b.ctx, pod))
	require.NotNil(t, b.podIs("it waits to be told", func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil }))
	require.NoError(t, b.machines.Heal(b.ctx, p.Spec.NodeName))
	b.eventually("the pod gone", b.goneFunc(new(corev1.Pod), "p-0"))
}
