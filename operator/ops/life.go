package ops

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
)

// startNext starts the operation whose turn it is, and those that don't wait for theirs.
func (r *round) startNext(line []*operation) {
	first := true
	for i, op := range line {
		if !op.unfinished() {
			continue
		}
		switch {
		case !op.waits():
		case op.now.Spec.Cancel:
			r.end(op, opsv1.OpsCancelled, reasonCancelled, "it was cancelled before it started")
		case op.forced():
			r.start(op, r.overridden(op, line))
		case first:
			first = false
			r.turn(op, line[:i])
		default:
			r.wait(op, reasonQueued, "waits for the operations before it")
		}
	}
}

// turn starts the first operation that waits, unless others are under way that it doesn't override.
func (r *round) turn(op *operation, before []*operation) {
	over := r.overridden(op, before)
	for _, b := range before {
		if b.started() && !slices.Contains(over, b) || b.now.Status.Phase == opsv1.OpsPending {
			r.wait(op, reasonQueued, "waits for "+b.now.Name)
			return
		}
	}
	r.start(op, over)
}

// overridden are operations under way that make no sense any more once another one starts.
func (r *round) overridden(op *operation, among []*operation) []*operation {
	var out []*operation
	for _, b := range among {
		// One that is about to edit the cluster is left to do so: what it adds is kept.
		if b != op && b.was.Status.Phase == opsv1.OpsRunning && b.started() && overrides(r.cluster, op, b) {
			out = append(out, b)
		}
	}
	return out
}

// successor is an operation that has started later and took the place of one that is under way: the operator died
// before it could say so.
func (r *round) successor(op *operation, later []*operation) *operation {
	if op.now.Status.Phase != opsv1.OpsRunning {
		return nil
	}
	for _, l := range later {
		if l.started() && !l.now.Status.StartTimestamp.Before(op.now.Status.StartTimestamp) && overrides(r.cluster, l, op) {
			return l
		}
	}
	return nil
}

func (r *round) giveWay(op, newer *operation) {
	r.end(op, opsv1.OpsAborted, reasonOverridden, newer.now.Name+" took its place")
}

// overrides tells whether an operation takes the place of an older one.
func overrides(c *appsv1.Cluster, op, older *operation) bool {
	about := func(op *operation) []string { return namedOrAll(c, op.kind.components()) }
	switch op.now.Spec.Type {
	case opsv1.Start, opsv1.Stop:
		if t := older.now.Spec.Type; t != opsv1.Start && t != opsv1.Stop {
			return false
		}
	case opsv1.Restart, opsv1.VerticalScaling, opsv1.HorizontalScaling:
		if older.now.Spec.Type != op.now.Spec.Type {
			return false
		}
	default:
		return false
	}
	return !slices.ContainsFunc(about(older), func(name string) bool { return !slices.Contains(about(op), name) })
}

// start checks an operation and begins with it.
func (r *round) start(op *operation, over []*operation) {
	if err := r.knownTargets(op); err != nil {
		r.invalid(op, err)
		return
	}
	if err := op.kind.check(r.o); err != nil {
		if why, ok := errors.AsType[notYet](err); ok {
			r.waitInTime(op, reasonWaitStatus, why.why)
		} else {
			r.invalid(op, err)
		}
		return
	}
	if phase := r.o.Cluster.Status.Phase; !op.now.Spec.Force && len(over) == 0 && !slices.Contains(op.kind.phases(), phase) {
		r.waitForPhase(op, phase)
		return
	}
	doubt, ok := r.enoughMemory(op)
	if !ok {
		return
	}
	for _, older := range over {
		r.giveWay(older, op)
	}
	s, of := &op.now.Status, op.now.Spec.Type
	s.Phase = opsv1.OpsCreating
	s.StartTimestamp = new(seconds(r.o.Now))
	s.LastConfiguration = op.kind.record(r.o)
	if k, ok := op.kind.(switchover); ok {
		for name, details := range k.begin(r.o) {
			r.component(op, name, opsv1.OpsComponentStatus{ProgressDetails: details})
		}
	}
	r.wait(op, reasonWaits, r.toBeDone(op))
	op.say(r.o.Now, opsv1.ConditionValidated, metav1.ConditionTrue, reasonValid, op.now.Name+" can be carried out"+doubt)
	message := fmt.Sprintf("%s has started on cluster %s", of, r.cluster.Name)
	op.say(r.o.Now, of.Condition(), metav1.ConditionTrue, string(of)+"Started", message)
	r.tell(op, corev1.EventTypeNormal, string(of)+"Started", message)
	r.edit(op)
}

