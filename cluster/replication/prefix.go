package replication

import "slices"

// table says which leadership wrote which entries of a log. The epochs of a log never go
// down, one leader writes an epoch, and it only appends. So two logs that have the same
// epoch at the same sequence are equal up to there, and the last such place is the end of
// what they have in common.
type table struct {
	first uint64
	// base is the epoch of the entry before first, 0 when it isn't known.
	base   uint64
	last   Position
	epochs []EpochStart
}

// epochAt returns the epoch of an entry; ok is false when it isn't known.
func (t *table) epochAt(seq uint64) (epoch uint64, ok bool) {
	switch {
	case seq == 0:
		return 0, true
	case seq == t.last.Seq:
		return t.last.Epoch, t.last.Epoch != 0
	case seq+1 == t.first:
		return t.base, t.base != 0
	case seq < t.first || seq > t.last.Seq:
		return 0, false
	}
	for _, e := range slices.Backward(t.epochs) {
		if e.First <= seq {
			return e.Epoch, true
		}
	}
	return 0, false
}

// cut forgets what is behind a position.
func (t *table) cut(at Position) {
	n := len(t.epochs)
	for n > 0 && t.epochs[n-1].First > at.Seq {
		n--
	}
	t.epochs = t.epochs[:n]
	t.last = at
}

// release forgets what is in front of an entry.
func (t *table) release(first uint64) {
	if first <= t.first {
		return
	}
	first = min(first, t.last.Seq+1)
	t.base, _ = t.epochAt(first - 1)
	t.first = first
	n := 0
	for n < len(t.epochs) && (n+1 < len(t.epochs) && t.epochs[n+1].First <= t.first || t.first > t.last.Seq) {
		n++
	}
	t.epochs = slices.Delete(t.epochs, 0, n)
	if len(t.epochs) > 0 {
		t.epochs[0].First = max(t.epochs[0].First, t.first)
	}
}

// run is a stretch of entries of one epoch.
type run struct{ epoch, end uint64 }

// run returns the i-th run. Number -1 is the entry before the first one.
func (t *table) run(i int) run {
	end := t.last.Seq
	if i+1 < len(t.epochs) {
		end = t.epochs[i+1].First - 1
	}
	switch {
	case i >= 0:
		return run{t.epochs[i].Epoch, end}
	case len(t.epochs) == 0:
		return run{t.last.Epoch, t.last.Seq}
	}
	return run{t.base, end}
}

// common returns the last place that two logs have in common as far as their tables
// tell, the beginning when they tell of none.
func common(a, b *table) Position {
	i, j := len(a.epochs)-1, len(b.epochs)-1
	for i >= -1 && j >= -1 {
		x, y := a.run(i), b.run(j)
		switch {
		case x.epoch > y.epoch:
			i--
		case x.epoch < y.epoch:
			j--
		default:
			return Position{Epoch: x.epoch, Seq: min(x.end, y.end)}
		}
	}
	return Position{}
}

// meet returns where a follower is to go on from. What the follower has applied is
// committed, so the leader has it, also when the leader can't read it any more. The epoch
// is 0 when neither of them knows it.
func meet(leader *table, h *Hello) Position {
	follower := table{first: h.First, last: h.Last, epochs: h.Epochs}
	at := common(leader, &follower)
	if h.Applied <= at.Seq || h.Applied > leader.last.Seq {
		return at
	}
	mine, ok := leader.epochAt(h.Applied)
	theirs, ok2 := follower.epochAt(h.Applied)
	if ok && ok2 && mine != theirs {
		return at
	}
	return Position{Epoch: max(mine, theirs), Seq: h.Applied}
}
