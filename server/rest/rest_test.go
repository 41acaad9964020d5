package rest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/sextantdb/sextant/internal/apierror"
)

func door(d *desk, change func(*Options)) http.Handler {
	o := Options{
		Points: pointsFace{d: d}, Collections: collectionsFace{d: d},
		Version: "1.19.0", Commit: strings.Repeat("0123456789", 4),
	}
	if change != nil {
		change(&o)
	}
	return New(o)
}

var took = regexp.MustCompile(`"time":[0-9.e-]+`)

// TestScripts runs testdata: "answer" sets what the front desk says next,
// "fail kind=…" its error, and "<METHOD> <path>" sends a request and shows what
// was answered and what the front desk was asked.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/script", func(t *testing.T, path string) {
		t.Helper()
		d := &desk{}
		h := door(d, nil)
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			t.Helper()
			switch td.Cmd {
			case "answer":
				d.answer, d.err = td.Input, nil
				return ""
			case "fail":
				n, err := strconv.Atoi(td.CmdArgs[0].Key)
				require.NoError(t, err)
				d.err = apierror.New(apierror.Kind(n), "%s", strings.TrimSpace(td.Input))
				return ""
			}
			d.asked = nil
			r := httptest.NewRequestWithContext(t.Context(), td.Cmd, td.CmdArgs[0].String(), strings.NewReader(td.Input))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			var out strings.Builder
			for _, asked := range d.asked {
				out.WriteString(asked + "\n")
			}
			body := took.ReplaceAllString(w.Body.String(), `"time":T`)
			fmt.Fprintf(&out, "%d %s\n%s\n", w.Code, w.Header().Get("Content-Type"), body)
			return out.String()
		})
	})
}

