package operator_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
)

// Checks 24, 25, 37: volumes, services, and operations among each other.

func Test24VolumeExpansion(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBed(t, 3)
			b.runs(3)
			before, err := b.pods()
			require.NoError(t, err)
			b.ask(way, "volume-expansion.yaml")
			b.eventually("all claims have grown", func() (string, error) {
				claims, err := b.claims()
				for name, c := range claims {
					if c.Status.Capacity.Storage().String() != "30Gi" {
						return name + " has " + c.Status.Capacity.Storage().String(), err
					}
				}
				return "", err
			})
			b.phase(appsv1.ClusterRunning)
			after, err := b.pods()
			require.NoError(t, err)
			for name, p := range after {
				require.Equal(t, before[name].UID, p.UID)
				require.Zero(t, p.Status.ContainerStatuses[0].RestartCount)
			}
			err = b.tryChange(func(c *appsv1.Cluster) {
				c.Spec.ComponentSpecs[0].VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("20Gi")
			})
			require.Error(t, err, "volumes don't shrink")
		})
	}
}

func Test24ClassThatCantGrow(t *testing.T) {
	b := newBed(t, 1)
	b.runs(1, func(c *appsv1.Cluster) {
		c.Spec.ComponentSpecs[0].VolumeClaimTemplates[0].Spec.StorageClassName = new("local-fixed")
	})
	o := b.ends(b.op("volume-expansion.yaml"), operationsv1alpha1.OpsFailed)
	require.Contains(t, conditions(o.Status.Conditions), "local-fixed")
	require.Contains(t, conditions(o.Status.Conditions), "not support volume expansion")
	b.phase(appsv1.ClusterRunning)
}

func Test25Expose(t *testing.T) {
	b := newBed(t, 1)
	b.runs(1)
	name := b.op("expose.yaml")
	var s corev1.Service
	b.eventually("the service", func() (string, error) { return "", b.c.Get(b.ctx, b.key(set+"-internet"), &s) })
	require.Equal(t, corev1.ServiceTypeLoadBalancer, s.Spec.Type)
	require.Equal(t, "nlb", s.Annotations["service.beta.kubernetes.io/aws-load-balancer-type"])
	for _, p := range s.Spec.Ports {
		require.NotEqualValues(t, 6335, p.Port)
	}
	require.EqualValues(t, 6333, s.Spec.Ports[0].Port)
	// Nobody has said the address yet, so the operation waits.
	var o operationsv1alpha1.OpsRequest
	b.eventually("it waits", func() (string, error) {
		err := b.c.Get(b.ctx, b.key(name), &o)
		if o.Status.Phase != operationsv1alpha1.OpsRunning {
			return string(o.Status.Phase), err
		}
		return "", err
	})
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.7"}}
	require.NoError(t, b.c.Status().Update(b.ctx, &s))
	done := b.ends(name, operationsv1alpha1.OpsSucceed)
	require.Equal(t, "1/1", done.Status.Progress)
	b.ends(b.op("unexpose.yaml"), operationsv1alpha1.OpsSucceed)
	b.noService(set + "-internet")
}

func (b *bed) noService(name string) {
	b.t.Helper()
	b.eventually("service "+name+" gone", func() (string, error) {
		var s corev1.Service
		err := b.c.Get(b.ctx, b.key(name), &s)
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		return "it is there", err
	})
}

func Test25ServicesOfTheCluster(t *testing.T) {
	b := newBed(t, 1)
	b.runs(1)
	b.patch("expose.yaml")
	var s corev1.Service
	b.eventually("the service", func() (string, error) { return "", b.c.Get(b.ctx, b.key(set+"-internet"), &s) })
	require.Equal(t, corev1.ServiceTypeLoadBalancer, s.Spec.Type)
	b.patch("unexpose.yaml")
	b.noService(set + "-internet")
}

func Test37OperationsWaitForEachOther(t *testing.T) {
	b := newBed(t, 4)
	b.runs(3)
	b.load()
	first, second := b.op("restart.yaml"), b.op("scale-out.yaml")
	one := b.ends(first, operationsv1alpha1.OpsSucceed)
	two := b.ends(second, operationsv1alpha1.OpsSucceed)
	require.False(t, two.Status.StartTimestamp.Before(one.Status.CompletionTimestamp), "one after the other")
	b.phase(appsv1.ClusterRunning)
	b.consists(0, 1, 2, 3)
	b.whole()
}

func Test37FinishedOperationsGo(t *testing.T) {
	b := newBed(t, 1)
	b.runs(1)
	name := b.op("scale-out.yaml", func(o *operationsv1alpha1.OpsRequest) {
		o.Spec.HorizontalScaling[0].ScaleOut = nil
		o.Spec.HorizontalScaling = nil
		o.Spec.Type = operationsv1alpha1.VolumeExpansion
		o.Spec.VolumeExpansion = []operationsv1alpha1.VolumeExpansionOps{{
			ComponentOps:         operationsv1alpha1.ComponentOps{ComponentName: componentName},
			VolumeClaimTemplates: []operationsv1alpha1.VolumeSize{{Name: "data", Storage: resource.MustParse("21Gi")}},
		}}
		o.Spec.TTLSecondsAfterSucceed = 1
	})
	b.eventually("the operation gone", func() (string, error) {
		var o operationsv1alpha1.OpsRequest
		err := b.c.Get(b.ctx, b.key(name), &o)
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		return string(o.Status.Phase), err
	})
}

func Test37WhatIsWrongIsSaid(t *testing.T) {
	b := newBed(t, 1)
	b.runs(1)
	for what, change := range map[string]func(*operationsv1alpha1.OpsRequest){
		"no-such": func(o *operationsv1alpha1.OpsRequest) { o.Spec.Restart[0].ComponentName = "no-such" },
	} {
		name := b.op("restart.yaml", change, func(o *operationsv1alpha1.OpsRequest) { o.Name = "wrong-" + what })
		o := b.ends(name, operationsv1alpha1.OpsFailed)
		require.Contains(t, conditions(o.Status.Conditions), what)
	}
}
