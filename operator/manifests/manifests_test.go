package manifests_test

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/manifests"
	"github.com/sextantdb/sextant/operator/naming"
)

const config = `service:
  api_key: null
{{- with .tls }}
  enable_tls: true
tls: {cert: {{ .cert }}, key: {{ .key }}, ca_cert: {{ .ca }}}
{{- end }}
storage: {collection: {replication_factor: {{ .defaultReplicationFactor }}}}
telemetry_disabled: {{ index .variables "telemetry_disabled" | default "true" }}
`

func definition(tb testing.TB) *appsv1.ComponentDefinition {
	tb.Helper()
	raw, err := os.ReadFile("testdata/definition.yaml")
	require.NoError(tb, err)
	d := &appsv1.ComponentDefinition{}
	require.NoError(tb, yaml.UnmarshalStrict(raw, d))
	return d
}

// source is a component with a spec in YAML.
func source(tb testing.TB, spec string) *manifests.Source {
	tb.Helper()
	c := &appsv1.Component{}
	c.Namespace, c.Name = "demo", "qdrant-cluster-qdrant"
	c.Labels = naming.ComponentLabels(naming.Owner{Cluster: "qdrant-cluster", Component: "qdrant"})
	require.NoError(tb, yaml.UnmarshalStrict([]byte("compDef: qdrant-1.0.2\nserviceVersion: 1.10.0\nvolumeClaimTemplates: [{name: data, spec: {storageClassName: '', resources: {requests: {storage: 20Gi}}}}]\n"), &c.Spec))
	require.NoError(tb, yaml.UnmarshalStrict([]byte(spec), &c.Spec))
	if c.Spec.Replicas == 0 {
		c.Spec.Replicas = 3
	}
	s := &manifests.Source{
		Component: c, Definition: definition(tb),
		Images:            map[string]string{"qdrant": "sextant:1", "kbagent": "sextant:1", "metrics-exporter": "sextant:1"},
		Templates:         map[string]map[string]string{"qdrant-config-template": {"config.yaml": config}},
		ReplicationFactor: manifests.DefaultFactor(c.Spec.Replicas),
		TLS:               c.Spec.TLSConfig != nil && c.Spec.TLSConfig.Enable,
		OperatorNamespace: "kb-system", Variants: map[string]manifests.Variant{},
	}
	for i := range c.Spec.Instances {
		if t := &c.Spec.Instances[i]; t.Name != "unknown" && manifests.Differs(c, t) {
			s.Variants[t.Name] = variant(tb, s, t)
		}
	}
	return s
}

// variant is what instances of their own version run: images of it, and, where they name another definition, other files.
func variant(tb testing.TB, s *manifests.Source, t *appsv1.InstanceTemplate) manifests.Variant {
	tb.Helper()
	v := manifests.Variant{Definition: s.Definition, Images: map[string]string{}, Templates: s.Templates}
	for container := range s.Images {
		v.Images[container] = "sextant:" + cmp.Or(t.ServiceVersion, "of-"+t.CompDef)
	}
	if t.CompDef != "" {
		v.Definition = definition(tb)
		v.Definition.Name = t.CompDef
		v.Definition.Spec.Runtime.Containers[0].Args = []string{"--of", t.CompDef}
		v.Templates = map[string]map[string]string{"qdrant-config-template": {"config.yaml": "other: {{ index .variables \"other\" | default \"none\" }}\n"}}
	}
	return v
}

// TestGolden: the input is the spec of a component, the output an object as YAML, or the error.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		t.Helper()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			s := source(t, d.Input)
			if d.HasArg("key") {
				d.ScanArgs(t, "key", &s.KeyRevision)
			}
			if d.HasArg("founding") {
				d.ScanArgs(t, "founding", &s.Founding)
			}
			if d.HasArg("rules") {
				require.NoError(t, yaml.Unmarshal([]byte("[{apiGroups: [''], resources: [pods], verbs: [get]}]"), &s.Definition.Spec.PolicyRules))
			}
			if err := s.Check(); err != nil {
				return "error: " + err.Error() + "\n"
			}
			return build(t, s, d.Cmd)
		})
	})
}

func build(t *testing.T, s *manifests.Source, what string) string {
	t.Helper()
	show := func(object any, err error) string {
		if err != nil {
			return "error: " + err.Error() + "\n"
		}
		raw, err := yaml.Marshal(object)
		require.NoError(t, err)
		return brief(string(raw))
	}
	switch what {
	case "instanceset":
		return show(s.InstanceSet())
	case "template":
		set, err := s.InstanceSet()
		if err != nil {
			return show(nil, err)
		}
		return show(set.Spec.Template, nil)
	case "variants":
		set, err := s.InstanceSet()
		if err != nil {
			return show(nil, err)
		}
		maps, err := s.ConfigMaps()
		if err != nil {
			return show(nil, err)
		}
		contents := map[string]map[string]string{}
		for _, m := range maps {
			contents[m.Name] = m.Data
		}
		return show(map[string]any{"templates": set.Spec.Templates, "configMaps": contents}, nil)
	case "services":
		return show(s.Services())
	case "environment":
		return show(s.EnvConfigMap())
	case "files":
		return show(s.FilesConfigMaps())
	case "access":
		return show([]any{s.ServiceAccount(), s.RoleBinding(), s.NetworkPolicy(), s.DisruptionBudget()}, nil)
	case "bootstrap":
		return show(s.BootstrapConfigMap(map[string]string{"a": "", "b": s.NodeURL("a")}), nil)
	case "instances":
		return "run: " + strings.Join(manifests.Instances("s", &s.Component.Spec.Settings), " ") +
			"\npossible: " + strings.Join(manifests.PossibleInstances("s", &s.Component.Spec.Settings, 2), " ") + "\n"
	}
	t.Fatalf("unknown command %s", what)
	return ""
}

// brief leaves out what is empty.
func brief(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if rest := strings.TrimSpace(line); !strings.HasSuffix(rest, ": {}") && rest != "creationTimestamp: null" || strings.HasSuffix(rest, "emptyDir: {}") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// TestReplicasAreNotInTheTemplate: scaling changes no pod that stays.
func TestReplicasAreNotInTheTemplate(t *testing.T) {
	one, many := source(t, "replicas: 3"), source(t, "replicas: 7")
	a, err := one.InstanceSet()
	require.NoError(t, err)
	b, err := many.InstanceSet()
	require.NoError(t, err)
	require.Equal(t, a.Spec.Template, b.Spec.Template)
	require.Equal(t, a.Spec.Configs, b.Spec.Configs)
}

// TestKeyIsNowhere: a key given as a variable stands in no object but its Secret, and no hash is made of it.
func TestKeyIsNowhere(t *testing.T) {
	const spec = "configs: [{name: qdrant-config-template, variables: {service_api_key: %KEY%}}]"
	all := func(key string) string {
		s := source(t, strings.ReplaceAll(spec, "%KEY%", key))
		s.KeyRevision = "one"
		require.Equal(t, key, manifests.Key(&s.Component.Spec.Settings))
		var out strings.Builder
		for _, what := range []string{"instanceset", "services", "environment", "files", "access"} {
			out.WriteString(build(t, s, what))
		}
		return out.String()
	}
	require.NotContains(t, all("ultra-secret"), "ultra-secret")
	require.Equal(t, all("ultra-secret"), all("another"))
}
