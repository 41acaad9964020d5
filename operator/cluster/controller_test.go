package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/sextantdb/sextant/operator/api"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	dataprotectionv1alpha1 "github.com/sextantdb/sextant/operator/api/dataprotection/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

var (
	key          = types.NamespacedName{Namespace: "demo", Name: "c"}
	componentKey = types.NamespacedName{Namespace: "demo", Name: "c-qdrant"}
	errKilled    = errors.New("the operator was killed")
)

// world is an API server in memory with the controller on it, which may be killed at a write.
type world struct {
	*testing.T
	client.Client
	reconciler *reconciler
	recorder   *events.FakeRecorder
	writes     int
	killAt     int   // the write that fails, 0 for none
	failed     error // what the last round came to
	heard      []string
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme, err := api.NewScheme()
	require.NoError(t, err)
	w := &world{T: t, recorder: events.NewFakeRecorder(64)}
	w.Client = interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).WithReturnManagedFields().
		WithStatusSubresource(&appsv1.Cluster{}, &appsv1.Component{}, &workloadsv1.InstanceSet{}).
		WithObjects(objects...).Build(), w.counting())
	w.reconciler = &reconciler{client: w.Client, events: w.recorder, now: func() time.Time { return time.Unix(1e9, 0) }}
	return w
}

// counting counts the writes of the controller and lets one of them fail.
func (w *world) counting() interceptor.Funcs {
	count := func() error {
		w.writes++
		if w.writes == w.killAt {
			return errKilled
		}
		return nil
	}
	return interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if err := count(); err != nil {
				return err
			}
			before := &appsv1.Component{}
			_ = c.Get(ctx, componentKey, before)
			if err := c.Apply(ctx, o, opts...); err != nil {
				return err
			}
			return newGeneration(ctx, c, before)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.Patch(ctx, o, p, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.Delete(ctx, o, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	}
}

// newGeneration does what the server does when a spec changes.
func newGeneration(ctx context.Context, c client.Client, before *appsv1.Component) error {
	after := &appsv1.Component{}
	if err := c.Get(ctx, componentKey, after); err != nil || equality.Semantic.DeepEqual(before.Spec, after.Spec) {
		return client.IgnoreNotFound(err)
	}
	after.Generation = before.Generation + 1
	return c.Update(ctx, after)
}

// outside does what others do, whose writes aren't counted.
func (w *world) outside(do func()) {
	writes, killAt := w.writes, w.killAt
	w.killAt = 0
	do()
	w.writes, w.killAt = writes, killAt
}

// settle lets the controller work until it writes nothing more, though it may be killed on the way.
func (w *world) settle() {
	w.Helper()
	for range 20 {
		before := w.writes
		w.heard = append(w.heard, w.drain()...)
		_, w.failed = w.reconciler.Reconcile(w.Context(), ctrl.Request{NamespacedName: key})
		if w.writes == before {
			return
		}
	}
	w.Fatal("the controller doesn't come to rest")
}

func (w *world) cluster() *appsv1.Cluster {
	w.Helper()
	c := &appsv1.Cluster{}
	require.NoError(w, w.Get(w.Context(), key, c))
	return c
}

func (w *world) component() *appsv1.Component {
	w.Helper()
	c := &appsv1.Component{}
	require.NoError(w, w.Get(w.Context(), componentKey, c))
	return c
}

func (w *world) services() (names []string) {
	w.Helper()
	var all corev1.ServiceList
	require.NoError(w, w.List(w.Context(), &all))
	for _, s := range all.Items {
		names = append(names, s.Name)
	}
	return names
}

// change edits the cluster as a user does.
func (w *world) change(edit func(*appsv1.Cluster)) {
	w.Helper()
	w.outside(func() {
		c := w.cluster()
		c.Generation++
		edit(c)
		require.NoError(w, w.Update(w.Context(), c))
	})
	w.settle()
}

// runs plays the controller of Component: it has done all that is asked for.
func (w *world) runs() {
	w.Helper()
	w.outside(func() {
		c := w.component()
		c.Status = appsv1.ComponentStatus{
			ObservedGeneration: c.Generation, Phase: appsv1.ComponentRunning,
			Bootstrap:  &appsv1.Bootstrap{Founder: "c-qdrant-0", ClusterID: "id"},
			Conditions: []metav1.Condition{{Type: appsv1.ConditionAvailable, Status: metav1.ConditionTrue, Reason: "Shards"}},
		}
		require.NoError(w, w.Status().Update(w.Context(), c))
	})
	w.settle()
}

// told returns the events since it was called last.
func (w *world) told() []string {
	told := slices.Concat(w.heard, w.drain())
	w.heard = nil
	return told
}

func (w *world) drain() (told []string) {
	for {
		select {
		case e := <-w.recorder.Events:
			told = append(told, e)
		default:
			return told
		}
	}
}

// state shows everything that the controller has made, without what differs from run to run.
func (w *world) state() string {
	w.Helper()
	var clusters appsv1.ClusterList
	var components appsv1.ComponentList
	var services corev1.ServiceList
	var out strings.Builder
	for _, l := range []client.ObjectList{&clusters, &components, &services} {
		require.NoError(w, w.List(w.Context(), l))
		require.NoError(w, meta.EachListItem(l, func(o runtime.Object) error {
			object, ok := o.(client.Object)
			require.True(w, ok)
			object.SetManagedFields(nil)
			object.SetResourceVersion("")
			text, err := yaml.Marshal(object)
			require.NoError(w, err)
			fmt.Fprintf(&out, "%T\n%s\n", object, text)
			return nil
		}))
	}
	return out.String()
}

func definitions() []client.Object {
	port := func(name string, number int32) corev1.ContainerPort {
		return corev1.ContainerPort{Name: name, ContainerPort: number}
	}
	return []client.Object{
		&appsv1.ClusterDefinition{
			ObjectMeta: metav1.ObjectMeta{Name: "qdrant"},
			Spec: appsv1.ClusterDefinitionSpec{Topologies: []appsv1.Topology{{
				Name: "cluster", Default: true, Components: []appsv1.TopologyComponent{{Name: "qdrant", CompDef: "^qdrant-"}},
			}}},
		},
		&appsv1.ComponentDefinition{
			ObjectMeta: metav1.ObjectMeta{Name: "qdrant-1.0.2"},
			Spec: appsv1.ComponentDefinitionSpec{Runtime: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "qdrant", Ports: []corev1.ContainerPort{port("tcp-qdrant", 6333), port("grpc-qdrant", 6334), port("p2p", 6335)},
			}}}},
		},
		componentVersion("1.10.0", "1.14.0"),
	}
}

