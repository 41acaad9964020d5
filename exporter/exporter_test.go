package exporter_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sextantdb/sextant/client"
	"github.com/sextantdb/sextant/exporter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answers are those of a node by path; one that is empty hangs up.
type answers map[string]string

func (a answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, ok := a[r.URL.Path]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case text == "":
		panic(http.ErrAbortHandler)
	case text == "hang":
		<-r.Context().Done()
	default:
		_, _ = io.WriteString(w, text)
	}
}

// healthy is a node of a cluster of three that has two shards with two copies each; the second lacks one.
func healthy() answers {
	const info = `{"result":{"config":{"params":{"replication_factor":2,"write_consistency_factor":1}}}}`
	return answers{
		"/": `{"title":"qdrant","version":"1.19.0"}`,
		"/metrics": `# HELP app_info of the node
# TYPE app_info gauge
app_info{name="qdrant",version="1.19.0"} 1
# TYPE collection_points gauge
collection_points{id="c"} 5
collection_points{id="d"} 6
# TYPE rest_responses_duration_seconds histogram
rest_responses_duration_seconds_bucket{le="+Inf"} 2
rest_responses_duration_seconds_sum 0.5
rest_responses_duration_seconds_count 2
`,
		"/cluster": `{"result":{"status":"enabled","peer_id":1,"peers":{"1":{"uri":"http://a:6335","replicas":3,"leads":2},
			"2":{"uri":"http://b:6335","fenced":true,"draining":true,"replicas":1,"leads":0},"3":{"uri":"http://c:6335"}},
			"raft_info":{"term":4,"commit":9,"pending_operations":2,"leader":1,"role":"Leader","is_voter":true},
			"consensus_thread_status":{"consensus_thread_status":"working"}}}`,
		"/collections":   `{"result":{"collections":[{"name":"d"},{"name":"c"},{"name":"gone"}]}}`,
		"/collections/c": info, "/collections/d": info,
		"/collections/c/cluster": `{"result":{"peer_id":1,"shard_count":2,
			"local_shards":[{"shard_id":0,"state":"Active","leader":1,"epoch":1,"in_sync":[1,3]},
				{"shard_id":1,"state":"Partial","leader":0,"epoch":1,"in_sync":[2],"lag":7}],
			"remote_shards":[{"shard_id":0,"peer_id":3,"state":"Active","leader":1,"epoch":1,"in_sync":[1,3],"lag":0},
				{"shard_id":1,"peer_id":2,"state":"Dead","leader":0,"epoch":1,"in_sync":[2]}],
			"shard_transfers":[{"shard_id":1,"from":1,"to":3}]}}`,
		"/collections/d/cluster": `{"result":{"peer_id":1,"shard_count":1,"local_shards":[{"shard_id":0,"state":"Active"}],"remote_shards":[],"shard_transfers":[]}}`,
	}
}

