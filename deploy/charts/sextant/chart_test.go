package sextant_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/sextantdb/sextant/operator/api"
	kubeblocksv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/crd/crdtest"
	"github.com/sextantdb/sextant/operator/manifests"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/server/config"
)

// switches turn everything on.
var switches = []string{
	"monitoring.podMonitor.enabled=true", "monitoring.serviceMonitor.enabled=true", "monitoring.dashboard.enabled=true",
	"monitoring.prometheusRule.enabled=true", "operator.takeOver=true", "operator.replicas=2",
	"operator.podLabels.team=search", "operator.podAnnotations.note=x", "operator.nodeSelector.disk=ssd", "operator.priorityClassName=high",
	"image.pullSecrets={one,two}", `images.versions.1\.14\.0=registry.example:5000/sextant:1.14.0`, `images.versions.1\.20\.0=other:x`,
	"serviceAccount.annotations.a=b", "nameOverride=vectors", "monitoring.dashboard.namespace=grafana",
}

// helm runs helm on the chart; without helm the test is skipped.
func helm(t *testing.T, command string, set ...string) ([]byte, error) {
	t.Helper()
	program := os.Getenv("SEXTANT_HELM")
	if program == "" {
		t.Skip("SEXTANT_HELM is not set: run `make test`")
	}
	args := []string{command, "--kube-version", "1.36.0"}
	if command == "template" {
		args = append(args, "s", "--namespace", "kb-system")
	}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	cmd := exec.CommandContext(t.Context(), program, append(args, ".")...)
	var fault bytes.Buffer
	cmd.Stderr = &fault
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s%s", err, out, fault.String())
	}
	return out, err
}

// rendered are the objects of the chart.
func rendered(t *testing.T, set ...string) []*unstructured.Unstructured {
	t.Helper()
	out, err := helm(t, "template", set...)
	require.NoError(t, err)
	var all []*unstructured.Unstructured
	for documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(out), 4096); ; {
		var one map[string]any
		if err := documents.Decode(&one); errors.Is(err, io.EOF) {
			return all
		} else {
			require.NoError(t, err)
		}
		if len(one) > 0 {
			all = append(all, &unstructured.Unstructured{Object: one})
		}
	}
}

// find returns the object of a kind whose name begins with a text.
func find[T any](t *testing.T, all []*unstructured.Unstructured, kind, name string) *T {
	t.Helper()
	for _, o := range all {
		if o.GetKind() == kind && strings.HasPrefix(o.GetName(), name) {
			out := new(T)
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, out))
			return out
		}
	}
	require.Fail(t, "not rendered", "%s %s", kind, name)
	return nil
}

func TestLint(t *testing.T) {
	_, err := helm(t, "lint")
	require.NoError(t, err)
	_, err = helm(t, "lint", switches...)
	require.NoError(t, err)
}

// TestEverythingIsWhatItSays reads every object as the API server does: unknown and doubled fields are
// errors, and those of our kinds keep their rules.
func TestEverythingIsWhatItSays(t *testing.T) {
	scheme, err := api.NewScheme()
	require.NoError(t, err)
	require.NoError(t, monitoringv1.AddToScheme(scheme))
	strict := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	server, err := crdtest.Load("crds")
	require.NoError(t, err)
	f := func(kinds int, set ...string) {
		t.Helper()
		got := map[string]bool{}
		for _, o := range rendered(t, set...) {
			raw, err := json.Marshal(o.Object)
			require.NoError(t, err)
			_, _, err = strict.Decode(raw, nil, nil)
			require.NoError(t, err, "%s %s", o.GetKind(), o.GetName())
			if _, err := server.Create(o); !errors.Is(err, crdtest.ErrUnknownKind) {
				require.NoError(t, err, "%s %s", o.GetKind(), o.GetName())
			}
			got[o.GetKind()] = true
		}
		require.Len(t, got, kinds)
	}
	f(13)
	f(17, switches...)
	f(12, "serviceAccount.create=false", "serviceAccount.name=mine", "networkPolicy.enabled=true")
	f(12, "networkPolicy.enabled=false")
}

