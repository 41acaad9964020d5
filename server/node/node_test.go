package node_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sextantdb/sextant/internal/fsx"
	"github.com/sextantdb/sextant/server/config"
	"github.com/sextantdb/sextant/server/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a front desk without data. It notes when it is closed; calls to the
// collection "slow" last until they are let go.
type desk struct {
	pb.UnimplementedPointsServer
	pb.UnimplementedCollectionsServer
	pb.UnimplementedSnapshotsServer
	closed  atomic.Int32
	started chan struct{}
	letGo   chan struct{}
}

func (d *desk) List(context.Context, *pb.ListCollectionsRequest) (*pb.ListCollectionsResponse, error) {
	return &pb.ListCollectionsResponse{Collections: []*pb.CollectionDescription{{Name: "wine"}}}, nil
}

func (d *desk) Get(context.Context, *pb.GetCollectionInfoRequest) (*pb.GetCollectionInfoResponse, error) {
	return &pb.GetCollectionInfoResponse{Result: &pb.CollectionInfo{Status: pb.CollectionStatus_Green}}, nil
}

func (d *desk) CollectionExists(ctx context.Context, r *pb.CollectionExistsRequest) (*pb.CollectionExistsResponse, error) {
	if r.GetCollectionName() == "slow" {
		d.started <- struct{}{}
		select {
		case <-d.letGo:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &pb.CollectionExistsResponse{Result: &pb.CollectionExists{Exists: true}}, nil
}

// collections and points tell apart what desk embeds twice.
type (
	points      struct{ pb.UnimplementedPointsServer }
	collections struct {
		pb.UnimplementedCollectionsServer
		d *desk
	}
)

func (c collections) List(ctx context.Context, r *pb.ListCollectionsRequest) (*pb.ListCollectionsResponse, error) {
	return c.d.List(ctx, r)
}

func (c collections) Get(ctx context.Context, r *pb.GetCollectionInfoRequest) (*pb.GetCollectionInfoResponse, error) {
	return c.d.Get(ctx, r)
}

func (c collections) CollectionExists(ctx context.Context, r *pb.CollectionExistsRequest) (*pb.CollectionExistsResponse, error) {
	return c.d.CollectionExists(ctx, r)
}

func newDesk() *desk { return &desk{started: make(chan struct{}, 4), letGo: make(chan struct{})} }

func (d *desk) open(context.Context, node.Options) (*node.Desk, error) {
	return &node.Desk{
		Points: points{}, Collections: collections{d: d},
		Close: func() error { d.closed.Add(1); return nil },
	}, nil
}

// configure makes the configuration of a node on free ports.
func configure(t *testing.T, dir string, environ ...string) *config.Config {
	t.Helper()
	cfg, _, err := config.Load(config.Options{Dir: dir, Environ: append([]string{
		"QDRANT__SERVICE__HOST=127.0.0.1", "QDRANT__SERVICE__HTTP_PORT=0", "QDRANT__SERVICE__GRPC_PORT=0",
		"QDRANT__STORAGE__STORAGE_PATH=" + filepath.Join(dir, "storage"),
	}, environ...)})
	require.NoError(t, err)
	return cfg
}

func start(t *testing.T, o node.Options) *node.Node {
	t.Helper()
	n, err := node.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Stop(context.Background())) })
	return n
}

func get(t *testing.T, url string, header ...string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(text)
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func TestStartAnswerStop(t *testing.T) {
	d := newDesk()
	n := start(t, node.Options{Config: configure(t, t.TempDir(), "QDRANT__SERVICE__METRICS_PORT=0"), OpenDesk: d.open})

	conn := dial(t, n.GRPCAddr())
	who, err := pb.NewQdrantClient(conn).HealthCheck(t.Context(), &pb.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, node.APIVersion, who.GetVersion())
	health, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, health.GetStatus())

	code, body := get(t, "http://"+n.MetricsAddr()+"/metrics")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, `grpc_responses_total{endpoint="/qdrant.Qdrant/HealthCheck",status="0"} 1`)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.Wait(ctx)
	require.Zero(t, d.closed.Load())
	require.NoError(t, n.Stop(t.Context()))
	require.NoError(t, n.Stop(t.Context()), "stopping twice is fine")
	require.EqualValues(t, 1, d.closed.Load())
	_, err = net.Dial("tcp", n.HTTPAddr())
	require.Error(t, err)
}

