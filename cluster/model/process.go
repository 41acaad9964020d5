package model

// What a node's process does whatever its role: learn, make a copy, die, start.

func (x *step) process(i int) {
	n := &x.from.nodes[i]
	if !n.up {
		x.restart(i)
		x.wipe(i)
		return
	}
	x.learn(i)
	x.crash(i)
	x.setAside(i)
}

// learn: the process gets to know any version newer than the one it knows.
func (x *step) learn(i int) {
	n := &x.from.nodes[i]
	for v := n.known; v < x.from.versions; v++ {
		r := x.from.records[v]
		if !x.off(R1NoRegistration) && (!n.registered || v < n.since) {
			continue
		}
		if !x.off(R2NoDurableEpoch) && r.epoch < n.disk.epoch {
			continue
		}
		x.begin()
		x.adopt(i, v, &r)
		x.end(Action{Kind: Learn, Node: uint8(i), Number: v + 1})
	}
}

// adopt makes node i act by version v.
func (x *step) adopt(i int, v uint8, r *record) {
	t := &x.to
	n := &t.nodes[i]
	old := t.view(i)
	x.giveUpProposal(i)
	if x.off(R8KeepProgress) && old != nil && n.active && old.epoch == r.epoch {
		for j := range x.bounds.Nodes {
			t.strays.progress[i][j] = x.progress(t, i, j)
		}
	}
	newEpoch := old == nil || old.epoch != r.epoch
	n.known, n.disk.epoch = v+1, r.epoch
	if !newEpoch {
		return
	}
	n.active, n.synced, n.reading, n.confirmed = false, false, false, 0
	t.strays.progress[i] = [maxNodes]uint8{}
	if r.leader == uint8(i) && x.takesPart(t, i, r) {
		x.takeUp(i, r)
	}
}

// takeUp makes node i the leader of the record's epoch, once.
func (x *step) takeUp(i int, r *record) {
	n, e := &x.to.nodes[i], &x.to.epochs[r.epoch]
	if e.begun && !x.off(R12KeepLeadership|R1NoRegistration) {
		return
	}
	n.active = true
	if !x.off(R15ForgetHistory) {
		n.disk.history = r.history
	}
	e.begun, e.start, e.log = true, n.disk.log.n, n.disk.log
	e.commit = max(e.commit, n.commit)
	// In a new history what the leader has applied counts as committed.
	c := &x.to.committed[r.history]
	for c.n < n.commit {
		c.append(n.disk.log.e[c.n])
	}
}

// giveUpProposal: a newer version decides what was proposed for an older one.
func (x *step) giveUpProposal(i int) {
	n := &x.to.nodes[i]
	if x.off(R6AnyVersion) && n.pending != 0 {
		p := &x.to.strays
		p.proposer, p.proposed, p.epoch = uint8(i), n.pending, x.to.view(i).epoch
	}
	n.pending = 0
}

// makeCopy: the record names a copy that the node doesn't have, and none was lost.
func (x *step) makeCopy(i int, r *record) {
	d := &x.from.nodes[i].disk
	again := x.off(R14SameNumber) && d.alloc == 0
	if d.alloc == r.alloc[i] || r.created&bit(i) != 0 && !again {
		return
	}
	t := x.begin()
	t.nodes[i].disk = disk{alloc: r.alloc[i], epoch: r.epoch, history: r.history}
	t.nodes[i].commit = 0
	t.nodes[i].told = r.alloc[i]
	x.end(Action{Kind: MakeCopy, Node: uint8(i)})
}

// crash: memory is lost, and what the disk hasn't stored yet may be. Of what was applied
// the files may have all or nothing.
func (x *step) crash(i int) {
	if int(x.from.crashes) >= x.bounds.Crashes {
		return
	}
	n := &x.from.nodes[i]
	for _, lose := range []bool{false, true} {
		for _, forget := range []bool{false, true} {
			if lose && n.disk.durable == n.disk.log.n || forget && n.commit == 0 {
				continue
			}
			t := x.begin()
			t.crashes++
			d := n.disk
			if lose {
				d.log.cut(d.durable)
			}
			d.durable = d.log.n
			c := min(n.commit, d.log.n)
			if forget {
				c = 0
			}
			t.nodes[i] = node{disk: d, commit: c, late: !n.registered, told: n.told}
			t.strays.progress[i] = [maxNodes]uint8{}
			t.strays.files[i], t.strays.filesHistory[i] = entries{}, 0
			x.end(Action{Kind: Crash, Node: uint8(i)})
		}
	}
}

func (x *step) restart(i int) {
	t := x.begin()
	t.nodes[i].up, t.nodes[i].late = true, false
	x.end(Action{Kind: Restart, Node: uint8(i)})
}

// wipe: the disk is lost while the process is down.
func (x *step) wipe(i int) {
	d := &x.from.nodes[i].disk
	if int(x.from.wipes) >= x.bounds.Wipes || d.alloc == 0 {
		return
	}
	t := x.begin()
	t.wipes++
	if x.off(R14SameNumber) {
		t.strays.lost[i] |= 1 << d.alloc
	}
	t.nodes[i] = node{up: true, told: t.nodes[i].told}
	x.end(Action{Kind: Wipe, Node: uint8(i)})
}

// setAside: the process finds its copy damaged and gives it up. It has to register again,
// without the copy.
func (x *step) setAside(i int) {
	n, r := &x.from.nodes[i], x.from.view(i)
	if int(x.from.wipes) >= x.bounds.Wipes || r == nil || !x.takesPart(x.from, i, r) {
		return
	}
	t := x.begin()
	t.wipes++
	f := &t.nodes[i]
	if x.off(R14SameNumber | R14InPlace) {
		t.strays.lost[i] |= 1 << n.disk.alloc
	}
	if x.off(R14InPlace) {
		f.disk.log.cut(0)
		f.disk.durable = 0
	} else {
		f.disk = disk{}
	}
	f.active, f.synced, f.commit, f.reading, f.confirmed = false, false, 0, false, 0
	if n.pending != 0 {
		x.giveUpProposal(i)
	}
	x.end(Action{Kind: SetAside, Node: uint8(i)})
}
