package shard

import (
	"context"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/engine/sparse"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vectorindex"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Query runs a leaf: a query without prefetch, whose query is none (points in
// the order of their IDs), nearest to a dense or sparse vector given as numbers,
// order_by, or sample. The hits are best first, at most offset+limit of them:
// the offset is skipped by whoever merges the shards' answers. Payload and
// vectors are filled as the message asks.
func (s *Shard) Query(ctx context.Context, m *pb.QueryPoints) ([]query.Scored, error) {
	leave, err := s.enterRead()
	if err != nil {
		return nil, err
	}
	defer leave()
	st := s.state.Load()
	limit, err := wanted(m)
	if err != nil {
		return nil, err
	}
	r, err := s.restrict(ctx, st, m.GetFilter())
	if err != nil {
		return nil, err
	}
	hits, err := s.leaf(ctx, st, m, r, limit)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, s.damage(err)
	}
	if err := s.fill(ctx, st, hits, m.GetWithPayload(), m.GetWithVectors()); err != nil {
		return nil, s.damage(err)
	}
	// A payload that couldn't be read on the way was taken for empty, and has put
	// the shard into quarantine: the hits may be wrong.
	return hits, s.Err()
}

// wanted returns how many hits a query asks for. Nothing is allocated for them
// in advance.
func wanted(m *pb.QueryPoints) (int, error) {
	if len(m.GetPrefetch()) > 0 {
		return 0, apierror.New(apierror.Internal, "a query with prefetch is not a leaf")
	}
	limit := uint64(defaultLimit)
	if m.Limit != nil {
		limit = m.GetLimit()
	}
	if err := checkLimit(limit); err != nil {
		return 0, err
	}
	// Each is cut before they are added: the sum of two uint64 could wrap around.
	const most = 1 << 32 // documents of a shard
	return int(min(limit, most) + min(m.GetOffset(), most)), nil
}

// leaf runs a query by its kind. Only the nearest have a score; points in an order
// have the value by which they are merged with those of other shards.
func (s *Shard) leaf(ctx context.Context, st *state, m *pb.QueryPoints, r restriction, limit int) ([]query.Scored, error) {
	switch q := m.GetQuery().GetVariant().(type) {
	case nil:
		entries, err := s.inOrder(ctx, r, point.ID{}, limit)
		if err != nil {
			return nil, err
		}
		hits := make([]query.Scored, len(entries))
		for i, e := range entries {
			hits[i] = query.Scored{ID: e.ID, Version: s.docs.Version(e.Doc)}
		}
		return hits, nil
	case *pb.Query_Nearest:
		return s.nearest(ctx, st, m, q.Nearest, r, limit)
	case *pb.Query_OrderBy:
		ordered, err := s.ordered(ctx, st, q.OrderBy, r, limit)
		if err != nil {
			return nil, err
		}
		hits := make([]query.Scored, len(ordered))
		for i, h := range ordered {
			hits[i] = query.Scored{ID: h.entry.ID, Version: s.docs.Version(h.entry.Doc), Order: h.value}
		}
		return hits, nil
	case *pb.Query_Sample:
		return s.sample(ctx, r, limit)
	default:
		return nil, apierror.New(apierror.NotImplemented, "this kind of query is not implemented yet")
	}
}

// nearest searches one vector index.
func (s *Shard) nearest(ctx context.Context, st *state, m *pb.QueryPoints, in *pb.VectorInput, r restriction, limit int) ([]query.Scored, error) {
	name := m.GetUsing()
	v, err := st.schema.resolveInput(name, in)
	if err != nil {
		return nil, err
	}
	var hits []vector.Hit
	distance := vector.Dot
	if v.sparse {
		// The corpus is what IDF counts documents in, a filter of its own; without one
		// it is the whole shard.
		var corpus restriction
		if corpus, err = s.restrict(ctx, st, m.GetParams().GetIdf().GetCorpus()); err != nil {
			return nil, err
		}
		hits, _, err = st.sparse[name].Search(ctx, sparse.Query{
			Indices: v.indices, Values: v.values, K: limit, Filter: r.vectorFilter(), Corpus: corpus.vectorFilter(),
		})
	} else {
		distance, _ = st.schema.Distance(name)
		hits, _, err = st.dense[name].Search(ctx, denseQuery(m.GetParams(), v.dense, limit, r))
	}
	if err != nil {
		return nil, err
	}
	out := make([]query.Scored, 0, len(hits))
	for _, h := range hits {
		// The document may have been deleted since the index looked at it.
		if id, version, ok := s.docs.Head(h.Doc); ok {
			out = append(out, query.Scored{ID: id, Score: h.Score, Version: version})
		}
	}
	return query.Cut(distance, out, m.ScoreThreshold), nil
}

// denseQuery reads the parameters of a search. What isn't given is zero, which is
// the index's default.
func denseQuery(p *pb.SearchParams, v []float32, limit int, r restriction) vectorindex.Query {
	q := vectorindex.Query{
		Vector: v, K: limit, Ef: int(min(p.GetHnswEf(), 1<<31)), Exact: p.GetExact(), IndexedOnly: p.GetIndexedOnly(),
		Filter: r.vectorFilter(),
	}
	if z := p.GetQuantization(); z != nil {
		q.IgnoreQuantization, q.Rescore, q.Oversampling = z.GetIgnore(), z.Rescore, z.GetOversampling()
	}
	return q
}

// Fill adds payload and vectors to hits of an earlier query. Points deleted in
// between are left without.
func (s *Shard) Fill(ctx context.Context, hits []query.Scored, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) error {
	leave, err := s.enterRead()
	if err != nil {
		return err
	}
	defer leave()
	if err := s.fill(ctx, s.state.Load(), hits, p, v); err != nil {
		return s.damage(err)
	}
	return s.Err()
}

// fill looks each point up again by its ID: hits may come from an earlier call, and
// a document number means nothing after its pin.
func (s *Shard) fill(ctx context.Context, st *state, hits []query.Scored, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) error {
	proj, err := st.project(p, v, false)
	if err != nil || !proj.payload && len(proj.vectors) == 0 {
		return err
	}
	spare := allowanceOf(ctx)
	for i := range hits {
		if i%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return ctx.Err()
		}
		h := &hits[i]
		doc, ok := s.docs.LookupPinned(h.ID)
		if !ok {
			continue
		}
		h.Payload = s.payloadOf(proj, doc)
		if h.Vectors, err = s.vectorsOf(st, proj, doc); err != nil {
			return err
		}
		if err := spare.spend(vectorBytes(h.Vectors) + int64(len(h.Payload))); err != nil {
			return err
		}
	}
	return nil
}
