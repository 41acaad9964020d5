package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// The reasons of the conditions, beside those for which a spec isn't followed.
const (
	ReasonPreCheckSucceed        = "PreCheckSucceed"
	ReasonApplyResourcesSucceed  = "ApplyResourcesSucceed"
	ReasonApplyResourcesFailed   = "ApplyResourcesFailed"
	ReasonApplyResourcesWaiting  = "ApplyResourcesWaiting"
	ReasonComponentsAvailable    = "ComponentsAvailable"
	ReasonComponentsNotAvailable = "ComponentsNotAvailable"
)

// reasonHeld is the reason of the event for a cluster that was deleted and stays.
const reasonHeld = string(appsv1.DoNotTerminate)

// reasonUnmeasured is the reason of the event for a limit that is followed without knowing what nodes need.
const reasonUnmeasured = "MemoryNeedUnknown"

const heldMessage = "the cluster was deleted, but its terminationPolicy is DoNotTerminate: it stays, and goes on running; " +
	"to let it go, set terminationPolicy to Delete or WipeOut"

// Outcome is what came of applying a plan.
type Outcome struct {
	// Changed are the components whose Component has got another spec in this round.
	Changed map[string]bool
	// Waiting says of components for which others they wait.
	Waiting map[string]string
	// Errors are by component; those of services stand under the empty name.
	Errors map[string]error
}

// applied tells whether the Component of a component was as it should be before this round.
func (o *Outcome) applied(component string) bool {
	return !o.Changed[component] && o.Errors[component] == nil && o.Waiting[component] == ""
}

// failures are the errors of an outcome and the problems of a plan, a text each.
func failures(p *Plan, o *Outcome) []string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(o.Errors)) {
		texts = append(texts, o.Errors[name].Error())
	}
	return append(texts, p.Problems...)
}

// Status is what the user is told of a cluster that there should be.
func Status(t *Tree, p *Plan, o *Outcome) appsv1.ClusterStatus {
	old := &t.Cluster.Status
	s := *old.DeepCopy()
	s.ObservedGeneration = t.Cluster.Generation
	s.Components = map[string]appsv1.ClusterComponentStatus{}
	for i := range t.Cluster.Spec.ComponentSpecs {
		spec := &t.Cluster.Spec.ComponentSpecs[i]
		if of, ok := componentStatus(t, spec, p, o); ok {
			s.Components[spec.Name] = of
		}
	}
	s.Phase = phase(t, s.Components, p)
	s.Message = message(t, &s, p, o)
	conditions(t, &s, p, o)
	return s
}

// componentStatus returns the state of a component, false while there is nothing to tell.
func componentStatus(t *Tree, spec *appsv1.ClusterComponentSpec, p *Plan, o *Outcome) (appsv1.ClusterComponentStatus, bool) {
	old, known := t.Cluster.Status.Components[spec.Name]
	live := t.component(spec.Name)
	s := appsv1.ClusterComponentStatus{Bootstrap: old.Bootstrap.DeepCopy()}
	if live == nil {
		if !known && p.Refused != nil {
			return s, false
		}
		s.Phase = appsv1.ComponentCreating
		live = &appsv1.Component{}
	} else {
		s.ObservedGeneration = live.Status.ObservedGeneration
		s.UpToDate = p.Refused == nil && o.applied(spec.Name) &&
			live.DeletionTimestamp == nil && live.Status.ObservedGeneration == live.Generation
		s.Phase = phaseOf(spec, live, s.UpToDate || p.Refused != nil)
	}
	s.Message = maps.Clone(live.Status.Message)
	tell := func(text string) {
		if s.Message == nil {
			s.Message = map[string]string{}
		}
		s.Message["Component/"+naming.Component(t.Cluster.Name, spec.Name)] = text
	}
	switch {
	case o.Errors[spec.Name] != nil:
		tell(o.Errors[spec.Name].Error())
	case o.Waiting[spec.Name] != "":
		tell(o.Waiting[spec.Name])
	case live.DeletionTimestamp != nil:
		tell("somebody has deleted it; it is made anew once it is gone")
	}
	if b := live.Status.Bootstrap; contradicts(s.Bootstrap, b) {
		// What is recorded never changes, and the server would refuse the whole status.
		tell(fmt.Sprintf("it says that %s founded cluster %q; recorded before is that %s founded cluster %q",
			b.Founder, b.ClusterID, s.Bootstrap.Founder, s.Bootstrap.ClusterID))
	} else if b != nil {
		s.Bootstrap = b.DeepCopy()
	}
	return s, true
}

