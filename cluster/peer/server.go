package peer

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/peer/peerpb"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/cluster/transfer"
)

// ServerOptions are what a Server needs.
type ServerOptions struct {
	// Self is who is called.
	Self Identity
	// Keys are the api keys of which callers must have one; empty demands none.
	Keys []string
	// TLS, when not nil, is asked for the configuration of each new connection.
	TLS     func() *tls.Config
	Timing  Timing
	Handler Handler
	// Latest, when not nil, returns the highest incarnation of a peer that the topology knows,
	// 0 for none: earlier processes aren't heard any more.
	Latest func(topology.PeerID) uint64
	// MaxMessage is the largest call or message that is read; 0 is 256 MiB.
	MaxMessage int
	Logger     *slog.Logger
}

// Server is the called side. It is safe for concurrent use.
type Server struct {
	peerpb.UnimplementedPeerServer

	o       ServerOptions
	gate    gatekeeper
	server  *grpc.Server
	dropped atomic.Uint64
	refusal atomic.Pointer[string] // the last one

	stop     chan struct{}
	stopOnce sync.Once
	receive  sync.WaitGroup // goroutines that hand over what lanes bring

	mu      sync.Mutex
	streams map[laneKey]*laneStream
}

// methodsForStrangers may be called by nodes that don't know the cluster yet.
var methodsForStrangers = map[string]bool{
	peerpb.Peer_Join_FullMethodName:   true,
	peerpb.Peer_Status_FullMethodName: true,
}

// NewServer makes a Server; nothing is listened on before Serve.
func NewServer(o ServerOptions) *Server {
	o.Timing = o.Timing.withDefaults()
	if o.MaxMessage <= 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, stop: make(chan struct{}), streams: make(map[laneKey]*laneStream)}
	s.gate = newGatekeeper(o.Self, o.Keys, o.Latest)
	options := []grpc.ServerOption{
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
		grpc.MaxRecvMsgSize(o.MaxMessage),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.ReadBufferSize(ioBuffer),
		grpc.WriteBufferSize(ioBuffer),
		grpc.MaxConcurrentStreams(1 << 14),
		grpc.ConnectionTimeout(5 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Second, Timeout: o.Timing.Silence}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
	if o.TLS != nil {
		options = append(options, grpc.Creds(serverTLS(o.TLS)))
	}
	s.server = grpc.NewServer(options...)
	peerpb.RegisterPeerServer(s.server, s)
	return s
}

// Serve answers on a listener until Shutdown, which makes it return nil.
func (s *Server) Serve(l net.Listener) error { return s.server.Serve(l) }

// Shutdown ends the lanes, takes no new calls, and waits for those under way until ctx
// ends; what is left then is broken off.
func (s *Server) Shutdown(ctx context.Context) {
	s.stopOnce.Do(func() { close(s.stop) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.server.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.server.Stop()
		<-done
	}
	s.receive.Wait()
}

// Dropped counts messages between copies that weren't handed over: they came from
// or were meant for another process.
func (s *Server) Dropped() uint64 { return s.dropped.Load() }

// callerKey is where a call's context has who calls.
type callerKey struct{}

// caller is a call's handshake.
type caller struct {
	From
	lane peerpb.Lane
	// header is this side's handshake. Streams send it at once: the caller waits for it, not for
	// the first message.
	header metadata.MD
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller) // the interceptors always put one in
	return c
}

// admit checks a call's handshake and returns its context with the caller.
func (s *Server) admit(ctx context.Context, method string) (context.Context, error) {
	g := &s.gate
	md, _ := metadata.FromIncomingContext(ctx)
	h, err := g.admit(md, methodsForStrangers[method])
	if err != nil {
		s.logRefusal(ctx, method, h.GetFrom(), status.Convert(err).Message())
		return nil, err
	}
	raw, err := proto.Marshal(&peerpb.Handshake{
		Protocol: Protocol, Cluster: g.self.Cluster, From: uint64(g.self.Peer), FromIncarnation: g.self.Incarnation,
		To: h.GetFrom(), ToIncarnation: h.GetFromIncarnation(),
	})
	if err != nil {
		return nil, err
	}
	c := caller{
		From: From{topology.PeerID(h.GetFrom()), h.GetFromIncarnation()}, lane: h.GetLane(),
		header: metadata.Pairs(handshakeKey, string(raw)),
	}
	return context.WithValue(ctx, callerKey{}, c), nil
}

// logRefusal tells of a caller that was refused, loudly only the first time: one that is
// set up wrong comes back every second.
func (s *Server) logRefusal(ctx context.Context, method string, peer uint64, text string) {
	level := slog.LevelWarn
	if before := s.refusal.Swap(&text); before != nil && *before == text {
		level = slog.LevelDebug
	}
	s.o.Logger.Log(ctx, level, "refused a caller", "method", method, "peer", peer, "error", text)
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, err := s.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, err := s.admit(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handle(srv, admitted{ServerStream: ss, ctx: ctx})
}

// admitted is a stream whose handshake was right.
type admitted struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // it replaces the stream's
}

// Context has the caller.
func (a admitted) Context() context.Context { return a.ctx }

