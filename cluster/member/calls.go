package member

import (
	"context"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
)

// A replica is called like any shard: reads are answered by its data if it is fit to be read,
// writes only where it leads.
var _ shardcall.Shard = &replica{}

// readable returns the data, if reads may see it: the copy is in sync, and has what was acknowledged.
func (r *replica) readable() (*shard.Shard, error) {
	r.mu.Lock()
	ok := !r.closed && r.sm.Readable()
	r.mu.Unlock()
	s := r.shard.Load()
	if !ok || s == nil {
		return nil, &shardcall.Moved{}
	}
	return s, nil
}

// Local implements shardcall.Shard.
func (r *replica) Local() bool { return true }

// Submit implements shardcall.Shard.
func (r *replica) Submit(ctx context.Context, op shard.Op, w shardcall.Write) (shardcall.Ticket, error) {
	body, err := op.Encode()
	if err != nil {
		return nil, err
	}
	return r.propose(ctx, w.ID, body)
}

// Query implements shardcall.Shard.
func (r *replica) Query(ctx context.Context, m *pb.QueryPoints) ([]query.Scored, error) {
	s, err := r.readable()
	if err != nil {
		return nil, err
	}
	return s.Query(ctx, m)
}

// Fill implements shardcall.Shard.
func (r *replica) Fill(ctx context.Context, hits []query.Scored, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) error {
	s, err := r.readable()
	if err != nil {
		return err
	}
	return s.Fill(ctx, hits, p, v)
}

// Retrieve implements shardcall.Shard.
func (r *replica) Retrieve(ctx context.Context, ids []point.ID, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) ([]*pb.RetrievedPoint, error) {
	s, err := r.readable()
	if err != nil {
		return nil, err
	}
	return s.Retrieve(ctx, ids, p, v)
}

// Scroll implements shardcall.Shard.
func (r *replica) Scroll(ctx context.Context, m *pb.ScrollPoints) (shard.Page, error) {
	s, err := r.readable()
	if err != nil {
		return shard.Page{}, err
	}
	return s.Scroll(ctx, m)
}

// Count implements shardcall.Shard.
func (r *replica) Count(ctx context.Context, f *pb.Filter, exact bool) (uint64, error) {
	s, err := r.readable()
	if err != nil {
		return 0, err
	}
	return s.Count(ctx, f, exact)
}

// Facet implements shardcall.Shard.
func (r *replica) Facet(ctx context.Context, m *pb.FacetCounts) ([]*pb.FacetHit, error) {
	s, err := r.readable()
	if err != nil {
		return nil, err
	}
	return s.Facet(ctx, m)
}

// Info implements shardcall.Shard. A copy that isn't in sync describes itself, too.
func (r *replica) Info(context.Context) (shard.Info, error) {
	s := r.shard.Load()
	if s == nil {
		return shard.Info{}, apierror.New(apierror.Unavailable, "the copy of shard %d on this node is being filled", r.name.Shard)
	}
	return s.Info(), nil
}

// Checksum is what a copy on this node says of its state.
type Checksum struct {
	// Shard is the shard, Sum its checksum.
	Shard topology.ShardName
	Sum   shard.Checksum
	// Err is why there is none.
	Err error
}

// Checksums returns the checksums of all copies on this node that can be read. Copies that have
// applied the same entries have the same.
func (m *Member) Checksums(ctx context.Context) (out []Checksum) {
	for _, r := range m.open() {
		s, err := r.readable()
		if err != nil {
			continue
		}
		sum, err := s.Checksum(ctx)
		out = append(out, Checksum{r.name, sum, err})
	}
	return out
}
