package component

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	clientevents "k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	nodeclient "github.com/sextantdb/sextant/client"
	"github.com/sextantdb/sextant/operator/api"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/manifests"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

const (
	set       = "qdrant-cluster-qdrant"
	config    = "factor: {{ .defaultReplicationFactor }}\ntelemetry: {{ index .variables \"telemetry_disabled\" | default \"true\" }}\ntls: {{ if .tls }}true{{ else }}false{{ end }}\n"
	configMap = set + "-qdrant-config-template"
)

// world is an API server in memory, with a simple controller of InstanceSets, a kubelet and nodes.
type world struct {
	t      *testing.T
	server client.Client // counts and fails writes
	raw    client.Client
	r      *reconciler
	now    time.Time
	// writes counts, the one of the number fail fails: before or after it was done.
	writes, fail int
	after        bool
	// disks are the identities on the disks of pods; founded counts clusters.
	disks   map[string]string
	founded int
	// members are the pods that ever belonged to a cluster, by its identity.
	members map[string]map[string]bool
	// dead pods' nodes don't answer, and aren't ready. A stuck set does nothing.
	dead  map[string]bool
	stuck bool
	// events are the reasons of events.
	events []string
}

var errWrite = errors.New("the server is away")

func newWorld(t *testing.T, spec string, more ...client.Object) *world {
	t.Helper()
	scheme, err := api.NewScheme()
	require.NoError(t, err)
	w := &world{t: t, now: time.Date(2026, 11, 26, 7, 0, 0, 0, time.UTC), disks: map[string]string{}, members: map[string]map[string]bool{}, dead: map[string]bool{}}
	raw, err := os.ReadFile("../manifests/testdata/definition.yaml")
	require.NoError(t, err)
	definition := &appsv1.ComponentDefinition{}
	require.NoError(t, yaml.UnmarshalStrict(raw, definition))
	for i := range definition.Spec.Runtime.Containers {
		definition.Spec.Runtime.Containers[i].Image = "sextant:1"
	}
	template := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kb-system", Name: "qdrant-config"}, Data: map[string]string{"config.yaml": config}}
	c := &appsv1.Component{ObjectMeta: metav1.ObjectMeta{
		Namespace: "demo", Name: set, UID: "component", Generation: 1,
		Labels: naming.ComponentLabels(naming.Owner{Cluster: "qdrant-cluster", Component: "qdrant"}),
	}}
	require.NoError(t, yaml.UnmarshalStrict([]byte("compDef: qdrant-1.0.2\nserviceVersion: 1.10.0\nreplicas: 3\nvolumeClaimTemplates: [{name: data}]\n"), &c.Spec))
	require.NoError(t, yaml.UnmarshalStrict([]byte(spec), &c.Spec))
	w.raw = fake.NewClientBuilder().WithScheme(scheme).WithReturnManagedFields().
		WithTypeConverters(managedfields.NewDeducedTypeConverter()). // the typed one knows no NetworkPolicy
		WithStatusSubresource(&appsv1.Component{}, &workloadsv1.InstanceSet{}).
		WithObjects(append(more, definition, template, c)...).Build()
	w.server = interceptor.NewClient(w.raw.(client.WithWatch), w.interceptors())
	w.r = &reconciler{
		Client: w.server, live: w.raw, events: recorder{w}, now: func() time.Time { return w.now },
		o: Options{Nodes: access{w: w}, Namespace: "kb-system", NetworkPolicies: true},
	}
	return w
}

type recorder struct{ w *world }

func (r recorder) Eventf(_, _ runtime.Object, _, reason, _, note string, args ...any) {
	r.w.events = append(r.w.events, reason)
	require.NotContains(r.w.t, fmt.Sprintf(note, args...), "secret")
}

var _ clientevents.EventRecorder = recorder{}

// write counts a write, and fails it when its turn has come.
func (w *world) write(do func() error) error {
	w.writes++
	if w.writes != w.fail {
		return do()
	}
	if w.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errWrite
}