func componentVersion(versions ...string) *appsv1.ComponentVersion {
	v := &appsv1.ComponentVersion{ObjectMeta: metav1.ObjectMeta{Name: "qdrant"}}
	rule := appsv1.CompatibilityRule{CompDefs: []string{"qdrant"}}
	for _, version := range versions {
		rule.Releases = append(rule.Releases, version)
		v.Spec.Releases = append(v.Spec.Releases, appsv1.Release{Name: version, ServiceVersion: version, Images: map[string]string{"qdrant": "e:" + version}})
	}
	v.Spec.CompatibilityRules = []appsv1.CompatibilityRule{rule}
	return v
}

func example() *appsv1.Cluster {
	return &appsv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: "c-uid", Generation: 1},
		Spec: appsv1.ClusterSpec{
			ClusterDef: "qdrant", TerminationPolicy: appsv1.Delete,
			ComponentSpecs: []appsv1.ClusterComponentSpec{{Name: "qdrant", Settings: appsv1.Settings{Replicas: 3}}},
			Services:       []appsv1.ClusterService{{Name: "outside", Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort}}},
		},
	}
}

func TestAClusterComesUpAndRests(t *testing.T) {
	w := newWorld(t, append(definitions(), example())...)
	w.settle()
	c := w.cluster()
	require.Equal(t, []string{naming.FinalizerCluster}, c.Finalizers)
	require.Equal(t, appsv1.ClusterCreating, c.Status.Phase)
	require.Equal(t, "1.14.0", w.component().Spec.ServiceVersion)
	require.Equal(t, "c", w.component().OwnerReferences[0].Name)
	require.Equal(t, []string{"c-outside"}, w.services())
	require.Equal(t, []string{"Normal Creating the cluster is Creating: qdrant is Creating"}, w.told())

	w.runs()
	c = w.cluster()
	require.Equal(t, appsv1.ClusterRunning, c.Status.Phase)
	require.Equal(t, "id", c.Status.Components["qdrant"].Bootstrap.ClusterID)
	require.True(t, c.Status.Components["qdrant"].UpToDate)
	require.Equal(t, []string{"Normal Running the cluster was Creating and is Running"}, w.told())

	writes := w.writes
	w.settle()
	require.Equal(t, writes, w.writes, "a cluster at rest is left alone")
	require.Empty(t, w.told())
}

