package main

import (
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// demonstrate prepares a demonstration with little to load, whose temporary files are below dir.
func demonstrate(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := program(t, dir, append([]string{"demo", "--packages", "sync,maps,context", "--pace", "200ms"}, args...)...)
	cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	return cmd
}

// addresses finds the nodes' REST addresses in what the demonstration prints.
func addresses(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`REST http://(\S+),`).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

func refuses(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

func TestDemoLosesANodeAndNoWrites(t *testing.T) {
	dir := t.TempDir()
	out, err := demonstrate(t, dir, "--exit", "--then", "pause:2,1s,heal,1s").CombinedOutput()
	text := string(out)
	require.NoError(t, err, text)
	for _, want := range []string{
		"Starting a cluster: 3 nodes", "Semantic:", ">> kill -9 node", ">> new leaders: every shard takes writes again",
		"all copies in sync", ">> pause node 2", "points/query",
	} {
		require.Contains(t, text, want)
	}
	require.Equal(t, 2, strings.Count(text, "The proof"), text)
	require.NotContains(t, text, "%!", "a wrong format")
	nodes := addresses(text)
	require.Len(t, nodes, 3)
	for _, n := range nodes {
		require.True(t, refuses(n), "no node outlives the demonstration")
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "the data goes with it")
}

func TestDemoTakesItsNodesAlong(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
	if runtime.GOOS == "linux" {
		signals = append(signals, syscall.SIGKILL)
	}
	for _, signal := range signals {
		dir := t.TempDir()
		demo := run(t, demonstrate(t, dir))
		line := demo.until(t, "node 3: REST")
		require.NoError(t, demo.Process.Signal(signal))
		err := demo.Wait()
		if signal != syscall.SIGKILL {
			require.NoError(t, err, "a stop on request is a success")
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		}
		nodes := addresses(line)
		require.Len(t, nodes, 1)
		require.Eventually(t, func() bool { return refuses(nodes[0]) }, 20*time.Second, 10*time.Millisecond, "after %s", signal)
	}
}

func TestDemoRefusesWhatCannotBeShown(t *testing.T) {
	for want, args := range map[string][]string{
		"--nodes 2: it is 1, or 3 to 9":          {"--nodes", "2"},
		"--nodes 10: it is 1, or 3 to 9":         {"--nodes", "10"},
		"--then is for a cluster":                {"--nodes", "1", "--then", "kill"},
		"--then: step \"kill:4\": the nodes are": {"--then", "kill:4"},
	} {
		out, err := demonstrate(t, t.TempDir(), args...).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), want)
	}
}

func TestDemoOfOneNode(t *testing.T) {
	out, err := demonstrate(t, t.TempDir(), "--nodes", "1", "--exit").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "Try next")
	require.NotContains(t, string(out), "cluster")
}
