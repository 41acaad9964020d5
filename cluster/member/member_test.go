package member_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/member"
	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/fsx"
)

// plenty is room enough on a disk.
const plenty = 1 << 40

// node is one node of a cluster in this process.
type node struct {
	t       *testing.T
	disk    *fsx.Mem
	fs      *fsx.Fault
	space   *fsx.Quota
	crashed bool
	addr    string
	uri     string
	boot    string
	reinit  bool
	hasty   bool // doesn't wait for its registration
	member  *member.Member
	server  *peer.Server
	front   *coordinator.Coordinator
	id      topology.PeerID
	served  chan error
	others  []*node
}

func openShard(ctx context.Context, _ *topology.Collection, o shard.Options) (*shard.Shard, error) {
	return shard.Open(ctx, o)
}

func newNode(t *testing.T, bootstrap string) *node {
	t.Helper()
	n := &node{t: t, disk: fsx.NewMem(), boot: bootstrap, addr: "127.0.0.1:0"}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *node) logger() *slog.Logger {
	if os.Getenv("SEXTANT_VERBOSE") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})).With("node", n.addr)
}

func (n *node) start() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	defer cancel()
	if n.space == nil {
		n.space = fsx.NewQuota(plenty)
	}
	n.fs = fsx.NewFault(n.disk, n.space.Inject)
	l, err := net.Listen("tcp", n.addr)
	require.NoError(n.t, err)
	n.addr = l.Addr().String()
	n.uri = "http://" + n.addr
	n.member, err = member.New(ctx, member.Options{
		FS: n.fs, StoragePath: "/data", URI: n.uri, Bootstrap: n.boot, Reinit: n.reinit, Tick: 20 * time.Millisecond,
		OpenShard: openShard, Logger: n.logger(),
	})
	require.NoError(n.t, err)
	n.id = n.member.Identity().Peer
	n.server = peer.NewServer(peer.ServerOptions{Self: n.member.Identity(), Handler: n.member.Handler(), Logger: n.logger()})
	n.served = make(chan error, 1)
	go func() { n.served <- n.server.Serve(l) }()
	require.NoError(n.t, n.member.Open(ctx))
	if !n.hasty {
		select {
		case <-n.member.Registered():
		case <-ctx.Done():
			n.t.Fatal("not registered in time")
		}
	}
	n.front, err = coordinator.Open(ctx, coordinator.Options{
		FS: n.fs, StoragePath: "/data", Topology: n.member, Shards: n.member.Shards(), Admin: n.member.Admin(), Logger: n.logger(),
	})
	require.NoError(n.t, err)
}

func (n *node) stop() {
	if n.front == nil {
		return
	}
	// The member first: it must not hear that it counts as gone, and register again.
	err := n.front.Close()
	if !n.crashed {
		require.NoError(n.t, err)
	}
	n.shutdown()
	require.NoError(n.t, <-n.served)
	n.front = nil
}

func threeNodes(t *testing.T) []*node {
	t.Helper()
	first := newNode(t, "")
	nodes := []*node{first, newNode(t, first.uri), newNode(t, first.uri)}
	// Two voters can't spare one: learners get their votes one after another.
	require.Eventually(t, func() bool { return len(first.member.Status().Voters) == 3 }, 20*time.Second, 10*time.Millisecond)
	for _, n := range nodes {
		n.others = nodes
	}
	return nodes
}

func (n *node) create(name string, shards, copies uint32) {
	n.t.Helper()
	_, err := n.front.Collections().Create(n.t.Context(), &pb.CreateCollection{
		CollectionName: name, ShardNumber: &shards, ReplicationFactor: &copies,
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 2, Distance: pb.Distance_Dot}),
	})
	require.NoError(n.t, err)
}

func (n *node) put(ctx context.Context, name string, id uint64) error {
	_, err := n.front.Points().Upsert(ctx, &pb.UpsertPoints{CollectionName: name, Wait: new(true), Points: []*pb.PointStruct{{
		Id: pb.NewIDNum(id), Vectors: pb.NewVectors(float32(id), 1), Payload: pb.NewValueMap(map[string]any{"n": int64(id)}),
	}}})
	return err
}

func (n *node) drop(ctx context.Context, name string) error {
	_, err := n.front.Collections().Delete(ctx, &pb.DeleteCollection{CollectionName: name})
	return err
}

func (n *node) count(ctx context.Context, name string) (uint64, error) {
	r, err := n.front.Points().Count(ctx, &pb.CountPoints{CollectionName: name, Exact: new(true)})
	return r.GetResult().GetCount(), err
}

func TestThreeNodesServeACollection(t *testing.T) {
	nodes := threeNodes(t)
	nodes[1].create("c", 4, 2)
	for i := range uint64(30) {
		require.NoError(t, nodes[i%3].put(t.Context(), "c", i+1))
	}
	for i, n := range nodes {
		got, err := n.count(t.Context(), "c")
		require.NoError(t, err)
		require.EqualValues(t, 30, got, fmt.Sprint("node ", i))
	}
}

