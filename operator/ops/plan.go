package ops

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
)

const (
	// arrivalGrace is how long an operation may be ahead of its cluster: both may be in one manifest.
	arrivalGrace = 10 * time.Second
	// phaseWait is how long an operation that says nothing else waits for the cluster to be in a phase in
	// which it can start, as long as the phase is one that passes.
	phaseWait = 30 * time.Minute
	// failedFor is how long a component may have failed before an operation gives up.
	failedFor = 5 * time.Minute
	// expansionLimit and switchoverLimit are how long these may take when they don't say so themselves.
	expansionLimit, switchoverLimit = 30 * time.Minute, 10 * time.Minute
	// askAgain is how often the agent is asked how an action goes.
	askAgain = 2 * time.Second
)

// clusterKind is the kind of the owner of operations.
const clusterKind = "Cluster"

// Decision is what is to be written, in this order. An operator that dies between two writes, or can't do
// one, goes on from what it reads then.
type Decision struct {
	// Ops are the operations that change: metadata or status.
	Ops []Write
	// Marks are annotations of InstanceSets.
	Marks []Mark
	// Cluster is the cluster with another spec or queue, nil when it stays.
	Cluster *appsv1.Cluster
	// Release are deleted operations that have left the queue, Delete those whose time is up.
	Release, Delete []*opsv1.OpsRequest
	// Events are told once the rest is written.
	Events []Event
	// Measure are components of which the memory has to be known before anything else can be decided; then
	// nothing else is.
	Measure []string
	// After is when to look again although nothing was heard of; never when zero.
	After time.Duration
}

// Write is an operation before and after.
type Write struct{ Was, Now *opsv1.OpsRequest }

// Event is something to tell about an operation.
type Event struct {
	Op                    *opsv1.OpsRequest
	Type, Reason, Message string
}

// round is one run of Plan.
type round struct {
	o       *Observed
	ops     []*operation
	cluster *appsv1.Cluster // as it is to be
	out     Decision
	err     error
}

// Plan says what is to be done for the operations of a cluster.
func Plan(o *Observed) (*Decision, error) {
	r := &round{o: o}
	for i := range o.Ops {
		now := o.Ops[i].DeepCopy()
		r.ops = append(r.ops, &operation{was: &o.Ops[i], now: now, kind: kindOf(now)})
	}
	if o.Cluster != nil {
		r.cluster = o.Cluster.DeepCopy()
		if r.cluster.DeletionTimestamp != nil {
			r.withoutCluster(reasonClusterGoes, "cluster "+o.Key.Name+" is being deleted")
		} else {
			r.withCluster()
		}
	} else {
		r.withoutCluster(reasonNoCluster, fmt.Sprintf("there is no cluster %s in the namespace %s", o.Key.Name, o.Key.Namespace))
	}
	if len(r.out.Measure) > 0 {
		return &Decision{Measure: r.out.Measure}, nil
	}
	r.leave()
	return r.decision(), r.err
}

// withoutCluster fails what can't go on without a cluster.
func (r *round) withoutCluster(reason, message string) {
	for _, op := range r.ops {
		if !op.unfinished() || op.deleted() {
			continue
		}
		if why, ok := op.kind.(refused); ok {
			r.invalid(op, why.why())
			continue
		}
		if grace := op.now.CreationTimestamp.Add(arrivalGrace); op.waits() && reason == reasonNoCluster && r.o.Now.Before(grace) {
			r.until(grace)
			continue
		}
		if op.waits() {
			op.say(r.o.Now, opsv1.ConditionValidated, metav1.ConditionFalse, reason, message)
		}
		r.end(op, opsv1.OpsFailed, reason, message)
	}
}

// withCluster lets the operations go on, each as far as it can get in one round.
func (r *round) withCluster() {
	for _, op := range r.ops {
		if op.unfinished() && !op.deleted() && ofAnother(op.was, r.cluster) {
			r.end(op, opsv1.OpsFailed, reasonNoCluster, "the cluster that it was made for is gone")
		}
	}
	queue := parseQueue(r.cluster.Annotations[naming.AnnotationOpsQueue])
	line := inLine(queue, r.ops)
	for i, op := range line {
		if op.now.Status.Phase == "" {
			r.admit(op, i)
		}
	}
	line = slices.DeleteFunc(line, func(op *operation) bool { return !op.unfinished() })
	for i, op := range line {
		if newer := r.successor(op, line[i+1:]); newer != nil {
			r.giveWay(op, newer)
		} else if op.started() {
			r.advance(op)
		}
	}
	r.cancelBehindFailed(queue) // the operator may have died before it could
	r.startNext(line)
	r.cancelBehindFailed(queue)
	if err := r.writeQueue(line); err != nil {
		r.err = err
	}
}

// ofAnother tells whether an operation was made for a cluster that had the same name.
func ofAnother(op *opsv1.OpsRequest, c *appsv1.Cluster) bool {
	return slices.ContainsFunc(op.OwnerReferences, func(ref metav1.OwnerReference) bool {
		return ref.Kind == clusterKind && ref.UID != c.UID
	})
}