// TestTheVersionSaid is about images whose version differs from that of the API they are built from.
func TestTheVersionSaid(t *testing.T) {
	n := start(t, node.Options{Config: configure(t, t.TempDir()), Version: "1.14.0", OpenDesk: newDesk().open})
	url := "http://" + n.HTTPAddr()
	_, body := get(t, url+"/")
	require.Contains(t, body, `"version":"1.14.0"`)
	_, body = get(t, url+"/metrics")
	require.Contains(t, body, `app_info{name="qdrant",version="1.14.0"} 1`)
	who, err := pb.NewQdrantClient(dial(t, n.GRPCAddr())).HealthCheck(t.Context(), &pb.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, "1.14.0", who.GetVersion())
}

func TestRESTService(t *testing.T) {
	n := start(t, node.Options{
		Config: configure(t, t.TempDir(), "QDRANT__SERVICE__API_KEY=all", "QDRANT__SERVICE__READ_ONLY_API_KEY=look"),
		Commit: strings.Repeat("ab", 20), OpenDesk: newDesk().open,
	})
	url := "http://" + n.HTTPAddr()
	f := func(path, key string, wantCode int, want string) {
		t.Helper()
		code, body := get(t, url+path, "api-key", key)
		require.Equal(t, wantCode, code, "%s: %s", path, body)
		require.Contains(t, body, want)
	}
	for _, key := range []string{"", "wrong", "look", "all"} {
		f("/", key, 200, `{"title":"qdrant - vector search engine","version":"1.19.0","commit":"`+strings.Repeat("ab", 20)+`"}`)
		f("/readyz", key, 200, "all shards are ready")
		f("/livez", key, 200, "healthz check passed")
		f("/healthz/", key, 200, "healthz check passed")
	}
	for _, path := range []string{"/metrics", "/telemetry", "/collections"} {
		f(path, "", 401, "Must provide an API key")
		f(path, "wrong", 401, "Invalid API key")
	}
	f("/metrics", "look", 200, `app_info{name="qdrant",version="1.19.0"} 1`)
	f("/metrics", "all", 200, `rest_responses_total{endpoint="/",method="GET",status="200"} 4`)
	f("/telemetry?details_level=3", "look", 200, `"number_of_collections":1`)
	f("/telemetry?details_level=3", "look", 200, `"params":{`)
	f("/collections", "look", 200, `"collections":[{"name":"wine"}]`)
}

