package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/client"
	"github.com/sextantdb/sextant/cmd/sextant/doors"
)

// asProgram makes this test binary behave as the program itself.
const asProgram = "SEXTANT_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program prepares a run of the program in a directory of its own.
func program(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asProgram+"=1", "QDRANT__SERVICE__HOST=127.0.0.1",
		"QDRANT__SERVICE__HTTP_PORT=0", "QDRANT__SERVICE__GRPC_PORT=0", "QDRANT__LOGGER__FORMAT=json")
	return cmd
}

func TestVersion(t *testing.T) {
	out, err := program(t, t.TempDir(), "--version").CombinedOutput()
	require.NoError(t, err)
	require.Regexp(t, `^sextant dev \(API 1\.19\.0, revision [0-9a-f]{40}\)\n$`, string(out))
}

func TestFaultsEndTheProgram(t *testing.T) {
	f := func(want string, environ []string, args ...string) {
		t.Helper()
		cmd := program(t, t.TempDir(), args...)
		cmd.Env = append(cmd.Env, environ...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, string(out))
		require.Equal(t, 1, exit.ExitCode())
		require.Contains(t, string(out), want)
		entries, err := os.ReadDir(cmd.Dir)
		require.NoError(t, err)
		require.Empty(t, entries, "nothing may be created")
	}
	f("sextant: configuration has 2 faults:\n  service.verify_https_client_certificate: needs tls.ca_cert",
		[]string{"QDRANT__SERVICE__ENABLE_TLS=true", "QDRANT__SERVICE__VERIFY_HTTPS_CLIENT_CERTIFICATE=true", "QDRANT__SERVICE__JWT_RBAC=true"})
	f(`service.max_workers: "lots" is not a whole number (from QDRANT__SERVICE__MAX_WORKERS)`, []string{"QDRANT__SERVICE__MAX_WORKERS=lots"})
	f(`--uri "nonsense" is not an address`, nil, "--uri", "nonsense")
	f("recovery from snapshots is not built yet", nil, "--snapshot", "a:b")
	f(`"nonsense" is not an address like http://host:6333`, nil, "agent", "--listen", "127.0.0.1:0", "--node", "nonsense")
	f(`"nonsense" is not an address like http://host:6333`, []string{"SEXTANT_NODE=nonsense"}, "exporter", "--listen", "127.0.0.1:0")
	f("read the certificate of an authority", nil, "agent", "--listen", "127.0.0.1:0", "--ca-file", "nowhere.pem")
	f("--max-collections and --timeout must be positive", nil, "exporter", "--max-collections", "0")
	f("unknown flag: --nope", nil, "--nope")
	f(`unknown command "nope"`, nil, "nope")
}

// running is a started program whose log is read.
type running struct {
	*exec.Cmd
	log *bufio.Scanner
}

func run(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return &running{Cmd: cmd, log: bufio.NewScanner(out)}
}

// until reads the log to the line that has text.
func (r *running) until(t *testing.T, text string) string {
	t.Helper()
	for r.log.Scan() {
		if strings.Contains(r.log.Text(), text) {
			return r.log.Text()
		}
	}
	require.Fail(t, "the log ended", "before %q: %v", text, r.log.Err())
	return ""
}

// value finds a member of a JSON log line whose value is a string.
func value(t *testing.T, line, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(line, `"`+name+`":"`)
	require.True(t, ok, line)
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

func TestNodeStartsAnswersAndStops(t *testing.T) {
	dir := t.TempDir()
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd := program(t, dir)
		cmd.Env = append(cmd.Env, "QDRANT_INIT_FILE_PATH="+filepath.Join(dir, "up"))
		node := run(t, cmd)
		url := "http://" + value(t, node.until(t, `"msg":"ready"`), "rest")
		require.NoError(t, node.Process.Signal(syscall.SIGUSR1), "which the node ignores")
		resp, err := http.Get(url + "/readyz")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "all shards are ready", string(body))

		second, err := program(t, dir).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(second), "sextant: storage directory ./storage is in use by another process")

		require.NoError(t, node.Process.Signal(signal))
		node.until(t, `"msg":"stopped"`)
		require.NoError(t, node.Wait(), "a stop on request is a success")
		require.FileExists(t, filepath.Join(dir, "up"))
		http.DefaultClient.CloseIdleConnections()
	}
}

