package testbed

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
)

// Cluster is some sextant processes that form a cluster.
type Cluster struct{ *clusterbed.Cluster }

// StartCluster starts a cluster and waits until all nodes are ready. o.Binary and o.Dir are
// chosen here. What runs at the end of the test is killed.
func StartCluster(tb testing.TB, o clusterbed.Options) *Cluster {
	tb.Helper()
	o.Binary = Binary(tb)
	if o.DiskBytes > 0 && !clusterbed.CanMount() {
		tb.Skip("disks of a size need root")
	}
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	// Not under the test's context, whose end would kill the nodes before Cleanup does.
	c, err := clusterbed.Start(context.Background(), o)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		require.NoError(tb, c.Close())
		if tb.Failed() {
			for i, out := range c.Outputs() {
				tb.Logf("output of node %d:\n%s", i, out)
			}
		}
	})
	return &Cluster{c}
}
