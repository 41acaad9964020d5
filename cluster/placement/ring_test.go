package placement_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/engine/point"
)

func drawID(t *rapid.T) point.ID {
	if rapid.Bool().Draw(t, "uuid") {
		return point.UUID(uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes")))
	}
	return point.Num(rapid.Uint64().Draw(t, "num"))
}

// A point either stays or moves to the shard that was added.
func TestAddingAShardMovesPointsOnlyToIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint32Range(1, 12).Draw(t, "shards")
		shards := make([]uint32, n)
		for i := range shards {
			shards[i] = uint32(i)
		}
		before, after := placement.NewRing(shards), placement.NewRing(slices.Concat(shards, []uint32{n}))
		id := drawID(t)
		if was, is := before.Shard(id), after.Shard(id); was != is {
			require.Equal(t, n, is)
		}
	})
}

func TestRingIsFair(t *testing.T) {
	const shards, points = 6, 60_000
	r := placement.NewRing([]uint32{0, 1, 2, 3, 4, 5})
	var got [shards]int
	for i := range uint64(points) {
		got[r.Shard(point.Num(i))]++
	}
	for s, n := range got {
		require.InDelta(t, points/shards, n, points/shards*0.35, "shard %d", s)
	}
}

func TestEmptyRing(t *testing.T) {
	require.Zero(t, placement.NewRing(nil).Shard(point.Num(7)))
}
