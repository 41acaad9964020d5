package dialect

import (
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/jsonx"
)

// QueryPoints reads the body of POST …/points/query.
func QueryPoints(body []byte) (*pb.QueryPoints, error) {
	m, err := read(body, queryPoints)
	return checked(m, err, func(c *checks, m *pb.QueryPoints) { c.query(root.member("internal"), m) })
}

// QueryBatch reads the body of POST …/points/query/batch.
func QueryBatch(body []byte) (*pb.QueryBatchPoints, error) {
	list, err := searches(body, queryPoints, "internal", (*checks).query)
	return &pb.QueryBatchPoints{QueryPoints: list}, err
}

func queryPoints(r *jsonx.Reader) *pb.QueryPoints {
	var q queryMembers
	q.read(r)
	return &pb.QueryPoints{
		Prefetch: q.prefetch, Query: q.query, Using: q.using, Filter: q.filter, Params: q.params,
		ScoreThreshold: q.threshold, Limit: q.limit, Offset: q.offset, WithPayload: q.withPayload,
		WithVectors: q.withVectors, LookupFrom: q.lookupFrom, ShardKeySelector: q.shardKeys,
	}
}

// QueryGroups reads the body of POST …/points/query/groups.
func QueryGroups(body []byte) (*pb.QueryPointGroups, error) {
	m, err := read(body, queryGroups)
	return checked(m, err, (*checks).queryGroups)
}

func queryGroups(r *jsonx.Reader) *pb.QueryPointGroups {
	var q queryMembers
	q.read(r)
	r.Missing(q.groupBy == nil, "group_by")
	return &pb.QueryPointGroups{
		Prefetch: q.prefetch, Query: q.query, Using: q.using, Filter: q.filter, Params: q.params,
		ScoreThreshold: q.threshold, Limit: q.limit, GroupSize: q.groupSize, GroupBy: orZero(q.groupBy),
		WithPayload: q.withPayload, WithVectors: q.withVectors, LookupFrom: q.lookupFrom,
		WithLookup: q.withLookup, ShardKeySelector: q.shardKeys,
	}
}

func prefetch(r *jsonx.Reader) *pb.PrefetchQuery {
	var q queryMembers
	q.read(r)
	return &pb.PrefetchQuery{
		Prefetch: q.prefetch, Query: q.query, Using: q.using, Filter: q.filter, Params: q.params,
		ScoreThreshold: q.threshold, Limit: q.limit, LookupFrom: q.lookupFrom,
	}
}

// queryMembers are the members of a level of a query tree.
type queryMembers struct {
	searchMembers
	prefetch []*pb.PrefetchQuery
	query    *pb.Query
}

func (q *queryMembers) read(r *jsonx.Reader) {
	for key := range r.Fields() {
		switch key {
		case "prefetch":
			q.prefetch = oneOrMany(r, prefetch)
		case "query":
			q.query = query(r)
		default:
			q.member(r, key)
		}
	}
}

func lookupFrom(r *jsonx.Reader) *pb.LookupLocation {
	l := &pb.LookupLocation{}
	has := false
	for key := range r.Fields() {
		switch key {
		case "collection":
			l.CollectionName, has = r.Text(), true
		case "vector":
			l.VectorName = new(r.Text())
		case "shard_key":
			l.ShardKeySelector = shardKeys(r)
		default:
			r.Skip()
		}
	}
	r.Missing(!has, "collection")
	return l
}

// withLookup reads name | {collection, with_payload, with_vectors}. Lookups
// come with payload and without vectors unless told otherwise.
func withLookup(r *jsonx.Reader) *pb.WithLookup {
	l := &pb.WithLookup{WithPayload: payloadEnabled(true)}
	switch r.Kind() {
	case jsonx.String:
		l.Collection = r.Text()
		return l
	case jsonx.Object:
	default:
		r.NoVariant("WithLookupInterface")
		return nil
	}
	has := false
	for key := range r.Fields() {
		switch key {
		case "collection", "collection_name":
			l.Collection, has = r.Text(), true
		case "with_payload":
			l.WithPayload = withPayload(r)
		case "with_vectors", "with_vector":
			l.WithVectors = withVectors(r)
		default:
			r.Skip()
		}
	}
	if !has {
		r.NoVariant("WithLookupInterface")
	}
	return l
}

func searchParams(r *jsonx.Reader) *pb.SearchParams {
	p := &pb.SearchParams{}
	for key := range r.Fields() {
		switch key {
		case "hnsw_ef":
			p.HnswEf = new(r.Uint64())
		case "exact":
			p.Exact = new(r.Bool())
		case "quantization":
			p.Quantization = quantizationParams(r)
		case "indexed_only":
			p.IndexedOnly = new(r.Bool())
		case "acorn":
			p.Acorn = acorn(r)
		case "idf":
			p.Idf = idf(r)
		default:
			r.Skip()
		}
	}
	return p
}

