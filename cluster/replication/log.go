package replication

import "fmt"

// logView is what the state machine knows of its copy's log.
type logView struct {
	table
	// durable is the last entry that is on disk and isn't about to be cut off.
	durable uint64
	// epoch is the highest epoch that was adopted, stored the one that is on disk.
	epoch, stored uint64
	history       uint64
	// number is the last disk effect's, pending are those that aren't carried out.
	number  uint64
	pending []diskOp
}

// diskOp is a disk effect on its way.
type diskOp struct {
	number   uint64
	end      uint64 // the log's end after it
	epoch    uint64 // when it stores one
	truncate bool
}

func newLogView(s LogState) logView {
	return logView{
		table:   table{first: max(s.First, 1), base: s.Base.Epoch, last: s.Last, epochs: append([]EpochStart(nil), s.Epochs...)},
		durable: s.Last.Seq, epoch: s.Epoch, stored: s.Epoch, history: s.History,
	}
}

func (l *logView) effect(op diskOp) uint64 {
	l.number++
	op.number, op.end = l.number, l.last.Seq
	l.pending = append(l.pending, op)
	return l.number
}

// adopt makes an epoch the copy's, and a history, when it isn't 0, the log's.
func (l *logView) adopt(epoch, history uint64, fx *Effects) {
	l.epoch = epoch
	if history != 0 {
		l.history = history
	}
	n := l.effect(diskOp{epoch: epoch})
	fx.Disk = append(fx.Disk, DiskEffect{Number: n, Epoch: epoch, History: history})
}

// append appends entries, which follow the last one.
func (l *logView) append(entries []Entry, fx *Effects) {
	for i := range entries {
		p := entries[i].Position
		if n := len(l.epochs); n == 0 || l.epochs[n-1].Epoch != p.Epoch {
			l.epochs = append(l.epochs, EpochStart{Epoch: p.Epoch, First: p.Seq})
		}
		l.last = p
	}
	n := l.effect(diskOp{})
	fx.Disk = append(fx.Disk, DiskEffect{Number: n, Append: entries})
}

// truncate cuts off what is behind a position.
func (l *logView) truncate(at Position, fx *Effects) {
	l.cut(at)
	l.durable = min(l.durable, at.Seq)
	n := l.effect(diskOp{truncate: true})
	fx.Disk = append(fx.Disk, DiskEffect{Number: n, Truncate: true, TruncateAfter: at.Seq})
}

// install makes the log begin anew behind a position.
func (l *logView) install(at Position, history uint64) {
	l.table = table{first: at.Seq + 1, base: at.Epoch, last: at}
	l.durable, l.history = at.Seq, history
	for i := range l.pending { // They were about the old log.
		l.pending[i].end, l.pending[i].truncate = at.Seq, false
	}
}

// storedUpTo takes in that the effects up to a number are on disk.
func (l *logView) storedUpTo(s Stored) error {
	if s.Number > l.number {
		return fmt.Errorf("effect %d is said to be stored, there are %d", s.Number, l.number)
	}
	k, durable := 0, l.durable
	for ; k < len(l.pending) && l.pending[k].number <= s.Number; k++ {
		op := l.pending[k]
		durable = op.end
		l.stored = max(l.stored, op.epoch)
	}
	if k == 0 {
		return nil
	}
	if s.Last.Seq < durable {
		return fmt.Errorf("the log ends at entry %d, %d were stored", s.Last.Seq, durable)
	}
	l.pending = append(l.pending[:0], l.pending[k:]...)
	for _, op := range l.pending {
		if op.truncate {
			durable = min(durable, op.end)
		}
	}
	l.durable = durable
	return nil
}

// settled tells whether no cut is under way.
func (l *logView) settled() bool {
	for _, op := range l.pending {
		if op.truncate {
			return false
		}
	}
	return true
}
