package grpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sextantdb/sextant/cluster/consistency"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/server/auth"
	door "github.com/sextantdb/sextant/server/grpc"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(callerEnv); addr != "" {
		if err := callMain(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // the exit of the callers' process, not of a server
		}
		os.Exit(0) //nolint:forbidigo // as above
	}
	goleak.VerifyTestMain(m)
}

// points is a front desk that keeps points in memory and finds them by id. Some
// collection names make it fail in the way they say.
type points struct {
	pb.UnimplementedPointsServer
	mu     sync.Mutex // guards stored
	stored []*pb.PointStruct
	// started hears of calls to the collection "slow", which last as long as
	// their context.
	started chan struct{}
}

type tooMuch struct{ error }

func (tooMuch) RetryAfter() time.Duration { return 1500 * time.Millisecond }
func (e tooMuch) Unwrap() error           { return e.error }

func (p *points) fail(ctx context.Context, collection string) error {
	switch collection {
	case "missing":
		return apierror.New(apierror.NotFound, "Collection `%s` doesn't exist!", collection)
	case "broken":
		return errors.New("disk on fire")
	case "panics":
		panic("boom")
	case "busy":
		return tooMuch{apierror.New(apierror.RateLimited, "too many reads")}
	case "slow":
		p.started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (p *points) Upsert(ctx context.Context, r *pb.UpsertPoints) (*pb.PointsOperationResponse, error) {
	if err := p.fail(ctx, r.GetCollectionName()); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stored = append(p.stored, r.GetPoints()...)
	return &pb.PointsOperationResponse{Result: &pb.UpdateResult{Status: pb.UpdateStatus_Completed}}, nil
}

func (p *points) Get(ctx context.Context, r *pb.GetPoints) (*pb.GetResponse, error) {
	if err := p.fail(ctx, r.GetCollectionName()); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	resp := new(pb.GetResponse)
	for _, s := range p.stored {
		o, err := payload.Of(s)
		if err != nil {
			return nil, err
		}
		out := &pb.RetrievedPoint{Id: s.GetId()}
		payload.Attach(out, o)
		resp.Result = append(resp.Result, out)
	}
	return resp, nil
}

// collections implements what these tests call of the collections' service.
type collections struct {
	pb.UnimplementedCollectionsServer
}

func (collections) List(context.Context, *pb.ListCollectionsRequest) (*pb.ListCollectionsResponse, error) {
	return &pb.ListCollectionsResponse{}, nil
}

// serve starts a door over an in-process connection.
func serve(t *testing.T, o door.Options, dial ...grpc.DialOption) (*door.Server, *grpc.ClientConn) {
	t.Helper()
	if o.Points == nil {
		o.Points = &points{started: make(chan struct{}, 1)}
	}
	o.Collections = collections{}
	s := door.New(o)
	l := bufconn.Listen(1 << 20)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(l); err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///door", append(dial,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		s.Shutdown(context.Background())
		wg.Wait()
	})
	return s, conn
}

func TestPointsComeBackAsTheyWent(t *testing.T) {
	_, conn := serve(t, door.Options{})
	client := pb.NewPointsClient(conn)
	text := strings.Repeat("long ", 100_000)
	for _, opt := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
		_, err := client.Upsert(t.Context(), &pb.UpsertPoints{
			CollectionName: "c",
			Points: []*pb.PointStruct{{
				Id:      pb.NewIDNum(1),
				Payload: pb.NewValueMap(map[string]any{"n": 1, "text": text, "list": []any{true, nil, 1.5}}),
			}},
		}, opt...)
		require.NoError(t, err)
		got, err := client.Get(t.Context(), &pb.GetPoints{CollectionName: "c"}, opt...)
		require.NoError(t, err)
		last := got.GetResult()[len(got.GetResult())-1]
		require.Equal(t, int64(1), last.GetPayload()["n"].GetIntegerValue())
		require.Equal(t, text, last.GetPayload()["text"].GetStringValue())
		require.InDelta(t, 1.5, last.GetPayload()["list"].GetListValue().GetValues()[2].GetDoubleValue(), 0)
	}
}