func TestValuesThatAreRefused(t *testing.T) {
	f := func(set, want string) {
		t.Helper()
		_, err := helm(t, "template", set)
		require.ErrorContains(t, err, want)
	}
	f("image.pullPolicy=Sometimes", "pullPolicy")
	f("images.versions.newest=x:1", "newest")
	f("operator.nodeLostAfter=soon", "nodeLostAfter")
	f("operator.replica=3", "replica")
}

func TestVersionsAndTheirImages(t *testing.T) {
	f := func(want map[string]string, set ...string) {
		t.Helper()
		v := find[kubeblocksv1.ComponentVersion](t, rendered(t, set...), "ComponentVersion", "qdrant")
		got := map[string]string{}
		for _, r := range v.Spec.Releases {
			require.Equal(t, r.Name, r.ServiceVersion)
			require.Contains(t, v.Spec.CompatibilityRules[0].Releases, r.Name)
			require.Len(t, r.Images, 3)
			for _, container := range []string{"qdrant", "kbagent", "metrics-exporter"} {
				require.Equal(t, r.Images["qdrant"], r.Images[container])
			}
			got[r.Name] = r.Images["qdrant"]
		}
		require.Equal(t, want, got)
	}
	const usual = "sextantdb/sextant:1.19.0"
	f(map[string]string{"1.10.0": usual, "1.11.0": usual, "1.12.0": usual, "1.13.0": usual, "1.14.0": usual, "1.19.0": usual})
	f(map[string]string{"1.10.0": "a/b:c", "1.14.0": "d:e", "1.20.0": "f:g"},
		"image.repository=a/b", "image.tag=c", "versions[0].serviceVersion=1.10.0", `images.versions.1\.14\.0=d:e`, `images.versions.1\.20\.0=f:g`)
}

// TestPodsAreRestricted holds the pods of clusters and of the operator to the strictest of Kubernetes' standards.
func TestPodsAreRestricted(t *testing.T) {
	all := rendered(t)
	definition := find[kubeblocksv1.ComponentDefinition](t, all, "ComponentDefinition", "qdrant-1.0.2")
	operator := find[appsv1.Deployment](t, all, "Deployment", "s-operator")
	for _, pod := range []corev1.PodSpec{definition.Spec.Runtime, operator.Spec.Template.Spec} {
		s := pod.SecurityContext
		require.True(t, *s.RunAsNonRoot)
		require.EqualValues(t, 1001, *s.RunAsUser)
		require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, s.SeccompProfile.Type)
		for _, c := range pod.Containers {
			s := c.SecurityContext
			require.True(t, *s.RunAsNonRoot, c.Name)
			require.True(t, *s.ReadOnlyRootFilesystem, c.Name)
			require.False(t, *s.AllowPrivilegeEscalation, c.Name)
			require.Equal(t, []corev1.Capability{"ALL"}, s.Capabilities.Drop, c.Name)
			require.NotNil(t, c.LivenessProbe, c.Name)
		}
	}
}

// TestTheContainersOfAPod is about names that manuals, monitors and the operator rely on.
func TestTheContainersOfAPod(t *testing.T) {
	d := find[kubeblocksv1.ComponentDefinition](t, rendered(t), "ComponentDefinition", "qdrant-1.0.2")
	ports := map[string]map[string]int32{}
	for _, c := range d.Spec.Runtime.Containers {
		ports[c.Name] = map[string]int32{}
		for _, p := range c.Ports {
			ports[c.Name][p.Name] = p.ContainerPort
		}
	}
	require.Equal(t, map[string]map[string]int32{
		"qdrant":           {"tcp-qdrant": 6333, "grpc-qdrant": 6334, "p2p": 6335},
		"kbagent":          {"http": 5001},
		"metrics-exporter": {"http-metrics": 9187},
	}, ports)
	require.Equal(t, "qdrant", d.Spec.Runtime.Containers[0].Name, "the operator takes the first for the engine's")
	for _, s := range d.Spec.Services {
		for _, p := range s.Spec.Ports {
			require.NotEqual(t, int32(6335), p.Port, "nothing of clients' concern")
		}
	}
}

