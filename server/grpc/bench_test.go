package grpc_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/server/auth"
	door "github.com/sextantdb/sextant/server/grpc"
	"github.com/sextantdb/sextant/server/telemetry"
)

// desk answers searches with ten points at once, so that what is measured is
// the door.
type desk struct {
	pb.UnimplementedPointsServer
	payload payload.Object
}

func (d desk) Search(context.Context, *pb.SearchPoints) (*pb.SearchResponse, error) {
	resp := &pb.SearchResponse{Result: make([]*pb.ScoredPoint, 10), Time: 0.001}
	for i := range resp.Result {
		p := &pb.ScoredPoint{Id: pb.NewIDNum(uint64(i) * 1000), Score: float32(i), Version: 7}
		if d.payload != nil {
			payload.Attach(p, d.payload)
		}
		resp.Result[i] = p
	}
	return resp, nil
}

// BenchmarkSearch is one search of 128 dimensions through a TCP connection, for
// several numbers of callers. The callers are in a process of their own, so that
// "cpu-µs/op" is the processor time of the door alone: what a search costs beyond
// the search.
func BenchmarkSearch(b *testing.B) {
	small, err := payload.FromJSON([]byte(`{"title":"a title of some words","year":1999,"tags":["x","y","z"],"score":0.25}`))
	require.NoError(b, err)
	for _, c := range []struct {
		name    string
		callers int
		payload payload.Object
	}{{"callers=1", 1, nil}, {"callers=2", 2, nil}, {"callers=16", 16, nil}, {"callers=64", 64, nil}, {"callers=16,payload", 16, small}} {
		b.Run(c.name, func(b *testing.B) {
			addr := listen(b, desk{payload: c.payload})
			b.ReportAllocs()
			before := processorTime(b)
			b.ResetTimer()
			cmd := exec.CommandContext(b.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), callerEnv+"="+addr, "CALLS="+strconv.Itoa(b.N), "CALLERS="+strconv.Itoa(c.callers))
			out, err := cmd.CombinedOutput()
			require.NoError(b, err, string(out))
			b.StopTimer()
			used := processorTime(b) - before
			b.ReportMetric(float64(used.Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(b.N)/used.Seconds(), "calls/cpu-s")
		})
	}
}

// callerEnv makes this test binary the callers of BenchmarkSearch.
const callerEnv = "SEXTANT_BENCH_CALL"

// callMain is the other process: CALLERS goroutines share CALLS searches.
func callMain(addr string) error {
	calls, err1 := strconv.Atoi(os.Getenv("CALLS"))
	callers, err2 := strconv.Atoi(os.Getenv("CALLERS"))
	conn, err3 := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	vector := make([]float32, 128)
	for i := range vector {
		vector[i] = float32(i) / 128
	}
	req := &pb.SearchPoints{CollectionName: "bench", Vector: vector, Limit: 10}
	var left atomic.Int64
	left.Store(int64(calls))
	var g errgroup.Group
	for range callers {
		g.Go(func() error {
			for left.Add(-1) >= 0 {
				//nolint:staticcheck // the call of older clients, and the leanest
				if _, err := pb.NewPointsClient(conn).Search(context.Background(), req); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return errors.Join(g.Wait(), conn.Close())
}

// listen serves a door as a node would.
func listen(b *testing.B, d desk) (addr string) {
	b.Helper()
	s := door.New(door.Options{
		Points: d, Collections: pb.UnimplementedCollectionsServer{},
		Guard: auth.New(auth.Options{}), Observer: telemetry.NewRequests(),
	})
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	b.Cleanup(func() {
		s.Shutdown(context.Background())
		require.NoError(b, <-served)
	})
	return l.Addr().String()
}

// processorTime is the processor time the process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Skipf("no processor time on this system: %v", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