// TestAnnotationsAreHandedDown: a Component whose annotations change isn't updating.
func TestAnnotationsAreHandedDown(t *testing.T) {
	w := newWorld(t, append(definitions(), example())...)
	w.settle()
	w.runs()
	w.told()
	w.change(func(c *appsv1.Cluster) {
		c.Annotations = map[string]string{naming.AnnotationAcceptDataLoss: "c-qdrant-2"}
	})
	require.Equal(t, "c-qdrant-2", w.component().Annotations[naming.AnnotationAcceptDataLoss])
	require.Empty(t, w.told())
	w.change(func(c *appsv1.Cluster) { c.Annotations = nil })
	require.NotContains(t, w.component().Annotations, naming.AnnotationAcceptDataLoss)
	require.Empty(t, w.told())
}

func TestNewReleasesDontChangeWhatRuns(t *testing.T) {
	w := newWorld(t, append(definitions(), example())...)
	w.settle()
	w.runs()
	writes := w.writes
	w.outside(func() {
		v := componentVersion("1.10.0", "1.14.0", "1.15.0")
		require.NoError(t, w.Get(t.Context(), client.ObjectKeyFromObject(v), &appsv1.ComponentVersion{}))
		old := &appsv1.ComponentVersion{}
		require.NoError(t, w.Get(t.Context(), client.ObjectKeyFromObject(v), old))
		old.Spec = v.Spec
		require.NoError(t, w.Update(t.Context(), old))
	})
	w.settle()
	require.Equal(t, writes, w.writes)
	require.Equal(t, "1.14.0", w.component().Spec.ServiceVersion)

	w.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].ServiceVersion = "1.15.0" })
	require.Equal(t, "1.15.0", w.component().Spec.ServiceVersion)
}

func TestASpecThatCantBeFollowedChangesNothing(t *testing.T) {
	bad := example()
	bad.Spec.ComponentSpecs[0].ServiceVersion = "1.11.0"
	bad.Spec.Services = nil
	w := newWorld(t, append(definitions(), bad)...)
	w.settle()
	var components appsv1.ComponentList
	require.NoError(t, w.List(t.Context(), &components))
	require.Empty(t, components.Items)
	says := "component qdrant: serviceVersion 1.11.0: no release of it fits ComponentDefinition qdrant-1.0.2; there are: 1.14.0, 1.10.0"
	started := meta.FindStatusCondition(w.cluster().Status.Conditions, appsv1.ConditionProvisioningStarted)
	require.Equal(t, metav1.ConditionFalse, started.Status)
	require.Equal(t, "ServiceVersionNotFound", started.Reason)
	require.Equal(t, says, started.Message)
	require.Contains(t, w.told(), "Warning ServiceVersionNotFound "+says)

	w.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].ServiceVersion = "1.10.0" })
	w.runs()
	before := w.component()
	w.told()
	w.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].ServiceVersion = "1.12.0" })
	require.Equal(t, before.ResourceVersion, w.component().ResourceVersion)
	require.Equal(t, appsv1.ClusterAbnormal, w.cluster().Status.Phase)
	require.Len(t, w.told(), 2)
	w.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].ServiceVersion = "1.10.0" })
	require.Equal(t, appsv1.ClusterRunning, w.cluster().Status.Phase)
}

