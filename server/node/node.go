// Package node is the composition root of one node: it builds the parts from a
// configuration, starts them in order, and stops them in the opposite order. It
// decides nothing else. Callers are the commands and tests; several nodes may
// run in one process.
//
// Start takes the storage directory's lock first and listens before it opens the
// data, so that a second node on the same directory or port fails at once and
// with a clear error, having touched nothing. Requests are served only when the
// data is open.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/internal/certificates"
	"github.com/sextantdb/sextant/internal/fsx"
	"github.com/sextantdb/sextant/internal/jsonx"
	"github.com/sextantdb/sextant/internal/observe"
	"github.com/sextantdb/sextant/server/auth"
	"github.com/sextantdb/sextant/server/config"
	"github.com/sextantdb/sextant/server/grpc"
	"github.com/sextantdb/sextant/server/rest"
	"github.com/sextantdb/sextant/server/rest/dialect"
	"github.com/sextantdb/sextant/server/telemetry"
)

// APIVersion is the version of the public API that is served. Clients compare
// its major and minor number with their own.
const APIVersion = "1.19.0"

// Desk is the front desk behind the doors.
type Desk struct {
	Points      pb.PointsServer
	Collections pb.CollectionsServer
	Snapshots   pb.SnapshotsServer // may be nil: answered as not implemented
	Cluster     admin.Desk         // may be nil: a node that is in no cluster
	// Close flushes and closes what the desk holds open; nil is nothing.
	Close func() error
	// Ready tells whether the node is fit to serve; nil is when the desk is open.
	Ready func() bool
	// Failed, when not nil, is closed when the desk can't go on.
	Failed <-chan struct{}
}

// Options are what a node is built from.
type Options struct {
	Config *config.Config
	FS     fsx.FS // nil is the operating system's
	Logger *slog.Logger
	// Version is the version of the API that the node says it has, "" for APIVersion; Commit is
	// the source's revision. GET / shows both.
	Version, Commit string
	// URI is where other nodes reach this one, Bootstrap where a node of the cluster is that a new
	// one joins; Reinit begins the consensus anew. They matter in a cluster only.
	URI, Bootstrap string
	Reinit         bool
	// OpenDesk opens the data; nil opens the storage directory of Config. Tests
	// put another desk in its place.
	OpenDesk func(context.Context, Options) (*Desk, error)
	// peers is where other nodes call, in a cluster; Start opens it.
	peers net.Listener
}

// Node is a running node.
type Node struct {
	opts      Options
	log       *slog.Logger
	lock      io.Closer
	desk      *Desk
	requests  *telemetry.Requests
	telemetry *telemetry.Telemetry

	http, metrics *http.Server
	profiling     *http.Server
	grpc          *grpc.Server
	listeners     listeners
	hardStop      context.CancelFunc // ends the contexts of requests under way

	ready  atomic.Bool // never goes back to false
	group  *errgroup.Group
	failed context.Context //nolint:containedctx // ends when a part fails; lives as long as the node

	stopping chan struct{} // closed by Stop
	stopOnce sync.Once
	stopErr  error
}

// Start builds and starts a node. When it returns without error, the node
// answers. ctx bounds the start alone.
func Start(ctx context.Context, o Options) (_ *Node, err error) {
	if o.FS == nil {
		o.FS = fsx.OS{}
	}
	if o.Version == "" {
		o.Version = APIVersion
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OpenDesk == nil {
		o.OpenDesk = openDesk
	}
	n := &Node{opts: o, log: observe.Component(o.Logger, "node"), requests: telemetry.NewRequests(), stopping: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.release())
		}
	}()
	begun := time.Now()
	if n.lock, err = lockStorage(o.FS, o.Config.Storage.Path); err != nil {
		return nil, err
	}
	shown, err := doorCertificates(&o)
	if err != nil {
		return nil, err
	}
	if n.listeners, err = listen(ctx, o.Config); err != nil {
		return nil, err
	}
	o.peers = n.listeners.p2p
	if n.desk, err = o.OpenDesk(ctx, o); err != nil {
		return nil, fmt.Errorf("open storage %s: %w", o.Config.Storage.Path, err)
	}
	if n.desk.Ready == nil {
		n.desk.Ready = func() bool { return true }
	}
	n.build(shown)
	n.serve()
	n.announce(time.Since(begun))
	return n, nil
}

// lockName is the file in the storage directory that its node holds locked.
const lockName = ".lock"

