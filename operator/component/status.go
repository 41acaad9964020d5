package component

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// noRoleFor is how long a pod may be ready without a role.
const noRoleFor = time.Minute

// Status says how the component is. Pending says that the InstanceSet is about to follow a change, so that
// its status speaks of something older. After is when it must be looked at again, 0 is never.
func Status(o *Observed, plan *Plan, pending bool) (status appsv1.ComponentStatus, after time.Duration) {
	status = *o.Component.Status.DeepCopy()
	problems := slices.Clone(plan.Problems)
	more, after := troubles(o)
	problems = append(problems, more...)
	if plan.Refused {
		// The status goes on speaking of the generation before: the new one isn't followed.
		if status.Phase == "" {
			status.Phase = appsv1.ComponentCreating
		}
	} else {
		status.ObservedGeneration = o.Component.Generation
		status.Phase = phase(o, problems, pending)
	}
	status.Message = messages(o, problems)
	for _, c := range []metav1.Condition{provisioning(plan), available(o), progressing(o, plan, status.Phase), healthy(problems)} {
		c.ObservedGeneration, c.LastTransitionTime = o.Component.Generation, metav1.NewTime(o.Now).Rfc3339Copy()
		meta.SetStatusCondition(&status.Conditions, c)
	}
	return status, after
}

// phase is the state of the component in one word.
func phase(o *Observed, problems []Problem, pending bool) appsv1.ComponentPhase {
	set, last := o.InstanceSet, o.Component.Status.Phase
	stop := o.Component.Spec.Stop != nil && *o.Component.Spec.Stop
	switch {
	case stop && set != nil && !pending && set.Status.ObservedGeneration == set.Generation && set.Status.Replicas == 0 && len(o.Pods) == 0:
		return appsv1.ComponentStopped
	case stop:
		return appsv1.ComponentStopping
	case slices.ContainsFunc(problems, func(p Problem) bool { return p.Fatal }):
		return appsv1.ComponentFailed
	case !pending && running(o):
		return appsv1.ComponentRunning
	case last == appsv1.ComponentStopped, last == appsv1.ComponentStopping, last == appsv1.ComponentStarting:
		return appsv1.ComponentStarting
	case last == "", last == appsv1.ComponentCreating, !founded(o):
		return appsv1.ComponentCreating
	default:
		return appsv1.ComponentUpdating
	}
}

func founded(o *Observed) bool {
	b := o.Component.Status.Bootstrap
	return b != nil && b.ClusterID != ""
}

// running tells whether all instances are there, as the spec wants them.
func running(o *Observed) bool {
	set := o.InstanceSet
	if set == nil || set.Status.ObservedGeneration != set.Generation || !founded(o) {
		return false
	}
	want := o.Component.Spec.Replicas
	if set.Status.Replicas != want || set.Status.AvailableReplicas < want || set.Status.UpdatedReplicas < updated(set, want) {
		return false
	}
	return !slices.ContainsFunc(set.Status.InstanceStatus, func(i workloadsv1.InstanceStatus) bool {
		active := i.DesiredState == "" || i.DesiredState == workloadsv1.InstanceActive
		return !active && i.CurrentState != workloadsv1.InstanceAbsent || i.VolumeExpansion || active && i.Role == "" && len(set.Spec.Roles) > 0
	})
}

