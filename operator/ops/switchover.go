package ops

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
)

const (
	// anyInstance stands for the instance that leads.
	anyInstance = "*"
	roleLeader  = "leader"
	podKey      = "Pod/"

	actionSwitchover   = "switchover"
	parameterCurrent   = "KB_SWITCHOVER_CURRENT_NAME"
	parameterCandidate = "KB_SWITCHOVER_CANDIDATE_NAME"
)

// switchover has an instance hand over what it leads.
type switchover struct{ base }

// Action is something to be done by the agent of a pod.
type Action struct {
	Component, Pod string
	Name           string
	Parameters     map[string]string
}

// Outcome is how an action goes.
type Outcome struct {
	// Component and Pod are those of the action.
	Component, Pod string
	// Done says that it has come to its end: well when Word is empty.
	Done bool
	// Word and Message are what the agent said was wrong.
	Word, Message string
	// Unreachable is why the agent could not be asked.
	Unreachable string
}

// NextAction returns what the agent of a pod is to be asked in this round for an operation, nil for
// nothing: an action that is asked for again tells how it goes.
func NextAction(op *opsv1.OpsRequest) *Action {
	if op.Spec.Type != opsv1.Switchover || op.Status.Phase != opsv1.OpsRunning {
		return nil
	}
	return switchover{base{op: op}}.next()
}

// next is the first entry that isn't done. The pods that hand over were written down when the operation began: who
// leads changes by what it does.
func (k switchover) next() *Action {
	at := map[string]int{}
	for i := range k.op.Spec.Switchover {
		s := &k.op.Spec.Switchover[i]
		details := k.op.Status.Components[s.ComponentName].ProgressDetails
		n := at[s.ComponentName]
		at[s.ComponentName]++
		if n >= len(details) || details[n].Status == opsv1.ProgressSucceed {
			continue
		}
		pod := strings.TrimPrefix(details[n].ObjectKey, podKey)
		action := &Action{Component: s.ComponentName, Pod: pod, Name: actionSwitchover, Parameters: map[string]string{parameterCurrent: pod}}
		if s.CandidateName != "" {
			action.Parameters[parameterCandidate] = s.CandidateName
		}
		return action
	}
	return nil
}

func (k switchover) components() []string {
	return named(k.op.Spec.Switchover, func(s *opsv1.SwitchoverOps) string { return s.ComponentName })
}

func (k switchover) check(o *Observed) error {
	for i := range k.op.Spec.Switchover {
		if err := k.checkEntry(o, &k.op.Spec.Switchover[i]); err != nil {
			return err
		}
	}
	return nil
}

func (k switchover) checkEntry(o *Observed, s *opsv1.SwitchoverOps) error {
	if n := len(o.active(s.ComponentName)); o.follows(s.ComponentName) && n < 2 {
		return fmt.Errorf("component %s has no other instance that could take over", s.ComponentName)
	}
	for _, pod := range []string{s.InstanceName, s.CandidateName} {
		if pod == "" || pod == anyInstance {
			continue
		}
		if err := knownInstance(o, s.ComponentName, pod); err != nil {
			return err
		}
	}
	current := k.current(o, s)
	switch {
	case s.CandidateName == anyInstance:
		return errors.New("candidateName must be an instance; the operator chooses when it is left out")
	case current == "":
		return notYet{"no instance of component " + s.ComponentName + " is known to lead"}
	case current == s.CandidateName:
		return fmt.Errorf("%w: %s leads", errNothing, current)
	case !o.serving(s.ComponentName, o.instance(s.ComponentName, current)):
		return fmt.Errorf("instance %s isn't available: it can hand nothing over", current)
	case s.CandidateName != "" && !o.serving(s.ComponentName, o.instance(s.ComponentName, s.CandidateName)):
		return fmt.Errorf("instance %s isn't available: it can take nothing over", s.CandidateName)
	}
	return nil
}

// current is the instance that hands over.
func (switchover) current(o *Observed, s *opsv1.SwitchoverOps) string {
	if s.InstanceName != anyInstance {
		return s.InstanceName
	}
	for _, i := range o.active(s.ComponentName) {
		if i.Role == roleLeader {
			return i.PodName
		}
	}
	return ""
}

// begin writes down who hands over.
func (k switchover) begin(o *Observed) map[string][]opsv1.ProgressDetail {
	out := map[string][]opsv1.ProgressDetail{}
	for i := range k.op.Spec.Switchover {
		s := &k.op.Spec.Switchover[i]
		out[s.ComponentName] = append(out[s.ComponentName], step("Pod", k.current(o, s), opsv1.ProgressPending, ""))
	}
	return out
}

func (k switchover) progress(o *Observed, component string) work {
	details := slices.Clone(k.op.Status.Components[component].ProgressDetails)
	out := work{steps: details, total: len(details), settled: true}
	outcome, asked := o.Outcomes[k.op.UID]
	if !asked || outcome.Component != component {
		return out
	}
	for i := range details {
		if d := &details[i]; d.ObjectKey == podKey+outcome.Pod && d.Status != opsv1.ProgressSucceed {
			d.Status, d.Message, out.failed = outcome.step()
			break
		}
	}
	return out
}

// step is what an outcome means for the step. What an agent can't do now it may be able to do later.
func (out Outcome) step() (status opsv1.ProgressStatus, message, failed string) {
	switch {
	case out.Unreachable != "":
		return opsv1.ProgressProcessing, out.Unreachable, ""
	case !out.Done:
		return opsv1.ProgressProcessing, "", ""
	case out.Word == "":
		return opsv1.ProgressSucceed, "", ""
	case out.Word == "busy", out.Word == "timedOut", out.Word == "inProgress":
		return opsv1.ProgressProcessing, out.Message, ""
	default:
		return opsv1.ProgressFailed, out.Message, fmt.Sprintf("the agent of %s says %s: %s", out.Pod, out.Word, out.Message)
	}
}
