package client_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sextantdb/sextant/client"
	"github.com/sextantdb/sextant/internal/certificates"
	"github.com/sextantdb/sextant/internal/testbed/authority"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node answers with texts that it was given by "METHOD path", and notes what it was asked.
type node struct {
	answers map[string]string
	status  map[string]int
	asked   []string
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key := r.Method + " " + r.URL.String()
	n.asked = append(n.asked, strings.TrimSpace(fmt.Sprintf("%s key=%s %s", key, r.Header.Get("api-key"), body)))
	if code := n.status[key]; code != 0 {
		w.WriteHeader(code)
	}
	text, ok := n.answers[key]
	if !ok {
		text = `{"result":true,"status":"ok","time":0.1}`
	}
	_, _ = io.WriteString(w, text)
}

func ask(t *testing.T, n *node) *client.Client {
	t.Helper()
	s := httptest.NewServer(n)
	c, err := client.New(client.Options{URL: s.URL + "/", Key: func() string { return "k" }})
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		s.Close()
	})
	return c
}

func TestCluster(t *testing.T) {
	c := ask(t, &node{answers: map[string]string{"GET /cluster": `{"result":{"status":"enabled","cluster_id":"5f0c","peer_id":11,"peers":{
		"11":{"uri":"http://c-0.h:6335","fenced":false,"draining":false,"zone":"a","replicas":3,"leads":2},
		"22":{"uri":"http://c-1.h:6335/","fenced":true,"draining":true,"replicas":0,"leads":0},
		"33":{"uri":"http://c-2.h:6335/"}},
		"raft_info":{"term":4,"commit":99,"pending_operations":1,"leader":11,"role":"Leader","is_voter":true},
		"consensus_thread_status":{"consensus_thread_status":"working","last_update":"2026-01-01T00:00:00Z"},
		"message_send_failures":{"http://c-1.h:6335":{"count":7,"latest_error":"refused"}}},"status":"ok","time":0.1}`}})
	s, err := c.Cluster(t.Context())
	require.NoError(t, err)
	require.True(t, s.Enabled())
	require.Equal(t, "5f0c", s.ID)
	require.Equal(t, client.Peer{URI: "http://c-0.h:6335", Zone: "a", Replicas: new(3), Leads: new(2)}, s.Peers[11])
	require.Equal(t, client.Peer{URI: "http://c-1.h:6335/", Fenced: true, Draining: true, Replicas: new(0), Leads: new(0)}, s.Peers[22])
	require.Nil(t, s.Peers[33].Replicas, "not told")
	require.Equal(t, client.Raft{Term: 4, Commit: 99, Pending: 1, Leader: 11, Role: "Leader", Voter: true}, s.Raft)
	require.Equal(t, "working", s.Consensus.Status)
	require.Equal(t, client.SendFailure{Count: 7, Latest: "refused"}, s.SendFailures["http://c-1.h:6335"])
}

func TestANodeAlone(t *testing.T) {
	c := ask(t, &node{answers: map[string]string{"GET /cluster": `{"result":{"status":"disabled"},"status":"ok","time":0}`}})
	s, err := c.Cluster(t.Context())
	require.NoError(t, err)
	require.False(t, s.Enabled())
}

