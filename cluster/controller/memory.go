package controller

import "github.com/sextantdb/sextant/cluster/topology"

// memory is what was decided and doesn't show in the topology yet, or has failed before.
// It has entries only for shards that something happens to.
type memory struct {
	pending  map[topology.ShardName]pending
	attempts map[copyName]attempt
	progress map[copyName]progress
	// pass numbers the passes.
	pass uint64
}

// copyName names a copy by its node, or (lead) its leadership.
type copyName struct {
	shard topology.ShardName
	peer  topology.PeerID
	lead  bool
}

// pending is an action on a shard that hasn't shown yet.
type pending struct {
	action  Action
	version uint64
	until   Now
}

// attempt counts how often a copy was asked for, or a leadership.
type attempt struct {
	n    int
	next Now
}

// progress is how far a transfer to a copy is.
type progress struct {
	bytes uint64
	at    Now
	// pass is the last pass that saw the transfer.
	pass uint64
}

func newMemory() memory {
	return memory{
		pending: map[topology.ShardName]pending{}, attempts: map[copyName]attempt{}, progress: map[copyName]progress{},
	}
}

// progressed takes note of how far a node's transfers are.
func (m *memory) progressed(now Now, p topology.PeerID, list []Progress) {
	for _, e := range list {
		k := copyName{shard: e.Shard, peer: p}
		if old, ok := m.progress[k]; ok && e.Bytes > old.bytes {
			old.bytes, old.at = e.Bytes, now
			m.progress[k] = old
		}
	}
}

// moving returns since when a transfer, which the pass at hand sees, makes no progress.
func (m *memory) moving(now Now, k copyName) Now {
	p, ok := m.progress[k]
	if !ok {
		p.at = now
	}
	p.pass = m.pass
	m.progress[k] = p
	return p.at
}

// mayTry tells whether a copy may be asked for (again).
func (m *memory) mayTry(now Now, k copyName) bool {
	return len(m.attempts) == 0 || now >= m.attempts[k].next
}

// try counts an attempt.
func (m *memory) try(now Now, k copyName, opt *Options) {
	a := m.attempts[k]
	wait := opt.MaxBackoff
	if a.n < 20 {
		wait = min(wait, opt.Backoff<<a.n)
	}
	m.attempts[k] = attempt{n: a.n + 1, next: now + wait}
}

// underWay returns an action on the shard that still has to show.
func (m *memory) underWay(now Now, name topology.ShardName, sh *topology.Shard) (Action, bool) {
	if len(m.pending) == 0 {
		return nil, false
	}
	p, ok := m.pending[name]
	if !ok || now >= p.until {
		return nil, false
	}
	switch a := p.action.(type) {
	case Hand:
		// The record changes for other reasons, too.
		return a, sh.Epoch == a.Epoch
	case Replicate:
		// A quick transfer is over before it was seen.
		return a, !sh.IsInSync(a.To)
	default:
		return a, sh.Version == p.version
	}
}

// forget drops what is over. It goes through maps in any order, which nobody can tell.
func (m *memory) forget(now Now, opt *Options) {
	for k, p := range m.pending {
		if now >= p.until {
			delete(m.pending, k)
		}
	}
	for k, a := range m.attempts {
		if now > a.next+2*opt.MaxBackoff {
			delete(m.attempts, k)
		}
	}
	for k, p := range m.progress {
		if p.pass != m.pass {
			delete(m.progress, k)
		}
	}
}
