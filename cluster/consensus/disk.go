package consensus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

const (
	entriesStream = "raft"
	hardStream    = "hard"
	logDir        = "log"
	snapshotName  = "SNAPSHOT"
	// logFileSize is small, so that a snapshot makes room.
	logFileSize = 4 << 20
)

// HasState tells whether a directory has a group's state, without opening it.
func HasState(system fsx.FS, dir string) (bool, error) {
	_, err := system.Stat(path.Join(dir, snapshotName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a consensus state: %w", err)
	}
	return true, nil
}

// disk is what a node has of the group on disk, and the entries behind the snapshot
// in memory as well. It belongs to one goroutine. After an error it must be closed.
type disk struct {
	fs   fsx.FS
	dir  string
	keep uint64
	log  *oplog.Log
	// reserve is room for when there is none.
	reserve *reserve
	// entries holds the log: the sequence is the index, the epoch the term. hard holds
	// hard states, of which the last one counts.
	entries, hard *oplog.Stream
	// mem is what etcd-raft reads: entries has the same from its first index on.
	mem *raft.MemoryStorage
	// stored is the last hard state that was written, now the one that holds. They
	// differ in commit at most, which is written when something else is, or with a
	// tick; late is its ticket.
	stored, now hardState
	late        *oplog.Ticket
	// snap is the newest snapshot on disk, nil when there is none.
	snap *raftpb.Snapshot
}

// openDisk loads what is on disk and begins a new incarnation. fileSize is how long a file of the
// log becomes.
func openDisk(ctx context.Context, o *Options, fileSize int64) (*disk, error) {
	system, dir := o.FS, o.Dir
	l, err := oplog.Open(oplog.Options{FS: system, Dir: path.Join(dir, logDir), FileSize: fileSize, RetryAfter: roomRetry})
	if err != nil {
		return nil, fmt.Errorf("open the consensus log: %w", err)
	}
	d := &disk{
		fs: system, dir: dir, keep: o.KeepEntries, log: l, reserve: newReserve(o),
		entries: l.Stream(entriesStream), hard: l.Stream(hardStream), mem: raft.NewMemoryStorage(),
	}
	if err := d.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("load the consensus state in %s: %w", dir, err), l.Close())
	}
	if err := d.reserve.restore(); err != nil {
		o.Logger.WarnContext(ctx, "the consensus has no reserve on its disk", "error", err)
	}
	d.now.incarnation++
	if err := d.storeHard(ctx, d.now); err != nil {
		return nil, errors.Join(fmt.Errorf("store the consensus state in %s: %w", dir, err), l.Close())
	}
	return d, nil
}