// scrape asks an exporter of a node, and returns the lines without comments.
func scrape(t *testing.T, a answers, o exporter.Options, header ...string) []string {
	t.Helper()
	node := httptest.NewServer(a)
	defer node.Close()
	c, err := client.New(client.Options{URL: node.URL})
	require.NoError(t, err)
	defer c.Close()
	o.Node = c
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	exporter.New(o).Handler().ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	_, err = parser.TextToMetricFamilies(strings.NewReader(w.Body.String()))
	require.NoError(t, err, w.Body.String())
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "scrape_duration") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestMetrics(t *testing.T) {
	require.Equal(t, []string{
		`app_info{name="qdrant",version="1.19.0"} 1`,
		`cluster_commit 9`,
		`cluster_consensus_leader 1`,
		`cluster_consensus_leader_known 1`,
		`cluster_consensus_working 1`,
		`cluster_enabled 1`,
		`cluster_peer_draining{peer="1",uri="http://a:6335"} 0`,
		`cluster_peer_draining{peer="2",uri="http://b:6335"} 1`,
		`cluster_peer_draining{peer="3",uri="http://c:6335"} 0`,
		`cluster_peer_fenced{peer="1",uri="http://a:6335"} 0`,
		`cluster_peer_fenced{peer="2",uri="http://b:6335"} 1`,
		`cluster_peer_fenced{peer="3",uri="http://c:6335"} 0`,
		`cluster_peer_leads{peer="1",uri="http://a:6335"} 2`,
		`cluster_peer_leads{peer="2",uri="http://b:6335"} 0`,
		`cluster_peer_replicas{peer="1",uri="http://a:6335"} 3`,
		`cluster_peer_replicas{peer="2",uri="http://b:6335"} 1`,
		`cluster_peers_total 3`,
		`cluster_pending_operations_total 2`,
		`cluster_term 4`,
		`cluster_voter 1`,
		`collection_points{id="c"} 5`,
		`collection_points{id="d"} 6`,
		`collection_replica_in_sync{collection="c",peer="1",shard="0"} 1`,
		`collection_replica_in_sync{collection="c",peer="1",shard="1"} 0`,
		`collection_replica_in_sync{collection="d",peer="1",shard="0"} 1`,
		`collection_replica_lag{collection="c",peer="1",shard="1"} 7`,
		`collection_replica_lag{collection="c",peer="3",shard="0"} 0`,
		`collection_replica_leader{collection="c",peer="1",shard="0"} 1`,
		`collection_replica_leader{collection="c",peer="1",shard="1"} 0`,
		`collection_replica_state{collection="c",peer="1",shard="0",state="Active"} 1`,
		`collection_replica_state{collection="c",peer="1",shard="1",state="Partial"} 1`,
		`collection_replica_state{collection="d",peer="1",shard="0",state="Active"} 1`,
		`collection_replicas{collection="c",state="Active"} 2`,
		`collection_replicas{collection="c",state="Dead"} 1`,
		`collection_replicas{collection="c",state="Partial"} 1`,
		`collection_replicas{collection="d",state="Active"} 1`,
		`collection_replication_factor{collection="c"} 2`,
		`collection_replication_factor{collection="d"} 2`,
		`collection_shard_transfers{collection="c"} 1`,
		`collection_shard_transfers{collection="d"} 0`,
		`collection_shards{collection="c"} 2`,
		`collection_shards{collection="d"} 1`,
		`collection_shards_leaderless{collection="c"} 1`,
		`collection_shards_leaderless{collection="d"} 0`,
		`collection_shards_under_replicated{collection="c"} 1`,
		`collection_shards_under_replicated{collection="d"} 1`,
		`collections_total 3`,
		`rest_responses_duration_seconds_bucket{le="+Inf"} 2`,
		`rest_responses_duration_seconds_sum 0.5`,
		`rest_responses_duration_seconds_count 2`,
		`sextant_exporter_last_scrape_error 0`,
		`sextant_exporter_scrape_error{part="cluster"} 0`,
		`sextant_exporter_scrape_error{part="metrics"} 0`,
		`sextant_exporter_skipped_collections 0`,
	}, scrape(t, healthy(), exporter.Options{}))
}

func TestCollectionsBeyondTheLimitAreLeftOut(t *testing.T) {
	lines := scrape(t, healthy(), exporter.Options{MaxCollections: 1})
	require.Contains(t, lines, `sextant_exporter_skipped_collections 2`)
	require.Contains(t, lines, `collections_total 3`)
	for _, line := range lines {
		require.NotContains(t, line, `"d"`, "neither ours nor the node's")
	}
}

func TestNodesThatDontAnswer(t *testing.T) {
	require.Equal(t, []string{
		`sextant_exporter_last_scrape_error 1`,
		`sextant_exporter_scrape_error{part="cluster"} 1`,
		`sextant_exporter_scrape_error{part="metrics"} 1`,
	}, scrape(t, answers{"/": "", "/metrics": ""}, exporter.Options{}))

	partly := healthy()
	partly["/collections/c/cluster"] = ""
	lines := scrape(t, partly, exporter.Options{})
	require.Contains(t, lines, `sextant_exporter_scrape_error{part="cluster"} 1`)
	require.Contains(t, lines, `sextant_exporter_scrape_error{part="metrics"} 0`)
	require.Contains(t, lines, `collection_points{id="c"} 5`)
	require.Contains(t, lines, `cluster_peers_total 3`)

	slow := healthy()
	slow["/metrics"] = "hang"
	lines = scrape(t, slow, exporter.Options{}, "X-Prometheus-Scrape-Timeout-Seconds", "0.6")
	require.Contains(t, lines, `sextant_exporter_scrape_error{part="metrics"} 1`)
	require.Contains(t, lines, `collections_total 3`)

	odd := healthy()
	odd["/metrics"] = "no metrics {{"
	require.Contains(t, scrape(t, odd, exporter.Options{}), `sextant_exporter_scrape_error{part="metrics"} 1`)
}

func TestServe(t *testing.T) {
	c, err := client.New(client.Options{URL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- exporter.New(exporter.Options{Node: c, Timeout: time.Second}).Serve(ctx, l) }()
	for path, want := range map[string]int{"/healthz": 200, "/metrics": 200, "/": 404} {
		resp, err := http.Get(fmt.Sprintf("http://%s%s", l.Addr(), path)) //nolint:noctx // of a test
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, path)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	require.NoError(t, <-ended)
}