func request(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestBodyLimit(t *testing.T) {
	d := &desk{}
	h := door(d, func(o *Options) { o.MaxBodyBytes = 100 })
	long := `{"limit": 1` + strings.Repeat(" ", 100) + "}"
	w := request(h, "POST", "/collections/c/points/scroll", long)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	require.Contains(t, w.Body.String(), "limit: 100 bytes")

	// A body without a length, and one that is small only while compressed.
	r := httptest.NewRequest(http.MethodPost, "/collections/c/points/scroll", io.MultiReader(strings.NewReader(long)))
	r.ContentLength = -1
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	w = request(h, "POST", "/collections/c/points/scroll", zipped(t, strings.Repeat(" ", 1000)), "Content-Encoding", "gzip")
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	require.Empty(t, d.asked)

	require.Equal(t, http.StatusOK, request(h, "POST", "/collections/c/points/scroll", strings.Repeat(" ", 98)+"{}").Code)
}

// A client that sends all before it reads must get the refusal, not a broken
// connection.
func TestRefusedBodyIsReadToItsEnd(t *testing.T) {
	srv := httptest.NewServer(door(&desk{}, func(o *Options) { o.MaxBodyBytes = 4 << 20 }))
	defer srv.Close()
	f := func(method, path string, code int) {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
		const size = 30 << 20
		_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", method, path, size)
		require.NoError(t, err)
		_, err = conn.Write(bytes.Repeat([]byte(" "), size))
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, code, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
	}
	f("PUT", "/collections/c/points", http.StatusRequestEntityTooLarge)
	f("PUT", "/collections/c/nothing", http.StatusNotFound)
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, err := io.WriteString(zw, text)
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	return b.String()
}

func TestContentEncodings(t *testing.T) {
	d := &desk{}
	h := door(d, nil)
	const path, body = "/collections/c/points/count", `{"exact": false}`
	enc, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	for encoding, text := range map[string]string{
		"gzip": zipped(t, body), "identity": body, "zstd": string(enc.EncodeAll([]byte(body), nil)),
	} {
		d.asked = nil
		require.Equal(t, http.StatusOK, request(h, "POST", path, text, "Content-Encoding", encoding).Code, encoding)
		require.Equal(t, []string{`Count collection_name:"c" exact:false`}, d.asked)
	}
	for encoding, text := range map[string]string{"gzip": body, "deflate": body, "zstd": body, "br": body} {
		require.Equal(t, http.StatusBadRequest, request(h, "POST", path, text, "Content-Encoding", encoding).Code, encoding)
	}
}

func TestCompressedAnswers(t *testing.T) {
	d := &desk{answer: `result { payload { key: "text" value { string_value: "` + strings.Repeat("abc ", 1000) + `" } } }`}
	h := door(d, nil)
	plain := request(h, "POST", "/collections/c/points", `{"ids": [1]}`)
	require.Empty(t, plain.Header().Get("Content-Encoding"))
	require.Equal(t, strconv.Itoa(plain.Body.Len()), plain.Header().Get("Content-Length"))
	for header, compressed := range map[string]bool{
		"gzip": true, "deflate, gzip;q=0.5": true, "br, gzip": true, "gzip;q=0": false, "br": false, "identity": false,
	} {
		w := request(h, "POST", "/collections/c/points", `{"ids": [1]}`, "Accept-Encoding", header)
		require.Equal(t, compressed, w.Header().Get("Content-Encoding") == "gzip", header)
		require.Equal(t, "Accept-Encoding", w.Header().Get("Vary"))
		if !compressed {
			continue
		}
		zr, err := gzip.NewReader(w.Body)
		require.NoError(t, err)
		text, err := io.ReadAll(zr)
		require.NoError(t, err)
		require.Equal(t, took.ReplaceAllString(plain.Body.String(), ""), took.ReplaceAllString(string(text), ""))
	}
}

type guard struct {
	seen []Target
	err  error
}

type guardKey struct{}

func (g *guard) Check(r *http.Request, target Target) (context.Context, error) {
	g.seen = append(g.seen, target)
	if target.Access == Public {
		return r.Context(), nil
	}
	return context.WithValue(r.Context(), guardKey{}, "checked"), g.err
}

func TestGuardIsAskedFirst(t *testing.T) {
	g := &guard{err: apierror.New(apierror.Unauthorized, "Must provide an API key or an Authorization bearer token")}
	d := &desk{}
	h := door(d, func(o *Options) { o.Auth = g })
	for _, path := range []string{"/", "/healthz", "/livez", "/readyz"} {
		require.Equal(t, http.StatusOK, request(h, "GET", path, "").Code, path)
	}
	g.seen = nil
	w := request(h, "PUT", "/collections/c/points", "not even JSON")
	require.Equal(t, http.StatusUnauthorized, w.Code)
	require.Equal(t, "Must provide an API key or an Authorization bearer token", w.Body.String())
	require.Contains(t, w.Header().Get("Content-Type"), "text/plain")
	require.Empty(t, d.asked)
	require.Equal(t, []Target{{Access: Write, Collection: "c", Pattern: "PUT /collections/{name}/points"}}, g.seen)

	g.err = apierror.New(apierror.Forbidden, "Write access is required")
	require.Equal(t, http.StatusForbidden, request(h, "DELETE", "/collections/c", "").Code)
	require.Equal(t, http.StatusForbidden, request(h, "POST", "/collections/c/snapshots", "").Code, "before saying that it isn't built")
	require.Contains(t, request(h, "DELETE", "/collections/c", "").Body.String(), `{"status":{"error":"Forbidden: Write access is required"},"time":`)
}

func TestUnknownPathsNeedAKeyToo(t *testing.T) {
	g := &guard{err: apierror.New(apierror.Unauthorized, "Must provide an API key or an Authorization bearer token")}
	h := door(&desk{}, func(o *Options) { o.Auth = g })
	for _, path := range []string{"/nowhere", "/collections/c/nothing", "/collections/.."} {
		require.Equal(t, http.StatusUnauthorized, request(h, "GET", path, "").Code, path)
	}
	require.Equal(t, http.StatusUnauthorized, request(h, "DELETE", "/collections", "").Code)
	require.Equal(t, Target{Access: Read}, g.seen[0])
	g.err = nil
	require.Equal(t, http.StatusNotFound, request(h, "GET", "/nowhere", "").Code)
	require.Equal(t, http.StatusMethodNotAllowed, request(h, "DELETE", "/collections", "").Code)
}

func TestNameTooLongForACollection(t *testing.T) {
	d := &desk{}
	w := request(door(d, nil), "GET", "/collections/"+strings.Repeat("n", 256)+"/points/1", "")
	require.Equal(t, http.StatusUnprocessableEntity, w.Code)
	require.Contains(t, w.Body.String(), "Validation error in path parameters: [collection_name: length 256 invalid, must be from 1 to 255]")
	require.Empty(t, d.asked)
}

func TestCORS(t *testing.T) {
	w := request(door(&desk{}, nil), "OPTIONS", "/collections/c/points", "",
		"Origin", "http://x", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "api-key")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "api-key", w.Header().Get("Access-Control-Allow-Headers"))
	require.Contains(t, w.Header().Get("Access-Control-Allow-Methods"), "PATCH")
	w = request(door(&desk{}, nil), "GET", "/", "", "Origin", "http://x")
	require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
	w = request(door(&desk{}, func(o *Options) { o.DisableCORS = true }), "GET", "/", "", "Origin", "http://x")
	require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
}

