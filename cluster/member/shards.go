package member

import (
	"context"
	"fmt"
	"time"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Shards are the shards of the cluster as the front desk uses them: it implements
// coordinator.Shards.
type Shards struct{ m *Member }

// Shards returns the shards of the cluster.
func (m *Member) Shards() *Shards { return &Shards{m} }

// Place says which nodes hold the shards of a new collection, in their order.
func (s *Shards) Place(ctx context.Context, t *topology.Collection) ([][]topology.PeerID, error) {
	return s.m.place(ctx, t.Name, len(t.Shards), int(max(1, t.Config.GetParams().GetReplicationFactor())), nil)
}

// place says which nodes are to hold new shards of a collection: those of pool, or any that is there now.
// A node that has just been lost may not count as gone yet, and what is placed on it waits for it.
func (m *Member) place(ctx context.Context, collection string, shards, factor int, pool []topology.PeerID) ([][]topology.PeerID, error) {
	m.awaitPart(ctx)
	state := m.State()
	var ids []topology.PeerID
	if len(pool) == 0 {
		for _, p := range state.Peers() {
			ids = append(ids, p.ID)
		}
	}
	answers := askPeers[admin.PeerAnswer](ctx, m, ids, topology.ShardName{}, describeNode)
	copies := copiesOf(state)
	var peers []placement.Peer
	for _, p := range state.Peers() {
		silent := len(pool) == 0 && p.ID != m.self.Peer && answers[p.ID] == nil
		peers = append(peers, placement.Peer{
			ID: p.ID, Zone: p.Zone, Replicas: copies[p.ID], Leads: state.Led(p.ID), Closed: p.Fenced || p.Draining || silent,
		})
	}
	return placement.Place(placement.Request{
		Shards: shards, Copies: factor, Pool: pool, Seed: collection,
	}, peers)
}

// partLimit is how long a request waits for this node's registration.
const partLimit = 5 * time.Second

// awaitPart waits until this node is registered, in a cluster that it has just founded, joined, or come
// back to: it answers a moment before. What comes of a wait in vain is what the topology says then.
func (m *Member) awaitPart(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, partLimit)
	defer cancel()
	_ = m.machine.wait(ctx, func(v *view) bool {
		p := v.Peer(m.self.Peer)
		return p != nil && !p.Fenced || m.removed() != nil
	})
}

// copiesOf counts the copies that nodes have, or are to have.
func copiesOf(state *topology.State) map[topology.PeerID]int {
	copies := map[topology.PeerID]int{}
	for _, c := range state.Collections() {
		for _, sh := range c.Shards {
			for _, r := range sh.Replicas {
				copies[r.Peer]++
			}
		}
	}
	return copies
}

// Open implements coordinator.Shards.
func (s *Shards) Open(_ context.Context, t *topology.Collection, id uint32) (shardcall.Shard, error) {
	name := topology.ShardName{Collection: t.Incarnation, Shard: id}
	return &routed{m: s.m, name: name, ops: s.m.opsOf(name)}, nil
}

// Release implements coordinator.Shards: copies live as long as the topology wants it.
func (s *Shards) Release(shardcall.Shard) error { return nil }

// Remove implements coordinator.Shards: every node removes what it has by itself.
func (s *Shards) Remove(context.Context, string, string) (gone bool, err error) { return false, nil }

// Ready implements coordinator.Shards: every shard has a leader, and all copies are there but for
// those of nodes that are gone. A shard whose nodes are all gone isn't waited for.
func (s *Shards) Ready(ctx context.Context, t *topology.Collection) error {
	err := s.m.machine.wait(ctx, func(v *view) bool {
		c := v.Incarnation(t.Incarnation)
		if c == nil {
			return true // deleted meanwhile
		}
		for _, sh := range c.Shards {
			if !usable(v.State, sh) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return apierror.New(apierror.Timeout, "Collection `%s` exists, but not all of its copies are there yet: %w", t.Name, err)
	}
	return nil
}

func usable(state *topology.State, sh *topology.Shard) bool {
	hopeless := true
	for _, r := range sh.Replicas {
		p := state.Peer(r.Peer)
		if r.Kind != topology.Voter || p == nil || p.Fenced {
			continue
		}
		if !r.Created {
			return false
		}
		hopeless = false
	}
	return sh.Leader != 0 || hopeless
}

// Adapt implements coordinator.Shards: the leader of the shard makes it follow the topology, whose
// change is agreed on already; here it is waited for.
func (s *Shards) Adapt(_ context.Context, sh shardcall.Shard, t *topology.Collection, _ shard.Op, _ shardcall.Write) (shardcall.Ticket, error) {
	r, ok := sh.(*routed)
	if !ok {
		return nil, fmt.Errorf("a shard of the cluster is a %T", sh)
	}
	return &adapting{s: r, version: t.SchemaVersion}, nil
}

// Close implements coordinator.Shards.
func (s *Shards) Close() error { return s.m.Close() }
