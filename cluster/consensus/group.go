package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

var (
	// ErrClosed is a group that was closed.
	ErrClosed = errors.New("consensus is closed")
	// ErrTimeout is why something wasn't done in time when somebody leads.
	ErrTimeout = errors.New("the consensus has not answered in time")
	// ErrNoLeader is why something wasn't done in time when nobody leads.
	ErrNoLeader = errors.New("the consensus has no leader")
)

// Group is a node's voice in the consensus. It is safe for concurrent use.
type Group struct {
	o      Options
	box    *mailbox
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	status Status
	// err is why the group ended; nil while it hasn't, and after Close.
	err error
}

// Open restores what is on disk and begins to take part. Without a state the node
// waits for a leader that knows it (AddLearner there), or for Found. ctx is for
// opening only.
func Open(ctx context.Context, o Options) (*Group, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	disk, err := openDisk(ctx, &o, logFileSize)
	if err != nil {
		return nil, err
	}
	// The group lives on when what opened it is over.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g := &Group{o: o, box: newMailbox(), cancel: cancel, done: make(chan struct{})}
	d := &driver{o: &g.o, box: g.box, ctx: own, disk: disk}
	if err := guard(d.start); err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("start the consensus: %w", err), disk.log.Close())
	}
	g.publish(d)
	go g.run(d)
	return g, nil
}

// guard makes an error of etcd-raft's panics.
func guard(f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case raftPanic:
			err = fmt.Errorf("consensus: %s", string(p))
		default:
			panic(p)
		}
	}()
	return f()
}

// run is the group's goroutine.
func (g *Group) run(d *driver) {
	defer close(g.done)
	ticks := g.o.Ticks
	if ticks == nil {
		ticker := time.NewTicker(g.o.TickInterval)
		defer ticker.Stop()
		ticks = ticker.C
	}
	var err error
	for err == nil {
		tick := false
		select {
		case <-d.ctx.Done():
			g.finish(d, nil)
			return
		case <-ticks:
			tick = true
		case <-g.box.wake:
		}
		err = guard(func() error { return g.turn(d, tick) })
		g.publish(d)
		d.giveAnswers()
	}
	if d.ctx.Err() != nil {
		err = nil // it was closed in the middle of something
	}
	g.finish(d, err)
}

// turn takes what has come in and does what follows from it.
func (g *Group) turn(d *driver, tick bool) error {
	if tick {
		if err := d.tick(); err != nil {
			return err
		}
	}
	messages, requests := g.box.take()
	for _, m := range messages {
		if err := d.step(m); err != nil {
			return err
		}
	}
	for i, request := range requests {
		request(d)
		if d.fatal != nil {
			for _, rest := range requests[i+1:] {
				rest(d) // they wait for an answer
			}
			break
		}
	}
	return d.settle()
}

// finish tells everybody that it is over.
func (g *Group) finish(d *driver, err error) {
	why := apierror.New(apierror.Unavailable, "%w", ErrClosed)
	if err != nil {
		g.o.Logger.Error("consensus has stopped", "error", err)
		why = apierror.New(apierror.Unavailable, "consensus has stopped: %w", err)
	}
	g.box.end(why)
	d.end(why)
	closing := d.disk.close()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
	if err == nil {
		g.err = closing
	}
	g.status.Role, g.status.Leader = Follower, 0
}

// Close ends the node's part and releases everybody who waits. It returns why the group
// had ended by itself, if it had. Idempotent.
func (g *Group) Close() error {
	g.cancel()
	<-g.done
	return g.Err()
}

// Done is closed when the group has ended, by Close or because of Err.
func (g *Group) Done() <-chan struct{} { return g.done }