func TestServicesFollowTheirEntries(t *testing.T) {
	w := newWorld(t, append(definitions(), example(), &corev1.Service{ // of somebody else
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "c-theirs", Labels: naming.ClusterLabels("c")},
	})...)
	w.settle()
	w.runs()
	w.change(func(c *appsv1.Cluster) {
		yes := true
		c.Spec.Services = append(c.Spec.Services,
			appsv1.ClusterService{Name: "theirs"},
			appsv1.ClusterService{Name: "pods", PodService: &yes},
		)
	})
	require.Equal(t, []string{"c-outside", "c-theirs"}, w.services())
	require.ErrorContains(t, w.failed, "there is one that Cluster c doesn't own")
	require.Contains(t, w.cluster().Status.Message, "there is one that Cluster c doesn't own")
	require.Equal(t, appsv1.ClusterRunning, w.cluster().Status.Phase)
	told := w.told()
	require.Contains(t, told[len(told)-1], "Warning ApplyResourcesFailed")

	set := &workloadsv1.InstanceSet{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "c-qdrant", Labels: naming.ClusterLabels("c")}}
	w.outside(func() {
		require.NoError(t, w.Create(t.Context(), set))
		set.Status.InstanceStatus = []workloadsv1.InstanceStatus{{PodName: "c-qdrant-0"}, {PodName: "c-qdrant-1"}}
		require.NoError(t, w.Status().Update(t.Context(), set))
	})
	require.Equal(t, []ctrl.Request{{NamespacedName: key}}, w.reconciler.ofInstanceSet(t.Context(), set))
	w.change(func(c *appsv1.Cluster) { c.Spec.Services = slices.Delete(c.Spec.Services, 1, 2) })
	require.Equal(t, []string{"c-outside", "c-pods-0", "c-pods-1", "c-theirs"}, w.services())
	require.Empty(t, w.cluster().Status.Message)

	w.change(func(c *appsv1.Cluster) { c.Spec.Services = nil })
	require.Equal(t, []string{"c-theirs"}, w.services())
	require.Empty(t, w.reconciler.ofInstanceSet(t.Context(), set))
}

func TestDeletion(t *testing.T) {
	c := example()
	c.Spec.TerminationPolicy = appsv1.DoNotTerminate
	backup := &dataprotectionv1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{
		Namespace: "demo", Name: "b", Labels: map[string]string{naming.LabelClusterUID: "c-uid"},
	}}
	w := newWorld(t, append(definitions(), c, backup)...)
	w.settle()
	w.outside(func() {
		component := w.component()
		component.Finalizers = []string{naming.FinalizerComponent}
		require.NoError(t, w.Update(t.Context(), component))
	})
	w.runs()
	w.told()
	w.outside(func() { require.NoError(t, w.Delete(t.Context(), w.cluster())) })
	w.settle()
	require.Equal(t, appsv1.ClusterRunning, w.cluster().Status.Phase)
	require.Contains(t, w.cluster().Status.Message, "DoNotTerminate: it stays")
	require.Nil(t, w.component().DeletionTimestamp)
	told := w.told()
	require.Len(t, told, 1)
	require.Contains(t, told[0], "Warning DoNotTerminate")

	w.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].Replicas = 5 })
	require.EqualValues(t, 5, w.component().Spec.Replicas, "it goes on being looked after")

	w.change(func(c *appsv1.Cluster) { c.Spec.TerminationPolicy = appsv1.WipeOut })
	require.Equal(t, appsv1.ClusterDeleting, w.cluster().Status.Phase)
	require.Equal(t, "waiting until these are gone: Component/c-qdrant", w.cluster().Status.Message)
	require.Equal(t, appsv1.WipeOut, w.component().Spec.TerminationPolicy)
	require.NotNil(t, w.component().DeletionTimestamp)
	require.Empty(t, w.services())
	require.NoError(t, w.Get(t.Context(), client.ObjectKeyFromObject(backup), backup))

	w.outside(func() {
		component := w.component()
		component.Finalizers = nil
		require.NoError(t, w.Update(t.Context(), component))
	})
	w.settle()
	require.Empty(t, strings.TrimSpace(w.state()))
	require.Error(t, w.Get(t.Context(), client.ObjectKeyFromObject(backup), backup))
	w.settle() // it is gone
}

