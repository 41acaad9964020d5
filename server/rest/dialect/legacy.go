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
	m, err := read(body, func(r *jsonx.Reader) *pb.SearchBatchPoints {
		return &pb.SearchBatchPoints{SearchPoints: searches(r, searchPoints)}
	})
	return checked(m, err, func(c *checks, m *pb.SearchBatchPoints) {
		all := root.member("searches")
		for i, s := range m.SearchPoints {
			one := all.index(i)
			c.search(one.member("search_request"), s)
		}
	})
}

func searchPoints(r *jsonx.Reader) *pb.SearchPoints {
	m := &pb.SearchPoints{}
	var hasVector, hasLimit bool
	for key := range r.Fields() {
		switch key {
		case "vector":
			v := namedVector(r)
			m.Vector, m.SparseIndices, m.VectorName = v.data, v.indices, v.name
			hasVector = true
		case "filter":
			m.Filter = filter(r)
		case "params":
			m.Params = searchParams(r)
		case "limit", "top":
			m.Limit, hasLimit = r.Uint64(), true
		case "offset":
			m.Offset = new(r.Uint64())
		case "with_payload":
			m.WithPayload = withPayload(r)
		case "with_vector", "with_vectors":
			m.WithVectors = withVectors(r)
		case "score_threshold":
			m.ScoreThreshold = new(r.Float32())
		case "shard_key":
			m.ShardKeySelector = shardKeys(r)
		default:
			r.Skip()
		}
	}
	r.Missing(!hasVector, "vector")
	r.Missing(!hasLimit, "limit")
	return m
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
	m := &pb.SearchPointGroups{}
	var hasVector, hasLimit, hasSize, hasBy bool
	for key := range r.Fields() {
		switch key {
		case "vector":
			v := namedVector(r)
			m.Vector, m.SparseIndices, m.VectorName = v.data, v.indices, v.name
			hasVector = true
		case "filter":
			m.Filter = filter(r)
		case "params":
			m.Params = searchParams(r)
		case "limit", "top":
			m.Limit, hasLimit = clamp32(r.Uint64()), true
		case "group_size":
			m.GroupSize, hasSize = clamp32(r.Uint64()), true
		case "group_by":
			m.GroupBy, hasBy = r.Text(), true
		case "with_payload":
			m.WithPayload = withPayload(r)
		case "with_vector", "with_vectors":
			m.WithVectors = withVectors(r)
		case "score_threshold":
			m.ScoreThreshold = new(r.Float32())
		case "with_lookup":
			m.WithLookup = withLookup(r)
		case "shard_key":
			m.ShardKeySelector = shardKeys(r)
		default:
			r.Skip()
		}
	}
	r.Missing(!hasVector, "vector")
	r.Missing(!hasLimit, "limit")
	r.Missing(!hasSize, "group_size")
	r.Missing(!hasBy, "group_by")
	return m
}

// RecommendPoints reads the body of POST …/points/recommend.
func RecommendPoints(body []byte) (*pb.RecommendPoints, error) {
	m, err := read(body, recommendPoints)
	return checked(m, err, func(c *checks, m *pb.RecommendPoints) { c.recommend(root.member("recommend_request"), m) })
}

// RecommendBatch reads the body of POST …/points/recommend/batch.
func RecommendBatch(body []byte) (*pb.RecommendBatchPoints, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.RecommendBatchPoints {
		return &pb.RecommendBatchPoints{RecommendPoints: searches(r, recommendPoints)}
	})
	return checked(m, err, func(c *checks, m *pb.RecommendBatchPoints) {
		all := root.member("searches")
		for i, s := range m.RecommendPoints {
			one := all.index(i)
			c.recommend(one.member("recommend_request"), s)
		}
	})
}

