package simulation

import (
	"fmt"
	"slices"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// oplog is a shard's log: base is the entry before the first.
type oplog struct {
	base    replication.Position
	entries []replication.Entry
}

func (l *oplog) last() replication.Position {
	if n := len(l.entries); n > 0 {
		return l.entries[n-1].Position
	}
	return l.base
}

func (l *oplog) first() uint64 { return l.base.Seq + 1 }

func (l *oplog) clone() oplog { return oplog{l.base, slices.Clone(l.entries)} }

// at returns the position of an entry; ok is false when it can't be told.
func (l *oplog) at(seq uint64) (replication.Position, bool) {
	switch {
	case seq == l.base.Seq:
		return l.base, true
	case seq < l.base.Seq || seq > l.last().Seq:
		return replication.Position{}, false
	}
	return l.entries[seq-l.base.Seq-1].Position, true
}

// read returns entries, which aren't changed; nil when they aren't all there.
func (l *oplog) read(first, last uint64) []replication.Entry {
	if first > last || first <= l.base.Seq || last > l.last().Seq {
		return nil
	}
	return slices.Clip(l.entries[first-l.base.Seq-1 : last-l.base.Seq])
}

// add appends an entry, and gives it its chain value. An error says that it doesn't follow.
func (l *oplog) add(e replication.Entry) error {
	prev := l.last()
	if e.Seq != prev.Seq+1 || e.Epoch < prev.Epoch {
		return fmt.Errorf("entry %d.%d is appended behind %d.%d", e.Epoch, e.Seq, prev.Epoch, prev.Seq)
	}
	theirs := e.Chain
	e.Chain = follow(prev, &e)
	l.entries = append(l.entries, e)
	if theirs != 0 && theirs != e.Chain {
		return fmt.Errorf("the chain value of entry %d.%d differs from the leader's", e.Epoch, e.Seq)
	}
	return nil
}

// truncate cuts off what is behind an entry. What was read before stays as it was.
func (l *oplog) truncate(after uint64) error {
	if after < l.base.Seq {
		return fmt.Errorf("a log that begins at %d is cut after %d", l.first(), after)
	}
	if after < l.last().Seq {
		l.entries = slices.Clip(l.entries[:after-l.base.Seq])
	}
	return nil
}

// release gives up the front up to an entry.
func (l *oplog) release(upTo uint64) {
	if at, ok := l.at(upTo); ok && upTo > l.base.Seq {
		l.entries = l.entries[upTo-l.base.Seq:]
		l.base = at
	}
}

// files are a checkpoint of a copy: what is applied in them, and which operations.
type files struct {
	at     replication.Position
	points points
	recent []byte
}

// diskCopy is one copy on a disk.
type diskCopy struct {
	alloc          topology.AllocID
	epoch, history uint64
	log            oplog
	files          files
}

// carryOut makes a part of a disk effect durable: so many of its entries.
func (d *diskCopy) carryOut(fx *replication.DiskEffect, entries int) error {
	switch {
	case fx.Epoch != 0:
		if fx.Epoch < d.epoch {
			return fmt.Errorf("epoch %d is stored after %d", fx.Epoch, d.epoch)
		}
		d.epoch = fx.Epoch
		if fx.History != 0 {
			d.history = fx.History
		}
	case fx.Truncate:
		return d.log.truncate(fx.TruncateAfter)
	default:
		for _, e := range fx.Append[:entries] {
			if err := d.log.add(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// belongsTogether tells whether files and log are of one life (as in cluster/member).
func (d *diskCopy) belongsTogether() error {
	if d.files.at.Seq == 0 {
		return nil
	}
	if at, ok := d.log.at(d.files.at.Seq); !ok || at != d.files.at {
		return fmt.Errorf("files end with %v, the log has %v there (%t)", d.files.at, at, ok)
	}
	return nil
}

// state is what a copy finds when it starts.
func (d *diskCopy) state() replication.LogState {
	st := replication.LogState{
		First: d.log.first(), Last: d.log.last(), Applied: d.files.at.Seq, Epoch: d.epoch, History: d.history,
	}
	for i := range d.log.entries {
		e := &d.log.entries[i]
		if k := len(st.Epochs); k == 0 || st.Epochs[k-1].Epoch != e.Epoch {
			st.Epochs = append(st.Epochs, replication.EpochStart{Epoch: e.Epoch, First: e.Seq})
		}
		if e.Seq > st.Applied && e.Op != (replication.OpID{}) {
			st.Ops = append(st.Ops, replication.LoggedOp{Seq: e.Seq, Op: e.Op})
		}
	}
	return st
}

// disk is what outlasts a process.
type disk struct {
	incarnation uint64
	copies      map[topology.ShardName]*diskCopy
	// topology is what the consensus has on disk of the topology: what follows comes again.
	topology view
}

// held lists the copies on the disk, in order.
func (d *disk) held(shards []*shardTruth) (out []topology.HeldReplica) {
	for _, s := range shards {
		if c := d.copies[s.name]; c != nil {
			out = append(out, topology.HeldReplica{Shard: s.name, Alloc: c.alloc})
		}
	}
	return out
}