// lockStorage makes the directory if need be, and this node its only user.
func lockStorage(fs fsx.FS, dir string) (io.Closer, error) {
	if err := fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make storage directory: %w", err)
	}
	lock, err := fs.Lock(path.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("storage directory %s is in use by another process (or can't be locked): %w", dir, err)
	}
	return lock, nil
}

// build makes the doors around the desk. They speak TLS when there is something to show.
func (n *Node) build(shown *certificates.Certificates) {
	c, s := n.opts.Config, &n.opts.Config.Service
	guard := auth.New(auth.Options{
		APIKey: string(s.APIKey), AltAPIKey: string(s.AltAPIKey), ReadOnlyAPIKey: string(s.ReadOnlyAPIKey),
	})
	o := telemetry.Options{
		Version: n.opts.Version, Requests: n.requests, Source: telemetry.FromServer(n.desk.Collections),
		Prefix: s.MetricsPrefix, ID: uuid.NewString(),
		InfoJSON: infoJSON, Logger: observe.Component(n.opts.Logger, "telemetry"),
	}
	if n.desk.Cluster != nil {
		o.Cluster = n.desk.Cluster
	}
	n.telemetry = telemetry.New(o)
	readTimeout := time.Duration(0) // the doors' default
	if t := c.Storage.Performance.SearchTimeoutSec; t != nil {
		readTimeout = time.Duration(*t) * time.Second
	}
	handler := rest.New(rest.Options{
		Points: n.desk.Points, Collections: n.desk.Collections, Snapshots: n.desk.Snapshots, Cluster: n.desk.Cluster,
		Version: n.opts.Version, Commit: n.opts.Commit,
		Ready:     func(context.Context) bool { return n.isReady() },
		Telemetry: n.telemetry.Report, Metrics: n.telemetry.Metrics(),
		Auth: restGuard{guard}, Observer: n.requests,
		Logger:       observe.Component(n.opts.Logger, "rest"),
		MaxBodyBytes: int64(s.MaxRequestSizeMB) << 20, ReadTimeout: readTimeout, DisableCORS: !s.EnableCORS,
	})
	var requests context.Context
	requests, n.hardStop = context.WithCancel(context.Background())
	n.http = n.httpServer(requests, handler)
	if shown != nil {
		n.http.TLSConfig = shown.Door("h2", "http/1.1")
	}
	if n.listeners.metrics != nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", n.telemetry.Metrics())
		n.metrics = n.httpServer(requests, mux)
	}
	if n.listeners.profiling != nil {
		n.profiling = n.httpServer(requests, profiles())
	}
	if n.listeners.grpc != nil {
		o := grpc.Options{
			Points: n.desk.Points, Collections: n.desk.Collections, Snapshots: n.desk.Snapshots,
			Version: n.opts.Version, Commit: n.opts.Commit, Guard: guard, Observer: n.requests,
			Logger: observe.Component(n.opts.Logger, "grpc"), Workers: s.MaxWorkers, ReadTimeout: readTimeout,
		}
		if s.MaxGRPCRequestSizeMB != nil {
			o.MaxRequestBytes = *s.MaxGRPCRequestSizeMB << 20
		}
		if shown != nil {
			o.TLS = shown.Door("h2")
		}
		n.grpc = grpc.New(o)
	}
}

// isReady tells whether the node was fit to serve at least once.
func (n *Node) isReady() bool {
	if !n.ready.Load() && n.desk.Ready() {
		n.ready.Store(true)
	}
	return n.ready.Load()
}

// infoJSON renders a collection's description as the REST door does.
func infoJSON(info *pb.CollectionInfo) ([]byte, error) {
	w := jsonx.NewWriter(nil)
	dialect.Collection(info)(w)
	return w.Bytes(), nil
}

