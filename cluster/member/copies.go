package member

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/cluster/feed"
	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/shard"
)

// openAtOnce is how many copies are opened at the same time.
const openAtOnce = 8

// follow keeps the copies on this node in step with the topology. It looks at what has changed, at all
// when the node has registered.
func (m *Member) follow(ctx context.Context) {
	peers := m.machine.Follow()
	var shards *feed.Reader
	registered := m.part
	for {
		v, changed, news := peers.Take()
		for id := range news.Peers {
			if p := v.Peer(id); p != nil {
				m.meetPeer(p)
			}
		}
		m.forgetRemoved(v)
		if at := m.registered.Load(); at > 0 && v.Index >= at {
			if shards == nil {
				shards = m.machine.Follow()
			}
			v, changed, news = shards.Take()
			m.reconcile(ctx, v, news)
		}
		select {
		case <-changed:
		case <-registered:
			registered = nil // what was known then is looked at again, once
		case <-ctx.Done():
			return
		}
	}
}

// wantedCopy is a copy that the topology puts on this node.
type wantedCopy struct {
	collection *topology.Collection
	shard      *topology.Shard
	replica    topology.Replica
}

func nameOf(c *topology.Collection, s *topology.Shard) topology.ShardName {
	return topology.ShardName{Collection: c.Incarnation, Shard: s.ID}
}

// reconcile opens, tells and removes copies as the topology wants it.
func (m *Member) reconcile(ctx context.Context, v *view, news feed.News) {
	var missing []wantedCopy
	var gone []*replica
	touched := m.touched(v, news)
	m.mu.Lock()
	for name := range touched {
		w, wanted := m.wants(v, name)
		r := m.replicas[name]
		if r != nil && (!wanted || w.replica.Alloc != r.alloc) {
			gone = append(gone, r)
			delete(m.replicas, name)
			r = nil
		}
		if wanted && r == nil {
			missing = append(missing, w)
		}
	}
	m.mu.Unlock()
	for _, r := range gone {
		if err := m.removeCopy(ctx, r); err != nil {
			m.log.WarnContext(ctx, "removing a copy of a shard", "shard", r.name.Shard, "error", err)
		}
	}
	if news.Names || !m.swept {
		m.sweep(ctx, v)
	}
	m.openCopies(ctx, missing)
	for name := range touched {
		m.tellCopy(v, name)
	}
}

// touched are the shards whose copies here the news may concern, and those that couldn't be opened.
func (m *Member) touched(v *view, news feed.News) map[topology.ShardName]struct{} {
	out := map[topology.ShardName]struct{}{}
	maps.Copy(out, news.Shards)
	maps.Copy(out, m.unopened)
	for incarnation := range news.Collections {
		if c := v.Incarnation(incarnation); c != nil {
			for _, s := range c.Shards {
				out[nameOf(c, s)] = struct{}{}
			}
		}
	}
	// Of shards and collections that are gone only the copies here tell; these know, too, whom they
	// talk to.
	if len(news.Collections)+len(news.Peers) == 0 {
		return out
	}
	for _, r := range m.open() {
		_, changed := news.Collections[r.name.Collection]
		if changed || r.concerns(news.Peers) {
			out[r.name] = struct{}{}
		}
	}
	return out
}

// concerns tells whether one of the peers has a copy of the shard.
func (r *replica) concerns(peers map[topology.PeerID]struct{}) bool {
	if len(peers) == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.config.Shard == nil || slices.ContainsFunc(r.config.Replicas, func(c topology.Replica) bool {
		_, ok := peers[c.Peer]
		return ok
	})
}

// wants returns the copy of a shard that the topology puts on this node.
func (m *Member) wants(v *view, name topology.ShardName) (w wantedCopy, ok bool) {
	if w.collection = v.Incarnation(name.Collection); w.collection == nil {
		return w, false
	}
	if w.shard = w.collection.Shard(name.Shard); w.shard == nil {
		return w, false
	}
	w.replica, ok = w.shard.Replica(m.self.Peer)
	return w, ok
}

