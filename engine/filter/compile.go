package filter

import (
	"fmt"
	"math"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/payloadindex"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/internal/apierror"
)

// The limits of a filter. Within them recursion can't exhaust the stack, nor a
// small message cost much memory.
const (
	maxDepth      = 64
	maxConditions = 1 << 16
)

// compiler turns messages into nodes. prefix is the field around a nested
// filter, with a dot, or empty.
type compiler struct {
	src        Source
	prefix     string
	conditions int
}

// invalid is the error about the condition at a place, for example
// "filter.must[0]".
func invalid(at, format string, args ...any) error {
	return apierror.New(apierror.Validation, "[%s: %s]", at, fmt.Sprintf(format, args...))
}

func malformed(what string) error {
	return apierror.New(apierror.BadInput, "Malformed %s", what)
}

// filter compiles the clauses of f into an and.
func (c *compiler) filter(f *pb.Filter, at string, depth int) (node, error) {
	if depth > maxDepth {
		return nil, invalid(at, "filters can be nested %d deep at most", maxDepth)
	}
	all, err := c.list(f.GetMust(), at+".must", depth)
	if err != nil {
		return nil, err
	}
	should, err := c.list(f.GetShould(), at+".should", depth)
	if err != nil {
		return nil, err
	}
	if len(should) > 0 {
		all = append(all, or(should))
	}
	mustNot, err := c.list(f.GetMustNot(), at+".must_not", depth)
	if err != nil {
		return nil, err
	}
	for _, n := range mustNot {
		all = append(all, not{n})
	}
	if m := f.GetMinShould(); m != nil {
		if m.GetMinCount() == 0 {
			return nil, invalid(at+".min_should.min_count", "value 0 invalid, must be 1 or larger")
		}
		nodes, err := c.list(m.GetConditions(), at+".min_should.conditions", depth)
		if err != nil {
			return nil, err
		}
		all = append(all, atLeast{nodes, int(min(m.GetMinCount(), maxConditions+1))})
	}
	return and(all), nil
}