// TestTheConfigurationOfNodes has a node read what the operator makes of the template.
func TestTheConfigurationOfNodes(t *testing.T) {
	all := rendered(t)
	d := find[kubeblocksv1.ComponentDefinition](t, all, "ComponentDefinition", "qdrant-1.0.2")
	template := find[corev1.ConfigMap](t, all, "ConfigMap", d.Spec.Configs[0].Template)
	require.Equal(t, d.Spec.Configs[0].Namespace, template.Namespace)
	t.Chdir(t.TempDir()) // no other configuration is near
	f := func(tls bool, variables map[string]string) *config.Config {
		t.Helper()
		c := &kubeblocksv1.Component{ObjectMeta: metav1.ObjectMeta{
			Namespace: "demo", Name: "c-qdrant", Labels: map[string]string{naming.LabelInstance: "c", naming.LabelComponentName: "qdrant"},
		}}
		c.Spec.Configs = []kubeblocksv1.ComponentConfig{{Name: "qdrant-config-template", Variables: variables}}
		source := manifests.Source{
			Component: c, Definition: d, ReplicationFactor: 2, TLS: tls, Templates: map[string]map[string]string{d.Spec.Configs[0].Name: template.Data},
		}
		files, err := source.FilesConfigMaps()
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "config.yaml")
		require.NoError(t, os.WriteFile(path, []byte(files[0].Data["config.yaml"]), 0o600))
		loaded, notes, err := config.Load(config.Options{Path: path})
		require.NoError(t, err)
		for _, n := range notes {
			require.NotContains(t, n.Text, "unknown key")
		}
		return loaded
	}
	c := f(false, nil)
	require.True(t, c.Cluster.Enabled)
	require.Equal(t, "/qdrant/storage", c.Storage.Path)
	require.False(t, c.Service.EnableTLS)
	require.False(t, c.Cluster.P2P.EnableTLS)
	require.Equal(t, 2, c.Storage.Collection.ReplicationFactor)
	c = f(true, map[string]string{"log_level": "info,shard=debug", "telemetry_disabled": "false", "default_replication_factor": "3"})
	require.True(t, c.Service.EnableTLS)
	require.True(t, c.Cluster.P2P.EnableTLS)
	require.Equal(t, "/qdrant/tls/tls.key", c.TLS.Key)
	require.Equal(t, "/qdrant/tls/ca.crt", *c.TLS.CACert)
	require.Equal(t, "info,shard=debug", c.LogLevel)
	require.Equal(t, 3, c.Storage.Collection.ReplicationFactor)
}

// TestTheRightsOfTheOperator: nothing by wildcard, and nothing that would let it into pods. That they are enough is
// shown by tests/operator, where the operator has these and no others.
func TestTheRightsOfTheOperator(t *testing.T) {
	role := find[rbacv1.ClusterRole](t, rendered(t), "ClusterRole", "s-operator")
	allowed := map[schema.GroupResource][]string{}
	for _, rule := range role.Rules {
		require.Empty(t, rule.NonResourceURLs)
		for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs) {
			require.NotContains(t, word, "*")
		}
		for _, g := range rule.APIGroups {
			for _, r := range rule.Resources {
				at := schema.GroupResource{Group: g, Resource: r}
				allowed[at] = append(allowed[at], rule.Verbs...)
			}
		}
	}
	for at := range allowed {
		require.NotContains(t, []string{"pods/exec", "pods/attach", "pods/portforward"}, at.Resource)
	}
	require.NotSubset(t, allowed[schema.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}], []string{"patch"},
		"only those who take over may")
}
