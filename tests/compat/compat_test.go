// Package compat runs the official clients, unmodified and in processes of their
// own, against the real binary.
package compat

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/testbed"
)

// run runs a client program to its end.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
}

func TestPython(t *testing.T) {
	n := testbed.Start(t, t.TempDir())
	python := os.Getenv("SEXTANT_PYTHON")
	require.NotEmpty(t, python, "SEXTANT_PYTHON is not set: run `make test`")
	for _, transport := range []string{"rest", "grpc"} {
		t.Run(transport, func(t *testing.T) {
			run(t, "python", python, "daily_work.py", transport, strconv.Itoa(n.HTTP), strconv.Itoa(n.GRPC))
		})
	}
}

// TestLocalMode compares a node with the local mode of the Python client. SEXTANT_SEEDS
// are more seeds than the few of every run, from SEXTANT_FIRST_SEED on.
func TestLocalMode(t *testing.T) {
	const steps = "150"
	n := testbed.Start(t, t.TempDir())
	python := os.Getenv("SEXTANT_PYTHON")
	require.NotEmpty(t, python, "SEXTANT_PYTHON is not set: run `make test`")
	first, seeds := testbed.EnvNumber(t, "SEXTANT_FIRST_SEED", 1), testbed.EnvNumber(t, "SEXTANT_SEEDS", 4)
	for _, transport := range []string{"rest", "grpc"} {
		t.Run(transport, func(t *testing.T) {
			// In parts that end in time, and tell of themselves.
			for from := first; from < first+seeds; from += 10 {
				run(t, "python", python, "local_mode.py", transport, strconv.Itoa(n.HTTP), strconv.Itoa(n.GRPC),
					strconv.Itoa(from), strconv.Itoa(min(10, first+seeds-from)), steps)
			}
		})
	}
}

func TestJavaScript(t *testing.T) {
	n := testbed.Start(t, t.TempDir())
	modules := os.Getenv("SEXTANT_NODE_DIR")
	require.NotEmpty(t, modules, "SEXTANT_NODE_DIR is not set: run `make test`")
	// Modules are looked for beside the script, so it runs from where they are.
	script, err := os.ReadFile(filepath.Join("node", "daily_work.mjs"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(modules, "daily_work.mjs"), script, 0o600))
	run(t, modules, "node", "daily_work.mjs", strconv.Itoa(n.HTTP))
}
