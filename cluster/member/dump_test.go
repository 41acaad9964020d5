package member

import "fmt"

// Dump describes the copies of this node.
func (m *Member) Dump() (out string) {
	for _, r := range m.open() {
		r.mu.Lock()
		out += fmt.Sprintf("%d shard %d: role %v epoch %d leader %d commit %d visible %d applied %d synced %v readable %v closed %v filling %v storing %v disk %d applying %v damaged %v last %v durable %v cfg e%d v%d recent %d end %v\n",
			m.self.Peer, r.name.Shard, r.sm.Role(), r.sm.Epoch(), r.sm.Leader(), r.sm.Commit(), r.visible, r.applied, r.sm.Synced(), r.sm.Readable(), r.closed, r.filling, r.storing, len(r.disk), r.applying, r.sm.Damaged(), r.stream.Last(), r.stream.Durable(), r.config.Epoch, r.config.Version, len(r.recent.entries), r.recent.end)
		if r.config.Shard != nil {
			for _, x := range r.config.Replicas {
				if p, ok := r.sm.Progress(x.Peer); ok {
					out += fmt.Sprintf("   progress %d %+v\n", x.Peer, p)
				}
			}
		}
		r.mu.Unlock()
	}
	return out
}
