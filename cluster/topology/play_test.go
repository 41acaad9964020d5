package topology_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/topology"
)

// TestPlays plays the scripts in testdata. A command prints what came of it and what it
// changed; a record reads
//
//	c/0: leader 1 epoch 1 version 1 history 1 in sync 1 2; 1#4 2#5 new; 3#6 joining
//
// with the number of each copy behind its peer. "new" is a copy that isn't made yet.
//
//	register peer=1 [incarnation=2] [uri=x] [version=1] [held=(c/0#4,...)|all]
//	fence peers=(1,2) [incarnation=2]      remove peer=1 [force]      drain peer=1 [off]
//	create name=c [placement=(1+2,2+3)] [custom]      delete name=c
//	created peer=1 [copies=(c/0#4)]        alter shard=c/0 by=1 set=(1,2) [alloc=9] [leader=2] [version=1] [epoch=1]
//	elect [shard=c/0 [epoch=1] [peer=2]]   force shard=c/0 peer=2 [accept]
//	prefer shard=c/0 peer=2                add shard=c/0 peer=2 [kind=listener]
//	drop shard=c/0 peer=2 [pin=1000]
//	transfer|move shard=c/0 from=1 to=2 [method=snapshot] [to-shard=1] [pin=1000]
//	abort|finish|restart shard=c/0 from=1 to=2 [method=wal_delta] [to-shard=1]
//	key name=c key=a|1 [placement=(1+2)] [pool=1+2] [state=Partial]      drop-key name=c key=a
//	metadata key=a [value=1]               cluster [id=x] [version=1]
//	show                                   states [filling=2] [following=2]
func TestPlays(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		t.Helper()
		if strings.Contains(file, "fuzz") || strings.Contains(file, "rapid") {
			return
		}
		p := &play{t: t}
		datadriven.RunTest(t, file, p.scene)
	})
}

type play struct {
	t     *testing.T
	s     topology.State
	index uint64
	made  int
}

func (p *play) scene(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "show":
		return p.show()
	case "states":
		return p.states(d)
	}
	p.index++
	p.s.SetIndex(p.index)
	changed, err := p.s.Apply(p.command(d))
	require.NoError(t, p.s.Check())
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	var b strings.Builder
	c := p.s.Changed()
	for _, err := range c.Results {
		if err != nil {
			fmt.Fprintf(&b, "refused: %v\n", err)
		} else {
			b.WriteString("carried out\n")
		}
	}
	if !changed {
		return b.String() + "nothing to do\n"
	}
	for _, id := range c.Peers {
		b.WriteString(p.peer(id))
	}
	for _, incarnation := range c.Collections {
		b.WriteString(p.collection(incarnation))
	}
	for _, name := range c.Shards {
		b.WriteString(p.shard(name))
	}
	if c.Settings {
		fmt.Fprintf(&b, "cluster %q version %d metadata %q\n", p.s.ClusterID(), p.s.ClusterVersion(), p.s.MetadataKeys())
	}
	for _, e := range c.Events {
		fmt.Fprintf(&b, "! %s\n", e.Text)
	}
	return b.String()
}

func (p *play) peer(id topology.PeerID) string {
	peer := p.s.Peer(id)
	if peer == nil {
		return fmt.Sprintf("peer %d removed\n", id)
	}
	line := fmt.Sprintf("peer %d at %s incarnation %d", id, peer.URI, peer.Incarnation)
	if peer.Fenced {
		line += " fenced"
	}
	if peer.Draining {
		line += " draining"
	}
	return line + "\n"
}

