package feed_test

import (
	"maps"
	"slices"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/feed"
	"github.com/sextantdb/sextant/cluster/topology"
)

// world is a state that commands change, and the feed of it.
type world struct {
	t     *testing.T
	state *topology.State
	feed  *feed.Feed
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s := &topology.State{}
	return &world{t, s, feed.New(&feed.View{State: s})}
}

func (w *world) do(cmds ...topology.Command) {
	w.t.Helper()
	for _, c := range cmds {
		next := w.state.Clone()
		next.SetIndex(w.state.Index() + 1)
		_, err := next.Apply(c)
		require.NoError(w.t, err)
		w.state = next
		w.feed.Publish(&feed.View{State: next, Index: next.Index()}, next.Changed())
	}
}

func (w *world) create(name string) topology.Command {
	return topology.CreateCollection{
		Collection: &topology.Collection{
			Name: name, Incarnation: "i-" + name, Config: &pb.CollectionConfig{Params: &pb.CollectionParams{ShardNumber: 1}},
			Shards: []*topology.Shard{{ID: 0}},
		},
		Placement: [][]topology.PeerID{{1}},
	}
}

func register(p topology.PeerID, incarnation uint64) topology.Command {
	return topology.RegisterPeer{Peer: p, URI: "http://here:1", Incarnation: incarnation, Version: 1}
}

func keys[K comparable](m map[K]struct{}) []K { return slices.Collect(maps.Keys(m)) }

func TestReaderIsToldWhatIsNew(t *testing.T) {
	w := newWorld(t)
	w.do(register(1, 1), w.create("a"))
	r := w.feed.Follow()
	v, _, news := r.Take()
	require.Same(t, w.state, v.State)
	require.EqualValues(t, 2, v.Index)
	require.Equal(t, []string{"i-a"}, news.Affected())
	require.Equal(t, []topology.PeerID{1}, keys(news.Peers))
	require.True(t, news.Names)

	_, changed, news := r.Take()
	require.Equal(t, feed.News{}, news)
	w.do(w.create("b"), topology.ReplicasCreated{Peer: 1, Copies: []topology.HeldReplica{{Shard: topology.ShardName{Collection: "i-a"}, Alloc: 1}}})
	<-changed
	v, _, news = r.Take()
	require.Same(t, w.feed.Now(), v)
	require.Equal(t, []string{"i-b"}, keys(news.Collections))
	require.Equal(t, []topology.ShardName{{Collection: "i-a"}}, keys(news.Shards))
	require.Equal(t, []string{"i-a", "i-b"}, news.Affected())
	require.Empty(t, news.Peers)
	require.False(t, news.Names)

	w.do(topology.DeleteCollection{Name: "b"})
	_, _, news = r.Take()
	require.Equal(t, []string{"i-b"}, news.Affected())
	require.True(t, news.Names)
}

// What came another way is compared.
func TestReaderIsToldWhatASnapshotChanged(t *testing.T) {
	w := newWorld(t)
	w.do(register(1, 1), w.create("a"), w.create("b"))
	r := w.feed.Follow()
	r.Take()
	next := w.state.Clone()
	_, err := next.Apply(topology.DeleteCollection{Name: "b"})
	require.NoError(t, err)
	_, err = next.Apply(register(1, 2))
	require.NoError(t, err)
	w.feed.Replace(&feed.View{State: next, Index: 9})
	_, _, news := r.Take()
	require.Equal(t, []string{"i-b"}, keys(news.Collections))
	require.Equal(t, []topology.PeerID{1}, keys(news.Peers))
	require.True(t, news.Names)
}
