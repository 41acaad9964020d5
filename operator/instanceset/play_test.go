package instanceset

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// mostRounds bounds how long a play may take to come to rest.
const mostRounds = 150

// TestPlays plays what the plan decides in a small model of Kubernetes and of nodes. The commands:
//
//	new                        a world with five Kubernetes nodes and a set c of three instances
//	set key=value…             changes the spec or annotations of the set
//	shard name= factor= on=()  a shard with copies on instances; a name with ! is not in sync
//	node NAME down|up|gone     a Kubernetes node
//	pod NAME kill|fail         a pod vanishes, or ends
//	claim NAME delete|lost     a user deletes a claim, or its volume vanishes
//	nodes deaf|stuck|well      what is the matter with the nodes
//	plan                       prints what is decided, and does nothing
//	round [n=]                 decides, does it, and lets a while pass
//	settle                     the same until nothing changes any more
//	status                     prints the status
func TestPlays(t *testing.T) {
	datadriven.Walk(t, "testdata/plays", func(t *testing.T, path string) {
		t.Helper()
		w := newWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			return w.play(t, d)
		})
	})
}

func (w *world) play(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "new":
		*w = *newWorld()
	case "set":
		for _, a := range d.CmdArgs {
			w.change(t, a.Key, a.Vals)
		}
		w.set.Generation++
	case "shard":
		w.shard(t, d)
	case "node":
		w.playNode(d.CmdArgs[0].Key, d.CmdArgs[1].Key)
	case "pod":
		p := w.pods[d.CmdArgs[0].Key]
		if d.CmdArgs[1].Key == "fail" {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", "the disk is full"
		} else {
			delete(w.pods, p.Name)
		}
	case "claim":
		c := w.claims[d.CmdArgs[0].Key]
		if d.CmdArgs[1].Key == "lost" {
			c.Status.Phase = corev1.ClaimLost
		} else {
			c.DeletionTimestamp = &metav1.Time{Time: w.now}
		}
	case "nodes":
		w.deaf, w.stuck = d.CmdArgs[0].Key == "deaf", d.CmdArgs[0].Key == "stuck"
	case "plan":
		decision, asked, err := w.plan()
		require.NoError(t, err)
		return say(&decision, asked)
	case "round", "settle":
		n := mostRounds
		if d.Cmd == "round" {
			n = 1
			d.MaybeScanArgs(t, "n", &n)
		}
		return w.rounds(t, n, d.Cmd == "settle")
	case "status":
		return w.statusText()
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
	return ""
}

// rounds decides, does and lets time pass, and prints what happened. At rest it ends.
func (w *world) rounds(t *testing.T, most int, settle bool) string {
	t.Helper()
	var out strings.Builder
	quiet, before := 0, []Question(nil)
	for n := range most {
		decision, asked, err := w.plan()
		require.NoError(t, err)
		asked = slices.DeleteFunc(asked, func(q Question) bool { return q.Kind == AskView })
		if decision.Idle() && slices.Equal(asked, before) {
			quiet++
		} else {
			quiet = 0
			fmt.Fprintf(&out, "%s", indent(say(&decision, asked), fmt.Sprintf("%3d  ", n)))
		}
		before = asked
		w.apply(&decision)
		w.tick()
		if settle && quiet == 6 { // long enough for pods to become available
			return out.String()
		}
	}
	if settle {
		out.WriteString("doesn't come to rest\n")
	}
	return out.String()
}

func indent(text, first string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return first + strings.Join(lines, "\n"+strings.Repeat(" ", len(first))) + "\n"
}