// openCopies opens copies, and says which are there now.
func (m *Member) openCopies(ctx context.Context, missing []wantedCopy) {
	var g errgroup.Group
	g.SetLimit(openAtOnce)
	created := make([]topology.HeldReplica, len(missing))
	opened := make([]bool, len(missing))
	for i, w := range missing {
		g.Go(func() error {
			name := nameOf(w.collection, w.shard)
			r, err := m.openCopy(ctx, name, w)
			if err != nil {
				if ctx.Err() == nil {
					m.giveUp(name, fmt.Errorf("open: %w", err))
				}
				return nil // the others open all the same
			}
			opened[i] = true
			m.mu.Lock()
			m.replicas[name] = r
			m.mu.Unlock()
			m.links.tell(r)
			if !w.replica.Created {
				created[i] = topology.HeldReplica{Shard: name, Alloc: r.alloc}
			}
			return nil
		})
	}
	_ = g.Wait() // failures are logged
	m.unopened = map[topology.ShardName]struct{}{}
	for i, w := range missing {
		if !opened[i] {
			m.unopened[nameOf(w.collection, w.shard)] = struct{}{} // again, with the next change
			m.swept = false                                        // what isn't open isn't removed otherwise, when the topology gives it up
		}
	}
	created = slices.DeleteFunc(created, func(h topology.HeldReplica) bool { return h.Alloc == 0 })
	if len(created) > 0 {
		m.work.Go(func() { m.announce(ctx, created) })
	}
}

// announce tells the topology that copies are there, until it knows.
func (m *Member) announce(ctx context.Context, created []topology.HeldReplica) {
	for {
		_, err := m.Change(ctx, topology.ReplicasCreated{Peer: m.self.Peer, Copies: created})
		if err == nil {
			return
		}
		m.log.WarnContext(ctx, "announcing copies of shards", "error", err)
		if pause(ctx, retryAfter, nil) != nil {
			return
		}
	}
}

// tellCopy tells a copy what the topology says of it.
func (m *Member) tellCopy(v *view, name topology.ShardName) {
	r := m.replica(name)
	w, ok := m.wants(v, name)
	if r == nil || !ok {
		return
	}
	r.configure(configOf(v.State, w.collection, w.shard))
	if w.shard.Leader == m.self.Peer {
		m.startAdapting(r, w.collection, w.shard)
	}
}

// configOf is what the topology says about a shard, as its copies need it.
func configOf(state *topology.State, c *topology.Collection, s *topology.Shard) replication.Config {
	p := c.Config.GetParams()
	out := replication.Config{
		Shard: s, MinInSync: int(max(1, min(p.GetWriteConsistencyFactor(), p.GetReplicationFactor()))),
		Incarnations: make(map[topology.PeerID]uint64, len(s.Replicas)),
	}
	for _, r := range s.Replicas {
		peer := state.Peer(r.Peer)
		if peer == nil || peer.Fenced {
			out.Fenced = append(out.Fenced, r.Peer)
		}
		if peer != nil {
			out.Incarnations[r.Peer] = peer.Incarnation
		}
	}
	return out
}

// configure gives a copy its record when it is another one than before, or its peers have
// changed.
func (r *replica) configure(c replication.Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.config
	if old.Shard == c.Shard && old.MinInSync == c.MinInSync && slices.Equal(old.Fenced, c.Fenced) && maps.Equal(old.Incarnations, c.Incarnations) {
		return
	}
	r.config = c
	r.stepLocked(replication.ConfigChanged{Config: c})
}

