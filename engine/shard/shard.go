// Package shard is one local shard replica: an operation log, a document store
// and its secondary indexes, and the optimizer that tends them.
//
// Callers: cluster/coordinator (through cluster/replication) submits operations
// and reads. Each operation is appended to the log and applied, in the log's
// order, by one goroutine; what it depends on (filters of deletes and updates,
// conditions of upserts) is evaluated when it is applied, by rules that depend
// on nothing but the log up to it, so that all replicas agree. DESIGN.md tells
// the life of an operation.
package shard

import (
	"context"
	"log/slog"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/budget"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// Options says where a shard is and how it works.
type Options struct {
	// FS is the file system, Dir the shard's own directory on it. It is created
	// when it is missing.
	FS  fsx.FS
	Dir string
	// Config is the configuration of a new shard, with all defaults filled in.
	// An existing shard has its own, which SetConfig changes; this one is then
	// ignored.
	Config *pb.CollectionConfig
	// Budget is the processor time shared with other shards; nil is unlimited.
	Budget *budget.Budget
	// Logger is where the shard reports what no caller hears; nil is silent.
	Logger *slog.Logger
}

// Shard is an open shard replica. Its methods are safe for concurrent use.
type Shard struct{}

var errUnbuilt = apierror.New(apierror.NotImplemented, "shard: not built")

// Open opens the shard in o.Dir, or creates it: it reads the manifest, opens
// the components and applies the log from the manifest's position.
func Open(context.Context, Options) (*Shard, error) { return nil, errUnbuilt }

// Submit appends an operation to the log and queues it for application. It
// blocks while the queue is full. An error means that the operation was not
// appended. The result of the operation itself comes from the ticket.
func (s *Shard) Submit(context.Context, Op) (*Ticket, error) { return nil, errUnbuilt }

// Ticket follows one submitted operation.
type Ticket struct{}

// Seq returns the operation's position in the shard's log.
func (t *Ticket) Seq() uint64 { return 0 }

// Durable waits until the operation survives a power cut.
func (t *Ticket) Durable(context.Context) error { return errUnbuilt }

// Applied waits until the operation is durable and visible to every read. Its
// error is the operation's own (a missing point: NotFound), or the context's.
func (t *Ticket) Applied(context.Context) error { return errUnbuilt }

// Query runs a leaf: a query without prefetch, whose query is none (points in
// the order of their IDs), nearest to a dense or sparse vector given as numbers,
// order_by, or sample. The hits are best first, at most offset+limit of them:
// the offset is skipped by whoever merges the shards' answers. Payload and
// vectors are filled as the message asks.
func (s *Shard) Query(context.Context, *pb.QueryPoints) ([]query.Scored, error) {
	return nil, errUnbuilt
}

// Fill adds payload and vectors to hits of an earlier query. Points deleted in
// between are left without.
func (s *Shard) Fill(context.Context, []query.Scored, *pb.WithPayloadSelector, *pb.WithVectorsSelector) error {
	return errUnbuilt
}

// Retrieve returns the points that exist among ids, in the order of ids. A nil
// payload selector means all of it, a nil vector selector no vectors.
func (s *Shard) Retrieve(context.Context, []point.ID, *pb.WithPayloadSelector, *pb.WithVectorsSelector) ([]*pb.RetrievedPoint, error) {
	return nil, errUnbuilt
}

// Page is one page of a scroll.
type Page struct {
	// Points are in the order of IDs, or of the value asked for.
	Points []*pb.RetrievedPoint
	// Next is the first ID of the next page; nil at the end, and always with
	// order_by.
	Next *point.ID
}

// Scroll lists points. Its payload selector defaults to all.
func (s *Shard) Scroll(context.Context, *pb.ScrollPoints) (Page, error) { return Page{}, errUnbuilt }

// Count counts the points that pass filter (nil: all). When exact is false the
// answer may be an estimate.
func (s *Shard) Count(_ context.Context, _ *pb.Filter, _ bool) (uint64, error) {
	return 0, errUnbuilt
}

// Facet counts the points that pass a filter for each value of a field, most
// points first, then by value. The counts are always exact.
func (s *Shard) Facet(context.Context, *pb.FacetCounts) ([]*pb.FacetHit, error) {
	return nil, errUnbuilt
}

// Info describes a shard at one moment.
type Info struct {
	// Status is what clients poll: Yellow while operations or the optimizer have
	// work, Grey after a restart when there is work that nothing has started,
	// Red when the shard is quarantined or its optimizer failed, else Green.
	Status pb.CollectionStatus
	// OptimizerError is the last failure of the optimizer, "" when there is none.
	OptimizerError string
	// Points is the number of live points.
	Points uint64
	// IndexedVectors is the number of vectors in graphs, of all names together.
	IndexedVectors uint64
	// Segments is the number of parts that a search visits.
	Segments uint64
	// Queue is the number of operations appended, but not applied.
	Queue uint64
	// Seq is the position of the last applied operation.
	Seq uint64
	// Config is the current configuration.
	Config *pb.CollectionConfig
	// Indexes are the payload indexes by field name.
	Indexes map[string]*pb.PayloadSchemaInfo
}

// Info describes the shard.
func (s *Shard) Info() Info { return Info{} }

// Close applies what is queued, writes a last checkpoint and releases
// everything. It is idempotent. A shard that isn't closed loses nothing that
// was acknowledged.
func (s *Shard) Close() error { return nil }
