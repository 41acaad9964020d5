package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	nodeclient "github.com/sextantdb/sextant/client"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

const (
	namespace   = "demo"
	clusterName = "qdrant-cluster"
	component   = "qdrant"
	examples    = "../../examples/kubernetes"
)

var errPowerCut = errors.New("the operator is killed")

// world is an API server in memory, with the reconciler under test, and with stand-ins for the other
// controllers, which do as much as a play tells them.
type world struct {
	t      *testing.T
	ctx    context.Context
	client client.Client // goes around what counts and fails writes
	r      *reconciler
	now    time.Time
	// writes counts those that the reconciler tries. With frail each of them fails once: the first try does.
	writes  int
	frail   bool
	told    []string
	agents  *agents
	refuses string
	shown   map[string]string
	uid     int
}

func newWorld(t *testing.T, frail bool) *world {
	t.Helper()
	scheme := runtime.NewScheme() // a small one: the server in memory goes through all kinds at each write
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, storagev1.AddToScheme, appsv1.AddToScheme, workloadsv1.AddToScheme, opsv1.AddToScheme,
	} {
		require.NoError(t, add(scheme))
	}
	w := &world{
		t: t, ctx: t.Context(), frail: frail, shown: map[string]string{}, agents: &agents{},
		now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	inner := fake.NewClientBuilder().WithScheme(scheme).WithReturnManagedFields().
		WithStatusSubresource(&appsv1.Cluster{}, &appsv1.Component{}, &workloadsv1.InstanceSet{}, &opsv1.OpsRequest{}, &corev1.PersistentVolumeClaim{}, &corev1.Pod{}).
		WithIndex(&opsv1.OpsRequest{}, indexCluster, clusterNameOf).Build()
	w.client = generations(inner)
	w.r = &reconciler{
		client: w.cuts(inner), events: w, now: func() time.Time { return w.now }, options: Options{Nodes: w.agents},
	}
	return w
}

