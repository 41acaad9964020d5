package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sextantdb/sextant/client"
)

const (
	// usualInterval is how often the node is asked for its role.
	usualInterval = time.Second
	// probeLimit is how long the node may take to tell its role.
	probeLimit = 3 * time.Second
	// bodyLimit bounds a request.
	bodyLimit = 1 << 20
	// stopLimit is how long calls under way may take when the agent ends. Actions are cut off: who
	// calls again goes on where they were.
	stopLimit = 3 * time.Second
)

// Options are what an agent needs. Zero values of the optional ones work.
type Options struct {
	// Node is the node in the same pod.
	Node *client.Client
	// Interval is how often the node is asked for its role; 0 is every second.
	Interval time.Duration
	Logger   *slog.Logger
}

// Agent is the process beside a node.
type Agent struct {
	o       Options
	members *members
}

// New makes an agent; it does nothing before Serve.
func New(o Options) *Agent {
	if o.Interval <= 0 {
		o.Interval = usualInterval
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Agent{o: o, members: &members{node: o.Node, log: o.Logger, wait: nextLook}}
}

// Serve answers on a port, and watches the node's role, until ctx ends.
func (a *Agent) Serve(ctx context.Context, l net.Listener) error {
	// What is under way ends with the agent, not with the server's last answer.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	runs := newRunner(life, a.members.actions())
	srv := &http.Server{
		Handler: a.handler(runs), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.o.Logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	var watch sync.WaitGroup
	watch.Go(func() { a.watch(life) })
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	cancel()
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer done()
	if srv.Shutdown(stop) != nil {
		_ = srv.Close() // what is left of it doesn't matter any more
	}
	watch.Wait()
	runs.wg.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the agent's port: %w", err)
	}
	return nil
}

// watch logs changes of the node's role. Who needs to know the role asks for it.
func (a *Agent) watch(ctx context.Context) {
	tick := time.NewTicker(a.o.Interval)
	defer tick.Stop()
	before, silent := "", false
	for {
		r, err := a.probe(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !silent:
			a.o.Logger.WarnContext(ctx, "the node doesn't tell its role", "error", err)
			silent = true
		case err == nil:
			if r.Name != before {
				a.o.Logger.InfoContext(ctx, "the node has another role", "role", r.Name, "before", before, "term", r.Term)
			}
			before, silent = r.Name, false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (a *Agent) probe(ctx context.Context) (Role, error) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	return a.members.role(ctx)
}

func (a *Agent) handler(runs *runner) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /v1.0/getrole", a.getRole)
	mux.HandleFunc("POST /v1.0/action", func(w http.ResponseWriter, r *http.Request) { a.act(w, r, runs) })
	return mux
}

// getRole answers with the role, or 500, 501 with the reason.
func (a *Agent) getRole(w http.ResponseWriter, r *http.Request) {
	role, err := a.probe(r.Context())
	if err == nil {
		answer(w, http.StatusOK, map[string]any{"operation": "getRole", "role": role.Name, "term": role.Term})
		return
	}
	code := http.StatusInternalServerError
	if wordOf(err) == NotImplemented {
		code = http.StatusNotImplemented
	}
	answer(w, code, map[string]any{"operation": "getRole", "error": wordOf(err), "message": err.Error()})
}

// result is the answer to an action. Output is sent as base64.
type result struct {
	Error   Word   `json:"error,omitempty"`
	Message string `json:"message,omitempty"`
	Output  []byte `json:"output,omitempty"`
}

// act carries out an action.
func (a *Agent) act(w http.ResponseWriter, r *http.Request, runs *runner) {
	var req Request
	var output string
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit)).Decode(&req)
	if err != nil {
		err = fault(BadRequest, "the request isn't one: %v", err)
	} else {
		output, err = runs.do(r.Context(), &req)
	}
	if err == nil {
		answer(w, http.StatusOK, result{Output: []byte(output)})
		return
	}
	word := wordOf(err)
	if word != InProgress {
		a.o.Logger.WarnContext(r.Context(), "an action failed", "action", req.Action, "word", word, "error", err)
	}
	answer(w, statusOf(word), result{Error: word, Message: err.Error()})
}

// statusOf returns the HTTP status for a word. Callers read the word: they expect 200 or 500.
func statusOf(w Word) int {
	if w == InProgress {
		return http.StatusOK
	}
	return http.StatusInternalServerError
}

func answer(w http.ResponseWriter, code int, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		code, raw = http.StatusInternalServerError, []byte(`{"error":"internalError"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(raw, '\n')) // a caller who is gone reads nothing
}
