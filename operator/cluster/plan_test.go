package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	dataprotectionv1alpha1 "github.com/sextantdb/sextant/operator/api/dataprotection/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/apply"
	"github.com/sextantdb/sextant/operator/cluster"
	"github.com/sextantdb/sextant/operator/crd/crdtest"
	"github.com/sextantdb/sextant/operator/memory"
)

// put adds the documents of a script to a tree. An object of the same kind and name is replaced.
func put(t *testing.T, tree *cluster.Tree, text string) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "---\n") {
		var kind struct{ Kind string }
		require.NoError(t, yaml.Unmarshal([]byte(doc), &kind))
		switch kind.Kind {
		case "Cluster":
			tree.Cluster = &appsv1.Cluster{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(doc), tree.Cluster))
		case "ClusterDefinition":
			add(t, doc, &tree.ClusterDefinitions, func(o *appsv1.ClusterDefinition) string { return o.Name })
		case "ComponentDefinition":
			add(t, doc, &tree.Definitions, func(o *appsv1.ComponentDefinition) string { return o.Name })
		case "ComponentVersion":
			add(t, doc, &tree.Versions, func(o *appsv1.ComponentVersion) string { return o.Name })
		case "Component":
			add(t, doc, &tree.Components, func(o *appsv1.Component) string { return o.Name })
		case "Service":
			add(t, doc, &tree.Services, func(o *corev1.Service) string { return o.Name })
		case "InstanceSet":
			add(t, doc, &tree.Sets, func(o *workloadsv1.InstanceSet) string { return o.Name })
		case "Backup":
			add(t, doc, &tree.Backups, func(o *dataprotectionv1alpha1.Backup) string { return o.Name })
		default:
			t.Fatalf("unknown kind %q", kind.Kind)
		}
	}
}

func add[T any](t *testing.T, doc string, to *[]T, name func(*T) string) {
	t.Helper()
	var o T
	require.NoError(t, yaml.UnmarshalStrict([]byte(doc), &o))
	*to = append(slices.DeleteFunc(*to, func(other T) bool { return name(&other) == name(&o) }), o)
}

func show(t *testing.T, v any) string {
	t.Helper()
	text, err := yaml.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// object shows an object without what is the same for all.
func object(t *testing.T, kind string, o client.Object, spec any) string {
	t.Helper()
	text := fmt.Sprintf("%s %s/%s\n", kind, o.GetNamespace(), o.GetName())
	text += show(t, map[string]any{"labels": o.GetLabels(), "annotations": o.GetAnnotations(), "spec": spec})
	return strings.ReplaceAll(text, "annotations: null\n", "")
}

// TestPlans plays the scripts in testdata:
//
//	put              objects as YAML
//	plan             what there should be
//	live             takes what there should be as being there
//	is of=component phase= [generation=] [available=]   and messages as YAML: what a Component says
//	status [changed=component]                  what the user is told, and events; the status is kept
//	needs of=component pod=mebibytes...      what nodes say, ? is no answer
//	delete           deletes the cluster
//	remove           what goes next
//	gone             everything has gone of which that was said
func TestPlans(t *testing.T) {
	server, err := crdtest.Load(crds)
	require.NoError(t, err)
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Helper()
		s := &script{server: server, tree: &cluster.Tree{Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			s.tree.Now = s.tree.Now.Add(time.Second)
			switch d.Cmd {
			case "put":
				put(t, s.tree, d.Input)
				return ""
			case "plan":
				return s.plan(t)
			case "live":
				s.live()
				return ""
			case "is":
				s.is(t, d)
				return ""
			case "status":
				return s.status(t, d)
			case "needs":
				s.needs(t, d)
				return ""
			case "delete":
				s.tree.Cluster.DeletionTimestamp = &metav1.Time{Time: s.tree.Now}
				return ""
			case "remove":
				return s.remove()
			case "gone":
				s.tree.Components, s.tree.Services = nil, nil
				return ""
			default:
				t.Fatalf("unknown command %s", d.Cmd)
				return ""
			}
		})
	})
}

