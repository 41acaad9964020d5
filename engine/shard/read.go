package shard

import (
	"context"
	"math/rand/v2"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/docstore"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Retrieve returns the points that exist among ids, in the order of ids. A nil
// payload selector means all of it, a nil vector selector no vectors.
func (s *Shard) Retrieve(ctx context.Context, ids []point.ID, p *pb.WithPayloadSelector, v *pb.WithVectorsSelector) ([]*pb.RetrievedPoint, error) {
	leave, err := s.enterRead()
	if err != nil {
		return nil, err
	}
	defer leave()
	st := s.state.Load()
	proj, err := st.project(p, v, true)
	if err != nil {
		return nil, err
	}
	spare := allowanceOf(ctx)
	var out []*pb.RetrievedPoint
	for i, id := range ids {
		if i%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if doc, ok := s.docs.LookupPinned(id); ok {
			r, err := s.record(st, proj, docstore.Entry{ID: id, Doc: doc}, spare)
			if err != nil {
				return nil, s.damage(err)
			}
			out = append(out, r)
		}
	}
	return out, s.Err()
}

// damage quarantines the shard when a read has found damaged bytes.
func (s *Shard) damage(err error) error {
	if isDamage(err) {
		s.quarantine(err)
		return s.Err()
	}
	return err
}

// Page is one page of a scroll.
type Page struct {
	// Points are in the order of IDs, or of the value asked for.
	Points []*pb.RetrievedPoint
	// Next is the first ID of the next page; nil at the end, and always with
	// order_by.
	Next *point.ID
}

// defaultLimit is how many points a read returns that doesn't say.
const defaultLimit = 10

// Scroll lists points. Its payload selector defaults to all.
func (s *Shard) Scroll(ctx context.Context, m *pb.ScrollPoints) (Page, error) {
	leave, err := s.enterRead()
	if err != nil {
		return Page{}, err
	}
	defer leave()
	st := s.state.Load()
	limit := defaultLimit
	if m.Limit != nil {
		limit = int(m.GetLimit())
	}
	if err := checkLimit(uint64(limit)); err != nil {
		return Page{}, err
	}
	if m.GetOffset() != nil && m.GetOrderBy() != nil {
		return Page{}, apierror.New(apierror.BadInput,
			"Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` and a filter to exclude the IDs that you've already seen for the `order_by.start_from` value")
	}
	proj, err := st.project(m.GetWithPayload(), m.GetWithVectors(), true)
	if err != nil {
		return Page{}, err
	}
	r, err := s.restrict(ctx, st, m.GetFilter())
	if err != nil {
		return Page{}, err
	}
	if m.GetOrderBy() != nil {
		return s.scrollOrdered(ctx, st, m.GetOrderBy(), r, limit, proj)
	}
	return s.scrollByID(ctx, st, m.GetOffset(), r, limit, proj)
}

// scrollByID lists points in the order of IDs. It asks for one more than fits, which
// is where the next page begins; deletions in between can't break the paging.
func (s *Shard) scrollByID(ctx context.Context, st *state, offset *pb.PointId, r restriction, limit int, proj projection) (Page, error) {
	var from point.ID
	if offset != nil {
		var err error
		if from, err = point.FromProto(offset); err != nil {
			return Page{}, err
		}
	}
	entries, err := s.inOrder(ctx, r, from, limit+1)
	if err != nil {
		return Page{}, err
	}
	spare := allowanceOf(ctx)
	var page Page
	if len(entries) > limit {
		page.Next, entries = &entries[limit].ID, entries[:limit]
	}
	for i, e := range entries {
		if i%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return Page{}, ctx.Err()
		}
		rec, err := s.record(st, proj, e, spare)
		if err != nil {
			return Page{}, s.damage(err)
		}
		page.Points = append(page.Points, rec)
	}
	return page, s.Err()
}