func (c *compiler) list(conditions []*pb.Condition, at string, depth int) ([]node, error) {
	if c.conditions += len(conditions); c.conditions > maxConditions {
		return nil, invalid(at, "a filter can have %d conditions at most", maxConditions)
	}
	var nodes []node
	for i, cond := range conditions {
		n, err := c.condition(cond, fmt.Sprintf("%s[%d]", at, i), depth)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func (c *compiler) condition(cond *pb.Condition, at string, depth int) (node, error) {
	if c.prefix != "" {
		switch cond.GetConditionOneOf().(type) {
		case *pb.Condition_HasId, *pb.Condition_HasVector, *pb.Condition_Slice:
			return nil, invalid(at, "has_id, has_vector and slice can't be used in a nested filter")
		}
	}
	switch x := cond.GetConditionOneOf().(type) {
	case *pb.Condition_Field:
		return c.field(x.Field, at)
	case *pb.Condition_IsEmpty:
		return c.leaf(x.IsEmpty.GetKey(), payloadindex.IsEmpty{})
	case *pb.Condition_IsNull:
		return c.leaf(x.IsNull.GetKey(), payloadindex.IsNull{})
	case *pb.Condition_HasId:
		return compileHasID(x.HasId)
	case *pb.Condition_HasVector:
		return hasVector(x.HasVector.GetHasVector()), nil
	case *pb.Condition_Slice:
		s := slice{x.Slice.GetTotal(), x.Slice.GetIndex()}
		if s.total == 0 {
			return nil, invalid(at+".slice.total", "value 0 invalid, must be 1 or larger")
		}
		if s.index >= s.total {
			return nil, invalid(at+".slice.index", "value %d invalid, must be less than total %d", s.index, s.total)
		}
		return s, nil
	case *pb.Condition_Filter:
		return c.filter(x.Filter, at, depth+1)
	case *pb.Condition_Nested:
		return c.nested(x.Nested, at, depth)
	default:
		return nil, malformed("condition type")
	}
}

func compileHasID(h *pb.HasIdCondition) (node, error) {
	ids := make(hasID, len(h.GetHasId()))
	for _, p := range h.GetHasId() {
		id, err := point.FromProto(p)
		if err != nil {
			return nil, err
		}
		ids[id] = struct{}{}
	}
	return ids, nil
}

func (c *compiler) nested(n *pb.NestedCondition, at string, depth int) (node, error) {
	if _, err := payload.ParsePath(n.GetKey()); err != nil {
		return nil, err
	}
	elements := strings.TrimSuffix(n.GetKey(), "[]") + "[]" // the brackets may be left out
	path, err := payload.ParsePath(elements)
	if err != nil {
		return nil, err
	}
	if n.GetFilter() == nil {
		return nil, malformed("nested condition: it has no filter")
	}
	inner := compiler{src: c.src, prefix: c.prefix + elements + ".", conditions: c.conditions}
	f, err := inner.filter(n.GetFilter(), at+".nested.filter", depth+1)
	c.conditions = inner.conditions
	return nested{path, f}, err
}

// leaf makes the condition of one predicate on a field.
func (c *compiler) leaf(key string, pred payloadindex.Predicate) (node, error) {
	path, err := payload.ParsePath(key)
	if err != nil {
		return nil, err
	}
	n := field{pred: pred}
	if c.src == nil {
		return n, nil
	}
	var sem payloadindex.Semantics
	if index := c.src.Index(c.prefix + key); index != nil {
		sem = index.Semantics()
		// Inside nested the index speaks of the whole document, not the element.
		if c.prefix == "" {
			n.index = index
		}
	}
	n.holds = payloadindex.Matcher(pred, path, sem)
	return n, nil
}

// field compiles a condition with one or several predicates, of which one has to
// be satisfied.
func (c *compiler) field(f *pb.FieldCondition, at string) (node, error) {
	preds, err := predicates(f, at)
	if err != nil {
		return nil, err
	}
	var nodes []node
	for _, pred := range preds {
		n, err := c.leaf(f.GetKey(), pred)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	for _, flag := range []struct {
		want *bool
		pred payloadindex.Predicate
	}{{f.IsEmpty, payloadindex.IsEmpty{}}, {f.IsNull, payloadindex.IsNull{}}} {
		if flag.want == nil {
			continue
		}
		n, err := c.leaf(f.GetKey(), flag.pred)
		if err != nil {
			return nil, err
		}
		if !*flag.want {
			n = not{n}
		}
		nodes = append(nodes, n)
	}
	switch len(nodes) {
	case 0:
		return nil, invalid(at, "At least one field condition must be specified")
	case 1:
		return nodes[0], nil
	default:
		return or(nodes), nil
	}
}

func predicates(f *pb.FieldCondition, at string) (preds []payloadindex.Predicate, err error) {
	add := func(p payloadindex.Predicate, e error) {
		preds = append(preds, p)
		if err == nil {
			err = e
		}
	}
	if f.GetMatch() != nil {
		add(matchPredicate(f.GetMatch()))
	}
	if r := f.GetRange(); r != nil {
		add(payloadindex.Range{Bounds: payloadindex.Bounds[float64]{Lt: r.Lt, Gt: r.Gt, Gte: r.Gte, Lte: r.Lte}}, nil)
	}
	if r := f.GetDatetimeRange(); r != nil {
		add(payloadindex.DatetimeRange{Bounds: payloadindex.Bounds[int64]{
			Lt: micros(r.GetLt()), Gt: micros(r.GetGt()), Gte: micros(r.GetGte()), Lte: micros(r.GetLte()),
		}}, nil)
	}
	if b := f.GetGeoBoundingBox(); b != nil {
		add(boxPredicate(b, at))
	}
	if r := f.GetGeoRadius(); r != nil {
		center, e := geoPoint(r.GetCenter(), at+".geo_radius.center")
		add(payloadindex.GeoRadius{Center: center, Metres: float64(r.GetRadius())}, e)
	}
	if p := f.GetGeoPolygon(); p != nil {
		add(polygonPredicate(p, at+".geo_polygon"))
	}
	if v := f.GetValuesCount(); v != nil {
		add(payloadindex.ValuesCount{Bounds: payloadindex.Bounds[uint64]{Lt: v.Lt, Gt: v.Gt, Gte: v.Gte, Lte: v.Lte}}, nil)
	}
	return preds, err
}

func matchPredicate(m *pb.Match) (payloadindex.Predicate, error) {
	switch x := m.GetMatchValue().(type) {
	case *pb.Match_Keyword:
		return payloadindex.NewKeywords(x.Keyword), nil
	case *pb.Match_Keywords:
		return payloadindex.NewKeywords(x.Keywords.GetStrings()...), nil
	case *pb.Match_ExceptKeywords:
		return payloadindex.ExceptKeywords{Keywords: payloadindex.NewKeywords(x.ExceptKeywords.GetStrings()...)}, nil
	case *pb.Match_Integer:
		return payloadindex.NewIntegers(x.Integer), nil
	case *pb.Match_Integers:
		return payloadindex.NewIntegers(x.Integers.GetIntegers()...), nil
	case *pb.Match_ExceptIntegers:
		return payloadindex.ExceptIntegers{Integers: payloadindex.NewIntegers(x.ExceptIntegers.GetIntegers()...)}, nil
	case *pb.Match_Boolean:
		return payloadindex.Is{Value: x.Boolean}, nil
	case *pb.Match_Text:
		return payloadindex.Text{Query: x.Text}, nil
	case *pb.Match_TextAny:
		return payloadindex.TextAny{Query: x.TextAny}, nil
	case *pb.Match_Phrase:
		return payloadindex.Phrase{Query: x.Phrase}, nil
	case *pb.Match_Prefix:
		return payloadindex.Prefix{Prefix: x.Prefix}, nil
	default:
		return nil, malformed("match condition")
	}
}

// micros converts a time to microseconds, saturating where they don't fit.
func micros(t *timestamppb.Timestamp) *int64 {
	if t == nil {
		return nil
	}
	const most = math.MaxInt64/1_000_000 - 1
	us := min(max(t.GetSeconds(), -most), most)*1_000_000 + int64(t.GetNanos())/1000
	return &us
}

func geoPoint(p *pb.GeoPoint, at string) (payloadindex.GeoPoint, error) {
	g := payloadindex.GeoPoint{Lon: p.GetLon(), Lat: p.GetLat()}
	switch {
	case p == nil:
		return g, malformed("geo condition: a point is missing")
	case !g.Valid():
		return g, invalid(at, "longitude must be in -180..180 and latitude in -90..90, got lon=%v, lat=%v", g.Lon, g.Lat)
	}
	return g, nil
}

func boxPredicate(b *pb.GeoBoundingBox, at string) (payloadindex.Predicate, error) {
	topLeft, err := geoPoint(b.GetTopLeft(), at+".geo_bounding_box.top_left")
	if err != nil {
		return nil, err
	}
	bottomRight, err := geoPoint(b.GetBottomRight(), at+".geo_bounding_box.bottom_right")
	return payloadindex.GeoBox{TopLeft: topLeft, BottomRight: bottomRight}, err
}

func polygonPredicate(p *pb.GeoPolygon, at string) (payloadindex.Predicate, error) {
	exterior, err := ring(p.GetExterior(), at+".exterior")
	if err != nil {
		return nil, err
	}
	g := payloadindex.GeoPolygon{Exterior: exterior}
	for i, line := range p.GetInteriors() {
		hole, err := ring(line, fmt.Sprintf("%s.interiors[%d]", at, i))
		if err != nil {
			return nil, err
		}
		g.Interiors = append(g.Interiors, hole)
	}
	return g, nil
}

func ring(line *pb.GeoLineString, at string) ([]payloadindex.GeoPoint, error) {
	points := make([]payloadindex.GeoPoint, len(line.GetPoints()))
	for i, p := range line.GetPoints() {
		var err error
		if points[i], err = geoPoint(p, fmt.Sprintf("%s.points[%d]", at, i)); err != nil {
			return nil, err
		}
	}
	if len(points) < 4 {
		return nil, invalid(at, "polygon invalid, the size must be at least 4, got %d", len(points))
	}
	if points[0] != points[len(points)-1] {
		return nil, invalid(at, "polygon invalid, the first and the last points should be the same to form a closed line")
	}
	return points, nil
}