// Join asks the handler.
func (s *Server) Join(ctx context.Context, r *peerpb.JoinRequest) (*peerpb.JoinResponse, error) {
	j, err := s.o.Handler.Join(ctx, Join{
		Peer: topology.PeerID(r.GetPeer()), URI: r.GetUri(), Incarnation: r.GetIncarnation(), Zone: r.GetZone(), Version: r.GetVersion(),
	})
	out := &peerpb.JoinResponse{Cluster: j.Cluster, Error: errorToPB(err)}
	for _, m := range j.Members {
		out.Peers = append(out.Peers, &peerpb.Member{Peer: uint64(m.Peer), Uri: m.URI})
	}
	return out, nil
}

// Heartbeat asks the handler.
func (s *Server) Heartbeat(ctx context.Context, r *peerpb.HeartbeatRequest) (*peerpb.HeartbeatResponse, error) {
	a, err := s.o.Handler.Heartbeat(ctx, callerOf(ctx).From, Heartbeat{Incarnation: r.GetIncarnation(), Load: r.GetLoad(), Digest: r.GetDigest()})
	return &peerpb.HeartbeatResponse{Leader: uint64(a.Leader), Answer: a.Answer, Error: errorToPB(err)}, nil
}

// Call asks the handler.
func (s *Server) Call(ctx context.Context, r *peerpb.CallRequest) (*peerpb.CallResponse, error) {
	b, err := s.o.Handler.Call(ctx, callerOf(ctx).From, Call{
		Shard: topology.ShardName{Collection: r.GetCollection(), Shard: r.GetShard()},
		At:    r.GetAt(), Kind: r.GetKind(), Request: r.GetRequest(),
	})
	return &peerpb.CallResponse{Response: b, Error: errorToPB(err)}, nil
}

// Command asks the handler.
func (s *Server) Command(ctx context.Context, r *peerpb.CommandRequest) (*peerpb.CommandResponse, error) {
	c, err := s.o.Handler.Command(ctx, callerOf(ctx).From, r.GetCommand())
	return &peerpb.CommandResponse{Index: c.Index, Result: c.Result, Error: errorToPB(err)}, nil
}

// Status asks the handler.
func (s *Server) Status(ctx context.Context, _ *peerpb.StatusRequest) (*peerpb.StatusResponse, error) {
	a, err := s.o.Handler.Status(ctx)
	return &peerpb.StatusResponse{
		Cluster: a.Cluster, Peer: uint64(a.Peer), Incarnation: a.Incarnation, Version: a.Version,
		Leader: uint64(a.Leader), Term: a.Term, Applied: a.Applied, Error: errorToPB(err),
	}, nil
}

// Files asks the handler.
func (s *Server) Files(r *peerpb.FilesRequest, out grpc.ServerStreamingServer[peerpb.FilesResponse]) error {
	ctx, cancel := s.untilStop(out.Context())
	defer cancel()
	if err := out.SendHeader(callerOf(ctx).header); err != nil {
		return err
	}
	var broken error
	err := s.o.Handler.SendFiles(ctx, callerOf(ctx).From, transfer.Request{
		Shard: topology.ShardName{Collection: r.GetCollection(), Shard: r.GetShard()},
		Token: r.GetToken(), File: int(r.GetFile()), Offset: int64(r.GetOffset()), Done: r.GetDone(),
	}, func(c transfer.Chunk) error {
		broken = out.Send(chunkToPB(c))
		return broken
	})
	switch {
	case err == nil, broken != nil:
		return broken
	case context.Cause(ctx) == errStopping: //nolint:errorlint // that very value
		return errStopping
	}
	return out.Send(&peerpb.FilesResponse{Error: errorToPB(err)})
}

// errStopping ends what is long when the server stops.
var errStopping = status.Error(codes.Unavailable, "the node is shutting down")

// untilStop ends a context when the server stops.
func (s *Server) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.stop:
			cancel(errStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// handOver gives a lane's messages to the handler, unless a newer stream took its place.
func (s *Server) handOver(l *laneStream, frame *peerpb.Frame) bool {
	l.turn.Lock()
	defer l.turn.Unlock()
	if l.over.Load() {
		return false
	}
	if len(frame.GetControl()) > 0 {
		s.o.Handler.OnRaft(l.From, frame.GetControl())
	}
	if all := s.envelopes(l.caller, frame.GetReplication()); len(all) > 0 {
		s.o.Handler.OnReplication(l.From, all)
	}
	return true
}

// envelopes returns those that come from the caller's process and are meant for this one.
func (s *Server) envelopes(c caller, in []*peerpb.Envelope) []replication.Envelope {
	if len(in) == 0 {
		return nil
	}
	all := make([]replication.Envelope, 0, len(in))
	for _, m := range in {
		e, err := envelopeFromPB(m)
		self := s.o.Self
		if err != nil || e.From != c.Peer || e.FromIncarnation != c.Incarnation ||
			e.To != self.Peer || (e.ToIncarnation != 0 && e.ToIncarnation != self.Incarnation) {
			s.dropped.Add(1)
			continue
		}
		all = append(all, e)
	}
	return all
}
