package dialect

import (
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/jsonx"
)

// This file reads the requests of the search endpoints that came before
// …/points/query.

// SearchPoints reads the body of POST …/points/search.
func SearchPoints(body []byte) (*pb.SearchPoints, error) {
	m, err := read(body, searchPoints)
	return checked(m, err, func(c *checks, m *pb.SearchPoints) { c.search(root.member("search_request"), m) })
}

// SearchBatch reads the body of POST …/points/search/batch.
func SearchBatch(body []byte) (*pb.SearchBatchPoints, error) {
	list, err := searches(body, searchPoints, "search_request", (*checks).search)
	return &pb.SearchBatchPoints{SearchPoints: list}, err
}

func searchPoints(r *jsonx.Reader) *pb.SearchPoints {
	var s vectorSearch
	s.read(r)
	return &pb.SearchPoints{
		Vector: s.vector.data, SparseIndices: s.vector.indices, VectorName: s.vector.name, Filter: s.filter,
		Params: s.params, Limit: orZero(s.limit), Offset: s.offset, WithPayload: s.withPayload,
		WithVectors: s.withVectors, ScoreThreshold: s.threshold, ShardKeySelector: s.shardKeys,
	}
}

// vectorSearch is a search by one vector.
type vectorSearch struct {
	searchMembers
	vector vectorWithName
}

func (s *vectorSearch) read(r *jsonx.Reader) {
	has := false
	for key := range r.Fields() {
		if key == "vector" {
			s.vector, has = namedVector(r), true
		} else {
			s.member(r, key)
		}
	}
	r.Missing(!has, "vector")
	r.Missing(s.limit == nil, "limit")
}

// vectorWithName is the vector of a search.
type vectorWithName struct {
	data    []float32
	indices *pb.SparseIndices
	name    *string
}

// namedVector reads array | {name, vector: array} | {name, vector: sparse}.
func namedVector(r *jsonx.Reader) (v vectorWithName) {
	switch r.Kind() {
	case jsonx.Array:
		v.data = r.Floats()
		return v
	case jsonx.Object:
	default:
		r.NoVariant("NamedVectorStruct")
		return v
	}
	hasVector := false
	for key := range r.Fields() {
		switch key {
		case "name":
			v.name = new(r.Text())
		case "vector":
			hasVector = true
			v.data, v.indices = denseOrSparse(r)
		default:
			r.Skip()
		}
	}
	if v.name == nil || !hasVector {
		r.NoVariant("NamedVectorStruct")
	}
	return v
}

func denseOrSparse(r *jsonx.Reader) ([]float32, *pb.SparseIndices) {
	if r.Kind() == jsonx.Array {
		return r.Floats(), nil
	}
	var p vectorParts
	for key := range r.Fields() {
		if key == "indices" || key == "values" {
			p.member(r, key)
		} else {
			r.Skip()
		}
	}
	s := p.sparse()
	if s == nil {
		r.NoVariant("NamedVectorStruct")
		return nil, nil
	}
	return s.Values, &pb.SparseIndices{Data: s.Indices}
}

// SearchGroups reads the body of POST …/points/search/groups.
func SearchGroups(body []byte) (*pb.SearchPointGroups, error) {
	m, err := read(body, searchGroups)
	return checked(m, err, (*checks).searchGroups)
}

func searchGroups(r *jsonx.Reader) *pb.SearchPointGroups {
	var s vectorSearch
	s.read(r)
	s.groups(r)
	return &pb.SearchPointGroups{
		Vector: s.vector.data, SparseIndices: s.vector.indices, VectorName: s.vector.name, Filter: s.filter,
		Params: s.params, Limit: clamp32(orZero(s.limit)), GroupSize: clamp32(orZero(s.groupSize)),
		GroupBy: orZero(s.groupBy), WithPayload: s.withPayload, WithVectors: s.withVectors,
		ScoreThreshold: s.threshold, WithLookup: s.withLookup, ShardKeySelector: s.shardKeys,
	}
}

// RecommendPoints reads the body of POST …/points/recommend.
func RecommendPoints(body []byte) (*pb.RecommendPoints, error) {
	m, err := read(body, recommendPoints)
	return checked(m, err, func(c *checks, m *pb.RecommendPoints) { c.recommend(root.member("recommend_request"), m) })
}

// RecommendBatch reads the body of POST …/points/recommend/batch.
func RecommendBatch(body []byte) (*pb.RecommendBatchPoints, error) {
	list, err := searches(body, recommendPoints, "recommend_request", (*checks).recommend)
	return &pb.RecommendBatchPoints{RecommendPoints: list}, err
}