// contradicts tells whether what a Component says of its founding isn't what is recorded of it.
func contradicts(recorded, said *appsv1.Bootstrap) bool {
	return recorded != nil && said != nil &&
		(recorded.Founder != said.Founder || recorded.ClusterID != "" && recorded.ClusterID != said.ClusterID)
}

// phaseOf returns the phase of a Component. While its controller hasn't seen the newest spec, the
// phase that it will tell is foreseen: a cluster isn't Running right after a change only because nobody
// has looked yet.
func phaseOf(spec *appsv1.ClusterComponentSpec, live *appsv1.Component, seen bool) appsv1.ComponentPhase {
	phase := cmp.Or(live.Status.Phase, appsv1.ComponentCreating)
	if seen {
		return phase
	}
	stop := spec.Stop != nil && *spec.Stop
	switch phase {
	case appsv1.ComponentCreating, appsv1.ComponentFailed, appsv1.ComponentDeleting:
		return phase
	case appsv1.ComponentStopped, appsv1.ComponentStopping, appsv1.ComponentStarting:
		if !stop {
			return appsv1.ComponentStarting
		}
		if phase == appsv1.ComponentStarting {
			return appsv1.ComponentStopping
		}
		return phase
	default: // Running, Updating
		if stop {
			return appsv1.ComponentStopping
		}
		return appsv1.ComponentUpdating
	}
}

// phase is that of the cluster.
func phase(t *Tree, components map[string]appsv1.ClusterComponentStatus, p *Plan) appsv1.ClusterPhase {
	var phases []appsv1.ComponentPhase
	for _, c := range components {
		phases = append(phases, c.Phase)
	}
	composed := appsv1.ComposeClusterPhase(phases)
	switch {
	case composed == appsv1.ClusterFailed && slices.ContainsFunc(t.Components, served):
		return appsv1.ClusterAbnormal // clients don't notice yet
	case composed == appsv1.ClusterRunning && p.Refused != nil:
		return appsv1.ClusterAbnormal // it runs, but isn't what was asked for
	default:
		return cmp.Or(composed, t.Cluster.Status.Phase, appsv1.ClusterCreating)
	}
}

// served tells whether clients of a Component are.
func served(c appsv1.Component) bool {
	return meta.IsStatusConditionTrue(c.Status.Conditions, appsv1.ConditionAvailable)
}

// message says why the cluster is in its phase.
func message(t *Tree, s *appsv1.ClusterStatus, p *Plan, o *Outcome) string {
	failed := failures(p, o)
	switch {
	case t.held():
		return heldMessage
	case p.Refused != nil:
		return p.Refused.Message
	case len(failed) > 0:
		return strings.Join(failed, "; ")
	case s.Phase == appsv1.ClusterRunning || s.Phase == appsv1.ClusterStopped:
		return ""
	}
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(s.Components)) {
		c := s.Components[name]
		if c.Phase == appsv1.ComponentRunning || c.Phase == appsv1.ComponentStopped {
			continue
		}
		texts = append(texts, fmt.Sprintf("%s is %s", name, c.Phase))
		texts = append(texts, said(c.Message)...)
	}
	return strings.Join(texts, "; ")
}

// said returns the messages about objects, a text each.
func said(messages map[string]string) []string {
	var texts []string
	for _, object := range slices.Sorted(maps.Keys(messages)) {
		texts = append(texts, object+": "+messages[object])
	}
	return texts
}

func conditions(t *Tree, s *appsv1.ClusterStatus, p *Plan, o *Outcome) {
	set := func(kind string, ok bool, reason, message string) {
		c := metav1.Condition{
			Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message,
			ObservedGeneration: t.Cluster.Generation, LastTransitionTime: metav1.NewTime(t.Now),
		}
		if ok {
			c.Status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&s.Conditions, c)
	}
	if p.Refused != nil {
		set(appsv1.ConditionProvisioningStarted, false, p.Refused.Reason, p.Refused.Message)
	} else {
		set(appsv1.ConditionProvisioningStarted, true, ReasonPreCheckSucceed, "the spec is understood")
	}
	failed := failures(p, o)
	waiting := slices.Sorted(maps.Values(o.Waiting))
	switch {
	case len(failed) > 0:
		set(appsv1.ConditionApplyResources, false, ReasonApplyResourcesFailed, strings.Join(failed, "; "))
	case len(waiting) > 0:
		set(appsv1.ConditionApplyResources, false, ReasonApplyResourcesWaiting, strings.Join(waiting, "; "))
	case p.Refused == nil:
		set(appsv1.ConditionApplyResources, true, ReasonApplyResourcesSucceed, "all objects are applied")
	}
	if unready := unready(s); len(unready) > 0 {
		set(appsv1.ConditionReady, false, appsv1.ReasonComponentsNotReady, strings.Join(unready, "; "))
	} else {
		set(appsv1.ConditionReady, true, appsv1.ReasonClusterReady, "all components are ready")
	}
	if unserved := unserved(t, s); len(unserved) > 0 {
		set(appsv1.ConditionAvailable, false, ReasonComponentsNotAvailable, strings.Join(unserved, "; "))
	} else {
		set(appsv1.ConditionAvailable, true, ReasonComponentsAvailable, "clients are served")
	}
}

