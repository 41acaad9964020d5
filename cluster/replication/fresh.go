package replication

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// freshness decides whether a copy may be read. A write that was acknowledged as visible
// was applied on all copies in sync, so a copy that has been in sync since then has it.
// One that gets in sync has it too: the leader waits for that (judge). One that comes
// into an epoch out of sync, or in a new process, has it when it has applied all that was
// committed before.
type freshness struct {
	// from is what must be applied; known says that it is known.
	from  uint64
	known bool
}

// learn takes in, at the beginning of an epoch, what may have been committed so far at
// most. A copy that had all it needed before, and is in sync, has all it needs.
func (f *freshness) learn(seq, applied uint64, inSync bool) {
	if !f.known || !inSync || applied < f.from {
		f.from, f.known = seq, true
	}
}

// Role returns the copy's part in the present epoch.
func (r *Replica) Role() Role { return r.role }

// Leader returns who leads by the newest record known; 0 is nobody.
func (r *Replica) Leader() topology.PeerID {
	if r.cfg.Shard == nil {
		return 0
	}
	return r.cfg.Leader
}

// Epoch returns the highest epoch that the copy has adopted.
func (r *Replica) Epoch() uint64 { return r.log.epoch }

// Commit returns the last entry that is known to be committed and is durable here.
func (r *Replica) Commit() uint64 { return r.commit }

// Visible returns the last entry that is known to be applied on all copies in sync.
func (r *Replica) Visible() uint64 { return r.visible }

// Synced tells whether the copy's log is the leader's as far as it goes: it leads, or
// was welcomed in this epoch by this process.
func (r *Replica) Synced() bool {
	return r.role == Leader || r.role == Follower && r.follow.synced
}

// InSync returns the set of the newest record known. Don't change it.
func (r *Replica) InSync() []topology.PeerID {
	if r.cfg.Shard == nil {
		return nil
	}
	return r.cfg.InSync
}

// Readable tells whether the copy may be read: it has applied every write that was
// acknowledged as visible, as far as it can know without asking the leader.
func (r *Replica) Readable() bool {
	return r.damaged == nil && r.Synced() && slices.Contains(r.InSync(), r.opt.Self) &&
		r.fresh.known && r.applied >= r.fresh.from
}

// Damaged returns why the copy is to be set aside, nil if it isn't.
func (r *Replica) Damaged() error { return r.damaged }

// IsIdle tells whether the copy needs no Tick.
func (r *Replica) IsIdle() bool {
	_, ok := r.NextTick()
	return !ok
}

// Retain returns the first entry that a voter may still need from this log, as far as
// the copy knows; what is in front of it may be released when it is in files. A
// voter that hasn't said how far it is needs everything: whoever has too little
// room releases more, and that voter takes files.
func (r *Replica) Retain() uint64 {
	if r.role != Leader {
		return min(r.visible, r.applied) + 1
	}
	least := r.commit
	for i := range r.lead.peers {
		p := &r.lead.peers[i]
		if p.kind == topology.Listener {
			continue
		}
		if p.state != PeerStreaming {
			return r.log.first
		}
		least = min(least, p.durable)
	}
	return min(least, r.applied) + 1
}
