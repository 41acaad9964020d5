package member

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/shard"
)

// surroundings is what a replica needs of its node.
type surroundings interface {
	// peer is who the node is.
	peer() topology.PeerID
	// now is the time of events.
	now() replication.Now
	// send hands a message to the connection of its peer. It never waits.
	send(replication.Envelope)
	// alter proposes a change of the shard's record. It never waits; the state machine tries again.
	alter(replication.Alter)
	// wake asks for a Tick at a time; ok false takes an earlier wish back.
	wake(r *replica, at replication.Now, ok bool)
	// takeFiles fills the replica's directory from another node and installs what it got; it is
	// called in a goroutine of its own.
	takeFiles(ctx context.Context, r *replica, from replication.FileSource) error
	// damaged gives a replica up that contradicts the others.
	damaged(r *replica, err error)
	// warn reports what no caller hears about a replica that is being filled.
	warn(r *replica, err error)
}

// replica is one copy of a shard on this node: the state machine of the protocol, its log and
// its data. It uses goroutines only while there is something to store, apply or send, so that idle
// shards cost nothing.
type replica struct {
	node   surroundings
	name   topology.ShardName
	alloc  topology.AllocID
	dir    string
	stream *oplog.Stream
	marks  *marks
	shard  atomic.Pointer[shard.Shard]
	ctx    context.Context //nolint:containedctx // the replica's life
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	sm     *replication.Replica
	fx     replication.Effects
	recent recent
	// disk are effects to be carried out; storing says that a goroutine does.
	disk    []diskWork
	storing bool
	// applied is the last entry that is applied here; applying says that a goroutine applies.
	applied  uint64
	applying bool
	idle     sync.Cond // is told when applying or storing ends
	// reading are the followers for which entries are being read from disk.
	reading map[topology.PeerID]bool
	// asked are the writes and reads that wait for an answer of the state machine, by token;
	// taken the writes that have a place in the log, in its order.
	asked      map[uint64]*request
	taken      []*request
	lastToken  uint64
	config     replication.Config
	sums       checksums
	filling    bool               // files are being taken
	endFilling context.CancelFunc // ends that
	closed     bool

	// adapted is up to where the shard follows its collection.
	adapted adapted

	// done are the operations that were applied; the shard's applier keeps it, between openings.
	done *replication.OpTable
	// opened are those that were in the files when the shard was opened last.
	opened *replication.OpTable
	// flushed is up to where files hold everything.
	flushed atomic.Uint64
}

// step gives the state machine an event and carries out what it says.
func (r *replica) step(ev replication.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stepLocked(ev)
}

func (r *replica) stepLocked(ev replication.Event) {
	if r.closed {
		return
	}
	fx := &r.fx
	fx.Reset()
	r.sm.Step(r.node.now(), ev, fx)
	for _, d := range fx.Disk {
		r.take(d)
	}
	for _, e := range fx.Messages {
		r.send(e)
	}
	for _, a := range fx.Alter {
		r.node.alter(a)
	}
	r.startApplying()
	r.settle(fx)
	if fx.TakeFiles != nil {
		r.startFilling(*fx.TakeFiles)
	}
	r.recent.release(r.unneeded())
	at, ok := r.sm.NextTick()
	r.node.wake(r, at, ok)
	if fx.Damaged != nil {
		r.closed = true
		go r.node.damaged(r, fx.Damaged)
	}
}

// recentBytes is how many bytes of entries that only slow followers need are kept in memory.
const recentBytes = 4 << 20

// unneeded returns up to which entry nothing is needed in memory: it is durable and applied here,
// and followers have it, or too many bytes behind it wait for them.
func (r *replica) unneeded() uint64 {
	own := min(r.applied, r.stream.Durable().Seq)
	if r.recent.bytes > recentBytes {
		return own
	}
	return min(own, r.sm.Retain()-1)
}

// diskWork is a disk effect to be carried out: what it appends are records.
type diskWork struct {
	replication.DiskEffect
	records []oplog.Known
}

// take notes a disk effect to be carried out.
func (r *replica) take(d replication.DiskEffect) {
	w := diskWork{DiskEffect: d}
	switch {
	case d.Truncate:
		r.recent.truncate(r.positionOf(d.TruncateAfter))
	case d.Epoch == 0:
		// The state machine uses its memory again.
		w.records, w.Append = r.remember(d.Append), nil
	}
	r.disk = append(r.disk, w)
	if !r.storing {
		r.storing = true
		r.work.Go(r.store)
	}
}

// remember takes entries that are to be appended into memory, and returns their records.
func (r *replica) remember(entries []replication.Entry) []oplog.Known {
	out := make([]oplog.Known, len(entries))
	for i, e := range entries {
		kept := r.recent.add(e)
		out[i] = kept.known()
	}
	return out
}