// updated is how many instances the strategy lets follow the template by themselves.
func updated(set *workloadsv1.InstanceSet, replicas int32) int32 {
	strategy := set.Spec.InstanceUpdateStrategy
	switch {
	case strategy == nil:
		return replicas
	case strategy.Type == appsv1.OnDeleteInstances:
		return 0
	case strategy.RollingUpdate == nil || strategy.RollingUpdate.Replicas == nil:
		return replicas
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(strategy.RollingUpdate.Replicas, int(replicas), true)
	if err != nil {
		return replicas
	}
	return min(int32(n), replicas)
}

// troubles are what the InstanceSet and the pods report, and when the next one is due.
func troubles(o *Observed) (problems []Problem, after time.Duration) {
	set := o.InstanceSet
	if set == nil {
		return nil, 0
	}
	if c := meta.FindStatusCondition(set.Status.Conditions, workloadsv1.ConditionInstanceFailure); c != nil && c.Status == metav1.ConditionTrue {
		problems = append(problems, Problem{Object: "InstanceSet/" + set.Name, Reason: "InstanceFailure", Message: sentence(c), Fatal: true})
	}
	if len(set.Spec.Roles) == 0 {
		return problems, 0
	}
	for i := range o.Pods {
		p := &o.Pods[i]
		c := nodes.Condition(p, corev1.PodReady)
		if c == nil || c.Status != corev1.ConditionTrue || p.DeletionTimestamp != nil || p.Labels[naming.LabelRole] != "" {
			continue
		}
		if left := noRoleFor - o.Now.Sub(c.LastTransitionTime.Time); left > 0 {
			after = sooner(after, left)
			continue
		}
		problems = append(problems, Problem{
			Object: "Pod/" + p.Name, Reason: "NoRole", Fatal: true,
			Message: fmt.Sprintf("the pod is ready, but its agent has told no role for %s", noRoleFor),
		})
	}
	return problems, after
}

// sooner returns the smaller of two times, where 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// messages say by object what is the matter: what the InstanceSet waits for, too.
func messages(o *Observed, problems []Problem) map[string]string {
	all := map[string][]string{}
	if set := o.InstanceSet; set != nil {
		for _, kind := range []string{workloadsv1.ConditionInstanceUpdateRestricted, workloadsv1.ConditionInstanceReady, workloadsv1.ConditionInstanceAvailable} {
			c := meta.FindStatusCondition(set.Status.Conditions, kind)
			// A set that is ready may have work left: that stands there, too.
			if c != nil && c.Message != "" && (kind != workloadsv1.ConditionInstanceUpdateRestricted || c.Status == metav1.ConditionTrue) {
				all["InstanceSet/"+set.Name] = append(all["InstanceSet/"+set.Name], c.Message)
			}
		}
		for _, i := range set.Status.InstanceStatus {
			if i.Message != "" {
				all["Pod/"+i.PodName] = append(all["Pod/"+i.PodName], i.Message)
			}
		}
	}
	for _, p := range problems {
		all[p.Object] = append(all[p.Object], p.Message)
	}
	if len(all) == 0 {
		return nil
	}
	out := map[string]string{}
	for object, list := range all {
		slices.Sort(list)
		out[object] = strings.Join(slices.Compact(list), "; ")
	}
	return out
}

func sentence(c *metav1.Condition) string {
	if c.Message == "" {
		return c.Reason
	}
	return c.Message
}

// provisioning tells whether the spec was understood.
func provisioning(plan *Plan) metav1.Condition {
	c := metav1.Condition{Type: appsv1.ConditionProvisioningStarted, Status: metav1.ConditionTrue, Reason: "SpecAccepted", Message: "the objects of the component have been applied"}
	if plan.Refused {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, plan.Problems[0].Reason, plan.Problems[0].Message
	}
	return c
}

// available tells whether clients are served: a majority of the nodes of the cluster is ready.
func available(o *Observed) metav1.Condition {
	ready, members := 0, 0
	for i := range o.Pods {
		if p := &o.Pods[i]; serves(o, p) {
			ready++
			members = max(members, o.Answers[p.Name].Peers)
		}
	}
	if members == 0 {
		members = int(o.Component.Spec.Replicas)
	}
	c := metav1.Condition{Type: appsv1.ConditionAvailable, Status: metav1.ConditionFalse, Message: fmt.Sprintf("%d of %d nodes are ready", ready, members)}
	switch {
	case ready > 0 && ready*2 > members && founded(o):
		c.Status, c.Reason = metav1.ConditionTrue, "MajorityReady"
	case o.Component.Spec.Stop != nil && *o.Component.Spec.Stop:
		c.Reason, c.Message = "Stopped", "the component is stopped"
	case !founded(o):
		c.Reason, c.Message = "NotFounded", "the cluster isn't founded yet"
	default:
		c.Reason = "TooFewReady"
	}
	return c
}

func progressing(o *Observed, plan *Plan, phase appsv1.ComponentPhase) metav1.Condition {
	c := metav1.Condition{Type: appsv1.ConditionProgressing, Status: metav1.ConditionTrue, Reason: string(phase), Message: "the component is " + strings.ToLower(string(phase))}
	switch {
	case plan.Refused:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, plan.Problems[0].Reason, "the spec can't be followed"
	case phase == appsv1.ComponentFailed:
		c.Status, c.Message = metav1.ConditionFalse, "it doesn't go on by itself"
	case phase == appsv1.ComponentRunning, phase == appsv1.ComponentStopped:
		c.Status = metav1.ConditionFalse
	case !founded(o):
		c.Message = "the cluster is being founded"
	}
	return c
}

// healthy tells whether something is the matter.
func healthy(problems []Problem) metav1.Condition {
	c := metav1.Condition{Type: appsv1.ConditionHealthy, Status: metav1.ConditionTrue, Reason: "AllWell", Message: "nothing is the matter"}
	if len(problems) > 0 {
		var all []string
		for _, p := range problems {
			all = append(all, p.Object+": "+p.Message)
		}
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, problems[0].Reason, strings.Join(all, "; ")
	}
	return c
}

// Event is something that happened.
type Event struct{ Type, Reason, Message string }

// happened is what changed between two states that people may want to read of.
func happened(before, after *appsv1.ComponentStatus) []Event {
	var out []Event
	if a, b := after.Bootstrap, before.Bootstrap; a != nil {
		if b == nil {
			out = append(out, Event{corev1.EventTypeNormal, "FounderChosen", "the pod " + a.Founder + " founds the cluster"})
		}
		if a.ClusterID != "" && (b == nil || b.ClusterID == "") {
			out = append(out, Event{corev1.EventTypeNormal, "Founded", "the cluster " + a.ClusterID + " was founded by " + a.Founder})
		}
	}
	for _, kind := range []string{appsv1.ConditionProvisioningStarted, appsv1.ConditionHealthy, appsv1.ConditionAvailable} {
		a, b := meta.FindStatusCondition(after.Conditions, kind), meta.FindStatusCondition(before.Conditions, kind)
		if a == nil || b != nil && a.Status == b.Status && a.Reason == b.Reason || b == nil && a.Status == metav1.ConditionTrue {
			continue
		}
		e := Event{corev1.EventTypeNormal, a.Reason, a.Message}
		if a.Status != metav1.ConditionTrue && a.Reason != "Stopped" && a.Reason != "NotFounded" {
			e.Type = corev1.EventTypeWarning
		}
		out = append(out, e)
	}
	return out
}