func recommendPoints(r *jsonx.Reader) *pb.RecommendPoints {
	var s exampleSearch
	s.read(r)
	return &pb.RecommendPoints{
		Positive: s.positive, PositiveVectors: s.positiveVectors, Negative: s.negative, NegativeVectors: s.negativeVectors,
		Strategy: s.strategy, Filter: s.filter, Params: s.params, Limit: orZero(s.limit), Offset: s.offset,
		WithPayload: s.withPayload, WithVectors: s.withVectors, ScoreThreshold: s.threshold, Using: s.using,
		LookupFrom: s.lookupFrom, ShardKeySelector: s.shardKeys,
	}
}

// exampleSearch is a search by examples.
type exampleSearch struct {
	searchMembers
	positive, negative               []*pb.PointId
	positiveVectors, negativeVectors []*pb.Vector
	strategy                         *pb.RecommendStrategy
}

func (s *exampleSearch) read(r *jsonx.Reader) {
	for key := range r.Fields() {
		switch key {
		case "positive":
			s.positive, s.positiveVectors = examples(r)
		case "negative":
			s.negative, s.negativeVectors = examples(r)
		case "strategy":
			s.strategy = new(enum[pb.RecommendStrategy](r, strategies))
		default:
			s.member(r, key)
		}
	}
	r.Missing(s.limit == nil, "limit")
}

// RecommendGroups reads the body of POST …/points/recommend/groups.
func RecommendGroups(body []byte) (*pb.RecommendPointGroups, error) {
	m, err := read(body, recommendGroups)
	return checked(m, err, (*checks).recommendGroups)
}

func recommendGroups(r *jsonx.Reader) *pb.RecommendPointGroups {
	var s exampleSearch
	s.read(r)
	s.groups(r)
	return &pb.RecommendPointGroups{
		Positive: s.positive, PositiveVectors: s.positiveVectors, Negative: s.negative, NegativeVectors: s.negativeVectors,
		Strategy: s.strategy, Filter: s.filter, Params: s.params, Limit: clamp32(orZero(s.limit)),
		GroupSize: clamp32(orZero(s.groupSize)), GroupBy: orZero(s.groupBy), WithPayload: s.withPayload,
		WithVectors: s.withVectors, ScoreThreshold: s.threshold, Using: s.using, LookupFrom: s.lookupFrom,
		WithLookup: s.withLookup, ShardKeySelector: s.shardKeys,
	}
}

// example reads a point's ID or a vector.
func example(r *jsonx.Reader) *pb.VectorExample {
	switch r.Kind() {
	case jsonx.Number, jsonx.String:
		return &pb.VectorExample{Example: &pb.VectorExample_Id{Id: pointID(r)}}
	default:
		return &pb.VectorExample{Example: &pb.VectorExample_Vector{Vector: vector(r)}}
	}
}

// examples reads an array of examples and sorts them by what they are.
func examples(r *jsonx.Reader) (ids []*pb.PointId, vs []*pb.Vector) {
	for range r.Elements() {
		switch e := example(r).Example.(type) {
		case *pb.VectorExample_Id:
			ids = append(ids, e.Id)
		case *pb.VectorExample_Vector:
			vs = append(vs, e.Vector)
		}
	}
	return ids, vs
}

// DiscoverPoints reads the body of POST …/points/discover.
func DiscoverPoints(body []byte) (*pb.DiscoverPoints, error) {
	m, err := read(body, discoverPoints)
	return checked(m, err, func(c *checks, m *pb.DiscoverPoints) { c.discover(root.member("discover_request"), m) })
}

// DiscoverBatch reads the body of POST …/points/discover/batch.
func DiscoverBatch(body []byte) (*pb.DiscoverBatchPoints, error) {
	list, err := searches(body, discoverPoints, "discover_request", (*checks).discover)
	return &pb.DiscoverBatchPoints{DiscoverPoints: list}, err
}

func discoverPoints(r *jsonx.Reader) *pb.DiscoverPoints {
	var s searchMembers
	var target *pb.TargetVector
	var context []*pb.ContextExamplePair
	for key := range r.Fields() {
		switch key {
		case "target":
			target = &pb.TargetVector{Target: &pb.TargetVector_Single{Single: example(r)}}
		case "context":
			context = oneOrMany(r, examplePair)
		default:
			s.member(r, key)
		}
	}
	r.Missing(s.limit == nil, "limit")
	return &pb.DiscoverPoints{
		Target: target, Context: context, Filter: s.filter, Params: s.params, Limit: orZero(s.limit), Offset: s.offset,
		WithPayload: s.withPayload, WithVectors: s.withVectors, Using: s.using, LookupFrom: s.lookupFrom,
		ShardKeySelector: s.shardKeys,
	}
}

func examplePair(r *jsonx.Reader) *pb.ContextExamplePair {
	p := &pb.ContextExamplePair{}
	for key := range r.Fields() {
		switch key {
		case "positive":
			p.Positive = example(r)
		case "negative":
			p.Negative = example(r)
		default:
			r.Skip()
		}
	}
	r.Missing(p.Positive == nil, "positive")
	r.Missing(p.Negative == nil, "negative")
	return p
}
