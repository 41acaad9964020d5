package nodeprocess_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/nodeprocess"
)

// The tests run this test binary as the node; what the variable says is what it does.
const role = "SEXTANT_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		m.Run()
	case "fails":
		panic("no such disk")
	case "chatters":
		_, _ = fmt.Fprintln(os.Stdout, strings.Repeat("old", 1<<20)+os.Getenv("QDRANT_OF_THE_USER")+"\nthe newest")
	default:
		serve(os.Getenv("QDRANT__SERVICE__HOST") + ":" + os.Getenv("QDRANT__SERVICE__HTTP_PORT"))
	}
}

func node(t *testing.T, what string) *nodeprocess.Process {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	p, err := nodeprocess.New(t.Context(), nodeprocess.Options{Binary: binary, Dir: t.TempDir(), Env: []string{role + "=" + what}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Kill()) })
	return p
}

func TestStartStopAndStartAgain(t *testing.T) {
	p := node(t, "serves")
	require.Error(t, p.Stop(), "it isn't running")
	require.NoError(t, p.Start(t.Context()))
	require.ErrorContains(t, p.Start(t.Context()), "running")
	require.NoError(t, p.Stop())
	require.NoError(t, p.Start(t.Context()))
	require.NoError(t, p.Kill())
	require.NoError(t, p.Kill(), "twice is no harm")
	require.NoError(t, p.Start(t.Context()))
	require.NoError(t, p.Stop())
}

func TestANodeThatDoesNotStartSaysWhy(t *testing.T) {
	err := node(t, "fails").Start(t.Context())
	require.ErrorContains(t, err, "ended before it was ready")
	require.ErrorContains(t, err, "no such disk")
}

func TestOutputIsBounded(t *testing.T) {
	p := node(t, "chatters")
	require.Error(t, p.Start(t.Context()))
	require.Less(t, len(p.Output()), 5<<19)
	require.True(t, strings.HasSuffix(p.Output(), "the newest\n"))
}

func TestTheEnvironmentIsKeptOutIfAsked(t *testing.T) {
	t.Setenv("QDRANT_OF_THE_USER", "mine")
	binary, err := os.Executable()
	require.NoError(t, err)
	for _, untouched := range []bool{false, true} {
		p, err := nodeprocess.New(t.Context(), nodeprocess.Options{
			Binary: binary, Dir: t.TempDir(), Env: []string{role + "=chatters"}, Untouched: untouched,
		})
		require.NoError(t, err)
		require.Error(t, p.Start(t.Context()))
		require.Equal(t, untouched, !strings.Contains(p.Output(), "mine"))
	}
}

func TestWantedPortsAreUsedIfTheyAreFree(t *testing.T) {
	taken, err := net.Listen("tcp", nodeprocess.Host+":0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	port := taken.Addr().(*net.TCPAddr).Port
	free, err := nodeprocess.FreePort(t.Context())
	require.NoError(t, err)
	p, err := nodeprocess.New(t.Context(), nodeprocess.Options{Binary: "x", Cluster: true, Ports: [3]int{port, free}})
	require.NoError(t, err)
	require.NotEqual(t, port, p.HTTP)
	require.Equal(t, free, p.GRPC)
	require.NotZero(t, p.P2P)
}
