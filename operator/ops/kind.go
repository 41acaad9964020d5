package ops

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// kind is what one type of operation does. It is made for one operation, whose spec and
// recorded status it reads.
type kind interface {
	// phases are those of the cluster in which it can start.
	phases() []appsv1.ClusterPhase
	// components are the names of those that it is about.
	components() []string
	// check says why it can't be done, in a sentence for users. An error of type notYet means that
	// this can't be told yet.
	check(o *Observed) error
	// record is what edit and undo need to know of the cluster before the edit.
	record(o *Observed) opsv1.LastConfiguration
	// edit changes the spec of the cluster. It computes the end from what was recorded, so that
	// an edit of a cluster that has been edited changes nothing.
	edit(o *Observed, c *appsv1.Cluster)
	// progress tells how far a component is.
	progress(o *Observed, component string) work
}

// undoer is a kind that can be cancelled while it is under way.
type undoer interface {
	// undo puts back what edit changed.
	undo(c *appsv1.Cluster)
}

// work is how far an operation is with a component.
type work struct {
	// steps are those that are known so far.
	steps []opsv1.ProgressDetail
	// total is how many there are.
	total int
	// settled says that nothing else than the steps is missing.
	settled bool
	// mends says that the operation takes instances away that have failed, or renews them: those of the steps.
	mends bool
	// failed says why it can't come to a good end.
	failed string
}

// step is one of the steps of an operation.
func step(object, name string, status opsv1.ProgressStatus, message string) opsv1.ProgressDetail {
	return opsv1.ProgressDetail{ObjectKey: object + "/" + name, Status: status, Message: message}
}

// notYet is why something can't be told yet.
type notYet struct{ why string }

func (e notYet) Error() string { return e.why }

// kindOf returns the kind of an operation.
func kindOf(op *opsv1.OpsRequest) kind {
	b := base{op: op}
	switch op.Spec.Type {
	case opsv1.Start:
		return start{b}
	case opsv1.Stop:
		return stop{b}
	case opsv1.Restart:
		return restart{b}
	case opsv1.VerticalScaling:
		return vertical{b}
	case opsv1.HorizontalScaling:
		return horizontal{b}
	case opsv1.VolumeExpansion:
		return expansion{b}
	case opsv1.Upgrade:
		return upgrade{b}
	case opsv1.Expose:
		return expose{b}
	case opsv1.Switchover:
		return switchover{b}
	case opsv1.RebuildInstance:
		return rebuild{b}
	default:
		return refused{b}
	}
}

// base is what the kinds have in common.
type base struct{ op *opsv1.OpsRequest }

func (base) phases() []appsv1.ClusterPhase {
	return []appsv1.ClusterPhase{appsv1.ClusterRunning, appsv1.ClusterAbnormal, appsv1.ClusterFailed}
}

func (base) record(*Observed) opsv1.LastConfiguration { return opsv1.LastConfiguration{} }

func (base) edit(*Observed, *appsv1.Cluster) {}

// last is what was recorded of a component.
func (b base) last(component string) opsv1.LastComponentConfiguration {
	return b.op.Status.LastConfiguration.Components[component]
}