func quantizationParams(r *jsonx.Reader) *pb.QuantizationSearchParams {
	q := &pb.QuantizationSearchParams{}
	for key := range r.Fields() {
		switch key {
		case "ignore":
			q.Ignore = new(r.Bool())
		case "rescore":
			q.Rescore = new(r.Bool())
		case "oversampling":
			q.Oversampling = new(r.Float64())
		default:
			r.Skip()
		}
	}
	return q
}

func acorn(r *jsonx.Reader) *pb.AcornSearchParams {
	a := &pb.AcornSearchParams{}
	for key := range r.Fields() {
		switch key {
		case "enable":
			a.Enable = new(r.Bool())
		case "max_selectivity":
			a.MaxSelectivity = new(r.Float64())
		default:
			r.Skip()
		}
	}
	return a
}

// idf reads "global" | {corpus}.
func idf(r *jsonx.Reader) *pb.IdfParams {
	p := &pb.IdfParams{}
	if r.Kind() == jsonx.String {
		enum[pb.Sample](r, []string{"global"})
		return p
	}
	for key := range r.Fields() {
		if key == "corpus" {
			p.Corpus = filter(r)
		} else {
			r.Skip()
		}
	}
	if p.Corpus == nil {
		r.NoVariant("IdfParams")
	}
	return p
}

// query reads a vector, a point's ID, or an object with a member that names
// the kind of query.
func query(r *jsonx.Reader) *pb.Query {
	if r.Kind() != jsonx.Object {
		return nearest(vectorInput(r))
	}
	var p queryParts
	for key := range r.Fields() {
		p.member(r, key)
	}
	if r.Err() != nil {
		return nil
	}
	q := p.query()
	if q == nil {
		r.NoVariant("QueryInterface")
	}
	return q
}

func nearest(v *pb.VectorInput) *pb.Query {
	return &pb.Query{Variant: &pb.Query_Nearest{Nearest: v}}
}

// queryParts gathers the members of a query's object, which may come in any
// order.
type queryParts struct {
	q        *pb.Query // from the member that names the kind
	mmr      *pb.Mmr
	defaults map[string]*pb.Value
	vector   vectorParts
}

func (p *queryParts) member(r *jsonx.Reader, key string) {
	switch key {
	case "nearest":
		p.q = nearest(vectorInput(r))
	case "mmr":
		p.mmr = mmr(r)
	case "recommend":
		p.q = &pb.Query{Variant: &pb.Query_Recommend{Recommend: recommendInput(r)}}
	case "discover":
		p.q = &pb.Query{Variant: &pb.Query_Discover{Discover: discoverInput(r)}}
	case "context":
		p.q = &pb.Query{Variant: &pb.Query_Context{Context: contextInput(r)}}
	case "order_by":
		p.q = &pb.Query{Variant: &pb.Query_OrderBy{OrderBy: orderBy(r)}}
	case "fusion":
		p.q = &pb.Query{Variant: &pb.Query_Fusion{Fusion: enum[pb.Fusion](r, fusions)}}
	case "rrf":
		p.q = &pb.Query{Variant: &pb.Query_Rrf{Rrf: rrf(r)}}
	case "sample":
		p.q = &pb.Query{Variant: &pb.Query_Sample{Sample: enum[pb.Sample](r, samples)}}
	case "formula":
		p.q = &pb.Query{Variant: &pb.Query_Formula{Formula: &pb.Formula{Expression: expression(r)}}}
	case "defaults":
		p.defaults = valueMap(r)
	case "relevance_feedback":
		p.q = &pb.Query{Variant: &pb.Query_RelevanceFeedback{RelevanceFeedback: relevanceFeedback(r)}}
	default:
		p.vector.member(r, key)
	}
}

// query returns what the members make, nil when nothing.
func (p *queryParts) query() *pb.Query {
	switch {
	case p.q == nil:
		if v := p.vector.input(); v != nil {
			return nearest(v)
		}
		return nil
	case p.q.GetFormula() != nil:
		p.q.GetFormula().Defaults = p.defaults
	case p.q.GetNearest() != nil && p.mmr != nil:
		p.q.Variant = &pb.Query_NearestWithMmr{
			NearestWithMmr: &pb.NearestInputWithMmr{Nearest: p.q.GetNearest(), Mmr: p.mmr},
		}
	}
	return p.q
}

func mmr(r *jsonx.Reader) *pb.Mmr {
	m := &pb.Mmr{}
	for key := range r.Fields() {
		switch key {
		case "diversity":
			m.Diversity = new(r.Float32())
		case "candidates_limit":
			m.CandidatesLimit = new(r.Uint32())
		default:
			r.Skip()
		}
	}
	return m
}

func rrf(r *jsonx.Reader) *pb.Rrf {
	m := &pb.Rrf{}
	for key := range r.Fields() {
		switch key {
		case "k":
			m.K = new(r.Uint32())
		case "weights":
			m.Weights = r.Floats()
		default:
			r.Skip()
		}
	}
	return m
}