// Err returns why the group has ended by itself, nil when it hasn't.
func (g *Group) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// await waits for an answer.
func (g *Group) await(ctx context.Context, w *waiter) outcome {
	select {
	case o := <-w.reply:
		return o
	case <-g.done:
	case <-ctx.Done():
		w.abandoned.Store(true)
	}
	// Several may be ready; what is known counts more.
	select {
	case o := <-w.reply:
		return o
	default:
	}
	if ended := g.box.why(); ended != nil {
		return outcome{err: ended}
	}
	why := ErrTimeout
	if g.Status().Leader == 0 {
		why = ErrNoLeader
	}
	return outcome{err: apierror.New(apierror.Unavailable, "%w", fmt.Errorf("%w: %w", why, context.Cause(ctx)))}
}

// Propose changes the replicated state: data is given to the machine of each node, at
// the same place in the order of all changes, once. It returns when it is applied
// here, with the machine's result here. A failure with ctx leaves open whether the
// change will be applied; with ErrResultLost it was. data isn't changed or kept.
func (g *Group) Propose(ctx context.Context, data []byte) (result any, index uint64, err error) {
	if len(data) > MaxProposal {
		return nil, 0, apierror.New(apierror.BadRequest, "a change of the cluster has %d bytes, at most %d are allowed", len(data), MaxProposal)
	}
	p := &proposal{waiter: newWaiter(), data: slices.Clone(data)}
	if err := g.box.propose(len(data), func(d *driver) { d.propose(p) }); err != nil {
		return nil, 0, err
	}
	o := g.await(ctx, &p.waiter)
	return o.result, o.index, o.err
}

// ReadIndex returns when everything is applied here that was committed anywhere when it
// was called, with the index up to which that is.
func (g *Group) ReadIndex(ctx context.Context) (index uint64, err error) {
	r := &read{waiter: newWaiter()}
	if err := g.box.ask(func(d *driver) { d.reads.fresh = append(d.reads.fresh, r) }); err != nil {
		return 0, err
	}
	o := g.await(ctx, &r.waiter)
	return o.index, o.err
}

// errand has something asked of the leader, after every number of ticks, until it is
// done.
func (g *Group) errand(ctx context.Context, every int, done func(*driver) (bool, error), try func(*driver)) error {
	e := &errand{waiter: newWaiter(), done: done, try: try, every: uint64(every)}
	if err := g.box.ask(func(d *driver) { d.errands = append(d.errands, e) }); err != nil {
		return err
	}
	return g.await(ctx, &e.waiter).err
}

// AddLearner adds a node to the group; the leader makes it a voter when it is worth
// it. It returns when the node is a member. A node that was removed can't come back.
func (g *Group) AddLearner(ctx context.Context, id topology.PeerID) error {
	if !validID(id) {
		return apierror.New(apierror.BadInput, "%d is not the ID of a peer", id)
	}
	return g.errand(ctx, g.o.ElectionTicks, func(d *driver) (bool, error) {
		if d.state.isRemoved(id) {
			return false, apierror.New(apierror.BadInput, "peer %d was removed from the cluster and can't come back", id)
		}
		return d.members.has(id), nil
	}, func(d *driver) {
		_ = d.node.ProposeConfChange(Change{AddLearner, id}.conf()) // it is tried again
	})
}

// RemoveMember removes a node from the group for ever, whether it was a member or not.
// The last member can't be removed. While most of those that would be left with a vote don't answer it waits.
func (g *Group) RemoveMember(ctx context.Context, id topology.PeerID) error {
	if !validID(id) {
		return apierror.New(apierror.BadInput, "%d is not the ID of a peer", id)
	}
	return g.errand(ctx, g.o.ElectionTicks, func(d *driver) (bool, error) {
		if d.members.isVoter(id) && len(d.members.voters) == 1 && len(d.members.learners) == 0 {
			return false, apierror.New(apierror.BadInput, "peer %d is the only member of the cluster", id)
		}
		return d.state.isRemoved(id), nil
	}, func(d *driver) {
		if d.isGone(id) {
			return // the leader sees to it
		}
		// A leader that removes itself would leave the others to wait for an election.
		if id == d.o.ID && d.leads() && d.handOver() {
			return
		}
		change := Change{Remove, id}
		if d.leads() && !Survives(change, d.progress()) {
			d.o.Logger.WarnContext(ctx, "a member isn't removed: most of those that would be left with a vote don't answer", slog.Any("member", id))
			return // some may come back
		}
		_ = d.node.ProposeConfChange(change.conf()) // it is tried again
	})
}

