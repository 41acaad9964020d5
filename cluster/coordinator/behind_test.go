package coordinator_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// newcomer is a topology of which not all is known.
type newcomer struct {
	coordinator.Topology

	behind bool
}

func (n *newcomer) Behind() bool { return n.behind }

// A node that has just come to its cluster can't say that something isn't there.
func TestANewcomerDoesNotSayThatSomethingIsNotThere(t *testing.T) {
	o := coordinator.Options{FS: fsx.NewMem(), StoragePath: "/storage", Logger: slog.New(slog.DiscardHandler)}
	tp, shards, err := coordinator.OpenOwn(o)
	require.NoError(t, err)
	known := &newcomer{Topology: tp}
	o.Topology, o.Shards = known, shards
	c, err := coordinator.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	s := c.Collections()
	_, err = s.Create(t.Context(), &pb.CreateCollection{
		CollectionName: "a", VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 1, Distance: pb.Distance_Dot}),
	})
	require.NoError(t, err)
	asked := map[string]func(name string) error{
		"get": func(name string) error {
			_, err := s.Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: name})
			return err
		},
		"exists": func(name string) error {
			_, err := s.CollectionExists(t.Context(), &pb.CollectionExistsRequest{CollectionName: name})
			return err
		},
		"delete": func(name string) error {
			_, err := s.Delete(t.Context(), &pb.DeleteCollection{CollectionName: name})
			return err
		},
		"aliases": func(name string) error {
			_, err := s.ListCollectionAliases(t.Context(), &pb.ListCollectionAliasesRequest{CollectionName: name})
			return err
		},
	}
	known.behind = true
	for what, ask := range asked {
		require.Equal(t, apierror.Unavailable, apierror.KindOf(ask("b")), what)
	}
	list, err := s.List(t.Context(), &pb.ListCollectionsRequest{})
	require.NoError(t, err, "a list is what this node knows: clients look at it again and again until something is there")
	require.Len(t, list.GetCollections(), 1)
	_, err = s.ListAliases(t.Context(), &pb.ListAliasesRequest{})
	require.NoError(t, err)
	require.NoError(t, asked["get"]("a"), "what is known to be there is served")
	known.behind = false
	require.Equal(t, apierror.NotFound, apierror.KindOf(asked["get"]("b")))
	require.NoError(t, asked["delete"]("b"))
}

// slowOpening is a node whose caretaker waits before it opens a shard.
type slowOpening struct {
	coordinator.Shards

	opening, open chan struct{}
}

func (s *slowOpening) Open(ctx context.Context, t *topology.Collection, id uint32) (shardcall.Shard, error) {
	close(s.opening)
	<-s.open
	return s.Shards.Open(ctx, t, id)
}

// Whoever made a collection may use it on every node: the one that has only just heard of it doesn't
// send its clients away.
func TestACollectionOfAnotherNodeIsWaitedFor(t *testing.T) {
	o := coordinator.Options{FS: fsx.NewMem(), StoragePath: "/storage", Logger: slog.New(slog.DiscardHandler)}
	tp, own, err := coordinator.OpenOwn(o)
	require.NoError(t, err)
	shards := &slowOpening{Shards: own, opening: make(chan struct{}), open: make(chan struct{})}
	o.Topology, o.Shards = tp, shards
	c, err := coordinator.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	release := sync.OnceFunc(func() { close(shards.open) })
	t.Cleanup(release)
	config, err := topology.NewConfig(&pb.CreateCollection{
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 1, Distance: pb.Distance_Dot}),
	}, topology.Defaults{ShardNumber: 1})
	require.NoError(t, err)
	// Another node's change: nobody here asked for it.
	_, err = tp.Change(t.Context(), topology.CreateCollection{
		Collection: &topology.Collection{Name: "c", Incarnation: "i", Config: config, Shards: []*topology.Shard{{}}},
	})
	require.NoError(t, err)
	<-shards.opening
	get := func(ctx context.Context) error {
		_, err := c.Collections().Get(ctx, &pb.GetCollectionInfoRequest{CollectionName: "c"})
		return err
	}
	answer := make(chan error, 1)
	go func() { answer <- get(t.Context()) }()
	require.Eventually(t, func() bool { return c.Waited() || len(answer) > 0 }, 10*time.Second, time.Millisecond)
	gone, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	require.Equal(t, apierror.Timeout, apierror.KindOf(get(gone)), "no longer than the client")
	release()
	require.NoError(t, <-answer)
}
