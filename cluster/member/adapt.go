package member

import (
	"context"
	"errors"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
)

// A change of a collection's configuration or payload indexes is agreed on in the topology. Then the
// leader of each shard compares the shard with the newest topology that it knows, and appends to the
// shard's log what it lacks. Nobody else does, one goroutine at a time, and a leader knows all that its
// predecessors knew: so whatever the order in which nodes hear of changes, the shard ends up as
// the topology wants it, on every copy at the same place in its log.

// adapted is up to where a shard that is led here follows its collection. The replica's mu guards it.
type adapted struct {
	// epoch and version are the leadership and the schema version for which it was done; err is why
	// something couldn't be.
	epoch, version uint64
	err            error
	// working says that a goroutine is at it; changed is closed when there is news.
	working bool
	changed chan struct{}
}

// startAdapting begins to adapt a shard that is led here and doesn't follow its collection yet.
func (m *Member) startAdapting(r *replica, c *topology.Collection, sh *topology.Shard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := &r.adapted
	if !r.closed && !a.working && (a.epoch != sh.Epoch || a.version != c.SchemaVersion) {
		a.working = true
		r.work.Go(func() { m.adapt(r) })
	}
}

// adapt makes a shard follow its collection, until it does or is led elsewhere.
func (m *Member) adapt(r *replica) {
	wait := attempts()
	for {
		v, news := m.machine.Newest()
		c := v.Incarnation(r.name.Collection)
		var sh *topology.Shard
		if c != nil {
			sh = c.Shard(r.name.Shard)
		}
		r.mu.Lock()
		if r.closed || sh == nil || sh.Leader != m.self.Peer || r.adapted.epoch == sh.Epoch && r.adapted.version == c.SchemaVersion {
			r.adapted.working = false
			r.mu.Unlock()
			return
		}
		first := r.adapted.epoch != sh.Epoch
		r.mu.Unlock()
		again, err := m.adaptTo(r, c, first)
		if again {
			m.log.DebugContext(r.ctx, "adapting a shard to its collection", "shard", r.name.Shard, "error", err)
			if pause(r.ctx, wait.Next(), news) != nil {
				r.mu.Lock()
				r.adapted.working = false
				r.mu.Unlock()
				return
			}
			continue
		}
		wait.Reset()
		r.mu.Lock()
		a := &r.adapted
		a.epoch, a.version, a.err = sh.Epoch, c.SchemaVersion, err
		if a.changed != nil {
			close(a.changed)
			a.changed = nil
		}
		r.mu.Unlock()
	}
}

// adaptTo appends what a shard lacks. In a new leadership the configuration is told in any case: copies
// that were made at different times may have begun with different ones. again says that the error is
// none of an operation, and that it is to be tried again.
func (m *Member) adaptTo(r *replica, c *topology.Collection, first bool) (again bool, err error) {
	if err := r.confirm(r.ctx); err != nil {
		return true, err
	}
	info := r.shard.Load().Info()
	ops := info.Lacking(c.Config, c.Schema)
	if first && (len(ops) == 0 || ops[0].Kind != shard.KindSetConfig) {
		ops = append([]shard.Op{shard.SetConfig(c.Config)}, ops...)
	}
	var errs []error
	for _, op := range ops {
		body, err := op.Encode()
		if err != nil {
			return false, err
		}
		q, err := r.propose(r.ctx, replication.OpID{}, body) // nobody tries it again
		if err != nil {
			return true, err
		}
		if err := q.wait(r.ctx, q.visible); err != nil {
			return true, err
		}
		errs = append(errs, q.result)
	}
	return false, errors.Join(errs...)
}

// awaitAdapted returns when a shard that is led here follows its collection as of a schema version, on
// all copies in sync.
func (m *Member) awaitAdapted(ctx context.Context, r *replica, version uint64) error {
	for {
		_, news := m.machine.Newest()
		r.mu.Lock()
		a := &r.adapted
		leads := !r.closed && r.sm.Role() == replication.Leader
		if leads && a.epoch == r.sm.Epoch() && a.version >= version {
			defer r.mu.Unlock()
			return a.err
		}
		if a.changed == nil {
			a.changed = make(chan struct{})
		}
		changed := a.changed
		r.mu.Unlock()
		if !leads {
			return &shardcall.Moved{}
		}
		select {
		case <-changed:
		case <-news: // another may lead
		case <-r.ctx.Done():
			return &shardcall.Moved{}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// elsewhere makes an error that other nodes understand of one that says that the shard is led
// elsewhere.
func elsewhere(err error) error {
	if _, moved := errors.AsType[*shardcall.Moved](err); moved {
		return apierror.New(apierror.Unavailable, "the shard is led by another node: %w", err)
	}
	return err
}

// adapting is the ticket of a change that a shard's leader carries out. What makes it durable is the
// topology, which has it.
type adapting struct {
	s       *routed
	version uint64
}

var _ shardcall.Ticket = &adapting{}

// Seq implements shardcall.Ticket: its place in the log is the leader's affair.
func (*adapting) Seq() uint64 { return 0 }

// Durable implements shardcall.Ticket.
func (*adapting) Durable(context.Context) error { return nil }

// Applied implements shardcall.Ticket.
func (t *adapting) Applied(ctx context.Context) error { return t.Visible(ctx) }

// Visible implements shardcall.Ticket.
func (t *adapting) Visible(ctx context.Context) error {
	timed, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	err := t.s.retry(timed, "follow the change of its collection yet", func(rec *topology.Shard) (again bool, err error) {
		err = t.attempt(timed, rec.Leader)
		return isElsewhere(err) || apierror.KindOf(err) == apierror.Unavailable || timed.Err() != nil, err
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// attempt waits at the leader.
func (t *adapting) attempt(ctx context.Context, leader topology.PeerID) error {
	switch leader {
	case 0:
		return &shardcall.Moved{}
	case t.s.m.self.Peer:
		if r := t.s.m.replica(t.s.name); r != nil {
			return t.s.m.awaitAdapted(ctx, r, t.version)
		}
		return &shardcall.Moved{}
	}
	conn, err := t.s.m.pool.Peer(leader)
	if err != nil {
		return err
	}
	_, err = conn.Call(ctx, peer.Call{Shard: t.s.name, Kind: awaitAdapted, At: t.version})
	return err
}
