package ops

import (
	"fmt"
	"slices"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
)

// stop takes the pods of components down.
type stop struct{ base }

func (stop) phases() []appsv1.ClusterPhase {
	return []appsv1.ClusterPhase{appsv1.ClusterRunning, appsv1.ClusterAbnormal, appsv1.ClusterFailed, appsv1.ClusterUpdating}
}

func (k stop) components() []string { return named(k.op.Spec.Stop, componentName) }

func (k stop) check(o *Observed) error {
	for _, name := range k.among(o.Cluster) {
		if !on(spec(o.Cluster, name).Stop) {
			return nil
		}
	}
	return fmt.Errorf("%w: it is stopped", errNothing)
}

func (k stop) record(o *Observed) opsv1.LastConfiguration {
	return recordReplicas(o, k.among(o.Cluster))
}

func (k stop) edit(_ *Observed, c *appsv1.Cluster) {
	for _, name := range k.among(c) {
		spec(c, name).Stop = new(true)
	}
}

func (k stop) progress(o *Observed, component string) work {
	out := work{settled: o.follows(component)}
	set := o.set(component)
	pods := slices.Clone(k.last(component).Pods)
	if set != nil {
		for i := range set.Status.InstanceStatus {
			if s := &set.Status.InstanceStatus[i]; there(s) && !slices.Contains(pods, s.PodName) {
				pods = append(pods, s.PodName)
			}
		}
		out.settled = out.settled && set.Status.Replicas == 0
	}
	for _, pod := range pods {
		status := opsv1.ProgressSucceed
		if i := o.instance(component, pod); there(i) {
			status = opsv1.ProgressPending
			if i.CurrentState == workloadsv1.InstanceTerminating {
				status = opsv1.ProgressProcessing
			}
		}
		out.steps = append(out.steps, step("Pod", pod, status, ""))
	}
	out.total = len(pods)
	return out
}

// among are the components that the operation is about: those that it names, or all.
func (k stop) among(c *appsv1.Cluster) []string { return namedOrAll(c, k.components()) }

// start brings stopped components back.
type start struct{ base }

func (start) phases() []appsv1.ClusterPhase {
	return []appsv1.ClusterPhase{
		appsv1.ClusterRunning, appsv1.ClusterAbnormal, appsv1.ClusterFailed, appsv1.ClusterUpdating,
		appsv1.ClusterStopped, appsv1.ClusterStopping,
	}
}

func (k start) components() []string { return named(k.op.Spec.Start, componentName) }

func (k start) check(o *Observed) error {
	for _, name := range k.among(o.Cluster) {
		if on(spec(o.Cluster, name).Stop) {
			return nil
		}
	}
	return fmt.Errorf("%w: it isn't stopped", errNothing)
}

func (k start) record(o *Observed) opsv1.LastConfiguration {
	return recordReplicas(o, k.among(o.Cluster))
}

func (k start) edit(_ *Observed, c *appsv1.Cluster) {
	for _, name := range k.among(c) {
		spec(c, name).Stop = nil
	}
}

func (k start) progress(o *Observed, component string) work { return whole(o, component) }

func (k start) among(c *appsv1.Cluster) []string { return namedOrAll(c, k.components()) }

func namedOrAll(c *appsv1.Cluster, components []string) []string {
	if len(components) == 0 {
		return componentNames(c)
	}
	return components
}

func recordReplicas(o *Observed, components []string) opsv1.LastConfiguration {
	return recorded(o, components, func(c *appsv1.ClusterComponentSpec) opsv1.LastComponentConfiguration {
		return opsv1.LastComponentConfiguration{Replicas: new(c.Replicas)}
	})
}
