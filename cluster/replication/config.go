package replication

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// configure takes in what the topology says.
func (r *Replica) configure(c Config, fx *Effects) {
	if !r.isNews(&c) {
		return
	}
	c.MinInSync = max(c.MinInSync, 1)
	old := r.cfg
	r.cfg = c
	mine, part := r.cfg.Replica(r.opt.Self)
	r.part = part && mine.Alloc == r.opt.Alloc && mine.Created && c.Incarnations[r.opt.Self] == r.opt.Incarnation
	again := r.part && old.Shard != nil && r.role != NoRole && c.Epoch == old.Epoch
	if !again {
		r.resign(fx)
		if r.part {
			r.enter(fx)
		}
	} else if r.role == Leader {
		r.setPeers()
	}
}

// isNews tells whether a record is new to this process, and not older than its
// registration (R1) or than what it has adopted (R2). The same version may come again
// with other incarnations or fences.
func (r *Replica) isNews(c *Config) bool {
	if c.Shard == nil || c.Incarnations[r.opt.Self] < r.opt.Incarnation || c.Epoch < r.log.epoch {
		return false
	}
	return r.cfg.Shard == nil || c.Epoch >= r.cfg.Epoch && c.Version >= r.cfg.Version
}

// enter begins the copy's part in the record's epoch. The epoch is stored first (R2): no
// message leaves before that, and entries are behind it on disk.
func (r *Replica) enter(fx *Effects) {
	leads := r.cfg.Leader == r.opt.Self
	if leads && r.cfg.Epoch > r.led && !r.follow.filling {
		r.beLeader(fx)
		return
	}
	if r.cfg.Epoch > r.log.epoch {
		r.log.adopt(r.cfg.Epoch, 0, fx)
	}
	switch {
	case r.cfg.Leader != 0 && !leads:
		r.role = Follower
		r.beFollower(fx)
	case leads && r.follow.filling:
		// It was chosen although it isn't in sync (R15): as soon as the files are there, or
		// aren't to come, it leads with what it has.
		r.askForFiles(0, 0, fx)
	}
}

// leadNow begins to lead after all in an epoch in which the copy couldn't.
func (r *Replica) leadNow(fx *Effects) {
	if r.role == NoRole && r.part && r.cfg.Leader == r.opt.Self && r.cfg.Epoch == r.log.epoch && r.cfg.Epoch > r.led {
		r.beLeader(fx)
	}
}

// resign ends the copy's part in its epoch.
func (r *Replica) resign(fx *Effects) {
	was := r.role
	r.role = NoRole
	if was == Leader {
		r.loseLeadership(fx)
	}
	r.follow.leave()
}

// isFenced tells whether a peer counts as gone.
func (r *Replica) isFenced(p topology.PeerID) bool { return slices.Contains(r.cfg.Fenced, p) }

// receive takes a message. It counts only if epoch, process and copy are those of the
// record (R4).
func (r *Replica) receive(e *Envelope, fx *Effects) error {
	if e.To != r.opt.Self || e.Shard != r.opt.Shard || e.ToIncarnation != 0 && e.ToIncarnation != r.opt.Incarnation ||
		r.cfg.Shard == nil {
		return nil
	}
	if m, ok := e.Message.(Refused); ok {
		r.onRefused(e, m)
		return nil
	}
	if e.Epoch < r.log.stored {
		r.refuse(e, fx)
		return nil
	}
	if e.Epoch != r.log.epoch || r.role == NoRole {
		return nil
	}
	from, ok := r.cfg.Replica(e.From)
	if !ok || from.Alloc != e.FromAlloc || e.FromIncarnation < r.cfg.Incarnations[e.From] {
		r.refuse(e, fx)
		return nil
	}
	if !from.Created || e.FromIncarnation != r.cfg.Incarnations[e.From] {
		return nil // The record that says so is still to come.
	}
	if r.role == Leader {
		r.hear(e)
		return nil
	}
	if e.From != r.cfg.Leader {
		return nil
	}
	return r.obey(e, fx)
}

func (r *Replica) refuse(e *Envelope, fx *Effects) {
	r.send(fx, e.From, Refused{Epoch: r.log.stored})
	m := &fx.Messages[len(fx.Messages)-1]
	m.Epoch, m.ToIncarnation = e.Epoch, e.FromIncarnation
}

// onRefused: somebody has adopted a higher epoch than the leader's, so its leadership has
// ended: it doesn't know yet, but shouldn't take what it can't commit.
func (r *Replica) onRefused(e *Envelope, m Refused) {
	if r.role == Leader && e.Epoch == r.log.epoch && m.Epoch > r.log.epoch {
		r.lead.over = true
	}
}