// TestRESTKeys: reads with the read-only key, everything else only with a full
// one.
func TestRESTKeys(t *testing.T) {
	n := start(t, node.Options{
		Config:   configure(t, t.TempDir(), "QDRANT__SERVICE__ALT_API_KEY=all", "QDRANT__SERVICE__READ_ONLY_API_KEY=look"),
		OpenDesk: newDesk().open,
	})
	const forbidden, unauthorized, reaches = 403, 401, 0
	send := func(route, header, value string) int {
		method, path, _ := strings.Cut(route, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.HTTPAddr()+path, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Close = true
		if header != "" {
			req.Header.Set(header, value)
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		if resp.StatusCode == forbidden || resp.StatusCode == unauthorized {
			return resp.StatusCode
		}
		return reaches
	}
	f := func(readOnly int, routes ...string) {
		t.Helper()
		for _, route := range routes {
			require.Equal(t, unauthorized, send(route, "", ""), route)
			require.Equal(t, unauthorized, send(route, "api-key", "nobody"), route)
			require.Equal(t, readOnly, send(route, "api-key", "look"), route)
			require.Equal(t, readOnly, send(route, "Authorization", "Bearer look"), route)
			require.Equal(t, reaches, send(route, "api-key", "all"), route)
			require.Equal(t, reaches, send(route, "Authorization", "Bearer all"), route)
		}
	}
	f(reaches, "GET /collections/wine", "GET /collections/wine/exists", "GET /aliases", "GET /collections/wine/aliases",
		"GET /collections/wine/points/1", "POST /collections/wine/points", "POST /collections/wine/points/scroll",
		"POST /collections/wine/points/count", "POST /collections/wine/points/query", "POST /collections/wine/points/query/batch",
		"POST /collections/wine/points/search", "POST /collections/wine/points/recommend", "POST /collections/wine/facet",
		"GET /collections/wine/snapshots", "GET /snapshots", "GET /cluster", "GET /issues")
	f(forbidden, "PUT /collections/wine", "PATCH /collections/wine", "DELETE /collections/wine", "POST /collections/aliases",
		"PUT /collections/wine/points", "POST /collections/wine/points/delete", "POST /collections/wine/points/batch",
		"PUT /collections/wine/points/vectors", "POST /collections/wine/points/vectors/delete",
		"POST /collections/wine/points/payload", "PUT /collections/wine/points/payload",
		"POST /collections/wine/points/payload/delete", "POST /collections/wine/points/payload/clear",
		"PUT /collections/wine/index", "DELETE /collections/wine/index/f", "POST /collections/wine/snapshots",
		"POST /snapshots", "DELETE /issues", "POST /collections/wine/cluster", "DELETE /cluster/peer/1")
}

func TestWithoutGRPC(t *testing.T) {
	n := start(t, node.Options{Config: configure(t, t.TempDir(), "QDRANT__SERVICE__GRPC_PORT=null"), OpenDesk: newDesk().open})
	require.Empty(t, n.GRPCAddr())
	require.Empty(t, n.MetricsAddr())
	require.Empty(t, n.ProfilingAddr())
	code, _ := get(t, "http://"+n.HTTPAddr()+"/debug/pprof/")
	require.Equal(t, http.StatusNotFound, code, "no profiles unless they are asked for, and never on a public port")
}

func TestProfiling(t *testing.T) {
	n := start(t, node.Options{
		Config: configure(t, t.TempDir(), "QDRANT__SERVICE__PROFILING_ADDRESS=127.0.0.1:0"), OpenDesk: newDesk().open,
	})
	for _, path := range []string{"", "heap?debug=1", "goroutine?debug=1", "cmdline", "profile?seconds=1", "symbol"} {
		code, _ := get(t, "http://"+n.ProfilingAddr()+"/debug/pprof/"+path)
		require.Equal(t, http.StatusOK, code, path)
	}
	code, _ := get(t, "http://"+n.HTTPAddr()+"/debug/pprof/")
	require.Equal(t, http.StatusNotFound, code)
	require.NoError(t, n.Stop(t.Context()))
	_, err := net.Dial("tcp", n.ProfilingAddr())
	require.Error(t, err)
}

func TestStorageHasOneUser(t *testing.T) {
	dir := t.TempDir()
	first := newDesk()
	n := start(t, node.Options{Config: configure(t, dir), OpenDesk: first.open})
	opened := false
	second := node.Options{Config: configure(t, dir), OpenDesk: func(ctx context.Context, o node.Options) (*node.Desk, error) {
		opened = true
		return newDesk().open(ctx, o)
	}}
	_, err := node.Start(t.Context(), second)
	require.ErrorContains(t, err, "storage directory "+filepath.Join(dir, "storage")+" is in use by another process")
	require.False(t, opened, "nothing may be touched")
	require.Zero(t, first.closed.Load())

	require.NoError(t, n.Stop(t.Context()))
	start(t, second)
	require.True(t, opened)
}

func TestPortInUse(t *testing.T) {
	n := start(t, node.Options{Config: configure(t, t.TempDir()), OpenDesk: newDesk().open})
	_, port, err := net.SplitHostPort(n.HTTPAddr())
	require.NoError(t, err)
	for _, key := range []string{"HTTP", "GRPC", "METRICS"} {
		d := newDesk()
		_, err = node.Start(t.Context(), node.Options{Config: configure(t, t.TempDir(), "QDRANT__SERVICE__"+key+"_PORT="+port), OpenDesk: d.open})
		require.ErrorContains(t, err, "port: ")
		require.ErrorContains(t, err, port)
		require.Zero(t, d.closed.Load())
	}
}

func TestDeskThatDoesNotOpen(t *testing.T) {
	dir := t.TempDir()
	fail := func(context.Context, node.Options) (*node.Desk, error) { return nil, errors.New("torn manifest") }
	_, err := node.Start(t.Context(), node.Options{Config: configure(t, dir), OpenDesk: fail})
	require.ErrorContains(t, err, "open storage "+filepath.Join(dir, "storage")+": torn manifest")
	start(t, node.Options{Config: configure(t, dir), OpenDesk: newDesk().open}) // the lock is free again
}

func TestStopWaitsForRequests(t *testing.T) {
	d := newDesk()
	n := start(t, node.Options{Config: configure(t, t.TempDir()), OpenDesk: d.open})
	client := pb.NewCollectionsClient(dial(t, n.GRPCAddr()))
	answered := make(chan error, 1)
	go func() {
		_, err := client.CollectionExists(t.Context(), &pb.CollectionExistsRequest{CollectionName: "slow"})
		answered <- err
	}()
	<-d.started
	stopped := make(chan error, 1)
	go func() { stopped <- n.Stop(context.Background()) }()
	for open := true; open; { // until the doors take nobody in any more
		conn, err := net.Dial("tcp", n.HTTPAddr())
		if open = err == nil; open {
			require.NoError(t, conn.Close())
		}
	}
	select {
	case err := <-stopped:
		require.NoError(t, err)
		require.Fail(t, "stopped while a request was under way")
	default:
	}
	require.Zero(t, d.closed.Load(), "the desk is open as long as requests are under way")
	close(d.letGo)
	require.NoError(t, <-answered)
	require.NoError(t, <-stopped)
	require.EqualValues(t, 1, d.closed.Load())
}

func TestStopEndsRequestsThatTakeTooLong(t *testing.T) {
	d := newDesk()
	n := start(t, node.Options{Config: configure(t, t.TempDir(), "QDRANT__SERVICE__SHUTDOWN_GRACE_PERIOD_SEC=0"), OpenDesk: d.open})
	client := pb.NewCollectionsClient(dial(t, n.GRPCAddr()))
	answered := make(chan error, 1)
	go func() {
		_, err := client.CollectionExists(t.Context(), &pb.CollectionExistsRequest{CollectionName: "slow"})
		answered <- err
	}()
	<-d.started
	require.NoError(t, n.Stop(t.Context()))
	require.Error(t, <-answered)
	require.EqualValues(t, 1, d.closed.Load())
}

func TestRun(t *testing.T) {
	d := newDesk()
	ctx, cancel := context.WithCancel(t.Context())
	o := node.Options{Config: configure(t, t.TempDir()), OpenDesk: d.open}
	require.NoError(t, node.Run(ctx, o, func(*node.Node) error {
		cancel()
		return nil
	}))
	require.EqualValues(t, 1, d.closed.Load())
	require.ErrorContains(t, node.Run(t.Context(), o, func(*node.Node) error { return errors.New("no") }), "no")
	require.EqualValues(t, 2, d.closed.Load())
}

func TestCloseErrorIsReported(t *testing.T) {
	open := func(ctx context.Context, o node.Options) (*node.Desk, error) {
		d, err := newDesk().open(ctx, o)
		d.Close = func() error { return errors.New("flush failed") }
		return d, err
	}
	n, err := node.Start(t.Context(), node.Options{Config: configure(t, t.TempDir()), FS: fsx.OS{}, OpenDesk: open})
	require.NoError(t, err)
	require.ErrorContains(t, n.Stop(t.Context()), "close storage: flush failed")
}

func TestTwoNodesInOneProcess(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 2 {
		n := start(t, node.Options{Config: configure(t, t.TempDir()), OpenDesk: newDesk().open})
		wg.Go(func() {
			client := pb.NewQdrantClient(dial(t, n.GRPCAddr()))
			for range i + 1 {
				if _, err := client.HealthCheck(t.Context(), &pb.HealthCheckRequest{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestKeysAtBothDoors(t *testing.T) {
	n := start(t, node.Options{
		Config:   configure(t, t.TempDir(), "QDRANT__SERVICE__API_KEY=all", "QDRANT__SERVICE__READ_ONLY_API_KEY=look"),
		OpenDesk: newDesk().open,
	})
	client := pb.NewCollectionsClient(dial(t, n.GRPCAddr()))
	f := func(key string, list, remove codes.Code) {
		t.Helper()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "api-key", key)
		_, err := client.List(ctx, &pb.ListCollectionsRequest{})
		require.Equal(t, list, status.Code(err))
		_, err = client.Delete(ctx, &pb.DeleteCollection{CollectionName: "x"})
		require.Equal(t, remove, status.Code(err))
	}
	f("", codes.Unauthenticated, codes.Unauthenticated)
	f("look", codes.OK, codes.PermissionDenied)
	f("all", codes.OK, codes.Unimplemented)
}

func TestInitFile(t *testing.T) {
	require.NoError(t, node.TouchInitFile())
	name := filepath.Join(t.TempDir(), ".qdrant-initialized")
	t.Setenv("QDRANT_INIT_FILE_PATH", name)
	require.NoError(t, node.TouchInitFile())
	require.FileExists(t, name)
	t.Setenv("QDRANT_INIT_FILE_PATH", filepath.Join(name, strconv.Itoa(1)))
	require.ErrorContains(t, node.TouchInitFile(), "touch init file")
}