// compression notes how answers come, which grpc hides from its callers.
type compression struct{ of chan string }

func (compression) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (compression) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (compression) HandleConn(context.Context, stats.ConnStats)                       {}
func (c compression) HandleRPC(_ context.Context, s stats.RPCStats) {
	if h, ok := s.(*stats.InHeader); ok {
		c.of <- h.Compression
	}
}

func TestAnswersAreCompressedWhenRequestsAre(t *testing.T) {
	seen := compression{make(chan string, 2)}
	_, conn := serve(t, door.Options{}, grpc.WithStatsHandler(seen))
	client := pb.NewPointsClient(conn)
	_, err := client.Get(t.Context(), &pb.GetPoints{}, grpc.UseCompressor(gzip.Name))
	require.NoError(t, err)
	_, err = client.Get(t.Context(), &pb.GetPoints{})
	require.NoError(t, err)
	require.Equal(t, "gzip", <-seen.of)
	require.Empty(t, <-seen.of)
}

func TestFailures(t *testing.T) {
	var logged lockedBuffer
	_, conn := serve(t, door.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	client := pb.NewPointsClient(conn)
	var trailer metadata.MD
	f := func(collection string, code codes.Code, text string) {
		t.Helper()
		_, err := client.Get(t.Context(), &pb.GetPoints{CollectionName: collection}, grpc.Trailer(&trailer))
		require.Equal(t, code, status.Code(err), "%v", err)
		require.Equal(t, text, status.Convert(err).Message())
	}
	f("missing", codes.NotFound, "Not found: Collection `missing` doesn't exist!")
	require.NotContains(t, logged.String(), "missing", "what the client did wrong is not an error of ours")
	f("broken", codes.Internal, "Service internal error: disk on fire")
	require.Contains(t, logged.String(), "disk on fire")
	f("panics", codes.Internal, "Service internal error: the call failed unexpectedly; the log has the details")
	require.Contains(t, logged.String(), "panic=boom")
	require.Contains(t, logged.String(), "server_test.go", "the stack is in the log")
	f("busy", codes.ResourceExhausted, "Rate limiting exceeded: too many reads")
	require.Equal(t, []string{"2"}, trailer.Get("retry-after"))
	f("c", codes.OK, "")

	_, err := client.Facet(t.Context(), &pb.FacetCounts{})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	require.Contains(t, err.Error(), "Facet not implemented")
	_, err = pb.NewSnapshotsClient(conn).List(t.Context(), &pb.ListSnapshotsRequest{})
	require.Equal(t, codes.Unimplemented, status.Code(err))
}

// lockedBuffer is a log that a test reads while the server may write.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestReadsEnd(t *testing.T) {
	p := &points{started: make(chan struct{}, 8)}
	_, conn := serve(t, door.Options{Points: p, ReadTimeout: time.Millisecond})
	client := pb.NewPointsClient(conn)
	_, err := client.Get(t.Context(), &pb.GetPoints{CollectionName: "slow"})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	require.Equal(t, "Timeout: Operation timed out", status.Convert(err).Message())

	// A write has no such limit: only its client ends it.
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	<-p.started // of the read
	go func() {
		_, err := client.Upsert(ctx, &pb.UpsertPoints{CollectionName: "slow"})
		done <- err
	}()
	<-p.started
	cancel()
	require.Equal(t, codes.Canceled, status.Code(<-done))
}

func TestTooLargeRequestIsRefused(t *testing.T) {
	_, conn := serve(t, door.Options{MaxRequestBytes: 1000})
	client := pb.NewPointsClient(conn)
	big := &pb.GetPoints{CollectionName: strings.Repeat("x", 2000)}
	for _, opt := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
		_, err := client.Get(t.Context(), big, opt...)
		require.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
	}
}

