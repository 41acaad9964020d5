// Package coordinator is the front desk: it takes the messages of the public
// API from the doors, checks them, sends writes to the shards that hold the
// points, fans reads out and merges the answers.
//
// It implements the generated server interfaces (Points and Collections below),
// which are all that the doors know of it. Inside messages a payload travels
// attached (engine/payload); a request may also carry it as a map.
//
// Callers: server/rest, server/grpc and embedded through those interfaces;
// server/node opens and closes it.
package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/budget"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// Options says where the data is and what holds when a request is silent.
type Options struct {
	// FS is the file system and StoragePath the directory of all data.
	FS          fsx.FS
	StoragePath string
	// Defaults are the node's settings for new collections.
	Defaults topology.Defaults
	// SearchTimeout bounds a read that names no timeout; 0 is 60 s.
	SearchTimeout time.Duration
	// MaxAnswerBytes bounds the payload and vectors of one answer, which is built in
	// memory; 0 is 256 MiB.
	MaxAnswerBytes int64
	// MaxCollections bounds the number of collections; 0 is no bound.
	MaxCollections int
	// Budget is the processor time for background work; nil is unlimited.
	Budget *budget.Budget
	// Logger hears what no caller hears; nil is silent.
	Logger *slog.Logger
}

// Coordinator is the front desk of one node. Its methods are safe for concurrent
// use.
type Coordinator struct {
	opts  Options
	log   *oplog.Log
	store topology.Store

	// changing serialises changes of the topology, with their I/O.
	changing sync.Mutex

	// mu guards state and collections. It is held for map look-ups only.
	mu          sync.RWMutex
	state       *topology.State
	collections map[string]*collection // by own name
}

// collection is an open collection. It is replaced, not changed, when the
// topology changes; its shards are carried over.
type collection struct {
	*topology.Collection
	schema *shard.Schema
	ring   *placement.Ring
	shards map[uint32]*replica
	// open are the shards in the order of their numbers; when one of them isn't
	// open, closed says why instead.
	open   []*shard.Shard
	closed error
}

// replica is a shard on this node, or the reason why it isn't open.
type replica struct {
	*shard.Shard
	err error
}

