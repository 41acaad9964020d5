// Package testbed runs the real binary for tests: it starts a node on free
// ports, waits until it is ready, kills it and starts it again on the same data.
//
// Callers: the packages below tests/.
package testbed

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Node is a sextant process with its data in a directory.
type Node struct {
	// HTTP and GRPC are its ports, which stay the same over restarts.
	HTTP, GRPC int

	dir    string
	env    []string
	cmd    *exec.Cmd
	output buffer
}

// buffer collects what a process prints; the process and the test use it at the
// same time.
type buffer struct {
	mu    sync.Mutex
	bytes []byte // guarded by mu
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.bytes)
}

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
	Binary(tb)
	n := &Node{HTTP: FreePort(tb), GRPC: FreePort(tb), dir: dir, env: env}
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
	cmd := exec.Command(Binary(tb))
	cmd.Dir = n.dir
	cmd.Env = append(os.Environ(),
		"QDRANT__SERVICE__HOST=127.0.0.1",
		"QDRANT__SERVICE__HTTP_PORT="+strconv.Itoa(n.HTTP),
		"QDRANT__SERVICE__GRPC_PORT="+strconv.Itoa(n.GRPC),
		"QDRANT__STORAGE__STORAGE_PATH="+filepath.Join(n.dir, "storage"),
	)
	cmd.Env = append(cmd.Env, n.env...)
	cmd.Stdout, cmd.Stderr = &n.output, &n.output
	return cmd
}

// Restart starts the process, which must not be running, and waits until it is
// ready.
func (n *Node) Restart(tb testing.TB) {
	tb.Helper()
	require.Nil(tb, n.cmd, "the node is running")
	n.cmd = n.Command(tb)
	require.NoError(tb, n.cmd.Start())
	require.Eventually(tb, func() bool { return n.ready() }, time.Minute, 10*time.Millisecond, "the node does not get ready")
}

func (n *Node) ready() bool {
	resp, err := http.Get(n.URL("/readyz")) //nolint:noctx // a poll of a test
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// Kill ends the process at once, as kill -9 does. A node that isn't running is
// left alone.
func (n *Node) Kill(tb testing.TB) {
	tb.Helper()
	if n.cmd == nil {
		return
	}
	require.NoError(tb, n.cmd.Process.Kill())
	_ = n.cmd.Wait() // reports the signal that we sent
	n.cmd = nil
}

// Stop asks the process to stop and waits until it has; its error is the
// process's.
func (n *Node) Stop(tb testing.TB) error {
	tb.Helper()
	require.NotNil(tb, n.cmd, "the node is not running")
	require.NoError(tb, n.cmd.Process.Signal(syscall.SIGTERM))
	err := n.cmd.Wait()
	n.cmd = nil
	return err
}

// Output returns what the node has printed so far.
func (n *Node) Output() string { return n.output.String() }

// URL returns the address of a REST path.
func (n *Node) URL(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", n.HTTP, path) }

// FreePort returns a port on which nothing listens.
func FreePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	require.NoError(tb, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(tb, l.Close())
	return port
}
