package instanceset

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
)

// mostText bounds the message of a condition, mostSaid that of an instance: there may be a thousand of them.
const mostText, mostSaid = 4096, 512

// status says what is seen.
func (p *planner) status() *workloadsv1.InstanceSetStatus {
	s := &workloadsv1.InstanceSetStatus{
		ObservedGeneration: p.set.Generation, CurrentRevision: p.set.Status.CurrentRevision, Conditions: slices.Clone(p.set.Status.Conditions),
	}
	if tpl := templateOf(p.set, nil); tpl != nil {
		if rev, err := revisionOf(p.set, nil, tpl); err == nil {
			s.UpdateRevision = rev.all
		}
	}
	templates := map[string]*workloadsv1.TemplateStatus{}
	for _, i := range p.listed() {
		one := p.instanceStatus(i)
		s.InstanceStatus = append(s.InstanceStatus, one)
		if i.pod == nil {
			continue
		}
		t := templates[i.TemplateName()]
		if t == nil {
			t = &workloadsv1.TemplateStatus{Name: i.TemplateName()}
			templates[i.TemplateName()] = t
		}
		count(t, &one)
	}
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		t := templates[name]
		s.TemplatesStatus = append(s.TemplatesStatus, *t)
		s.Replicas += t.Replicas
		s.ReadyReplicas += t.ReadyReplicas
		s.AvailableReplicas += t.AvailableReplicas
		s.CurrentReplicas += t.CurrentReplicas
		s.UpdatedReplicas += t.UpdatedReplicas
	}
	if s.CurrentRevision == "" || s.UpdatedReplicas == s.Replicas && s.Replicas > 0 {
		s.CurrentRevision = s.UpdateRevision
	}
	p.conditions(s)
	return s
}

