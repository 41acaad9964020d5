package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/cluster/transfer"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
)

// exportMeta is what goes with the files of a copy.
type exportMeta struct {
	// Position is the last entry in the files; the log begins behind it.
	Position oplog.Position
	// History is the identity of the log.
	History uint64
	// Files are the engine's description of the files.
	Files []shard.File
}

// export is a shard's export as transfer sends it.
type export struct {
	*shard.Export
	meta  []byte
	files []transfer.File
}

func (e *export) Meta() []byte           { return e.meta }
func (e *export) Files() []transfer.File { return e.files }
func (e *export) Open(i int) (transfer.ReaderAtCloser, error) {
	return e.Export.Open(e.files[i].Name)
}

// openExport makes an export of a copy on this node.
func (m *Member) openExport(ctx context.Context, name topology.ShardName) (transfer.Export, error) {
	r := m.replica(name)
	if r == nil {
		return nil, apierror.New(apierror.Unavailable, "this node has no copy of shard %d", name.Shard)
	}
	s := r.shard.Load()
	if s == nil {
		return nil, apierror.New(apierror.Unavailable, "the copy of shard %d is being filled itself", name.Shard)
	}
	history := r.marks.get().history
	opened, err := s.Export(ctx)
	if err != nil {
		return nil, err
	}
	e := &export{Export: opened}
	if e.meta, err = json.Marshal(exportMeta{opened.Position, history, opened.Files}); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	for _, f := range opened.Files {
		sum, err := e.checksum(f.Name)
		if err != nil {
			return nil, errors.Join(err, opened.Close())
		}
		e.files = append(e.files, transfer.File{Name: f.Name, Size: f.Size, CRC: sum})
	}
	return e, nil
}

// checksum reads a file once, to say what must arrive.
func (e *export) checksum(name string) (sum uint32, err error) {
	f, err := e.Export.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return h.Sum32(), nil
}

// startFilling takes the files of another copy in place of this one's. A source of nobody ends
// what is under way; another source than before is tried when that has failed. mu is held.
func (r *replica) startFilling(from replication.FileSource) {
	switch {
	case from.Peer == 0:
		if r.endFilling != nil {
			r.endFilling()
		}
		return
	case r.filling:
		return
	}
	r.filling = true
	ctx, end := context.WithCancel(r.ctx)
	r.endFilling = end
	r.work.Go(func() {
		defer end()
		err := r.node.takeFiles(ctx, r, from)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.filling = false
		if err != nil {
			r.node.warn(r, err)
			r.stepLocked(replication.FilesFailed{})
		}
	})
}

// takeFiles implements surroundings.
func (m *Member) takeFiles(ctx context.Context, r *replica, from replication.FileSource) error {
	source, err := m.pool.Peer(from.Peer)
	if err != nil {
		return err
	}
	return m.fetcher.Fetch(ctx, transfer.Job{
		Shard: r.name, From: source, Dir: r.dir + ".staging",
		Install: func(ctx context.Context, dir string, man transfer.Manifest) error {
			var meta exportMeta
			if err := json.Unmarshal(man.Meta, &meta); err != nil {
				return fmt.Errorf("read description of an export: %w", err)
			}
			if meta.Position.Seq+1 < from.From || meta.History != from.History {
				return fmt.Errorf("the files end with entry %d of history %d, those of history %d up to %d are needed",
					meta.Position.Seq, meta.History, from.History, from.From-1)
			}
			return m.install(ctx, r, dir, &meta)
		},
	})
}

// install puts files that were fetched in place of a copy's own, and begins its log behind them.
// A crash in between leaves files and log that don't belong together: such a copy isn't opened.
func (m *Member) install(ctx context.Context, r *replica, staging string, meta *exportMeta) error {
	v := m.machine.Now()
	c := v.Incarnation(r.name.Collection)
	if c == nil {
		return errors.New("the collection is gone")
	}
	r.awaitQuiet()
	if s := r.shard.Swap(nil); s != nil {
		if err := s.Close(); err != nil {
			m.warn(r, err)
		}
	}
	if err := shard.Install(ctx, m.o.FS, staging, r.dir, meta.Files); err != nil {
		return errors.Join(err, m.reopen(ctx, r, c))
	}
	if err := r.stream.Reset(ctx, meta.Position); err != nil {
		return err
	}
	if err := r.marks.store(ctx, mark{alloc: r.alloc, history: meta.History}); err != nil {
		return err
	}
	if err := m.reopen(ctx, r, c); err != nil {
		return err
	}
	table := r.opened // nothing is applied before FilesInstalled
	r.mu.Lock()
	defer r.mu.Unlock()
	r.filling = false
	r.recent = recent{end: meta.Position}
	r.applied = meta.Position.Seq
	r.stepLocked(replication.FilesInstalled{At: replication.Position(meta.Position), History: meta.History, Recent: table})
	return nil
}

// reopen opens a copy's data again.
func (m *Member) reopen(ctx context.Context, r *replica, c *topology.Collection) error {
	s, err := m.openShard(ctx, r, c)
	if err != nil {
		return err
	}
	r.flushed.Store(s.Flushed().Seq)
	r.shard.Store(s)
	return nil
}

// awaitQuiet waits until nothing is being applied, nor appended to the log that is about to begin
// anew: while files are taken no more begins, but for epochs to store.
func (r *replica) awaitQuiet() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.applying || r.storing {
		r.idle.Wait()
	}
}

// damaged implements surroundings: a copy that contradicts the others, or can't be read, is given
// up. The topology lets it go unless it is the last one in sync, and the controller makes another.
func (m *Member) damaged(r *replica, cause error) { m.giveUp(r.name, cause) }

// giveUp has this node's copy of a shard taken out of the topology.
func (m *Member) giveUp(name topology.ShardName, cause error) {
	m.log.Error("a copy of a shard can't be used and is given up", "collection", name.Collection, "shard", name.Shard, "error", cause)
	m.work.Go(func() {
		err := m.persist(m.ctx, func() error {
			_, err := m.Change(m.ctx, topology.DropReplica{Shard: name, Peer: m.self.Peer})
			return err
		})
		if err != nil && m.ctx.Err() == nil {
			m.log.Error("a copy that can't be used stays: it may be the last one", "collection", name.Collection, "shard", name.Shard, "error", err)
		}
	})
}

// warn implements surroundings.
func (m *Member) warn(r *replica, err error) {
	if m.ctx.Err() == nil {
		m.log.Warn("filling a copy of a shard", "collection", r.name.Collection, "shard", r.name.Shard, "error", err)
	}
}
