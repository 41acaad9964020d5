package catalog

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sextantdb/sextant/operator/api"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// house is an API server in memory with the controllers on it.
type house struct {
	*testing.T
	client.Client
	controllers
	writes   int
	recorder *events.FakeRecorder
}

func newHouse(t *testing.T, objects ...client.Object) *house {
	t.Helper()
	scheme, err := api.NewScheme()
	require.NoError(t, err)
	h := &house{T: t, recorder: events.NewFakeRecorder(16)}
	h.Client = interceptor.NewClient(
		fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
			WithStatusSubresource(&appsv1.ClusterDefinition{}, &appsv1.ComponentDefinition{}, &appsv1.ComponentVersion{}).Build(),
		interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				h.writes++
				return c.Patch(ctx, o, p, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				h.writes++
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		})
	h.controllers = controllers{client: h.Client, events: h.recorder}
	return h
}

// round lets every controller look at everything, and once more, which must write nothing.
func (h *house) round() {
	h.Helper()
	h.once()
	before := h.writes
	h.once()
	require.Equal(h, before, h.writes, "a second round writes nothing")
}

func (h *house) once() {
	h.Helper()
	ctx := h.Context()
	defs, err := h.definitions(ctx)
	require.NoError(h, err)
	for _, d := range defs {
		_, err := h.componentDefinition(ctx, request(d.Name))
		require.NoError(h, err)
	}
	for _, r := range h.allClusterDefinitions(ctx, nil) {
		_, err := h.clusterDefinition(ctx, r)
		require.NoError(h, err)
	}
	for _, r := range h.allComponentVersions(ctx, nil) {
		_, err := h.componentVersion(ctx, r)
		require.NoError(h, err)
	}
}

// events returns what has been told since the last call.
func (h *house) told() (told []string) {
	for {
		select {
		case e := <-h.recorder.Events:
			told = append(told, e)
		default:
			return told
		}
	}
}

func (h *house) get(name string, object client.Object) {
	h.Helper()
	require.NoError(h, h.Get(h.Context(), types.NamespacedName{Name: name}, object))
}

func request(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: types.NamespacedName{Name: name}}
}

func definition(name string) *appsv1.ComponentDefinition {
	return &appsv1.ComponentDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1},
		Spec:       appsv1.ComponentDefinitionSpec{Runtime: corev1.PodSpec{Containers: []corev1.Container{{Name: "qdrant"}}}},
	}
}

func versions() *appsv1.ComponentVersion {
	release := func(name, version string) appsv1.Release {
		return appsv1.Release{Name: name, ServiceVersion: version, Images: map[string]string{"qdrant": "engine:" + version}}
	}
	return &appsv1.ComponentVersion{
		ObjectMeta: metav1.ObjectMeta{Name: "qdrant", Generation: 1},
		Spec: appsv1.ComponentVersionSpec{
			CompatibilityRules: []appsv1.CompatibilityRule{{CompDefs: []string{"^qdrant-"}, Releases: []string{"a", "b", "c"}}},
			Releases:           []appsv1.Release{release("a", "1.9.7"), release("b", "1.14.0"), release("c", "1.10.0"), release("d", "1.10.0")},
		},
	}
}