// TestKilledAnywhere: the operator is killed at its n-th write, whichever that is; what it comes to is
// the same.
func TestKilledAnywhere(t *testing.T) {
	w := newWorld(t, definitions()...)
	backup := &dataprotectionv1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{
		Namespace: "demo", Name: "b", Labels: map[string]string{naming.LabelClusterUID: "c-uid"},
	}}
	// play returns what there is at the end of each step, and how often the controller wrote.
	play := func(killAt int) (states []string, writes int) {
		w.writes, w.killAt = 0, killAt
		w.outside(func() {
			backup.ResourceVersion = ""
			require.NoError(t, w.Create(t.Context(), example()))
			require.NoError(t, w.Create(t.Context(), backup))
		})
		step := func() {
			require.NoError(t, w.failed)
			states = append(states, w.state())
		}
		w.settle()
		step()
		w.runs()
		step()
		w.change(func(c *appsv1.Cluster) {
			c.Spec.ComponentSpecs[0].Replicas = 5
			c.Spec.ComponentSpecs[0].ServiceVersion = "1.10.0"
			c.Spec.Services = []appsv1.ClusterService{{Name: "inside", RoleSelector: "leader"}}
		})
		step()
		w.runs()
		step()
		w.change(func(c *appsv1.Cluster) { c.Spec.TerminationPolicy = appsv1.WipeOut })
		w.outside(func() { require.NoError(t, w.Delete(t.Context(), w.cluster())) })
		w.settle()
		step()
		require.Error(t, w.Get(t.Context(), client.ObjectKeyFromObject(backup), &dataprotectionv1alpha1.Backup{}))
		return states, w.writes
	}
	want, writes := play(0)
	require.Empty(t, strings.TrimSpace(want[len(want)-1]))
	require.Greater(t, writes, 10)
	for n := 1; n <= writes; n++ {
		states, _ := play(n)
		require.Equal(t, want, states, "killed at write %d of %d", n, writes)
	}
}

func TestWhoHearsOfDefinitions(t *testing.T) {
	other := example()
	other.Name, other.UID = "other", "other-uid"
	other.Spec.ClusterDef, other.Spec.Services = "milvus", nil
	w := newWorld(t, append(definitions(), example(), other)...)
	w.settle()
	w.runs()
	names := func(requests []ctrl.Request) []string {
		var names []string
		for _, r := range requests {
			names = append(names, r.Name)
		}
		return names
	}
	ctx, r := t.Context(), w.reconciler
	mine, theirs := definitions()[1], &appsv1.ComponentDefinition{ObjectMeta: metav1.ObjectMeta{Name: "milvus-1.0.0"}}
	require.Equal(t, []string{"c", "other"}, names(r.ofComponentDefinition(ctx, mine)), "the other one may wait for it")
	require.Equal(t, []string{"other"}, names(r.ofComponentDefinition(ctx, theirs)))
	require.Equal(t, []string{"c", "other"}, names(r.ofComponentVersion(ctx, componentVersion("1.10.0"))))
	require.Equal(t, []string{"other"}, names(r.ofComponentVersion(ctx, &appsv1.ComponentVersion{})))
	require.Equal(t, []string{"c", "other"}, names(r.ofClusterDefinition(ctx, definitions()[0])))
	require.Equal(t, []string{"other"}, names(r.ofClusterDefinition(ctx, &appsv1.ClusterDefinition{ObjectMeta: metav1.ObjectMeta{Name: "milvus"}})))
}

// TestOrders: a component waits for those before it.
func TestOrders(t *testing.T) {
	objects := definitions()
	definition, ok := objects[0].(*appsv1.ClusterDefinition)
	require.True(t, ok)
	topology := &definition.Spec.Topologies[0]
	topology.Components = append(topology.Components, appsv1.TopologyComponent{Name: "proxy", CompDef: "qdrant"})
	topology.Orders = &appsv1.TopologyOrders{Provision: []string{"qdrant", "proxy"}, Update: []string{"qdrant", "proxy"}}
	c := example()
	c.Spec.ComponentSpecs = append(c.Spec.ComponentSpecs, appsv1.ClusterComponentSpec{Name: "proxy", Settings: appsv1.Settings{Replicas: 1}})
	w := newWorld(t, append(objects, c)...)
	w.settle()
	proxy := &appsv1.Component{}
	proxyKey := types.NamespacedName{Namespace: "demo", Name: "c-proxy"}
	require.Error(t, w.Get(t.Context(), proxyKey, proxy), "qdrant doesn't run yet")
	require.Contains(t, w.cluster().Status.Message, "waits for component qdrant")
	w.runs()
	require.NoError(t, w.Get(t.Context(), proxyKey, proxy))

	w.change(func(c *appsv1.Cluster) {
		for i := range c.Spec.ComponentSpecs {
			c.Spec.ComponentSpecs[i].Labels = map[string]string{"a": "b"}
		}
	})
	require.NotEmpty(t, w.component().Spec.Labels)
	require.NoError(t, w.Get(t.Context(), proxyKey, proxy))
	require.Empty(t, proxy.Spec.Labels, "qdrant doesn't follow the change yet")
	w.runs()
	require.NoError(t, w.Get(t.Context(), proxyKey, proxy))
	require.NotEmpty(t, proxy.Spec.Labels)
}