func TestRequestID(t *testing.T) {
	h := door(&desk{}, nil)
	require.Equal(t, "mine", request(h, "GET", "/", "", "X-Request-Id", "mine").Header().Get("X-Request-Id"))
	made := request(h, "GET", "/", "").Header().Get("X-Request-Id")
	require.Len(t, made, 32)
	require.NotEqual(t, made, request(h, "GET", "/", "", "X-Request-Id", strings.Repeat("x", 1000)).Header().Get("X-Request-Id"))
}

func TestPanicIsAnsweredAndLogged(t *testing.T) {
	var log bytes.Buffer
	h := door(&desk{panics: "broken"}, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	w := request(h, "POST", "/collections/c/points/count", "{}")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Contains(t, w.Body.String(), "Service internal error: panicked: broken")
	require.Contains(t, log.String(), "rest_test") // the stack
}

func TestInternalErrorsAreLogged(t *testing.T) {
	var log bytes.Buffer
	d := &desk{err: errors.New("disk gone")}
	h := door(d, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	require.Equal(t, http.StatusInternalServerError, request(h, "POST", "/collections/c/points/count", "{}").Code)
	require.Contains(t, log.String(), "disk gone")
	log.Reset()
	d.err = apierror.New(apierror.NotFound, "x")
	require.Equal(t, http.StatusNotFound, request(h, "POST", "/collections/c/points/count", "{}").Code)
	require.Empty(t, log.String())
}

type retry struct{ error }

func (retry) RetryAfter() time.Duration { return 1500 * time.Millisecond }
func (r retry) Unwrap() error           { return r.error }

func TestRetryAfter(t *testing.T) {
	d := &desk{err: retry{apierror.New(apierror.RateLimited, "too much")}}
	w := request(door(d, nil), "POST", "/collections/c/points/count", "{}")
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "2", w.Header().Get("Retry-After"))
}

func TestReadsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{block: true}
		h := door(d, func(o *Options) { o.ReadTimeout = 5 * time.Second })
		start := time.Now()
		w := request(h, "POST", "/collections/c/points/count", "{}")
		require.Equal(t, http.StatusRequestTimeout, w.Code)
		require.Contains(t, w.Body.String(), "Timeout: ")
		require.Equal(t, 5*time.Second, time.Since(start))

		start = time.Now()
		require.Equal(t, http.StatusRequestTimeout, request(h, "POST", "/collections/c/points/count?timeout=2", "{}").Code)
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestClientThatHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := &observed{}
		h := door(&desk{block: true}, func(opt *Options) {
			opt.Observer = o
			opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		// A write has no timeout of its own: only the client ends it.
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, "PUT", "/collections/c/points", strings.NewReader(`{"points": []}`))
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
		synctest.Wait()
		cancel()
		<-done
		require.Equal(t, []string{"PUT PUT /collections/{name}/points c 499"}, o.seen)
		require.Empty(t, log.String())
	})
}