// TestANodeWritesNowhereButWhereItIsTold is for a container whose file system can't be written.
func TestANodeWritesNowhereButWhereItIsTold(t *testing.T) {
	dir, temp, storage := t.TempDir(), t.TempDir(), t.TempDir()
	for _, d := range []string{dir, temp} {
		require.NoError(t, os.Chmod(d, 0o555)) //nolint:gosec // others may read
	}
	cmd := program(t, dir)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "HOME=") || strings.HasPrefix(v, "TMPDIR=") })
	cmd.Env = append(cmd.Env, "TMPDIR="+temp, "QDRANT__STORAGE__STORAGE_PATH="+filepath.Join(storage, "data"),
		"QDRANT__CLUSTER__ENABLED=true", "QDRANT__CLUSTER__P2P__PORT=0", "QDRANT_URI=http://127.0.0.1:1")
	node := run(t, cmd)
	url := "http://" + value(t, node.until(t, `"msg":"ready"`), "rest")
	for _, step := range [][2]string{
		{"/collections/c", `{"vectors":{"size":2,"distance":"Dot"}}`},
		{"/collections/c/index?wait=true", `{"field_name":"a","field_schema":"keyword"}`},
		{"/collections/c/points?wait=true", `{"points":[{"id":1,"vector":[1,2],"payload":{"a":"b"}}]}`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+step[0], strings.NewReader(step[1]))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	}
	http.DefaultClient.CloseIdleConnections()
	require.NoError(t, node.Process.Signal(syscall.SIGTERM))
	require.NoError(t, node.Wait())
	require.DirExists(t, filepath.Join(storage, "data"))
	for _, d := range []string{dir, temp} {
		entries, err := os.ReadDir(d)
		require.NoError(t, err)
		require.Empty(t, entries)
	}
}

// TestAnEmptyBootstrapIsNone is for pods: the founder gets the variables of all others, with nobody to join.
func TestAnEmptyBootstrapIsNone(t *testing.T) {
	cmd := program(t, t.TempDir())
	cmd.Env = append(cmd.Env, "QDRANT__CLUSTER__ENABLED=true", "QDRANT__CLUSTER__P2P__PORT=0", "QDRANT_URI=http://127.0.0.1:1", "QDRANT_BOOTSTRAP=")
	node := run(t, cmd)
	c, err := client.New(client.Options{URL: "http://" + value(t, node.until(t, `"msg":"ready"`), "rest")})
	require.NoError(t, err)
	defer c.Close()
	require.Eventually(t, func() bool {
		s, err := c.Cluster(t.Context())
		return err == nil && s.ID != "" && len(s.Peers) == 1
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, node.Process.Signal(syscall.SIGTERM))
	require.NoError(t, node.Wait())
}

// TestBenchDoors runs the whole comparison on little data, twice on the same
// directory.
func TestBenchDoors(t *testing.T) {
	dir := t.TempDir()
	bench := func(args ...string) ([]byte, error) {
		return program(t, dir, append([]string{
			"bench", "doors", "--dir", dir, "--dim", "8", "--asks", "5", "--rounds", "1", "--seconds", "0.1", "--ef", "0", "--depth", "1,4", "--json",
		}, args...)...).Output()
	}
	f := func(want []string, args ...string) {
		t.Helper()
		out, err := bench(append([]string{"--rows", "300"}, args...)...)
		require.NoError(t, err, string(out))
		var rows []doors.Row
		require.NoError(t, json.Unmarshal(out, &rows))
		var ways []string
		for _, r := range rows {
			ways = append(ways, fmt.Sprintf("%s %d×%d", r.Way, r.Clients, r.Depth))
			if r.Way != "gRPC floor" { // whose answer is always the same
				require.InDelta(t, 1, r.Recall, 1e-9, r.Way)
			}
			require.Positive(t, r.QPS, r.Way)
		}
		require.Equal(t, want, ways)
	}
	f([]string{"in process 1×1", "in process 2×1", "gRPC 2×1", "gRPC 2×4", "REST 2×1"})
	if runtime.GOOS == "linux" {
		f([]string{"in process 1×1", "in process 2×1", "in process, after pauses 1×1", "gRPC floor 2×1", "gRPC floor 2×4", "gRPC 2×1", "gRPC 2×4"},
			"--floor", "--rest=false")
	}
	_, err := bench("--rows", "200")
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Contains(t, string(exit.Stderr), "holds 300 points instead of 200")

	_, err = bench("--rows", "300", "--depth", "0")
	require.ErrorAs(t, err, &exit)
	require.Contains(t, string(exit.Stderr), "--depth and --rounds must be at least 1")
}