// generations does what an API server does with the generation of objects.
func generations(inner client.WithWatch) client.WithWatch {
	bump := func(ctx context.Context, c client.Client, object client.Object, change func() error) error {
		before, _ := object.DeepCopyObject().(client.Object)
		if err := c.Get(ctx, client.ObjectKeyFromObject(object), before); err != nil {
			return err
		}
		if err := change(); err != nil {
			return err
		}
		if specOf(before) != specOf(object) {
			object.SetGeneration(before.GetGeneration() + 1)
			return c.Update(ctx, object)
		}
		return nil
	}
	return interceptor.NewClient(inner, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return bump(ctx, c, object, func() error { return c.Patch(ctx, object, patch, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.UpdateOption) error {
			return bump(ctx, c, object, func() error { return c.Update(ctx, object, opts...) })
		},
	})
}

func specOf(object client.Object) string {
	var spec any
	switch o := object.(type) {
	case *appsv1.Cluster:
		spec = o.Spec
	case *appsv1.Component:
		spec = o.Spec
	case *workloadsv1.InstanceSet:
		spec = o.Spec
	}
	text, err := yaml.Marshal(spec)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// cuts counts writes, and fails each of a frail one once: the operator dies before it is done.
func (w *world) cuts(inner client.WithWatch) client.Client {
	write := func(do func() error) error {
		w.writes++
		if w.frail && w.writes%2 == 1 {
			return errPowerCut
		}
		return do()
	}
	return interceptor.NewClient(generations(inner), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if _, ok := object.(*appsv1.Cluster); ok && w.refuses != "" {
				stored := &appsv1.Cluster{}
				w.read(object.GetName(), stored)
				if specOf(stored) != specOf(object) {
					return apierrors.NewInvalid(appsv1.GroupVersion.WithKind(clusterKind).GroupKind(), object.GetName(),
						field.ErrorList{field.Invalid(field.NewPath("spec"), "…", w.refuses)})
				}
			}
			return write(func() error { return c.Patch(ctx, object, patch, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			return write(func() error { return c.SubResource(sub).Patch(ctx, object, patch, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return write(func() error { return c.Apply(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			return write(func() error { return c.Delete(ctx, object, opts...) })
		},
	})
}

// Eventf keeps what is told.
func (w *world) Eventf(regarding, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	op, ok := regarding.(*opsv1.OpsRequest)
	require.True(w.t, ok)
	w.told = append(w.told, fmt.Sprintf("event %s %s %s: %s", op.Name, eventType, reason, fmt.Sprintf(note, args...)))
}

var _ events.EventRecorder = &world{}

// agents stand for the agents of pods.
type agents struct {
	nodes.Access
	asked    []string
	outcome  nodes.Outcome
	deafness string
	// needs is what nodes say of their memory, by pod. Others don't answer.
	needs map[string]uint64
}

func (a *agents) Memory(_ context.Context, _ *nodes.Component, pod nodes.Pod) (*nodeclient.Memory, error) {
	needs, ok := a.needs[pod.Name]
	if !ok {
		return nil, errors.New("connection refused")
	}
	return &nodeclient.Memory{Needed: &needs}, nil
}

func (a *agents) Act(_ context.Context, _ *nodes.Component, pod nodes.Pod, action string, parameters map[string]string) (nodes.Outcome, error) {
	asked := fmt.Sprintf("asked %s for %s %v", pod.Name, action, parameters)
	if !slices.Contains(a.asked, asked) {
		a.asked = append(a.asked, asked)
	}
	if a.deafness != "" {
		return nodes.Outcome{}, errors.New(a.deafness)
	}
	return a.outcome, nil
}

// create stores an object as the API server would.
func (w *world) create(object client.Object) {
	w.t.Helper()
	w.uid++
	object.SetUID(types.UID(fmt.Sprintf("uid-%d", w.uid)))
	object.SetCreationTimestamp(metav1.NewTime(w.now))
	object.SetGeneration(1)
	status, _ := object.DeepCopyObject().(client.Object)
	require.NoError(w.t, w.client.Create(w.ctx, object))
	status.SetResourceVersion(object.GetResourceVersion())
	if err := w.client.Status().Update(w.ctx, status); err != nil {
		require.ErrorContains(w.t, err, "not found") // it has none
	}
}

func (w *world) read(name string, object client.Object) {
	w.t.Helper()
	require.NoError(w.t, w.client.Get(w.ctx, types.NamespacedName{Namespace: namespace, Name: name}, object))
}

// edit changes a stored object with its status.
func edit[T client.Object](w *world, name string, object T, do func(T)) {
	w.t.Helper()
	w.read(name, object)
	do(object)
	wanted, _ := object.DeepCopyObject().(client.Object)
	require.NoError(w.t, w.client.Update(w.ctx, object))
	wanted.SetResourceVersion(object.GetResourceVersion())
	wanted.SetGeneration(object.GetGeneration())
	if err := w.client.Status().Update(w.ctx, wanted); err != nil {
		require.ErrorContains(w.t, err, "not found")
	}
}

func (w *world) reconcile() {
	w.t.Helper()
	w.reconcileCluster(types.NamespacedName{Namespace: namespace, Name: clusterName})
}

// reconcileCluster runs rounds until nothing is written any more.
func (w *world) reconcileCluster(key types.NamespacedName) {
	w.t.Helper()
	for range 200 {
		before := w.writes
		if _, err := w.r.Reconcile(w.ctx, ctrl.Request{NamespacedName: key}); err != nil {
			require.ErrorIs(w.t, err, errPowerCut)
		}
		if w.writes == before {
			return
		}
	}
	w.t.Fatal("the reconciler doesn't come to rest")
}

// cluster makes a cluster that runs, with all that belongs to it.
func (w *world) cluster() {
	text, err := os.ReadFile(filepath.Join(examples, "cluster.yaml"))
	require.NoError(w.t, err)
	cluster := &appsv1.Cluster{}
	require.NoError(w.t, yaml.UnmarshalStrict(text, cluster))
	w.create(cluster)
	name := naming.Component(clusterName, component)
	labels := naming.ComponentLabels(naming.Owner{Cluster: clusterName, Component: component})
	w.create(&appsv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}})
	w.create(&workloadsv1.InstanceSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}})
	w.create(&storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: "fast", Annotations: map[string]string{defaultClass: "true"}},
		AllowVolumeExpansion: new(true),
	})
	w.create(&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"}})
	w.create(&appsv1.ClusterDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "qdrant"},
		Spec: appsv1.ClusterDefinitionSpec{Topologies: []appsv1.Topology{{
			Name: "cluster", Default: true, Components: []appsv1.TopologyComponent{{Name: component, CompDef: "^qdrant-"}},
		}}},
	})
	definition := &appsv1.ComponentDefinition{ObjectMeta: metav1.ObjectMeta{Name: "qdrant-1.0.2"}}
	definition.Spec.ServiceVersion = "1.10.0"
	definition.Spec.Runtime.Containers = []corev1.Container{{Name: "qdrant"}}
	definition.Status.Phase, definition.Status.ObservedGeneration = appsv1.DefinitionAvailable, 1
	w.create(definition)
	versions := &appsv1.ComponentVersion{
		ObjectMeta: metav1.ObjectMeta{Name: "qdrant"},
		Spec:       appsv1.ComponentVersionSpec{CompatibilityRules: []appsv1.CompatibilityRule{{CompDefs: []string{"^qdrant-"}}}},
	}
	for _, v := range []string{"1.10.0", "1.14.0", "1.19.0"} {
		versions.Spec.CompatibilityRules[0].Releases = append(versions.Spec.CompatibilityRules[0].Releases, v)
		versions.Spec.Releases = append(versions.Spec.Releases, appsv1.Release{Name: v, ServiceVersion: v, Images: map[string]string{"qdrant": "sextant:" + v}})
	}
	versions.Status.Phase, versions.Status.ObservedGeneration = appsv1.DefinitionAvailable, 1
	w.create(versions)
	w.follow()
	w.settle()
}

// follow has the other controllers take note of the Cluster: component and set have its spec, instances
// are made or told to go, and those that are old say so.
func (w *world) follow() {
	cluster := &appsv1.Cluster{}
	w.read(clusterName, cluster)
	c, name := &cluster.Spec.ComponentSpecs[0], naming.Component(clusterName, component)
	edit(w, name, &appsv1.Component{}, func(o *appsv1.Component) {
		o.Spec.CompDef, o.Spec.Settings = "qdrant-1.0.2", *c.Settings.DeepCopy()
	})
	edit(w, name, &appsv1.Component{}, func(o *appsv1.Component) { o.Status.ObservedGeneration = o.Generation })
	renewed := false
	edit(w, name, &workloadsv1.InstanceSet{}, func(o *workloadsv1.InstanceSet) {
		before := o.Spec.Template.DeepCopy()
		o.Spec.Replicas, o.Spec.Stop, o.Spec.OfflineInstances, o.Spec.Instances = new(c.Replicas), c.Stop, c.OfflineInstances, c.Instances
		o.Spec.Roles, o.Spec.MinReadySeconds = []appsv1.Role{{Name: "leader"}, {Name: "follower"}}, 10
		o.Spec.Template.Annotations = c.Annotations
		o.Spec.Template.Labels = map[string]string{naming.LabelServiceVersion: c.ServiceVersion}
		o.Spec.Template.Spec.Containers = []corev1.Container{{
			Name: "qdrant", Resources: corev1.ResourceRequirements{Limits: c.Resources.Limits, Requests: c.Resources.Requests},
		}}
		renewed = !equality.Semantic.DeepEqual(before, &o.Spec.Template)
	})
	edit(w, name, &workloadsv1.InstanceSet{}, func(o *workloadsv1.InstanceSet) {
		o.Status.ObservedGeneration = o.Generation
		instances(o, c, renewed)
	})
	phase := appsv1.ClusterUpdating
	if on(c.Stop) {
		phase = appsv1.ClusterStopping
	}
	w.phase(phase, appsv1.ComponentUpdating)
}

// instances makes the states of the instances those that the spec asks for.
func instances(o *workloadsv1.InstanceSet, c *appsv1.ClusterComponentSpec, renewed bool) {
	var names, templates []string
	take := func(template string, n int32) {
		for ordinal := int32(0); n > 0; ordinal++ {
			if pod := naming.Instance(o.Name, template, ordinal); !slices.Contains(c.OfflineInstances, pod) {
				names, templates = append(names, pod), append(templates, template)
				n--
			}
		}
	}
	rest := c.Replicas
	for i := range c.Instances {
		rest -= c.Instances[i].Count()
	}
	take("", rest)
	for i := range c.Instances {
		take(c.Instances[i].Name, c.Instances[i].Count())
	}
	for i := range o.Status.InstanceStatus {
		s := &o.Status.InstanceStatus[i]
		s.UpToDate = s.UpToDate && !renewed
		switch {
		case on(c.Stop):
			if s.CurrentState == workloadsv1.InstancePresent {
				s.CurrentState = workloadsv1.InstanceTerminating
			}
		case slices.Contains(c.OfflineInstances, s.PodName):
			s.DesiredState = workloadsv1.InstanceOffline
		case !slices.Contains(names, s.PodName):
			s.DesiredState = workloadsv1.InstanceReleased
		default:
			s.DesiredState = workloadsv1.InstanceActive
		}
	}
	for i, pod := range names {
		known := slices.ContainsFunc(o.Status.InstanceStatus, func(s workloadsv1.InstanceStatus) bool { return s.PodName == pod })
		if !known && !on(c.Stop) {
			o.Status.InstanceStatus = append(o.Status.InstanceStatus, workloadsv1.InstanceStatus{
				PodName: pod, TemplateName: templates[i], DesiredState: workloadsv1.InstanceActive, CurrentState: workloadsv1.InstanceAbsent,
			})
		}
	}
	o.Status.Replicas = pods(o)
}

// pods counts them.
func pods(o *workloadsv1.InstanceSet) (n int32) {
	for i := range o.Status.InstanceStatus {
		if o.Status.InstanceStatus[i].CurrentState != workloadsv1.InstanceAbsent {
			n++
		}
	}
	return n
}

// phase sets the phases of cluster and component.
func (w *world) phase(cluster appsv1.ClusterPhase, phase appsv1.ComponentPhase) {
	edit(w, clusterName, &appsv1.Cluster{}, func(o *appsv1.Cluster) {
		o.Status.Phase, o.Status.ObservedGeneration = cluster, o.Generation
	})
	edit(w, naming.Component(clusterName, component), &appsv1.Component{}, func(o *appsv1.Component) { o.Status.Phase = phase })
}

// pod brings an instance into a state; its claim goes and comes with it.
func (w *world) pod(name, state string) {
	edit(w, naming.Component(clusterName, component), &workloadsv1.InstanceSet{}, func(o *workloadsv1.InstanceSet) {
		i := slices.IndexFunc(o.Status.InstanceStatus, func(s workloadsv1.InstanceStatus) bool { return s.PodName == name })
		require.GreaterOrEqual(w.t, i, 0, name)
		s := &o.Status.InstanceStatus[i]
		s.Ready, s.Available, s.Failed, s.Role, s.CurrentState, s.Message = false, false, false, "", workloadsv1.InstancePresent, ""
		switch state {
		case "up", "leads":
			s.UpToDate, s.Ready, s.Available, s.Role = true, true, true, map[string]string{"up": "follower", "leads": "leader"}[state]
		case "going":
			s.CurrentState = workloadsv1.InstanceTerminating
		case "new":
			s.UpToDate = true
		case "failed":
			s.UpToDate, s.Failed, s.Message = true, true, "ImagePullBackOff"
		case "gone":
			if on(o.Spec.Stop) && s.DesiredState == workloadsv1.InstanceActive {
				s.UpToDate, s.CurrentState = false, workloadsv1.InstanceAbsent
			} else {
				o.Status.InstanceStatus = slices.Delete(o.Status.InstanceStatus, i, i+1)
			}
		default:
			w.t.Fatalf("unknown state %s", state)
		}
		o.Status.Replicas = pods(o)
	})
	if state == "up" || state == "leads" || state == "new" {
		w.makeClaim(name)
		w.makePod(name)
	}
}

// makePod makes the pod that agents are asked at.
func (w *world) makePod(name string) {
	owner := naming.Owner{Cluster: clusterName, Component: component}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: naming.PodLabels(owner, name, "", false)}}
	if w.client.Get(w.ctx, client.ObjectKeyFromObject(pod), &corev1.Pod{}) == nil {
		return
	}
	pod.Status.PodIP = "10.0.0.1"
	w.create(pod)
}

