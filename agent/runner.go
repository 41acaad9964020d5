package agent

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

const (
	// usualLimit is how long a call that waits may take when it says nothing, longestLimit at most.
	usualLimit, longestLimit = 30 * time.Second, 60 * time.Second
	// usualRun is how long an action may take that nobody waits for, longestRun at most.
	usualRun, longestRun = time.Hour, 24 * time.Hour
	// kept is how long a result waits for somebody to ask for it.
	kept = 10 * time.Minute
	// mostRetries bounds a retry policy.
	mostRetries = 100
)

// Request asks for an action.
type Request struct {
	Action     string     `json:"action"`
	Parameters Parameters `json:"parameters"`
	// NonBlocking has the first call start the action, and later ones with the same parameters tell
	// how it goes.
	NonBlocking    bool `json:"nonBlocking"`
	TimeoutSeconds *int `json:"timeoutSeconds"`
	RetryPolicy    *struct {
		MaxRetries int `json:"maxRetries"`
		// RetryInterval is in nanoseconds.
		RetryInterval time.Duration `json:"retryInterval"`
	} `json:"retryPolicy"`
}

// key tells requests apart.
func (r *Request) key() string {
	raw, _ := json.Marshal(r.Parameters) // texts, in the order of their names
	return string(raw)
}

// limit is how long the action may take.
func (r *Request) limit() time.Duration {
	usual, longest := usualLimit, longestLimit
	if r.NonBlocking {
		usual, longest = usualRun, longestRun
	}
	if s := r.TimeoutSeconds; s != nil && *s > 0 {
		return min(time.Duration(min(*s, int(longestRun/time.Second)))*time.Second, longest)
	}
	return usual
}

// runner carries out actions: of each kind one at a time, since two that do the same to one cluster
// would only wait for each other.
type runner struct {
	actions map[string]action
	// life is how long actions may go on that nobody waits for.
	life context.Context //nolint:containedctx // that of the agent

	mu   sync.Mutex
	runs map[string]*run // guarded by mu: what is under way, or not asked for, by action
	wg   sync.WaitGroup
}

// run is an action under way.
type run struct {
	key  string
	done chan struct{}
	// Valid when done:
	output string
	err    error
	ended  time.Time
}

// newRunner makes a runner. Its actions end with life.
func newRunner(life context.Context, actions map[string]action) *runner {
	return &runner{actions: actions, life: life, runs: map[string]*run{}}
}

// do carries out a request.
func (r *runner) do(ctx context.Context, req *Request) (string, error) {
	act := r.actions[req.Action]
	switch {
	case req.Action == "":
		return "", fault(BadRequest, "the request names no action")
	case act == nil && slices.Contains(others, req.Action):
		return "", fault(NotImplemented, "there is no action %q: a node needs none", req.Action)
	case act == nil:
		return "", fault(NotDefined, "there is no action %q", req.Action)
	}
	one, begun, err := r.begin(req, act)
	if err != nil {
		return "", err
	}
	if req.NonBlocking {
		return r.poll(req, one, begun)
	}
	return r.await(ctx, req, one)
}

// begin starts an action, or finds the same one that is under way.
func (r *runner) begin(req *Request, act action) (one *run, begun bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one = r.runs[req.Action]; one != nil {
		over, same := finished(one), one.key == req.key()
		switch {
		case !over && !same:
			return nil, false, fault(Busy, "the action %q is under way with other parameters", req.Action)
		case !over, same && req.NonBlocking && time.Since(one.ended) < kept:
			return one, false, nil
		}
		// Nobody asked for the result of the one before: it is dropped.
	}
	one = &run{key: req.key(), done: make(chan struct{})}
	r.runs[req.Action] = one
	ctx, cancel := context.WithTimeout(r.life, req.limit())
	r.wg.Go(func() {
		defer cancel()
		defer close(one.done)
		one.output, one.err = attempt(ctx, req, act)
		one.ended = time.Now()
	})
	return one, true, nil
}

// attempt carries an action out, again when it fails and the request says so.
func attempt(ctx context.Context, req *Request, act action) (output string, err error) {
	for tries := 0; ; tries++ {
		output, err = act(ctx, req.Parameters)
		p := req.RetryPolicy
		if err == nil || wordOf(err) != Failed || p == nil || tries >= min(p.MaxRetries, mostRetries) {
			return output, err
		}
		if pause(ctx, max(p.RetryInterval, 0)) != nil {
			return "", fault(TimedOut, "%v", err)
		}
	}
}

func finished(one *run) bool {
	select {
	case <-one.done:
		return true
	default:
		return false
	}
}

// poll tells how an action goes. Its result is told once; a later call starts it again.
func (r *runner) poll(req *Request, one *run, begun bool) (string, error) {
	if begun || !finished(one) {
		return "", fault(InProgress, "the action %q is under way", req.Action)
	}
	r.forget(req.Action, one)
	return one.output, one.err
}

// await waits for the result, which was bounded when the action began.
func (r *runner) await(ctx context.Context, req *Request, one *run) (string, error) {
	t := time.NewTimer(req.limit() + time.Second) // the action itself says more when it runs out of time
	defer t.Stop()
	select {
	case <-one.done:
		r.forget(req.Action, one)
		return one.output, one.err
	case <-t.C: // it was begun by a call that doesn't wait
		return "", fault(TimedOut, "the action %q is still under way", req.Action)
	case <-ctx.Done():
		return "", fault(TimedOut, "the caller is gone")
	}
}

func (r *runner) forget(name string, one *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs[name] == one {
		delete(r.runs, name)
	}
}
