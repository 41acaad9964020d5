package grpc_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
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
// several numbers of callers. Client and server share the processors; "cpu-µs/op"
// is the processor time of both.
func BenchmarkSearch(b *testing.B) {
	small, err := payload.FromJSON([]byte(`{"title":"a title of some words","year":1999,"tags":["x","y","z"],"score":0.25}`))
	require.NoError(b, err)
	vector := make([]float32, 128)
	for i := range vector {
		vector[i] = float32(i) / 128
	}
	for _, c := range []struct {
		name    string
		callers int
		payload payload.Object
	}{{"callers=1", 1, nil}, {"callers=2", 2, nil}, {"callers=16", 16, nil}, {"callers=64", 64, nil}, {"callers=16/payload", 16, small}} {
		b.Run(c.name, func(b *testing.B) {
			client := pb.NewPointsClient(connect(b, desk{payload: c.payload}))
			req := &pb.SearchPoints{CollectionName: "bench", Vector: vector, Limit: 10}
			search := func() error {
				_, err := client.Search(b.Context(), req) //nolint:staticcheck // the call of older clients, and the leanest
				return err
			}
			require.NoError(b, search())
			b.ReportAllocs()
			before := processorTime(b)
			b.ResetTimer()
			work := make(chan struct{}, b.N)
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			done := make(chan error, c.callers)
			for range c.callers {
				go func() {
					for range work {
						if err := search(); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range c.callers {
				require.NoError(b, <-done)
			}
			b.StopTimer()
			used := processorTime(b) - before
			b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(b.N)/used.Seconds(), "calls/cpu-s")
		})
	}
}

// connect serves a door as a node would and connects to it over TCP.
func connect(b *testing.B, d desk) *grpc.ClientConn {
	b.Helper()
	s := door.New(door.Options{
		Points: d, Collections: pb.UnimplementedCollectionsServer{},
		Guard: auth.New(auth.Options{}), Observer: telemetry.NewRequests(),
	})
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(b, err)
	b.Cleanup(func() {
		require.NoError(b, conn.Close())
		s.Shutdown(context.Background())
		require.NoError(b, <-served)
	})
	return conn
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