// crash stops a node as a power cut would: what isn't durable at this moment is lost.
func (n *node) crash() {
	n.t.Helper()
	n.fs.SetInject(func(fsx.Op) error { return fsx.ErrStopped }) // what comes now isn't promised to anybody
	left := n.disk.CrashClone(rand.New(rand.NewPCG(1, 2)))
	n.crashed = true
	n.stop()
	n.disk, n.crashed = left, false
}

// await returns when the topology that a node knows is as it should be.
func (n *node) await(what string, ok func(*topology.State) bool) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	reader := n.member.Follow()
	for {
		v, news, _ := reader.Take()
		if ok(v.State) {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			for _, p := range n.member.State().Peers() {
				n.t.Logf("%+v", *p)
			}
			for _, c := range n.member.State().Collections() {
				for _, sh := range c.Shards {
					n.t.Logf("%+v", *sh)
				}
			}
			for _, other := range n.others {
				if other.front != nil {
					n.t.Log("\n" + other.member.Dump())
				}
			}
			n.t.Fatalf("%s: not in time; the consensus is %+v", what, n.member.Status())
		}
	}
}

// inSync tells whether so many copies of each shard are in sync.
func inSync(copies int) func(*topology.State) bool {
	return func(s *topology.State) bool {
		for _, c := range s.Collections() {
			for _, sh := range c.Shards {
				if len(sh.InSync) != copies || sh.Leader == 0 {
					return false
				}
			}
		}
		return true
	}
}

// writer writes points until it is stopped, and remembers those that were acknowledged.
type writer struct {
	stop  context.CancelFunc
	done  chan struct{}
	acked []uint64
	errs  []error
}

func (n *node) write(name string) *writer {
	ctx, cancel := context.WithCancel(n.t.Context())
	w := &writer{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for id := uint64(1); ctx.Err() == nil; id++ {
			if err := n.put(context.WithoutCancel(ctx), name, id); err != nil {
				w.errs = append(w.errs, err)
				continue
			}
			w.acked = append(w.acked, id)
		}
	}()
	return w
}

func (w *writer) end(t *testing.T) []uint64 {
	t.Helper()
	w.stop()
	<-w.done
	require.Empty(t, w.errs)
	return w.acked
}

// has requires that every copy has exactly these points.
func has(t *testing.T, nodes []*node, name string, ids []uint64) {
	t.Helper()
	for i, n := range nodes {
		got, err := n.count(t.Context(), name)
		require.NoError(t, err)
		require.EqualValues(t, len(ids), got, fmt.Sprint("node ", i))
		for _, sum := range n.member.Checksums(t.Context()) {
			require.NoError(t, sum.Err)
		}
	}
	sums := map[topology.ShardName]member.Checksum{}
	for _, n := range nodes {
		for _, sum := range n.member.Checksums(t.Context()) {
			if other, ok := sums[sum.Shard]; ok {
				// Positions may differ by entries that change nothing.
				require.Equal(t, other.Sum.Sum, sum.Sum.Sum, "copies of shard %d differ: %+v, %+v", sum.Shard.Shard, other, sum)
			}
			sums[sum.Shard] = sum
		}
	}
}

func TestWritesGoOnWhenANodeIsLostAndItComesBack(t *testing.T) {
	nodes := threeNodes(t)
	nodes[1].create("c", 4, 2)
	w := nodes[1].write("c")
	for range 3 {
		nodes[0].crash()
		nodes[1].await("one copy each without the lost node", func(s *topology.State) bool {
			for _, c := range s.Collections() {
				for _, sh := range c.Shards {
					if sh.Leader == 0 || sh.IsInSync(nodes[0].id) {
						return false
					}
				}
			}
			return true
		})
		nodes[0].start()
		nodes[1].await("all copies in sync again", inSync(2))
	}
	has(t, nodes, "c", w.end(t))
}

func TestANodeWithoutItsDiskIsFilledAgain(t *testing.T) {
	nodes := threeNodes(t)
	nodes[1].create("c", 4, 2)
	w := nodes[1].write("c")
	nodes[2].stop()
	nodes[2].disk = fsx.NewMem()
	nodes[1].await("the node counts as gone", func(s *topology.State) bool { return s.Peer(nodes[2].id).Fenced })
	old := nodes[2].id
	nodes[2].start()
	nodes[1].await("all copies in sync again", inSync(2))
	has(t, nodes, "c", w.end(t))
	// A vote that nobody has any more would count against those that are there.
	require.Eventually(t, func() bool {
		s := nodes[1].member.Status()
		return !slices.Contains(s.Voters, old) && !slices.Contains(s.Learners, old) && len(s.Voters) == 3
	}, 20*time.Second, 10*time.Millisecond, "peer %d is a member of the consensus still", old)
}