const crds = "../../deploy/charts/sextant/crds"

type script struct {
	tree   *cluster.Tree
	server *crdtest.Server
}

// accepted requires that the API server stores an object, with everything that it says.
func accepted(t *testing.T, server *crdtest.Server, kind string, o client.Object) {
	t.Helper()
	want := content(t, kind, o)
	stored, err := server.Create(want)
	require.NoError(t, err)
	require.True(t, apply.Contains(stored.Object, want.Object))
}

func content(t *testing.T, kind string, o client.Object) *unstructured.Unstructured {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	require.NoError(t, err)
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(appsv1.GroupVersion.WithKind(kind))
	return u
}

// TestExamples: every cluster that we tell users to apply is planned, and the server takes its Component.
func TestExamples(t *testing.T) {
	server, err := crdtest.Load(crds)
	require.NoError(t, err)
	files, err := filepath.Glob("../../examples/kubernetes/cluster*.yaml")
	require.NoError(t, err)
	require.Greater(t, len(files), 5)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			tree := &cluster.Tree{}
			put(t, tree, definitions)
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for doc := range strings.SplitSeq(string(text), "---\n") {
				if strings.Contains(doc, "kind: Cluster\n") {
					put(t, tree, doc)
				}
			}
			p := cluster.Make(tree)
			require.Nil(t, p.Refused)
			require.Empty(t, p.Problems)
			require.NotEmpty(t, p.Components)
			for _, c := range p.Components {
				accepted(t, server, "Component", c.Object)
			}
			require.Len(t, p.Services, len(tree.Cluster.Spec.Services))
		})
	}
}

const definitions = `
kind: ClusterDefinition
metadata: {name: qdrant}
spec: {topologies: [{name: cluster, components: [{name: qdrant, compDef: ^qdrant-}]}]}
---
kind: ComponentDefinition
metadata: {name: qdrant-1.0.2}
spec: {runtime: {containers: [{name: qdrant, image: engine}]}}
---
kind: ComponentVersion
metadata: {name: qdrant}
spec:
  compatibilityRules: [{compDefs: [qdrant], releases: [a]}]
  releases: [{name: a, serviceVersion: 1.10.0, images: {qdrant: engine}}]
`

func (s *script) plan(t *testing.T) string {
	t.Helper()
	p := cluster.Make(s.tree)
	var out strings.Builder
	if p.Refused != nil {
		fmt.Fprintf(&out, "refused: %s: %s\n", p.Refused.Reason, p.Refused.Message)
	}
	for _, c := range p.Components {
		accepted(t, s.server, "Component", c.Object)
		if len(c.Awaits)+len(c.Follows) > 0 {
			fmt.Fprintf(&out, "awaits %v, follows %v: ", c.Awaits, c.Follows)
		}
		out.WriteString(object(t, "Component", c.Object, c.Object.Spec))
	}
	for _, o := range p.Services {
		out.WriteString(object(t, "Service", o, o.Spec))
	}
	for _, o := range p.Superfluous {
		fmt.Fprintf(&out, "superfluous: %s\n", o.Name)
	}
	for _, problem := range p.Problems {
		fmt.Fprintf(&out, "problem: %s\n", problem)
	}
	return out.String()
}

func (s *script) live() {
	p := cluster.Make(s.tree)
	for _, c := range p.Components {
		o := *c.Object
		if i := slices.IndexFunc(s.tree.Components, func(l appsv1.Component) bool { return l.Name == o.Name }); i >= 0 {
			o.Status = s.tree.Components[i].Status
			s.tree.Components[i] = o
		} else {
			s.tree.Components = append(s.tree.Components, o)
		}
	}
	s.tree.Services = slices.DeleteFunc(s.tree.Services, func(o corev1.Service) bool {
		return slices.ContainsFunc(p.Services, func(n *corev1.Service) bool { return n.Name == o.Name }) ||
			slices.ContainsFunc(p.Superfluous, func(n corev1.Service) bool { return n.Name == o.Name })
	})
	for _, o := range p.Services {
		s.tree.Services = append(s.tree.Services, *o)
	}
}

