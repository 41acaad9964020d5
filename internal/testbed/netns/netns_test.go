package netns_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/testbed/netns"
)

func network(t *testing.T, places int) (*netns.Network, []netns.Place) {
	t.Helper()
	if err := netns.Available(t.Context()); err != nil {
		t.Skip(err)
	}
	n, err := netns.New(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close(context.WithoutCancel(t.Context()))) })
	all := make([]netns.Place, places)
	for i := range all {
		all[i], err = n.Add(t.Context())
		require.NoError(t, err)
	}
	return n, all
}

// TestLinksAreCutInOneDirection sends datagrams, which need no way back.
func TestLinksAreCutInOneDirection(t *testing.T) {
	n, places := network(t, 3)
	binary, err := os.Executable()
	require.NoError(t, err)
	arrives := func(from, to int) bool {
		t.Helper()
		marker := filepath.Join(t.TempDir(), "ready")
		inside := func(p netns.Place, env ...string) *exec.Cmd {
			cmd := exec.CommandContext(t.Context(), p.Wrap[0], append(p.Wrap[1:], binary)...)
			cmd.Env = append(os.Environ(), append(env, "MARKER="+marker, "ADDRESS="+places[to].Host+":9999")...)
			cmd.Stderr = os.Stderr
			return cmd
		}
		hears := inside(places[to], role+"=hears")
		until, err := hears.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, hears.Start())
		require.NoError(t, inside(places[from], role+"=says").Run())
		require.NoError(t, until.Close())
		return hears.Wait() == nil
	}
	require.True(t, arrives(0, 1))
	require.NoError(t, n.Cut(t.Context(), 0, 1))
	require.False(t, arrives(0, 1))
	require.True(t, arrives(1, 0))
	require.True(t, arrives(2, 1))
	require.True(t, arrives(0, 2))
	require.NoError(t, n.Heal(t.Context()))
	require.True(t, arrives(0, 1))
}
