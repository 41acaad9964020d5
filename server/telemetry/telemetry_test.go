package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/server/telemetry"
)

// desk knows two collections; "going" is listed, but gone when it is asked for.
type desk struct {
	pb.UnimplementedCollectionsServer
	fail error
}

func (d desk) List(context.Context, *pb.ListCollectionsRequest) (*pb.ListCollectionsResponse, error) {
	if d.fail != nil {
		return nil, d.fail
	}
	return &pb.ListCollectionsResponse{Collections: []*pb.CollectionDescription{{Name: "wine"}, {Name: "going"}, {Name: "books"}}}, nil
}

func (desk) Get(_ context.Context, r *pb.GetCollectionInfoRequest) (*pb.GetCollectionInfoResponse, error) {
	if r.GetCollectionName() == "going" {
		return nil, apierror.New(apierror.NotFound, "gone")
	}
	return &pb.GetCollectionInfoResponse{Result: &pb.CollectionInfo{
		Status: pb.CollectionStatus_Yellow, PointsCount: new(uint64(1000)), SegmentsCount: 3,
		Config: &pb.CollectionConfig{Params: &pb.CollectionParams{
			ShardNumber:         1,
			VectorsConfig:       pb.NewVectorsConfig(&pb.VectorParams{Size: 4}),
			SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"bm25": {}}),
		}},
	}}, nil
}

func (desk) Applied(string) []uint64 { return []uint64{7} }

func (desk) Vectors(string) map[string]uint64 { return map[string]uint64{"": 1000, "bm25": 600} }

func newTelemetry(o telemetry.Options) *telemetry.Telemetry {
	o.Version, o.ID = "1.19.0", "this-run"
	o.InfoJSON = func(*pb.CollectionInfo) ([]byte, error) {
		return []byte(`{"status":"yellow","optimizer_status":"ok","config":{"params":{"shard_number":1},"wal_config":{}}}`), nil
	}
	return telemetry.New(o)
}

func keys(m any) []string {
	out := slices.Collect(maps.Keys(m.(map[string]any)))
	slices.Sort(out)
	return out
}

func report(t *testing.T, tel *telemetry.Telemetry, query string) map[string]any {
	t.Helper()
	text, err := tel.Report(httptest.NewRequest(http.MethodGet, "/telemetry"+query, http.NoBody))
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}

func TestReportKeysPerLevel(t *testing.T) {
	requests := telemetry.NewRequests()
	requests.ObserveREST(http.MethodPut, "PUT /collections/{collection_name}/points", "wine", 200, time.Millisecond)
	requests.ObserveGRPC("/qdrant.Points/Upsert", codes.OK, time.Millisecond)
	tel := newTelemetry(telemetry.Options{Source: telemetry.FromServer(desk{}), Requests: requests})

	zero := report(t, tel, "")
	require.Equal(t, []string{"app", "cluster", "collections", "id", "quota", "requests"}, keys(zero))
	require.Equal(t, map[string]any{"number_of_collections": 2.0}, zero["collections"])
	require.Equal(t, map[string]any{"enabled": false}, zero["cluster"])
	require.Equal(t, []string{"name", "startup", "version"}, keys(zero["app"]))
	rest := zero["requests"].(map[string]any)["rest"].(map[string]any)["responses"].(map[string]any)
	put := rest["PUT /collections/{collection_name}/points"].(map[string]any)["200"].(map[string]any)
	require.InDelta(t, 1000, put["avg_duration_micros"], 0)
	require.InDelta(t, 1, put["count"], 0)
	last, err := time.Parse(time.RFC3339Nano, put["last_responded"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), last, time.Minute)
	grpc := zero["requests"].(map[string]any)["grpc"].(map[string]any)["responses"].(map[string]any)
	require.Contains(t, grpc["/qdrant.Points/Upsert"], "0")

	for _, level := range []string{"1", "2", "3", "4", "10"} {
		r := report(t, tel, "?details_level="+level)
		require.Equal(t, []string{"app", "cluster", "collections", "hardware", "id", "memory", "quota", "requests", "search_pool"}, keys(r))
		require.Equal(t, []string{"collections", "number_of_collections", "snapshots"}, keys(r["collections"]))
		require.Equal(t, false, r["app"].(map[string]any)["features"].(map[string]any)["staging"])
		list := r["collections"].(map[string]any)["collections"].([]any)
		require.Len(t, list, 2)
		c := list[0]
		switch level {
		case "1":
			require.Equal(t, []string{"optimizers_status", "params", "vectors"}, keys(c))
			require.InDelta(t, 1600, c.(map[string]any)["vectors"], 0)
			continue
		case "2":
			require.Equal(t, []string{"config", "id", "init_time_ms"}, keys(c))
			continue
		}
		require.Equal(t, []string{"config", "id", "init_time_ms", "resharding", "shards", "transfers"}, keys(c))
		require.Equal(t, "books", c.(map[string]any)["id"])
		shard := c.(map[string]any)["shards"].([]any)[0]
		require.Equal(t, []string{"id", "key", "local", "partial_snapshot", "remote", "replicate_states"}, keys(shard))
		want := []string{
			"async_scorer", "num_points", "num_vectors", "num_vectors_by_name", "optimizations", "payloads_size_bytes",
			"status", "total_optimized_points", "update_queue", "variant_name", "vectors_size_bytes",
		}
		local := shard.(map[string]any)["local"]
		require.Equal(t, map[string]any{"length": 0.0, "op_num": 7.0}, local.(map[string]any)["update_queue"])
		if level != "3" {
			want = slices.Insert(want, 6, "segments")
			want = slices.Insert(want, 1, "indexed_only_excluded_vectors")
			segment := local.(map[string]any)["segments"].([]any)[0]
			require.Equal(t, []string{"config", "info", "payload_field_indices", "vector_index_searches"}, keys(segment))
		}
		require.Equal(t, want, keys(local))
	}
}