func (w *world) makeClaim(pod string) {
	claim := &corev1.PersistentVolumeClaim{}
	key := types.NamespacedName{Namespace: namespace, Name: naming.Claim("data", pod)}
	if w.client.Get(w.ctx, key, claim) == nil {
		return
	}
	labels := naming.ComponentLabels(naming.Owner{Cluster: clusterName, Component: component})
	labels[naming.LabelClaimTemplate], labels[naming.LabelPodName] = "data", pod
	claim = &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: key.Name, Labels: labels}}
	claim.Spec.StorageClassName = new("fast")
	cluster := &appsv1.Cluster{}
	w.read(clusterName, cluster)
	size := cluster.Spec.ComponentSpecs[0].VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage]
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: size}
	claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: size}
	set := &workloadsv1.InstanceSet{}
	w.read(naming.Component(clusterName, component), set)
	if token := tokens(set)[pod]; token != "" {
		claim.Annotations = map[string]string{naming.AnnotationRebuild: token}
	}
	w.create(claim)
}

// resize sets the size of a claim, as asked for and as it is.
func (w *world) resize(pod, asked, has string) {
	edit(w, naming.Claim("data", pod), &corev1.PersistentVolumeClaim{}, func(o *corev1.PersistentVolumeClaim) {
		o.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse(asked)
		o.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(has)}
	})
}

