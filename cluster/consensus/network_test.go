package consensus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/consensus"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/fsx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// list is a machine that keeps every value that it is given.
type list struct {
	mu     sync.Mutex
	values []string
	// index is the last entry applied; restored counts snapshots.
	index    uint64
	restored int
}

// Apply returns how many values there are.
func (l *list) Apply(index uint64, data []byte) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index <= l.index {
		panic(fmt.Sprintf("entry %d is applied after %d", index, l.index))
	}
	l.index = index
	l.values = append(l.values, string(data))
	return len(l.values)
}

func (l *list) Snapshot() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return json.Marshal(l.values)
}

func (l *list) Restore(index uint64, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index, l.values = index, nil
	l.restored++
	return json.Unmarshal(data, &l.values)
}

func (l *list) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.values)
}

// node is one member with its disk.
type node struct {
	id    topology.PeerID
	fs    fsx.FS
	group *consensus.Group
	list  *list
	// leader and leads are what OnLeader said last.
	leader topology.PeerID
	leads  bool
}

// cluster is a network of groups in memory. Messages arrive at once, are lost or come
// again.
type cluster struct {
	t       *testing.T
	options func(*consensus.Options)

	mu    sync.Mutex
	nodes map[topology.PeerID]*node
	rng   *rand.Rand
	// lose and repeat are probabilities; old are messages that may come again; cut are
	// nodes that nobody hears.
	lose, repeat float64
	old          []*raftpb.Message
	cut          map[topology.PeerID]bool
	// drop, when not nil, says which messages are lost.
	drop func(m *raftpb.Message) bool
	// instant and sent count messages at one moment: nodes that talk without end let no
	// time pass.
	instant time.Time
	sent    int
}

// newCluster makes a network without nodes, in a bubble where time passes only when
// everybody waits.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{
		t: t, nodes: map[topology.PeerID]*node{}, cut: map[topology.PeerID]bool{},
		rng: rand.New(rand.NewPCG(1, 2)), options: func(*consensus.Options) {},
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			_ = n.group.Close()
		}
	})
	return c
}

func (c *cluster) send(m *raftpb.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Equal(c.instant) {
		if c.sent++; c.sent > 100_000 {
			panic(fmt.Sprintf("messages without end: %v", m))
		}
	} else {
		c.instant, c.sent = now, 0
	}
	from, to := topology.PeerID(m.GetFrom()), topology.PeerID(m.GetTo())
	if c.cut[from] || c.cut[to] || c.rng.Float64() < c.lose || c.drop != nil && c.drop(m) {
		return
	}
	c.deliver(m)
	if c.repeat > 0 {
		c.old = append(c.old, m)
		for c.rng.Float64() < c.repeat {
			c.deliver(c.old[c.rng.IntN(len(c.old))])
		}
	}
}

// deliver brings a message to its receiver as the wire would. mu is held.
func (c *cluster) deliver(m *raftpb.Message) {
	n := c.nodes[topology.PeerID(m.GetTo())]
	if n == nil || n.group == nil || c.cut[n.id] {
		return
	}
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	got := &raftpb.Message{}
	if err := proto.Unmarshal(b, got); err != nil {
		panic(err)
	}
	n.group.Step(got)
}

// start opens a node; fs nil is a new disk.
func (c *cluster) start(id topology.PeerID, fs fsx.FS) *node {
	c.t.Helper()
	n, err := c.open(id, fs)
	require.NoError(c.t, err)
	return n
}

func (c *cluster) open(id topology.PeerID, fs fsx.FS) (*node, error) {
	if fs == nil {
		fs = fsx.NewMem()
	}
	n := &node{id: id, fs: fs, list: &list{}}
	o := consensus.Options{
		ID: id, FS: fs, Dir: "/consensus", Machine: n.list,
		Send: func(_ topology.PeerID, m *raftpb.Message) { c.send(m) },
		OnLeader: func(leader topology.PeerID, me bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			n.leader, n.leads = leader, me
		},
	}
	c.options(&o)
	g, err := consensus.Open(c.t.Context(), o)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n.group = g
	c.nodes[id] = n
	return n, nil
}