// named returns the names of the components of a payload.
func named[T any](entries []T, name func(*T) string) []string {
	var out []string
	for i := range entries {
		if n := name(&entries[i]); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func componentName(c *opsv1.ComponentOps) string { return c.ComponentName }

// recorded makes a record of the components of an operation.
func recorded(o *Observed, components []string,
	of func(*appsv1.ClusterComponentSpec) opsv1.LastComponentConfiguration,
) opsv1.LastConfiguration {
	out := map[string]opsv1.LastComponentConfiguration{}
	for _, name := range components {
		c := spec(o.Cluster, name)
		if c == nil {
			continue
		}
		last := of(c)
		for _, i := range o.active(name) {
			last.Pods = append(last.Pods, i.PodName)
		}
		slices.Sort(last.Pods)
		out[name] = last
	}
	return opsv1.LastConfiguration{Components: out}
}

// knownComponents refuses components that the cluster doesn't have.
func knownComponents(c *appsv1.Cluster, components []string) error {
	for _, name := range components {
		if name != "" && spec(c, name) == nil {
			return fmt.Errorf("cluster %s has no component %s: it has %s", c.Name, name, strings.Join(componentNames(c), ", "))
		}
	}
	return nil
}

func componentNames(c *appsv1.Cluster) []string {
	out := make([]string, len(c.Spec.ComponentSpecs))
	for i := range c.Spec.ComponentSpecs {
		out[i] = c.Spec.ComponentSpecs[i].Name
	}
	return out
}

// knownInstance refuses the name of an instance that doesn't run.
func knownInstance(o *Observed, component, pod string) error {
	if !o.follows(component) {
		return notYet{fmt.Sprintf("component %s is following a change: which instances it has isn't known yet", component)}
	}
	var names []string
	for _, i := range o.active(component) {
		if i.PodName == pod {
			return nil
		}
		names = append(names, i.PodName)
	}
	return fmt.Errorf("component %s has no instance %s: it has %s", component, pod, naming.List(names))
}

// template returns the template of instances of a name, or nil.
func template(c *appsv1.ClusterComponentSpec, name string) *appsv1.InstanceTemplate {
	for i := range c.Instances {
		if c.Instances[i].Name == name {
			return &c.Instances[i]
		}
	}
	return nil
}

func knownTemplate(c *appsv1.ClusterComponentSpec, name string) error {
	if template(c, name) == nil {
		return fmt.Errorf("component %s has no template of instances %s", c.Name, name)
	}
	return nil
}

// templateOf tells from which template an instance of a component is, by its name. It is empty for the
// instances that follow the component.
func templateOf(cluster string, c *appsv1.ClusterComponentSpec, pod string) (string, bool) {
	set := naming.Component(cluster, c.Name)
	ordinal, ok := naming.Ordinal(pod)
	if !ok {
		return "", false
	}
	if pod == naming.Instance(set, "", ordinal) {
		return "", true
	}
	for i := range c.Instances {
		if pod == naming.Instance(set, c.Instances[i].Name, ordinal) {
			return c.Instances[i].Name, true
		}
	}
	return "", false
}

// errNothing is the answer to operations that would change nothing.
var errNothing = errors.New("nothing to change")

// rolling tells how far instances are that follow a change one after another: those to which it matters.
func rolling(o *Observed, component string, matters func(*workloadsv1.InstanceStatus) bool) work {
	set := o.set(component)
	out := work{settled: o.follows(component)}
	for _, i := range o.active(component) {
		if !matters(&i) {
			continue
		}
		out.total++
		out.steps = append(out.steps, step("Pod", i.PodName, rollingStep(o, component, &i, out.settled), i.Message))
	}
	if set == nil || !out.settled {
		return out
	}
	out.total = partial(set, out.total)
	for _, c := range set.Status.Conditions {
		if c.Type == workloadsv1.ConditionInstanceUpdateRestricted && c.Status == metav1.ConditionTrue {
			out.failed = "the change can't be made under the podUpdatePolicy of the component: " + c.Message
		}
	}
	return out
}

func rollingStep(o *Observed, component string, i *workloadsv1.InstanceStatus, settled bool) opsv1.ProgressStatus {
	switch {
	case !settled:
		return opsv1.ProgressPending
	case i.UpToDate && o.serving(component, i):
		return opsv1.ProgressSucceed
	case i.Failed:
		return opsv1.ProgressFailed
	case i.UpToDate, i.CurrentState != workloadsv1.InstancePresent && i.CurrentState != "":
		return opsv1.ProgressProcessing
	default:
		return opsv1.ProgressPending
	}
}

// every is for changes that matter to all instances.
func every(*workloadsv1.InstanceStatus) bool { return true }

// whole is rolling for changes that matter to all instances of a component.
func whole(o *Observed, component string) work {
	out := rolling(o, component, every)
	if c := spec(o.Cluster, component); c != nil {
		out.total = max(out.total, int(c.Replicas))
	}
	if set := o.set(component); set != nil {
		out.total = partial(set, out.total)
	}
	return out
}

// partial is how many of a number of instances follow a change, where the component lets only some.
func partial(set *workloadsv1.InstanceSet, total int) int {
	s := set.Spec.InstanceUpdateStrategy
	if s == nil || s.RollingUpdate == nil || s.RollingUpdate.Replicas == nil {
		return total
	}
	some, err := intstr.GetScaledValueFromIntOrPercent(s.RollingUpdate.Replicas, total, true)
	if err != nil {
		return total
	}
	return min(total, some)
}