func (w *world) change(t *testing.T, key string, vals []string) {
	t.Helper()
	spec := &w.set.Spec
	val := strings.Join(vals, ",")
	rolling := func() *appsv1.RollingUpdate {
		if spec.InstanceUpdateStrategy == nil {
			spec.InstanceUpdateStrategy = &appsv1.InstanceUpdateStrategy{}
		}
		if spec.InstanceUpdateStrategy.RollingUpdate == nil {
			spec.InstanceUpdateStrategy.RollingUpdate = &appsv1.RollingUpdate{}
		}
		return spec.InstanceUpdateStrategy.RollingUpdate
	}
	switch key {
	case "replicas":
		n, err := strconv.Atoi(val)
		require.NoError(t, err)
		spec.Replicas = new(int32(n))
	case "image":
		for i := range spec.Template.Spec.Containers {
			spec.Template.Spec.Containers[i].Image = val
		}
	case "restart":
		spec.Template.Annotations[naming.AnnotationRestart] = val
	case "label":
		spec.Template.Labels["team"] = val
	case "env":
		spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "X", Value: val}}
	case "offline":
		spec.OfflineInstances = slices.DeleteFunc(slices.Clone(vals), func(s string) bool { return s == "" })
	case "founding":
		w.annotate(naming.AnnotationFounding, val)
	case "accept":
		w.annotate(naming.AnnotationAcceptDataLoss, val)
	case "rebuild":
		pod, machine, _ := strings.Cut(val, "@")
		w.annotate(naming.AnnotationRebuild, fmt.Sprintf(`{%q:%q}`, pod, naming.RebuildToken("token", machine)))
	case "stop":
		spec.Stop = new(val != "no")
	case "paused":
		spec.Paused = val != "no"
	case "deleted":
		w.set.DeletionTimestamp = &metav1.Time{Time: w.now}
	case "pods":
		spec.PodManagementPolicy = appsv1.PodManagementPolicy(val)
	case "concurrency":
		spec.ParallelPodManagementConcurrency = new(intstr.Parse(val))
	case "maxUnavailable":
		rolling().MaxUnavailable = new(intstr.Parse(val))
	case "partition":
		rolling().Replicas = new(intstr.Parse(val))
	case "strategy":
		rolling()
		spec.InstanceUpdateStrategy.Type = appsv1.InstanceUpdateStrategyType(val)
	case "policy":
		spec.PodUpdatePolicy = appsv1.PodUpdatePolicyType(val)
	case "storage":
		spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse(val)
	case "retain":
		spec.PersistentVolumeClaimRetentionPolicy = &appsv1.ClaimRetentionPolicy{WhenScaled: appsv1.RetainClaims, WhenDeleted: appsv1.RetainClaims}
	case "template":
		spec.Instances = append(spec.Instances, appsv1.InstanceTemplate{Name: val, Labels: map[string]string{"size": val}})
	case "own": // version of the instances of a template; none follows the set again
		spec.Templates = nil
		if len(vals) > 1 {
			own := workloadsv1.InstancePods{Name: vals[0], Template: *spec.Template.DeepCopy()}
			for i := range own.Template.Spec.Containers {
				own.Template.Spec.Containers[i].Image = vals[1]
			}
			spec.Templates = []workloadsv1.InstancePods{own}
		}
	case "flat":
		spec.FlatInstanceOrdinal = true
	default:
		t.Fatalf("no such setting: %s", key)
	}
}

func (w *world) annotate(key, val string) {
	if val == "" {
		delete(w.set.Annotations, key)
	} else {
		w.set.Annotations[key] = val
	}
}

func (w *world) playNode(name, what string) {
	switch what {
	case "gone":
		delete(w.knodes, name)
	default:
		w.setNode(name, what == "up")
	}
}

func (w *world) shard(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	s := &shard{copies: map[uint64]bool{}}
	d.ScanArgs(t, "name", &s.name)
	d.ScanArgs(t, "factor", &s.factor)
	for _, a := range d.CmdArgs {
		if a.Key != "on" {
			continue
		}
		for _, pod := range a.Vals {
			pod, out := strings.CutPrefix(pod, "!")
			for id, m := range w.peers {
				if m.pod == pod {
					s.copies[id] = !out
				}
			}
		}
	}
	w.shards = append(w.shards, s)
}

