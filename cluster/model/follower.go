package model

// follow is what node i does as a follower in r's epoch.
func (x *step) follow(i int, r *record) {
	x.sync(i, r)
	x.welcomeAgain(i, r)
	x.lateFiles(i, r)
	x.append(i, r)
	x.apply(i, r)
}

// answer: the node says how much of its log is stored.
func answer(t *State, i int, epoch uint8) {
	d := &t.nodes[i].disk
	a := &t.epochs[epoch].answers[i][d.alloc-1]
	*a = max(*a, d.log.n+1)
}

// sync: Hello and Welcome (R3), or TakeFiles for a log of another history (R15). Neither
// the follower's log nor what the leader has in common with it changes in between, so both
// messages are one action.
func (x *step) sync(i int, r *record) {
	n := &x.from.nodes[i]
	if n.synced {
		return
	}
	for e := r.epoch; e > 0; e-- {
		if x.from.epochs[e].begun {
			x.hello(i, e, r)
		}
		if !x.off(R3OlderLeader) {
			break
		}
	}
}

// hello is answered by the leader of epoch e. Its log may begin anywhere up to what it has
// committed, and its files hold at least what is before that. So they hold more than what
// follower and leader have in common, and nothing that the follower answered is lost.
func (x *step) hello(i int, e uint8, r *record) {
	d, l := &x.from.nodes[i].disk, &x.from.epochs[e]
	if d.history != r.history && !x.off(R15LogAcross) {
		x.takeFiles(i, e, r)
		return
	}
	x.welcome(i, e, r)
	if x.bounds.Compaction && (l.commit > d.log.common(&l.log) || x.off(R3OlderFiles)) {
		x.takeFiles(i, e, r)
	}
}

func (x *step) welcome(i int, e uint8, r *record) {
	t := x.begin()
	n := &t.nodes[i]
	keep := x.keep(n, &t.epochs[e].log)
	x.cut(n, keep)
	n.synced = true
	n.disk.history = r.history
	answer(t, i, r.epoch)
	if x.off(R3WelcomeAgain|R4OldWelcome) && t.strays.welcomes[i][r.epoch] == 0 {
		t.strays.welcomes[i][r.epoch] = keep + 1
	}
	a := Action{Kind: Sync, Node: uint8(i), Number: keep, Epoch: e}
	if e != r.epoch {
		a.Kind = SyncOlder
	}
	x.end(a)
}

// keep is how much of its log a follower keeps.
func (x *step) keep(n *node, leader *entries) uint8 {
	common := n.disk.log.common(leader)
	switch {
	case x.off(R3CutToCommit):
		return min(n.commit, common)
	case x.off(R3NoCut):
		return min(n.disk.log.n, leader.n)
	default:
		return common
	}
}

// cut takes off the end of a log, on disk.
func (x *step) cut(n *node, keep uint8) {
	if keep < n.commit {
		x.violate(NothingTakenBack, "%d entries are applied, and %d are kept", n.commit, keep)
	}
	n.disk.log.cut(keep)
	n.commit = min(n.commit, n.disk.log.n)
	n.disk.durable = n.disk.log.n
}

// takeFiles replaces the copy's data by the leader's: what that has committed. To fetch
// files takes long, but those of an epoch that is over or from before a Welcome are thrown
// away, so that it can be one action.
func (x *step) takeFiles(i int, e uint8, r *record) {
	t := x.begin()
	l := t.epochs[e].log
	l.cut(t.epochs[e].commit)
	if x.off(R3LateFiles | R3EarlierFiles) {
		t.strays.files[i], t.strays.filesHistory[i] = l, r.history
		x.end(Action{Kind: TakeFiles, Node: uint8(i), Number: l.n, Epoch: e})
		return
	}
	x.install(i, &l, r)
	x.end(Action{Kind: TakeFiles, Node: uint8(i), Number: l.n, Epoch: e})
}

// install puts files with the entries of l in place.
func (x *step) install(i int, l *entries, r *record) {
	n := &x.to.nodes[i]
	n.disk.log, n.disk.durable, n.commit = *l, l.n, l.n
	n.disk.history = r.history
	n.synced = true
	answer(&x.to, i, r.epoch)
}

// lateFiles: files that were asked for at some time by this process are put in place.
func (x *step) lateFiles(i int, r *record) {
	l := x.from.strays.files[i]
	if x.from.strays.filesHistory[i] != r.history || x.from.nodes[i].synced && !x.off(R3LateFiles) {
		return
	}
	t := x.begin()
	t.strays.files[i], t.strays.filesHistory[i] = entries{}, 0
	x.install(i, &l, r)
	x.end(Action{Kind: LateFiles, Node: uint8(i), Number: l.n})
}

// welcomeAgain: a Welcome that was heeded already arrives again.
func (x *step) welcomeAgain(i int, r *record) {
	w := x.from.strays.welcomes[i][r.epoch]
	synced := x.from.nodes[i].synced
	if w == 0 || synced && !x.off(R3WelcomeAgain) || !synced && !x.off(R4OldWelcome) {
		return
	}
	t := x.begin()
	n := &t.nodes[i]
	n.synced = true
	x.cut(n, w-1)
	answer(t, i, r.epoch)
	x.end(Action{Kind: WelcomeAgain, Node: uint8(i), Number: w - 1, Epoch: r.epoch})
}

// append: the next entry of the leader's log arrives, is stored and answered (R11).
func (x *step) append(i int, r *record) {
	n, l := &x.from.nodes[i], &x.from.epochs[r.epoch].log
	if !n.synced || n.disk.log.n >= l.n {
		return
	}
	t := x.begin()
	f := &t.nodes[i]
	p := f.disk.log.n
	f.disk.log.append(l.e[p])
	if !x.off(R11AnswerEarly) {
		f.disk.durable = f.disk.log.n
	}
	answer(t, i, r.epoch)
	if x.off(R10ApplyEarly) {
		x.applying(t, i, r, p+1)
	}
	x.end(Action{Kind: Append, Node: uint8(i), Number: p + 1, Epoch: r.epoch})
}

// apply: the leader says what is committed.
func (x *step) apply(i int, r *record) {
	n := &x.from.nodes[i]
	c := min(x.from.epochs[r.epoch].commit, n.disk.log.n)
	if !n.synced && !x.off(R3CommitBeforeSync) || c <= n.commit {
		return
	}
	t := x.begin()
	x.applying(t, i, r, c)
	x.end(Action{Kind: Apply, Node: uint8(i), Number: c, Epoch: r.epoch})
}