// httpServer makes a server with limits on what a silent client can hold.
func (n *Node) httpServer(requests context.Context, h http.Handler) *http.Server {
	s := &n.opts.Config.Service
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 20,
		ErrorLog:          slog.NewLogLogger(observe.Component(n.opts.Logger, "http").Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	if t := s.HTTPKeepAliveTimeoutSec; t != nil {
		srv.IdleTimeout = time.Duration(*t) * time.Second
	}
	if t := s.HTTPClientRequestTimeout; t != nil {
		srv.ReadHeaderTimeout = time.Duration(*t) * time.Second
	}
	return srv
}

// serve starts answering. A part that fails ends n.failed.
func (n *Node) serve() {
	n.group, n.failed = errgroup.WithContext(context.Background())
	if n.desk.Failed != nil {
		n.group.Go(func() error {
			select {
			case <-n.desk.Failed:
				return errors.New("the consensus has ended")
			case <-n.stopping:
				return nil
			}
		})
	}
	n.serveHTTP("REST", n.http, n.listeners.http)
	if n.metrics != nil {
		n.serveHTTP("metrics", n.metrics, n.listeners.metrics)
	}
	if n.profiling != nil {
		n.serveHTTP("profiling", n.profiling, n.listeners.profiling)
	}
	if n.grpc != nil {
		n.group.Go(func() error {
			if err := n.grpc.Serve(n.listeners.grpc); err != nil {
				return fmt.Errorf("serve gRPC: %w", err)
			}
			return nil
		})
		n.grpc.SetServing(true)
	}
}

func (n *Node) serveHTTP(name string, srv *http.Server, l net.Listener) {
	n.group.Go(func() error {
		serve := srv.Serve
		if srv.TLSConfig != nil {
			serve = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", name, err)
		}
		return nil
	})
}

// announce says where the node can be reached, and whether anybody can.
func (n *Node) announce(took time.Duration) {
	n.log.Info("ready", "rest", n.HTTPAddr(), "grpc", n.GRPCAddr(), "storage", n.opts.Config.Storage.Path,
		"took", took.Round(time.Millisecond))
	if a := n.ProfilingAddr(); a != "" {
		n.log.Warn("profiles of this node can be read without a key", "address", a)
	}
	s := &n.opts.Config.Service
	if s.APIKey == "" && s.AltAPIKey == "" && s.ReadOnlyAPIKey == "" && !isLoopback(s.Host) {
		n.log.Warn("no API key is set: everybody who can reach this address can read and write", "host", s.Host)
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// HTTPAddr returns the address of the REST door.
func (n *Node) HTTPAddr() string { return n.listeners.http.Addr().String() }

// GRPCAddr returns the address of the gRPC door, "" when it is off.
func (n *Node) GRPCAddr() string {
	if n.listeners.grpc == nil {
		return ""
	}
	return n.listeners.grpc.Addr().String()
}

// MetricsAddr returns the address of the metrics' own port, "" without one.
func (n *Node) MetricsAddr() string {
	if n.listeners.metrics == nil {
		return ""
	}
	return n.listeners.metrics.Addr().String()
}

// ProfilingAddr returns the address of the profiles, "" without one.
func (n *Node) ProfilingAddr() string {
	if n.listeners.profiling == nil {
		return ""
	}
	return n.listeners.profiling.Addr().String()
}

// Wait returns when ctx ends or a part of the node fails. The node must still be
// stopped, and Stop tells the failure.
func (n *Node) Wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-n.failed.Done():
	}
}

// Stop takes no more requests, waits for those under way as long as the grace
// period (or ctx) allows, then flushes and closes the data. Its error is what
// failed since the start. It is idempotent.
func (n *Node) Stop(ctx context.Context) error {
	n.stopOnce.Do(func() {
		n.log.InfoContext(ctx, "stopping")
		grace := time.Duration(n.opts.Config.Service.ShutdownGracePeriodSeconds) * time.Second
		ctx, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		close(n.stopping)
		n.drain(ctx)
		n.stopErr = errors.Join(n.group.Wait(), n.release())
		n.log.InfoContext(ctx, "stopped")
	})
	return n.stopErr
}

// drain closes all doors at the same time.
func (n *Node) drain(ctx context.Context) {
	var wg sync.WaitGroup
	for _, srv := range []*http.Server{n.http, n.metrics, n.profiling} {
		if srv == nil {
			continue
		}
		wg.Go(func() {
			if srv.Shutdown(ctx) != nil { // out of time
				n.log.WarnContext(ctx, "cutting off REST requests that did not end in time")
				n.hardStop()
				_ = srv.Close() // what is left of it doesn't matter any more
			}
		})
	}
	if n.grpc != nil {
		wg.Go(func() { n.grpc.Shutdown(ctx) })
	}
	wg.Wait()
	n.hardStop()
}

// release closes the data, then lets the directory go. It works on a node that
// was built in part.
func (n *Node) release() error {
	var errs []error
	if n.desk != nil && n.desk.Close != nil {
		if err := n.desk.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close storage: %w", err))
		}
	}
	n.listeners.close()
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}

// Run starts a node and keeps it running until ctx ends or it fails, then stops
// it.
func Run(ctx context.Context, o Options, started func(*Node) error) error {
	n, err := Start(ctx, o)
	if err != nil {
		return err
	}
	if started != nil {
		err = started(n)
	}
	if err == nil {
		n.Wait(ctx)
	}
	return errors.Join(err, n.Stop(context.WithoutCancel(ctx)))
}