func TestCollections(t *testing.T) {
	c := ask(t, &node{answers: map[string]string{
		"GET /collections": `{"result":{"collections":[{"name":"a/b"},{"name":"gone"}]}}`,
		"GET /cluster":     `{"result":{"status":"enabled","peer_id":11}}`,
		"GET /collections/a%2Fb": `{"result":{"status":"green","points_count":5,"config":{"params":{
			"shard_number":2,"replication_factor":2,"write_consistency_factor":1}}}}`,
		"GET /collections/gone": `{"status":{"error":"Not found: Collection gone doesn't exist!"},"time":0}`,
		"GET /collections/a%2Fb/cluster": `{"result":{"peer_id":11,"shard_count":1,
			"local_shards":[{"shard_id":0,"shard_key":"k","points_count":5,"state":"Active","leader":22,"epoch":3,"in_sync":[11,22]}],
			"remote_shards":[{"shard_id":0,"peer_id":22,"state":"Active","leader":22,"epoch":3,"in_sync":[11,22],"lag":4}],
			"shard_transfers":[{"shard_id":0,"from":11,"to":33,"sync":true,"method":"stream_records","comment":"half"}],
			"resharding_operations":[{"direction":"up"}]}}`,
	}, status: map[string]int{"GET /collections/gone": http.StatusNotFound}})
	v, err := c.View(t.Context())
	require.NoError(t, err)
	require.Len(t, v.Collections, 1, "what was removed meanwhile is left out")
	one := v.Collections[0]
	require.Equal(t, "a/b", one.Name)
	require.Equal(t, &client.Info{Status: "green", Points: 5, Factor: 2, WriteFactor: 1}, one.Info)
	require.Equal(t, &client.Layout{
		Peer: 11, Shards: 1, Resharding: true,
		Replicas: []client.Replica{
			{Key: []byte(`"k"`), Peer: 11, State: client.Active, Points: new(uint64(5)), Leader: 22, Epoch: new(uint64(3)), InSync: []uint64{11, 22}},
			{Peer: 22, State: client.Active, Leader: 22, Epoch: new(uint64(3)), InSync: []uint64{11, 22}, Lag: new(uint64(4))},
		},
		Transfers: []client.Transfer{{From: 11, To: 33, Method: "stream_records", Comment: "half"}},
	}, one.Layout)
}

func TestChanges(t *testing.T) {
	n := &node{}
	c := ask(t, n)
	ctx := t.Context()
	for _, err := range []error{
		c.Drain(ctx, 7, 5*time.Second),
		c.Undrain(ctx, 7, 0),
		c.HandOver(ctx, 7, 0, time.Second),
		c.HandOver(ctx, 7, 8, 1500*time.Millisecond),
		c.RemovePeer(ctx, 7, true, time.Second),
		c.MoveShard(ctx, "c", client.Move{Shard: 1, From: 2, To: 3}, 0),
		c.ReplicateShard(ctx, "c", client.Move{Shard: 1, From: 2, To: 3}, 0),
		c.LeadShard(ctx, "c", client.Lead{Shard: 1, Peer: 2, AcceptDataLoss: true}, time.Second),
		c.Ready(ctx), c.Healthy(ctx), c.Live(ctx),
	} {
		require.NoError(t, err)
	}
	require.Equal(t, []string{
		"PUT /cluster/peer/7/drain?timeout=5 key=k",
		"DELETE /cluster/peer/7/drain key=k",
		"POST /cluster/peer/7/hand_over?timeout=1 key=k",
		"POST /cluster/peer/7/hand_over?to=8&timeout=2 key=k",
		"DELETE /cluster/peer/7?force=true&timeout=1 key=k",
		`POST /collections/c/cluster key=k {"move_shard":{"shard_id":1,"from_peer_id":2,"to_peer_id":3}}`,
		`POST /collections/c/cluster key=k {"replicate_shard":{"shard_id":1,"from_peer_id":2,"to_peer_id":3}}`,
		`POST /collections/c/cluster?timeout=1 key=k {"lead_shard":{"shard_id":1,"peer_id":2,"accept_data_loss":true}}`,
		"GET /readyz key=k", "GET /healthz key=k", "GET /livez key=k",
	}, n.asked)
}