func (d *disk) load(ctx context.Context) error {
	if err := d.loadHard(ctx); err != nil {
		return err
	}
	b, err := fsx.ReadFile(d.fs, path.Join(d.dir, snapshotName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if d.entries.Last().Seq > 0 || d.stored.commit > 0 {
			return fmt.Errorf("%w: entries without a snapshot", ErrCorrupted)
		}
		return nil
	case err != nil:
		return err
	}
	if d.snap, err = decodeSnapshot(b); err != nil {
		return err
	}
	if err := d.loadEntries(ctx); err != nil {
		return err
	}
	return d.reconcile()
}

func (d *disk) loadHard(ctx context.Context) error {
	last := d.hard.Last().Seq
	if last == 0 {
		return nil
	}
	err := d.hard.Read(ctx, last, func(r oplog.Record) (err error) {
		d.stored, err = decodeHard(r.Data)
		return err
	})
	d.now = d.stored
	return err
}

// loadEntries reads the entries behind the snapshot, and some in it. Those that don't
// follow from the snapshot are of before it was installed, and are dropped: a crash
// was quicker.
func (d *disk) loadEntries(ctx context.Context) error {
	meta := d.snap.GetMetadata()
	index, first, last := meta.GetIndex(), d.entries.First(), d.entries.Last().Seq
	if last < index {
		return d.begin(ctx)
	}
	if first > index+1 {
		return fmt.Errorf("%w: the log begins at entry %d, the snapshot ends at %d", ErrCorrupted, first, index)
	}
	from := max(first, index-min(index, d.keep))
	var entries []*raftpb.Entry
	err := d.entries.Read(ctx, from, func(r oplog.Record) error {
		e, err := decodeEntry(r.Epoch, r.Seq, r.Data)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return err
	}
	if from > index {
		d.rebase(index, meta.GetTerm())
		return d.mem.Append(entries)
	}
	if entries[index-from].GetTerm() != meta.GetTerm() {
		return d.begin(ctx)
	}
	d.rebase(from, entries[0].GetTerm())
	return d.mem.Append(entries[1:])
}

// reconcile brings the hard state up to the snapshot, which may be stored first. A
// term that was never stored was never voted in.
func (d *disk) reconcile() error {
	meta := d.snap.GetMetadata()
	if meta.GetTerm() > d.now.term {
		d.now.term, d.now.vote = meta.GetTerm(), 0
	}
	d.now.commit = max(d.now.commit, meta.GetIndex())
	last, err := d.mem.LastIndex()
	if err != nil {
		return err
	}
	term, err := d.mem.Term(last)
	if err != nil {
		return err
	}
	if d.now.commit > last || d.now.term < term {
		return fmt.Errorf("%w: the log ends at entry %d of term %d, committed is %d in term %d",
			ErrCorrupted, last, term, d.now.commit, d.now.term)
	}
	return nil
}

// rebase empties the memory: the next entry follows this one.
func (d *disk) rebase(index, term uint64) {
	d.mem = raft.NewMemoryStorage()
	// It can't fail: the storage is new.
	_ = d.mem.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: &index, Term: &term}})
}

// begin drops all entries: the next one is the one behind the snapshot.
func (d *disk) begin(ctx context.Context) error {
	if err := d.untilRoom(ctx, func() error { return d.entries.Drop(ctx) }); err != nil {
		return err
	}
	d.entries = d.log.Stream(entriesStream)
	meta := d.snap.GetMetadata()
	d.rebase(meta.GetIndex(), meta.GetTerm())
	return nil
}

// putHard writes a hard state, which is durable with the ticket.
func (d *disk) putHard(h hardState) *oplog.Ticket {
	t := d.hard.Append(0, d.hard.Last().Seq+1, h.encode())
	if !t.Refused() {
		d.stored = h
	}
	return t
}

// storeHard makes a hard state durable.
func (d *disk) storeHard(ctx context.Context, h hardState) error {
	t, err := d.put(ctx, func() *oplog.Ticket { return d.putHard(h) })
	if err != nil {
		return err
	}
	return d.durable(ctx, t)
}

// save makes a hard state (nil: it is as before) and entries durable. The hard state is
// written first, with a commit that isn't behind the entries that are there already,
// so that each beginning of what is written here can be loaded.
func (d *disk) save(ctx context.Context, hs *raftpb.HardState, entries []*raftpb.Entry) error {
	if !raft.IsEmptyHardState(hs) {
		d.now.term, d.now.vote, d.now.commit = hs.GetTerm(), hs.GetVote(), hs.GetCommit()
	}
	limit := d.lastIndex()
	if len(entries) > 0 {
		limit = entries[0].GetIndex() - 1
	}
	next := d.now
	next.commit = max(d.stored.commit, min(next.commit, limit))
	promised := next.term != d.stored.term || next.vote != d.stored.vote
	var last *oplog.Ticket
	var err error
	if promised || len(entries) > 0 && next != d.stored {
		if last, err = d.put(ctx, func() *oplog.Ticket { return d.putHard(next) }); err != nil {
			return err
		}
	}
	if len(entries) > 0 {
		if last, err = d.append(ctx, entries); err != nil {
			return err
		}
	}
	if last == nil {
		return nil
	}
	if err := d.durable(ctx, last); err != nil {
		return err
	}
	return d.mem.Append(entries)
}

