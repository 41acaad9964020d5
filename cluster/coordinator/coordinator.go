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
	"slices"
	"sync"
	"time"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/consensus"
	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/budget"
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
	// ShardsPerNode is how many shards a collection has for each node, where neither the request
	// nor Defaults say how many it has; 0 is 1.
	ShardsPerNode uint32
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
	// Topology and Shards are those of a cluster; nil is a node alone, which keeps
	// everything under StoragePath. Both or none.
	Topology Topology
	Shards   Shards
	// Admin is the cluster's desk for operators; nil is that of a node alone.
	Admin admin.Desk
}

// Coordinator is the front desk of one node. Its methods are safe for concurrent
// use.
type Coordinator struct {
	opts     Options
	topology Topology
	shards   Shards
	// turns serialise changes that clients ask for, from looking to their place in the
	// shards' order.
	turns turns
	// creating serialises creations, for the limit of their number.
	creating sync.Mutex
	care     caretaker

	// mu guards collections. It is held for map look-ups only.
	mu          sync.RWMutex
	collections map[string]*collection // by own name
}

// collection is an open collection. It is replaced, not changed, when the
// topology changes; its shards are carried over.
type collection struct {
	*topology.Collection
	schema *shard.Schema
	ids    []uint32 // of the shards, on the ring
	// oneRing is the ring without shard keys, keyRings are those of shard keys.
	oneRing  []*placement.Ring
	keyRings *placement.Rings
	shards   map[uint32]*replica
	// open are the shards in the order of their numbers; when one of them isn't
	// open, closed says why instead.
	open    []shardcall.Shard
	targets []target
	closed  error
	// local says that all shards are in this process.
	local bool
}

// replica is the handle of a shard, or the reason why it can't be used.
type replica struct {
	shardcall.Shard
	err error
}

// Open opens everything under o.StoragePath, or what o's topology names. A shard that
// can't be opened doesn't keep the node from starting: its collection is reported red
// and its reads and writes fail with the reason.
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
	c := &Coordinator{opts: o, topology: o.Topology, shards: o.Shards, collections: map[string]*collection{}}
	if c.topology == nil {
		if err := c.openOwn(); err != nil {
			return nil, err
		}
	}
	if err := c.startCare(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// openOwn opens the topology and the log of a node alone.
func (c *Coordinator) openOwn() error {
	clustered, err := consensus.HasState(c.opts.FS, layout.Consensus(c.opts.StoragePath))
	if err != nil {
		return err
	}
	if clustered {
		return apierror.New(apierror.Precondition, "%s belongs to a node of a cluster, and can't be opened without one: set cluster.enabled "+
			"(QDRANT__CLUSTER__ENABLED=true); a cluster of one node serves all that a node alone does", c.opts.StoragePath)
	}
	if err := c.opts.FS.MkdirAll(layout.Collections(c.opts.StoragePath)); err != nil {
		return fmt.Errorf("create storage directory: %w", err)
	}
	t, err := openTopology(c.opts.FS, c.opts.StoragePath)
	if err != nil {
		return err
	}
	s, err := openShards(&c.opts, t.State())
	if err != nil {
		return err
	}
	c.topology, c.shards = t, s
	return nil
}

// Close closes every shard after a last checkpoint, then the log. It is
// idempotent.
func (c *Coordinator) Close() error {
	c.turns.changing.Lock()
	defer c.turns.changing.Unlock()
	c.stopCare()
	c.mu.Lock()
	open := c.collections
	c.collections = map[string]*collection{}
	c.mu.Unlock()
	var errs []error
	for _, col := range open {
		errs = append(errs, c.release(col))
	}
	return errors.Join(append(errs, c.shards.Close())...)
}

// errNotYet is said of a collection that is in the topology, and that the caretaker hasn't looked at yet.
var errNotYet = errors.New("is not open on this node")

// collection returns an open collection by name or alias. One that another node has just made is waited for.
func (c *Coordinator) collection(ctx context.Context, name string) (*collection, error) {
	col, err := c.atOnce(name)
	if !errors.Is(err, errNotYet) {
		return col, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-c.nextRound():
		return c.atOnce(name)
	case <-ctx.Done():
		return nil, timely(ctx.Err())
	}
}

// atOnce is collection for those who don't wait.
func (c *Coordinator) atOnce(name string) (*collection, error) {
	t, err := c.known(name)
	if err != nil {
		return nil, err
	}
	c.mu.RLock()
	col, ok := c.collections[t.Name]
	c.mu.RUnlock()
	if ok && col.Incarnation == t.Incarnation {
		return col, nil
	}
	if err := c.failure(t.Incarnation); err != nil {
		return nil, apierror.New(apierror.Unavailable, "Collection `%s` can't be opened on this node: %w", t.Name, err)
	}
	return nil, apierror.New(apierror.Unavailable, "Collection `%s` %w", t.Name, errNotYet)
}

// known finds a collection in the topology. Lists of all there is don't wait: who looks for something looks again.
func (c *Coordinator) known(name string) (*topology.Collection, error) {
	if t, err := c.topology.State().Collection(name); err == nil {
		return t, nil
	}
	if err := c.behind(); err != nil {
		return nil, err
	}
	return c.topology.State().Collection(name) // it may have come in between
}

// behind is why nobody can be told that something isn't there, nil is that he can.
func (c *Coordinator) behind() error {
	if !c.topology.Behind() {
		return nil
	}
	return apierror.New(apierror.Unavailable, "This node has just come to its cluster, and doesn't know yet what there is")
}

// newCollection takes over what is the same in an older form of the collection, which may
// be nil: in a cluster a record changes with every leader, but seldom what matters here.
func newCollection(t *topology.Collection, shards map[uint32]*replica, old *collection) (*collection, error) {
	col := &collection{Collection: t, ids: shardIDs(t), shards: shards, local: true}
	switch {
	case old != nil && slices.Equal(old.ids, col.ids):
		col.oneRing, col.keyRings = old.oneRing, old.keyRings
	case col.isKeyed():
		col.keyRings = placement.NewRings(t.Shards)
	default:
		col.oneRing = []*placement.Ring{placement.NewRing(col.ids)}
	}
	if old != nil && old.Config == t.Config {
		col.schema = old.schema
	} else {
		var err error
		if col.schema, err = shard.NewSchema(t.Config); err != nil {
			return nil, err
		}
	}
	col.open, col.closed = col.list()
	for i, s := range col.open {
		col.targets = append(col.targets, target{Shard: s, id: col.ids[i]})
		col.local = col.local && s.Local()
	}
	return col, nil
}

// all returns the collection's shards in the order of their numbers, or why one
// of them can't answer. The list is shared and only read.
func (col *collection) all() ([]shardcall.Shard, error) { return col.open, col.closed }

func (col *collection) list() ([]shardcall.Shard, error) {
	list := make([]shardcall.Shard, 0, len(col.shards))
	for _, id := range slices.Sorted(maps.Keys(col.shards)) {
		s, err := col.shard(id)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func (col *collection) shard(id uint32) (shardcall.Shard, error) {
	r := col.shards[id]
	if r == nil {
		return nil, apierror.New(apierror.Internal, "shard %d of collection %s is unknown", id, col.Name)
	}
	if r.err != nil {
		return nil, apierror.New(apierror.Unavailable, "shard %d of collection %s did not open: %w", id, col.Name, r.err)
	}
	return r.Shard, nil
}
