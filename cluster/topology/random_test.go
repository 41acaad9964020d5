package topology_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/topology"
)

// chooser makes commands that make sense in a state, and some that don't.
type chooser struct {
	rt rapid.TB
	// rng makes one command of a number that rapid draws: rapid's own choices are mostly
	// small, which would leave most commands out.
	rng   *rand.Rand
	s     *topology.State
	steps int
	// used are commands from before: late ones come again.
	used []topology.Command
}

func pick[T any](c *chooser, list []T) T { return list[c.rng.IntN(len(list))] }

func (c *chooser) number(low, high int) int { return low + c.rng.IntN(high-low+1) }

func (c *chooser) yes(percent int) bool { return c.number(1, 100) <= percent }

// peer returns one of five; those that were removed have successors.
func (c *chooser) peer() topology.PeerID {
	p := topology.PeerID(c.number(1, 5))
	for c.s.Removed(p) && !c.yes(5) {
		p += 5
	}
	return p
}

// collection returns one that is there, if there is one.
func (c *chooser) collection() string { return "c" + strconv.Itoa(c.number(0, 2)) }

// shard returns a shard that is there, if there is one.
func (c *chooser) shard() (topology.ShardName, *topology.Shard) {
	var names []topology.ShardName
	led := c.yes(70)
	for _, col := range c.s.Collections() {
		for _, sh := range col.Shards {
			if sh.Leader != 0 || !led {
				names = append(names, topology.ShardName{Collection: col.Incarnation, Shard: sh.ID})
			}
		}
	}
	if len(names) == 0 || c.yes(2) {
		return topology.ShardName{Collection: "none", Shard: 7}, &topology.Shard{}
	}
	name := pick(c, names)
	return name, c.s.Shard(name)
}

// replica returns a peer that has a copy, mostly.
func (c *chooser) replica(sh *topology.Shard) topology.PeerID {
	if len(sh.Replicas) == 0 || c.yes(20) {
		return c.peer()
	}
	return pick(c, sh.Replicas).Peer
}

func (c *chooser) seat(sh *topology.Shard) topology.PeerID {
	if len(sh.InSync) == 0 || c.yes(20) {
		return c.replica(sh)
	}
	return pick(c, sh.InSync)
}

func (c *chooser) placement(shards int) [][]topology.PeerID {
	var known []topology.PeerID
	for _, p := range c.s.Peers() {
		known = append(known, p.ID)
	}
	if len(known) == 0 {
		return nil
	}
	var placement [][]topology.PeerID
	for range shards {
		order := slices.Clone(known)
		c.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		placement = append(placement, order[:c.number(1, min(3, len(order)))])
	}
	return placement
}

// held are the copies of a peer, perhaps without some.
func (c *chooser) held(p topology.PeerID, lose int) []topology.HeldReplica {
	var held []topology.HeldReplica
	for _, col := range c.s.Collections() {
		for _, sh := range col.Shards {
			if r, ok := sh.Replica(p); ok && !c.yes(lose) {
				held = append(held, topology.HeldReplica{Shard: topology.ShardName{Collection: col.Incarnation, Shard: sh.ID}, Alloc: r.Alloc})
			}
		}
	}
	return held
}

