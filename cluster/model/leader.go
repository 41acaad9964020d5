package model

import "math/bits"

// lead is what node i does as the leader of r's epoch.
func (x *step) lead(i int, r *record) {
	x.write(i, r)
	x.store(i)
	x.commit(i, r)
	x.proposeLess(i, r)
	x.proposeMore(i, r)
	if x.bounds.Reads {
		x.readStart(i, r)
		x.confirm(i, r)
		x.readEnd(i, r)
	}
}

// write: a client's operation gets a place in the log, for the first time or again.
func (x *step) write(i int, r *record) {
	n := &x.from.nodes[i]
	if int(n.disk.log.n) >= x.bounds.Log {
		return
	}
	for op := uint8(1); int(op) <= x.bounds.Ops; op++ {
		// The operations are alike: they come in their order.
		if op > 1 && x.from.tries[op-1] == 0 {
			break
		}
		if int(x.from.tries[op]) >= x.bounds.Tries || x.known(n, op) {
			continue
		}
		t := x.begin()
		t.tries[op]++
		d := &t.nodes[i].disk
		d.log.append(newEntry(r.epoch, op))
		if !x.bounds.LazyDisk {
			d.durable = d.log.n
		}
		t.epochs[r.epoch].log = d.log
		x.end(Action{Kind: Write, Node: uint8(i), Number: op, Epoch: r.epoch})
	}
}

// known tells whether the leader knows an operation: from the table of applied ones or
// from the rest of its log.
func (x *step) known(n *node, op uint8) bool {
	applied := n.disk.log.has(op, 0, n.commit) && !x.off(DedupeOff|DedupeLogOnly)
	waiting := n.disk.log.has(op, n.commit, n.disk.log.n) && !x.off(DedupeOff|DedupeAppliedOnly)
	return applied || waiting
}

// store: the leader's own disk has what it wrote.
func (x *step) store(i int) {
	d := &x.from.nodes[i].disk
	if d.durable == d.log.n {
		return
	}
	t := x.begin()
	t.nodes[i].disk.durable = d.log.n
	x.end(Action{Kind: Store, Node: uint8(i)})
}

// counted is the largest set (R5).
func (x *step) counted(i int, r *record) uint8 {
	p := x.from.nodes[i].pending
	switch {
	case p != 0 && x.off(R5OnlyProposed):
		return p
	case x.off(R5OnlyRecord):
		return r.inSync
	default:
		return r.inSync | p
	}
}

// progress is how far leader i may believe node j to be, plus one; 0 is that it hasn't
// answered. Whatever was answered may have arrived, and less never allows more, so what
// has arrived isn't kept apart. An answer of an earlier process of the same copy counts:
// the rules are stricter (R4), and needn't be.
func (x *step) progress(s *State, i, j int) uint8 {
	r := s.view(i)
	best := s.strays.progress[i][j]
	for e := uint8(1); int(e) <= x.bounds.Epochs; e++ {
		if e != r.epoch && !x.off(R4AnyEpoch) {
			continue
		}
		for k, n := range s.epochs[e].answers[j] {
			if uint8(k)+1 == r.alloc[j] || x.off(R4AnyCopy) {
				best = max(best, n)
			}
		}
	}
	return best
}

// barrier tells whether everything from before the epoch is committed: its barrier is. The
// barrier itself isn't modelled, nor that it takes answers to commit it: that would only
// delay the leader.
func (x *step) barrier(i int, r *record) bool {
	return x.from.nodes[i].commit >= x.from.epochs[r.epoch].start
}

// commit: the next entry is stored everywhere it must be (R5).
func (x *step) commit(i int, r *record) {
	n := &x.from.nodes[i]
	p := n.commit
	if p >= n.disk.log.n || p >= n.disk.durable && !x.off(R5NotOnOwnDisk) {
		return
	}
	if bits.OnesCount8(r.inSync) < x.bounds.MinInSync && !x.off(R5IgnoreMin) {
		return
	}
	for set := x.counted(i, r) &^ bit(i); set != 0; set &= set - 1 {
		if x.progress(x.from, i, bits.TrailingZeros8(set)) < p+2 {
			return
		}
	}
	t := x.begin()
	t.nodes[i].commit++
	e := &t.epochs[r.epoch]
	e.commit = max(e.commit, p+1)
	x.committing(t, i, r, p)
	x.end(Action{Kind: Commit, Node: uint8(i), Number: p + 1, Epoch: r.epoch})
}

// proposeLess: the leader believes a member to be too slow. It may be wrong.
func (x *step) proposeLess(i int, r *record) {
	if x.from.nodes[i].pending != 0 {
		return
	}
	for set := r.inSync &^ bit(i); set != 0; set &= set - 1 {
		j := bits.TrailingZeros8(set)
		t := x.begin()
		t.nodes[i].pending = r.inSync &^ bit(j)
		x.end(Action{Kind: ProposeLess, Node: uint8(i), Other: uint8(j)})
	}
}

// proposeMore: a follower may join (R7).
func (x *step) proposeMore(i int, r *record) {
	n := &x.from.nodes[i]
	if n.pending != 0 || !x.barrier(i, r) && !x.off(R7NoBarrier) {
		return
	}
	for j := range x.bounds.Nodes {
		p := x.progress(x.from, i, j)
		if j == i || r.inSync&bit(j) != 0 || p == 0 || p-1 < n.commit && !x.off(R7NoCatchUp) {
			continue
		}
		t := x.begin()
		t.nodes[i].pending = r.inSync | bit(j)
		x.end(Action{Kind: ProposeMore, Node: uint8(i), Other: uint8(j)})
	}
}

// readStart: a client wants to see all that is committed now (R13). The leader notes its
// commit position. Only reads whose note is too low can go wrong, so there are no others.
func (x *step) readStart(i int, r *record) {
	n := &x.from.nodes[i]
	if n.reading || n.commit >= x.from.committed[r.history].n || !x.barrier(i, r) && !x.off(R13BeforeBarrier) {
		return
	}
	t := x.begin()
	t.nodes[i].reading = true
	if !x.off(R13OldRound) {
		t.nodes[i].confirmed = 0
	}
	x.end(Action{Kind: ReadStart, Node: uint8(i), Epoch: r.epoch})
}

// confirm: a copy that the leader asked says that it is in the leader's epoch.
func (x *step) confirm(i int, r *record) {
	n := &x.from.nodes[i]
	if !n.reading && !x.off(R13OldRound) {
		return
	}
	for set := x.counted(i, r) &^ bit(i) &^ n.confirmed; set != 0; set &= set - 1 {
		j := bits.TrailingZeros8(set)
		v := x.from.view(j)
		o := &x.from.nodes[j]
		if !o.up || v == nil || v.epoch != r.epoch || o.disk.alloc != r.alloc[j] || !x.takesPart(x.from, j, v) {
			continue
		}
		t := x.begin()
		t.nodes[i].confirmed |= bit(j)
		x.end(Action{Kind: Confirm, Node: uint8(i), Other: uint8(j), Epoch: r.epoch})
	}
}

// readEnd: all have confirmed, and the client gets what the leader noted.
func (x *step) readEnd(i int, r *record) {
	n := &x.from.nodes[i]
	if !n.reading || x.counted(i, r)&^bit(i)&^n.confirmed != 0 && !x.off(R13NoConfirmation) {
		return
	}
	t := x.begin()
	t.nodes[i].reading, t.nodes[i].confirmed = false, 0
	x.violate(LinearizableRead, "a read sees less than was committed before it began")
	x.end(Action{Kind: ReadEnd, Node: uint8(i)})
}
