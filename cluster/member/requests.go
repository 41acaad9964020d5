package member

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/internal/apierror"
)

// request is a write, or a read of what is committed now, on its way through the state machine.
type request struct {
	// taken is closed when a write has its place, or a read may take place once `seq` is
	// applied; committed when the write can't be lost any more; visible when every copy in sync
	// has applied it. All are closed when err is set.
	taken, committed, visible chan struct{}
	seq, token                uint64
	// again says that the operation was done before: what came of it then isn't known.
	again bool
	// result is the operation's own error.
	result error

	mu sync.Mutex
	// err is why nothing more is known of it; guarded by mu.
	err error
}

func newRequest() *request {
	return &request{taken: make(chan struct{}), committed: make(chan struct{}), visible: make(chan struct{})}
}

func finish(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

func (q *request) fail(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	finish(q.taken)
	finish(q.committed)
	finish(q.visible)
}

// wait waits for one of the channels.
func (q *request) wait(ctx context.Context, c chan struct{}) error {
	select {
	case <-c:
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Seq implements shardcall.Ticket.
func (q *request) Seq() uint64 { return q.seq }

// Durable implements shardcall.Ticket: the write is on every copy in sync.
func (q *request) Durable(ctx context.Context) error {
	err := q.wait(ctx, q.committed)
	if moved, ok := errors.AsType[*shardcall.Moved](err); ok && moved.Committed {
		return nil // what isn't known is when it is visible
	}
	return err
}

// Visible implements shardcall.Ticket.
func (q *request) Visible(ctx context.Context) error {
	if err := q.wait(ctx, q.visible); err != nil {
		return err
	}
	return q.result
}

// Applied implements shardcall.Ticket.
func (q *request) Applied(ctx context.Context) error { return q.Visible(ctx) }

// rejection turns what the state machine says into an error.
func rejection(r replication.Rejected) error {
	switch r.Reason {
	case replication.TooFewInSync:
		return apierror.New(apierror.Unavailable, "too few copies of the shard are in sync for the write_consistency_factor of the collection")
	case replication.Overloaded:
		return apierror.New(apierror.Unavailable, "too many writes of the shard are under way")
	case replication.DiskFull:
		return apierror.New(apierror.StorageFull, "the disk of the shard's leader is full")
	case replication.TooOld:
		return apierror.New(apierror.Unavailable, "so many writes came after this one that it isn't known any more whether it was done")
	default:
		return &shardcall.Moved{Leader: r.Leader, Unknown: r.Reason == replication.LostLeadership}
	}
}

// propose hands a write to the state machine, and returns when it has its place or is refused.
func (r *replica) propose(ctx context.Context, op replication.OpID, body []byte) (*request, error) {
	return r.proposeEntry(ctx, replication.Entry{Kind: replication.Data, Op: op, Body: body})
}

func (r *replica) proposeEntry(ctx context.Context, e replication.Entry) (*request, error) {
	q := newRequest()
	r.mu.Lock()
	r.lastToken++
	token := r.lastToken
	r.asked[token] = q
	r.stepLocked(replication.Propose{Token: token, Entry: e})
	if r.closed {
		q.fail(&shardcall.Moved{})
	}
	r.mu.Unlock()
	if err := q.wait(ctx, q.taken); err != nil {
		return nil, err
	}
	return q, nil
}

// readIndex returns the entry that a linearizable read must see, or an error (R13).
func (r *replica) readIndex(ctx context.Context) (uint64, error) {
	q := newRequest()
	r.mu.Lock()
	r.lastToken++
	token := r.lastToken
	r.asked[token] = q
	r.stepLocked(replication.ReadIndex{Token: token})
	if r.closed {
		q.fail(&shardcall.Moved{})
	}
	r.mu.Unlock()
	if err := q.wait(ctx, q.taken); err != nil {
		r.mu.Lock()
		delete(r.asked, token)
		r.mu.Unlock()
		return 0, err
	}
	return q.seq, nil
}

// settle tells requests what the state machine said about them.
func (r *replica) settle(fx *replication.Effects) {
	for _, t := range fx.Took {
		q := r.asked[t.Token]
		delete(r.asked, t.Token)
		if q != nil {
			q.seq, q.again = t.Seq, t.Again
			r.enlist(q, t.Token)
			finish(q.taken)
		}
	}
	for _, t := range fx.ReadReady {
		if q := r.asked[t.Token]; q != nil {
			delete(r.asked, t.Token)
			q.seq = t.Commit
			finish(q.taken)
		}
	}
	for _, t := range fx.Rejected {
		r.reject(t)
	}
	for len(r.taken) > 0 && r.taken[0].seq <= r.sm.Visible() {
		finish(r.taken[0].committed)
		finish(r.taken[0].visible)
		r.taken = r.taken[1:]
	}
	for _, q := range r.taken {
		if q.seq > r.sm.Commit() {
			break
		}
		finish(q.committed)
	}
	if len(r.taken) > 0 && r.sm.Role() != replication.Leader {
		r.lose()
	}
}

// enlist keeps the order of the log: a write that was done before stands in front.
func (r *replica) enlist(q *request, token uint64) {
	at := len(r.taken)
	for at > 0 && r.taken[at-1].seq > q.seq {
		at--
	}
	q.token = token
	r.taken = slices.Insert(r.taken, at, q)
}

// reject fails a request.
func (r *replica) reject(t replication.Rejected) {
	if q := r.asked[t.Token]; q != nil {
		delete(r.asked, t.Token)
		q.fail(rejection(t))
		return
	}
	r.taken = slices.DeleteFunc(r.taken, func(q *request) bool {
		if q.token == t.Token {
			q.fail(rejection(t))
			return true
		}
		return false
	})
}

// lose fails all writes that have a place: this copy doesn't hear any more what becomes of them.
func (r *replica) lose() {
	for _, q := range r.taken {
		q.fail(&shardcall.Moved{Leader: r.sm.Leader(), Unknown: true, Committed: q.seq <= r.sm.Commit()})
	}
	r.taken = nil
}

// result notes what an operation came to when it was applied here.
func (r *replica) result(seq uint64, err error) {
	at, ok := slices.BinarySearchFunc(r.taken, seq, func(q *request, seq uint64) int {
		switch {
		case q.seq < seq:
			return -1
		case q.seq > seq:
			return 1
		}
		return 0
	})
	for ; ok && at < len(r.taken) && r.taken[at].seq == seq; at++ {
		r.taken[at].result = err
	}
}
