package crew_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cmd/sextant/demo/crew"
)

// The tests run this test binary as the nodes; what the variable says is what they do.
const role = "SEXTANT_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		m.Run()
	case "alone": // only a node that founds a cluster starts
		if !strings.Contains(strings.Join(os.Args, " "), "--bootstrap") {
			serve()
		}
	default:
		serve()
	}
}

// serve answers everything until it is asked to stop.
func serve() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: os.Getenv("QDRANT__SERVICE__HOST") + ":" + os.Getenv("QDRANT__SERVICE__HTTP_PORT")}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(os.Getenv("QDRANT__LOG_LEVEL") + os.Getenv("QDRANT__SERVICE__API_KEY")))
	})
	context.AfterFunc(ctx, func() { _ = server.Close() })
	_ = server.ListenAndServe()
}

func start(t *testing.T, what string) (*crew.Crew, error) {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	return crew.Start(t.Context(), crew.Options{
		Binary: binary, Dir: t.TempDir(), Nodes: 3, Port: 26333, Env: []string{role + "=" + what},
	})
}

// answers tells what a node says, "" when it says nothing in time.
func answers(c *crew.Crew, node int) string {
	client := http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(c.REST(node) + "/")
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	b := make([]byte, 64)
	n, _ := resp.Body.Read(b)
	return string(b[:n])
}

// gone requires that nobody listens where a node was.
func gone(t *testing.T, c *crew.Crew, node int) {
	t.Helper()
	_, err := net.Dial("tcp", strings.TrimPrefix(c.REST(node), "http://"))
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "node %d", node)
}

func TestNodesAreKilledPausedAndHealed(t *testing.T) {
	t.Setenv("QDRANT__SERVICE__API_KEY", "of the user")
	c, err := start(t, "serves")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	for i := range 3 {
		require.Equal(t, crew.Up, c.State(i))
		require.Equal(t, "warn", answers(c, i), "nothing of the user's configuration")
	}
	require.NoError(t, c.Kill(1))
	require.NoError(t, c.Kill(1), "twice is no harm")
	require.Equal(t, crew.Killed, c.State(1))
	gone(t, c, 1)
	require.ErrorContains(t, c.Pause(1), "node 2 is killed")

	require.NoError(t, c.Pause(2))
	require.Equal(t, crew.Paused, c.State(2))
	// A signal to stop is taken when the kernel gets to it: a request may still slip through.
	require.Eventually(t, func() bool { return answers(c, 2) == "" }, 10*time.Second, time.Millisecond)
	for i := range 3 {
		require.NoError(t, c.Heal(t.Context(), i))
		require.Equal(t, crew.Up, c.State(i))
		require.Equal(t, "warn", answers(c, i), "at the same place")
	}
}

func TestCloseEndsNodesInAnyState(t *testing.T) {
	c, err := start(t, "serves")
	require.NoError(t, err)
	require.NoError(t, c.Kill(0))
	require.NoError(t, c.Pause(1))
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "twice is no harm")
	for i := range 3 {
		gone(t, c, i)
		require.ErrorContains(t, c.Heal(t.Context(), i), "is closed")
	}
}

func TestWhenOneDoesNotStartNoneIsLeft(t *testing.T) {
	_, err := start(t, "alone")
	require.ErrorContains(t, err, "node 2: the node ended before it was ready")
	l, err := net.Listen("tcp", "127.0.0.1:26333")
	require.NoError(t, err, "the first node has ended, too")
	require.NoError(t, l.Close())
}

func TestAStartThatIsCutOffLeavesNothing(t *testing.T) {
	c, err := start(t, "serves")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.NoError(t, c.Kill(0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.Heal(ctx, 0), context.Canceled)
	require.Equal(t, crew.Killed, c.State(0))
	gone(t, c, 0)
	require.NoError(t, c.Heal(t.Context(), 0), "it may be tried again")
}