// admit receives a new operation. What can be told at once is told at once.
func (r *round) admit(op *operation, place int) {
	m := &op.now.ObjectMeta
	if !slices.Contains(m.Finalizers, naming.FinalizerOpsRequest) {
		m.Finalizers = append(m.Finalizers, naming.FinalizerOpsRequest)
	}
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	maps.Copy(m.Labels, naming.OpsLabels(r.cluster.Name, string(op.now.Spec.Type)))
	if !slices.ContainsFunc(m.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == r.cluster.UID }) {
		m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{
			APIVersion: appsv1.GroupVersion.String(), Kind: clusterKind, Name: r.cluster.Name, UID: r.cluster.UID,
		})
	}
	op.now.Status.Phase = opsv1.OpsPending
	op.now.Status.Progress = opsv1.NoProgress
	r.wait(op, reasonWaits, r.toBeDone(op))
	if why, ok := op.kind.(refused); ok {
		r.invalid(op, why.why())
	} else if err := r.knownTargets(op); err != nil {
		r.invalid(op, err)
	} else if place >= queueLimit {
		message := fmt.Sprintf("%d operations of cluster %s wait or are under way: make it again when some are done", queueLimit, r.cluster.Name)
		r.end(op, opsv1.OpsFailed, reasonQueueFull, message)
	}
}

func (r *round) toBeDone(op *operation) string {
	return fmt.Sprintf("%s is to be carried out on cluster %s", op.now.Name, r.cluster.Name)
}

// knownTargets refuses operations on components that the cluster doesn't have, or on none.
func (r *round) knownTargets(op *operation) error {
	components := op.kind.components()
	if t := op.now.Spec.Type; len(components) == 0 && t != opsv1.Start && t != opsv1.Stop {
		return fmt.Errorf("an operation of type %s must name a component", t)
	}
	return knownComponents(r.cluster, components)
}

// invalid fails an operation that can't be carried out.
func (r *round) invalid(op *operation, err error) {
	op.say(r.o.Now, opsv1.ConditionValidated, metav1.ConditionFalse, reasonInvalid, err.Error())
	r.end(op, opsv1.OpsFailed, reasonInvalid, err.Error())
}

// wait says for what an operation waits.
func (r *round) wait(op *operation, reason, message string) {
	op.say(r.o.Now, opsv1.ConditionWaitForProgressing, metav1.ConditionTrue, reason, message)
}

// end brings an operation to its end.
func (r *round) end(op *operation, phase opsv1.OpsPhase, reason, message string) {
	s := &op.now.Status
	s.Phase = phase
	s.CompletionTimestamp = new(seconds(r.o.Now))
	if s.Progress == "" {
		s.Progress = opsv1.NoProgress
	}
	if c := op.condition(op.now.Spec.Type.Condition()); c != nil && phase != opsv1.OpsSucceed {
		op.say(r.o.Now, c.Type, metav1.ConditionFalse, reason, message)
	}
	condition, event := string(phase), corev1.EventTypeWarning // conditions of an end are called as the phase
	if phase == opsv1.OpsSucceed || phase == opsv1.OpsCancelled {
		event = corev1.EventTypeNormal
	}
	op.say(r.o.Now, condition, metav1.ConditionTrue, reason, message)
	r.tell(op, event, reason, message)
}

func (r *round) tell(op *operation, eventType, reason, message string) {
	r.out.Events = append(r.out.Events, Event{Op: op.now, Type: eventType, Reason: reason, Message: message})
}

// leave lets go of operations that are deleted or whose time is up.
func (r *round) leave() {
	for _, op := range r.ops {
		switch {
		case op.deleted():
			if slices.Contains(op.was.Finalizers, naming.FinalizerOpsRequest) {
				r.out.Release = append(r.out.Release, op.was)
			}
		case op.was.Status.Phase.Finished():
			r.expire(op)
		}
	}
}

// expire deletes an operation some time after its end, if it says so.
func (r *round) expire(op *operation) {
	s := &op.was.Status
	ttl := op.was.Spec.TTLSecondsAfterUnsuccessfulCompletion
	if s.Phase == opsv1.OpsSucceed {
		ttl = op.was.Spec.TTLSecondsAfterSucceed
	}
	if ttl <= 0 || s.CompletionTimestamp == nil {
		return
	}
	if at := s.CompletionTimestamp.Add(time.Duration(ttl) * time.Second); r.o.Now.Before(at) {
		r.until(at)
	} else {
		r.out.Delete = append(r.out.Delete, op.was)
	}
}

// until asks for a look at a moment to come.
func (r *round) until(at time.Time) {
	after := max(at.Sub(r.o.Now), time.Second)
	if r.out.After == 0 || after < r.out.After {
		r.out.After = after
	}
}

func (r *round) byName(name string) *operation {
	for _, op := range r.ops {
		if op.now.Name == name {
			return op
		}
	}
	return nil
}

// decision gathers what changed.
func (r *round) decision() *Decision {
	// One that takes the place of another is written first: else the other one would be gone, and
	// the new one would have to wait for what that left behind, if the operator dies in between.
	ordered := slices.Clone(r.ops)
	slices.SortStableFunc(ordered, func(a, b *operation) int {
		switch {
		case a.unfinished() == b.unfinished():
			return 0
		case a.unfinished():
			return -1
		default:
			return 1
		}
	})
	for _, op := range ordered {
		if !op.deleted() && !equality.Semantic.DeepEqual(op.was, op.now) {
			r.out.Ops = append(r.out.Ops, Write{Was: op.was, Now: op.now})
		}
	}
	if r.cluster != nil && !equality.Semantic.DeepEqual(r.o.Cluster, r.cluster) {
		r.out.Cluster = r.cluster
	}
	return &r.out
}
