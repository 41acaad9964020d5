package ops

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// rebuild gives instances new volumes. In place it marks the InstanceSet: pod → token, here the UID of the
// operation, and the machine. The claims of a pod must carry its token, else they are replaced, and the pod with them.
// Else the instance is taken offline, and a new one made instead: it leaves when others have its data.
type rebuild struct{ base }

// Mark is what the annotation for rebuilds of an InstanceSet is to be.
type Mark struct {
	Set        *workloadsv1.InstanceSet
	Annotation string
}

func (rebuild) phases() []appsv1.ClusterPhase {
	return []appsv1.ClusterPhase{appsv1.ClusterAbnormal, appsv1.ClusterFailed, appsv1.ClusterUpdating}
}

func (k rebuild) components() []string {
	return named(k.op.Spec.RebuildFrom, func(r *opsv1.RebuildInstanceOps) string { return r.ComponentName })
}

func (k rebuild) check(o *Observed) error {
	for i := range k.op.Spec.RebuildFrom {
		r := &k.op.Spec.RebuildFrom[i]
		if r.BackupName != "" {
			return errors.New("backupName isn't supported yet: an instance is filled from the other instances, leave it out")
		}
		if o.set(r.ComponentName) == nil {
			return notYet{fmt.Sprintf("component %s has no InstanceSet yet", r.ComponentName)}
		}
		for _, i := range r.Instances {
			if err := k.checkMachine(o, r, &i); err != nil {
				return err
			}
			if !slices.ContainsFunc(o.active(r.ComponentName), func(s workloadsv1.InstanceStatus) bool { return s.PodName == i.Name }) {
				return knownInstance(o, r.ComponentName, i.Name)
			}
		}
	}
	if elsewhere := k.elsewhere(o.Cluster); len(elsewhere.components()) > 0 {
		return elsewhere.check(o)
	}
	return nil
}

// checkMachine refuses a machine that there isn't, or that can't be seen to.
func (rebuild) checkMachine(o *Observed, r *opsv1.RebuildInstanceOps, i *opsv1.RebuiltInstance) error {
	switch {
	case i.TargetNodeName == "":
		return nil
	case !r.InPlace:
		return errors.New("targetNodeName needs inPlace: true: a new instance runs where the schedulingPolicy of the component has it")
	case !slices.Contains(o.Machines, i.TargetNodeName):
		return fmt.Errorf("instance %s can't be rebuilt on the machine %s: there is no Node of that name", i.Name, i.TargetNodeName)
	}
	return nil
}

// elsewhere is what is done for instances that aren't rebuilt in place: each is taken offline, and as many are made.
func (k rebuild) elsewhere(c *appsv1.Cluster) horizontal {
	op := k.op.DeepCopy()
	for i := range op.Spec.RebuildFrom {
		r := &op.Spec.RebuildFrom[i]
		component := spec(c, r.ComponentName)
		if r.InPlace || component == nil {
			continue
		}
		h := opsv1.HorizontalScalingOps{ComponentOps: r.ComponentOps, ScaleIn: &opsv1.ScaleIn{}, ScaleOut: &opsv1.ScaleOut{}}
		made := map[string]int32{}
		for _, instance := range r.Instances {
			h.ScaleIn.OnlineInstancesToOffline = append(h.ScaleIn.OnlineInstancesToOffline, instance.Name)
			template, _ := templateOf(c.Name, component, instance.Name)
			made[template]++
		}
		for _, template := range slices.Sorted(maps.Keys(made)) {
			if template != "" {
				h.ScaleOut.Instances = append(h.ScaleOut.Instances, opsv1.InstanceReplicas{Name: template, ReplicaChanges: made[template]})
			}
		}
		h.ScaleOut.ReplicaChanges = new(int32(len(r.Instances)))
		op.Spec.HorizontalScaling = append(op.Spec.HorizontalScaling, h)
	}
	return horizontal{base{op: op}}
}