// say prints a decision.
func say(d *Decision, asked []Question) string {
	var out strings.Builder
	for _, q := range asked {
		fmt.Fprintf(&out, "ask: %s", strings.TrimSpace(string(q.Kind)+" "+q.Pod))
		if q.Through != "" && q.Through != q.Pod {
			fmt.Fprintf(&out, " through %s", q.Through)
		}
		if q.AcceptLoss {
			out.WriteString(", whatever is lost")
		}
		out.WriteByte('\n')
	}
	if d.AddFinalizer || d.RemoveFinalizer {
		fmt.Fprintf(&out, "finalizer: add %t, remove %t\n", d.AddFinalizer, d.RemoveFinalizer)
	}
	for _, c := range d.CreateClaims {
		size := c.Spec.Resources.Requests[corev1.ResourceStorage]
		fmt.Fprintf(&out, "create claim %s %s\n", c.Name, size.String())
	}
	for _, c := range d.PatchClaims {
		fmt.Fprintf(&out, "patch claim %s%s%s\n", c.Claim.Name, pairs("", map[string]string{"storage": c.Storage}), pairs("", c.Annotations))
	}
	for _, p := range d.CreatePods {
		fmt.Fprintf(&out, "create pod %s %s", p.Name, p.Spec.Containers[0].Image)
		if machine := pinnedTo(&p.Spec); machine != "" {
			out.WriteString(" on " + machine)
		}
		out.WriteString("\n")
	}
	for _, p := range d.PatchPods {
		note := maps.Clone(p.Annotations)
		maps.DeleteFunc(note, func(k, _ string) bool {
			return k == naming.AnnotationReplacing || k == naming.AnnotationManagedKeys || k == naming.AnnotationPodRevision
		})
		labels := maps.Clone(p.Labels)
		delete(labels, naming.LabelRevision)
		fmt.Fprintf(&out, "patch pod %s%s%s%s\n", p.Pod.Name, pairs("", labels), pairs("", note), pairs("image of ", p.Images))
	}
	for _, c := range d.DeleteClaims {
		fmt.Fprintf(&out, "delete claim %s (%s: %s)\n", c.Claim.Name, c.Reason, c.Why)
	}
	for _, p := range d.DeletePods {
		fmt.Fprintf(&out, "delete pod %s%s (%s: %s)\n", p.Pod.Name, map[bool]string{true: " by force"}[p.Force], p.Reason, p.Why)
	}
	if out.Len() == 0 {
		return "nothing\n"
	}
	return out.String()
}

func pairs(prefix string, m map[string]string) string {
	var out strings.Builder
	for _, k := range sortedKeys(m) {
		if m[k] != "" || k != "storage" {
			fmt.Fprintf(&out, " %s%s=%s", prefix, k[strings.LastIndexByte(k, '/')+1:], m[k])
		}
	}
	return out.String()
}

func (w *world) statusText() string {
	decision, _, err := w.plan()
	if err != nil {
		return err.Error()
	}
	s := decision.Status
	if s == nil {
		return "none\n"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "replicas %d, ready %d, available %d, updated %d\n", s.Replicas, s.ReadyReplicas, s.AvailableReplicas, s.UpdatedReplicas)
	for i := range s.InstanceStatus {
		one := &s.InstanceStatus[i]
		fmt.Fprintf(&out, "%s %s %s", one.PodName, one.DesiredState, one.CurrentState)
		for _, flag := range []struct {
			name string
			set  bool
		}{{"upToDate", one.UpToDate}, {"ready", one.Ready}, {"available", one.Available}, {"failed", one.Failed}, {"expanding", one.VolumeExpansion}} {
			if flag.set {
				out.WriteString(" " + flag.name)
			}
		}
		if one.Role != "" {
			out.WriteString(" " + one.Role)
		}
		if one.Message != "" {
			out.WriteString(": " + one.Message)
		}
		out.WriteByte('\n')
	}
	for _, c := range s.Conditions {
		fmt.Fprintf(&out, "%s %s %s", c.Type, c.Status, c.Reason)
		if c.Message != "" {
			out.WriteString(": " + c.Message)
		}
		out.WriteByte('\n')
	}
	return out.String()
}