func (c *chooser) next() topology.Command {
	c.steps++
	switch c.number(0, 30) {
	case 0, 1, 2:
		return c.register()
	case 3:
		return c.fence()
	case 4:
		if c.yes(20) {
			return topology.RemovePeer{Peer: c.peer(), Force: c.yes(50)}
		}
		return topology.DrainPeer{Peer: c.peer(), Draining: c.yes(20)}
	case 5, 6, 7:
		return c.create()
	case 8, 9, 10, 11, 12, 13:
		return c.alter()
	case 14:
		var many topology.AlterMany
		for range c.number(0, 4) {
			many.Alters = append(many.Alters, c.alter())
		}
		return many
	case 15:
		name, sh := c.shard()
		if c.yes(30) {
			return topology.ElectLeaders{}
		}
		e := topology.ElectLeader{Shard: name, Epoch: sh.Epoch}
		if c.yes(60) {
			e.Preferred = c.seat(sh)
		}
		return e
	case 16:
		name, sh := c.shard()
		return topology.ForceLeader{Shard: name, Peer: c.replica(sh), AcceptDataLoss: c.yes(80)}
	case 17, 18, 19:
		p := c.peer()
		return topology.ReplicasCreated{Peer: p, Copies: c.held(p, 10)}
	case 20:
		name, sh := c.shard()
		if c.yes(50) {
			return topology.AddReplica{Shard: name, Peer: c.peer(), Kind: topology.ReplicaKind(c.number(0, 3))}
		}
		return topology.DropReplica{Shard: name, Peer: c.replica(sh), PinUntil: int64(c.number(0, 1) * 1000)}
	case 21, 22, 23:
		return c.startTransfer()
	case 24, 25:
		return c.endTransfer()
	case 26, 27:
		return c.shardKey()
	case 28, 29:
		return c.setting()
	default:
		if len(c.used) == 0 {
			return topology.ElectLeaders{}
		}
		return pick(c, c.used)
	}
}

func (c *chooser) register() topology.Command {
	p := c.peer()
	r := topology.RegisterPeer{Peer: p, URI: fmt.Sprint("http://node", p%5), Incarnation: 1, Zone: pick(c, []string{"", "a", "b"}), Version: 1}
	if c.yes(5) {
		r.URI = fmt.Sprint("http://node", c.number(1, 5))
	}
	if old := c.s.Peer(p); old != nil {
		r.Incarnation = old.Incarnation + uint64(c.number(0, 1))
	}
	r.Held = c.held(p, pick(c, []int{0, 0, 0, 0, 0, 0, 20, 100}))
	return r
}

func (c *chooser) fence() topology.Command {
	var sessions []topology.Session
	for range pick(c, []int{1, 1, 1, 1, 2, 5}) {
		e := topology.Session{Peer: c.peer(), Incarnation: 1}
		if p := c.s.Peer(e.Peer); p != nil && !c.yes(20) {
			e.Incarnation = p.Incarnation
		}
		sessions = append(sessions, e)
	}
	if c.yes(30) {
		return topology.RelievePeers{Sessions: sessions}
	}
	return topology.FencePeers{Sessions: sessions}
}

func (c *chooser) create() topology.Command {
	name := c.collection()
	if c.yes(10) {
		return topology.DeleteCollection{Name: name}
	}
	config, err := topology.NewConfig(&pb.CreateCollection{
		CollectionName: name, VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 4, Distance: pb.Distance_Dot}),
	}, topology.Defaults{})
	require.NoError(c.rt, err)
	col := &topology.Collection{Name: name, Incarnation: fmt.Sprint(name, "-", c.steps), Config: config}
	if c.yes(30) {
		config.Params.ShardingMethod = pb.ShardingMethod_Custom.Enum()
		return topology.CreateCollection{Collection: col}
	}
	n := c.number(1, 4)
	for id := range n {
		col.Shards = append(col.Shards, &topology.Shard{ID: uint32(id)})
	}
	return topology.CreateCollection{Collection: col, Placement: c.placement(n)}
}

func (c *chooser) alter() topology.AlterInSync {
	name, sh := c.shard()
	a := topology.AlterInSync{
		Shard: name, Proposer: sh.Leader, Epoch: sh.Epoch, Version: sh.Version,
		InSync: slices.Clone(sh.InSync), Allocs: map[topology.PeerID]topology.AllocID{},
	}
	for _, r := range sh.Replicas {
		switch {
		case sh.IsInSync(r.Peer):
			if r.Peer != sh.Leader && c.yes(20) || c.yes(3) {
				a.InSync = slices.DeleteFunc(a.InSync, func(p topology.PeerID) bool { return p == r.Peer })
			}
		case c.yes(70):
			a.InSync = append(a.InSync, r.Peer)
			a.Allocs[r.Peer] = r.Alloc
		}
	}
	if len(a.InSync) > 0 && c.yes(20) {
		a.Leader = pick(c, a.InSync)
	}
	if c.yes(10) {
		a.Version--
	}
	return a
}