// A copy whose state isn't the others' is found when they are compared, and made anew.
func TestACopyThatDiffersIsMadeAnew(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("odd", 1, 3)
	for i := range uint64(20) {
		require.NoError(t, nodes[0].put(t.Context(), "odd", i+1))
	}
	nodes[0].await("all copies in sync", inSync(3))
	name, leader := topology.ShardName{}, topology.PeerID(0)
	for _, c := range nodes[0].member.State().Collections() {
		name.Collection, leader = c.Incarnation, c.Shards[0].Leader
	}
	var lead, odd *node
	for _, n := range nodes {
		if n.id == leader {
			lead = n
		} else {
			odd = n
		}
	}
	require.NoError(t, lead.member.Verify(t.Context(), name))
	require.True(t, inSync(3)(lead.member.State()), "equal copies stay")
	require.NoError(t, lead.put(t.Context(), "odd", 100))
	odd.member.Lie(name)
	require.NoError(t, lead.member.Verify(t.Context(), name))
	rep, ok := lead.member.State().Shard(name).Replica(odd.id)
	require.False(t, ok, "%+v", rep)
	lead.await("the copy is made anew", inSync(3))
	var ids []uint64
	for i := range uint64(20) {
		ids = append(ids, i+1)
	}
	has(t, nodes, "odd", append(ids, 100))
}

// A copy that was taken away while its node was down isn't kept when the node comes back.
func TestACopyTakenAwayMeanwhileIsRemoved(t *testing.T) {
	nodes := threeNodes(t)
	nodes[0].create("c", 1, 3)
	require.NoError(t, nodes[0].put(t.Context(), "c", 1))
	nodes[2].stop()
	var name topology.ShardName
	for _, c := range nodes[0].member.State().Collections() {
		name.Collection = c.Incarnation
	}
	nodes[0].await("the node counts as gone", func(s *topology.State) bool { return s.Peer(nodes[2].id).Fenced })
	_, err := nodes[0].front.Collections().Update(t.Context(), &pb.UpdateCollection{
		CollectionName: "c", Params: &pb.CollectionParamsDiff{ReplicationFactor: new(uint32(2))},
	})
	require.NoError(t, err)
	nodes[0].await("two copies are left", func(s *topology.State) bool { return len(s.Shard(name).Replicas) == 2 })
	_, still := nodes[0].member.State().Shard(name).Replica(nodes[2].id)
	require.False(t, still, "the one that is gone goes")
	// As does one of which only the files are left, since a crash came when it was being removed.
	files := layout.Collection("/data", "c", name.Collection)
	require.NoError(t, nodes[2].disk.MkdirAll(files+"/7/some"))
	nodes[2].start()
	require.Eventually(t, func() bool {
		left, err := nodes[2].disk.ReadDir(files)
		return !nodes[2].member.OnDisk(name) && (err != nil || len(left) == 0)
	}, 20*time.Second, 10*time.Millisecond)
	got, err := nodes[2].count(t.Context(), "c")
	require.NoError(t, err)
	require.EqualValues(t, 1, got)
}

// A collection that is made right after a node was lost isn't placed on it, and can be used at once.
func TestNothingIsPlacedOnANodeThatHasJustGone(t *testing.T) {
	nodes := threeNodes(t)
	nodes[2].crash()
	nodes[0].create("c", 3, 1)
	c, err := nodes[0].member.State().Collection("c")
	require.NoError(t, err)
	for _, sh := range c.Shards {
		_, gone := sh.Replica(nodes[2].id)
		require.False(t, gone, "%+v", *sh)
	}
	for id := range uint64(10) {
		require.NoError(t, nodes[0].put(t.Context(), "c", id+1))
	}
}

// Both vote, so there is no leader before the one that stayed knows where the other one is now.
func TestANodeComesBackWithAnotherAddress(t *testing.T) {
	first := newNode(t, "")
	second := newNode(t, first.uri)
	require.Eventually(t, func() bool { return len(first.member.Status().Voters) == 2 }, 20*time.Second, 10*time.Millisecond)
	first.create("books", 2, 2)
	require.NoError(t, first.put(t.Context(), "books", 1))
	second.stop()
	second.addr = "127.0.0.1:0"
	second.start()
	first.await("it is known by its new address", func(s *topology.State) bool { return s.Peer(second.id).URI == second.uri })
	first.await("all copies in sync again", inSync(2))
	require.NoError(t, second.put(t.Context(), "books", 2))
	has(t, []*node{first, second}, "books", []uint64{1, 2})
}

// shutdown closes the p2p door and cuts off what is under way.
func (n *node) shutdown() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	n.server.Shutdown(ctx)
}
