package model

import "math/bits"

// What the topology does: each action is one command, applied.

// topology is what the topology may do about node i.
func (x *step) topology(i int) {
	x.register(i)
	x.created(i)
	x.drop(i)
	x.accept(i)
	x.acceptStray(i)
	x.handOver(i)
	x.force(i)
}

// record adds a version. It is false when the bounds are reached.
func (x *step) record(t *State, r record) bool {
	old := *t.now()
	if int(t.versions) >= x.bounds.Versions || int(r.epoch) > x.bounds.Epochs {
		return false
	}
	t.records[t.versions] = r
	t.versions++
	x.checkRecord(t, &old, &r)
	return true
}

// change adds a version when r differs from the latest one, after electing a leader if
// that is needed, and ends the action: once for each copy that can be elected. Which of
// them it is matters to nobody's safety, so no preference is modelled.
func (x *step) change(a Action, r record, electing bool) {
	base := x.to
	if !electing {
		if r == *base.now() || x.record(&x.to, r) {
			x.settle(a)
		}
		return
	}
	r.epoch++
	who := x.eligible(&base, &r)
	if who == 0 {
		r.leader = nobody
		if x.record(&x.to, r) {
			x.settle(a)
		}
		return
	}
	for ; who != 0; who &= who - 1 {
		j := bits.TrailingZeros8(who)
		x.to, x.broke = base, nil
		d := r
		d.leader = uint8(j)
		d.inSync |= bit(j)
		if x.record(&x.to, d) {
			x.settle(a)
		}
	}
}

// settle ends an action of the topology; a registration is answered with the version.
func (x *step) settle(a Action) {
	if a.Kind == Register {
		x.to.nodes[a.Node].since = x.to.versions - 1
	}
	x.end(a)
}

// eligible are who can be elected (R9).
func (x *step) eligible(s *State, r *record) uint8 {
	switch {
	case x.off(R9Anybody):
		return r.created &^ s.fenced
	case x.off(R9Fenced):
		return r.inSync
	default:
		return r.inSync &^ s.fenced
	}
}

// fence: the failure detector, which may be wrong, gives nodes up.
func (x *step) fence() {
	all := bit(x.bounds.Nodes) - 1
	for nodes := uint8(1); nodes <= all; nodes++ {
		if nodes&x.from.fenced != 0 || nodes&(nodes-1) != 0 && !x.bounds.GroupFence {
			continue
		}
		t := x.begin()
		t.fenced |= nodes
		r := *t.now()
		if r.inSync&^t.fenced != 0 || x.off(R12FenceLast) {
			r.inSync &^= nodes
		}
		electing := r.leader != nobody && nodes&bit(int(r.leader)) != 0
		x.change(Action{Kind: Fence, Nodes: nodes}, r, electing)
	}
}

// relieve: nodes that live hold others up, or are believed to: others lead, and don't wait for them.
func (x *step) relieve() {
	all := bit(x.bounds.Nodes) - 1
	for nodes := uint8(1); nodes <= all && x.bounds.Relief; nodes++ {
		r := *x.from.now()
		left := r.inSync &^ x.from.fenced &^ nodes
		if r.inSync&nodes == 0 || left == 0 || bits.OnesCount8(left) < x.bounds.MinInSync {
			continue
		}
		x.begin()
		r.inSync &^= nodes
		electing := r.leader != nobody && nodes&bit(int(r.leader)) != 0
		x.change(Action{Kind: Relieve, Nodes: nodes}, r, electing)
	}
}

// register: a process says that it is there and which copy it has; or what a dead one
// said arrives.
func (x *step) register(i int) {
	n := &x.from.nodes[i]
	a := Action{Kind: Register, Node: uint8(i)}
	now := x.from.now()
	missing := now.created&bit(i) != 0 && n.disk.alloc != now.alloc[i]
	switch {
	case n.up && (!n.registered || x.from.fenced&bit(i) != 0 || missing && !x.off(R14SameNumber)):
	case !n.up && n.late:
		a.Kind = RegisterLate
	default:
		return
	}
	t := x.begin()
	t.fenced &^= bit(i)
	t.nodes[i].late = false
	t.nodes[i].registered = n.up
	r := *now
	leads := r.leader == uint8(i)
	electing := r.leader == nobody && x.eligible(t, &r) != 0
	if !n.registered {
		if x.off(R12RestartLosesSeat) {
			r.inSync &^= bit(i)
		}
		electing = electing || leads && !x.off(R12KeepLeadership)
	}
	if missing && !x.off(R14SameNumber) {
		r.alloc[i]++
		r.created &^= bit(i)
		if !x.off(R14KeepSeat) {
			r.inSync &^= bit(i)
			electing = electing || leads
		}
	}
	// Whoever left the set isn't elected after all.
	if r.leader == nobody && x.eligible(t, &r) == 0 {
		electing = false
	}
	x.change(a, r, electing)
}

