package member

import (
	"context"
	"fmt"
	"strings"

	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
)

// Dump describes the copies on this node, for tests that fail.
func (m *Member) Dump() string {
	var out strings.Builder
	for _, r := range m.open() {
		r.mu.Lock()
		fmt.Fprintf(&out, "%d shard %d: role %v epoch %d leader %d commit %d visible %d applied %d synced %v readable %v closed %v "+
			"filling %v storing %v disk %d applying %v damaged %v last %v durable %v recent %d\n",
			m.self.Peer, r.name.Shard, r.sm.Role(), r.sm.Epoch(), r.sm.Leader(), r.sm.Commit(), r.sm.Visible(), r.applied, r.sm.Synced(), r.sm.Readable(),
			r.closed, r.filling, r.storing, len(r.disk), r.applying, r.sm.Damaged(), r.stream.Last(), r.stream.Durable(), len(r.recent.entries))
		if r.config.Shard != nil {
			for _, x := range r.config.Replicas {
				if p, ok := r.sm.Progress(x.Peer); ok {
					fmt.Fprintf(&out, "   progress %d %+v\n", x.Peer, p)
				}
			}
		}
		r.mu.Unlock()
	}
	return out.String()
}

// Verify compares the copies of a shard that this node leads.
func (m *Member) Verify(ctx context.Context, name topology.ShardName) error {
	return m.verifyShard(ctx, m.replica(name))
}

// Lie makes this node's copy of a shard say something wrong about its state at the next entry.
func (m *Member) Lie(name topology.ShardName) {
	r := m.replica(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expect(r.stream.Last().Seq + 1) <- shard.Checksum{Sum: 1}
}

// Follows tells what a copy on this node lacks of its collection, for tests: nil when it has no copy,
// or one that isn't in sync.
func (m *Member) Follows(ctx context.Context, name topology.ShardName, c *topology.Collection) error {
	r := m.replica(name)
	if r == nil {
		return nil
	}
	s, err := r.readable()
	if err != nil {
		return nil //nolint:nilerr // as said
	}
	// What was visible when the caller asked is applied here.
	if err := s.WaitApplied(ctx, s.Applied()); err != nil {
		return err
	}
	info := s.Info()
	if ops := info.Lacking(c.Config, c.Schema); len(ops) > 0 {
		return fmt.Errorf("shard %d lacks %d changes, the first is %v", name.Shard, len(ops), ops[0])
	}
	return nil
}

// OnDisk tells whether this node's log has anything of a shard.
func (m *Member) OnDisk(name topology.ShardName) bool {
	for _, id := range m.data.Streams() {
		if n, _, ok := layout.Parse(id); ok && n == name {
			return true
		}
	}
	return false
}
