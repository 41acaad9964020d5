package member

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/consistency"
	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/backoff"
)

// routed is a shard of the cluster, wherever its copies are: a write goes to the leader, and again
// under the same ID when leadership is lost on the way; a read goes to a copy that is in sync, one on
// this node if there is one, and to another when that fails or is slow.
type routed struct {
	m    *Member
	name topology.ShardName
	// ops counts the writes that this process takes for the shard.
	ops *atomic.Uint64
	// turn spreads reads over copies on other nodes.
	turn atomic.Uint32
}

var (
	_ shardcall.Shard  = &routed{}
	_ shardcall.Copies = &routed{}
)

// The times of routing.
const (
	// writeTime bounds the attempts of a write whose caller names no time.
	writeTime = 60 * time.Second
	// readTime bounds the attempts of a read while no copy can answer.
	readTime = 10 * time.Second
	// firstPause and lastPause are between attempts when nothing in the topology changes.
	firstPause = 10 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// Local implements shardcall.Shard: where a call goes may change at any time.
func (s *routed) Local() bool { return false }

// Here implements shardcall.Copies.
func (s *routed) Here() shardcall.Shard {
	if r := s.m.replica(s.name); r != nil {
		return r
	}
	return nil
}

// local returns the copy on this node if reads may go there.
func (s *routed) local() *replica {
	r := s.m.replica(s.name)
	if r == nil {
		return nil
	}
	if _, err := r.readable(); err != nil {
		return nil
	}
	return r
}

// The kinds of calls of a shard.
const (
	// anyRead is answered from what the copy has.
	anyRead uint32 = iota
	// confirmedRead is answered by the leader, when it has made sure that it still is (R13).
	confirmedRead
	// describeCopies asks a node what it knows of the copies of shards that it leads, describeNode
	// what it tells of itself.
	describeCopies
	describeNode
	// checksumRead asks for the checksum of a copy at an entry.
	checksumRead
	// awaitAdapted waits until the shard follows its collection as of the schema version that is given
	// as At.
	awaitAdapted
	// handOverShard asks the leader of a shard to hand it over, handOverNode a node to hand over all
	// that it leads.
	handOverShard
	handOverNode
)

// at returns the shard as another node's copy answers for it.
func (s *routed) at(p topology.PeerID, kind uint32) *shardcall.Remote {
	return &shardcall.Remote{Call: func(ctx context.Context, req []byte) ([]byte, error) {
		conn, err := s.m.pool.Peer(p)
		if err != nil {
			return nil, err
		}
		return conn.Call(ctx, peer.Call{Shard: s.name, Kind: kind, Request: req})
	}}
}

// atLeader returns the shard as its leader on another node answers for it. A leader that is cut off from
// the consensus doesn't know when another one is elected, and may never answer: who asks isn't held up
// by it for longer than this node knows better.
func (s *routed) atLeader(rec *topology.Shard, kind uint32) *shardcall.Remote {
	there := s.at(rec.Leader, kind)
	return &shardcall.Remote{Call: func(ctx context.Context, req []byte) ([]byte, error) {
		ctx, stop := s.m.machine.whileLeads(ctx, s.name, rec.Epoch)
		defer stop()
		out, err := there.Call(ctx, req)
		if err != nil && errors.Is(context.Cause(ctx), errSuperseded) {
			err = &shardcall.Moved{Unknown: true}
		}
		return out, err
	}}
}

// errSuperseded ends calls of a leader whose epoch is over.
var errSuperseded = errors.New("another leader was elected")

// watchAfter is how long a call of a leader goes on before anybody looks whether it still leads. Nearly
// all are over by then.
const watchAfter = 100 * time.Millisecond

// whileLeads returns a context that ends when a shard is known to be in a later epoch. stop must be
// called.
func (m *machine) whileLeads(ctx context.Context, name topology.ShardName, epoch uint64) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(watchAfter, func() {
		err := m.wait(ctx, func(v *view) bool {
			sh := v.Shard(name)
			return sh == nil || sh.Epoch > epoch
		})
		if err == nil {
			cancel(errSuperseded)
		}
	})
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// attempts are the pauses between attempts.
func attempts() backoff.Backoff { return backoff.Backoff{Base: firstPause, Max: lastPause} }

// record returns the shard's record and a channel that is closed when there is news.
func (s *routed) record() (rec *topology.Shard, news <-chan struct{}, err error) {
	if s.m.turnedAway.Load() {
		return nil, nil, s.m.removed()
	}
	v, news := s.m.machine.Newest()
	if rec = v.Shard(s.name); rec == nil {
		return nil, nil, apierror.New(apierror.NotFound, "shard %d is gone with its collection", s.name.Shard)
	}
	return rec, news, nil
}

// retry tries something with the shard's newest record, until it succeeds, or fails and isn't to be
// tried again. When ctx ends before, it says that the shard can't do that, and why.
func (s *routed) retry(ctx context.Context, what string, try func(*topology.Shard) (again bool, err error)) error {
	wait := attempts()
	for {
		rec, news, err := s.record()
		if err != nil {
			return err
		}
		again, err := try(rec)
		if err == nil || !again {
			return err
		}
		if pause(ctx, wait.Next(), news) != nil {
			return apierror.New(apierror.Unavailable, "shard %d can't %s: %w", s.name.Shard, what, err)
		}
	}
}

// Submit implements shardcall.Shard.
func (s *routed) Submit(ctx context.Context, op shard.Op, w shardcall.Write) (shardcall.Ticket, error) {
	if w.ID == (replication.OpID{}) {
		w.ID = replication.OpID{Peer: s.m.self.Peer, Incarnation: s.m.self.Incarnation, Counter: s.ops.Add(1)}
	}
	until := w.Until
	if until.IsZero() {
		until = time.Now().Add(writeTime)
	}
	t := &retried{s: s, op: op, w: w, until: until}
	if err := t.submit(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// retried is the ticket of a write that is tried again when its leader is lost.
type retried struct {
	shardcall.Ticket
	s     *routed
	op    shard.Op
	w     shardcall.Write
	until time.Time
}

// submit tries until the write is taken, refused, or the time is up.
func (t *retried) submit(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, t.until)
	defer cancel()
	return t.s.retry(ctx, "take the write", func(rec *topology.Shard) (again bool, err error) {
		ticket, err := t.attempt(ctx, rec)
		if err == nil {
			t.Ticket = ticket
		}
		return isElsewhere(err), err
	})
}

// attempt submits to the leader.
func (t *retried) attempt(ctx context.Context, rec *topology.Shard) (shardcall.Ticket, error) {
	if rec.Leader == 0 {
		return nil, &shardcall.Moved{}
	}
	if rec.Leader != t.s.m.self.Peer {
		return t.s.atLeader(rec, anyRead).Submit(ctx, t.op, t.w)
	}
	r := t.s.m.replica(t.s.name)
	if r == nil {
		return nil, &shardcall.Moved{}
	}
	return r.Submit(ctx, t.op, t.w)
}

// isElsewhere tells whether a write may be tried again: the shard is led somewhere else now, or the
// node can't be reached.
func isElsewhere(err error) bool {
	if _, ok := errors.AsType[*shardcall.Moved](err); ok {
		return true
	}
	if refused, ok := errors.AsType[*peer.Refused](err); ok {
		// The node was restarted, or its address is another one's: the topology will say so.
		return refused.Reason == peer.RefusedIncarnation || refused.Reason == peer.RefusedPeer
	}
	return errors.Is(err, peer.ErrUnreachable)
}

// Durable implements shardcall.Ticket.
func (t *retried) Durable(ctx context.Context) error {
	return t.persist(ctx, func() error { return t.Ticket.Durable(ctx) })
}

// Visible implements shardcall.Ticket.
func (t *retried) Visible(ctx context.Context) error {
	return t.persist(ctx, func() error { return t.Ticket.Visible(ctx) })
}

// Applied implements shardcall.Ticket.
func (t *retried) Applied(ctx context.Context) error { return t.Visible(ctx) }

// persist waits, and submits again when the leadership was lost meanwhile.
func (t *retried) persist(ctx context.Context, wait func() error) error {
	for {
		err := wait()
		if err == nil || !isElsewhere(err) {
			return err
		}
		if err := t.submit(ctx); err != nil {
			return err
		}
	}
}

// copies returns the nodes that a read may go to, in the order in which to try them: all that are in
// sync, those that were slow a moment ago behind the others, those that count as gone last.
func (s *routed) copies(rec *topology.Shard) []topology.PeerID {
	state := s.m.State()
	var up, down []topology.PeerID
	for _, p := range rec.InSync {
		switch known := state.Peer(p); {
		case p == s.m.self.Peer:
		case known == nil || known.Fenced:
			down = append(down, p)
		default:
			up = append(up, p)
		}
	}
	if len(up) > 1 {
		k := int(s.turn.Add(1)) % len(up)
		up = slices.Concat(up[k:], up[:k])
	}
	return append(s.m.slow.last(up, time.Now()), down...)
}

// ask has a read answered by a copy, by another one when that fails or is slow, and again while there
// is time and none can.
func ask[T any](ctx context.Context, s *routed, read func(context.Context, shardcall.Shard) (T, error)) (out T, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	err = s.retry(ctx, "be read", func(rec *topology.Shard) (again bool, err error) {
		candidates, err := s.candidates(ctx, rec)
		if err != nil {
			return isElsewhere(err), err
		}
		out, again, err = firstAnswer(ctx, candidates, s.m.extraReads, s.late, read)
		return again, err
	})
	return out, err
}

// late notes that a copy is slow to answer a read.
func (s *routed) late(c shardcall.Shard) {
	if c, ok := c.(awayCopy); ok {
		s.m.slow.note(c.peer, time.Now())
	}
}

// candidates returns the copies that may answer a read, in the order in which to try them. A
// read that asks for more than what one copy has goes to the leader, which has what any number of
// copies agree on: all in sync have what is committed.
func (s *routed) candidates(ctx context.Context, rec *topology.Shard) (out []shardcall.Shard, err error) {
	level := consistency.Of(ctx)
	if level.Mode == consistency.Any {
		if r := s.local(); r != nil {
			out = append(out, r)
		}
		for _, id := range s.copies(rec) {
			out = append(out, awayCopy{s.at(id, anyRead), id})
		}
		return out, nil
	}
	if n := copiesFor(level, len(rec.Replicas)); len(rec.InSync) < n {
		return nil, apierror.New(apierror.Unavailable, "the read asks for %d copies of shard %d, %d are in sync", n, s.name.Shard, len(rec.InSync))
	}
	switch {
	case rec.Leader == 0:
		return nil, nil
	case rec.Leader != s.m.self.Peer:
		return []shardcall.Shard{s.atLeader(rec, confirmedRead)}, nil
	}
	r := s.m.replica(s.name)
	if r == nil {
		return nil, nil
	}
	if err := r.confirm(ctx); err != nil {
		return nil, err
	}
	return []shardcall.Shard{r}, nil
}

// copiesFor is how many of a shard's copies must be in sync for a read.
func copiesFor(l consistency.Level, copies int) int {
	switch l.Mode {
	case consistency.Factor:
		return int(min(l.Copies, 1<<30))
	case consistency.Majority, consistency.Quorum:
		return copies/2 + 1
	case consistency.All:
		return copies
	default:
		return 1
	}
}

// confirm returns when what was committed at the call is applied here, and this copy has made sure
// that it leads (R13).
func (r *replica) confirm(ctx context.Context) error {
	seq, err := r.readIndex(ctx)
	if err != nil {
		return err
	}
	s := r.shard.Load()
	if s == nil {
		return &shardcall.Moved{}
	}
	return s.WaitApplied(ctx, seq)
}

// Query implements shardcall.Shard.
func (s *routed) Query(ctx context.Context, m *pb.QueryPoints) ([]query.Scored, error) {
	return ask(ctx, s, func(ctx context.Context, c shardcall.Shard) ([]query.Scored, error) { return c.Query(ctx, m) })
}

// Fill implements shardcall.Shard.
func (s *routed) Fill(ctx context.Context, hits []query.Scored, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) error {
	filled, err := ask(ctx, s, func(ctx context.Context, c shardcall.Shard) ([]query.Scored, error) {
		own := slices.Clone(hits) // one that answers too late has its own
		return own, c.Fill(ctx, own, p, v)
	})
	if err != nil {
		return err
	}
	copy(hits, filled)
	return nil
}

// Retrieve implements shardcall.Shard.
func (s *routed) Retrieve(ctx context.Context, ids []point.ID, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) ([]*pb.RetrievedPoint, error) {
	return ask(ctx, s, func(ctx context.Context, c shardcall.Shard) ([]*pb.RetrievedPoint, error) {
		return c.Retrieve(ctx, ids, p, v)
	})
}

// Scroll implements shardcall.Shard.
func (s *routed) Scroll(ctx context.Context, m *pb.ScrollPoints) (shard.Page, error) {
	return ask(ctx, s, func(ctx context.Context, c shardcall.Shard) (shard.Page, error) { return c.Scroll(ctx, m) })
}

// Count implements shardcall.Shard.
func (s *routed) Count(ctx context.Context, f *pb.Filter, exact bool) (uint64, error) {
	return ask(ctx, s, func(ctx context.Context, c shardcall.Shard) (uint64, error) { return c.Count(ctx, f, exact) })
}

// Facet implements shardcall.Shard.
func (s *routed) Facet(ctx context.Context, m *pb.FacetCounts) ([]*pb.FacetHit, error) {
	return ask(ctx, s, func(ctx context.Context, c shardcall.Shard) ([]*pb.FacetHit, error) { return c.Facet(ctx, m) })
}

// Info implements shardcall.Shard.
func (s *routed) Info(ctx context.Context) (shard.Info, error) {
	return ask(ctx, s, func(ctx context.Context, c shardcall.Shard) (shard.Info, error) { return c.Info(ctx) })
}