func (r *round) component(op *operation, name string, c opsv1.OpsComponentStatus) {
	if op.now.Status.Components == nil {
		op.now.Status.Components = map[string]opsv1.OpsComponentStatus{}
	} else {
		op.now.Status.Components = maps.Clone(op.now.Status.Components)
	}
	op.now.Status.Components[name] = c
}

// waitForPhase lets an operation wait until the cluster is in a phase in which it can start. A phase that
// doesn't pass by itself is only waited for when the operation says how long.
func (r *round) waitForPhase(op *operation, phase appsv1.ClusterPhase) {
	words := make([]string, 0, len(op.kind.phases()))
	for _, p := range op.kind.phases() {
		words = append(words, string(p))
	}
	message := fmt.Sprintf("cluster %s is %s; %s starts when it is %s, or with force",
		r.cluster.Name, cmp.Or(phase, "new"), op.now.Spec.Type, strings.Join(words, " or "))
	resting := phase == appsv1.ClusterStopped || phase == appsv1.ClusterRunning
	if resting && op.now.Spec.PreConditionDeadlineSeconds == nil {
		r.end(op, opsv1.OpsFailed, reasonDeadline, message)
		return
	}
	r.waitInTime(op, reasonWaitCluster, message)
}

// waitInTime lets an operation wait, but not for ever.
func (r *round) waitInTime(op *operation, reason, message string) {
	since := r.o.Now
	c := op.condition(opsv1.ConditionWaitForProgressing)
	waiting := c != nil && (c.Reason == reasonWaitCluster || c.Reason == reasonWaitStatus)
	if waiting {
		since = c.LastTransitionTime.Time
		reason = c.Reason // one wait, whatever for
	}
	wait := phaseWait
	if s := op.now.Spec.PreConditionDeadlineSeconds; s != nil {
		wait = time.Duration(*s) * time.Second
	}
	if at := since.Add(wait); r.o.Now.Before(at) {
		r.until(at)
		r.wait(op, reason, message)
		return
	}
	r.end(op, opsv1.OpsFailed, reasonDeadline, fmt.Sprintf("it could not start within %s: %s", wait, message))
}

// advance takes an operation that has started further.
func (r *round) advance(op *operation) {
	switch op.now.Status.Phase {
	case opsv1.OpsCreating:
		r.edit(op)
	case opsv1.OpsCancelling:
		r.putBack(op)
	default:
		r.watch(op)
	}
}

// edit makes the change. It is repeated until the change is seen: only then the operation is under way.
func (r *round) edit(op *operation) {
	if k, ok := op.kind.(rebuild); ok {
		marks, err := k.marks(r.o)
		if len(marks) > 0 || err != nil {
			r.out.Marks, r.err = append(r.out.Marks, marks...), err
			return
		}
	}
	edited := r.cluster.DeepCopy()
	op.kind.edit(r.o, edited)
	if equality.Semantic.DeepEqual(edited.Spec, r.o.Cluster.Spec) {
		op.now.Status.Phase = opsv1.OpsRunning
		op.now.Status.ClusterGeneration = r.o.Cluster.Generation
		r.watch(op)
		return
	}
	if r.o.Refused != "" {
		message := "the change of the Cluster is refused: " + r.o.Refused
		op.say(r.o.Now, opsv1.ConditionValidated, metav1.ConditionFalse, reasonRefused, message)
		r.end(op, opsv1.OpsFailed, reasonRefused, message)
		return
	}
	// The cluster may have been edited since it was recorded: what is added is added to what there is now.
	if now := op.kind.record(r.o); !sameRecord(now, op.now.Status.LastConfiguration) {
		op.now.Status.LastConfiguration = now
		edited = r.cluster.DeepCopy()
		op.kind.edit(r.o, edited)
	}
	r.cluster = edited
}

