package replication

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// least returns the least of what all members of the largest set have, by own for this
// copy and by of for others: those in sync by the record, those in a change that may
// have been taken (R5, R6), and those that are awaited (R7).
func (r *Replica) least(own uint64, of func(*peer) uint64) uint64 {
	least := own
	for _, set := range [2][]topology.PeerID{r.cfg.InSync, r.lead.change.union} {
		for _, id := range set {
			if id == r.opt.Self {
				continue
			}
			p := r.peer(id)
			if p == nil {
				return 0
			}
			least = min(least, of(p))
		}
	}
	for i := range r.lead.peers {
		if p := &r.lead.peers[i]; p.awaited {
			least = min(least, of(p))
		}
	}
	return least
}

// advanceCommit commits what all members of the largest set have on disk (R5).
func (r *Replica) advanceCommit(fx *Effects) {
	if !r.cfg.IsInSync(r.opt.Self) {
		return
	}
	c := r.least(r.log.durable, func(p *peer) uint64 { return p.durable })
	r.lead.held = max(r.lead.held, c)
	if c <= r.commit || len(r.cfg.InSync) < r.cfg.MinInSync {
		return
	}
	r.commit, fx.Commit = c, c
	n := 0
	for n < len(r.lead.waiting) && r.lead.waiting[n].seq <= c {
		n++
	}
	r.lead.waiting = slices.Delete(r.lead.waiting, 0, n)
}

// advanceVisible notes what all members of the largest set have applied.
func (r *Replica) advanceVisible(fx *Effects) {
	if !r.cfg.IsInSync(r.opt.Self) {
		return
	}
	v := min(r.commit, r.least(r.applied, func(p *peer) uint64 { return p.applied }))
	if v > r.visible {
		r.visible, fx.Visible = v, v
	}
}

// mayJoin tells whether copies may join the set: those in it have the epoch's barrier. With
// as many in sync as the collection demands that is to say that it is committed (R7); with
// fewer nothing is, and would never be if nobody could join.
func (r *Replica) mayJoin() bool { return r.lead.barrier != 0 && r.lead.held >= r.lead.barrier }

// settledEpoch tells whether the epoch's barrier is committed, and with it all that was
// committed before.
func (r *Replica) settledEpoch() bool { return r.lead.barrier != 0 && r.commit >= r.lead.barrier }