type observed struct{ seen []string }

func (o *observed) ObserveREST(method, pattern, collection string, status int, _ time.Duration) {
	o.seen = append(o.seen, fmt.Sprintf("%s %s %s %d", method, pattern, collection, status))
}

func TestObserver(t *testing.T) {
	o := &observed{}
	h := door(&desk{}, func(opt *Options) { opt.Observer = o })
	request(h, "GET", "/collections/c/exists", "")
	request(h, "GET", "/nowhere", "")
	request(h, "POST", "/collections/c/points/scroll", "{")
	request(h, "DELETE", "/collections", "")
	require.Equal(t, []string{
		"GET GET /collections/{name}/exists c 200",
		"GET   404",
		"POST POST /collections/{name}/points/scroll c 400",
		"DELETE   405",
	}, o.seen)
}

func TestServiceEndpoints(t *testing.T) {
	ready := false
	h := door(&desk{}, func(o *Options) {
		o.Ready = func(context.Context) bool { return ready }
		o.Telemetry = func(*http.Request) ([]byte, error) { return []byte(`{"id":"x"}`), nil }
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if _, err := io.WriteString(w, "app_info 1\n"); err != nil {
				t.Error(err)
			}
		})
	})
	require.JSONEq(t, `{"title":"qdrant - vector search engine","version":"1.19.0","commit":"0123456789012345678901234567890123456789"}`,
		request(h, "GET", "/", "").Body.String())
	require.Equal(t, "healthz check passed", request(h, "GET", "/healthz", "").Body.String())
	require.Equal(t, "healthz check passed", request(h, "GET", "/livez", "").Body.String())
	require.Contains(t, request(h, "GET", "/issues", "").Body.String(), `{"result":{"issues":[]},"status":"ok"`)
	require.Contains(t, request(h, "DELETE", "/issues", "").Body.String(), `{"result":true,"status":"ok"`)
	require.Contains(t, request(h, "GET", "/cluster", "").Body.String(), `{"result":{"status":"disabled"},"status":"ok"`)
	for method, path := range map[string]string{"POST": "/cluster/recover", "DELETE": "/cluster/peer/1"} {
		w := request(h, method, path, "")
		require.Equal(t, http.StatusMethodNotAllowed, w.Code)
		require.Contains(t, w.Body.String(), "standalone mode")
	}
	w := request(h, "GET", "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "some shards are not ready", w.Body.String())
	ready = true
	require.Equal(t, "all shards are ready", request(h, "GET", "/readyz", "").Body.String())
	require.Contains(t, request(h, "GET", "/telemetry", "").Body.String(), `"result":{"id":"x"},"status":"ok"`)
	require.Equal(t, "app_info 1\n", request(h, "GET", "/metrics", "").Body.String())
}

func TestMissingOperationsSaySo(t *testing.T) {
	s := &server{}
	h := door(&desk{}, nil)
	for _, rt := range append(s.missingRoutes(), s.snapshotRoutes()...) {
		method, pattern, _ := strings.Cut(rt.pattern, " ")
		w := request(h, method, pattern, "")
		require.Equal(t, http.StatusNotImplemented, w.Code, rt.pattern)
		require.Contains(t, w.Body.String(), `{"status":{"error":"`+rt.pattern+` is not implemented"},"time":`)
	}
}

func TestRoutesAreDistinct(t *testing.T) {
	var patterns []string
	for _, rt := range (&server{Options: Options{Points: pointsFace{}, Collections: collectionsFace{}}}).routes() {
		patterns = append(patterns, rt.pattern)
	}
	slices.Sort(patterns)
	require.Equal(t, slices.Compact(slices.Clone(patterns)), patterns)
}