// sameRecord compares what was recorded of the spec of a cluster.
func sameRecord(a, b opsv1.LastConfiguration) bool {
	withoutPods := func(l opsv1.LastConfiguration) map[string]opsv1.LastComponentConfiguration {
		out := maps.Clone(l.Components)
		for name, c := range out {
			c.Pods = nil
			out[name] = c
		}
		return out
	}
	return equality.Semantic.DeepEqual(withoutPods(a), withoutPods(b))
}

// watch looks how an operation goes whose change has been made.
func (r *round) watch(op *operation) {
	if r.o.Cluster.Generation < op.now.Status.ClusterGeneration {
		return // an old state of the cluster: the new one is on its way
	}
	if op.now.Spec.Cancel && r.cancel(op) {
		return
	}
	edited := r.o.Cluster.DeepCopy()
	if err := knownComponents(edited, op.kind.components()); err == nil {
		op.kind.edit(r.o, edited)
	}
	if !equality.Semantic.DeepEqual(edited.Spec, r.o.Cluster.Spec) {
		r.end(op, opsv1.OpsAborted, reasonSuperseded, "what it changed in the Cluster was changed again meanwhile")
		return
	}
	if r.follow(op, op.kind.progress) {
		r.end(op, opsv1.OpsSucceed, reasonSucceed, fmt.Sprintf("%s on cluster %s is done", op.now.Spec.Type, r.cluster.Name))
	}
}

// cancel begins to put back what an operation changed. It tells whether that can be.
func (r *round) cancel(op *operation) bool {
	if _, ok := op.kind.(undoer); !ok {
		message := fmt.Sprintf("operations of type %s can't be cancelled once they have started", op.now.Spec.Type)
		if op.say(r.o.Now, opsv1.ConditionCancelled, metav1.ConditionFalse, reasonNoCancel, message) {
			r.tell(op, corev1.EventTypeWarning, reasonNoCancel, message)
		}
		return false
	}
	s := &op.now.Status
	s.Phase, s.ClusterGeneration, s.CancelTimestamp, s.Components = opsv1.OpsCancelling, 0, new(seconds(r.o.Now)), nil
	message := "what it changed in the Cluster is put back"
	op.say(r.o.Now, opsv1.ConditionCancelled, metav1.ConditionFalse, reasonCancelling, message)
	r.tell(op, corev1.EventTypeNormal, reasonCancelling, message)
	r.putBack(op)
	return true
}

// putBack undoes the change of a cancelled operation: once, for the cluster may be changed again while
// its instances still follow.
func (r *round) putBack(op *operation) {
	k, ok := op.kind.(undoer)
	if !ok {
		return
	}
	if op.now.Status.ClusterGeneration == 0 {
		edited := r.cluster.DeepCopy()
		k.undo(edited)
		if !equality.Semantic.DeepEqual(edited.Spec, r.o.Cluster.Spec) {
			if r.o.Refused != "" {
				r.end(op, opsv1.OpsFailed, reasonPutBackFailed, "the old state of the Cluster is refused: "+r.o.Refused)
				return
			}
			r.cluster = edited
			return
		}
		op.now.Status.ClusterGeneration = r.o.Cluster.Generation
	}
	if r.follow(op, restored) {
		r.end(op, opsv1.OpsCancelled, reasonCancelled, "it was cancelled, and what it changed was put back")
	}
}

// restored is how far a component is on its way back: all instances follow, and none is left on its way out.
func restored(o *Observed, component string) work {
	out := whole(o, component)
	if set := o.set(component); set != nil {
		for i := range set.Status.InstanceStatus {
			s := &set.Status.InstanceStatus[i]
			if s.DesiredState != workloadsv1.InstanceActive && s.DesiredState != "" && there(s) {
				out.settled = false
			}
		}
	}
	return out
}

// follow writes down how far the components of an operation are. It tells whether they are done; when that
// can't be any more, the operation has come to its end.
func (r *round) follow(op *operation, progress func(*Observed, string) work) bool {
	done, total, settled, failed := 0, 0, true, ""
	for _, name := range r.about(op) {
		if name != "" && spec(r.o.Cluster, name) == nil {
			r.end(op, opsv1.OpsFailed, reasonComponent, fmt.Sprintf("component %s is gone", name))
			return false
		}
		w := progress(r.o, name)
		c, stuck := r.componentStatus(op, name, &w)
		r.component(op, name, c)
		for _, d := range w.steps {
			if d.Status == opsv1.ProgressSucceed {
				done++
			}
		}
		total += w.total
		settled = settled && w.settled
		failed = cmp.Or(failed, w.failed, stuck)
	}
	op.now.Status.Progress = fmt.Sprintf("%d/%d", min(done, total), total)
	switch {
	case failed != "":
		r.end(op, opsv1.OpsFailed, reasonFailed, failed)
		return false
	case settled && done >= total:
		return true
	}
	r.timeOut(op)
	return false
}