// pair is a cluster of two nodes, one of which doesn't answer.
type pair struct{ consensus admin.Consensus }

func (p pair) Status(context.Context) (*admin.Status, error) {
	return &admin.Status{
		Enabled: true, Peer: 1, Peers: map[uint64]admin.Peer{1: {URI: "http://a:1/"}, 2: {URI: "http://b:2/"}},
		Raft: admin.Raft{Term: 3, Commit: 9, Leader: 1, Role: "Leader", Voter: true}, Consensus: p.consensus,
	}, nil
}

func (pair) Telemetry(context.Context) (*admin.Telemetry, error) {
	return &admin.Telemetry{Enabled: true, Peers: map[uint64]admin.PeerTelemetry{
		1: {URI: "http://a:1/", Answer: &admin.PeerAnswer{Version: "1.19.0"}}, 2: {URI: "http://b:2/"},
	}}, nil
}

func TestClusterByLevel(t *testing.T) {
	tel := newTelemetry(telemetry.Options{Cluster: pair{}})
	require.Equal(t, map[string]any{"enabled": true}, report(t, tel, "")["cluster"])
	status := map[string]any{
		"number_of_peers": 2.0, "term": 3.0, "commit": 9.0, "pending_operations": 0.0, "role": "Leader", "is_voter": true, "peer_id": 1.0,
		"consensus_thread_status": map[string]any{"consensus_thread_status": "working", "last_update": "0001-01-01T00:00:00Z"},
	}
	require.Equal(t, map[string]any{"enabled": true, "status": status}, report(t, tel, "?details_level=2")["cluster"])
	require.Equal(t, map[string]any{
		"enabled": true, "status": status,
		"peers":         map[string]any{"1": map[string]any{"uri": "http://a:1/"}, "2": map[string]any{"uri": "http://b:2/"}},
		"peer_metadata": map[string]any{"1": map[string]any{"version": "1.19.0"}},
	}, report(t, tel, "?details_level=3")["cluster"])
	shown, err := json.Marshal(report(t, tel, "?details_level=3&anonymize=true")["cluster"])
	require.NoError(t, err)
	require.NotContains(t, string(shown), "http://")
	for _, c := range []admin.Consensus{{Stopped: true}, {Stopped: true, Err: "disk full"}} {
		r := report(t, newTelemetry(telemetry.Options{Cluster: pair{c}}), "?details_level=1")["cluster"].(map[string]any)
		got := r["status"].(map[string]any)["consensus_thread_status"].(map[string]any)
		if c.Err == "" {
			require.Equal(t, map[string]any{"consensus_thread_status": "stopped"}, got)
		} else {
			require.Equal(t, map[string]any{"consensus_thread_status": "stopped_with_err", "err": c.Err}, got)
		}
	}
}

