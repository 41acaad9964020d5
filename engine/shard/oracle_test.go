package shard

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/vector"
)

// oracle is the naive shard: a map of points, and answers by looking at all of
// them. It is written from the description of the public API, not from the
// shard's code.
type oracle struct {
	points map[point.ID]*oraclePoint
	fields map[string]pb.FieldType
}

type oraclePoint struct {
	payload map[string]any // as decoded from JSON
	dense   map[string][]float32
	sparse  map[string]map[uint32]float32
	version uint64
}

func newOracle() *oracle {
	return &oracle{points: map[point.ID]*oraclePoint{}, fields: map[string]pb.FieldType{}}
}

func (o *oracle) clone() *oracle {
	c := newOracle()
	for id, p := range o.points {
		c.points[id] = &oraclePoint{
			payload: cloneJSON(p.payload), dense: maps.Clone(p.dense), sparse: maps.Clone(p.sparse), version: p.version,
		}
	}
	maps.Copy(c.fields, o.fields)
	return c
}

func cloneJSON(m map[string]any) map[string]any {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	return out
}

// stored is what becomes of a dense vector's numbers when it is written.
func stored(s space, v []float32) []float32 {
	out := slices.Clone(v)
	if s.distance == vector.Cosine {
		var sum float64
		for _, x := range v {
			sum += float64(x) * float64(x)
		}
		if sum >= 0x1p-23 && math.Abs(sum-1) > 1e-6 { // (almost) zero stays as it is
			for i := range out {
				out[i] = float32(float64(v[i]) / math.Sqrt(sum))
			}
		}
	}
	return out
}

// score is larger-is-better, in float64.
func (s space) score(a, b []float32) float64 {
	var sum float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		switch s.distance {
		case vector.Euclid:
			sum -= d * d
		case vector.Manhattan:
			sum -= math.Abs(d)
		default:
			sum += float64(a[i]) * float64(b[i])
		}
	}
	return sum
}

// ranked is a point with its score by the oracle.
type ranked struct {
	id    point.ID
	score float64
}

// nearest ranks all points that pass by a dense vector.
func (o *oracle) nearest(name string, s space, q []float32, f testFilter) []ranked {
	q = stored(s, q)
	var out []ranked
	for id, p := range o.points {
		if v, ok := p.dense[name]; ok && f.match(id, p) {
			out = append(out, ranked{id, s.score(q, v)})
		}
	}
	return rank(out)
}

// nearestSparse ranks all points that pass and share an index with the query.
func (o *oracle) nearestSparse(name string, idf bool, q map[uint32]float32, f testFilter) []ranked {
	n, df := 0, map[uint32]int{}
	for _, p := range o.points {
		if v, ok := p.sparse[name]; ok {
			n++
			for i := range v {
				df[i]++
			}
		}
	}
	var out []ranked
	for id, p := range o.points {
		v := p.sparse[name]
		var sum float64
		shared := false
		for i, w := range q {
			x, ok := v[i]
			if !ok {
				continue
			}
			shared = true
			weight := float64(w)
			if idf {
				weight *= math.Log((float64(n)-float64(df[i])+0.5)/(float64(df[i])+0.5) + 1)
			}
			sum += weight * float64(x)
		}
		if shared && f.match(id, p) {
			out = append(out, ranked{id, sum})
		}
	}
	return rank(out)
}

func rank(r []ranked) []ranked {
	slices.SortFunc(r, func(a, b ranked) int {
		if a.score != b.score {
			if a.score > b.score {
				return -1
			}
			return 1
		}
		return a.id.Compare(b.id)
	})
	return r
}

// passing returns the IDs of the points that pass, in order.
func (o *oracle) passing(f testFilter) []point.ID {
	var ids []point.ID
	for id, p := range o.points {
		if f.match(id, p) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, point.ID.Compare)
	return ids
}

// testFilter is a filter with the naive meaning of it.
type testFilter struct {
	name  string
	pb    *pb.Filter
	match func(point.ID, *oraclePoint) bool
}

func fieldCondition(c *pb.FieldCondition) *pb.Condition {
	return &pb.Condition{ConditionOneOf: &pb.Condition_Field{Field: c}}
}

func allPass() testFilter {
	return testFilter{"all", nil, func(point.ID, *oraclePoint) bool { return true }}
}

func keywordIs(key, value string) testFilter {
	return testFilter{
		fmt.Sprintf("%s=%s", key, value),
		&pb.Filter{Must: []*pb.Condition{fieldCondition(&pb.FieldCondition{
			Key: key, Match: &pb.Match{MatchValue: &pb.Match_Keyword{Keyword: value}},
		})}},
		func(_ point.ID, p *oraclePoint) bool { return p.payload[key] == value },
	}
}

func numberBelow(key string, limit float64) testFilter {
	return testFilter{
		fmt.Sprintf("%s<%v", key, limit),
		&pb.Filter{Must: []*pb.Condition{fieldCondition(&pb.FieldCondition{Key: key, Range: &pb.Range{Lt: &limit}})}},
		func(_ point.ID, p *oraclePoint) bool {
			x, ok := p.payload[key].(float64)
			return ok && x < limit
		},
	}
}

func isEmpty(key string) testFilter {
	return testFilter{
		"empty " + key,
		&pb.Filter{Must: []*pb.Condition{{ConditionOneOf: &pb.Condition_IsEmpty{IsEmpty: &pb.IsEmptyCondition{Key: key}}}}},
		func(_ point.ID, p *oraclePoint) bool {
			v, ok := p.payload[key]
			list, isList := v.([]any)
			return !ok || v == nil || isList && len(list) == 0
		},
	}
}

func hasIDs(ids ...point.ID) testFilter {
	c := &pb.HasIdCondition{}
	for _, id := range ids {
		c.HasId = append(c.HasId, id.Proto())
	}
	return testFilter{
		fmt.Sprint("ids ", ids),
		&pb.Filter{Must: []*pb.Condition{{ConditionOneOf: &pb.Condition_HasId{HasId: c}}}},
		func(id point.ID, _ *oraclePoint) bool { return slices.Contains(ids, id) },
	}
}

func hasVector(name string) testFilter {
	return testFilter{
		"has " + name,
		&pb.Filter{Must: []*pb.Condition{{ConditionOneOf: &pb.Condition_HasVector{
			HasVector: &pb.HasVectorCondition{HasVector: name},
		}}}},
		func(_ point.ID, p *oraclePoint) bool {
			_, dense := p.dense[name]
			_, sparse := p.sparse[name]
			return dense || sparse
		},
	}
}

func (f testFilter) condition() *pb.Condition {
	return &pb.Condition{ConditionOneOf: &pb.Condition_Filter{Filter: f.pb}}
}

func not(f testFilter) testFilter {
	return testFilter{
		"not (" + f.name + ")",
		&pb.Filter{MustNot: []*pb.Condition{f.condition()}},
		func(id point.ID, p *oraclePoint) bool { return !f.match(id, p) },
	}
}

func either(a, b testFilter) testFilter {
	return testFilter{
		"(" + a.name + " or " + b.name + ")",
		&pb.Filter{Should: []*pb.Condition{a.condition(), b.condition()}},
		func(id point.ID, p *oraclePoint) bool { return a.match(id, p) || b.match(id, p) },
	}
}

func both(a, b testFilter) testFilter {
	return testFilter{
		"(" + a.name + " and " + b.name + ")",
		&pb.Filter{Must: []*pb.Condition{a.condition(), b.condition()}},
		func(id point.ID, p *oraclePoint) bool { return a.match(id, p) && b.match(id, p) },
	}
}