func TestDefinitionsComeAndGo(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, versions(), &appsv1.ClusterDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "qdrant", Generation: 1},
		Spec: appsv1.ClusterDefinitionSpec{Topologies: []appsv1.Topology{
			{Name: "cluster", Components: []appsv1.TopologyComponent{{Name: "qdrant", CompDef: "^qdrant-"}}},
			{Name: "other", Components: []appsv1.TopologyComponent{{Name: "qdrant", CompDef: "qdrant"}}},
		}},
	})
	h.round()
	v, c := &appsv1.ComponentVersion{}, &appsv1.ClusterDefinition{}
	h.get("qdrant", v)
	h.get("qdrant", c)
	require.Equal(t, "1.14.0,1.10.0,1.9.7", v.Status.ServiceVersions)
	require.Equal(t, appsv1.DefinitionUnavailable, v.Status.Phase)
	require.Equal(t, "compatibilityRules match no ComponentDefinition", v.Status.Message)
	require.Equal(t, "cluster,other", c.Status.Topologies)
	require.Equal(t, appsv1.DefinitionUnavailable, c.Status.Phase)
	require.Equal(t, "component qdrant of topology cluster: no ComponentDefinition matches ^qdrant-; there are: none; "+
		"component qdrant of topology other: no ComponentDefinition matches qdrant; there are: none", c.Status.Message)
	require.Len(t, h.told(), 2)

	require.NoError(t, h.Create(ctx, definition("qdrant-1.0.2")))
	require.NoError(t, h.Create(ctx, definition("qdrant-1.0.1")))
	h.round()
	h.get("qdrant", v)
	h.get("qdrant", c)
	require.Equal(t, appsv1.DefinitionAvailable, v.Status.Phase, v.Status.Message)
	require.Equal(t, "qdrant-1.0.1,qdrant-1.0.2", v.Annotations[naming.AnnotationCompatibleDefinitions])
	require.Equal(t, appsv1.DefinitionAvailable, c.Status.Phase, c.Status.Message)
	d := &appsv1.ComponentDefinition{}
	h.get("qdrant-1.0.2", d)
	require.Equal(t, appsv1.DefinitionAvailable, d.Status.Phase)
	require.EqualValues(t, 1, d.Status.ObservedGeneration)
	require.Empty(t, h.told())

	require.NoError(t, h.Delete(ctx, d))
	h.round()
	h.get("qdrant", v)
	require.Equal(t, "qdrant-1.0.1", v.Annotations[naming.AnnotationCompatibleDefinitions])
}

func TestChangesOfDefinitionsAreRefused(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, definition("qdrant-1.0.2"))
	h.round()
	d := &appsv1.ComponentDefinition{}
	change := func(f func()) {
		t.Helper()
		h.get("qdrant-1.0.2", d)
		f()
		require.NoError(t, h.Update(ctx, d))
		h.round()
		h.get("qdrant-1.0.2", d)
	}
	change(func() { d.Spec.ServiceKind, d.Generation = "other", 2 })
	require.Equal(t, appsv1.DefinitionUnavailable, d.Status.Phase)
	require.Contains(t, d.Status.Message, "its spec has been changed")
	require.Contains(t, d.Status.Message, naming.AnnotationSkipImmutable)
	require.ErrorContains(t, Usable(d), "ComponentDefinition qdrant-1.0.2 is unavailable: its spec has been changed")
	require.Len(t, h.told(), 1)

	change(func() { d.Spec.ServiceKind, d.Generation = "", 3 })
	require.Equal(t, appsv1.DefinitionAvailable, d.Status.Phase, "changed back")

	change(func() {
		d.Spec.ServiceKind, d.Generation = "other", 4
		d.Annotations[naming.AnnotationSkipImmutable] = "true"
	})
	require.Equal(t, appsv1.DefinitionAvailable, d.Status.Phase, "the change is allowed")
	change(func() { delete(d.Annotations, naming.AnnotationSkipImmutable) })
	require.Equal(t, appsv1.DefinitionAvailable, d.Status.Phase, "what was allowed is the spec now")

	change(func() { d.Spec.ServiceKind = "field that an older operator didn't know" })
	require.Equal(t, appsv1.DefinitionAvailable, d.Status.Phase, "no write has raised the generation")
	change(func() { d.Generation = 1 })
	require.Equal(t, appsv1.DefinitionAvailable, d.Status.Phase, "restored from a copy, with a generation of its own")
}