func (w *world) interceptors() interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return w.write(func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return w.write(func() error { return c.Update(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return w.write(func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return w.write(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return w.write(func() error { return c.Apply(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return w.write(func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	}
}

// access lets the operator ask the nodes of a world.
type access struct {
	nodes.Access
	w *world
}

func (a access) Cluster(_ context.Context, _ *nodes.Component, pod nodes.Pod) (*nodeclient.Cluster, error) {
	id := a.w.disks[pod.Name]
	if id == "" || a.w.dead[pod.Name] {
		return nil, errors.New("connection refused")
	}
	c := &nodeclient.Cluster{Status: "enabled", ID: id, Peers: map[uint64]nodeclient.Peer{}}
	for range a.w.members[id] {
		c.Peers[uint64(len(c.Peers)+1)] = nodeclient.Peer{}
	}
	return c, nil
}

// get reads an object; it fails the test unless it is there.
func get[T any, P interface {
	*T
	client.Object
}](w *world, namespace, name string) P {
	w.t.Helper()
	object := P(new(T))
	require.NoError(w.t, w.raw.Get(w.t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, object))
	return object
}

func (w *world) component() *appsv1.Component  { return get[appsv1.Component](w, "demo", set) }
func (w *world) set() *workloadsv1.InstanceSet { return get[workloadsv1.InstanceSet](w, "demo", set) }

func (w *world) bootstrap() map[string]string {
	return get[corev1.ConfigMap](w, "demo", set+"-bootstrap").Data
}
func (w *world) phase() appsv1.ComponentPhase { return w.component().Status.Phase }
func (w *world) condition(kind string) *metav1.Condition {
	return meta.FindStatusCondition(w.component().Status.Conditions, kind)
}

// change edits the component as the controller of clusters would.
func (w *world) change(edit func(*appsv1.Component)) {
	w.t.Helper()
	c := w.component()
	edit(c)
	c.Generation++
	require.NoError(w.t, w.raw.Update(w.t.Context(), c))
}

// round lets the controller look once.
func (w *world) round() (ctrl.Result, error) {
	return w.r.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "demo", Name: set}})
}

// settle goes on until nothing happens any more.
func (w *world) settle() {
	w.t.Helper()
	for range 60 {
		before := w.writes
		if _, err := w.round(); err != nil {
			require.ErrorIs(w.t, err, errWrite)
			continue
		}
		if !w.run() && w.writes == before {
			return
		}
	}
	require.Fail(w.t, "it doesn't come to rest")
}

// pods are the names of the pods that there are.
func (w *world) pods() []string {
	w.t.Helper()
	list := &corev1.PodList{}
	require.NoError(w.t, w.raw.List(w.t.Context(), list, client.InNamespace("demo")))
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	return names
}

// run is a round of the controller of InstanceSets, kubelets and nodes. It tells whether something happened.
func (w *world) run() bool {
	w.t.Helper()
	its := &workloadsv1.InstanceSet{}
	if err := w.raw.Get(w.t.Context(), types.NamespacedName{Namespace: "demo", Name: set}, its); apierrors.IsNotFound(err) || w.stuck {
		return false
	}
	var want []string
	if s := its.Spec.Stop; s == nil || !*s {
		want = manifests.Instances(set, &appsv1.Settings{Replicas: *its.Spec.Replicas, OfflineInstances: its.Spec.OfflineInstances})
	}
	if founder := its.Annotations[naming.AnnotationFounding]; founder != "" {
		want = slices.DeleteFunc(want, func(n string) bool { return n != founder })
	}
	happened := w.movePods(its, want)
	return w.tell(its, want) || happened
}

// movePods removes pods that aren't wanted, makes those that are missing, replaces one that is old, and runs the nodes.
func (w *world) movePods(its *workloadsv1.InstanceSet, want []string) bool {
	w.t.Helper()
	ctx, happened := w.t.Context(), false
	hash := its.Spec.Template.Annotations[naming.AnnotationConfigHash]
	replaced := false
	for _, name := range w.pods() {
		pod := get[corev1.Pod](w, "demo", name)
		old := pod.Annotations[naming.AnnotationConfigHash] != hash && !replaced
		if !slices.Contains(want, name) || old {
			require.NoError(w.t, w.raw.Delete(ctx, pod))
			replaced, happened = replaced || old, true
		}
	}
	for _, name := range want {
		if !slices.Contains(w.pods(), name) {
			labels := maps.Clone(its.Spec.Template.Labels)
			labels[naming.LabelPodName] = name
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: "demo", Name: name, Labels: labels, Annotations: maps.Clone(its.Spec.Template.Annotations),
			}}
			require.NoError(w.t, w.raw.Create(ctx, pod))
			happened = true
		}
		happened = w.runNode(name, want) || happened
	}
	return happened
}

// runNode is a node with its disk: one that knows nothing founds or joins as it is told, or can't start.
func (w *world) runNode(name string, want []string) bool {
	w.t.Helper()
	if w.disks[name] == "" {
		entry, ok := w.bootstrap()[name]
		_, address, _ := strings.Cut(entry, "://")
		host, _, _ := strings.Cut(address, ".")
		switch {
		case ok && entry == "":
			w.founded++
			w.disks[name] = fmt.Sprintf("cluster-%d", w.founded)
		case ok && slices.Contains(want, host) && !w.dead[host]:
			w.disks[name] = w.disks[host]
		}
	}
	if id := w.disks[name]; id != "" {
		if w.members[id] == nil {
			w.members[id] = map[string]bool{}
		}
		w.members[id][name] = true
	}
	pod := get[corev1.Pod](w, "demo", name)
	before := pod.DeepCopy()
	status := corev1.ConditionFalse
	if w.disks[name] != "" && !w.dead[name] {
		status = corev1.ConditionTrue
		pod.Labels[naming.LabelRole] = map[bool]string{true: "leader", false: "follower"}[name == want[0]]
	}
	pod.Status = corev1.PodStatus{PodIP: "10.0.0.1", Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{
		Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.NewTime(w.now),
	}}}
	if was := nodes.Condition(before, corev1.PodReady); was != nil && was.Status == status {
		pod.Status.Conditions[0].LastTransitionTime = was.LastTransitionTime
	}
	if equalPods(before, pod) {
		return false
	}
	told := pod.DeepCopy()
	require.NoError(w.t, w.raw.Update(w.t.Context(), pod))
	told.ResourceVersion = pod.ResourceVersion
	require.NoError(w.t, w.raw.Status().Update(w.t.Context(), told))
	return true
}

func equalPods(a, b *corev1.Pod) bool {
	return maps.Equal(a.Labels, b.Labels) && a.Status.PodIP == b.Status.PodIP && nodes.Ready(a) == nodes.Ready(b) && nodes.Condition(a, corev1.PodReady) != nil
}

// tell writes the status of the InstanceSet.
func (w *world) tell(its *workloadsv1.InstanceSet, want []string) bool {
	w.t.Helper()
	before := its.Status.DeepCopy()
	conditions := its.Status.Conditions
	its.Status = workloadsv1.InstanceSetStatus{ObservedGeneration: its.Generation, Conditions: conditions}
	for _, name := range want {
		pod := get[corev1.Pod](w, "demo", name)
		i := workloadsv1.InstanceStatus{
			PodName: name, DesiredState: workloadsv1.InstanceActive, CurrentState: workloadsv1.InstancePresent,
			UpToDate: pod.Annotations[naming.AnnotationConfigHash] == its.Spec.Template.Annotations[naming.AnnotationConfigHash],
			Ready:    nodes.Ready(pod), Available: nodes.Ready(pod), Role: pod.Labels[naming.LabelRole],
		}
		its.Status.Replicas++
		if i.Ready {
			its.Status.ReadyReplicas++
			its.Status.AvailableReplicas++
		}
		if i.UpToDate {
			its.Status.UpdatedReplicas++
		}
		its.Status.InstanceStatus = append(its.Status.InstanceStatus, i)
	}
	if fmt.Sprint(*before) == fmt.Sprint(its.Status) {
		return false
	}
	require.NoError(w.t, w.raw.Status().Update(w.t.Context(), its))
	return true
}

// dump is the state of everything, without times and numbers that depend on how often something was tried.
func (w *world) dump() string {
	w.t.Helper()
	var out strings.Builder
	lists := append(sweepable(), &workloadsv1.InstanceSetList{}, &appsv1.ComponentList{})
	for _, list := range lists {
		require.NoError(w.t, w.raw.List(w.t.Context(), list, client.InNamespace("demo")))
		for object, err := range objects(list) {
			require.NoError(w.t, err)
			object.SetResourceVersion("")
			object.SetManagedFields(nil)
			object.SetGeneration(0)
			if c, ok := object.(*appsv1.Component); ok {
				c.Status.Bootstrap.FoundedAt = nil
				for i := range c.Status.Conditions {
					c.Status.Conditions[i].LastTransitionTime = metav1.Time{}
				}
			}
			raw, err := yaml.Marshal(object)
			require.NoError(w.t, err)
			fmt.Fprintf(&out, "--- %T\n%s", object, raw)
		}
	}
	return out.String()
}