func (c *chooser) startTransfer() topology.Command {
	name, sh := c.shard()
	t := topology.StartTransfer{
		Shard: name, From: c.seat(sh), To: c.peer(), Move: c.yes(50), ByUser: c.yes(50),
		Method: pick(c, []topology.TransferMethod{"", topology.Snapshot, topology.StreamRecords, topology.WALDelta}),
	}
	if c.yes(20) {
		t.ToShard, t.Move = new(uint32(c.number(0, 3))), c.yes(5)
		if to := c.s.Shard(topology.ShardName{Collection: name.Collection, Shard: *t.ToShard}); to != nil {
			t.To = c.replica(to)
		}
	}
	if c.yes(3) {
		t.Method = "pigeon"
	}
	if t.ByUser {
		t.PinUntil = 5000
	}
	return t
}

func (c *chooser) endTransfer() topology.Command {
	key := topology.TransferKey{From: 1, To: 2}
	var keys []topology.TransferKey
	for _, col := range c.s.Collections() {
		for _, t := range col.Transfers {
			keys = append(keys, t.Key(col.Incarnation))
		}
	}
	if len(keys) > 0 {
		key = pick(c, keys)
	}
	switch c.number(0, 2) {
	case 0:
		return topology.AbortTransfer{Transfer: key, Reason: pick(c, []string{"", "because"})}
	case 1:
		return topology.RestartTransfer{Transfer: key, Method: topology.StreamRecords}
	default:
		return topology.FinishTransfer{Transfer: key}
	}
}

func (c *chooser) shardKey() topology.Command {
	key := pick(c, []*pb.ShardKey{pb.NewShardKey("a"), pb.NewShardKey("1"), pb.NewShardKeyNum(1), pb.NewShardKeyNum(2), nil})
	if c.yes(30) {
		return topology.DropShardKey{Collection: c.collection(), Key: key}
	}
	var pool []topology.PeerID
	for range c.number(0, 2) {
		pool = append(pool, c.peer())
	}
	return topology.CreateShardKey{
		Pool:       pool,
		Collection: c.collection(), Key: key, ReplicationFactor: uint32(c.number(0, 2)),
		Placement: c.placement(c.number(0, 2)), InitialState: pick(c, []string{"", "Active", "Partial", "Dead"}),
	}
}

func (c *chooser) setting() topology.Command {
	name, sh := c.shard()
	if dropped := slices.Sorted(maps.Keys(c.s.Dropped())); len(dropped) > 0 && c.yes(50) {
		return topology.ForgetDropped{Incarnation: dropped[0]}
	}
	switch c.number(0, 7) {
	case 0:
		return topology.SetMetadata{Key: pick(c, []string{"", "a", "b"}), Value: pick(c, [][]byte{nil, []byte("1"), []byte("{}"), []byte("{")})}
	case 1:
		return topology.SetClusterID{ID: pick(c, []string{"", "x", "y"})}
	case 2:
		return topology.SetClusterVersion{Version: uint32(c.number(0, 2))}
	case 3:
		return topology.SetPreferred{Shard: name, Peer: c.replica(sh)}
	case 4:
		return topology.ChangeAliases{Actions: []*pb.AliasOperations{alias("x"+c.collection(), c.collection())}}
	case 5:
		return topology.SetField{Name: c.collection(), Field: "f", Schema: &pb.PayloadSchemaInfo{DataType: pb.PayloadSchemaType(c.number(0, 3))}}
	case 6:
		return topology.ElectLeaders{Shards: []topology.ShardName{name}}
	default:
		return topology.SetField{Name: c.collection(), Field: "f"}
	}
}