// append writes entries, instead of those with the same indexes or above.
func (d *disk) append(ctx context.Context, entries []*raftpb.Entry) (last *oplog.Ticket, err error) {
	if first := entries[0].GetIndex(); first <= d.entries.Last().Seq {
		if err := d.untilRoom(ctx, func() error { return d.entries.TruncateAfter(ctx, first-1) }); err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		b, err := encodeEntry(e)
		if err != nil {
			return nil, err
		}
		last, err = d.put(ctx, func() *oplog.Ticket { return d.entries.Append(e.GetTerm(), e.GetIndex(), b) })
		if err != nil {
			return nil, err
		}
	}
	return last, nil
}

// flush writes the commit index if it isn't yet, without waiting, and says whether
// that failed the last time. On a full disk it can wait.
func (d *disk) flush() error {
	if d.late != nil {
		switch err := d.late.Err(); {
		case isFull(err):
			d.reserve.giveUp()
		case err != nil:
			return err
		}
	}
	next := d.now
	next.commit = min(next.commit, d.lastIndex())
	if next == d.stored {
		return nil
	}
	d.late = d.putHard(next)
	if err := d.late.Err(); !isFull(err) {
		return err
	}
	return nil
}

// lastIndex is the index of the last entry.
func (d *disk) lastIndex() uint64 {
	last, _ := d.mem.LastIndex() // it never fails
	return last
}

// firstIndex is the index of the first entry in memory.
func (d *disk) firstIndex() uint64 {
	first, _ := d.mem.FirstIndex() // it never fails
	return first
}

func (d *disk) writeSnapshot(s *raftpb.Snapshot) error {
	b, err := encodeSnapshot(s)
	if err != nil {
		return err
	}
	if err := fsx.WriteAtomic(d.fs, path.Join(d.dir, snapshotName), b); err != nil {
		return err
	}
	d.snap = s
	return nil
}

// shorten stores a snapshot of this node's own state, and forgets entries in it but for
// a number that slow followers may need.
func (d *disk) shorten(ctx context.Context, s *raftpb.Snapshot) error {
	if err := d.writeSnapshot(s); err != nil {
		return err
	}
	// The hard state goes behind everything, so that it doesn't keep old files. It must be
	// there before those go that have the one before.
	if err := d.storeHard(ctx, d.stored); err != nil {
		return err
	}
	if err := d.hard.Release(d.hard.Last().Seq - 1); err != nil {
		return err
	}
	index := s.GetMetadata().GetIndex()
	base := index - min(index, d.keep)
	if base < d.firstIndex() {
		return nil
	}
	if err := d.mem.Compact(base); err != nil {
		return err
	}
	// The entry at base stays: its term is needed.
	return d.entries.Release(base - 1)
}

// install makes a snapshot from elsewhere the beginning of everything.
func (d *disk) install(ctx context.Context, s *raftpb.Snapshot) error {
	if err := d.untilRoom(ctx, func() error { return d.writeSnapshot(s) }); err != nil {
		return err
	}
	return d.begin(ctx)
}

// empty says that the node was never part of a group.
func (d *disk) empty() bool { return d.snap == nil && d.now.term == 0 }

func (d *disk) close() error {
	err := d.flush()
	return errors.Join(err, d.log.Close())
}

// storage is how etcd-raft reads the disk.
type storage struct {
	d *disk
	// take takes a snapshot that the members of now can use.
	take func() (*raftpb.Snapshot, error)
}

func (s storage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	h := s.d.now
	conf := raftpb.EnsureConfState(s.d.snap.GetMetadata().GetConfState())
	return &raftpb.HardState{Term: &h.term, Vote: &h.vote, Commit: &h.commit}, conf, nil
}

func (s storage) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	return s.d.mem.Entries(lo, hi, maxSize)
}

func (s storage) Term(i uint64) (uint64, error)       { return s.d.mem.Term(i) }
func (s storage) LastIndex() (uint64, error)          { return s.d.mem.LastIndex() }
func (s storage) FirstIndex() (uint64, error)         { return s.d.mem.FirstIndex() }
func (s storage) Snapshot() (*raftpb.Snapshot, error) { return s.take() }
