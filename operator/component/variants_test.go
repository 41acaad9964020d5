package component

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

// TestInstancesOfTheirOwn: instances with a version or a definition of their own have their own images and files, and what
// isn't used any more goes.
func TestInstancesOfTheirOwn(t *testing.T) {
	versions := &appsv1.ComponentVersion{ObjectMeta: metav1.ObjectMeta{Name: "qdrant"}}
	require.NoError(t, yaml.UnmarshalStrict([]byte(`
compatibilityRules: [{compDefs: [^qdrant-], releases: [a, b]}]
releases:
  - {name: a, serviceVersion: 1.10.0, images: {qdrant: "sextant:1.10.0"}}
  - {name: b, serviceVersion: 1.14.0, images: {qdrant: "sextant:1.14.0"}}
`), &versions.Spec))
	raw, err := os.ReadFile("../manifests/testdata/definition.yaml")
	require.NoError(t, err)
	next := &appsv1.ComponentDefinition{}
	require.NoError(t, yaml.UnmarshalStrict(raw, next))
	next.Name = "qdrant-2.0.0"
	for i := range next.Spec.Runtime.Containers {
		next.Spec.Runtime.Containers[i].Image = "sextant:2"
	}
	w := newWorld(t, "instances: [{name: canary, serviceVersion: 1.14.0}, {name: next, compDef: qdrant-2.0.0}]", versions, next)
	_, err = w.round()
	require.NoError(t, err)
	set := w.set()
	require.Equal(t, "sextant:1.10.0", set.Spec.Template.Spec.Containers[0].Image)
	require.Len(t, set.Spec.Templates, 2)
	require.Equal(t, "sextant:1.14.0", set.Spec.Templates[0].Template.Spec.Containers[0].Image)
	require.Equal(t, "sextant:2", set.Spec.Templates[1].Template.Spec.Containers[1].Image)
	files := get[corev1.ConfigMap](w, "demo", configMap+".next")
	require.Equal(t, files.Data, get[corev1.ConfigMap](w, "demo", configMap).Data)
	require.Len(t, w.r.ofDefinition(t.Context(), next), 1, "the component hears of it")

	w.change(func(c *appsv1.Component) { c.Spec.Instances = c.Spec.Instances[:1] })
	_, err = w.round()
	require.NoError(t, err)
	require.Len(t, w.set().Spec.Templates, 1)
	require.Error(t, w.raw.Get(t.Context(), client.ObjectKeyFromObject(files), files))

	w.change(func(c *appsv1.Component) { c.Spec.Instances[0].ServiceVersion = "1.15.0" })
	_, err = w.round()
	require.NoError(t, err)
	require.Contains(t, w.condition(appsv1.ConditionProvisioningStarted).Message, "instances[canary]: serviceVersion 1.15.0: no release of it fits")
	require.Equal(t, "sextant:1.14.0", w.set().Spec.Templates[0].Template.Spec.Containers[0].Image, "all stays as it is")
	w.change(func(c *appsv1.Component) { c.Spec.Instances[0].CompDef = "gone" })
	_, err = w.round()
	require.NoError(t, err)
	require.Contains(t, w.condition(appsv1.ConditionProvisioningStarted).Message, "instances[canary]: there is no ComponentDefinition gone")
}