func recommendPoints(r *jsonx.Reader) *pb.RecommendPoints {
	m := &pb.RecommendPoints{}
	hasLimit := false
	for key := range r.Fields() {
		switch key {
		case "positive":
			m.Positive, m.PositiveVectors = examples(r)
		case "negative":
			m.Negative, m.NegativeVectors = examples(r)
		case "strategy":
			m.Strategy = new(enum[pb.RecommendStrategy](r, strategies))
		case "filter":
			m.Filter = filter(r)
		case "params":
			m.Params = searchParams(r)
		case "limit", "top":
			m.Limit, hasLimit = r.Uint64(), true
		case "offset":
			m.Offset = new(r.Uint64())
		case "with_payload":
			m.WithPayload = withPayload(r)
		case "with_vector", "with_vectors":
			m.WithVectors = withVectors(r)
		case "score_threshold":
			m.ScoreThreshold = new(r.Float32())
		case "using":
			m.Using = new(r.Text())
		case "lookup_from":
			m.LookupFrom = lookupFrom(r)
		case "shard_key":
			m.ShardKeySelector = shardKeys(r)
		default:
			r.Skip()
		}
	}
	r.Missing(!hasLimit, "limit")
	return m
}

// RecommendGroups reads the body of POST …/points/recommend/groups.
func RecommendGroups(body []byte) (*pb.RecommendPointGroups, error) {
	m, err := read(body, recommendGroups)
	return checked(m, err, (*checks).recommendGroups)
}

func recommendGroups(r *jsonx.Reader) *pb.RecommendPointGroups {
	m := &pb.RecommendPointGroups{}
	var hasLimit, hasSize, hasBy bool
	for key := range r.Fields() {
		switch key {
		case "positive":
			m.Positive, m.PositiveVectors = examples(r)
		case "negative":
			m.Negative, m.NegativeVectors = examples(r)
		case "strategy":
			m.Strategy = new(enum[pb.RecommendStrategy](r, strategies))
		case "filter":
			m.Filter = filter(r)
		case "params":
			m.Params = searchParams(r)
		case "limit", "top":
			m.Limit, hasLimit = clamp32(r.Uint64()), true
		case "group_size":
			m.GroupSize, hasSize = clamp32(r.Uint64()), true
		case "group_by":
			m.GroupBy, hasBy = r.Text(), true
		case "with_payload":
			m.WithPayload = withPayload(r)
		case "with_vector", "with_vectors":
			m.WithVectors = withVectors(r)
		case "score_threshold":
			m.ScoreThreshold = new(r.Float32())
		case "using":
			m.Using = new(r.Text())
		case "lookup_from":
			m.LookupFrom = lookupFrom(r)
		case "with_lookup":
			m.WithLookup = withLookup(r)
		case "shard_key":
			m.ShardKeySelector = shardKeys(r)
		default:
			r.Skip()
		}
	}
	r.Missing(!hasLimit, "limit")
	r.Missing(!hasSize, "group_size")
	r.Missing(!hasBy, "group_by")
	return m
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
	m, err := read(body, func(r *jsonx.Reader) *pb.DiscoverBatchPoints {
		return &pb.DiscoverBatchPoints{DiscoverPoints: searches(r, discoverPoints)}
	})
	return checked(m, err, func(c *checks, m *pb.DiscoverBatchPoints) {
		all := root.member("searches")
		for i, s := range m.DiscoverPoints {
			one := all.index(i)
			c.discover(one.member("discover_request"), s)
		}
	})
}

func discoverPoints(r *jsonx.Reader) *pb.DiscoverPoints {
	m := &pb.DiscoverPoints{}
	hasLimit := false
	for key := range r.Fields() {
		switch key {
		case "target":
			m.Target = &pb.TargetVector{Target: &pb.TargetVector_Single{Single: example(r)}}
		case "context":
			m.Context = oneOrMany(r, examplePair)
		case "filter":
			m.Filter = filter(r)
		case "params":
			m.Params = searchParams(r)
		case "limit", "top":
			m.Limit, hasLimit = r.Uint64(), true
		case "offset":
			m.Offset = new(r.Uint64())
		case "with_payload":
			m.WithPayload = withPayload(r)
		case "with_vector", "with_vectors":
			m.WithVectors = withVectors(r)
		case "using":
			m.Using = new(r.Text())
		case "lookup_from":
			m.LookupFrom = lookupFrom(r)
		case "shard_key":
			m.ShardKeySelector = shardKeys(r)
		default:
			r.Skip()
		}
	}
	r.Missing(!hasLimit, "limit")
	return m
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
