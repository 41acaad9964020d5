package coordinator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/cluster/feed"
	"github.com/sextantdb/sextant/cluster/topology"
)

// parallelOpens bounds the shards that are opened at the same time.
const parallelOpens = 4

// caretaker is one goroutine that brings what is open here in line with the topology,
// whoever changed it: a client of this node, another node, or a restart. Requests that
// change something wait for it (settle) rather than do it.
type caretaker struct {
	wake    chan struct{}
	stop    context.CancelFunc
	stopped chan struct{}
	// tried are the deleted collections whose removal this process has begun. What
	// fails then is left to the next start.
	tried map[string]bool

	// mu guards the rest.
	mu sync.Mutex
	// next, which may be nil, is closed at the end of the next round that begins, and stays so
	// when no more rounds come.
	next chan struct{}
	// failures are what went wrong at the last attempt, by incarnation.
	failures map[string]error
}

// startCare does the first round, whose failures keep the node from starting, and
// starts the caretaker.
func (c *Coordinator) startCare(ctx context.Context) error {
	c.care.wake, c.care.stopped = make(chan struct{}, 1), make(chan struct{})
	c.care.tried, c.care.failures = map[string]bool{}, map[string]error{}
	reader := c.topology.Follow()
	changed := c.round(ctx, reader)
	c.care.mu.Lock()
	var errs []error
	for _, err := range c.care.failures {
		errs = append(errs, err)
	}
	c.care.mu.Unlock()
	ctx, c.care.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := errors.Join(errs...); err != nil {
		close(c.care.stopped)
		return err
	}
	go c.tend(ctx, reader, changed)
	return nil
}

// stopCare returns when no round is under way and none will be.
func (c *Coordinator) stopCare() {
	if c.care.stop == nil {
		return
	}
	c.care.stop()
	<-c.care.stopped
	c.care.stop = nil
	c.care.mu.Lock()
	defer c.care.mu.Unlock()
	if c.care.next == nil {
		c.care.next = make(chan struct{})
	}
	close(c.care.next)
}

func (c *Coordinator) tend(ctx context.Context, reader *feed.Reader, changed <-chan struct{}) {
	defer close(c.care.stopped)
	for {
		select {
		case <-changed:
		case <-c.care.wake:
		case <-ctx.Done():
			return
		}
		c.care.mu.Lock()
		waited := c.care.next
		c.care.next = nil
		c.care.mu.Unlock()
		changed = c.round(ctx, reader)
		if waited != nil {
			close(waited)
		}
	}
}

// settle returns when what is open here is in line with the topology as it is now, or
// a failure says why not. What it waits for is this node's disk.
func (c *Coordinator) settle() { <-c.nextRound() }

// nextRound returns a channel that is closed when a round ends that hasn't begun yet, or none will.
func (c *Coordinator) nextRound() <-chan struct{} {
	c.care.mu.Lock()
	defer c.care.mu.Unlock()
	if c.care.next == nil {
		c.care.next = make(chan struct{})
	}
	select {
	case c.care.wake <- struct{}{}:
	default: // a round will begin anyway
	}
	return c.care.next
}

// failure returns what went wrong with a collection.
func (c *Coordinator) failure(incarnation string) error {
	c.care.mu.Lock()
	defer c.care.mu.Unlock()
	return c.care.failures[incarnation]
}

// note remembers what an attempt came to.
func (c *Coordinator) note(ctx context.Context, t *topology.Collection, doing string, err error) {
	c.care.mu.Lock()
	defer c.care.mu.Unlock()
	if err == nil {
		delete(c.care.failures, t.Incarnation)
		return
	}
	c.care.failures[t.Incarnation] = err
	c.opts.Logger.ErrorContext(ctx, "can't follow the topology", "doing", doing, "collection", t.Name, "error", err)
}

