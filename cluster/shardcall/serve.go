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

// Serve carries out a request of a Remote on a shard and returns the answer. What goes
// wrong with the call is in the answer. An error is for bytes that aren't a request.
func Serve(ctx context.Context, s Shard, req []byte) ([]byte, error) {
	r, err := decodeRequest(req)
	if err != nil {
		return nil, fmt.Errorf("read a call of a shard: %w", err)
	}
	ctx, cancel := r.context(ctx)
	defer cancel()
	resp := &response{}
	body, err := serve(ctx, s, r)
	if err != nil {
		resp.fault = faultOf(err)
	} else {
		resp.body = body
	}
	if _, left, ok := shard.Allowance(ctx); ok {
		resp.spent = max(r.spare-left, 0)
	}
	return resp.encode(), nil
}

// Fail is the answer to a call that fails before there is a shard to call.
func Fail(err error) []byte {
	resp := &response{fault: faultOf(err)}
	return resp.encode()
}

func serve(ctx context.Context, s Shard, r *request) ([]byte, error) {
	switch r.method {
	case callSubmit:
		return serveSubmit(ctx, s, r.body)
	case callQuery:
		return answer(r.body, func(m *pb.QueryPoints) (proto.Message, error) {
			hits, err := s.Query(ctx, m)
			return &pb.BatchResult{Result: ScoredPoints(hits)}, err
		})
	case callFill:
		return answer(r.body, func(m *pb.GetPoints) (proto.Message, error) { return serveFill(ctx, s, m) })
	case callRetrieve:
		return answer(r.body, func(m *pb.GetPoints) (proto.Message, error) {
			ids, err := idsOf(m.GetIds())
			if err != nil {
				return nil, err
			}
			points, err := s.Retrieve(ctx, ids, m.GetWithPayload(), m.GetWithVectors())
			return &pb.GetResponse{Result: points}, err
		})
	case callScroll:
		return answer(r.body, func(m *pb.ScrollPoints) (proto.Message, error) {
			page, err := s.Scroll(ctx, m)
			resp := &pb.ScrollResponse{Result: page.Points}
			if page.Next != nil {
				resp.NextPageOffset = page.Next.Proto()
			}
			return resp, err
		})
	case callCount:
		return answer(r.body, func(m *pb.CountPoints) (proto.Message, error) {
			n, err := s.Count(ctx, m.GetFilter(), m.GetExact())
			return &pb.CountResult{Count: n}, err
		})
	case callFacet:
		return answer(r.body, func(m *pb.FacetCounts) (proto.Message, error) {
			hits, err := s.Facet(ctx, m)
			return &pb.FacetResponse{Hits: hits}, err
		})
	case callInfo:
		info, err := s.Info(ctx)
		if err != nil {
			return nil, err
		}
		return encodeInfo(info)
	default:
		return nil, apierror.New(apierror.NotImplemented, "this node doesn't know call %d of a shard", r.method)
	}
}

// answer reads the message of a call, makes the call and writes what it returns.
func answer[T any, M interface {
	*T
	proto.Message
}](body []byte, call func(M) (proto.Message, error)) ([]byte, error) {
	m := M(new(T))
	if err := unmarshal(body, m); err != nil {
		return nil, err
	}
	resp, err := call(m)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(resp)
}

// serveSubmit stays until the write is as far as somebody waits for.
func serveSubmit(ctx context.Context, s Shard, body []byte) ([]byte, error) {
	op, w, err := decodeSubmission(body)
	if err != nil {
		return nil, err
	}
	t, err := s.Submit(ctx, op, w)
	if err != nil {
		return nil, err
	}
	o := &outcome{}
	if w.Wait {
		waiting, cancel := w.waiting(ctx)
		defer cancel()
		o.visible = faultOf(t.Visible(waiting))
	}
	o.durable = faultOf(t.Durable(ctx))
	o.seq = t.Seq()
	return o.encode(), nil
}

// waiting bounds a wait until the write is visible.
func (w Write) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.Until.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, w.Until)
}

// serveFill returns payload and vectors in the order of the IDs.
func serveFill(ctx context.Context, s Shard, m *pb.GetPoints) (proto.Message, error) {
	ids, err := idsOf(m.GetIds())
	if err != nil {
		return nil, err
	}
	hits := make([]query.Scored, len(ids))
	for i, id := range ids {
		hits[i].ID = id
	}
	if err := s.Fill(ctx, hits, m.GetWithPayload(), m.GetWithVectors()); err != nil {
		return nil, err
	}
	filled := make([]*pb.ScoredPoint, len(hits))
	for i, h := range hits {
		filled[i] = &pb.ScoredPoint{Vectors: h.Vectors}
		if h.Payload != nil {
			payload.Attach(filled[i], h.Payload)
		}
	}
	return &pb.BatchResult{Result: filled}, nil
}

func idsOf(messages []*pb.PointId) ([]point.ID, error) {
	ids := make([]point.ID, len(messages))
	for i, m := range messages {
		var err error
		if ids[i], err = point.FromProto(m); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
