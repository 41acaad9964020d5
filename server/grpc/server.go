// Package grpc is the gRPC door: the official services Qdrant, Collections,
// Points and Snapshots on the public port, with health and reflection. It reads
// requests, checks keys, calls the front desk through the generated interfaces,
// and renders answers and failures; it decides nothing about data.
//
// The composition root (server/node) makes one Server per node. Requests reach
// the front desk without unknown fields, so that no client can hand in a payload
// in its inner form; answers leave with payloads as the public maps.
package grpc

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math"
	"net"
	"runtime"
	"sync"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress; answers then are, too
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	"github.com/sextantdb/sextant/server/auth"
	"github.com/sextantdb/sextant/server/grpc/rawconn"
)

// Title is how the server names itself; clients compare it.
const Title = "qdrant - vector search engine"

// Observer learns of every answered call.
type Observer interface {
	// ObserveGRPC is called when the answer is known. Method is the full name,
	// "/qdrant.Points/Search".
	ObserveGRPC(method string, code codes.Code, took time.Duration)
}

// Options are what the door needs. Zero values of the optional ones work.
type Options struct {
	Points      pb.PointsServer
	Collections pb.CollectionsServer
	Snapshots   pb.SnapshotsServer // optional: answered as not implemented
	// Version and Commit are shown by HealthCheck.
	Version, Commit string
	Guard           *auth.Guard // nil lets everybody in
	Observer        Observer    // optional
	Logger          *slog.Logger
	// MaxRequestBytes limits a request, compressed or not; 0 is 2 GiB − 1, the
	// most a message can have.
	MaxRequestBytes int
	// Workers is how many goroutines wait for calls; calls beyond them get one
	// of their own, whose stack has to grow first. 0 is 32 for each CPU.
	Workers int
	// ReadTimeout ends reads that carry no timeout of their own; 0 is 60 s.
	ReadTimeout time.Duration
	// TLS has the door speak TLS; nil is plain.
	TLS *tls.Config
}

// Server is the door. Serve and Shutdown may be called from any goroutine.
type Server struct {
	opts     Options
	server   *grpc.Server
	health   *health.Server
	methods  map[string]method // fixed after New
	stop     chan struct{}     // closed when the door begins to close
	stopOnce sync.Once
}

// method is what the door knows of a procedure before it is called.
type method struct {
	need auth.Access
	// read marks a procedure on points that ends after a read's timeout.
	read bool
}

// Flow-control windows and buffers. An upload batch is a few MiB, so a stream
// may have that much in flight before the server has read it; fixed windows also
// spare the estimator's pings.
const (
	streamWindow = 4 << 20
	connWindow   = 16 << 20
	ioBuffer     = 64 << 10
)

// A connection that has been silent for pingAfter is asked for a sign of life; it
// is closed when that, or anything else, stays unanswered for pingTimeout.
const (
	pingAfter   = 2 * time.Minute
	pingTimeout = 20 * time.Second
)

// greetTimeout is how long a new connection may take to say that it speaks gRPC (and TLS). A silent one
// holds up the end of the door no longer.
const greetTimeout = 5 * time.Second

// New makes the door; nothing is listened on before Serve.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxRequestBytes <= 0 {
		o.MaxRequestBytes = math.MaxInt32
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 60 * time.Second
	}
	if o.Snapshots == nil {
		o.Snapshots = pb.UnimplementedSnapshotsServer{}
	}
	s := &Server{opts: o, health: health.NewServer(), stop: make(chan struct{})}
	secure := insecure.NewCredentials()
	if o.TLS != nil {
		secure = credentials.NewTLS(o.TLS)
	}
	s.server = grpc.NewServer(append(Transport(o.Workers),
		grpc.Creds(secure),
		grpc.ConnectionTimeout(greetTimeout),
		grpc.ForceServerCodecV2(codec{}),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
		grpc.MaxRecvMsgSize(o.MaxRequestBytes),
		grpc.MaxSendMsgSize(math.MaxInt32),
	)...)
	s.register()
	return s
}

// Transport are the options of the door that say how bytes travel, without what is done with
// a call. A measurement makes a server of them that does nothing else. 0 workers is the
// default of Options.
func Transport(workers int) []grpc.ServerOption {
	if workers <= 0 {
		workers = 32 * runtime.GOMAXPROCS(0)
	}
	return []grpc.ServerOption{
		grpc.NumStreamWorkers(uint32(workers)),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.ReadBufferSize(ioBuffer),
		grpc.WriteBufferSize(ioBuffer),
		grpc.MaxConcurrentStreams(1 << 14),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}

// Listen wraps a listener as Serve does; it goes with Transport.
func Listen(l net.Listener) net.Listener { return rawconn.Listen(l, pingTimeout) }

// register announces the services, and those only, to clients and reflection.
func (s *Server) register() {
	pb.RegisterQdrantServer(s.server, identity{version: s.opts.Version, commit: s.opts.Commit})
	pb.RegisterCollectionsServer(s.server, s.opts.Collections)
	pb.RegisterPointsServer(s.server, s.opts.Points)
	pb.RegisterSnapshotsServer(s.server, s.opts.Snapshots)
	healthpb.RegisterHealthServer(s.server, s.health)
	s.SetServing(false)

	public := services(s.server.GetServiceInfo())
	s.methods = make(map[string]method)
	for name, info := range public {
		for _, m := range info.Methods {
			full := "/" + name + "/" + m.Name
			need := auth.OfMethod(full)
			s.methods[full] = method{need: need, read: need == auth.Read && name == "qdrant.Points"}
		}
	}
	o := reflection.ServerOptions{Services: public}
	reflectionv1.RegisterServerReflectionServer(s.server, reflection.NewServerV1(o))
	reflectionv1alpha.RegisterServerReflectionServer(s.server, reflection.NewServer(o))
}

// services is the list that reflection shows: the public services without
// reflection's own, which clients would take for a part of the API.
type services map[string]grpc.ServiceInfo

// GetServiceInfo implements reflection.ServiceInfoProvider.
func (s services) GetServiceInfo() map[string]grpc.ServiceInfo { return s }

// Serve answers calls on l until Shutdown. It returns nil after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.server.Serve(Listen(l)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// SetServing says what health checks are answered.
func (s *Server) SetServing(ready bool) {
	state := healthpb.HealthCheckResponse_NOT_SERVING
	if ready {
		state = healthpb.HealthCheckResponse_SERVING
	}
	for _, name := range []string{"", "qdrant.Qdrant", "qdrant.Collections", "qdrant.Points", "qdrant.Snapshots"} {
		s.health.SetServingStatus(name, state)
	}
}

// Shutdown takes no more calls and waits for those under way; when ctx ends
// first, it cuts them off. It may be called more than once.
func (s *Server) Shutdown(ctx context.Context) {
	s.stopOnce.Do(func() {
		s.health.Shutdown()
		close(s.stop)
	})
	done := make(chan struct{})
	go func() {
		s.server.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.server.Stop()
		<-done
	}
}

// identity answers who the server is.
type identity struct {
	pb.UnimplementedQdrantServer
	version, commit string
}

// HealthCheck implements pb.QdrantServer.
func (i identity) HealthCheck(context.Context, *pb.HealthCheckRequest) (*pb.HealthCheckReply, error) {
	reply := &pb.HealthCheckReply{Title: Title, Version: i.version}
	if i.commit != "" {
		reply.Commit = &i.commit
	}
	return reply, nil
}
