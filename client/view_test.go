package client_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/client"
)

// cluster makes a cluster of nodes 1 to n, of which some count as gone.
func cluster(n uint64, fenced ...uint64) *client.Cluster {
	c := &client.Cluster{Status: "enabled", Peer: 1, Peers: map[uint64]client.Peer{}}
	for id := uint64(1); id <= n; id++ {
		c.Peers[id] = client.Peer{}
	}
	for _, id := range fenced {
		c.Peers[id] = client.Peer{Fenced: true}
	}
	return c
}

// shard makes the copies of a shard: on is who has one, inSync whose has all.
func shard(number uint32, leader uint64, on, inSync []uint64) (copies []client.Replica) {
	for _, p := range on {
		state := client.Dead
		for _, q := range inSync {
			if p == q {
				state = client.Active
			}
		}
		copies = append(copies, client.Replica{Shard: number, Peer: p, State: state, Leader: leader, Epoch: new(uint64(1)), InSync: inSync})
	}
	return copies
}

func view(c *client.Cluster, factor, writeFactor int, shards ...[]client.Replica) *client.View {
	l := &client.Layout{}
	for _, s := range shards {
		l.Replicas = append(l.Replicas, s...)
	}
	return &client.View{Cluster: c, Collections: []client.Collection{{
		Name: "c", Info: &client.Info{Factor: factor, WriteFactor: writeFactor}, Layout: l,
	}}}
}

func TestPeerOfPod(t *testing.T) {
	c := &client.Cluster{Peers: map[uint64]client.Peer{
		1: {URI: "http://c-1.h.demo.svc.cluster.local:6335"}, 2: {URI: "http://c-10.h.demo.svc.cluster.local:6335/"},
		3: {URI: "https://C-3:6335"}, 4: {URI: "http://twin.a:6335"}, 5: {URI: "http://twin.b:6335"}, 6: {URI: "::"}, 7: {URI: "http://10.0.0.7:6335"},
	}}
	for pod, want := range map[string]uint64{
		"c-1": 1, "c-10": 2, "c-1.h": 1, "c-1.h.demo.svc.cluster.local": 1, "c-1.h.demo.svc.other.domain.": 1,
		"c-3": 3, "c-3.h.demo": 3, "twin.b": 5, "10.0.0.7": 7,
	} {
		id, err := c.PeerOfPod(pod)
		require.NoError(t, err, pod)
		require.Equal(t, want, id, pod)
	}
	for _, pod := range []string{"", ".", "c", "c-2", "h.demo", "10.0.0.8"} {
		_, err := c.PeerOfPod(pod)
		require.ErrorIs(t, err, client.ErrNoPeer, pod)
	}
	id, err := c.PeerOfPod("c-1", "c-1.h.elsewhere")
	require.NoError(t, err)
	require.EqualValues(t, 1, id)
	_, err = c.PeerOfPod("twin")
	require.ErrorContains(t, err, "has 2 nodes of the cluster, not one: [4 5]")
}

