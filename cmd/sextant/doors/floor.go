package doors

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/bench/load"
	"github.com/sextantdb/sextant/internal/nodeprocess"
	doorgrpc "github.com/sextantdb/sextant/server/grpc"
)

// ServeFloor answers queries over gRPC with the door's transport but without
// anything of the door or of a database: the request isn't read, a loop keeps a
// processor busy for as long as a search would, and the answer is always the
// same. What a query costs here beyond the loop is what grpc-go, the runtime and
// the system cost, hence no door that is built on grpc-go can cost less.
//
// Its addresses, of gRPC and of a page with its processor time, are written to
// out when it answers. It ends when ctx does.
func ServeFloor(ctx context.Context, busy time.Duration, out io.Writer) error {
	answer, err := sampleAnswer()
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	calls, err := lc.Listen(ctx, "tcp", nodeprocess.Host+":0")
	if err != nil {
		return fmt.Errorf("listen for calls: %w", err)
	}
	pages, err := lc.Listen(ctx, "tcp", nodeprocess.Host+":0")
	if err != nil {
		return errors.Join(fmt.Errorf("listen for pages: %w", err), calls.Close())
	}
	server := grpc.NewServer(append(doorgrpc.Transport(0), grpc.ForceServerCodecV2(sameAnswer(answer)))...)
	pb.RegisterPointsServer(server, busyPoints{rounds: calibrate(busy)})
	metrics := &http.Server{Handler: http.HandlerFunc(showUsage), ReadHeaderTimeout: time.Second}
	if _, err := fmt.Fprintf(out, "%s %s\n", calls.Addr(), pages.Addr()); err != nil {
		return errors.Join(fmt.Errorf("tell the addresses: %w", err), calls.Close(), pages.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := server.Serve(doorgrpc.Listen(calls)); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		if err := metrics.Serve(pages); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		server.Stop()
		return metrics.Close()
	})
	return g.Wait()
}

// sampleAnswer is as long as the answer to a query of a benchmark.
func sampleAnswer() ([]byte, error) {
	resp := &pb.QueryResponse{Time: 0.0001}
	for i := range uint64(neighbours) {
		resp.Result = append(resp.Result, &pb.ScoredPoint{Id: pb.NewIDNum(100_000 + i), Score: 0.5, Version: 500})
	}
	b, err := proto.Marshal(resp)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return b, nil
}

// sameAnswer is a codec that reads nothing and writes the same always.
type sameAnswer []byte

// Name implements encoding.CodecV2.
func (sameAnswer) Name() string { return "proto" }

// Unmarshal implements encoding.CodecV2.
func (sameAnswer) Unmarshal(mem.BufferSlice, any) error { return nil }

// Marshal implements encoding.CodecV2.
func (a sameAnswer) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(a)}, nil
}

// busyPoints computes instead of searching.
type busyPoints struct {
	pb.UnimplementedPointsServer

	rounds int
}

// Query implements pb.PointsServer.
func (p busyPoints) Query(context.Context, *pb.QueryPoints) (*pb.QueryResponse, error) {
	if spin(p.rounds) == 0 {
		return nil, errors.New("the loop ended at 0, which it can't")
	}
	return &pb.QueryResponse{}, nil
}

// spin computes in registers alone: nothing that others do makes it slower but
// taking the processor away. It never returns 0 (xorshift).
func spin(rounds int) uint64 {
	x := uint64(0x9E3779B97F4A7C15)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// calibrate returns how many rounds of spin take d of processor time. The best of
// several tries counts, because anything else that happens makes a try longer.
func calibrate(d time.Duration) int {
	const (
		rounds = 1 << 22 // some ms
		tries  = 20
	)
	best := time.Duration(1 << 62)
	for range tries {
		start := time.Now()
		if spin(rounds) != 0 {
			best = min(best, time.Since(start))
		}
	}
	return int(float64(rounds) * float64(d) / float64(max(best, 1)))
}

// showUsage is a page as nodes have it, as far as package load reads it.
func showUsage(w http.ResponseWriter, _ *http.Request) {
	seconds, err := processorTime()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprintf(w, "process_cpu_seconds_total %f\n", seconds) // fails only when nobody listens
}

// floor measures a ServeFloor in a process of its own, for each ef with a loop as
// long as a search in this process takes.
func (r *run) floor(ctx context.Context) error {
	for _, ef := range r.Efs {
		busy := median(r.found[way{name: inProcess, ef: ef, clients: 1, depth: 1}], func(s load.Search) float64 { return s.CPU })
		err := r.withFloor(ctx, time.Duration(busy*float64(time.Millisecond)), func(target load.Target) error {
			for _, depth := range r.Depths {
				if err := r.measure(ctx, way{name: floorName, clients: r.Clients, depth: depth}, []int{ef}, target); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// withFloor runs a floor for a while.
func (r *run) withFloor(ctx context.Context, busy time.Duration, use func(load.Target) error) (err error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	cmd := exec.CommandContext(ctx, r.Floor[0], append(slices.Clone(r.Floor[1:]), "--busy", busy.String())...) //nolint:gosec // our own program
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the floor: %w", err)
	}
	defer func() {
		end()
		// A floor that was asked to end says so by its status, and that is no failure.
		if werr := cmd.Wait(); werr != nil && !errors.Is(werr, context.Canceled) {
			err = errors.Join(err, fmt.Errorf("the floor failed: %w\n%s", werr, failure.String()))
		}
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the addresses of the floor: %w", err)
	}
	calls, pages, _ := strings.Cut(strings.TrimSpace(line), " ")
	addr, err := net.ResolveTCPAddr("tcp", calls)
	if err != nil {
		return fmt.Errorf("read the address of the floor: %w", err)
	}
	target, err := load.NewGRPC(nodeprocess.Host, addr.Port, r.Clients, "http://"+pages, "")
	if err != nil {
		return err
	}
	return errors.Join(use(target), target.Close())
}
