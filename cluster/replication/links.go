package replication

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// LinkDown says: a peer can't be reached from here. A copy that owes something and can't be
// reached isn't waited for as long as one that is slow.
type LinkDown struct {
	Peer topology.PeerID
	// Incarnation is the process that was reached last, 0 when none ever was.
	Incarnation uint64
	// Since is when it was heard of last, Refused says that nobody listens there: that
	// process is gone.
	Since   Now
	Refused bool
}

// LinkUp says: a process of a peer is reached (again).
type LinkUp struct {
	Peer        topology.PeerID
	Incarnation uint64
}

func (LinkDown) isEvent() {}
func (LinkUp) isEvent()   {}

// links are the peers that can't be reached. They outlast epochs.
type links []LinkDown

func (l links) of(p topology.PeerID) *LinkDown {
	for i := range l {
		if l[i].Peer == p {
			return &l[i]
		}
	}
	return nil
}

func (l *links) down(ev LinkDown) {
	if old := l.of(ev.Peer); old != nil {
		*old = ev
		return
	}
	*l = append(*l, ev)
}

func (l *links) up(p topology.PeerID) {
	*l = slices.DeleteFunc(*l, func(d LinkDown) bool { return d.Peer == p })
}

// died tells whether the process of a copy is known to be gone.
func (r *Replica) died(p *peer) bool {
	d := r.links.of(p.id)
	return d != nil && d.Refused && d.Incarnation == p.incarnation
}

// givenUp returns when a copy that owes something is to lose its seat because its node
// can't be reached; ok is false when it can be.
func (r *Replica) givenUp(p *peer) (at Now, ok bool) {
	d := r.links.of(p.id)
	switch {
	case d == nil:
		return 0, false
	case r.died(p):
		return 0, true
	}
	since := d.Since
	if d.Incarnation != p.incarnation {
		since = max(since, p.seatedAt) // The new process may not have been dialled yet.
	}
	if r.cutFromMost() {
		return since + r.opt.CutOffAfter, true
	}
	return since + r.opt.LinkAfter, true
}

// cutFromMost tells whether most of the others in sync, and more than one, live and can't be
// reached: then it may be this node that is cut off.
func (r *Replica) cutFromMost() bool {
	cut, all := 0, 0
	for i := range r.lead.peers {
		p := &r.lead.peers[i]
		if !p.inSync {
			continue
		}
		all++
		if r.links.of(p.id) != nil && !r.died(p) {
			cut++
		}
	}
	return cut > 1 && 2*cut > all
}
