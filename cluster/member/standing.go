package member

import (
	"context"
	"fmt"
	"slices"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// standing is what the leader of a shard knows of a copy.
type standing struct {
	State replication.PeerState
	// For is for how long it has been so.
	For time.Duration
	// Has is the last entry that the copy has, Lag how many the leader has behind it.
	Has, Lag uint64
}

// standings are those of a collection's copies, as far as they are known: by shard and peer.
type standings map[uint32]map[topology.PeerID]standing

// standings returns what this node knows: of the shards that it leads.
func (m *Member) standings(c *topology.Collection) standings {
	out := standings{}
	for _, sh := range c.Shards {
		if sh.Leader != m.self.Peer {
			continue
		}
		if r := m.replica(nameOf(c, sh)); r != nil {
			out[sh.ID] = r.standings(sh)
		}
	}
	return out
}

// standings returns how the copies of a shard are, when this one leads.
func (r *replica) standings(sh *topology.Shard) map[topology.PeerID]standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.sm.Role() != replication.Leader {
		return nil
	}
	last := r.recent.end.Seq
	out := map[topology.PeerID]standing{}
	for _, c := range sh.Replicas {
		if c.Peer == r.node.peer() {
			out[c.Peer] = standing{State: replication.PeerStreaming, Has: last}
		} else if p, ok := r.sm.Progress(c.Peer); ok {
			out[c.Peer] = standing{State: p.State, For: r.node.now() - p.Since, Has: p.Durable, Lag: last - min(p.Durable, last)}
		}
	}
	return out
}

// peer implements surroundings.
func (m *Member) peer() topology.PeerID { return m.self.Peer }

// progress puts a standing in the words of the topology.
func (s standing) progress() topology.Progress {
	switch s.State {
	case replication.PeerFilling, replication.PeerSyncing:
		return topology.Filling
	case replication.PeerStreaming:
		return topology.Following
	default:
		return topology.Unknown
	}
}

// askLeaders returns what the leaders of a collection's shards know.
func (m *Member) askLeaders(ctx context.Context, c *topology.Collection) standings {
	var leaders []topology.PeerID
	for _, sh := range c.Shards {
		if sh.Leader != 0 && !slices.Contains(leaders, sh.Leader) {
			leaders = append(leaders, sh.Leader)
		}
	}
	known := m.standings(c)
	for leader, theirs := range askPeers[standings](ctx, m, leaders, topology.ShardName{Collection: c.Incarnation}, describeCopies) {
		for id, copies := range *theirs {
			if sh := c.Shard(id); sh != nil && sh.Leader == leader {
				known[id] = copies
			}
		}
	}
	return known
}

// Collection implements admin.Desk.
func (a *Admin) Collection(ctx context.Context, name string) (*admin.Collection, error) {
	m := a.m
	if _, err := a.collection(ctx, name); err != nil {
		return nil, err
	}
	state := m.State()
	c, err := state.Collection(name)
	if err != nil {
		return nil, err
	}
	known := m.askLeaders(ctx, c)
	out := &admin.Collection{Peer: uint64(m.self.Peer), Shards: uint64(len(c.Shards)), Transfers: m.transfers(c, known)}
	for _, sh := range c.Shards {
		for _, r := range sh.Replicas {
			one := m.describe(state, c, sh, r.Peer, known)
			if r.Peer == m.self.Peer {
				out.Local = append(out.Local, one)
			} else {
				out.Remote = append(out.Remote, one)
			}
		}
	}
	return out, nil
}

// describe describes a copy.
func (m *Member) describe(state *topology.State, c *topology.Collection, sh *topology.Shard, p topology.PeerID, known standings) admin.Replica {
	stands, ok := known[sh.ID][p]
	out := admin.Replica{
		Shard: sh.ID, Key: sh.Key, Peer: uint64(p),
		Replication: &admin.Replication{Leader: uint64(sh.Leader), Epoch: sh.Epoch, InSync: make([]uint64, 0, len(sh.InSync))},
	}
	out.State, _ = topology.ReplicaState(state, nameOf(c, sh), p, stands.progress())
	for _, q := range sh.InSync {
		out.Replication.InSync = append(out.Replication.InSync, uint64(q))
	}
	if ok && stands.progress() == topology.Following {
		out.Replication.Lag = &stands.Lag
	}
	if p == m.self.Peer {
		out.Points = m.points(nameOf(c, sh))
	}
	return out
}

// points returns how many points the copy on this node has.
func (m *Member) points(name topology.ShardName) uint64 {
	r := m.replica(name)
	if r == nil {
		return 0
	}
	s := r.shard.Load()
	if s == nil {
		return 0
	}
	return s.Info().Points
}

// methods are the ways of filling a copy, as the API knows them.
var methods = map[pb.ShardTransferMethod]topology.TransferMethod{
	pb.ShardTransferMethod_StreamRecords: topology.StreamRecords,
	pb.ShardTransferMethod_Snapshot:      topology.Snapshot,
	pb.ShardTransferMethod_WalDelta:      topology.WALDelta,
}

// transfers describes the transfers of a collection.
func (m *Member) transfers(c *topology.Collection, known standings) (out []admin.Transfer) {
	for _, t := range c.Transfers {
		one := admin.Transfer{
			ShardTransferInfo: &pb.ShardTransferInfo{
				ShardId: t.Shard, ToShardId: t.ToShard, From: uint64(t.From), To: uint64(t.To), Sync: t.Sync,
			},
			Comment: t.Comment,
		}
		s, ok := known[t.Shard][t.To]
		name := t.Method
		if name == "" && ok {
			name = s.method() // nobody has named one: what it came to
		}
		for method, its := range methods {
			if its == name {
				one.Method = method.Enum()
			}
		}
		if ok && one.Comment == "" {
			one.Comment = s.comment(t.Method)
		}
		out = append(out, one)
	}
	return out
}

// method is how a copy gets what it lacks.
func (s standing) method() topology.TransferMethod {
	switch s.State {
	case replication.PeerFilling:
		return topology.Snapshot
	case replication.PeerSyncing, replication.PeerStreaming:
		return topology.WALDelta
	default:
		return ""
	}
}

// comment says how far a transfer is, in words that clients know: those of a snapshot are its stage and
// for how long that has been, those of the others how many records there are.
func (s standing) comment(asked topology.TransferMethod) string {
	stage := func(name string) string { return fmt.Sprintf("%s (%.1fs)", name, s.For.Seconds()) }
	switch s.State {
	case replication.PeerFilling:
		return stage("transferring")
	case replication.PeerSyncing:
		return stage("recovering")
	case replication.PeerStreaming:
		if asked == topology.Snapshot {
			return stage("finalizing")
		}
		return fmt.Sprintf("Transferring records (%d/%d)", s.Has, s.Has+s.Lag)
	default:
		return ""
	}
}