// settle has everything come to the state that is asked for.
func (w *world) settle() {
	set, cluster := &workloadsv1.InstanceSet{}, &appsv1.Cluster{}
	w.read(naming.Component(clusterName, component), set)
	w.read(clusterName, cluster)
	stopped := on(cluster.Spec.ComponentSpecs[0].Stop)
	state := "leads"
	for _, s := range set.Status.InstanceStatus {
		if stopped || s.DesiredState != workloadsv1.InstanceActive {
			w.pod(s.PodName, "gone")
			if !stopped {
				w.dropClaim(s.PodName)
			}
			continue
		}
		w.pod(s.PodName, state)
		state = "up"
	}
	if stopped {
		w.phase(appsv1.ClusterStopped, appsv1.ComponentStopped)
		return
	}
	w.phase(appsv1.ClusterRunning, appsv1.ComponentRunning)
}

func (w *world) dropClaim(pod string) {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: naming.Claim("data", pod)}}
	require.NoError(w.t, client.IgnoreNotFound(w.client.Delete(w.ctx, claim)))
}

// patch changes an object as a user would.
func (w *world) patch(kind, name, text string) {
	change, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(w.t, err)
	var object client.Object = &appsv1.Cluster{}
	if kind == "ops" {
		object = &opsv1.OpsRequest{}
	}
	object.SetNamespace(namespace)
	object.SetName(name)
	require.NoError(w.t, w.client.Patch(w.ctx, object, client.RawPatch(types.MergePatchType, change)))
}