// Open opens everything under o.StoragePath. A shard that can't be opened
// doesn't keep the node from starting: its collection is reported red and its
// reads and writes fail with the reason.
func Open(ctx context.Context, o Options) (*Coordinator, error) {
	if o.SearchTimeout <= 0 {
		o.SearchTimeout = time.Minute
	}
	if o.MaxAnswerBytes <= 0 {
		o.MaxAnswerBytes = 256 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := o.FS.MkdirAll(path.Join(o.StoragePath, "collections")); err != nil {
		return nil, fmt.Errorf("create storage directory: %w", err)
	}
	c := &Coordinator{
		opts: o, store: topology.Store{FS: o.FS, Path: path.Join(o.StoragePath, "topology")},
		collections: map[string]*collection{},
	}
	var err error
	if c.state, err = c.loadTopology(); err != nil {
		return nil, err
	}
	c.store.KeepReserve()
	if c.log, err = oplog.Open(oplog.Options{FS: o.FS, Dir: path.Join(o.StoragePath, "oplog")}); err != nil {
		return nil, fmt.Errorf("open operation log: %w", err)
	}
	if err := c.openAll(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// loadTopology refuses to start on data without a topology: starting empty would
// look like the loss of everything, and the next deletion could make it one.
func (c *Coordinator) loadTopology() (*topology.State, error) {
	state, found, err := c.store.Load()
	if err != nil {
		return nil, fmt.Errorf("load topology: %w", err)
	}
	if !found {
		dir := path.Join(c.opts.StoragePath, "collections")
		entries, err := c.opts.FS.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("list collections: %w", err)
		}
		for _, e := range entries {
			if e.IsDir() {
				return nil, fmt.Errorf("%s holds collection %q, but %s is missing: restore the file, or move the directory away to start empty",
					dir, e.Name(), c.store.Path)
			}
		}
	}
	return state, nil
}

func (c *Coordinator) openAll(ctx context.Context) error {
	for inc, name := range c.state.Dropped() {
		if err := c.removeData(ctx, name, inc, nil); err != nil {
			return err
		}
	}
	var g errgroup.Group
	g.SetLimit(4)
	var mu sync.Mutex
	for _, t := range c.state.Collections() {
		g.Go(func() error {
			col, err := c.openCollection(ctx, t)
			if err != nil {
				return fmt.Errorf("open collection %s: %w", t.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			c.collections[t.Name] = col
			return nil
		})
	}
	return g.Wait()
}

// openCollection opens (or creates) the shards of a collection. It fails only
// when the configuration itself can't be understood.
func (c *Coordinator) openCollection(ctx context.Context, t *topology.Collection) (*collection, error) {
	shards := make(map[uint32]*replica, len(t.Shards))
	for _, id := range t.ShardIDs() {
		s, err := shard.Open(ctx, shard.Options{
			FS: c.opts.FS, Dir: c.shardDir(t, id), Log: c.log.Stream(streamID(t, id)), Config: t.Config,
			Budget: c.opts.Budget, Logger: c.opts.Logger.With("collection", t.Name, "shard", id),
		})
		// A shard in quarantine opens, so that it can tell why it answers nothing.
		if err == nil && s.Err() == nil {
			err = reconcile(ctx, s, t)
		}
		if err != nil {
			c.opts.Logger.ErrorContext(ctx, "shard does not open", "collection", t.Name, "shard", id, "error", err)
		}
		shards[id] = &replica{Shard: s, err: err}
	}
	return newCollection(t, shards)
}

// reconcile submits what the topology holds and the shard doesn't: a change that
// was durable in the topology when the node stopped, but not yet in the shard's
// log.
func reconcile(ctx context.Context, s *shard.Shard, t *topology.Collection) error {
	info := s.Info()
	var ops []shard.Op
	if !proto.Equal(info.Config, t.Config) {
		ops = append(ops, shard.SetConfig(t.Config))
	}
	for field, want := range t.Schema {
		if have := info.Indexes[field]; have == nil || have.GetDataType() != want.GetDataType() || !proto.Equal(have.GetParams(), want.GetParams()) {
			ops = append(ops, shard.CreateIndex(shard.IndexRequest(field, want)))
		}
	}
	for field := range info.Indexes {
		if t.Schema[field] == nil {
			ops = append(ops, shard.DeleteIndex(&pb.DeleteFieldIndexCollection{FieldName: field}))
		}
	}
	for _, op := range ops {
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

func newCollection(t *topology.Collection, shards map[uint32]*replica) (*collection, error) {
	schema, err := shard.NewSchema(t.Config)
	if err != nil {
		return nil, err
	}
	col := &collection{Collection: t, schema: schema, ring: placement.NewRing(t.ShardIDs()), shards: shards}
	col.open, col.closed = col.list()
	return col, nil
}

// Close closes every shard after a last checkpoint, then the log. It is
// idempotent.
func (c *Coordinator) Close() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.mu.Lock()
	open := c.collections
	c.collections = map[string]*collection{}
	c.mu.Unlock()
	var errs []error
	for _, col := range open {
		errs = append(errs, col.close())
	}
	if c.log != nil {
		errs = append(errs, c.log.Close())
	}
	return errors.Join(errs...)
}

func (col *collection) close() error {
	var errs []error
	for id, r := range col.shards {
		if r.Shard != nil {
			if err := r.Close(); err != nil {
				errs = append(errs, fmt.Errorf("close shard %d of %s: %w", id, col.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// collection returns an open collection by name or alias.
func (c *Coordinator) collection(name string) (*collection, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	t, err := c.state.Collection(name)
	if err != nil {
		return nil, err
	}
	col, ok := c.collections[t.Name]
	if !ok {
		return nil, apierror.New(apierror.Unavailable, "Collection `%s` is not open on this node", t.Name)
	}
	return col, nil
}

// all returns the collection's shards in the order of their numbers, or why one
// of them can't answer. The list is shared and only read.
func (col *collection) all() ([]*shard.Shard, error) { return col.open, col.closed }

func (col *collection) list() ([]*shard.Shard, error) {
	list := make([]*shard.Shard, 0, len(col.shards))
	for _, id := range slices.Sorted(maps.Keys(col.shards)) {
		s, err := col.shard(id)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func (col *collection) shard(id uint32) (*shard.Shard, error) {
	r := col.shards[id]
	if r == nil {
		return nil, apierror.New(apierror.Internal, "shard %d of collection %s is unknown", id, col.Name)
	}
	if r.err != nil {
		return nil, apierror.New(apierror.Unavailable, "shard %d of collection %s did not open: %w", id, col.Name, r.err)
	}
	return r.Shard, nil
}

// change applies a topology command, makes the new state durable and then
// visible. The caller holds changing.
func (c *Coordinator) change(cmd topology.Command) (changed bool, err error) {
	next := c.state.Clone() // only written under changing, which we hold
	if changed, err = next.Apply(cmd); err != nil || !changed {
		return changed, err
	}
	save := c.store.Save
	if _, ok := cmd.(topology.DeleteCollection); ok {
		save = c.store.SaveDeletion
	}
	if err := save(next); fsx.IsFull(err) {
		return false, apierror.New(apierror.StorageFull, "the disk is full: save topology: %w", err)
	} else if err != nil {
		return false, fmt.Errorf("save topology: %w", err)
	}
	c.mu.Lock()
	c.state = next
	c.mu.Unlock()
	return true, nil
}

// shardDir names the incarnation too, so that a collection that is deleted and
// created again under its name never sees the old data.
func (c *Coordinator) shardDir(t *topology.Collection, id uint32) string {
	return path.Join(c.opts.StoragePath, "collections", t.Name, t.Incarnation, strconv.FormatUint(uint64(id), 10))
}

func streamID(t *topology.Collection, id uint32) string {
	return fmt.Sprintf("%s/%d", t.Incarnation, id)
}