func TestIdentity(t *testing.T) {
	_, conn := serve(t, door.Options{Version: "1.19.0", Commit: "abc"})
	got, err := pb.NewQdrantClient(conn).HealthCheck(t.Context(), &pb.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, "qdrant - vector search engine", got.GetTitle())
	require.Equal(t, "1.19.0", got.GetVersion())
	require.Equal(t, "abc", got.GetCommit())
}

func TestHealth(t *testing.T) {
	s, conn := serve(t, door.Options{})
	client := healthpb.NewHealthClient(conn)
	f := func(service string, want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		got, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		require.NoError(t, err)
		require.Equal(t, want, got.GetStatus())
	}
	f("", healthpb.HealthCheckResponse_NOT_SERVING)
	s.SetServing(true)
	f("", healthpb.HealthCheckResponse_SERVING)
	f("qdrant.Points", healthpb.HealthCheckResponse_SERVING)
}

func TestReflectionShowsThePublicServicesOnly(t *testing.T) {
	_, conn := serve(t, door.Options{})
	want := []string{"grpc.health.v1.Health", "qdrant.Collections", "qdrant.Points", "qdrant.Qdrant", "qdrant.Snapshots"}

	v1, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, v1.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	}))
	answer, err := v1.Recv()
	require.NoError(t, err)
	var got []string
	for _, s := range answer.GetListServicesResponse().GetService() {
		got = append(got, s.GetName())
	}
	require.Equal(t, want, got)
	require.NoError(t, v1.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "qdrant.Points"},
	}))
	answer, err = v1.Recv()
	require.NoError(t, err)
	require.NotEmpty(t, answer.GetFileDescriptorResponse().GetFileDescriptorProto())
	require.NoError(t, v1.CloseSend())
	_, err = v1.Recv()
	require.ErrorIs(t, err, io.EOF)

	alpha, err := reflectionv1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, alpha.Send(&reflectionv1alpha.ServerReflectionRequest{ //nolint:staticcheck // older tools speak it
		MessageRequest: &reflectionv1alpha.ServerReflectionRequest_ListServices{},
	}))
	old, err := alpha.Recv()
	require.NoError(t, err)
	got = nil
	for _, s := range old.GetListServicesResponse().GetService() { //nolint:staticcheck // as above
		got = append(got, s.GetName()) //nolint:staticcheck // as above
	}
	require.Equal(t, want, got)
	require.NoError(t, alpha.CloseSend())
}

func TestKeys(t *testing.T) {
	guard := auth.New(auth.Options{APIKey: "all", ReadOnlyAPIKey: "look"})
	_, conn := serve(t, door.Options{Guard: guard})
	calls := map[string]func(context.Context) error{
		"public": func(ctx context.Context) error {
			_, err := pb.NewQdrantClient(conn).HealthCheck(ctx, &pb.HealthCheckRequest{})
			return err
		},
		"health": func(ctx context.Context) error {
			_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		},
		"read": func(ctx context.Context) error {
			_, err := pb.NewPointsClient(conn).Get(ctx, &pb.GetPoints{})
			return err
		},
		"list": func(ctx context.Context) error {
			_, err := pb.NewCollectionsClient(conn).List(ctx, &pb.ListCollectionsRequest{})
			return err
		},
		"write": func(ctx context.Context) error {
			_, err := pb.NewPointsClient(conn).Upsert(ctx, &pb.UpsertPoints{})
			return err
		},
		"manage": func(ctx context.Context) error { // reaches the desk, which doesn't do it
			_, err := pb.NewCollectionsClient(conn).Delete(ctx, &pb.DeleteCollection{})
			return err
		},
		"reflect": func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
			require.NoError(t, err)
			// Fails when the door has refused the stream already; Recv tells why.
			_ = stream.Send(&reflectionv1.ServerReflectionRequest{
				MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
			})
			_, err = stream.Recv()
			return err
		},
	}
	f := func(key, value string, want map[string]codes.Code) {
		t.Helper()
		ctx := t.Context()
		if key != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, key, value)
		}
		for name, call := range calls {
			require.Equal(t, want[name], status.Code(call(ctx)), "%s with %s %q", name, key, value)
		}
	}
	no, forbidden, absent := codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented
	refused := map[string]codes.Code{"read": no, "list": no, "write": no, "manage": no, "reflect": no}
	f("", "", refused)
	f("api-key", "wrong", refused)
	f("authorization", "Basic all", refused)
	f("api-key", "all", map[string]codes.Code{"manage": absent})
	f("authorization", "Bearer all", map[string]codes.Code{"manage": absent})
	f("api-key", "look", map[string]codes.Code{"write": forbidden, "manage": forbidden})
}