func TestUnbuiltMethodsSaySo(t *testing.T) {
	h := New(Options{Points: pb.UnimplementedPointsServer{}, Collections: pb.UnimplementedCollectionsServer{}, Snapshots: pb.UnimplementedSnapshotsServer{}})
	for _, path := range []string{"/collections/c/points/count", "/collections/c/snapshots"} {
		w := request(h, "POST", path, "{}")
		require.Equal(t, http.StatusNotImplemented, w.Code)
		require.Contains(t, w.Body.String(), "POST /collections/{name}")
		require.Contains(t, w.Body.String(), "is not implemented")
	}
}

type snapshotsFace struct {
	pb.UnimplementedSnapshotsServer
	d *desk
}

func (f snapshotsFace) List(ctx context.Context, r *pb.ListSnapshotsRequest) (*pb.ListSnapshotsResponse, error) {
	return ask[pb.ListSnapshotsResponse](ctx, f.d, "Snapshots.List", r)
}

func (f snapshotsFace) Create(ctx context.Context, r *pb.CreateSnapshotRequest) (*pb.CreateSnapshotResponse, error) {
	return ask[pb.CreateSnapshotResponse](ctx, f.d, "Snapshots.Create", r)
}

func (f snapshotsFace) Delete(ctx context.Context, r *pb.DeleteSnapshotRequest) (*pb.DeleteSnapshotResponse, error) {
	return ask[pb.DeleteSnapshotResponse](ctx, f.d, "Snapshots.Delete", r)
}

func TestSnapshots(t *testing.T) {
	d := &desk{answer: `snapshot_descriptions { name: "s" size: 3 }`}
	h := door(d, func(o *Options) { o.Snapshots = snapshotsFace{d: d} })
	w := request(h, "GET", "/collections/c/snapshots", "")
	require.Contains(t, w.Body.String(), `"result":[{"name":"s","size":3}]`)
	d.answer = `snapshot_description { name: "s" size: 3 checksum: "ab" }`
	w = request(h, "POST", "/collections/c/snapshots", "")
	require.Contains(t, w.Body.String(), `"result":{"name":"s","size":3,"checksum":"ab"}`)
	d.answer = ""
	w = request(h, "DELETE", "/collections/c/snapshots/s", "")
	require.Contains(t, w.Body.String(), `"result":true`)
	require.Equal(t, []string{
		`Snapshots.List collection_name:"c"`, `Snapshots.Create collection_name:"c"`,
		`Snapshots.Delete collection_name:"c" snapshot_name:"s"`,
	}, d.asked)
}

// BenchmarkQuery is the whole door without sockets: a query of 128 numbers, an
// answer of ten points with payload.
func BenchmarkQuery(b *testing.B) {
	hit := `result { id { num: 12345 } score: 0.51234 version: 7 payload { key: "city" value { string_value: "Berlin" } } payload { key: "n" value { integer_value: 5 } } }`
	resp := &pb.QueryResponse{}
	require.NoError(b, prototext.Unmarshal([]byte(strings.Repeat(hit, 10)), resp))
	attachAll(resp)
	h := New(Options{Points: fixed{resp: resp}, Collections: pb.UnimplementedCollectionsServer{}})
	body := []byte(`{"query": [0.05000000074505806` + strings.Repeat(", -0.6100000143051147", 127) +
		`], "filter": {"must": [{"key": "city", "match": {"value": "Berlin"}}]}, "limit": 10, "with_payload": true}`)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/collections/c/points/query", bytes.NewReader(body))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(b, http.StatusOK, w.Code)
	}
}

// fixed always finds the same.
type fixed struct {
	pb.UnimplementedPointsServer
	resp *pb.QueryResponse
}

func (f fixed) Query(context.Context, *pb.QueryPoints) (*pb.QueryResponse, error) { return f.resp, nil }
