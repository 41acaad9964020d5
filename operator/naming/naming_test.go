package naming_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/operator/naming"
)

var owner = naming.Owner{Cluster: "qdrant-cluster", Component: "qdrant", Definition: "qdrant-1.0.2", ServiceVersion: "1.10.0"}

// TestGolden pins every name and label: users have them in scripts and dashboards.
func TestGolden(t *testing.T) {
	const cluster, component = "qdrant-cluster", "qdrant"
	pod := naming.Instance(naming.Component(cluster, component), "", 0)
	datadriven.RunTest(t, "testdata/golden", func(t *testing.T, d *datadriven.TestData) string {
		t.Helper()
		switch d.Cmd {
		case "names":
			return table(
				"component, instance set", naming.Component(cluster, component),
				"pod", pod,
				"pod of a template", naming.Instance(naming.Component(cluster, component), "large", 2),
				"claim", naming.Claim("data", pod),
				"component service", naming.ComponentService(cluster, component, "qdrant"),
				"component service without a name", naming.ComponentService(cluster, component, ""),
				"headless service", naming.HeadlessService(cluster, component),
				"entry of Expose", naming.ExposedService(component, "internet"),
				"entry of Expose for all components", naming.ExposedService("", "internet"),
				"service of Expose", naming.ClusterService(cluster, naming.ExposedService(component, "internet"), ""),
				"cluster service with a name", naming.ClusterService(cluster, "entry", "internet"),
				"environment", naming.EnvConfigMap(cluster, component),
				"whom to join", naming.BootstrapConfigMap(cluster, component),
				"configuration", naming.FilesConfigMap(cluster, component, "qdrant-config-template"),
				"certificates", naming.TLSSecret(cluster, component),
				"api key", naming.KeySecret(cluster, component),
				"network policy", naming.NetworkPolicy(cluster, component),
				"service account", naming.ServiceAccount(cluster, component),
				"role binding", naming.PodRoleBinding(cluster, component),
				"disruption budget", naming.DisruptionBudget(cluster, component),
				"backup policy", naming.BackupPolicy(cluster, component),
				"backup schedule", naming.BackupSchedule(cluster, component),
				"domain name", naming.InstanceFQDN(naming.Component(cluster, component), pod, "demo", naming.ClusterDomain),
			)
		case "labels":
			return labels("cluster", naming.ClusterLabels(cluster)) +
				labels("component", naming.ComponentLabels(owner)) +
				labels("pod", naming.PodLabels(owner, pod, "", false)) +
				labels("pod of a template on trial", naming.PodLabels(owner, naming.Instance(naming.Component(cluster, component), "large", 2), "large", true)) +
				labels("selector of pods", naming.PodSelector(owner)) +
				labels("selector of a service", naming.ServiceSelector(owner, "")) +
				labels("selector of a service for a role", naming.ServiceSelector(owner, "leader")) +
				labels("operation", naming.OpsLabels(cluster, "Restart")) +
				labels("backup", naming.BackupLabels(owner, "uid", naming.BackupPolicy(cluster, component), "datafile", "Full"))
		case "keys":
			return table(
				"role", naming.LabelRole,
				"revision", naming.LabelRevision,
				"operation's objects", naming.LabelOpsName,
				"backup of a schedule", naming.LabelBackupSchedule,
				"backup of a schedule, too", naming.LabelAutoBackup,
				"restart", naming.AnnotationRestart,
				"queue of operations", naming.AnnotationOpsQueue,
				"restore", naming.AnnotationRestoreFrom,
				"cluster in a backup", naming.AnnotationClusterSnapshot,
				"changeable definition", naming.AnnotationSkipImmutable,
				"definitions of a version", naming.AnnotationCompatibleDefinitions,
				"default repository", naming.AnnotationDefaultRepo,
			)
		}
		t.Fatalf("unknown command %s", d.Cmd)
		return ""
	})
}

func table(pairs ...string) string {
	var out strings.Builder
	for pair := range slices.Chunk(pairs, 2) {
		fmt.Fprintf(&out, "%s: %s\n", pair[0], pair[1])
	}
	return out.String()
}

func labels(of string, set map[string]string) string {
	var out strings.Builder
	fmt.Fprintln(&out, of)
	for _, key := range slices.Sorted(maps.Keys(set)) {
		fmt.Fprintf(&out, "  %s=%s\n", key, set[key])
	}
	return out.String()
}

// TestPodsAreSelected: whatever selects pods finds them, and not those on trial.
func TestPodsAreSelected(t *testing.T) {
	pod := naming.PodLabels(owner, "qdrant-cluster-qdrant-0", "", false)
	for key, value := range naming.ServiceSelector(owner, "") {
		require.Equal(t, value, pod[key], key)
	}
	for key, value := range naming.PodSelector(owner) {
		require.Equal(t, value, pod[key], key)
	}
	trial := naming.PodLabels(owner, "qdrant-cluster-qdrant-0", "large", true)
	require.NotEqual(t, naming.ServiceSelector(owner, "")[naming.LabelReleasePhase], trial[naming.LabelReleasePhase])
}

// TestOrdinalIsReadBack: the ordinal comes back from every name of an instance.
func TestOrdinalIsReadBack(t *testing.T) {
	name := rapid.StringMatching(`[a-z]([-a-z0-9]{0,10}[a-z0-9])?`)
	rapid.Check(t, func(t *rapid.T) {
		ordinal := rapid.Int32Range(0, 9999).Draw(t, "ordinal")
		template := ""
		if rapid.Bool().Draw(t, "template") {
			template = name.Draw(t, "name of template")
		}
		got, ok := naming.Ordinal(naming.Instance(name.Draw(t, "set"), template, ordinal))
		require.True(t, ok)
		require.Equal(t, ordinal, got)
	})
	for _, bad := range []string{"", "-1", "a", "a-", "a-b", "a-01", "a-+1", "a-99999999999", "a-1-"} {
		_, ok := naming.Ordinal(bad)
		require.False(t, ok, bad)
	}
}

// TestLongestNamesAreLegal: the greatest lengths that the schema allows (22 for a
// component, 52 for cluster and component together, 32 for a template) give names and
// labels that Kubernetes takes.
func TestLongestNamesAreLegal(t *testing.T) {
	component := strings.Repeat("b", 22)
	cluster := strings.Repeat("a", 52-len(component))
	for _, name := range []string{
		naming.HeadlessService(cluster, component),
		naming.Instance(naming.Component(cluster, component), "", 9999),
		naming.Component(cluster, component),
	} {
		require.Empty(t, validation.IsDNS1035Label(name), name)
		require.Empty(t, validation.IsValidLabelValue(name), name)
	}
}
