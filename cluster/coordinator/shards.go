package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"

	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/budget"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/fsx"
)

// Shards is who has the shards: a node alone, or the nodes of a cluster.
type Shards interface {
	// Open returns the handle of a shard that the topology names. A node alone opens the
	// shard, or makes it. It is called once for a shard, for several at the same time. A
	// handle that comes with an error is not to be used, but released.
	Open(ctx context.Context, t *topology.Collection, id uint32) (shardcall.Shard, error)
	// Place says which nodes hold the shards of a new collection, in their order; nil on a
	// node alone.
	Place(ctx context.Context, t *topology.Collection) ([][]topology.PeerID, error)
	// Release ends the use of a handle that Open returned.
	Release(s shardcall.Shard) error
	// Remove removes what this node has on disk of a deleted collection, whose handles
	// have been released. gone says that the topology needn't remember it any more.
	Remove(ctx context.Context, name, incarnation string) (gone bool, err error)
	// Ready waits until a new collection can be used, by whichever node.
	Ready(ctx context.Context, t *topology.Collection) error
	// Adapt makes a shard follow a change of its collection that is in the topology
	// already: op is the change.
	Adapt(ctx context.Context, s shardcall.Shard, t *topology.Collection, op shard.Op, w shardcall.Write) (shardcall.Ticket, error)
	// Close ends everything; all handles have been released.
	Close() error
}

// shardIDs are the numbers of a collection's shards.
func shardIDs(t *topology.Collection) []uint32 { return t.ShardIDs() }

// addShards gives a new collection n shards.
func addShards(t *topology.Collection, n uint32) {
	for id := range n {
		t.Shards = append(t.Shards, &topology.Shard{ID: id})
	}
}

// ownShards are the shards of a node alone.
type ownShards struct {
	fs      fsx.FS
	storage string
	log     *oplog.Log
	budget  *budget.Budget
	logger  *slog.Logger
}

var _ Shards = &ownShards{}

// openShards opens the log of all shards. Where a part of it is lost the shards that it may have
// concerned go into quarantine, those of which there is no trace among them.
func openShards(o *Options, state *topology.State) (*ownShards, error) {
	var ids []string
	for _, t := range state.Collections() {
		for _, id := range shardIDs(t) {
			ids = append(ids, layout.Log(topology.ShardName{Collection: t.Incarnation, Shard: id}))
		}
	}
	log, err := oplog.Open(oplog.Options{FS: o.FS, Dir: path.Join(o.StoragePath, "oplog"), Salvage: true, Expect: ids})
	if err != nil {
		return nil, fmt.Errorf("open operation log: %w", err)
	}
	if err := log.Lost(); err != nil {
		o.Logger.Error("a part of the operation log is lost: shards that may have had operations there go into quarantine", "error", err)
	}
	return &ownShards{fs: o.FS, storage: o.StoragePath, log: log, budget: o.Budget, logger: o.Logger}, nil
}

// Open implements Shards. A shard in quarantine opens, so that it can tell why it
// answers nothing.
func (s *ownShards) Open(ctx context.Context, t *topology.Collection, id uint32) (shardcall.Shard, error) {
	name := topology.ShardName{Collection: t.Incarnation, Shard: id}
	one, err := shard.Open(ctx, shard.Options{
		FS: s.fs, Dir: layout.Shard(s.storage, t, id), Log: s.log.Stream(layout.Log(name)), Config: t.Config,
		Budget: s.budget, Logger: s.logger.With("collection", t.Name, "shard", id),
	})
	if err != nil {
		return nil, err
	}
	if one.Err() == nil {
		err = reconcile(ctx, one, t)
	}
	return shardcall.Local{Shard: one}, err
}

// Place implements Shards.
func (*ownShards) Place(context.Context, *topology.Collection) ([][]topology.PeerID, error) {
	return nil, nil
}

// reconcile submits what the topology holds and the shard doesn't: a change that
// was durable in the topology when the node stopped, but not yet in the shard's
// log.
func reconcile(ctx context.Context, s *shard.Shard, t *topology.Collection) error {
	info := s.Info()
	for _, op := range info.Lacking(t.Config, t.Schema) {
		ticket, err := s.Submit(ctx, op)
		if err != nil {
			return err
		}
		if err := ticket.Applied(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Release implements Shards: it closes the shard after a last checkpoint.
func (s *ownShards) Release(h shardcall.Shard) error {
	if own, ok := h.(shardcall.Local); ok {
		return own.Close()
	}
	return nil
}

// Remove implements Shards.
func (s *ownShards) Remove(ctx context.Context, name, incarnation string) (gone bool, err error) {
	// The files first: on a full disk they make the room that the log needs.
	dir := layout.Collection(s.storage, name, incarnation)
	if err := s.fs.RemoveAll(dir); err != nil {
		return false, fmt.Errorf("remove data of %s: %w", name, err)
	}
	gone = true
	for _, id := range s.log.Streams() {
		if of, _, ok := layout.Parse(id); ok && of.Collection == incarnation {
			if err := s.log.Stream(id).Drop(ctx); errors.Is(err, oplog.ErrFailed) {
				// It was taken, and is written when the log can write. Should the node stop
				// before, the next start does it: the topology still says so.
				s.logger.WarnContext(ctx, "the log of a deleted collection is dropped later", "stream", id, "error", err)
				gone = false
			} else if err != nil {
				return false, fmt.Errorf("drop log of %s: %w", id, err)
			}
		}
	}
	dir = path.Dir(dir)
	if rest, err := s.fs.ReadDir(dir); err == nil && len(rest) == 0 {
		if err := s.fs.Remove(dir); err != nil {
			return false, fmt.Errorf("remove directory of %s: %w", name, err)
		}
	}
	return gone, nil
}

// Ready implements Shards: shards that are open can be used.
func (*ownShards) Ready(context.Context, *topology.Collection) error { return nil }

// Adapt implements Shards.
func (*ownShards) Adapt(ctx context.Context, s shardcall.Shard, _ *topology.Collection, op shard.Op, w shardcall.Write) (shardcall.Ticket, error) {
	return s.Submit(ctx, op, w)
}

// Close implements Shards.
func (s *ownShards) Close() error { return s.log.Close() }
