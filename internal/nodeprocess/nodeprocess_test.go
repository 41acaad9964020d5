package nodeprocess_test

import (
	"os"
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