// store carries out disk effects until there are none.
func (r *replica) store() {
	for {
		r.mu.Lock()
		work := r.disk
		r.disk = nil
		if len(work) == 0 || r.closed {
			r.storing = false
			r.idle.Broadcast()
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		if err := r.storeAll(work); err != nil {
			r.mu.Lock()
			r.storing = false
			r.idle.Broadcast()
			r.mu.Unlock()
			if r.ctx.Err() == nil {
				r.step(replication.LogDamaged{Err: err})
			}
			return
		}
		r.step(replication.Stored{Number: work[len(work)-1].Number, Last: replication.Position(r.stream.Last())})
	}
}

// storeAll carries out disk effects in order and waits until all are durable.
func (r *replica) storeAll(work []diskWork) error {
	var last *oplog.Ticket
	for _, d := range work {
		switch {
		case d.Epoch != 0:
			next := mark{alloc: r.alloc, epoch: d.Epoch, history: d.History}
			if err := r.withRoom(func() error { return r.marks.store(r.ctx, next) }); err != nil {
				return err
			}
		case d.Truncate:
			if err := r.withRoom(func() error { return r.stream.TruncateAfter(r.ctx, d.TruncateAfter) }); err != nil {
				return err
			}
		default:
			t, err := r.append(d.records)
			if err != nil {
				return err
			}
			last = t
		}
	}
	return r.durable(last)
}

// positionOf returns the position of an entry. One that isn't in memory is read from the log: a
// cut is rare, and the memory needs to know what the next entry follows.
func (r *replica) positionOf(seq uint64) oplog.Position {
	if kept := r.recent.from(seq, seq); kept != nil {
		return oplog.Position(kept[0].Position)
	}
	pos, err := r.stream.At(r.ctx, seq)
	if err != nil {
		r.work.Go(func() { r.step(replication.LogDamaged{Err: err}) })
		return oplog.Position{Seq: seq}
	}
	return pos
}

// append appends records to the log, and waits while the disk takes none. A record that continues
// another log than this one (a chain value of the leader's is another than here) is refused, so
// nobody hears that it is there.
func (r *replica) append(records []oplog.Known) (last *oplog.Ticket, err error) {
	err = r.withRoom(func() error {
		taken, t, err := r.stream.AppendAll(records)
		if records = records[taken:]; t != nil {
			last = t
		}
		return err
	})
	return last, err
}

// withRoom does something that needs the disk, again and again while that is full or fails.
func (r *replica) withRoom(do func() error) error {
	for full := false; ; full = true {
		err := do()
		switch {
		case err == nil && full:
			r.step(replication.LogFull{Full: false})
			return nil
		case err == nil || !passes(err):
			return err
		case !full:
			r.step(replication.LogFull{Full: true})
		}
		if err := pause(r.ctx, diskRetry, nil); err != nil {
			return err
		}
	}
}

// passes tells failures of the disk that may be over soon from those that stay.
func passes(err error) bool { return errors.Is(err, oplog.ErrFailed) || errors.Is(err, oplog.ErrFull) }

// durable waits for a ticket. A record that was taken is written sooner or later, also when its
// ticket has failed.
func (r *replica) durable(t *oplog.Ticket) error {
	if t == nil {
		return nil
	}
	return r.withRoom(func() error {
		err := t.Wait(r.ctx)
		if err != nil && r.stream.Durable() == r.stream.Last() {
			return nil
		}
		return err
	})
}

// diskRetry is how long to wait before a disk that failed is tried again.
const diskRetry = 200 * time.Millisecond

// send sends a message. Entries that are named are filled in from memory; a follower that is
// farther behind gets them from disk.
func (r *replica) send(e replication.Envelope) {
	a, ok := e.Message.(replication.Append)
	if !ok || a.First > a.Last {
		r.node.send(e)
		return
	}
	found := r.recent.from(a.First, a.Last)
	if found == nil {
		r.sendFromDisk(e, a)
		return
	}
	a.Entries = make([]replication.Entry, len(found))
	for i := range found {
		a.Entries[i] = found[i].Entry
	}
	e.Message = a
	r.node.send(e)
}

// readBytes bounds what is read at once for a follower.
const readBytes = 4 << 20

// sendFromDisk reads entries for a follower from the log. One reading at a time is enough: what
// is left out is asked for again.
func (r *replica) sendFromDisk(e replication.Envelope, a replication.Append) {
	if r.reading[e.To] {
		return
	}
	r.reading[e.To] = true
	epoch := r.sm.Epoch()
	r.work.Go(func() {
		entries, err := r.read(a.First, a.Last, readBytes)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.reading, e.To)
		switch {
		case r.closed || r.sm.Epoch() != epoch || r.ctx.Err() != nil: // the entries may be others now
		case errors.Is(err, oplog.ErrReleased):
			r.stepLocked(replication.LogReleased{First: r.stream.First()})
		case err != nil:
			r.stepLocked(replication.LogDamaged{Err: err})
		case len(entries) > 0:
			a.Entries, a.Last = entries, entries[len(entries)-1].Seq
			e.Message = a
			r.node.send(e)
		}
	})
}

// read reads entries first..last from the log, up to so many bytes but at least one.
func (r *replica) read(first, last uint64, bytes int) (out []replication.Entry, err error) {
	done := errors.New("enough")
	err = r.stream.Read(r.ctx, first, func(rec oplog.Record) error {
		if rec.Seq > last || bytes <= 0 {
			return done
		}
		bytes -= len(rec.Data)
		e, err := readRecord(replication.Position(rec.Position), append([]byte(nil), rec.Data...))
		if err == nil {
			out = append(out, e)
		}
		return err
	})
	if errors.Is(err, done) {
		err = nil
	}
	return out, err
}