func (s *script) is(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	var of, phase, available string
	d.ScanArgs(t, "of", &of)
	d.ScanArgs(t, "phase", &phase)
	d.MaybeScanArgs(t, "available", &available)
	for i := range s.tree.Components {
		c := &s.tree.Components[i]
		if c.Name != s.tree.Cluster.Name+"-"+of {
			continue
		}
		d.MaybeScanArgs(t, "generation", &c.Generation)
		c.Status = appsv1.ComponentStatus{ObservedGeneration: c.Generation, Phase: appsv1.ComponentPhase(phase)}
		d.MaybeScanArgs(t, "observed", &c.Status.ObservedGeneration)
		if available != "" {
			c.Status.Conditions = []metav1.Condition{{Type: appsv1.ConditionAvailable, Status: metav1.ConditionStatus(available), Reason: "Shards"}}
		}
		require.NoError(t, yaml.UnmarshalStrict([]byte(d.Input), &c.Status))
	}
}

func (s *script) needs(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	var of string
	d.ScanArgs(t, "of", &of)
	s.tree.Memory = map[string][]memory.Instance{}
	for _, arg := range d.CmdArgs[1:] {
		n, err := strconv.ParseUint(arg.Vals[0], 10, 64)
		s.tree.Memory[of] = append(s.tree.Memory[of], memory.Instance{Pod: arg.Key, Needs: n << 20, Known: err == nil})
	}
}

func (s *script) status(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	o := &cluster.Outcome{Changed: map[string]bool{}, Waiting: map[string]string{}, Errors: map[string]error{}}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "changed":
			o.Changed[arg.Vals[0]] = true
		case "waiting":
			o.Waiting[arg.Vals[0]] = "waits for another one"
		case "failed":
			o.Errors[arg.Vals[0]] = fmt.Errorf("apply %s: the server is on fire", arg.Vals[0])
		}
	}
	p := cluster.Make(s.tree)
	is := cluster.Status(s.tree, p, o)
	shown := is
	shown.Conditions = nil // a line each is easier to read
	var out strings.Builder
	out.WriteString(show(t, shown))
	for _, c := range is.Conditions {
		fmt.Fprintf(&out, "%s=%s since %s, %s (generation %d): %s\n",
			c.Type, c.Status, c.LastTransitionTime.Format(time.TimeOnly), c.Reason, c.ObservedGeneration, c.Message)
	}
	for _, e := range slices.Concat(cluster.Applied(p, o), cluster.Events(s.tree, &is)) {
		fmt.Fprintf(&out, "event: %s %s: %s\n", e.Type, e.Reason, e.Note)
	}
	before := content(t, "Cluster", s.tree.Cluster)
	s.tree.Cluster.Status = is
	_, err := s.server.UpdateStatus(content(t, "Cluster", s.tree.Cluster), before)
	require.NoError(t, err)
	again := cluster.Status(s.tree, cluster.Make(s.tree), o)
	require.Equal(t, is, again, "nothing new is told when nothing has happened")
	require.Empty(t, cluster.Events(s.tree, &again))
	return out.String()
}

func (s *script) remove() string {
	r := cluster.Remove(s.tree)
	var out strings.Builder
	for _, o := range r.Retarget {
		fmt.Fprintf(&out, "retarget Component/%s\n", o.Name)
	}
	for _, o := range r.Services {
		fmt.Fprintf(&out, "delete Service/%s\n", o.Name)
	}
	for _, o := range r.Components {
		fmt.Fprintf(&out, "delete Component/%s\n", o.Name)
	}
	for _, o := range r.Backups {
		fmt.Fprintf(&out, "delete Backup/%s\n", o.Name)
	}
	if len(r.Awaits) > 0 {
		fmt.Fprintf(&out, "awaits %s\n", strings.Join(r.Awaits, ", "))
		return out.String()
	}
	return out.String() + "the cluster goes\n"
}
