// Package testbed runs the real binary for tests: a node process that fails the
// test when it fails, and doesn't outlive it.
//
// Callers: the packages below tests/.
package testbed

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/nodeprocess"
)

// Node is a sextant process with its data in a directory. Its ports stay the same
// over restarts.
type Node struct{ *nodeprocess.Process }

// Binary returns the binary under test, which SEXTANT_BINARY names; without it
// the test is skipped.
func Binary(tb testing.TB) string {
	tb.Helper()
	binary := os.Getenv("SEXTANT_BINARY")
	if binary == "" {
		tb.Skip("SEXTANT_BINARY is not set: run `make test`")
	}
	return binary
}

// Start starts a node with its storage below dir. env is added to the process's
// environment. The node is killed at the end of the test.
func Start(tb testing.TB, dir string, env ...string) *Node {
	tb.Helper()
	p, err := nodeprocess.New(tb.Context(), nodeprocess.Options{Binary: Binary(tb), Dir: dir, Env: env})
	require.NoError(tb, err)
	n := &Node{p}
	tb.Cleanup(func() {
		n.Kill(tb)
		if tb.Failed() {
			tb.Logf("output of the node:\n%s", n.Output())
		}
	})
	n.Restart(tb)
	return n
}

// Command returns the command that runs the node, not started.
func (n *Node) Command(tb testing.TB) *exec.Cmd {
	tb.Helper()
	return n.Process.Command(tb.Context())
}

// Restart starts the process, which must not be running, and waits until it is
// ready.
func (n *Node) Restart(tb testing.TB) {
	tb.Helper()
	// Not under the test's context, whose end would kill it before Cleanup does.
	require.NoError(tb, n.Start(context.Background()))
}

// Kill ends the process at once, as kill -9 does. A node that isn't running is
// left alone.
func (n *Node) Kill(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, n.Process.Kill())
}

// Stop asks the process to stop and waits until it has; its error is the
// process's.
func (n *Node) Stop(tb testing.TB) error {
	tb.Helper()
	return n.Process.Stop()
}

// FreePort returns a port on which nothing listens.
func FreePort(tb testing.TB) int {
	tb.Helper()
	port, err := nodeprocess.FreePort(tb.Context())
	require.NoError(tb, err)
	return port
}
