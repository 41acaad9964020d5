package shardcall

import (
	"context"
	"fmt"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Remote is a shard of another process.
type Remote struct {
	// Call takes a request to the process that has the shard, where Serve is called with
	// it, and returns what that returns. It ends when the context does. Its errors are
	// those of the connection, and go to the caller as they are.
	Call func(ctx context.Context, req []byte) ([]byte, error)
}

var _ Shard = &Remote{}

// Local implements Shard.
func (*Remote) Local() bool { return false }

// call makes one call and returns the body of its answer.
func (s *Remote) call(ctx context.Context, m method, body []byte) ([]byte, error) {
	r, err := newRequest(ctx, m, body)
	if err != nil {
		return nil, err
	}
	b, err := s.Call(ctx, r.encode())
	if err != nil {
		return nil, err
	}
	resp, err := decodeResponse(b)
	if err != nil {
		return nil, fmt.Errorf("read the answer of a shard: %w", err)
	}
	spending := shard.Spend(ctx, resp.spent)
	if resp.fault != nil {
		return nil, resp.fault.err()
	}
	return resp.body, spending
}

// ask makes a call whose question and answer are public messages.
func (s *Remote) ask(ctx context.Context, m method, question, reply proto.Message) error {
	body, err := proto.Marshal(question)
	if err != nil {
		return fmt.Errorf("encode a call of a shard: %w", err)
	}
	if body, err = s.call(ctx, m, body); err != nil {
		return err
	}
	return unmarshal(body, reply)
}

// Submit implements Shard. It is one call, which is over when the write is durable, and
// visible if that is waited for.
func (s *Remote) Submit(ctx context.Context, op shard.Op, w Write) (Ticket, error) {
	sub, err := newSubmission(op, w)
	if err != nil {
		return nil, err
	}
	b, err := s.call(ctx, callSubmit, sub.encode())
	if err != nil {
		return nil, err
	}
	o, err := decodeOutcome(b)
	if err != nil {
		return nil, fmt.Errorf("read what a write came to: %w", err)
	}
	return &settled{seq: o.seq, durable: o.durable.err(), visible: o.visible.err(), waited: w.Wait}, nil
}

// settled is the ticket of a write that is over.
type settled struct {
	seq              uint64
	durable, visible error
	waited           bool
}

func (t *settled) Seq() uint64                   { return t.seq }
func (t *settled) Durable(context.Context) error { return t.durable }

func (t *settled) Visible(context.Context) error {
	if !t.waited {
		return apierror.New(apierror.Internal, "write %d was submitted without a wish to see it", t.seq)
	}
	return t.visible
}

func (t *settled) Applied(ctx context.Context) error {
	if t.durable != nil {
		return t.durable
	}
	return t.Visible(ctx)
}

// Query implements Shard.
func (s *Remote) Query(ctx context.Context, m *pb.QueryPoints) ([]query.Scored, error) {
	reply := &pb.BatchResult{}
	if err := s.ask(ctx, callQuery, m, reply); err != nil {
		return nil, err
	}
	return hitsOf(reply.GetResult())
}

// Fill implements Shard.
func (s *Remote) Fill(ctx context.Context, hits []query.Scored, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) error {
	m := &pb.GetPoints{Ids: make([]*pb.PointId, len(hits)), WithPayload: p, WithVectors: v}
	for i, h := range hits {
		m.Ids[i] = h.ID.Proto()
	}
	reply := &pb.BatchResult{}
	if err := s.ask(ctx, callFill, m, reply); err != nil {
		return err
	}
	if len(reply.GetResult()) != len(hits) {
		return fmt.Errorf("%w: %d points for %d", errMalformed, len(reply.GetResult()), len(hits))
	}
	for i, r := range reply.GetResult() {
		// A point deleted in between has nothing.
		if o := payload.Attached(r); o != nil {
			hits[i].Payload = o
		}
		if r.GetVectors() != nil {
			hits[i].Vectors = r.GetVectors()
		}
	}
	return nil
}

// Retrieve implements Shard.
func (s *Remote) Retrieve(ctx context.Context, ids []point.ID, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) ([]*pb.RetrievedPoint, error) {
	m := &pb.GetPoints{Ids: make([]*pb.PointId, len(ids)), WithPayload: p, WithVectors: v}
	for i, id := range ids {
		m.Ids[i] = id.Proto()
	}
	reply := &pb.GetResponse{}
	err := s.ask(ctx, callRetrieve, m, reply)
	return reply.GetResult(), err
}

// Scroll implements Shard.
func (s *Remote) Scroll(ctx context.Context, m *pb.ScrollPoints) (shard.Page, error) {
	reply := &pb.ScrollResponse{}
	if err := s.ask(ctx, callScroll, m, reply); err != nil {
		return shard.Page{}, err
	}
	page := shard.Page{Points: reply.GetResult()}
	if reply.GetNextPageOffset() != nil {
		next, err := point.FromProto(reply.GetNextPageOffset())
		if err != nil {
			return shard.Page{}, err
		}
		page.Next = &next
	}
	return page, nil
}

// Count implements Shard.
func (s *Remote) Count(ctx context.Context, f *pb.Filter, exact bool) (uint64, error) {
	reply := &pb.CountResult{}
	err := s.ask(ctx, callCount, &pb.CountPoints{Filter: f, Exact: &exact}, reply)
	return reply.GetCount(), err
}

// Facet implements Shard.
func (s *Remote) Facet(ctx context.Context, m *pb.FacetCounts) ([]*pb.FacetHit, error) {
	reply := &pb.FacetResponse{}
	err := s.ask(ctx, callFacet, m, reply)
	return reply.GetHits(), err
}

// Info implements Shard.
func (s *Remote) Info(ctx context.Context) (shard.Info, error) {
	b, err := s.call(ctx, callInfo, nil)
	if err != nil {
		return shard.Info{}, err
	}
	return decodeInfo(b)
}
