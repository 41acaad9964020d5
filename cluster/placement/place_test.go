package placement_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/cluster/topology"
)

func drawPeers(t *rapid.T, most int) []placement.Peer {
	n := rapid.IntRange(1, most).Draw(t, "peers")
	zones := rapid.IntRange(1, 4).Draw(t, "zones")
	peers := make([]placement.Peer, n)
	for i := range peers {
		peers[i] = placement.Peer{
			ID:       topology.PeerID(i + 1),
			Zone:     fmt.Sprintf("z%d", rapid.IntRange(1, zones).Draw(t, "zone")),
			Replicas: rapid.IntRange(0, 20).Draw(t, "replicas"),
			Leads:    rapid.IntRange(0, 5).Draw(t, "leads"),
			Closed:   rapid.IntRange(0, 4).Draw(t, "closed") == 0,
		}
	}
	return peers
}

func TestPlacing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		peers := drawPeers(t, 40)
		req := placement.Request{
			Shards: rapid.IntRange(1, 30).Draw(t, "shards"), Copies: rapid.IntRange(1, 5).Draw(t, "copies"),
			Seed: rapid.StringMatching("[a-z]{0,4}").Draw(t, "seed"),
		}
		zones, open := map[topology.PeerID]string{}, map[string]int{}
		for _, p := range peers {
			if !p.Closed {
				zones[p.ID] = p.Zone
				open[p.Zone]++
			}
		}
		lists, err := placement.Place(req, peers)
		if len(zones) == 0 {
			require.ErrorContains(t, err, "No peer can take shards")
			return
		}
		require.NoError(t, err)
		require.Len(t, lists, req.Shards)
		for _, list := range lists {
			require.Len(t, list, min(req.Copies, len(zones)), "a shard gets what there is")
			seen := map[string]bool{}
			for i, p := range list {
				require.NotContains(t, list[:i], p, "at most one copy a peer")
				require.Contains(t, zones, p, "a closed peer gets nothing")
				seen[zones[p]] = true
			}
			require.Len(t, seen, min(len(list), len(open)), "as many zones as there are")
		}
		slices.Reverse(peers)
		again, err := placement.Place(req, peers)
		require.NoError(t, err)
		require.Equal(t, lists, again, "the order of the peers doesn't matter")
	})
}

// With one zone copies and leaders are spread as evenly as can be.
func TestCopiesAndLeadersAreEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "peers")
		peers := make([]placement.Peer, n)
		for i := range peers {
			peers[i].ID = topology.PeerID(i + 1)
		}
		req := placement.Request{Shards: rapid.IntRange(1, 40).Draw(t, "shards"), Copies: rapid.IntRange(1, 4).Draw(t, "copies")}
		lists, err := placement.Place(req, peers)
		require.NoError(t, err)
		copies, leads := make([]int, n), make([]int, n)
		for _, list := range lists {
			leads[list[0]-1]++
			for _, p := range list {
				copies[p-1]++
			}
		}
		require.LessOrEqual(t, slices.Max(copies)-slices.Min(copies), 1, "%v", copies)
		require.LessOrEqual(t, slices.Max(leads)-slices.Min(leads), 1, "%v", leads)
	})
}

func TestTheLeastLoadedPeerIsFirst(t *testing.T) {
	peers := []placement.Peer{{ID: 1, Replicas: 3, Leads: 1}, {ID: 2, Replicas: 1, Leads: 1}, {ID: 3, Replicas: 2, Leads: 1}}
	lists, err := placement.Place(placement.Request{Shards: 1, Copies: 2}, peers)
	require.NoError(t, err)
	require.Equal(t, [][]topology.PeerID{{2, 3}}, lists)
}

// Few different sets of peers hold a shard together, however many shards there are.
func TestScatterIsLimited(t *testing.T) {
	peers := make([]placement.Peer, 100)
	for i := range peers {
		peers[i] = placement.Peer{ID: topology.PeerID(i + 1), Zone: strconv.Itoa(i % 3)}
	}
	lists, err := placement.Place(placement.Request{Shards: 1000, Copies: 3, Seed: "c"}, peers)
	require.NoError(t, err)
	partners := map[topology.PeerID]map[topology.PeerID]bool{}
	for _, list := range lists {
		for _, a := range list {
			for _, b := range list {
				if partners[a] == nil {
					partners[a] = map[topology.PeerID]bool{}
				}
				partners[a][b] = true
			}
		}
	}
	for p, with := range partners {
		require.LessOrEqual(t, len(with), 21, "peer %d", p)
	}
}

func TestExplicitPlacement(t *testing.T) {
	peers := []placement.Peer{{ID: 1}, {ID: 2}, {ID: 3, Closed: true}}
	lists, err := placement.Place(placement.Request{Shards: 2, Copies: 2, Pool: []topology.PeerID{2}}, peers)
	require.NoError(t, err)
	require.Equal(t, [][]topology.PeerID{{2}, {2}}, lists)
	for want, pool := range map[string][]topology.PeerID{
		"Peer 9 does not exist":  {1, 9},
		"Peer 1 is named twice":  {1, 2, 1},
		"Peer 3 takes no shards": {3},
	} {
		_, err := placement.Place(placement.Request{Shards: 1, Copies: 1, Pool: pool}, peers)
		require.ErrorContains(t, err, want)
	}
	_, err = placement.Place(placement.Request{Copies: 1}, peers)
	require.ErrorContains(t, err, "Can't place 0 shards")
}

func TestEveryShardKeyHasARing(t *testing.T) {
	word := func(s string) *pb.ShardKey { return &pb.ShardKey{Key: &pb.ShardKey_Keyword{Keyword: s}} }
	number := func(n uint64) *pb.ShardKey { return &pb.ShardKey{Key: &pb.ShardKey_Number{Number: n}} }
	rings := placement.NewRings([]*topology.Shard{
		{ID: 1, Key: word("7")}, {ID: 2, Key: number(7)}, {ID: 3, Key: word("b")}, {ID: 4, Key: word("b")}, {ID: 5},
	})
	rapid.Check(t, func(t *rapid.T) {
		id := drawID(t)
		for _, c := range []struct {
			key    *pb.ShardKey
			shards []uint32
		}{{word("7"), []uint32{1}}, {number(7), []uint32{2}}, {word("b"), []uint32{3, 4}}} {
			got, ok := rings.Shard(c.key, id)
			require.True(t, ok)
			require.Equal(t, placement.NewRing(c.shards).Shard(id), got)
		}
		for _, none := range []*pb.ShardKey{word("c"), number(8), {}, nil} {
			_, ok := rings.Shard(none, id)
			require.False(t, ok)
		}
	})
}
