package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// running is an agent at a port.
type running struct {
	t   *testing.T
	url string
}

func serve(t *testing.T, o Options) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- New(o).Serve(ctx, l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		require.NoError(t, <-ended)
	})
	return &running{t, "http://" + l.Addr().String()}
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	resp, err := http.Get(r.url + path) //nolint:noctx // of a test
	return r.read(resp, err)
}

func (r *running) read(resp *http.Response, err error) (int, string) {
	r.t.Helper()
	require.NoError(r.t, err)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	require.NoError(r.t, resp.Body.Close())
	require.Equal(r.t, "application/json", resp.Header.Get("Content-Type"))
	return resp.StatusCode, string(bytes.TrimSpace(raw))
}

func (r *running) act(body string) (int, result) {
	r.t.Helper()
	resp, err := http.Post(r.url+"/v1.0/action", "application/json", bytes.NewReader([]byte(body))) //nolint:noctx // of a test
	code, raw := r.read(resp, err)
	var got result
	require.NoError(r.t, json.Unmarshal([]byte(raw), &got))
	return code, got
}

func TestGetRole(t *testing.T) {
	f := newFake(t, 3)
	a := serve(t, Options{Node: f.client()})
	for raft, role := range map[string]string{"Leader": "leader", "Follower": "follower", "PreCandidate": "follower", "Candidate": "follower"} {
		f.change(func() { f.role = raft })
		code, body := a.get("/v1.0/getrole")
		require.Equal(t, http.StatusOK, code)
		require.JSONEq(t, `{"operation":"getRole","role":"`+role+`","term":3}`, body)
	}
	f.change(func() { f.role = "" })
	code, body := a.get("/v1.0/getrole")
	require.Equal(t, http.StatusInternalServerError, code)
	require.JSONEq(t, `{"operation":"getRole","error":"failed","message":"the node doesn't know its role in the consensus yet"}`, body)
	f.change(func() { f.down = true })
	code, body = a.get("/v1.0/getrole")
	require.Equal(t, http.StatusInternalServerError, code)
	require.Contains(t, body, "no answer from")
	code, _ = a.get("/healthz")
	require.Equal(t, http.StatusOK, code, "the agent lives without its node")
	f.change(func() { f.down, f.role = false, "Leader" })
	code, _ = a.get("/v1.0/getrole")
	require.Equal(t, http.StatusOK, code)
}

func TestActions(t *testing.T) {
	f := newFake(t, 3)
	a := serve(t, Options{Node: f.client()})
	code, got := a.act(`{"action":"roleProbe"}`)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, result{Output: []byte("follower")}, got)
	code, got = a.act(`{"action":"memberLeave","parameters":{"KB_LEAVE_MEMBER_POD_NAME":"c-9"},"arguments":[["x"]],"timeoutSeconds":5}`)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "c-9 is no member of the cluster\n", string(got.Output))
	for body, want := range map[string]result{
		`{"action":"memberLeave"}`: {Error: BadRequest, Message: "KB_LEAVE_MEMBER_POD_NAME is missing"},
		`{"action":"dataDump"}`:    {Error: NotImplemented, Message: `there is no action "dataDump": a node needs none`},
		`{"action":"rm -rf"}`:      {Error: NotDefined, Message: `there is no action "rm -rf"`},
		`{}`:                       {Error: BadRequest, Message: "the request names no action"},
		`[]`:                       {Error: BadRequest, Message: "the request isn't one: json: cannot unmarshal array into Go value of type agent.Request"},
	} {
		code, got := a.act(body)
		require.Equal(t, http.StatusInternalServerError, code, body)
		require.Equal(t, want, got, body)
	}
}