func TestWrongDefinitions(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*appsv1.ComponentDefinitionSpec)
		says  string
	}{
		"no containers": {func(s *appsv1.ComponentDefinitionSpec) { s.Runtime.Containers = nil }, "runtime has no containers"},
		"a name twice": {func(s *appsv1.ComponentDefinitionSpec) {
			s.Runtime.InitContainers = []corev1.Container{{Name: "qdrant"}}
		}, `each container needs a name of its own: "qdrant"`},
		"exporter": {func(s *appsv1.ComponentDefinitionSpec) {
			s.Exporter = &appsv1.Exporter{ContainerName: "metrics-exporter"}
		}, "exporter names the container metrics-exporter, which runtime doesn't have"},
		"port of a service": {func(s *appsv1.ComponentDefinitionSpec) {
			s.Services = []appsv1.ServiceDefinition{{Name: "qdrant", Spec: corev1.ServiceSpec{
				Ports: []corev1.ServicePort{{Port: 6333, TargetPort: intstr.FromString("tcp-qdrant")}},
			}}}
		}, "service qdrant leads to the port tcp-qdrant, which no container has"},
		"services of one name": {func(s *appsv1.ComponentDefinitionSpec) {
			s.Services = []appsv1.ServiceDefinition{{Name: "a"}, {Name: "b"}}
		}, "service b has the same serviceName as another one"},
		"service of a variable": {func(s *appsv1.ComponentDefinitionSpec) {
			s.Vars = []appsv1.Var{{Name: "HOST", ValueFrom: &appsv1.VarSource{ServiceVarRef: &appsv1.ServiceVar{Name: "other"}}}}
		}, `variable HOST is about the service "other", which is none of services`},
		"port of a variable": {func(s *appsv1.ComponentDefinitionSpec) {
			s.Services = []appsv1.ServiceDefinition{{Name: "qdrant"}}
			s.Vars = []appsv1.Var{{Name: "PORT", ValueFrom: &appsv1.VarSource{ServiceVarRef: &appsv1.ServiceVar{Port: &appsv1.NamedVar{Name: "http"}}}}}
		}, "variable PORT is about the port http, which the service qdrant doesn't have"},
		"version": {func(s *appsv1.ComponentDefinitionSpec) { s.ServiceVersion = "new" }, `serviceVersion: read the version "new"`},
	} {
		t.Run(name, func(t *testing.T) {
			d := definition("qdrant-1.0.2")
			c.spoil(&d.Spec)
			h := newHouse(t, d)
			h.round()
			h.get(d.Name, d)
			require.Equal(t, appsv1.DefinitionUnavailable, d.Status.Phase)
			require.Contains(t, d.Status.Message, c.says)
		})
	}
}

func TestWrongVersionsAndOrders(t *testing.T) {
	v := versions()
	v.Spec.Releases[1].Images["kbagent"] = " "
	v.Spec.CompatibilityRules = append(v.Spec.CompatibilityRules, appsv1.CompatibilityRule{CompDefs: []string{"("}})
	h := newHouse(t, v, definition("qdrant-1.0.2"), &appsv1.ClusterDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "qdrant"},
		Spec: appsv1.ClusterDefinitionSpec{Topologies: []appsv1.Topology{{
			Name: "cluster", Components: []appsv1.TopologyComponent{{Name: "qdrant", CompDef: "qdrant"}},
			Orders: &appsv1.TopologyOrders{Provision: []string{"qdrant,other"}},
		}}},
	})
	h.round()
	h.get("qdrant", v)
	require.Equal(t, `release b has no image for kbagent; "(" is neither the name of a ComponentDefinition nor a regular expression: `+
		"error parsing regexp: missing closing ): `(`", v.Status.Message)
	c := &appsv1.ClusterDefinition{}
	h.get("qdrant", c)
	require.Equal(t, "orders of topology cluster name other, which is none of its components", c.Status.Message)
}

func TestGoneObjectsAreLeftAlone(t *testing.T) {
	h := newHouse(t)
	for _, reconcile := range []func(context.Context, ctrl.Request) (ctrl.Result, error){h.componentDefinition, h.clusterDefinition, h.componentVersion} {
		_, err := reconcile(t.Context(), request("gone"))
		require.NoError(t, err)
	}
}