// created: what a node said arrives: that it has made the place of the copy that the record
// names. By now it may be gone again.
func (x *step) created(i int) {
	r := *x.from.now()
	if r.created&bit(i) != 0 || x.from.nodes[i].told != r.alloc[i] {
		return
	}
	x.begin()
	r.created |= bit(i)
	x.change(Action{Kind: Created, Node: uint8(i)}, r, false)
}

// drop: the copy of node i is to be somewhere else, and there is one again later. The last
// copy in sync that isn't on a fenced node stays.
func (x *step) drop(i int) {
	r := *x.from.now()
	member := r.inSync&bit(i) != 0
	if !x.bounds.Moves || int(x.from.wipes) >= x.bounds.Wipes || r.created&bit(i) == 0 ||
		member && r.inSync&^x.from.fenced&^bit(i) == 0 {
		return
	}
	t := x.begin()
	t.wipes++
	r.alloc[i]++
	r.created &^= bit(i)
	r.inSync &^= bit(i)
	x.change(Action{Kind: Drop, Node: uint8(i)}, r, r.leader == uint8(i))
}

// accept: the proposal of node i arrives (R6). A record with the version that the
// proposer knows is the record that it knows: epoch, leader and copies are compared with
// it. It makes no difference whether the proposer still lives.
func (x *step) accept(i int) {
	n := &x.from.nodes[i]
	known := x.from.view(i)
	if n.pending == 0 || known == nil {
		return
	}
	r := *x.from.now()
	if n.known != x.from.versions && !x.off(R6AnyVersion) {
		return
	}
	x.take(Action{Kind: Accept, Node: uint8(i)}, r, known.epoch, n.pending)
}

func (x *step) acceptStray(i int) {
	p := &x.from.strays
	if !x.off(R6AnyVersion) || p.proposed == 0 || p.proposer != uint8(i) {
		return
	}
	x.take(Action{Kind: AcceptStray, Node: uint8(i)}, *x.from.now(), p.epoch, p.proposed)
}

func (x *step) take(a Action, r record, epoch, set uint8) {
	added := set &^ r.inSync
	if r.epoch != epoch || r.leader != a.Node || r.inSync == set || added&x.from.fenced != 0 && !x.off(R7Fenced) {
		return
	}
	x.begin()
	r.inSync = set
	x.change(a, r, false)
}

// handOver: another copy in sync is to lead. Leaders ask for it (by comparison as in R6),
// and so may the controller: here it happens at any time, whoever asked.
func (x *step) handOver(i int) {
	r := *x.from.now()
	able := x.eligible(x.from, &r)
	if x.off(R9HandOverAnybody) {
		able = r.created &^ x.from.fenced
	}
	if !x.bounds.HandOver || r.leader == uint8(i) || r.leader == nobody || able&bit(i) == 0 {
		return
	}
	x.begin()
	r.leader, r.epoch = uint8(i), r.epoch+1
	r.inSync |= bit(i)
	x.change(Action{Kind: HandOver, Node: uint8(i)}, r, false)
}

// force: somebody gives up what the copies in sync have, for the copy of node i (R15).
func (x *step) force(i int) {
	r := *x.from.now()
	if int(x.from.forces) >= x.bounds.Forces || r.created&bit(i) == 0 || x.from.fenced&bit(i) != 0 {
		return
	}
	t := x.begin()
	t.forces++
	r.leader, r.epoch, r.inSync = uint8(i), r.epoch+1, bit(i)
	if !x.off(R15Silent) {
		r.history++
	}
	x.change(Action{Kind: Force, Node: uint8(i)}, r, false)
}