// token is what the claims of an instance must carry once it is rebuilt in place.
func (k rebuild) token(i *opsv1.RebuiltInstance) string {
	return naming.RebuildToken(string(k.op.UID), i.TargetNodeName)
}

func (k rebuild) record(o *Observed) opsv1.LastConfiguration {
	last := recordReplicas(o, k.components())
	maps.Copy(last.Components, k.elsewhere(o.Cluster).record(o).Components)
	return last
}

func (k rebuild) edit(o *Observed, c *appsv1.Cluster) { k.elsewhere(c).edit(o, c) }

// marks are the annotations that must be written before the operation is under way.
func (k rebuild) marks(o *Observed) ([]Mark, error) {
	var out []Mark
	for i := range k.op.Spec.RebuildFrom {
		r := &k.op.Spec.RebuildFrom[i]
		set := o.set(r.ComponentName)
		if set == nil || !r.InPlace {
			continue
		}
		have := tokens(set)
		want := maps.Clone(have)
		if want == nil {
			want = map[string]string{}
		}
		for _, i := range r.Instances {
			want[i.Name] = k.token(&i)
		}
		if maps.Equal(have, want) {
			continue
		}
		text, err := json.Marshal(want) // keys are sorted
		if err != nil {
			return nil, fmt.Errorf("mark %s for a rebuild: %w", set.Name, err)
		}
		out = append(out, Mark{Set: set, Annotation: string(text)})
	}
	return out, nil
}

// tokens reads the annotation of a set. What can't be read asks for nothing, and is replaced.
func tokens(set *workloadsv1.InstanceSet) map[string]string {
	var out map[string]string
	if json.Unmarshal([]byte(set.Annotations[naming.AnnotationRebuild]), &out) != nil {
		return nil
	}
	return out
}

func (k rebuild) progress(o *Observed, component string) work {
	i := slices.IndexFunc(k.op.Spec.RebuildFrom, func(r opsv1.RebuildInstanceOps) bool { return r.ComponentName == component })
	if !k.op.Spec.RebuildFrom[i].InPlace {
		return k.elsewhere(o.Cluster).progress(o, component)
	}
	out := work{settled: true, mends: true}
	set := o.set(component)
	for _, r := range k.op.Spec.RebuildFrom[i].Instances {
		instance := o.instance(component, r.Name)
		status, message := k.rebuilt(o, component, instance, &r), ""
		if instance != nil {
			message = instance.Message
		}
		out.steps = append(out.steps, step("Pod", r.Name, status, message))
		if set != nil && tokens(set)[r.Name] != k.token(&r) {
			out.failed = fmt.Sprintf("instance %s is marked for another rebuild", r.Name)
		}
	}
	out.total = len(out.steps)
	return out
}

// rebuilt is how far the rebuild of an instance is: its claims must be new, and the instance serve
// again. It may be that the claims are seen before it is seen that the old pod is gone: an instance can't
// have been available on a claim that is younger than the time that takes.
func (k rebuild) rebuilt(o *Observed, component string, i *workloadsv1.InstanceStatus, of *opsv1.RebuiltInstance) opsv1.ProgressStatus {
	claims, set := o.claimsOf(of.Name), o.set(component)
	if set == nil || i == nil {
		return opsv1.ProgressPending
	}
	renewed := len(claims) > 0
	for _, c := range claims {
		age := o.Now.Sub(c.CreationTimestamp.Time)
		renewed = renewed && c.Annotations[naming.AnnotationRebuild] == k.token(of) && age > time.Duration(set.Spec.MinReadySeconds)*time.Second
	}
	switch {
	case renewed && o.serving(component, i):
		return opsv1.ProgressSucceed
	case renewed || !there(i) || i.CurrentState == workloadsv1.InstanceTerminating || !i.Available:
		return opsv1.ProgressProcessing
	default:
		return opsv1.ProgressPending
	}
}