// scrollOrdered lists points in the order of a field's values.
func (s *Shard) scrollOrdered(ctx context.Context, st *state, o *pb.OrderBy, r restriction, limit int, proj projection) (Page, error) {
	hits, err := s.ordered(ctx, st, o, r, limit)
	if err != nil {
		return Page{}, err
	}
	spare := allowanceOf(ctx)
	var page Page
	for _, h := range hits {
		rec, err := s.record(st, proj, h.entry, spare)
		if err != nil {
			return Page{}, s.damage(err)
		}
		rec.OrderValue = h.value
		page.Points = append(page.Points, rec)
	}
	return page, s.Err()
}

// inOrder returns the first n passing documents whose ID is ≥ from, in the order
// of IDs.
func (s *Shard) inOrder(ctx context.Context, r restriction, from point.ID, n int) ([]docstore.Entry, error) {
	if r.all() {
		return s.docs.From(nil, from, n), nil
	}
	if r.docs != nil && sparseIn(r.estimate, s.docs.Len(), n) {
		return s.selectInOrder(ctx, r, from, n)
	}
	// Walk in the order of IDs, in growing steps: the first page of an open filter
	// ends within the first, and the rest of a narrow one isn't paid per step.
	var out, batch []docstore.Entry
	for step := min(max(n, 64), 4096); ; step = min(2*step, 1<<16) {
		batch = s.docs.From(batch[:0], from, step+1)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for _, e := range batch[:min(step, len(batch))] {
			if r.passes(e.Doc) {
				if out = append(out, e); len(out) == n {
					return out, ctx.Err()
				}
			}
		}
		if len(batch) <= step {
			return out, ctx.Err()
		}
		from = batch[step].ID
	}
}

// sparseIn says whether picking n of some passing documents by looking at all of
// them is cheaper than walking all documents until n have passed.
//
// The walk looks at total/passing·n documents, and a step of it costs about an
// eighth of finding and comparing an ID.
func sparseIn(passing, total, n int) bool {
	if passing <= n {
		return true
	}
	return passing*8 < total/passing*n
}

// selectInOrder looks at all passing documents and keeps the n first.
func (s *Shard) selectInOrder(ctx context.Context, r restriction, from point.ID, n int) ([]docstore.Entry, error) {
	best := newSmallest(n, func(a, b docstore.Entry) int { return a.ID.Compare(b.ID) })
	err := s.each(ctx, r, func(doc uint32) bool {
		if id, ok := s.docs.ID(doc); ok && id.Compare(from) >= 0 {
			best.add(docstore.Entry{ID: id, Doc: doc})
		}
		return true
	})
	return best.sorted(), err
}

// Count counts the points that pass filter (nil: all). When exact is false the
// answer may be an estimate.
func (s *Shard) Count(ctx context.Context, f *pb.Filter, exact bool) (uint64, error) {
	leave, err := s.enterRead()
	if err != nil {
		return 0, err
	}
	defer leave()
	r, err := s.restrict(ctx, s.state.Load(), f)
	if err != nil {
		return 0, err
	}
	// The number of live documents and that of a set are exact as well.
	if r.all() || r.docs != nil || !exact {
		return uint64(r.estimate), s.Err()
	}
	var n uint64
	if err := s.each(ctx, r, func(uint32) bool { n++; return true }); err != nil {
		return 0, err
	}
	return n, s.Err()
}

// sample returns up to n passing documents, each as likely as any other.
func (s *Shard) sample(ctx context.Context, r restriction, n int) ([]query.Scored, error) {
	// Reservoir sampling: one pass, memory for n.
	var docs []uint32
	seen := 0
	err := s.each(ctx, r, func(doc uint32) bool {
		if seen++; len(docs) < n {
			docs = append(docs, doc)
		} else if i := rand.IntN(seen); i < n { //nolint:gosec // no secret
			docs[i] = doc
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	rand.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	return s.name(docs), nil
}

// name makes hits without score of documents.
func (s *Shard) name(docs []uint32) []query.Scored {
	out := make([]query.Scored, 0, len(docs))
	for _, doc := range docs {
		if id, ok := s.docs.ID(doc); ok {
			out = append(out, query.Scored{ID: id, Version: s.docs.Version(doc)})
		}
	}
	return out
}