// TestRandomHistories: whatever happens in whatever order, a state is never wrong, numbers
// never fall, who refuses changes nothing, what is noted as changed is what changed, and
// everybody who reads the same bytes holds the same state.
func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt)
		for i, seed := range rapid.SliceOfN(rapid.Uint64(), 40, 100).Draw(rt, "commands") {
			h.step(uint64(i), rand.New(rand.NewPCG(seed, uint64(i))))
		}
	})
}

// TestLongHistories is the same with fixed seeds; and every command takes part.
func TestLongHistories(t *testing.T) {
	done := map[string]int{}
	for seed := range uint64(8) {
		h := newHistory(t)
		for i := range uint64(400) {
			h.step(i, rand.New(rand.NewPCG(seed, i)))
		}
		for name, n := range h.done {
			done[name] += n
		}
	}
	for _, cmd := range []topology.Command{
		topology.CreateCollection{},
		topology.DeleteCollection{},
		topology.ForgetDropped{},
		topology.SetField{},
		topology.ChangeAliases{},
		topology.CreateShardKey{},
		topology.DropShardKey{},
		topology.RegisterPeer{},
		topology.FencePeers{},
		topology.RelievePeers{},
		topology.RemovePeer{},
		topology.DrainPeer{},
		topology.AlterInSync{},
		topology.AlterMany{},
		topology.ElectLeader{},
		topology.ForceLeader{},
		topology.SetPreferred{},
		topology.ReplicasCreated{},
		topology.AddReplica{},
		topology.DropReplica{},
		topology.StartTransfer{},
		topology.AbortTransfer{},
		topology.RestartTransfer{},
		topology.FinishTransfer{},
		topology.SetMetadata{},
		topology.SetClusterID{},
		topology.SetClusterVersion{},
	} {
		require.NotZero(t, done[reflect.TypeOf(cmd).Name()], "%T never changed anything", cmd)
	}
}

// history is two nodes that apply the same commands: one as they are made, the other as
// it reads them, with a snapshot now and then.
type history struct {
	tb          rapid.TB
	s, follower topology.State
	chooser     chooser
	done        map[string]int
}

func newHistory(tb rapid.TB) *history {
	tb.Helper()
	h := &history{tb: tb, done: map[string]int{}}
	h.chooser = chooser{rt: tb, s: &h.s}
	for p := range topology.PeerID(3) {
		h.apply(topology.RegisterPeer{Peer: p + 1, URI: fmt.Sprint("http://node", p+1), Incarnation: 1, Version: 1})
	}
	return h
}

func (h *history) step(i uint64, rng *rand.Rand) {
	h.s.SetIndex(i)
	h.follower.SetIndex(i)
	h.chooser.rng = rng
	h.apply(h.chooser.next())
	if rng.IntN(10) == 0 {
		b, err := h.follower.Encode()
		require.NoError(h.tb, err)
		restored, err := topology.DecodeState(b)
		require.NoError(h.tb, err)
		h.follower = *restored
	}
}

func (h *history) apply(cmd topology.Command) {
	h.tb.Helper()
	h.chooser.used = append(h.chooser.used, cmd)
	before := h.s.Clone()
	picture := hash(h.tb, before)
	changed, err := h.s.Apply(cmd)
	require.NoError(h.tb, h.s.Check(), "%T %+v", cmd, cmd)
	require.Equal(h.tb, picture, hash(h.tb, before), "%T changed the original", cmd)
	after := hash(h.tb, &h.s)
	require.Equal(h.tb, changed, picture != after, "%T %+v: is it changed?", cmd, cmd)
	if changed {
		h.done[reflect.TypeOf(cmd).Name()]++
	}
	checkChanges(h.tb, before, &h.s, cmd)
	checkProgress(h.tb, before, &h.s, cmd)

	b, encodeErr := topology.EncodeCommand(cmd)
	require.NoError(h.tb, encodeErr)
	again, decodeErr := topology.DecodeCommand(b)
	require.NoError(h.tb, decodeErr)
	require.Empty(h.tb, cmp.Diff(cmd, again, protocmp.Transform(), cmpopts.EquateEmpty()))
	followed, followErr := h.follower.Apply(again)
	require.Equal(h.tb, changed, followed)
	require.Equal(h.tb, fmt.Sprint(err), fmt.Sprint(followErr))
	require.Equal(h.tb, after, hash(h.tb, &h.follower), "%T", cmd)
}

