package replication

// opMemory knows the operations that were applied, and those in the log that weren't yet:
// one ID for each entry between.
type opMemory struct {
	done *OpTable
	// open are those that weren't applied, in order; seqs says where each is.
	open []LoggedOp
	seqs map[OpID]uint64
}

func (m *opMemory) init(done *OpTable, open []LoggedOp) {
	if done == nil {
		done = &OpTable{}
	}
	*m = opMemory{done: done, seqs: map[OpID]uint64{}}
	for _, o := range open {
		m.add(o)
	}
}

func (m *opMemory) add(o LoggedOp) {
	if o.Op == (OpID{}) {
		return
	}
	m.open = append(m.open, o)
	if _, ok := m.seqs[o.Op]; !ok {
		m.seqs[o.Op] = o.Seq
	}
}

// logged takes in entries that were appended.
func (m *opMemory) logged(entries []Entry) {
	for i := range entries {
		m.add(LoggedOp{entries[i].Seq, entries[i].Op})
	}
}

// truncate forgets what was cut off behind an entry.
func (m *opMemory) truncate(after uint64) {
	n := len(m.open)
	for ; n > 0 && m.open[n-1].Seq > after; n-- {
		m.forget(m.open[n-1])
	}
	m.open = m.open[:n]
}

// applied takes in that entries up to one were applied.
func (m *opMemory) applied(to uint64) {
	n := 0
	for ; n < len(m.open) && m.open[n].Seq <= to; n++ {
		m.done.Add(m.open[n].Op, m.open[n].Seq)
		m.forget(m.open[n])
	}
	m.open = append(m.open[:0], m.open[n:]...)
}

func (m *opMemory) forget(o LoggedOp) {
	if m.seqs[o.Op] == o.Seq {
		delete(m.seqs, o.Op)
	}
}

// find tells whether an operation is in the log or was applied, and up to which entry one
// has to wait to see it. Of what was applied only that is known: before applied.
func (m *opMemory) find(op OpID, applied uint64) (seq uint64, seen Seen) {
	if seq, ok := m.seqs[op]; ok {
		return seq, Done
	}
	return applied, m.done.Seen(op)
}
