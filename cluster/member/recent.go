package member

import (
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/engine/oplog"
)

// logged is an entry, its record in the log, of which the entry's body is a part, and the
// record's sum.
type logged struct {
	replication.Entry
	record []byte
	sum    uint64
}

// known is what the log is given.
func (l *logged) known() oplog.Known {
	return oplog.Known{Record: oplog.Record{Position: oplog.Position(l.Position), Data: l.record}, Sum: l.sum}
}

// recent are the newest entries of a copy's log in memory: those that aren't on disk or
// applied yet, and those that followers still need. They follow each other without gaps.
type recent struct {
	entries []logged
	bytes   int
	// end is the position of the last entry of the log, in memory or not.
	end oplog.Position
}

// add takes an entry in that comes next, and returns what is kept of it. Its chain value is the
// leader's, if it has one: the log finds out whether that is right.
func (r *recent) add(e replication.Entry) logged {
	record := appendRecord(make([]byte, 0, maxRecordHead+len(e.Body)), &e)
	e.Body = record[len(record)-len(e.Body):]
	l := logged{e, record, oplog.Sum(record)}
	if l.Chain == 0 {
		l.Chain = r.end.Follow(e.Epoch, e.Seq, l.sum).Chain
	}
	r.end = oplog.Position(l.Position)
	r.entries = append(r.entries, l)
	r.bytes += len(record)
	return l
}

// first returns the sequence of the first entry in memory, that of the next one when there is
// none.
func (r *recent) first() uint64 { return r.end.Seq + 1 - uint64(len(r.entries)) }

// from returns the entries first..last if they are in memory.
func (r *recent) from(first, last uint64) []logged {
	begin := r.first()
	if first < begin || last > r.end.Seq || first > last {
		return nil
	}
	return r.entries[first-begin : last-begin+1]
}

// truncate forgets what is behind a position.
func (r *recent) truncate(at oplog.Position) {
	begin := r.first()
	keep := 0
	if at.Seq >= begin {
		keep = int(at.Seq - begin + 1)
	}
	for _, l := range r.entries[keep:] {
		r.bytes -= len(l.record)
	}
	clear(r.entries[keep:])
	r.entries = r.entries[:keep]
	r.end = at
}

// release forgets entries up to a sequence.
func (r *recent) release(upTo uint64) {
	n := 0
	for n < len(r.entries) && r.entries[n].Seq <= upTo {
		r.bytes -= len(r.entries[n].record)
		n++
	}
	if n == 0 {
		return
	}
	clear(r.entries[:n])
	if r.entries = r.entries[n:]; len(r.entries) == 0 {
		r.entries = nil // and the memory behind it
	}
}