func hash(tb rapid.TB, s *topology.State) uint64 {
	tb.Helper()
	h, err := s.Hash()
	require.NoError(tb, err)
	return h
}

// checkChanges compares what a command noted with what differs.
func checkChanges(rt rapid.TB, before, after *topology.State, cmd topology.Command) {
	got, want := after.Changed(), topology.Diff(before, after)
	got.Events, got.Results = nil, nil
	require.Subset(rt, got.Collections, want.Collections, "%T", cmd)
	require.Subset(rt, got.Shards, want.Shards, "%T", cmd)
	require.Subset(rt, got.Peers, want.Peers, "%T", cmd)
	require.True(rt, got.Names || !want.Names, "%T", cmd)
	require.True(rt, got.Settings || !want.Settings, "%T", cmd)
	// What is noted and doesn't differ was changed there and back, within one command.
	require.True(rt, got.Any() == want.Any() || len(got.Collections)+len(got.Shards) > 0, "%T", cmd)
}

// checkProgress: numbers that name what was don't come back.
func checkProgress(rt rapid.TB, before, after *topology.State, cmd topology.Command) {
	require.GreaterOrEqual(rt, after.LastAlloc(), before.LastAlloc())
	require.GreaterOrEqual(rt, after.ClusterVersion(), before.ClusterVersion())
	for _, p := range after.Peers() {
		if old := before.Peer(p.ID); old != nil {
			require.GreaterOrEqual(rt, p.Incarnation, old.Incarnation)
		}
	}
	_, forced := cmd.(topology.ForceLeader)
	for _, col := range after.Collections() {
		was := before.Incarnation(col.Incarnation)
		if was == nil {
			continue
		}
		require.GreaterOrEqual(rt, col.RingEpoch, was.RingEpoch)
		require.GreaterOrEqual(rt, col.SchemaVersion, was.SchemaVersion)
		require.GreaterOrEqual(rt, col.NextShard, was.NextShard)
		for _, sh := range col.Shards {
			old := was.Shard(sh.ID)
			if old == nil {
				require.GreaterOrEqual(rt, sh.ID, was.NextShard, "a number was used twice")
				continue
			}
			checkRecord(rt, old, sh, before, forced)
		}
	}
}

func checkRecord(rt rapid.TB, old, sh *topology.Shard, before *topology.State, forced bool) {
	if old == sh {
		return
	}
	if !cmp.Equal(old, sh, protocmp.Transform(), cmpopts.EquateEmpty()) {
		require.Greater(rt, sh.Version, old.Version)
	}
	require.GreaterOrEqual(rt, sh.Epoch, old.Epoch)
	if sh.Leader != old.Leader {
		require.Greater(rt, sh.Epoch, old.Epoch, "a leader without an epoch of its own")
	}
	if sh.History != old.History {
		require.True(rt, forced, "data was given up unasked")
	}
	for _, p := range sh.InSync {
		r, _ := sh.Replica(p)
		was, ok := old.Replica(p)
		if !old.IsInSync(p) && !forced {
			require.True(rt, ok && was.Created && was.Alloc == r.Alloc, "peer %d is in sync with a copy that was not there", p)
		}
		if old.IsInSync(p) && !forced {
			require.Equal(rt, was.Alloc, r.Alloc, "peer %d kept its seat with another copy", p)
		}
	}
	for _, r := range sh.Replicas {
		if was, ok := old.Replica(r.Peer); !ok || was.Alloc != r.Alloc {
			require.Greater(rt, r.Alloc, before.LastAlloc(), "a copy's number was used before")
		}
	}
}
