// Package shardcall is how a shard is called, wherever its copies are.
//
// Shard is what the front desk needs of one: a write, and reads that are each one step
// of a query. Local is a shard of this process. Remote is one behind a connection: each
// method is one call, a request in bytes answered by bytes, and Serve is the other end
// of it. What goes over is encoded as protocol buffers: messages of the public API where
// they say it all, with payload attached (engine/payload), and small ones of our own
// around them (wire.go), in which a newer node may add fields.
//
// An answer is the same either way: scores, versions, payload and vectors are those of
// the shard, errors keep kind and text. The time that is left and the bytes that the
// answer may still take go along.
//
// Callers: cluster/coordinator; whoever connects nodes.
package shardcall

import (
	"context"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/engine/shard"
)

// Shard is one shard of a collection. The reads are those of engine/shard, which says
// what they do. Methods are safe for concurrent use.
type Shard interface {
	// Local says that calls stay in this process, now and later: they need no goroutine
	// to overlap.
	Local() bool
	// Submit hands a write to the shard. When it returns, the write has its place in the
	// shard's order: another Submit comes behind it. A shard in another process may
	// return as late as when everything is done that w asks for.
	//
	// After an error the operation may have been applied only when the error says that
	// its outcome is unknown.
	Submit(ctx context.Context, op shard.Op, w Write) (Ticket, error)
	// Query runs a leaf of a query.
	Query(ctx context.Context, m *pb.QueryPoints) ([]query.Scored, error)
	// Fill adds payload and vectors to hits that have none.
	Fill(ctx context.Context, hits []query.Scored, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) error
	// Retrieve returns the points that exist among ids, in the order of ids.
	Retrieve(ctx context.Context, ids []point.ID, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) ([]*pb.RetrievedPoint, error)
	// Scroll lists points.
	Scroll(ctx context.Context, m *pb.ScrollPoints) (shard.Page, error)
	// Count counts the points that pass a filter; nil passes all.
	Count(ctx context.Context, f *pb.Filter, exact bool) (uint64, error)
	// Facet counts points for each value of a field.
	Facet(ctx context.Context, m *pb.FacetCounts) ([]*pb.FacetHit, error)
	// Info describes the shard.
	Info(ctx context.Context) (shard.Info, error)
}

// Copies is a handle that stands for several copies of a shard.
type Copies interface {
	// Here returns the copy in this process, nil when there is none.
	Here() Shard
}

// Write says how a write is to be done.
type Write struct {
	// Wait says that somebody will wait until the write is visible.
	Wait bool
	// Until is when that wait ends; the zero time is never. The write is done all the
	// same.
	Until time.Time
	// Ordering is the client's wish. A shard orders all its writes in one log, which is
	// the strongest there is; it is carried for whoever may have to choose.
	Ordering pb.WriteOrderingType
	// ID names the write for whoever tries it again; zero when nobody will.
	ID replication.OpID
}

// Ticket follows a write.
type Ticket interface {
	// Seq is the write's position in the shard's log.
	Seq() uint64
	// Durable waits until the write can't be lost any more.
	Durable(ctx context.Context) error
	// Visible waits until reads see the write. Its error is the operation's own (a
	// missing point, say), or that the time is over. It is only for writes that were
	// submitted with Wait.
	Visible(ctx context.Context) error
	// Applied waits until the write is durable and visible.
	Applied(ctx context.Context) error
}

// Local is a shard of this process.
type Local struct{ *shard.Shard }

var _ Shard = Local{}

// Local implements Shard.
func (Local) Local() bool { return true }

// Submit implements Shard. The log has one order, and tickets wait by themselves.
func (s Local) Submit(ctx context.Context, op shard.Op, _ Write) (Ticket, error) {
	t, err := s.Shard.Submit(ctx, op)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Info implements Shard.
func (s Local) Info(context.Context) (shard.Info, error) { return s.Shard.Info(), nil }

// ScoredPoints renders hits as messages, scores as they are. One allocation holds all
// messages.
func ScoredPoints(hits []query.Scored) []*pb.ScoredPoint {
	block := make([]struct {
		point  pb.ScoredPoint
		id     pb.PointId
		number pb.PointId_Num
	}, len(hits))
	out := make([]*pb.ScoredPoint, len(hits))
	for i, h := range hits {
		p := &block[i].point
		h.ID.PutProto(&block[i].id, &block[i].number)
		p.Id, p.Score, p.Version, p.OrderValue, p.Vectors = &block[i].id, h.Score, h.Version, h.Order, h.Vectors
		if h.Payload != nil {
			payload.Attach(p, h.Payload)
		}
		out[i] = p
	}
	return out
}

// hitsOf is the reverse of ScoredPoints.
func hitsOf(points []*pb.ScoredPoint) ([]query.Scored, error) {
	hits := make([]query.Scored, len(points))
	for i, p := range points {
		id, err := point.FromProto(p.GetId())
		if err != nil {
			return nil, err
		}
		hits[i] = query.Scored{
			ID: id, Score: p.GetScore(), Version: p.GetVersion(), Order: p.GetOrderValue(),
			Payload: payload.Attached(p), Vectors: p.GetVectors(),
		}
	}
	return hits, nil
}
