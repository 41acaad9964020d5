package simulation

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/replication"
)

// verdict is what a request came to.
type verdict uint8

const (
	// taken: a read may take place when seq is applied.
	taken verdict = iota
	// done: a write is committed, or visible, as was asked.
	done
	// moved: the leader is another one, and it isn't known what became of the write.
	moved
	// elsewhere: the leader is another one, and the write wasn't taken.
	elsewhere
	// refused: it can't be taken.
	refused
)

// request is a write or a read on its way through the state machine.
type request struct {
	seq, token uint64
	// wait says that the write is to be visible.
	wait   bool
	ended  bool
	answer func(v verdict, seq uint64)
	// op is the write's, change what it is.
	op replication.OpID
}

// end answers, not at once: whoever asked may ask again.
func (r *replica) end(q *request, v verdict, seq uint64) {
	if !q.ended {
		q.ended = true
		r.p.n.w.after(0, func() { q.answer(v, seq) })
	}
}

// propose hands a write to the state machine.
func (r *replica) propose(op replication.OpID, body []byte, wait bool, answer func(verdict, uint64)) {
	r.lastToken++
	q := &request{wait: wait, answer: answer, op: op, token: r.lastToken}
	if r.closed {
		r.end(q, elsewhere, 0)
		return
	}
	r.asked[q.token] = q
	r.step(replication.Propose{Token: q.token, Entry: replication.Entry{Kind: replication.Data, Op: op, Body: body}})
}

// readIndex asks which entry a linearizable read must see.
func (r *replica) readIndex(answer func(verdict, uint64)) {
	r.lastToken++
	q := &request{answer: answer, token: r.lastToken}
	if r.closed {
		r.end(q, elsewhere, 0)
		return
	}
	r.asked[q.token] = q
	r.step(replication.ReadIndex{Token: q.token})
}

// settle tells requests what the state machine said about them.
func (r *replica) settle(fx *replication.Effects) {
	w := r.p.n.w
	for _, t := range fx.Took {
		if q := r.asked[t.Token]; q != nil {
			delete(r.asked, t.Token)
			q.seq = t.Seq
			r.enlist(q)
		}
		w.tally["took"]++
		if t.Again {
			w.tally["again"]++
		}
	}
	for _, t := range fx.ReadReady {
		if q := r.asked[t.Token]; q != nil {
			delete(r.asked, t.Token)
			r.end(q, taken, t.Commit)
		}
	}
	for _, t := range fx.Rejected {
		r.reject(t)
	}
	r.acknowledge()
	if len(r.taken) > 0 && r.sm.Role() != replication.Leader {
		r.lose()
	}
}

// acknowledge ends the requests that have what they wait for.
func (r *replica) acknowledge() {
	var ended []*request
	r.taken = slices.DeleteFunc(r.taken, func(q *request) bool {
		if q.seq <= r.visible || !q.wait && q.seq <= r.commit {
			ended = append(ended, q)
			return true
		}
		return false
	})
	for _, q := range ended {
		r.p.n.w.acknowledged(r, q)
		r.end(q, done, q.seq)
	}
}

// enlist keeps the order of the log: a write that was done before stands in front.
func (r *replica) enlist(q *request) {
	at := len(r.taken)
	for at > 0 && r.taken[at-1].seq > q.seq {
		at--
	}
	r.taken = slices.Insert(r.taken, at, q)
}

// reject fails a request.
func (r *replica) reject(t replication.Rejected) {
	v := refused
	switch t.Reason {
	case replication.NotLeader:
		v = elsewhere
	case replication.LostLeadership:
		v = moved
	default:
	}
	r.p.n.w.tally["rejected"]++
	if q := r.asked[t.Token]; q != nil {
		delete(r.asked, t.Token)
		r.end(q, v, 0)
		return
	}
	if at := slices.IndexFunc(r.taken, func(q *request) bool { return q.token == t.Token }); at >= 0 {
		q := r.taken[at]
		r.taken = slices.Delete(r.taken, at, at+1)
		r.end(q, v, 0)
	}
}

// lose fails all writes that have a place: this copy doesn't hear any more what becomes of
// them.
func (r *replica) lose() {
	lost := r.taken
	r.taken = nil
	for _, q := range lost {
		if !q.wait && q.seq <= r.commit {
			r.p.n.w.acknowledged(r, q)
			r.end(q, done, q.seq)
			continue
		}
		r.end(q, moved, 0)
	}
}

// failAsked fails what waits for an answer of the state machine.
func (r *replica) failAsked() {
	for token := range r.lastToken + 1 {
		if q := r.asked[token]; q != nil {
			delete(r.asked, token)
			r.end(q, elsewhere, 0)
		}
	}
}
