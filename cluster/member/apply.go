package member

import (
	"context"
	"fmt"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/shard"
)

// applyEntries is how many entries are handed to a shard before their results are waited for.
const applyEntries = 256

// startApplying begins to apply what is committed (R10), unless that is done already. Committed
// entries are on this disk, so files are never ahead of the log. mu is held.
func (r *replica) startApplying() {
	if !r.applying && !r.closed && !r.filling && r.sm.Commit() > r.applied {
		r.applying = true
		r.work.Go(r.apply)
	}
}

// apply applies entries until there are none.
func (r *replica) apply() {
	for {
		r.mu.Lock()
		to := min(r.sm.Commit(), r.applied+applyEntries)
		if r.closed || r.filling || to <= r.applied {
			r.rest()
			r.mu.Unlock()
			return
		}
		var entries []replication.Entry
		for _, l := range r.recent.from(r.applied+1, to) {
			entries = append(entries, l.Entry)
		}
		from := r.applied + 1
		r.mu.Unlock()
		if err := r.applySome(entries, from, to); err != nil {
			r.mu.Lock()
			r.rest()
			if r.ctx.Err() == nil {
				r.stepLocked(replication.LogDamaged{Err: err})
			}
			r.mu.Unlock()
			return
		}
	}
}

// rest says that nothing is being applied. mu is held.
func (r *replica) rest() {
	r.applying = false
	r.idle.Broadcast()
}

// applySome applies the entries from..to, which are read from disk unless they are given.
func (r *replica) applySome(entries []replication.Entry, from, to uint64) (err error) {
	if entries == nil {
		if entries, err = r.read(from, to, readBytes); err != nil {
			return fmt.Errorf("read committed entries: %w", err)
		}
	}
	s := r.shard.Load()
	tickets := make([]*shard.Ticket, len(entries))
	for i := range entries {
		e := &entries[i]
		if tickets[i], err = s.Apply(r.ctx, shardEntry(e)); err != nil {
			return fmt.Errorf("apply entry %d: %w", e.Seq, err)
		}
		if e.Kind == replication.Checksum {
			r.noteChecksum(e.Seq, tickets[i])
		}
	}
	for i, t := range tickets {
		result := t.Visible(r.ctx)
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		if err := s.Err(); err != nil {
			return err
		}
		r.mu.Lock()
		r.applied = entries[i].Seq
		r.result(r.applied, result)
		if i == len(tickets)-1 || len(r.taken) > 0 && r.taken[0].seq <= r.applied {
			r.stepLocked(replication.Applied{Seq: r.applied})
		}
		r.mu.Unlock()
	}
	return nil
}

// shardEntry is an entry as the shard takes it.
func shardEntry(e *replication.Entry) shard.Entry {
	out := shard.Entry{Position: oplog.Position(e.Position), Tag: e.Op}
	if e.Kind == replication.Data {
		out.Body = e.Body
	}
	out.Checksum = e.Kind == replication.Checksum
	return out
}

// hooks keep the memory of operations in step with the shard: its applier calls them one after
// another.
func (r *replica) hooks() shard.Hooks {
	return shard.Hooks{
		Opened: r.recall,
		Applied: func(pos oplog.Position, tag any, _ error) {
			if op, ok := tag.(replication.OpID); ok && op != (replication.OpID{}) {
				r.done.Add(op, pos.Seq)
			}
		},
		Attachment: func() []byte { return r.done.AppendTo(nil) },
		Flushed:    func(pos oplog.Position) { r.flushed.Store(pos.Seq) },
	}
}
