// Package rest is the REST door: it reads Qdrant's JSON dialect into the
// messages of the public API, calls the front desk through the generated server
// interfaces, and renders the answers. It decides nothing about data.
//
// The composition root (server/node) builds one with New and serves it; tests
// serve it over recording fakes. The dialect itself lives in the sub-package
// dialect, which knows no HTTP.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/admin"
)

// Access is what a request needs to be allowed to do.
type Access int

const (
	// Public needs nothing: `/`, `/healthz`, `/livez`, `/readyz`.
	Public Access = iota
	// Read looks at points or collections.
	Read
	// Write changes points.
	Write
	// Manage changes collections, aliases or the node, or looks at the node.
	Manage
)

// Target says what a request is about, for Authorizer.
type Target struct {
	Access Access
	// Collection is the name in the path, "" when there is none.
	Collection string
	// Pattern is the route, as "POST /collections/{name}/points".
	Pattern string
}

// Authorizer decides who may do what.
type Authorizer interface {
	// Check returns the context to serve r with, or an error of kind
	// Unauthorized, which is answered as plain text, or Forbidden. It is called
	// before the body is read, also for Public targets. A path without route is a
	// target of Read, without Pattern.
	Check(r *http.Request, target Target) (context.Context, error)
}

// Observer learns of every answered request.
type Observer interface {
	// ObserveREST is called once the answer is written. Pattern is the route,
	// "" when none fits; collection the name in the path.
	ObserveREST(method, pattern, collection string, status int, took time.Duration)
}

// Options are what the door needs. Zero values of the optional ones work.
type Options struct {
	Points      pb.PointsServer
	Collections pb.CollectionsServer
	Snapshots   pb.SnapshotsServer // optional
	Cluster     admin.Desk         // optional: a node that is in no cluster
	// Version and Commit are shown by GET /.
	Version, Commit string
	// Ready reports whether all shards can serve; nil is always.
	Ready func(context.Context) bool
	// Telemetry and Metrics answer GET /telemetry and GET /metrics; nil is
	// answered as not implemented. Telemetry returns the value of "result" as
	// JSON text.
	Telemetry func(*http.Request) ([]byte, error)
	Metrics   http.Handler
	Auth      Authorizer // nil lets everybody in
	Observer  Observer   // optional
	Logger    *slog.Logger
	// MaxBodyBytes limits a request body, compressed or not; 0 is 32 MiB.
	MaxBodyBytes int64
	// ReadTimeout ends reads that carry no timeout of their own; 0 is 60 s.
	ReadTimeout time.Duration
	// DisableCORS stops the answers from saying that any web page may read
	// them.
	DisableCORS bool
}

// server is the door: options with their defaults filled in.
type server struct {
	Options
	mux *http.ServeMux
}

// New returns the door's handler.
func New(o Options) http.Handler {
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = 32 << 20
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = time.Minute
	}
	if o.Cluster == nil {
		o.Cluster = admin.Alone{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{Options: o, mux: http.NewServeMux()}
	for _, r := range s.routes() {
		s.mux.HandleFunc(r.pattern, s.handle(r))
	}
	return http.HandlerFunc(s.serve)
}