// all is what can be seen in the end.
func (w *world) all() string {
	var out strings.Builder
	var list opsv1.OpsRequestList
	require.NoError(w.t, w.client.List(w.ctx, &list))
	for i := range list.Items {
		op := &list.Items[i]
		text, err := yaml.Marshal(map[string]any{"labels": op.Labels, "finalizers": op.Finalizers, "owners": op.OwnerReferences, "status": op.Status})
		require.NoError(w.t, err)
		fmt.Fprintf(&out, "%s\n%s", op.Name, text)
	}
	cluster := &appsv1.Cluster{}
	if w.client.Get(w.ctx, types.NamespacedName{Namespace: namespace, Name: clusterName}, cluster) == nil {
		text, err := yaml.Marshal(map[string]any{"annotations": cluster.Annotations, "spec": cluster.Spec})
		require.NoError(w.t, err)
		out.Write(text)
	}
	return out.String()
}

// show prints what has changed since it was last called: the operations, the cluster, and what was told.
func (w *world) show() string {
	var out strings.Builder
	var list opsv1.OpsRequestList
	require.NoError(w.t, w.client.List(w.ctx, &list, client.InNamespace(namespace)))
	for i := range list.Items {
		w.showOp(&out, &list.Items[i])
	}
	cluster := &appsv1.Cluster{}
	if w.client.Get(w.ctx, types.NamespacedName{Namespace: namespace, Name: clusterName}, cluster) == nil {
		text, err := yaml.Marshal(map[string]any{"annotations": cluster.Annotations, "spec": cluster.Spec})
		require.NoError(w.t, err)
		if before := w.shown["cluster"]; before != string(text) {
			w.shown["cluster"] = string(text)
			if before != "" {
				fmt.Fprintf(&out, "cluster %s\n", difference(w.t, before, string(text)))
			}
		}
	}
	for _, line := range append(w.agents.asked, w.told...) {
		fmt.Fprintln(&out, line)
	}
	w.told, w.agents.asked = nil, nil
	return out.String()
}

