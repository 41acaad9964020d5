package shard

import (
	"cmp"
	"context"

	"github.com/RoaringBitmap/roaring/v2"
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/docstore"
	"github.com/sextantdb/sextant/engine/payloadindex"
	"github.com/sextantdb/sextant/internal/apierror"
)

// orderedHit is a document at one of its values.
type orderedHit struct {
	entry docstore.Entry
	value *pb.OrderValue
}

// ordered returns the first n passing documents in the order of a field's
// values, equal values in the order of IDs. A document with several values comes
// once for each.
func (s *Shard) ordered(ctx context.Context, st *state, o *pb.OrderBy, r restriction, n int) ([]orderedHit, error) {
	f, ok := st.fields[o.GetKey()]
	if !ok || !f.index.Config().Kind.Ordered() {
		return nil, apierror.New(apierror.BadInput,
			"No range index for `order_by` key: `%s`. Please create one to use `order_by`. Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Range conditions", o.GetKey())
	}
	from, err := startFrom(o.GetStartFrom())
	if err != nil {
		return nil, err
	}
	var out []orderedHit
	// Documents of one value come in the order of their numbers: all of them are
	// seen, and the smallest IDs kept.
	var run *smallest[docstore.Entry]
	var value payloadindex.Value
	flush := func() {
		if run != nil {
			for _, e := range run.sorted() {
				out = append(out, orderedHit{e, orderValue(value)})
			}
			run = nil
		}
	}
	seen := 0
	f.index.Scan(from, o.GetDirection() == pb.Direction_Desc, func(v payloadindex.Value, doc uint32) bool {
		if seen++; seen%checkEvery == 0 && ctx.Err() != nil {
			return false
		}
		if run == nil || v.Compare(value) != 0 {
			// A run must be seen to its end before it counts: its smallest ID may
			// come last.
			if flush(); len(out) >= n {
				return false
			}
			run, value = newSmallest(n-len(out), compareEntries), v
		}
		if r.passes(doc) && s.docs.Live(doc) {
			if id, ok := s.docs.ID(doc); ok {
				run.add(docstore.Entry{ID: id, Doc: doc})
			}
		}
		return true
	})
	flush()
	return out, ctx.Err()
}

func compareEntries(a, b docstore.Entry) int { return a.ID.Compare(b.ID) }

// orderValue is a value as clients see it: dates in microseconds since 1970, as the
// index keeps them.
func orderValue(v payloadindex.Value) *pb.OrderValue {
	if v.Kind == payloadindex.Float {
		return &pb.OrderValue{Variant: &pb.OrderValue_Float{Float: v.Float}}
	}
	return &pb.OrderValue{Variant: &pb.OrderValue_Int{Int: v.Int}}
}

// startFrom reads the value at which an ordered read begins. A timestamp has
// nanoseconds, of which the index keeps the microseconds.
func startFrom(f *pb.StartFrom) (*payloadindex.From, error) {
	switch x := f.GetValue().(type) {
	case *pb.StartFrom_Float:
		return &payloadindex.From{Float: x.Float, IsFloat: true}, nil
	case *pb.StartFrom_Integer:
		return &payloadindex.From{Int: x.Integer}, nil
	case *pb.StartFrom_Timestamp:
		t := x.Timestamp
		return &payloadindex.From{Int: t.GetSeconds()*1e6 + int64(t.GetNanos())/1e3}, nil
	case *pb.StartFrom_Datetime:
		micros, ok := payloadindex.ParseDatetime(x.Datetime)
		if !ok {
			return nil, apierror.New(apierror.BadInput, "Unable to parse datetime: %s", x.Datetime)
		}
		return &payloadindex.From{Int: micros}, nil
	default:
		return nil, nil //nolint:nilnil // nil is the beginning
	}
}

// Facet counts the points that pass a filter for each value of a field, most
// points first, then by value. The counts are always exact.
func (s *Shard) Facet(ctx context.Context, m *pb.FacetCounts) ([]*pb.FacetHit, error) {
	leave, err := s.enterRead()
	if err != nil {
		return nil, err
	}
	defer leave()
	st := s.state.Load()
	limit := uint64(defaultLimit)
	if m.Limit != nil {
		limit = m.GetLimit()
	}
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	f, ok := st.fields[m.GetKey()]
	if !ok || !f.index.Config().Kind.Facetable() {
		return nil, apierror.New(apierror.BadInput,
			"No appropriate index for faceting: `%s`. Please create one to facet on this field. Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Match conditions", m.GetKey())
	}
	within, err := s.facetWithin(ctx, st, m.GetFilter())
	if err != nil {
		return nil, err
	}
	type count struct {
		value payloadindex.Value
		n     int
	}
	// A field may have as many values as the shard has points. Memory is for the
	// limit only.
	best := newSmallest(int(min(limit, 1<<31)), func(a, b count) int {
		return cmp.Or(cmp.Compare(b.n, a.n), a.value.Compare(b.value))
	})
	f.index.Facet(within, func(v payloadindex.Value, n int) { best.add(count{v, n}) })
	var out []*pb.FacetHit
	for _, c := range best.sorted() {
		out = append(out, &pb.FacetHit{Value: facetValue(c.value), Count: uint64(c.n)})
	}
	return out, s.Err()
}

// facetWithin returns the documents among which to count; nil is all. A filter that
// the indexes can't answer is matched against each document once, here, and not
// once for every value that the document has.
func (s *Shard) facetWithin(ctx context.Context, st *state, f *pb.Filter) (*roaring.Bitmap, error) {
	r, err := s.restrict(ctx, st, f)
	if err != nil || r.all() || r.docs != nil {
		return r.docs, err
	}
	docs := roaring.New()
	err = s.each(ctx, r, func(doc uint32) bool { docs.Add(doc); return true })
	return docs, err
}

func facetValue(v payloadindex.Value) *pb.FacetValue {
	switch v.Kind {
	case payloadindex.Integer:
		return &pb.FacetValue{Variant: &pb.FacetValue_IntegerValue{IntegerValue: v.Int}}
	case payloadindex.Bool:
		return &pb.FacetValue{Variant: &pb.FacetValue_BoolValue{BoolValue: v.Bool}}
	default:
		return &pb.FacetValue{Variant: &pb.FacetValue_StringValue{StringValue: v.Text}}
	}
}