// leveled is a service that notes how much its reads must have seen.
type leveled struct {
	points
	level consistency.Level
}

func (p *leveled) Count(ctx context.Context, _ *pb.CountPoints) (*pb.CountResponse, error) {
	p.level = consistency.Of(ctx)
	return &pb.CountResponse{}, nil
}

func TestMetadataAsksForLinearizableReads(t *testing.T) {
	p := &leveled{}
	_, conn := serve(t, door.Options{Points: p})
	count := func(key, value string) error {
		_, err := pb.NewPointsClient(conn).Count(metadata.AppendToOutgoingContext(t.Context(), key, value), &pb.CountPoints{})
		return err
	}
	require.NoError(t, count("other", "linearizable"))
	require.Equal(t, consistency.Level{}, p.level)
	require.NoError(t, count("x-read-consistency", "linearizable"))
	require.Equal(t, consistency.Level{Mode: consistency.Linearizable}, p.level)
	require.Equal(t, codes.InvalidArgument, status.Code(count("x-read-consistency", "strong")))
}

// observed keeps what an Observer was told.
type observed struct {
	mu    sync.Mutex // guards calls
	calls []string
}

func (o *observed) ObserveGRPC(method string, code codes.Code, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if took < 0 {
		method += " took less than nothing"
	}
	o.calls = append(o.calls, method+" "+code.String())
}

func TestObserverHearsOfEveryCall(t *testing.T) {
	o := new(observed)
	_, conn := serve(t, door.Options{Observer: o, Guard: auth.New(auth.Options{APIKey: "k"})})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "api-key", "k")
	client := pb.NewPointsClient(conn)
	_, _ = client.Get(ctx, &pb.GetPoints{})
	_, _ = client.Get(ctx, &pb.GetPoints{CollectionName: "missing"})
	_, _ = client.Get(t.Context(), &pb.GetPoints{})
	require.Equal(t, []string{"/qdrant.Points/Get OK", "/qdrant.Points/Get NotFound", "/qdrant.Points/Get Unauthenticated"}, o.calls)
}

func TestShutdownWaitsForCallsAndCutsStreams(t *testing.T) {
	p := &points{started: make(chan struct{}, 1)}
	s, conn := serve(t, door.Options{Points: p})
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	ctx, finish := context.WithCancel(t.Context())
	call := make(chan error, 1)
	go func() {
		_, err := pb.NewPointsClient(conn).Upsert(ctx, &pb.UpsertPoints{CollectionName: "slow"})
		call <- err
	}()
	<-p.started
	down := make(chan struct{})
	go func() {
		s.Shutdown(context.Background())
		close(down)
	}()
	for err == nil { // the watch hears of the end, then ends
		_, err = watch.Recv()
	}
	require.Equal(t, codes.Unavailable, status.Code(err))
	select {
	case <-down:
		require.Fail(t, "the door closed on a call under way")
	default:
	}
	finish()
	require.Equal(t, codes.Canceled, status.Code(<-call))
	<-down
}

func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	p := &points{started: make(chan struct{}, 1)}
	s, conn := serve(t, door.Options{Points: p})
	call := make(chan error, 1)
	go func() {
		_, err := pb.NewPointsClient(conn).Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "slow"})
		call <- err
	}()
	<-p.started
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Shutdown(ctx)
	require.Error(t, <-call)
}