func recommendInput(r *jsonx.Reader) *pb.RecommendInput {
	m := &pb.RecommendInput{}
	for key := range r.Fields() {
		switch key {
		case "positive":
			m.Positive = list(r, vectorInput)
		case "negative":
			m.Negative = list(r, vectorInput)
		case "strategy":
			m.Strategy = new(enum[pb.RecommendStrategy](r, strategies))
		default:
			r.Skip()
		}
	}
	return m
}

// discoverInput reads {target, context}; context must be there, but may be
// null.
func discoverInput(r *jsonx.Reader) *pb.DiscoverInput {
	m := &pb.DiscoverInput{}
	has := false
	for key := range r.Members() {
		switch key {
		case "target":
			m.Target = vectorInput(r)
		case "context":
			has = true
			m.Context = &pb.ContextInput{}
			if !r.SkipNull() {
				m.Context = contextInput(r)
			}
		default:
			r.Skip()
		}
	}
	r.Missing(m.Target == nil, "target")
	r.Missing(!has, "context")
	return m
}

// contextInput reads a pair or an array of pairs.
func contextInput(r *jsonx.Reader) *pb.ContextInput {
	return &pb.ContextInput{Pairs: oneOrMany(r, contextPair)}
}

func contextPair(r *jsonx.Reader) *pb.ContextInputPair {
	p := &pb.ContextInputPair{}
	for key := range r.Fields() {
		switch key {
		case "positive":
			p.Positive = vectorInput(r)
		case "negative":
			p.Negative = vectorInput(r)
		default:
			r.Skip()
		}
	}
	r.Missing(p.Positive == nil, "positive")
	r.Missing(p.Negative == nil, "negative")
	return p
}

// orderBy reads a key, or {key, direction, start_from}.
func orderBy(r *jsonx.Reader) *pb.OrderBy {
	if r.Kind() == jsonx.String {
		return &pb.OrderBy{Key: r.Text()}
	}
	if r.Kind() != jsonx.Object {
		r.NoVariant("OrderByInterface")
		return nil
	}
	o := &pb.OrderBy{}
	has := false
	for key := range r.Fields() {
		switch key {
		case "key":
			o.Key, has = r.Text(), true
		case "direction":
			o.Direction = new(enum[pb.Direction](r, directions))
		case "start_from":
			o.StartFrom = startFrom(r)
		default:
			r.Skip()
		}
	}
	r.Missing(!has, "key")
	return o
}

// startFrom reads an integer, a float or a datetime.
func startFrom(r *jsonx.Reader) *pb.StartFrom {
	if r.Kind() == jsonx.String {
		return &pb.StartFrom{Value: &pb.StartFrom_Timestamp{Timestamp: datetime(r, "StartFrom")}}
	}
	n, f, isInt := r.Number()
	if isInt {
		return &pb.StartFrom{Value: &pb.StartFrom_Integer{Integer: n}}
	}
	return &pb.StartFrom{Value: &pb.StartFrom_Float{Float: f}}
}

func relevanceFeedback(r *jsonx.Reader) *pb.RelevanceFeedbackInput {
	m := &pb.RelevanceFeedbackInput{}
	has := false
	for key := range r.Fields() {
		switch key {
		case "target":
			m.Target = vectorInput(r)
		case "feedback":
			m.Feedback, has = list(r, feedbackItem), true
		case "strategy":
			m.Strategy = feedbackStrategy(r)
		default:
			r.Skip()
		}
	}
	r.Missing(m.Target == nil, "target")
	r.Missing(!has, "feedback")
	r.Missing(m.Strategy == nil, "strategy")
	return m
}

func feedbackItem(r *jsonx.Reader) *pb.FeedbackItem {
	m := &pb.FeedbackItem{}
	has := false
	for key := range r.Fields() {
		switch key {
		case "example":
			m.Example = vectorInput(r)
		case "score":
			m.Score, has = r.Float32(), true
		default:
			r.Skip()
		}
	}
	r.Missing(m.Example == nil, "example")
	r.Missing(!has, "score")
	return m
}

func feedbackStrategy(r *jsonx.Reader) *pb.FeedbackStrategy {
	var naive *pb.NaiveFeedbackStrategy
	for key := range r.Fields() {
		if key == "naive" {
			naive = naiveStrategy(r)
		} else {
			r.Skip()
		}
	}
	if naive == nil {
		r.NoVariant("FeedbackStrategy")
	}
	return &pb.FeedbackStrategy{Variant: &pb.FeedbackStrategy_Naive{Naive: naive}}
}

func naiveStrategy(r *jsonx.Reader) *pb.NaiveFeedbackStrategy {
	m := &pb.NaiveFeedbackStrategy{}
	var a, b, c bool
	for key := range r.Fields() {
		switch key {
		case "a":
			m.A, a = r.Float32(), true
		case "b":
			m.B, b = r.Float32(), true
		case "c":
			m.C, c = r.Float32(), true
		default:
			r.Skip()
		}
	}
	r.Missing(!a, "a")
	r.Missing(!b, "b")
	r.Missing(!c, "c")
	return m
}