// stop closes a node; its disk stays.
func (c *cluster) stop(id topology.PeerID) fsx.FS {
	c.t.Helper()
	c.mu.Lock()
	n := c.nodes[id]
	delete(c.nodes, id)
	c.mu.Unlock()
	_ = n.group.Close()
	return n.fs
}

// restart closes a node and opens it again with what kill -9 leaves.
func (c *cluster) restart(id topology.PeerID) *node {
	c.t.Helper()
	return c.start(id, c.kill(id, (*fsx.Mem).KillClone))
}

// kill ends a node and returns what is left of its disk. What the node says after that
// moment isn't heard.
func (c *cluster) kill(id topology.PeerID, clone func(*fsx.Mem) *fsx.Mem) *fsx.Mem {
	c.t.Helper()
	c.mu.Lock()
	was := c.cut[id]
	c.cut[id] = true
	disk := clone(c.nodes[id].fs.(*fsx.Mem))
	c.mu.Unlock()
	c.stop(id)
	c.setCut(id, was)
	return disk
}

func (c *cluster) setCut(id topology.PeerID, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[id] = cut
}

// eventually waits until something is so.
func (c *cluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	for range 20_000 {
		synctest.Wait()
		if ok() {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	for _, n := range c.sorted() {
		c.t.Logf("node %d: %+v, error %v, values %q", n.id, n.group.Status(), n.group.Err(), n.list.all())
	}
	require.FailNow(c.t, "never: "+what)
}

func (c *cluster) sorted() []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*node
	for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
		all = append(all, c.nodes[id])
	}
	return all
}

// leader returns who leads by its own account and that of most others.
func (c *cluster) leader() *node {
	c.t.Helper()
	var found *node
	c.eventually("a leader", func() bool {
		votes := map[topology.PeerID]int{}
		reached := 0
		for _, n := range c.sorted() {
			if !c.cut[n.id] {
				votes[n.group.Status().Leader]++
				reached++
			}
		}
		for id, v := range votes {
			if n := c.nodes[id]; n != nil && v == reached && n.group.Status().Role == consensus.Leader {
				found = n
			}
		}
		return found != nil
	})
	return found
}

func (c *cluster) deadline() context.Context {
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Minute)
	c.t.Cleanup(cancel)
	return ctx
}

// propose must succeed.
func (c *cluster) propose(n *node, value string) {
	c.t.Helper()
	_, _, err := n.group.Propose(c.deadline(), []byte(value))
	if !errors.Is(err, consensus.ErrResultLost) {
		require.NoError(c.t, err)
	}
}

// told returns what a node's OnLeader heard last.
func (c *cluster) told(n *node) (leader topology.PeerID, me bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return n.leader, n.leads
}

// grow founds a group at node 1 and adds the others.
func (c *cluster) grow(size int) {
	c.t.Helper()
	first := c.start(1, nil)
	require.NoError(c.t, first.group.Found(c.t.Context()))
	for id := topology.PeerID(2); int(id) <= size; id++ {
		c.start(id, nil)
		require.NoError(c.t, first.group.AddLearner(c.deadline(), id))
	}
	c.eventually("everybody is a member, and enough of them vote", func() bool {
		for _, n := range c.nodes {
			s := n.group.Status()
			if len(s.Voters)+len(s.Learners) != size || len(s.Voters) != []int{0, 1, 2, 3, 3, 5, 5, 7}[min(size, 7)] {
				return false
			}
		}
		return true
	})
}

// agree waits until all machines have the same values, and returns them.
func (c *cluster) agree() []string {
	c.t.Helper()
	var values []string
	c.eventually("all machines have the same", func() bool {
		nodes := c.sorted()
		values = nodes[0].list.all()
		commit := nodes[0].group.Status().Commit
		for _, n := range nodes {
			s := n.group.Status()
			if !slices.Equal(values, n.list.all()) || s.Applied != s.Commit || s.Commit != commit || s.Leader == 0 {
				return false
			}
		}
		return true
	})
	return values
}

func numbered(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return list
}