// listed are the instances that the status tells of: those that should run, and those that leave.
func (p *planner) listed() []*instance {
	list := slices.Clone(p.wanted)
	for _, i := range p.leaving {
		if !i.left || i.pod != nil || !allLeft(i.claims) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b *instance) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func count(t *workloadsv1.TemplateStatus, i *workloadsv1.InstanceStatus) {
	t.Replicas++
	for n, yes := range map[*int32]bool{
		&t.ReadyReplicas: i.Ready, &t.AvailableReplicas: i.Available, &t.UpdatedReplicas: i.UpToDate, &t.CurrentReplicas: !i.UpToDate,
	} {
		if yes {
			*n++
		}
	}
}

func (p *planner) instanceStatus(i *instance) workloadsv1.InstanceStatus {
	s := workloadsv1.InstanceStatus{
		PodName: i.Name, TemplateName: i.TemplateName(), DesiredState: workloadsv1.InstanceActive, CurrentState: workloadsv1.InstanceAbsent,
		Ready: i.ready, Available: i.available, Failed: i.failed, Role: i.role, Message: bounded(strings.Join(i.messages, "; "), mostSaid),
		VolumeExpansion: p.expanding(i), UpToDate: i.upToDate() && !replacing(i.pod, p.o.Now),
	}
	switch {
	case slices.Contains(p.set.Spec.OfflineInstances, i.Name):
		s.DesiredState = workloadsv1.InstanceOffline
	case !i.wanted, i.undraining:
		s.DesiredState = workloadsv1.InstanceReleased
	}
	switch {
	case i.pod == nil:
	case i.pod.DeletionTimestamp != nil:
		s.CurrentState = workloadsv1.InstanceTerminating
	default:
		s.CurrentState = workloadsv1.InstancePresent
	}
	if s.UpToDate {
		s.Configs = p.set.Spec.Configs
	}
	return s
}

// conditions says how the set is as a whole.
func (p *planner) conditions(s *workloadsv1.InstanceSetStatus) {
	stopped := p.set.Spec.Stop != nil && *p.set.Spec.Stop
	var unready, unavailable []string
	for n := range s.InstanceStatus {
		one := &s.InstanceStatus[n]
		if i := p.all[one.PodName]; !i.wanted || stopped {
			continue
		}
		if !one.Ready {
			unready = append(unready, one.PodName+suffix(one.Message))
		} else if !one.Available {
			unavailable = append(unavailable, one.PodName)
		}
	}
	doing := strings.Join(p.doing, "; ")
	switch {
	case stopped:
		p.condition(s, workloadsv1.ConditionInstanceReady, len(p.o.Pods) == 0, or(p.work, "Stopped"), or(doing, "the set is stopped"))
		p.condition(s, workloadsv1.ConditionInstanceAvailable, false, "Stopped", "the set is stopped")
	case len(unready) > 0:
		text := "not ready: " + strings.Join(unready, ", ")
		p.condition(s, workloadsv1.ConditionInstanceReady, false, or(p.work, "NotReady"), join(doing, text))
		p.condition(s, workloadsv1.ConditionInstanceAvailable, false, "NotReady", text)
	case len(unavailable) > 0:
		p.condition(s, workloadsv1.ConditionInstanceReady, true, or(p.work, "Ready"), doing)
		p.condition(s, workloadsv1.ConditionInstanceAvailable, false, "NotAvailable",
			fmt.Sprintf("ready for less than %d s: %s", p.set.Spec.MinReadySeconds, strings.Join(unavailable, ", ")))
	default:
		p.condition(s, workloadsv1.ConditionInstanceReady, true, or(p.work, "Ready"), doing)
		p.condition(s, workloadsv1.ConditionInstanceAvailable, true, "Available", "")
	}
	p.setFailure(s)
	p.condition(s, workloadsv1.ConditionInstanceUpdateRestricted, len(p.restricted) > 0, restrictedReason(p.restricted), strings.Join(p.restricted, ", "))
}

func restrictedReason(restricted []string) string {
	if len(restricted) > 0 {
		return "NewPodsForbidden"
	}
	return "NotRestricted"
}

func (p *planner) setFailure(s *workloadsv1.InstanceSetStatus) {
	if len(p.failures) == 0 {
		p.condition(s, workloadsv1.ConditionInstanceFailure, false, "NoFailure", "")
		return
	}
	var texts []string
	for _, f := range p.failures {
		texts = append(texts, f.message)
	}
	p.condition(s, workloadsv1.ConditionInstanceFailure, true, word(p.failures[0].reason), strings.Join(texts, "; "))
}

func (p *planner) condition(s *workloadsv1.InstanceSetStatus, t string, yes bool, reason, message string) {
	setCondition(s, p.set.Generation, metav1.NewTime(p.o.Now), t, yes, reason, message)
}

func setCondition(s *workloadsv1.InstanceSetStatus, generation int64, now metav1.Time, t string, yes bool, reason, message string) {
	status := metav1.ConditionFalse
	if yes {
		status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: t, Status: status, Reason: reason, Message: bounded(message, mostText), ObservedGeneration: generation, LastTransitionTime: now,
	})
}

// Refused adds to a status what the API server refused, which needs somebody to do something about it.
func Refused(s *workloadsv1.InstanceSetStatus, generation int64, now metav1.Time, refusals []Refusal) {
	if len(refusals) == 0 {
		return
	}
	var texts []string
	if c := meta.FindStatusCondition(s.Conditions, workloadsv1.ConditionInstanceFailure); c != nil && c.Status == metav1.ConditionTrue {
		texts = append(texts, c.Message)
	}
	for _, r := range refusals {
		texts = append(texts, r.Message)
		for n := range s.InstanceStatus {
			if one := &s.InstanceStatus[n]; one.PodName == r.Instance {
				one.Failed = true
				one.Message = bounded(join(one.Message, r.Message), mostSaid)
			}
		}
	}
	setCondition(s, generation, now, workloadsv1.ConditionInstanceFailure, true, refusals[0].Reason, strings.Join(texts, "; "))
}

// Refusal is something that the API server refused.
type Refusal struct {
	// Instance it is about, Reason in one word, Message in a sentence.
	Instance, Reason, Message string
}

// word makes a reason of a condition from what others call so.
func word(text string) string {
	ok := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}
	return or(strings.Map(ok, text), "Failed")
}

func bounded(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-3], "") + "…"
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

func suffix(message string) string {
	if message == "" {
		return ""
	}
	return " (" + message + ")"
}