func (p *play) collection(incarnation string) string {
	c := p.s.Incarnation(incarnation)
	if c == nil {
		return "collection " + p.s.Dropped()[incarnation] + " deleted\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "collection %s ring %d schema %d shards %d", c.Name, c.RingEpoch, c.SchemaVersion, c.ShardIDs())
	for _, k := range c.Keys {
		text := strconv.Quote(k.Key.GetKeyword())
		if n, ok := k.Key.GetKey().(*pb.ShardKey_Number); ok {
			text = strconv.FormatUint(n.Number, 10)
		}
		fmt.Fprintf(&b, " key %s %d", text, k.Shards)
		if len(k.Pool) > 0 {
			fmt.Fprintf(&b, " on %d", k.Pool)
		}
	}
	b.WriteString("\n")
	for _, t := range c.Transfers {
		kind := "copy"
		if t.Move {
			kind = "move"
		}
		fmt.Fprintf(&b, "  %s of %d", kind, t.Shard)
		if t.ToShard != nil {
			fmt.Fprintf(&b, " to shard %d", *t.ToShard)
		}
		fmt.Fprintf(&b, " from %d to %d#%d %s started %d\n", t.From, t.To, t.Alloc, t.Method, t.Started)
	}
	return b.String()
}

func (p *play) shard(name topology.ShardName) string {
	c := p.s.Incarnation(name.Collection)
	sh := c.Shard(name.Shard)
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%d: leader %d epoch %d version %d history %d in sync", c.Name, sh.ID, sh.Leader, sh.Epoch, sh.Version, sh.History)
	for _, q := range sh.InSync {
		fmt.Fprintf(&b, " %d", q)
	}
	for _, r := range sh.Replicas {
		fmt.Fprintf(&b, "; %d#%d", r.Peer, r.Alloc)
		if r.Kind != topology.Voter {
			b.WriteString([]string{"", " joining", " listener", " resharding"}[r.Kind])
		}
		if !r.Created {
			b.WriteString(" new")
		}
	}
	if sh.Pin.Until != 0 {
		fmt.Fprintf(&b, "; pinned until %d avoiding %d", sh.Pin.Until, sh.Pin.Avoid)
	}
	if sh.Preferred != 0 {
		fmt.Fprintf(&b, "; prefers %d", sh.Preferred)
	}
	return b.String() + "\n"
}

func (p *play) show() string {
	var b strings.Builder
	for _, peer := range p.s.Peers() {
		b.WriteString(p.peer(peer.ID))
	}
	for _, c := range p.s.Collections() {
		b.WriteString(p.collection(c.Incarnation))
		for _, sh := range c.Shards {
			b.WriteString(p.shard(topology.ShardName{Collection: c.Incarnation, Shard: sh.ID}))
		}
	}
	return b.String()
}

func (p *play) states(d *datadriven.TestData) string {
	progress := map[uint64]topology.Progress{number(p.t, d, "filling", 0): topology.Filling, number(p.t, d, "following", 0): topology.Following}
	var b strings.Builder
	for _, c := range p.s.Collections() {
		for _, sh := range c.Shards {
			fmt.Fprintf(&b, "%s/%d:", c.Name, sh.ID)
			for _, r := range sh.Replicas {
				name := topology.ShardName{Collection: c.Incarnation, Shard: sh.ID}
				state, ok := topology.ReplicaState(&p.s, name, r.Peer, progress[uint64(r.Peer)])
				require.True(p.t, ok)
				fmt.Fprintf(&b, " %d %v", r.Peer, state)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func (p *play) command(d *datadriven.TestData) topology.Command {
	peer := topology.PeerID(number(p.t, d, "peer", 0))
	switch d.Cmd {
	case "register":
		return p.register(d, peer)
	case "fence", "relieve":
		var sessions []topology.Session
		for _, id := range peers(p.t, strings.Join(words(d, "peers"), "+")) {
			e := topology.Session{Peer: id}
			if q := p.s.Peer(id); q != nil {
				e.Incarnation = q.Incarnation
			}
			e.Incarnation = number(p.t, d, "incarnation", e.Incarnation)
			sessions = append(sessions, e)
		}
		if d.Cmd == "relieve" {
			return topology.RelievePeers{Sessions: sessions}
		}
		return topology.FencePeers{Sessions: sessions}
	case "remove":
		return topology.RemovePeer{Peer: peer, Force: d.HasArg("force")}
	case "drain":
		return topology.DrainPeer{Peer: peer, Draining: !d.HasArg("off")}
	case "create":
		return p.create(d)
	case "delete":
		return topology.DeleteCollection{Name: word(d, "name")}
	case "key":
		return topology.CreateShardKey{Collection: word(d, "name"), Key: key(word(d, "key")), Placement: placement(p.t, d), InitialState: word(d, "state"), Pool: peers(p.t, word(d, "pool"))}
	case "drop-key":
		return topology.DropShardKey{Collection: word(d, "name"), Key: key(word(d, "key"))}
	case "metadata":
		c := topology.SetMetadata{Key: word(d, "key")}
		if d.HasArg("value") {
			c.Value = []byte(word(d, "value"))
		}
		return c
	case "cluster":
		if d.HasArg("id") {
			return topology.SetClusterID{ID: word(d, "id")}
		}
		return topology.SetClusterVersion{Version: uint32(number(p.t, d, "version", 0))}
	default:
		return p.shardCommand(d, peer)
	}
}

func (p *play) shardCommand(d *datadriven.TestData, peer topology.PeerID) topology.Command {
	name, sh := p.name(word(d, "shard"))
	switch d.Cmd {
	case "created":
		c := topology.ReplicasCreated{Peer: peer, Copies: p.copies(words(d, "copies"))}
		if !d.HasArg("copies") {
			c.Copies = p.allOf(peer)
		}
		return c
	case "alter":
		return p.alter(d, name, sh)
	case "elect":
		if !d.HasArg("shard") {
			return topology.ElectLeaders{}
		}
		return topology.ElectLeader{Shard: name, Epoch: number(p.t, d, "epoch", sh.Epoch), Preferred: peer}
	case "force":
		return topology.ForceLeader{Shard: name, Peer: peer, AcceptDataLoss: d.HasArg("accept")}
	case "prefer":
		return topology.SetPreferred{Shard: name, Peer: peer}
	case "add":
		kinds := map[string]topology.ReplicaKind{"": topology.Joining, "listener": topology.Listener, "voter": topology.Voter, "resharding": topology.Resharding}
		return topology.AddReplica{Shard: name, Peer: peer, Kind: kinds[word(d, "kind")]}
	case "drop":
		return topology.DropReplica{Shard: name, Peer: peer, PinUntil: int64(number(p.t, d, "pin", 0))}
	}
	k := topology.TransferKey{Shard: name, From: topology.PeerID(number(p.t, d, "from", 0)), To: topology.PeerID(number(p.t, d, "to", 0))}
	if d.HasArg("to-shard") {
		k.ToShard = new(uint32(number(p.t, d, "to-shard", 0)))
	}
	method := topology.TransferMethod(word(d, "method"))
	switch d.Cmd {
	case "transfer", "move":
		return topology.StartTransfer{
			Shard: name, ToShard: k.ToShard, From: k.From, To: k.To, Move: d.Cmd == "move", Sync: d.Cmd != "move", Method: method,
			PinUntil: int64(number(p.t, d, "pin", 0)),
		}
	case "abort":
		return topology.AbortTransfer{Transfer: k, Reason: "somebody said so"}
	case "finish":
		return topology.FinishTransfer{Transfer: k}
	case "restart":
		return topology.RestartTransfer{Transfer: k, Method: method}
	default:
		p.t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
		return nil
	}
}

func (p *play) register(d *datadriven.TestData, peer topology.PeerID) topology.Command {
	c := topology.RegisterPeer{Peer: peer, URI: fmt.Sprint("http://", peer), Incarnation: number(p.t, d, "incarnation", 1), Version: uint32(number(p.t, d, "version", 1))}
	if d.HasArg("uri") {
		c.URI = word(d, "uri")
	}
	if held := words(d, "held"); len(held) == 1 && held[0] == "all" {
		c.Held = p.allOf(peer)
	} else {
		c.Held = p.copies(held)
	}
	return c
}

func (p *play) create(d *datadriven.TestData) topology.Command {
	p.made++
	c := collection(p.t, word(d, "name"), fmt.Sprint("i", p.made))
	c.Shards = nil
	if d.HasArg("custom") {
		c.Config.Params.ShardingMethod = pb.ShardingMethod_Custom.Enum()
	}
	where := placement(p.t, d)
	for id := range where {
		c.Shards = append(c.Shards, &topology.Shard{ID: uint32(id)})
	}
	return topology.CreateCollection{Collection: c, Placement: where}
}

func (p *play) alter(d *datadriven.TestData, name topology.ShardName, sh *topology.Shard) topology.Command {
	c := topology.AlterInSync{
		Shard: name, Proposer: topology.PeerID(number(p.t, d, "by", 0)), InSync: peers(p.t, strings.Join(words(d, "set"), "+")),
		Epoch: number(p.t, d, "epoch", sh.Epoch), Version: number(p.t, d, "version", sh.Version),
		Allocs: map[topology.PeerID]topology.AllocID{}, Leader: topology.PeerID(number(p.t, d, "leader", 0)),
	}
	for _, r := range sh.Replicas {
		c.Allocs[r.Peer] = topology.AllocID(number(p.t, d, "alloc", uint64(r.Alloc)))
	}
	if d.HasArg("twice") {
		return topology.AlterMany{Alters: []topology.AlterInSync{c, c}}
	}
	return c
}

// allOf are the copies that a peer should have.
func (p *play) allOf(peer topology.PeerID) []topology.HeldReplica {
	var held []topology.HeldReplica
	for _, c := range p.s.Collections() {
		for _, sh := range c.Shards {
			if r, ok := sh.Replica(peer); ok {
				held = append(held, topology.HeldReplica{Shard: topology.ShardName{Collection: c.Incarnation, Shard: sh.ID}, Alloc: r.Alloc})
			}
		}
	}
	return held
}

func (p *play) copies(list []string) []topology.HeldReplica {
	var held []topology.HeldReplica
	for _, text := range list {
		shard, alloc, _ := strings.Cut(text, "#")
		name, _ := p.name(shard)
		n, err := strconv.ParseUint(alloc, 10, 64)
		require.NoError(p.t, err)
		held = append(held, topology.HeldReplica{Shard: name, Alloc: topology.AllocID(n)})
	}
	return held
}

// name reads the name of a shard ("c/0"); the record is empty for an unknown one.
func (p *play) name(text string) (topology.ShardName, *topology.Shard) {
	name := topology.ShardName{Collection: "unknown", Shard: math.MaxUint32}
	col, id, ok := strings.Cut(text, "/")
	if c, err := p.s.Collection(col); ok && err == nil {
		n, err := strconv.ParseUint(id, 10, 32)
		require.NoError(p.t, err)
		name = topology.ShardName{Collection: c.Incarnation, Shard: uint32(n)}
	}
	if sh := p.s.Shard(name); sh != nil {
		return name, sh
	}
	return name, &topology.Shard{}
}

func words(d *datadriven.TestData, name string) []string {
	for _, a := range d.CmdArgs {
		if a.Key == name {
			return a.Vals
		}
	}
	return nil
}

func word(d *datadriven.TestData, name string) string {
	if w := words(d, name); len(w) > 0 {
		return w[0]
	}
	return ""
}

func number(t *testing.T, d *datadriven.TestData, name string, or uint64) uint64 {
	t.Helper()
	w := word(d, name)
	if w == "" {
		return or
	}
	n, err := strconv.ParseUint(w, 10, 64)
	require.NoError(t, err, "%s: %s", d.Pos, name)
	return n
}

// peers reads "1+2".
func peers(t *testing.T, text string) []topology.PeerID {
	t.Helper()
	var list []topology.PeerID
	for one := range strings.SplitSeq(text, "+") {
		if one == "" {
			continue
		}
		n, err := strconv.ParseUint(one, 10, 64)
		require.NoError(t, err)
		list = append(list, topology.PeerID(n))
	}
	return list
}

func placement(t *testing.T, d *datadriven.TestData) [][]topology.PeerID {
	t.Helper()
	var list [][]topology.PeerID
	for _, w := range words(d, "placement") {
		list = append(list, peers(t, w))
	}
	return list
}

// key reads a shard key: digits are a number, "'1'" is a word.
func key(text string) *pb.ShardKey {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return pb.NewShardKeyNum(n)
	}
	return pb.NewShardKey(strings.Trim(text, "'"))
}