func TestTheNodeItself(t *testing.T) {
	c := ask(t, &node{answers: map[string]string{
		"GET /":                          `{"title":"qdrant - vector search engine","version":"1.19.0","commit":"abc"}`,
		"GET /telemetry?details_level=2": `{"result":{"id":"x"}}`,
		"GET /metrics":                   "a 1\n",
		"GET /cluster/telemetry": `{"result":{"cluster":{"peers":{
			"1":{"uri":"u","responsive":true,"details":{"version":"1.19.0","role":"Leader","is_voter":true}},"2":{"uri":"v","responsive":false,"details":null}}}}}`,
	}})
	v, err := c.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, client.Version{Title: "qdrant - vector search engine", Version: "1.19.0", Commit: "abc"}, v)
	raw, err := c.Telemetry(t.Context(), 2)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"x"}`, string(raw))
	_, text, err := c.Metrics(t.Context())
	require.NoError(t, err)
	require.Equal(t, "a 1\n", string(text))
	m, err := c.Members(t.Context())
	require.NoError(t, err)
	require.Equal(t, client.Members{
		1: {URI: "u", Responsive: true, Details: &client.Details{Version: "1.19.0", Role: "Leader", Voter: true}}, 2: {URI: "v"},
	}, m)
}

func TestErrorsKeepWhatTheNodeSaid(t *testing.T) {
	c := ask(t, &node{
		answers: map[string]string{
			"DELETE /cluster/peer/7?force=false": `{"status":{"error":"Bad request: Cannot remove peer 7 as there are shards on it"},"time":0}`,
			"GET /readyz":                        "some shards are not ready\n",
			"GET /cluster":                       "Must provide an API key",
			"GET /collections":                   "{",
		},
		status: map[string]int{"DELETE /cluster/peer/7?force=false": 400, "GET /readyz": 503, "GET /cluster": 401},
	})
	err := c.RemovePeer(t.Context(), 7, false, 0)
	require.EqualError(t, err, "DELETE /cluster/peer/7?force=false: 400 Bad Request: Bad request: Cannot remove peer 7 as there are shards on it")
	require.Equal(t, 400, client.StatusOf(err))
	require.False(t, client.IsUnreachable(err))
	require.EqualError(t, c.Ready(t.Context()), "GET /readyz: 503 Service Unavailable: some shards are not ready")
	_, err = c.Cluster(t.Context())
	require.EqualError(t, err, "GET /cluster: 401 Unauthorized: Must provide an API key")
	_, err = c.Collections(t.Context())
	require.ErrorContains(t, err, "read the answer to GET /collections")
	require.Zero(t, client.StatusOf(err))
}

func TestNodesThatDontAnswer(t *testing.T) {
	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	c, err := client.New(client.Options{URL: s.URL, Timeout: 50 * time.Millisecond})
	require.NoError(t, err)
	_, err = c.Cluster(t.Context())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, client.IsUnreachable(err))
	close(hang)
	s.Close()
	err = c.Live(t.Context())
	require.True(t, client.IsUnreachable(err))
	require.ErrorContains(t, err, "no answer from "+s.URL)
	c.Close()
	_, err = client.New(client.Options{URL: "localhost:6333"})
	require.ErrorContains(t, err, "is not an address like")
}

func TestRedirectionsArentFollowed(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer s.Close()
	c, err := client.New(client.Options{URL: s.URL})
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, http.StatusFound, client.StatusOf(c.Live(t.Context())))
}

func TestTLS(t *testing.T) {
	a, dir := authority.New(t), t.TempDir()
	f, _ := a.Issue(dir, "node.example")
	shown, err := certificates.Load(certificates.Files{Cert: f.Cert, Key: f.Key})
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(&node{})
	s.TLS = shown.Door("http/1.1")
	s.StartTLS()
	defer s.Close()
	live := func(o client.Options) error {
		o.URL = s.URL
		c, err := client.New(o)
		require.NoError(t, err)
		defer c.Close()
		return c.Live(t.Context())
	}
	trusted, err := certificates.Load(certificates.Files{CA: f.CA})
	require.NoError(t, err)
	require.NoError(t, live(client.Options{TLS: trusted.Client, ServerName: "node.example"}))
	require.ErrorContains(t, live(client.Options{TLS: trusted.Client}), "127.0.0.1")
	require.ErrorContains(t, live(client.Options{ServerName: "node.example"}), "unknown authority")
	require.ErrorContains(t, live(client.Options{TLS: func() *tls.Config { return &tls.Config{} }}), "certificate") //nolint:gosec // the default is meant
}