// openCopy opens a copy, or makes a new one in an empty place.
func (m *Member) openCopy(ctx context.Context, name topology.ShardName, w wantedCopy) (*replica, error) {
	dir := layout.Shard(m.o.StoragePath, w.collection, w.shard.ID)
	known, ok, err := loadMarks(ctx, m.data.Stream(layout.Marks(name)))
	if err != nil {
		return nil, err
	}
	if !ok || known.last.alloc != w.replica.Alloc {
		if w.replica.Created {
			return nil, fmt.Errorf("copy %d is not on this disk", w.replica.Alloc)
		}
		// What is left of an earlier copy is of no use.
		if err := m.wipe(ctx, name, dir); err != nil {
			return nil, err
		}
		known = &marks{stream: m.data.Stream(layout.Marks(name))}
		if err := known.store(ctx, mark{alloc: w.replica.Alloc}); err != nil {
			return nil, err
		}
	}
	r := &replica{
		node: m, name: name, alloc: w.replica.Alloc, dir: dir, stream: m.data.Stream(layout.Log(name)), marks: known,
		reading: map[topology.PeerID]bool{}, asked: map[uint64]*request{},
	}
	r.idle.L = &r.mu
	r.ctx, r.stop = context.WithCancel(m.ctx)
	if err := m.startCopy(ctx, r, w.collection); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// startCopy opens the data of a copy and starts its state machine.
func (m *Member) startCopy(ctx context.Context, r *replica, c *topology.Collection) error {
	s, err := m.openShard(ctx, r, c)
	if err != nil {
		return err
	}
	r.shard.Store(s)
	state, err := r.logState(ctx, s)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	r.applied = state.Applied
	if err := r.belongsTogether(ctx, s); err != nil {
		return errors.Join(err, s.Close())
	}
	r.recent.end = r.stream.Last()
	r.sm = replication.New(replication.Options{
		Self: m.self.Peer, Incarnation: m.self.Incarnation, Alloc: r.alloc, Shard: r.name, Log: state, Recent: r.opened,
	})
	return nil
}

// belongsTogether makes sure that files and log are of one life: the log has what the files end
// with. A crash while files were taken leaves others, and so does a log that lost its end.
func (r *replica) belongsTogether(ctx context.Context, s *shard.Shard) error {
	flushed := s.Flushed()
	if flushed.Seq == 0 {
		return nil
	}
	at, err := r.stream.At(ctx, flushed.Seq)
	if err != nil {
		return fmt.Errorf("files end with entry %d: %w", flushed.Seq, err)
	}
	if at != flushed {
		return fmt.Errorf("files end with entry %v, the log has %v there", flushed, at)
	}
	return nil
}

// openShard opens the data of a copy.
func (m *Member) openShard(ctx context.Context, r *replica, c *topology.Collection) (*shard.Shard, error) {
	s, err := m.o.OpenShard(ctx, c, shard.Options{
		FS: m.o.FS, Dir: r.dir, Log: r.stream, Config: c.Config, Replicated: true, Hooks: r.hooks(),
		Logger: m.log.With("collection", c.Name, "shard", r.name.Shard),
	})
	if err != nil {
		return nil, err
	}
	if err := s.Err(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// logState is what a copy finds on its disk.
func (r *replica) logState(ctx context.Context, s *shard.Shard) (state replication.LogState, err error) {
	r.flushed.Store(s.Flushed().Seq)
	epochs, err := r.stream.Epochs(ctx)
	if err != nil {
		return state, err
	}
	state = replication.LogState{
		First: r.stream.First(), Last: replication.Position(r.stream.Last()), Applied: s.Applied(),
		Epoch: r.marks.last.epoch, History: r.marks.last.history,
	}
	base, err := r.stream.At(ctx, state.First-1)
	if err != nil {
		return state, err
	}
	state.Base = replication.Position(base)
	for _, e := range epochs {
		state.Epochs = append(state.Epochs, replication.EpochStart(e))
	}
	err = r.stream.Read(ctx, state.Applied+1, func(rec oplog.Record) error {
		e, err := readRecord(replication.Position(rec.Position), rec.Data)
		if err == nil && e.Op != (replication.OpID{}) {
			state.Ops = append(state.Ops, replication.LoggedOp{Seq: e.Seq, Op: e.Op})
		}
		return err
	})
	return state, err
}

// recall takes in which operations are applied in a shard's files; those that follow are noted
// behind them.
func (r *replica) recall(stored []byte) error {
	table := &replication.OpTable{}
	if len(stored) > 0 {
		var err error
		if table, err = replication.DecodeOpTable(stored); err != nil {
			return err
		}
	}
	r.done, r.opened = table, table.Clone()
	return nil
}

// close stops a copy and closes its data after a last checkpoint.
func (r *replica) close() error {
	r.mu.Lock()
	r.closed = true
	r.lose()
	for token, q := range r.asked {
		delete(r.asked, token)
		q.fail(&shardcall.Moved{})
	}
	r.mu.Unlock()
	r.stop()
	r.node.wake(r, 0, false)
	r.work.Wait()
	if s := r.shard.Load(); s != nil {
		return s.Close()
	}
	return nil
}

// removeCopy removes a copy that the topology has taken away.
func (m *Member) removeCopy(ctx context.Context, r *replica) error {
	err := r.close()
	return errors.Join(err, m.wipe(ctx, r.name, r.dir))
}

// wipe removes what a disk has of a shard: first what says that it is a copy.
func (m *Member) wipe(ctx context.Context, name topology.ShardName, dir string) error {
	err := errors.Join(m.data.Stream(layout.Marks(name)).Drop(ctx), m.o.FS.RemoveAll(dir))
	// As long as there are files the log is what they are found by.
	if err == nil {
		err = m.data.Stream(layout.Log(name)).Drop(ctx)
	}
	if err != nil {
		return fmt.Errorf("remove copy of shard %d of %s: %w", name.Shard, name.Collection, err)
	}
	return nil
}

// sweep removes what is on this disk without a place in the topology: the data of collections that
// were deleted, and, once or after a copy couldn't be opened, copies that were taken away. Only what the
// topology lists as deleted or gives to others is removed, so that a lost topology never costs data; and
// not what is of before the cluster began anew, perhaps with a topology that had missed something.
func (m *Member) sweep(ctx context.Context, v *view) {
	dropped := v.Dropped()
	first := !m.swept
	m.swept = true
	for _, id := range m.data.Streams() {
		name, _, ok := layout.Parse(id)
		if !ok {
			continue
		}
		dir := ""
		if c := v.Incarnation(name.Collection); c != nil && first && !m.has(c, name.Shard) && !m.isOlder(ctx, v, name) {
			dir = layout.Shard(m.o.StoragePath, c, name.Shard)
		} else if dropped[name.Collection] != "" {
			dir = layout.Collection(m.o.StoragePath, dropped[name.Collection], name.Collection)
		}
		if dir == "" {
			continue
		}
		if err := m.wipe(ctx, name, dir); err != nil {
			m.log.WarnContext(ctx, "removing what isn't needed any more", "collection", name.Collection, "shard", name.Shard, "error", err)
			m.swept = false // again
		}
	}
	if !first {
		return
	}
	if err := m.sweepFiles(ctx, v); err != nil {
		m.log.WarnContext(ctx, "removing files that aren't needed any more", "error", err)
		m.swept = false
	}
}

// sweepFiles removes directories of copies that were taken away, of which the log has nothing: a crash
// came when they were being removed.
func (m *Member) sweepFiles(ctx context.Context, v *view) error {
	var errs []error
	for _, c := range v.Collections() {
		dir := layout.Collection(m.o.StoragePath, c.Name, c.Incarnation)
		entries, err := m.o.FS.ReadDir(dir)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		for _, e := range entries {
			id, err := strconv.ParseUint(e.Name(), 10, 32)
			if err == nil && !m.has(c, uint32(id)) && !m.isOlder(ctx, v, topology.ShardName{Collection: c.Incarnation, Shard: uint32(id)}) {
				errs = append(errs, m.o.FS.RemoveAll(layout.Shard(m.o.StoragePath, c, uint32(id))))
			}
		}
	}
	return errors.Join(errs...)
}

// isOlder tells whether the copy of a shard on this disk is of before the cluster began anew.
func (m *Member) isOlder(ctx context.Context, v *view, name topology.ShardName) bool {
	k, ok, err := loadMarks(ctx, m.data.Stream(layout.Marks(name)))
	if err != nil || !ok || !v.IsOlder(k.last.alloc) {
		return err != nil // nobody knows
	}
	m.log.WarnContext(ctx, "a copy of before the cluster began anew, which it gives to others, is kept", "collection", name.Collection,
		"shard", name.Shard)
	return true
}

// has tells whether the topology puts a copy of a shard on this node.
func (m *Member) has(c *topology.Collection, id uint32) bool {
	s := c.Shard(id)
	if s == nil {
		return false
	}
	_, ok := s.Replica(m.self.Peer)
	return ok
}

// held lists the copies on this disk.
func (m *Member) held(ctx context.Context) (out []topology.HeldReplica, err error) {
	for _, id := range m.data.Streams() {
		name, isMark, ok := layout.Parse(id)
		if !ok || !isMark {
			continue
		}
		k, ok, err := loadMarks(ctx, m.data.Stream(id))
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, topology.HeldReplica{Shard: name, Alloc: k.last.alloc})
		}
	}
	return out, nil
}