// round brings what is open in line with what has changed in the topology, and tries again what failed:
// first what is gone, which makes room, then what is new or different. changed is closed when another
// round is due.
func (c *Coordinator) round(ctx context.Context, reader *feed.Reader) (changed <-chan struct{}) {
	view, changed, news := reader.Take()
	gone := map[string]bool{}
	var there []*topology.Collection
	for _, incarnation := range slices.Concat(news.Affected(), c.failed()) {
		if t := view.Incarnation(incarnation); t != nil {
			there = append(there, t)
		} else {
			gone[incarnation] = true
		}
	}
	c.releaseAll(ctx, gone)
	if news.Names {
		c.removeDropped(ctx, view.State)
	}
	var g errgroup.Group
	g.SetLimit(parallelOpens)
	for _, t := range there {
		c.mu.RLock()
		old := c.collections[t.Name]
		c.mu.RUnlock()
		if old == nil || old.Collection != t {
			g.Go(func() error {
				c.note(ctx, t, "open", c.follow(ctx, t, old))
				return nil
			})
		}
	}
	_ = g.Wait() // failures are noted
	return changed
}

// failed are the incarnations with which something went wrong.
func (c *Coordinator) failed() []string {
	c.care.mu.Lock()
	defer c.care.mu.Unlock()
	return slices.Collect(maps.Keys(c.care.failures))
}

// releaseAll gives up collections that are gone.
func (c *Coordinator) releaseAll(ctx context.Context, gone map[string]bool) {
	if len(gone) == 0 {
		return
	}
	for _, col := range c.opened() {
		if !gone[col.Incarnation] {
			continue
		}
		c.unpublish(col)
		if err := c.release(col); err != nil {
			c.opts.Logger.WarnContext(ctx, "closing a deleted collection", "collection", col.Name, "error", err)
		}
	}
}

// opened returns the open collections by name.
func (c *Coordinator) opened() map[string]*collection {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return maps.Clone(c.collections)
}

// follow opens a collection, or replaces an older form of it. Shards that both have are
// carried over. It fails only when the configuration itself can't be understood.
func (c *Coordinator) follow(ctx context.Context, t *topology.Collection, old *collection) error {
	shards := make(map[uint32]*replica, len(shardIDs(t)))
	for _, id := range shardIDs(t) {
		if old != nil && old.shards[id] != nil {
			shards[id] = old.shards[id]
			continue
		}
		s, err := c.shards.Open(ctx, t, id)
		if err != nil {
			c.opts.Logger.ErrorContext(ctx, "shard does not open", "collection", t.Name, "shard", id, "error", err)
		}
		shards[id] = &replica{Shard: s, err: err}
	}
	col, err := newCollection(t, shards, old)
	if err != nil {
		return fmt.Errorf("open collection %s: %w", t.Name, errors.Join(err, c.releaseBut(shards, old)))
	}
	c.mu.Lock()
	c.collections[t.Name] = col
	c.mu.Unlock()
	if old == nil {
		return nil
	}
	if err := c.releaseBut(old.shards, col); err != nil {
		c.opts.Logger.WarnContext(ctx, "closing a shard that is gone", "collection", t.Name, "error", err)
	}
	return nil
}

func (c *Coordinator) unpublish(col *collection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.collections, col.Name)
}

// release gives up a collection's shards.
func (c *Coordinator) release(col *collection) error { return c.releaseBut(col.shards, nil) }

// releaseBut gives up shards that another form of their collection doesn't have.
func (c *Coordinator) releaseBut(shards map[uint32]*replica, other *collection) error {
	var errs []error
	for id, r := range shards {
		if r.Shard == nil || other != nil && other.shards[id] == r {
			continue
		}
		if err := c.shards.Release(r.Shard); err != nil {
			errs = append(errs, fmt.Errorf("close shard %d: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// removeDropped removes what deleted collections have on disk. What can't be removed
// now is at the next start.
func (c *Coordinator) removeDropped(ctx context.Context, state *topology.State) {
	dropped := state.Dropped()
	maps.DeleteFunc(c.care.tried, func(incarnation string, _ bool) bool {
		_, still := dropped[incarnation]
		return !still
	})
	for incarnation, name := range dropped {
		if c.care.tried[incarnation] {
			continue
		}
		c.care.tried[incarnation] = true
		gone, err := c.shards.Remove(ctx, name, incarnation)
		if err == nil && gone {
			_, err = c.topology.Change(ctx, topology.ForgetDropped{Incarnation: incarnation})
		}
		c.note(ctx, &topology.Collection{Name: name, Incarnation: incarnation}, "remove", err)
	}
}
