package ops

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
)

// TestExamples carries out what is in examples/kubernetes/ops, each on a cluster that runs.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "ops", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	failed := map[string]string{
		"backup":       "no data protection",
		"restore":      "no data protection",
		"start":        "it isn't stopped",
		"recommission": "isn't offline",
		"unexpose":     "has no service",
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false)
			w.cluster()
			w.createOps(&datadriven.TestData{CmdArgs: []datadriven.CmdArg{{Key: "file", Vals: []string{name}}, {Key: "name", Vals: []string{name}}}})
			op := &opsv1.OpsRequest{}
			w.read(name, op)
			w.reconcileCluster(types.NamespacedName{Namespace: namespace, Name: op.Spec.ClusterName})
			w.read(name, op)
			if why, ok := failed[name]; ok {
				require.Equal(t, opsv1.OpsFailed, op.Status.Phase)
				require.Contains(t, op.Status.Conditions[len(op.Status.Conditions)-1].Message, why)
				return
			}
			require.Equal(t, opsv1.OpsRunning, op.Status.Phase, op.Status.Conditions)
		})
	}
}
