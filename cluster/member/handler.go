package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/cluster/transfer"
	"github.com/sextantdb/sextant/internal/apierror"
)

// desk answers other nodes.
type desk struct{ m *Member }

// Handler is what answers other nodes, for the p2p door.
func (m *Member) Handler() peer.Handler { return desk{m} }

// Latest returns the highest incarnation of a peer that the topology knows, 0 for none.
func (m *Member) Latest(id topology.PeerID) uint64 {
	if p := m.State().Peer(id); p != nil {
		return p.Incarnation
	}
	return 0
}

// OnRaft implements peer.Handler.
func (d desk) OnRaft(_ peer.From, messages [][]byte) {
	for _, data := range messages {
		msg := &raftpb.Message{}
		if err := proto.Unmarshal(data, msg); err != nil {
			d.m.log.Warn("a message of the consensus can't be read", "error", err)
			continue
		}
		d.m.group.Step(msg)
	}
}

// OnReplication implements peer.Handler.
func (d desk) OnReplication(_ peer.From, envelopes []replication.Envelope) {
	for _, e := range envelopes {
		if r := d.m.replica(e.Shard); r != nil {
			r.step(replication.Received{Envelope: e})
		}
	}
}

// replica returns the copy of a shard on this node, nil when there is none.
func (m *Member) replica(name topology.ShardName) *replica {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.replicas[name]
}

// Join implements peer.Handler: the node is made known with its address, then a member of the
// consensus. It registers itself when it has caught up. A peer that is known, and has lost its part
// in the consensus or thrown it away, has copies: it registers first, which says where it is.
func (d desk) Join(ctx context.Context, j peer.Join) (peer.Joined, error) {
	m := d.m
	if _, err := address(j.URI); err != nil {
		return peer.Joined{}, err
	}
	switch known := m.State().Peer(j.Peer); {
	case known == nil:
		// The address must be known before the first message to the new member.
		if _, err := m.Change(ctx, topology.RegisterPeer{
			Peer: j.Peer, URI: j.URI, Incarnation: j.Incarnation, Zone: j.Zone, Version: j.Version,
		}); err != nil {
			return peer.Joined{}, err
		}
	case j.Incarnation < known.Incarnation:
		return peer.Joined{}, apierror.New(apierror.Precondition, "Peer %d is registered with incarnation %d, this is %d",
			j.Peer, known.Incarnation, j.Incarnation)
	case slices.Contains(m.group.Status().Voters, j.Peer):
		return peer.Joined{}, apierror.New(apierror.Precondition, "Peer %d has a vote in the consensus, and its node asks to join: "+
			"it has lost what it promised. Remove the peer, then let the node join with an empty directory, as another peer", j.Peer)
	}
	if err := m.group.AddLearner(ctx, j.Peer); err != nil {
		return peer.Joined{}, fmt.Errorf("add node %d to the consensus: %w", j.Peer, err)
	}
	out := peer.Joined{Cluster: m.self.Cluster}
	for _, p := range m.State().Peers() {
		if p.IsBehind() {
			continue
		}
		out.Members = append(out.Members, peer.Member{Peer: p.ID, URI: p.URI})
	}
	return out, nil
}

// Heartbeat implements peer.Handler.
// It tells a node that was removed, which may not have heard.
func (d desk) Heartbeat(_ context.Context, from peer.From, h peer.Heartbeat) (peer.HeartbeatAnswer, error) {
	if d.m.State().Removed(from.Peer) {
		return peer.HeartbeatAnswer{}, apierror.New(apierror.Precondition, "%w", errRemoved)
	}
	var r report
	if err := json.Unmarshal(h.Digest, &r); err != nil {
		return peer.HeartbeatAnswer{}, apierror.New(apierror.BadInput, "heartbeat: %w", err)
	}
	todo := d.m.boss.heard(controller.Process{Peer: from.Peer, Incarnation: h.Incarnation}, r)
	answer, err := json.Marshal(todo)
	return peer.HeartbeatAnswer{Leader: d.m.group.Status().Leader, Answer: answer}, err
}

// Call implements peer.Handler.
func (d desk) Call(ctx context.Context, _ peer.From, r peer.Call) ([]byte, error) {
	switch r.Kind {
	case describeNode:
		return json.Marshal(d.m.ownAnswer())
	case describeCopies:
		c := d.m.State().Incarnation(r.Shard.Collection)
		if c == nil {
			return nil, apierror.New(apierror.NotFound, "the collection is not known here")
		}
		return json.Marshal(d.m.standings(c))
	case handOverNode:
		var h hand
		if len(r.Request) > 0 {
			if err := json.Unmarshal(r.Request, &h); err != nil {
				return nil, apierror.New(apierror.BadInput, "hand over: %w", err)
			}
		}
		return nil, d.m.handOver(ctx, h.To)
	}
	own := d.m.replica(r.Shard)
	if own == nil && (r.Kind == awaitAdapted || r.Kind == handOverShard) {
		return nil, elsewhere(&shardcall.Moved{})
	}
	if own == nil {
		return shardcall.Fail(&shardcall.Moved{}), nil
	}
	switch r.Kind {
	case checksumRead:
		return own.answerChecksum(ctx, r.At)
	case awaitAdapted:
		return nil, elsewhere(d.m.awaitAdapted(ctx, own, r.At))
	case handOverShard:
		var h hand
		if err := json.Unmarshal(r.Request, &h); err != nil {
			return nil, apierror.New(apierror.BadInput, "hand over: %w", err)
		}
		own.handOver(h)
		return nil, nil
	case confirmedRead:
		if err := own.confirm(ctx); err != nil {
			return shardcall.Fail(err), nil
		}
	}
	return shardcall.Serve(ctx, own, r.Request)
}

// Status implements peer.Handler.
func (d desk) Status(context.Context) (peer.Status, error) {
	s := d.m.group.Status()
	return peer.Status{Identity: d.m.Identity(), Version: Version, Leader: s.Leader, Term: s.Term, Applied: s.Applied}, nil
}

// SendFiles implements peer.Handler.
func (d desk) SendFiles(ctx context.Context, _ peer.From, r transfer.Request, send func(transfer.Chunk) error) error {
	err := d.m.exports.Send(ctx, r, send)
	if errors.Is(err, context.Canceled) {
		return ctx.Err()
	}
	return err
}
