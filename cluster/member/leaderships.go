package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Drain implements admin.Desk. The controller does the rest.
func (a *Admin) Drain(ctx context.Context, id uint64, draining bool, timeout time.Duration) error {
	return a.change(ctx, timeout, topology.DrainPeer{Peer: topology.PeerID(id), Draining: draining})
}

// HandOver implements admin.Desk.
func (a *Admin) HandOver(ctx context.Context, id, to uint64, timeout time.Duration) error {
	ctx, cancel := within(ctx, timeout)
	defer cancel()
	p, next := topology.PeerID(id), topology.PeerID(to)
	for _, one := range []topology.PeerID{p, next} {
		if one != 0 && a.m.State().Peer(one) == nil {
			return apierror.New(apierror.BadRequest, "Peer %d does not exist", one)
		}
	}
	switch p {
	case next:
		return apierror.New(apierror.BadRequest, "Peer %d can't hand over to itself", p)
	case a.m.self.Peer:
		return a.m.handOver(ctx, next)
	}
	conn, err := a.m.pool.Peer(p)
	if err != nil {
		return err
	}
	data, err := json.Marshal(hand{To: next})
	if err != nil {
		return err
	}
	_, err = conn.Call(ctx, peer.Call{Kind: handOverNode, Request: data})
	return err
}

// handOver hands over what this node leads, the consensus last: the controller that runs with it
// carries on what the shards need. It goes to a peer, 0 is any.
func (m *Member) handOver(ctx context.Context, to topology.PeerID) error {
	if left := m.handOverAll(ctx); left > 0 {
		return apierror.New(apierror.Timeout, "%d shards are still led by peer %d, though other copies are in sync", left, m.self.Peer)
	}
	return m.handOverConsensus(ctx, to)
}

// Lead implements admin.Desk. The copy is preferred from then on, so that the balance of leaderships
// doesn't take from it what a user gave it.
func (a *Admin) Lead(ctx context.Context, req *admin.Lead) error {
	ctx, cancel := within(ctx, req.Timeout)
	defer cancel()
	c, err := a.collection(ctx, req.Collection)
	if err != nil {
		return err
	}
	name, to := topology.ShardName{Collection: c.Incarnation, Shard: req.Shard}, topology.PeerID(req.Peer)
	if sh := c.Shard(req.Shard); sh != nil && sh.Leader == 0 && req.AcceptDataLoss {
		_, err := a.m.Change(ctx, topology.ForceLeader{Shard: name, Peer: to, AcceptDataLoss: true})
		return err
	}
	if _, err := a.m.Change(ctx, topology.SetPreferred{Shard: name, Peer: to}); err != nil {
		return err
	}
	return a.m.awaitLeader(ctx, name, to)
}

// awaitLeader has a leadership handed over, and waits until it is. The leader may change meanwhile, and
// doesn't let go before the other copy has all it has.
func (m *Member) awaitLeader(ctx context.Context, name topology.ShardName, to topology.PeerID) error {
	s := &routed{m: m, name: name}
	return s.retry(ctx, fmt.Sprintf("be led by peer %d", to), func(sh *topology.Shard) (again bool, err error) {
		switch {
		case sh.Leader == to:
			return false, nil
		case !sh.IsInSync(to):
			return false, apierror.New(apierror.BadRequest, "Peer %d can't lead shard %d: its copy isn't in sync", to, name.Shard)
		}
		asked := m.askToHandOver(ctx, sh.Leader, hand{Shard: name, Epoch: sh.Epoch, To: to})
		return true, errors.Join(fmt.Errorf("it is led by peer %d", sh.Leader), asked)
	})
}

// askToHandOver asks the leader of a shard, or has one elected where there is none.
func (m *Member) askToHandOver(ctx context.Context, leader topology.PeerID, h hand) error {
	switch leader {
	case 0:
		_, err := m.Change(ctx, topology.ElectLeader{Shard: h.Shard, Epoch: h.Epoch, Preferred: h.To})
		return err
	case m.self.Peer:
		if own := m.replica(h.Shard); own != nil {
			own.handOver(h)
		}
		return nil
	}
	conn, err := m.pool.Peer(leader)
	if err != nil {
		return err
	}
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	_, err = conn.Call(ctx, peer.Call{Shard: h.Shard, Kind: handOverShard, Request: data})
	return err
}
