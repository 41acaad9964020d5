package grpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/sextantdb/sextant/cluster/consistency"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/timelimit"
	"github.com/sextantdb/sextant/server/auth"
	"github.com/sextantdb/sextant/server/status"
)

// unary is what happens around every call. One function instead of a chain: at
// the rate searches are answered, each closure shows.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	m := s.methods[info.FullMethod]
	ctx, err := s.authorize(ctx, m.need)
	var resp any
	if err == nil {
		resp, err = s.call(ctx, m, req, handler, info.FullMethod)
	}
	if err != nil {
		err = s.failure(ctx, info.FullMethod, err)
	}
	if s.opts.Observer != nil {
		s.opts.Observer.ObserveGRPC(info.FullMethod, grpcstatus.Code(err), time.Since(start))
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// call runs the handler under a read's timeout and turns a panic into an error.
func (s *Server) call(ctx context.Context, m method, req any, handler grpc.UnaryHandler, name string) (resp any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = s.panicked(ctx, name, r)
		}
	}()
	if m.read {
		level, err := consistency.FromHeader(header(ctx, consistency.MetadataKey))
		if err != nil {
			return nil, err
		}
		ctx = consistency.With(ctx, level)
		var cancel context.CancelFunc
		ctx, cancel = s.limit(ctx, req)
		defer cancel()
	}
	if resp, err = handler(ctx, req); err != nil {
		return nil, err
	}
	return resp, expand(resp)
}

// limit gives a read the timeout it asks for, or the default one, unless the
// client's own deadline is sooner anyway.
func (s *Server) limit(ctx context.Context, req any) (context.Context, context.CancelFunc) {
	timeout := s.opts.ReadTimeout
	if r, ok := req.(interface{ GetTimeout() uint64 }); ok && r.GetTimeout() > 0 {
		const longest = 24 * 60 * 60
		timeout = time.Duration(min(r.GetTimeout(), longest)) * time.Second
	}
	return timelimit.Within(ctx, timeout)
}

// stream is what happens around health watches and reflection. The handler gets
// a goroutine of its own, so that a client which keeps a stream open can't keep
// the door open: when it returns before the handler, the stream ends and the
// handler with it.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx := ss.Context()
	if _, err := s.authorize(ctx, auth.OfMethod(info.FullMethod)); err != nil {
		return s.failure(ctx, info.FullMethod, err)
	}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- s.panicked(ctx, info.FullMethod, r)
			}
		}()
		done <- handler(srv, ss)
	}()
	select {
	case err := <-done:
		return status.GRPC(err)
	case <-s.stop:
		return grpcstatus.Error(codes.Unavailable, "the server is shutting down")
	}
}

// authorize asks the guard.
func (s *Server) authorize(ctx context.Context, need auth.Access) (context.Context, error) {
	if s.opts.Guard == nil {
		return ctx, nil
	}
	return s.opts.Guard.CheckContext(ctx, func(name string) string { return header(ctx, name) }, need)
}

// header returns the first value of a request's metadata, "" when there is none.
func header(ctx context.Context, name string) string {
	if v := metadata.ValueFromIncomingContext(ctx, name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// failure renders an error for the client, and logs it when it is ours.
func (s *Server) failure(ctx context.Context, name string, err error) error {
	if seconds, ok := status.RetryAfter(err); ok {
		// Fails only for a stream that is gone already.
		_ = grpc.SetTrailer(ctx, metadata.Pairs("retry-after", strconv.Itoa(seconds)))
	}
	out := status.GRPC(err)
	if code := grpcstatus.Code(out); code == codes.Internal || code == codes.Unknown {
		s.log(ctx, slog.LevelError, "call failed", name, err)
	} else {
		s.log(ctx, slog.LevelDebug, "call refused", name, err)
	}
	return out
}

// panicked makes an internal error of a panic and keeps the stack for the log.
func (s *Server) panicked(ctx context.Context, name string, r any) error {
	s.opts.Logger.ErrorContext(ctx, "call panicked", "method", name, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	return apierror.New(apierror.Internal, "the call failed unexpectedly; the log has the details")
}

// log writes one line about a failed call.
func (s *Server) log(ctx context.Context, level slog.Level, msg, name string, err error) {
	if !s.opts.Logger.Enabled(ctx, level) {
		return
	}
	//nolint:sloglint // msg is one of two literals of failure
	s.opts.Logger.Log(ctx, level, msg, "method", name, "error", err, "request_id", header(ctx, "x-request-id"))
}