// about are the components of an operation that has started.
func (r *round) about(op *operation) []string { return namedOrAll(r.cluster, op.kind.components()) }

// componentStatus is how an operation goes for a component, and why it can't come to a good end.
func (r *round) componentStatus(op *operation, name string, w *work) (c opsv1.OpsComponentStatus, stuck string) {
	before := op.now.Status.Components[name]
	c = opsv1.OpsComponentStatus{ProgressDetails: r.timed(w.steps, before.ProgressDetails)}
	component := r.o.component(name)
	if component == nil {
		return c, ""
	}
	c.Phase = component.Status.Phase
	c.Message = limit(messages(component.Status.Message))
	if c.Phase != appsv1.ComponentFailed || r.mended(name, w) {
		return c, ""
	}
	c.Reason, c.LastFailedTime = reasonComponent, before.LastFailedTime
	if c.LastFailedTime == nil {
		c.LastFailedTime = new(seconds(r.o.Now))
	}
	if at := c.LastFailedTime.Add(failedFor); r.o.Now.Before(at) {
		r.until(at)
		return c, ""
	}
	return c, fmt.Sprintf("component %s has been Failed for %s: %s", name, failedFor, cmp.Or(c.Message, "see its conditions"))
}

// mended tells whether only those instances of a component have failed that the operation takes away or renews.
func (r *round) mended(component string, w *work) bool {
	return w.mends && !slices.ContainsFunc(r.o.active(component), func(i workloadsv1.InstanceStatus) bool {
		return i.Failed && !slices.ContainsFunc(w.steps, func(d opsv1.ProgressDetail) bool { return d.ObjectKey == podKey+i.PodName })
	})
}

func messages(of map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(of)) {
		out = append(out, key+": "+of[key])
	}
	return strings.Join(out, "; ")
}

// timed gives steps the times at which they began and ended.
func (r *round) timed(steps, before []opsv1.ProgressDetail) []opsv1.ProgressDetail {
	steps = slices.Clone(steps)
	for i := range steps {
		d := &steps[i]
		d.StartTime, d.EndTime = nil, nil
		var old opsv1.ProgressDetail
		if j := slices.IndexFunc(before, func(b opsv1.ProgressDetail) bool { return b.ObjectKey == d.ObjectKey }); j >= 0 {
			old = before[j]
		}
		if d.Status != opsv1.ProgressPending {
			d.StartTime = old.StartTime
			if d.StartTime == nil {
				d.StartTime = new(seconds(r.o.Now))
			}
		}
		if d.Status == opsv1.ProgressSucceed || d.Status == opsv1.ProgressFailed {
			d.EndTime = new(seconds(r.o.Now))
			if old.Status == d.Status && old.EndTime != nil {
				d.EndTime = old.EndTime
			}
		}
	}
	return steps
}

// timeOut ends an operation that takes too long: it is aborted after the time that it says itself, and has
// failed after that of its type.
func (r *round) timeOut(op *operation) {
	most, phase := time.Duration(0), opsv1.OpsFailed
	switch op.now.Spec.Type {
	case opsv1.VolumeExpansion:
		most = expansionLimit
	case opsv1.Switchover:
		most = switchoverLimit
		r.until(r.o.Now.Add(askAgain))
	default: // as long as it takes
	}
	if s := op.now.Spec.TimeoutSeconds; s != nil && *s > 0 {
		most, phase = time.Duration(*s)*time.Second, opsv1.OpsAborted
	}
	began := op.now.Status.StartTimestamp
	if t := op.now.Status.CancelTimestamp; t != nil {
		began = t
	}
	if most == 0 || began == nil {
		return
	}
	if at := began.Add(most); r.o.Now.Before(at) {
		r.until(at)
	} else {
		r.end(op, phase, reasonTimeout, fmt.Sprintf("it was not done within %s", most))
	}
}
