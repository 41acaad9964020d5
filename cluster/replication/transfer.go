package replication

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// handing is a leadership on its way to another copy. The leader takes no writes until
// the other one has all, and then proposes it. If that takes too long it goes on leading;
// a proposal that is taken late does no harm.
type handing struct {
	// to is who is to lead, 0 for nobody.
	to    topology.PeerID
	until Now
	// asked says that it was proposed.
	asked bool
	// again is when a leader whose disk is full tries again.
	again Now
}

func (h *handing) stopped() bool { return h.to != 0 }

// startTransfer begins to hand over, if there is somebody.
func (r *Replica) startTransfer(to topology.PeerID) {
	l := &r.lead
	if r.role != Leader || l.over || l.handing.to != 0 || l.change.open {
		return
	}
	var best *peer
	for i := range l.peers {
		p := &l.peers[i]
		if !p.inSync || p.fenced || p.full || p.slow || r.links.of(p.id) != nil || p.state != PeerStreaming || to != 0 && p.id != to {
			continue
		}
		if best == nil || p.id == r.cfg.Preferred || best.id != r.cfg.Preferred && p.durable > best.durable {
			best = p
		}
	}
	if best != nil {
		l.handing = handing{to: best.id, until: r.now + r.opt.TransferFor, again: l.handing.again}
	}
}

// advanceTransfer proposes the new leader when it has all, and gives up in time.
func (r *Replica) advanceTransfer(fx *Effects) {
	l := &r.lead
	h := &l.handing
	if h.to == 0 {
		return
	}
	p := r.peer(h.to)
	if r.now >= h.until || p == nil || !p.inSync || p.fenced {
		if h.asked {
			l.change.open = false // The set in it is the record's: nothing to count.
			l.change.union = l.change.union[:0]
		}
		*h = handing{again: h.again}
		return
	}
	// A leader whose disk is full may never commit what it has taken; the other will.
	if last := r.log.last.Seq; !h.asked && r.settledEpoch() && p.durable == last && (r.commit == last || r.full) {
		h.asked = true
		r.alter(Alter{InSync: slices.Clone(r.cfg.InSync), Leader: h.to}, fx)
	}
}
