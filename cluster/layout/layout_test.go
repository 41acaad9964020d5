package layout_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/topology"
)

func TestStreamsAreRead(t *testing.T) {
	name := topology.ShardName{Collection: "1c7c5eee-0000", Shard: 1<<32 - 1}
	got, marks, ok := layout.Parse(layout.Log(name))
	require.True(t, ok)
	require.False(t, marks)
	require.Equal(t, name, got)
	got, marks, ok = layout.Parse(layout.Marks(name))
	require.True(t, ok)
	require.True(t, marks)
	require.Equal(t, name, got)
	for _, other := range []string{"", "c", "c/", "c/x", "c/-1", "c/4294967296", "c/1x", "c/1#other"} {
		_, _, ok := layout.Parse(other)
		require.False(t, ok, other)
	}
}

// These are on disks.
func TestPlacesStay(t *testing.T) {
	c := &topology.Collection{Name: "books", Incarnation: "1c7c"}
	require.Equal(t, "storage/collections/books/1c7c/12", layout.Shard("storage", c, 12))
	require.Equal(t, "1c7c/12", layout.Log(topology.ShardName{Collection: "1c7c", Shard: 12}))
	require.Equal(t, "1c7c/12#mark", layout.Marks(topology.ShardName{Collection: "1c7c", Shard: 12}))
}
