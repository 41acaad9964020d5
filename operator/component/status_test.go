package component

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// seen is what a case of TestStatus says.
type seen struct {
	Phase    appsv1.ComponentPhase
	Unborn   bool // the cluster isn't founded
	Replicas int32
	Stop     bool
	Pending  bool
	Refused  string
	Set      *workloadsv1.InstanceSetStatus
	Strategy *appsv1.InstanceUpdateStrategy
	// Pods are "name", and what holds of it: ready, leader, follower, going, foreign, asked (it answered that there are
	// three nodes), old (ready for long).
	Pods []string
}

func (s *seen) observed(t *testing.T) (*Observed, *Plan) {
	t.Helper()
	o := &Observed{Now: time.Date(2026, 11, 26, 7, 0, 0, 0, time.UTC), Component: &appsv1.Component{}, Answers: map[string]Answer{}}
	o.Component.Name, o.Component.Generation = set, 2
	o.Component.Spec.Replicas, o.Component.Spec.Stop = s.Replicas, &s.Stop
	o.Component.Status = appsv1.ComponentStatus{Phase: s.Phase, ObservedGeneration: 1, Bootstrap: &appsv1.Bootstrap{Founder: "a", ClusterID: "ours"}}
	if s.Unborn {
		o.Component.Status.Bootstrap.ClusterID = ""
	}
	if s.Set != nil {
		o.InstanceSet = &workloadsv1.InstanceSet{Status: *s.Set}
		o.InstanceSet.Name, o.InstanceSet.Generation = set, 1
		o.InstanceSet.Spec.Roles, o.InstanceSet.Spec.InstanceUpdateStrategy = []appsv1.Role{{Name: "leader"}}, s.Strategy
	}
	for _, text := range s.Pods {
		words := strings.Fields(text)
		pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: words[0], Labels: map[string]string{}}}
		c := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(o.Now.Add(-20 * time.Second))}
		for _, word := range words[1:] {
			switch word {
			case "ready":
				c.Status = corev1.ConditionTrue
			case "old":
				c.LastTransitionTime = metav1.NewTime(o.Now.Add(-2 * time.Minute))
			case "leader", "follower":
				pod.Labels[naming.LabelRole] = word
			case "going":
				pod.DeletionTimestamp = new(metav1.NewTime(o.Now))
			case "foreign":
				o.Answers[pod.Name] = Answer{ID: "theirs", Peers: 1}
			case "asked":
				o.Answers[pod.Name] = Answer{ID: "ours", Peers: 3}
			default:
				t.Fatalf("unknown word %s", word)
			}
		}
		pod.Status.Conditions = []corev1.PodCondition{c}
		o.Pods = append(o.Pods, pod)
	}
	plan := &Plan{Problems: strangers(o)}
	if s.Refused != "" {
		plan.Refused, plan.Problems = true, []Problem{{Object: "Component/c", Reason: "SpecRefused", Message: s.Refused}}
	}
	return o, plan
}

// TestStatus: what is seen goes in, the status comes out.
func TestStatus(t *testing.T) {
	datadriven.RunTest(t, "testdata/status", func(t *testing.T, d *datadriven.TestData) string {
		t.Helper()
		s := &seen{Replicas: 3}
		require.NoError(t, yaml.UnmarshalStrict([]byte(d.Input), s))
		o, plan := s.observed(t)
		status, after := Status(o, plan, s.Pending)
		var out strings.Builder
		fmt.Fprintf(&out, "%s (of generation %d)\n", status.Phase, status.ObservedGeneration)
		for _, c := range status.Conditions {
			fmt.Fprintf(&out, "  %s %s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
		}
		for _, object := range slices.Sorted(maps.Keys(status.Message)) {
			fmt.Fprintf(&out, "  %s: %s\n", object, status.Message[object])
		}
		if after > 0 {
			fmt.Fprintf(&out, "  again in %s\n", after)
		}
		return out.String()
	})
}