// TransferLeadership makes another member lead; 0, asked of the leader, is the voter that
// is fit best. A learner gets a vote for that, and another one loses its own.
func (g *Group) TransferLeadership(ctx context.Context, to topology.PeerID) error {
	from := g.Status().Leader
	// Asked often: a learner that gets a vote to lead may be the one too many.
	return g.errand(ctx, max(1, g.o.ElectionTicks/5), func(d *driver) (bool, error) {
		switch leader := d.known.leader; {
		case to != 0 && !d.members.has(to):
			return false, apierror.New(apierror.BadInput, "peer %d is no member of the consensus", to)
		case to != 0:
			return leader == to, nil
		case leader == d.o.ID && len(d.members.voters) == 1:
			return false, apierror.New(apierror.BadInput, "nobody else has a vote")
		default:
			return leader != 0 && leader != from, nil
		}
	}, func(d *driver) {
		switch {
		case to == 0:
			if d.leads() {
				d.handOver()
			}
		case d.members.isLearner(to):
			d.giveVote(to)
		default:
			d.node.TransferLeader(uint64(to))
		}
	})
}

// Found makes a group with this node as its only member. The machine keeps its state.
// It fails when the node has a state of a group.
func (g *Group) Found(ctx context.Context) error { return g.atOnce(ctx, (*driver).found) }

// Reinit makes a new group of this node alone, with all that it knows, after the majority was
// lost for ever. The others are no members any more; they can be added anew (AddLearner) once they
// have thrown their state away. amend, unless it is nil, may change the machine's state before: it
// is called by the group's goroutine. It fails while another node leads, or follows.
func (g *Group) Reinit(ctx context.Context, amend func() error) error {
	return g.atOnce(ctx, func(d *driver) error { return d.reinit(amend) })
}

// atOnce lets the group's goroutine do something. An error without a kind is the
// disk's or the machine's, and fatal.
func (g *Group) atOnce(ctx context.Context, do func(*driver) error) error {
	w := newWaiter()
	if err := g.box.ask(func(d *driver) {
		defer d.box.answered()
		if d.fatal != nil {
			return // finish comes
		}
		err := do(d)
		if err != nil && apierror.KindOf(err) == apierror.Internal {
			d.fatal = err
		}
		d.answer(&w, outcome{err: err})
	}); err != nil {
		return err
	}
	return g.await(ctx, &w).err
}

// Step takes a message from the network, which must not be used afterwards. It never
// waits; when too much has come the message is lost.
func (g *Group) Step(m *raftpb.Message) { g.box.put(m) }

// ReportUnreachable says that a message to a node couldn't be sent.
func (g *Group) ReportUnreachable(id topology.PeerID) {
	g.report(func(d *driver) {
		if d.members.has(id) {
			d.failures[id]++
			d.node.ReportUnreachable(uint64(id))
		}
	})
}

// LeaderGone says that the process of a node has ended, which a refused connection shows. If
// it led, the next leader is elected at once instead of after ElectionTicks.
func (g *Group) LeaderGone(id topology.PeerID) { g.report(func(d *driver) { d.leaderGone(id) }) }

// ReportSnapshot says whether a snapshot (a message of the type MsgSnap) has reached a
// node whole.
func (g *Group) ReportSnapshot(id topology.PeerID, ok bool) {
	status := raft.SnapshotFinish
	if !ok {
		status = raft.SnapshotFailure
	}
	g.report(func(d *driver) {
		delete(d.sending, id)
		d.node.ReportSnapshot(uint64(id), status)
	})
}

// report is a request without an answer. When there are too many it is lost.
func (g *Group) report(do func(*driver)) {
	_ = g.box.ask(func(d *driver) {
		d.box.answered()
		do(d)
	})
}
