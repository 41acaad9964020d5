package replication

import "github.com/sextantdb/sextant/cluster/topology"

// reads are the linearizable reads of a leader (R13). They go in rounds: those that come
// while one is asked about wait for the next.
type reads struct {
	// round is the number of the last one, running says that it isn't over.
	round   uint64
	running bool
	// commit is what its reads see, at when it was asked (again).
	commit uint64
	at     Now
	// asked are its reads, waiting those of the next.
	asked, waiting []uint64
}

func (r *Replica) readIndex(token uint64, fx *Effects) {
	q := &r.lead.reads
	switch {
	case r.role != Leader || r.lead.over:
		r.reject(fx, token, NotLeader)
	case len(q.asked)+len(q.waiting) >= r.opt.Reads:
		r.reject(fx, token, Overloaded)
	default:
		q.waiting = append(q.waiting, token)
	}
}

// wait tells whether a round waits for a copy.
func (q *reads) wait(p *peer) bool { return q.running && p.confirmed < q.round }

// advanceReads ends the round that is confirmed and begins the next.
func (r *Replica) advanceReads(fx *Effects) {
	q := &r.lead.reads
	if q.running && r.now >= q.at+r.opt.RetryAfter {
		q.at = r.now
		r.askAll(fx)
	}
	for {
		if q.running {
			if r.least(q.round, func(p *peer) uint64 { return p.confirmed }) < q.round {
				return
			}
			for _, t := range q.asked {
				fx.ReadReady = append(fx.ReadReady, ReadReady{Token: t, Commit: q.commit})
			}
			q.running, q.asked = false, q.asked[:0]
		}
		if len(q.waiting) == 0 || !r.settledEpoch() {
			return
		}
		q.asked, q.waiting = q.waiting, q.asked
		q.round++
		q.running, q.commit, q.at = true, r.commit, r.now
		r.askAll(fx)
	}
}

// askAll asks every member of the largest set that hasn't confirmed the round.
func (r *Replica) askAll(fx *Effects) {
	for i := range r.lead.peers {
		if p := &r.lead.peers[i]; p.confirmed < r.lead.reads.round && r.counts(p.id) {
			r.send(fx, p.id, Confirm{Round: r.lead.reads.round})
		}
	}
}

// counts tells whether a peer is in the largest set.
func (r *Replica) counts(id topology.PeerID) bool {
	return r.cfg.IsInSync(id) || r.lead.change.has(id)
}