func TestRequestsPerCollection(t *testing.T) {
	requests := telemetry.NewRequests()
	for i := range 10_000 {
		requests.ObserveREST(http.MethodGet, "GET /collections/{name}", strconv.Itoa(i), 404, time.Millisecond)
	}
	requests.ObserveREST(http.MethodGet, "GET /collections/{name}", "wine", 200, time.Millisecond)
	requests.ObserveREST(http.MethodGet, "GET /collections/{name}", "books", 200, time.Millisecond)
	requests.ObserveREST(http.MethodGet, "GET /aliases", "", 200, time.Millisecond)
	tel := newTelemetry(telemetry.Options{Requests: requests})
	all := metrics(tel, "").Body.String()
	require.NotContains(t, all, "collection=")
	require.Contains(t, all, `rest_responses_total{endpoint="/collections/{collection_name}",method="GET",status="200"} 2`)
	single := metrics(tel, "?per_collection=true").Body.String()
	require.Contains(t, single, `rest_responses_total{collection="wine",endpoint="/collections/{collection_name}",method="GET",status="200"} 1`)
	require.Contains(t, single, `rest_responses_total{collection="books",endpoint="/collections/{collection_name}",method="GET",status="200"} 1`)
	require.Contains(t, single, `endpoint="/aliases"`)
	require.NotContains(t, single, `status="404"`)
	require.NotContains(t, metrics(tel, "?per_collection=true&anonymize=true").Body.String(), "wine")
}

// TestCollectionsDontPileUp: however many collections are used, the series of
// single ones are bounded.
func TestCollectionsDontPileUp(t *testing.T) {
	requests := telemetry.NewRequests()
	for i := range 4200 {
		requests.ObserveREST(http.MethodGet, "GET /collections/{name}", strconv.Itoa(i), 200, time.Millisecond)
	}
	body := metrics(newTelemetry(telemetry.Options{Requests: requests}), "?per_collection=true").Body.String()
	require.Less(t, strings.Count(body, "rest_responses_total{"), 200)
	require.Contains(t, body, `collection="4199"`)
}

func TestReportOddParameters(t *testing.T) {
	tel := newTelemetry(telemetry.Options{Source: telemetry.FromServer(desk{})})
	require.NotContains(t, report(t, tel, "?details_level=-3"), "memory")
	require.NotContains(t, report(t, tel, "?details_level=x&timeout=y"), "memory")
	r := report(t, tel, "?details_level=3&anonymize=true")
	text, err := json.Marshal(r)
	require.NoError(t, err)
	require.NotContains(t, string(text), "books")
}

func TestReportFailsWithTheDesk(t *testing.T) {
	tel := newTelemetry(telemetry.Options{Source: telemetry.FromServer(desk{fail: errors.New("no answer")})})
	_, err := tel.Report(httptest.NewRequest(http.MethodGet, "/telemetry", http.NoBody))
	require.ErrorContains(t, err, "no answer")
}

func metrics(tel *telemetry.Telemetry, query string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics"+query, http.NoBody))
	return w
}