// unready says which components aren't ready, and why. One that is stopped is, if another one runs.
func unready(s *appsv1.ClusterStatus) []string {
	if len(s.Components) == 0 {
		return []string{"there are no components yet"}
	}
	if s.Phase == appsv1.ClusterStopped {
		return []string{"all components are stopped"}
	}
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(s.Components)) {
		c := s.Components[name]
		switch {
		case c.Phase != appsv1.ComponentRunning && c.Phase != appsv1.ComponentStopped:
			texts = append(texts, fmt.Sprintf("%s is %s", name, c.Phase))
		case !c.UpToDate:
			texts = append(texts, name+" doesn't follow the spec of the cluster yet")
		}
	}
	return texts
}

// unserved says which components serve no clients, and why. One that is stopped isn't missed, if another
// one runs.
func unserved(t *Tree, s *appsv1.ClusterStatus) []string {
	if len(s.Components) == 0 {
		return []string{"there are no components yet"}
	}
	if s.Phase == appsv1.ClusterStopped {
		return []string{"all components are stopped"}
	}
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(s.Components)) {
		if s.Components[name].Phase == appsv1.ComponentStopped {
			continue
		}
		var available *metav1.Condition
		if live := t.component(name); live != nil {
			available = meta.FindStatusCondition(live.Status.Conditions, appsv1.ConditionAvailable)
		}
		switch {
		case available == nil:
			texts = append(texts, name+" hasn't served anyone yet")
		case available.Status != metav1.ConditionTrue:
			texts = append(texts, fmt.Sprintf("%s: %s", name, cmp.Or(available.Message, available.Reason)))
		}
	}
	return texts
}

// Event is something that users are told once.
type Event struct {
	Type, Reason, Note string
}

// Events says what is worth an event between two states of a cluster.
func Events(t *Tree, is *appsv1.ClusterStatus) []Event {
	was := &t.Cluster.Status
	var told []Event
	if is.Message == heldMessage && was.Message != heldMessage {
		told = append(told, Event{corev1.EventTypeWarning, reasonHeld, heldMessage})
	}
	spec, specBefore := whyFalse(is, appsv1.ConditionProvisioningStarted), whyFalse(was, appsv1.ConditionProvisioningStarted)
	if spec.Message != "" && spec.Message != specBefore.Message {
		told = append(told, Event{corev1.EventTypeWarning, spec.Reason, spec.Message})
	}
	// The texts of errors may differ each time: only the first one is told.
	objects, objectsBefore := whyFalse(is, appsv1.ConditionApplyResources), whyFalse(was, appsv1.ConditionApplyResources)
	if objects.Reason == ReasonApplyResourcesFailed && objects.Reason != objectsBefore.Reason {
		told = append(told, Event{corev1.EventTypeWarning, objects.Reason, objects.Message})
	}
	if is.Phase != was.Phase {
		e := Event{corev1.EventTypeNormal, string(is.Phase), fmt.Sprintf("the cluster is %s", is.Phase)}
		if was.Phase != "" {
			e.Note = fmt.Sprintf("the cluster was %s and is %s", was.Phase, is.Phase)
		}
		if is.Message != "" {
			e.Note += ": " + is.Message
		}
		if is.Phase == appsv1.ClusterFailed || is.Phase == appsv1.ClusterAbnormal {
			e.Type = corev1.EventTypeWarning
		}
		told = append(told, e)
	}
	return told
}

// Applied says what is worth an event when Components have changed.
func Applied(p *Plan, o *Outcome) []Event {
	var told []Event
	for _, name := range slices.Sorted(maps.Keys(p.Unmeasured)) {
		if o.Changed[name] {
			told = append(told, Event{corev1.EventTypeWarning, reasonUnmeasured, fmt.Sprintf(
				"component %s gets less memory, and it isn't known whether that is enough: %s", name, p.Unmeasured[name])})
		}
	}
	return told
}

// whyFalse returns a condition that is False, and an empty one for any other.
func whyFalse(s *appsv1.ClusterStatus, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(s.Conditions, kind); c != nil && c.Status == metav1.ConditionFalse {
		return *c
	}
	return metav1.Condition{}
}