func TestRisksOfStopping(t *testing.T) {
	risks := func(v *client.View, peer uint64) (texts []string, lasting int) {
		for _, r := range v.RisksOfStopping(peer) {
			texts = append(texts, r.Text)
			if r.Lasting {
				lasting++
			}
		}
		return texts, lasting
	}
	two := []uint64{1, 2}
	healthy := view(cluster(3), 2, 1, shard(0, 1, two, two), shard(1, 2, []uint64{2, 3}, []uint64{2, 3}))
	for id := range healthy.Cluster.Peers {
		require.Empty(t, healthy.RisksOfStopping(id))
	}
	for name, c := range map[string]struct {
		v       *client.View
		peer    uint64
		want    []string
		lasting int
	}{
		"the other copy is behind": {
			view(cluster(3), 2, 1, shard(0, 1, two, []uint64{1})), 1, []string{"shard 0 of c has no other copy in sync: it could not be read or written"}, 0,
		},
		"it is the copy that is behind": {view(cluster(3), 2, 1, shard(0, 1, two, []uint64{1})), 2, nil, 0},
		"the other copy's node is gone": {
			view(cluster(3, 2), 2, 1, shard(0, 1, two, two)), 1,
			[]string{"1 of 3 nodes would be left: no majority, so nothing could be agreed on", "shard 0 of c has no other copy in sync: it could not be read or written"},
			0,
		},
		"there is one copy": {
			view(cluster(3), 1, 1, shard(0, 1, []uint64{1}, []uint64{1})), 1,
			[]string{"shard 0 of c has no other copy in sync: it could not be read or written"},
			1,
		},
		"writes need two": {
			view(cluster(3), 3, 2, shard(0, 1, []uint64{1, 2, 3}, two)), 1,
			[]string{"shard 0 of c would have 1 copies in sync, writes need 2"},
			0,
		},
		"writes need all there are": {
			view(cluster(3), 2, 2, shard(0, 1, two, two)), 1,
			[]string{"shard 0 of c would have 1 copies in sync, writes need 2"},
			1,
		},
		"another node is gone":  {view(cluster(3, 3), 1, 1), 1, []string{"1 of 3 nodes would be left: no majority, so nothing could be agreed on"}, 0},
		"it is gone already":    {view(cluster(3, 3), 1, 1), 3, nil, 0},
		"there are two nodes":   {view(cluster(2), 1, 1), 1, []string{"1 of 2 nodes would be left: no majority, so nothing could be agreed on"}, 1},
		"nobody has everything": {view(cluster(3), 2, 1, shard(0, 0, two, nil)), 1, []string{"shard 0 of c has no other copy in sync: it could not be read or written"}, 0},
	} {
		texts, lasting := risks(c.v, c.peer)
		require.Equal(t, c.want, texts, name)
		require.Equal(t, c.lasting, lasting, name)
	}
}

func TestOnlyOn(t *testing.T) {
	two := []uint64{1, 2}
	v := view(cluster(3, 2), 2, 1, shard(0, 1, two, two), shard(1, 0, two, []uint64{2}), shard(2, 3, []uint64{2, 3}, []uint64{3}))
	names := func(peer uint64) (all []string) {
		for _, s := range v.OnlyOn(peer) {
			all = append(all, s.String())
		}
		return all
	}
	require.Equal(t, []string{"shard 1 of c"}, names(2), "its node is gone, but nobody else has it all")
	require.Equal(t, []string{"shard 0 of c", "shard 1 of c"}, names(1))
	require.Equal(t, []string{"shard 2 of c"}, names(3))
}

func TestServersWithoutLeaders(t *testing.T) {
	v := view(cluster(3), 2, 1, []client.Replica{{Peer: 1, State: client.Active}, {Peer: 2, State: client.Dead}})
	s := v.Shards()[0]
	require.Equal(t, []uint64{1}, s.InSync, "active copies are in sync")
	require.False(t, s.Leaderless())
	require.True(t, s.Short())
	require.Len(t, v.RisksOfStopping(1), 1)
	require.Empty(t, v.RisksOfStopping(2))
}

func TestWhatIsWhere(t *testing.T) {
	two := []uint64{1, 2}
	v := view(cluster(4), 2, 1, shard(0, 1, two, two), shard(1, 0, two, []uint64{2}))
	require.Equal(t, []uint64{1}, []uint64{v.Inactive()[0].Peer})
	require.Len(t, v.Inactive(), 1)
	require.True(t, v.Shards()[1].Leaderless())
	require.False(t, v.Shards()[0].Short())
	require.False(t, v.Empty(1))
	require.True(t, v.Empty(3))
	v.Collections[0].Layout.Transfers = []client.Transfer{{From: 1, To: 3}}
	require.False(t, v.Empty(3), "a copy is on its way")
	v.Cluster.Peers[4] = client.Peer{Replicas: new(1)}
	require.False(t, v.Empty(4), "of a collection that was left out")
}