func TestMetrics(t *testing.T) {
	requests := telemetry.NewRequests()
	requests.ObserveREST(http.MethodGet, "GET /collections/{collection_name}", "wine", 200, 2*time.Millisecond)
	requests.ObserveREST(http.MethodGet, "GET /collections/{collection_name}", "wine", 200, 4*time.Millisecond)
	requests.ObserveREST("BREW", "", "", 404, time.Second)
	requests.ObserveGRPC("/qdrant.Points/Search", codes.OK, time.Microsecond)
	w := metrics(newTelemetry(telemetry.Options{Source: telemetry.FromServer(desk{}), Requests: requests}), "")
	require.Equal(t, http.StatusOK, w.Code)
	body := w.Body.String()
	for _, line := range []string{
		`# HELP app_info information about qdrant server`,
		`# TYPE app_info gauge`,
		`app_info{name="qdrant",version="1.19.0"} 1`,
		`collections_total 2`,
		`collections_vector_total 3200`,
		`collection_points{id="books"} 1000`,
		`collection_vectors{id="books",vector="bm25"} 600`,
		`collection_running_optimizations{id="wine"} 1`,
		`cluster_enabled 0`,
		`rest_responses_total{endpoint="/collections/{collection_name}",method="GET",status="200"} 2`,
		`rest_responses_avg_duration_seconds{endpoint="/collections/{collection_name}",method="GET",status="200"} 0.003`,
		`rest_responses_min_duration_seconds{endpoint="/collections/{collection_name}",method="GET",status="200"} 0.002`,
		`rest_responses_max_duration_seconds{endpoint="/collections/{collection_name}",method="GET",status="200"} 0.004`,
		`rest_responses_duration_seconds_bucket{endpoint="/collections/{collection_name}",method="GET",status="200",le="0.0025"} 1`,
		`rest_responses_duration_seconds_bucket{endpoint="/collections/{collection_name}",method="GET",status="200",le="+Inf"} 2`,
		`rest_responses_total{endpoint="unmatched",method="",status="404"} 1`,
		`grpc_responses_total{endpoint="/qdrant.Points/Search",status="0"} 1`,
		`# TYPE rest_responses_total counter`,
	} {
		require.Contains(t, body, line+"\n")
	}
	for _, name := range []string{"memory_active_bytes ", "memory_resident_bytes ", "memory_needed_bytes ", "process_cpu_seconds_total ", "process_threads ", "go_gc_duration_seconds"} {
		require.Contains(t, body, "\n"+name)
	}
}

func TestMetricsPrefixAndAnonymize(t *testing.T) {
	body := metrics(newTelemetry(telemetry.Options{Source: telemetry.FromServer(desk{}), Prefix: "qdrant_"}), "?anonymize=true").Body.String()
	require.Contains(t, body, "\nqdrant_collections_total 2\n")
	require.NotContains(t, body, "books")
	for line := range strings.Lines(body) {
		require.True(t, strings.HasPrefix(line, "qdrant_") || strings.HasPrefix(line, "# HELP qdrant_") || strings.HasPrefix(line, "# TYPE qdrant_"), line)
	}
}

func TestMetricsWithoutAnswerFromTheDesk(t *testing.T) {
	body := metrics(newTelemetry(telemetry.Options{Source: telemetry.FromServer(desk{fail: errors.New("no answer")})}), "").Body.String()
	require.NotContains(t, body, "collections_total")
	require.Contains(t, body, "\nmemory_resident_bytes ")
}

// TestRequestsAgainstOracle records from several goroutines and compares with
// plain sums.
func TestRequestsAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		took := rapid.SliceOfN(rapid.Uint32(), 1, 50).Draw(t, "nanoseconds")
		requests := telemetry.NewRequests()
		var wg sync.WaitGroup
		for _, ns := range took {
			wg.Go(func() { requests.ObserveGRPC("/s/m", codes.OK, time.Duration(ns)) })
		}
		wg.Wait()
		tel := telemetry.New(telemetry.Options{Requests: requests})
		text, err := tel.Report(httptest.NewRequest(http.MethodGet, "/telemetry", http.NoBody))
		require.NoError(t, err)
		var got struct {
			Requests struct {
				GRPC struct {
					Responses map[string]map[string]struct {
						Count uint64  `json:"count"`
						Min   float64 `json:"min_duration_micros"`
						Max   float64 `json:"max_duration_micros"`
						Avg   float64 `json:"avg_duration_micros"`
					} `json:"responses"`
				} `json:"grpc"`
			} `json:"requests"`
		}
		require.NoError(t, json.Unmarshal(text, &got))
		m := got.Requests.GRPC.Responses["/s/m"]["0"]
		sum := 0.0
		for _, ns := range took {
			sum += float64(ns)
		}
		require.Equal(t, uint64(len(took)), m.Count)
		require.InDelta(t, float64(slices.Min(took))/1000, m.Min, 1e-6)
		require.InDelta(t, float64(slices.Max(took))/1000, m.Max, 1e-6)
		require.InDelta(t, sum/float64(len(took))/1000, m.Avg, 1e-3+math.Abs(sum)*1e-12)
	})
}

func BenchmarkObserve(b *testing.B) {
	requests := telemetry.NewRequests()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			requests.ObserveGRPC("/qdrant.Points/Search", codes.OK, 35*time.Microsecond)
		}
	})
}