func (w *world) showOp(out *strings.Builder, op *opsv1.OpsRequest) {
	var text strings.Builder
	s := &op.Status
	fmt.Fprintf(&text, "%s %s %s\n", op.Name, s.Phase, s.Progress)
	for _, c := range s.Conditions {
		line := fmt.Sprintf("  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
		if key := op.Name + "/" + c.Type; w.shown[key] != line {
			w.shown[key] = line
			text.WriteString(line)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Components)) {
		for _, d := range s.Components[name].ProgressDetails {
			fmt.Fprintf(&text, "  %s %s %s\n", d.ObjectKey, d.Status, d.Message)
		}
	}
	state := fmt.Sprintf("%s %s %v", s.Phase, s.Progress, s.Components)
	if w.shown[op.Name] != state || strings.Contains(text.String(), "=") {
		w.shown[op.Name] = state
		for line := range strings.Lines(text.String()) {
			out.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
	}
}

// difference is what changed, as a merge patch. Such a patch has lists as a whole, so the only component takes the
// place of the list of components.
func difference(t *testing.T, before, after string) string {
	t.Helper()
	open := func(text string) []byte {
		var content map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(text), &content))
		spec, _ := content["spec"].(map[string]any)
		list, _ := spec["componentSpecs"].([]any)
		require.Len(t, list, 1)
		delete(spec, "componentSpecs")
		spec["component"] = list[0]
		out, err := json.Marshal(content)
		require.NoError(t, err)
		return out
	}
	patch, err := jsonpatch.CreateMergePatch(open(before), open(after))
	require.NoError(t, err)
	return string(patch)
}