func TestActionsThatNobodyWaitsFor(t *testing.T) {
	f := newFake(t, 4)
	f.stuck = true
	f.shard(0, []uint64{3, 1}, []uint64{3, 1})
	a := serve(t, Options{Node: f.client()})
	const leave = `{"action":"memberLeave","nonBlocking":true,"parameters":{"KB_LEAVE_MEMBER_POD_NAME":"c-2"}}`
	for range 2 {
		code, got := a.act(leave)
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, InProgress, got.Error)
	}
	_, got := a.act(`{"action":"memberLeave","nonBlocking":true,"parameters":{"KB_LEAVE_MEMBER_POD_NAME":"c-3"}}`)
	require.Equal(t, Busy, got.Error)
	_, got = a.act(`{"action":"memberLeave","timeoutSeconds":1,"parameters":{"KB_LEAVE_MEMBER_POD_NAME":"c-2"}}`)
	require.Equal(t, TimedOut, got.Error, "who waits for the one under way waits no longer than it wants")
	f.change(func() { f.stuck = false })
	require.Eventually(t, func() bool {
		_, got = a.act(leave)
		return got.Error != InProgress
	}, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, "c-2 is no member of the cluster\n", string(got.Output))
}

// lines notes what is logged.
type lines struct {
	slog.Handler

	got chan string
}

func (l lines) Enabled(context.Context, slog.Level) bool { return true }

func (l lines) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "role" {
			text += ": " + a.Value.String()
		}
		return true
	})
	l.got <- text
	return nil
}

func TestChangesOfTheRoleAreLogged(t *testing.T) {
	f := newFake(t, 3)
	l := lines{slog.DiscardHandler, make(chan string, 10)}
	serve(t, Options{Node: f.client(), Logger: slog.New(l), Interval: time.Millisecond})
	require.Equal(t, "the node has another role: follower", <-l.got)
	f.change(func() { f.down = true })
	require.Equal(t, "the node doesn't tell its role", <-l.got)
	f.change(func() { f.down, f.role = false, "Leader" })
	require.Equal(t, "the node has another role: leader", <-l.got)
	require.Empty(t, l.got, "what doesn't change isn't logged again")
}

func TestRunsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, life := 0, t.Context()
		r := newRunner(life, map[string]action{
			"hang": func(ctx context.Context, _ Parameters) (string, error) {
				<-ctx.Done()
				return "", fault(TimedOut, "still waiting")
			},
			"fail": func(context.Context, Parameters) (string, error) {
				tries++
				return "", errors.New("no")
			},
			"count": func(context.Context, Parameters) (string, error) {
				tries++
				return "", nil
			},
		})
		took := func(req *Request) (time.Duration, Word) {
			begun := time.Now()
			_, err := r.do(t.Context(), req)
			return time.Since(begun), wordOf(err)
		}
		for seconds, want := range map[int]time.Duration{0: 30 * time.Second, 5: 5 * time.Second, 600: time.Minute} {
			d, w := took(&Request{Action: "hang", TimeoutSeconds: &seconds})
			require.Equal(t, want, d)
			require.Equal(t, TimedOut, w)
		}
		req := &Request{Action: "fail"}
		require.NoError(t, json.Unmarshal([]byte(`{"retryPolicy":{"maxRetries":2,"retryInterval":3000000000}}`), req))
		d, w := took(req)
		require.Equal(t, Failed, w)
		require.Equal(t, 6*time.Second, d)
		require.Equal(t, 3, tries)

		// A result waits for who asks for it, but not for ever, and not for those who wait themselves.
		tries = 0
		count := &Request{Action: "count", NonBlocking: true}
		_, w = took(count)
		require.Equal(t, InProgress, w)
		synctest.Wait()
		_, err := r.do(t.Context(), count)
		require.NoError(t, err)
		require.Equal(t, 1, tries)
		_, w = took(count)
		require.Equal(t, InProgress, w, "the result was told, so it begins again")
		time.Sleep(time.Hour) //nolint:forbidigo // of the bubble
		_, w = took(count)
		require.Equal(t, InProgress, w)
		synctest.Wait()
		require.Equal(t, 3, tries)
		_, err = r.do(t.Context(), &Request{Action: "count"})
		require.NoError(t, err)
		require.Equal(t, 4, tries)
		r.wg.Wait()
	})
}
