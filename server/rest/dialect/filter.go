package dialect

import (
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sextantdb/sextant/internal/jsonx"
)

// filter reads a filter. Unknown members are an error: a misspelt clause must
// not select everything.
func filter(r *jsonx.Reader) *pb.Filter {
	f := &pb.Filter{}
	for key := range r.Fields() {
		if !clause(r, key, f) {
			r.Failf("unknown field `%s`, expected one of `should`, `min_should`, `must`, `must_not`", shorten(key))
		}
	}
	return f
}

// clause reads the member key of a filter into f; false when it has none such.
func clause(r *jsonx.Reader, key string, f *pb.Filter) bool {
	switch key {
	case "must":
		f.Must = oneOrMany(r, condition)
	case "should":
		f.Should = oneOrMany(r, condition)
	case "must_not":
		f.MustNot = oneOrMany(r, condition)
	case "min_should":
		f.MinShould = minShould(r)
	default:
		return false
	}
	return true
}

func minShould(r *jsonx.Reader) *pb.MinShould {
	m := &pb.MinShould{}
	var hasConditions, hasCount bool
	for key := range r.Fields() {
		switch key {
		case "conditions":
			m.Conditions, hasConditions = list(r, condition), true
		case "min_count":
			m.MinCount, hasCount = r.Uint64(), true
		default:
			r.Skip()
		}
	}
	r.Missing(!hasConditions, "conditions")
	r.Missing(!hasCount, "min_count")
	return m
}

// condition reads any of the conditions; they are told apart by their members,
// which may come in any order.
func condition(r *jsonx.Reader) *pb.Condition {
	if r.Kind() != jsonx.Object {
		r.NoVariant("Condition")
		return nil
	}
	var p conditionParts
	for key := range r.Fields() {
		p.member(r, key)
	}
	return p.condition(r)
}

// conditionParts gathers the members of one condition.
type conditionParts struct {
	other    *pb.Condition // a condition that is one member
	field    pb.FieldCondition
	filter   pb.Filter
	hasKey   bool
	hasTest  bool // the field condition tests something
	isFilter bool
}

// member reads the value of one member.
func (p *conditionParts) member(r *jsonx.Reader, key string) {
	if p.single(r, key) || p.fieldMember(r, key) {
		return
	}
	if clause(r, key, &p.filter) {
		p.isFilter = true
		return
	}
	r.Failf("unknown field `%s`: data did not match any variant of untagged enum Condition", shorten(key))
}

// single reads a condition that is one member.
func (p *conditionParts) single(r *jsonx.Reader, key string) bool {
	switch key {
	case "has_id":
		p.other = &pb.Condition{ConditionOneOf: &pb.Condition_HasId{HasId: &pb.HasIdCondition{HasId: list(r, pointID)}}}
	case "has_vector":
		p.other = &pb.Condition{ConditionOneOf: &pb.Condition_HasVector{HasVector: &pb.HasVectorCondition{HasVector: r.Text()}}}
	case "nested":
		p.other = &pb.Condition{ConditionOneOf: &pb.Condition_Nested{Nested: nested(r)}}
	case "slice":
		p.other = &pb.Condition{ConditionOneOf: &pb.Condition_Slice{Slice: slice(r)}}
	case "is_empty":
		if r.Kind() != jsonx.Object {
			return false
		}
		p.other = &pb.Condition{ConditionOneOf: &pb.Condition_IsEmpty{IsEmpty: &pb.IsEmptyCondition{Key: payloadField(r)}}}
	case "is_null":
		if r.Kind() != jsonx.Object {
			return false
		}
		p.other = &pb.Condition{ConditionOneOf: &pb.Condition_IsNull{IsNull: &pb.IsNullCondition{Key: payloadField(r)}}}
	default:
		return false
	}
	return true
}

// fieldMember reads a member of a field condition.
func (p *conditionParts) fieldMember(r *jsonx.Reader, key string) bool {
	f := &p.field
	switch key {
	case "key":
		f.Key, p.hasKey = r.Text(), true
		return true
	case "match":
		f.Match = match(r)
	case "range":
		f.Range, f.DatetimeRange = ranges(r)
	case "geo_bounding_box":
		f.GeoBoundingBox = geoBox(r)
	case "geo_radius":
		f.GeoRadius = geoRadius(r)
	case "geo_polygon":
		f.GeoPolygon = geoPolygon(r)
	case "values_count":
		f.ValuesCount = valuesCount(r)
	case "is_empty":
		f.IsEmpty = new(r.Bool())
	case "is_null":
		f.IsNull = new(r.Bool())
	default:
		return false
	}
	p.hasTest = true
	return true
}

// condition returns what the members make.
func (p *conditionParts) condition(r *jsonx.Reader) *pb.Condition {
	switch {
	case r.Err() != nil:
		return nil
	case p.other != nil:
		return p.other
	case p.hasKey:
		return &pb.Condition{ConditionOneOf: &pb.Condition_Field{Field: &p.field}}
	case p.hasTest:
		r.NoVariant("Condition")
		return nil
	default:
		return &pb.Condition{ConditionOneOf: &pb.Condition_Filter{Filter: &p.filter}}
	}
}

func payloadField(r *jsonx.Reader) string {
	var field string
	has := false
	for key := range r.Fields() {
		if key == "key" {
			field, has = r.Text(), true
		} else {
			r.Skip()
		}
	}
	r.Missing(!has, "key")
	return field
}

func nested(r *jsonx.Reader) *pb.NestedCondition {
	n := &pb.NestedCondition{}
	has := false
	for key := range r.Fields() {
		switch key {
		case "key":
			n.Key, has = r.Text(), true
		case "filter":
			n.Filter = filter(r)
		default:
			r.Skip()
		}
	}
	r.Missing(!has, "key")
	r.Missing(n.Filter == nil, "filter")
	return n
}

func slice(r *jsonx.Reader) *pb.SliceCondition {
	s := &pb.SliceCondition{}
	var hasTotal, hasIndex bool
	for key := range r.Fields() {
		switch key {
		case "total":
			if s.Total, hasTotal = r.Uint32(), true; s.Total == 0 {
				r.Failf("invalid value: integer `0`, expected a number of slices above 0")
			}
		case "index":
			s.Index, hasIndex = r.Uint32(), true
		default:
			r.Skip()
		}
	}
	r.Missing(!hasTotal, "total")
	r.Missing(!hasIndex, "index")
	return s
}

// match reads {value} | {text} | {text_any} | {phrase} | {prefix} | {any} |
// {except}. Two of them at once are refused: whichever were left out, the filter
// would select other points than meant.
func match(r *jsonx.Reader) *pb.Match {
	if r.Kind() != jsonx.Object {
		r.NoVariant("MatchInterface")
		return nil
	}
	m := &pb.Match{}
	kinds := 0
	for key := range r.Fields() {
		kinds++
		switch key {
		case "value":
			matchValue(r, m)
		case "text":
			m.MatchValue = &pb.Match_Text{Text: r.Text()}
		case "text_any":
			m.MatchValue = &pb.Match_TextAny{TextAny: r.Text()}
		case "phrase":
			m.MatchValue = &pb.Match_Phrase{Phrase: r.Text()}
		case "prefix":
			m.MatchValue = &pb.Match_Prefix{Prefix: r.Text()}
		case "any":
			matchAny(r, m)
		case "except":
			matchExcept(r, m)
		default:
			kinds--
			r.Skip()
		}
	}
	if kinds > 1 {
		r.Failf("a match has one kind of value, got %d", kinds)
	}
	if m.MatchValue == nil {
		r.NoVariant("MatchInterface")
	}
	return m
}

func matchValue(r *jsonx.Reader, m *pb.Match) {
	switch k := r.Kind(); {
	case k == jsonx.String:
		m.MatchValue = &pb.Match_Keyword{Keyword: r.Text()}
	case k == jsonx.Number:
		m.MatchValue = &pb.Match_Integer{Integer: r.Int64()}
	case k.IsBool():
		m.MatchValue = &pb.Match_Boolean{Boolean: r.Bool()}
	default:
		r.NoVariant("ValueVariants")
	}
}

// anyVariants reads an array of strings or one of integers.
func anyVariants(r *jsonx.Reader) (strings []string, integers []int64) {
	for range r.Elements() {
		switch {
		case r.Kind() == jsonx.String && integers == nil:
			strings = append(strings, r.Text())
		case r.Kind() == jsonx.Number && strings == nil:
			integers = append(integers, r.Int64())
		default:
			r.NoVariant("AnyVariants")
		}
	}
	return strings, integers
}

func matchAny(r *jsonx.Reader, m *pb.Match) {
	if s, n := anyVariants(r); n != nil {
		m.MatchValue = &pb.Match_Integers{Integers: &pb.RepeatedIntegers{Integers: n}}
	} else {
		m.MatchValue = &pb.Match_Keywords{Keywords: &pb.RepeatedStrings{Strings: s}}
	}
}

func matchExcept(r *jsonx.Reader, m *pb.Match) {
	if s, n := anyVariants(r); n != nil {
		m.MatchValue = &pb.Match_ExceptIntegers{ExceptIntegers: &pb.RepeatedIntegers{Integers: n}}
	} else {
		m.MatchValue = &pb.Match_ExceptKeywords{ExceptKeywords: &pb.RepeatedStrings{Strings: s}}
	}
}

// ranges reads a range of numbers or one of datetimes: its bounds show which.
func ranges(r *jsonx.Reader) (*pb.Range, *pb.DatetimeRange) {
	numbers, dates := &pb.Range{}, &pb.DatetimeRange{}
	var isNumber, isDate bool
	for key := range r.Fields() {
		var n **float64
		var d **timestamppb.Timestamp
		switch key {
		case "lt":
			n, d = &numbers.Lt, &dates.Lt
		case "gt":
			n, d = &numbers.Gt, &dates.Gt
		case "gte":
			n, d = &numbers.Gte, &dates.Gte
		case "lte":
			n, d = &numbers.Lte, &dates.Lte
		default:
			r.Skip()
			continue
		}
		if r.Kind() == jsonx.String {
			*d, isDate = datetime(r, "RangeInterface"), true
		} else {
			*n, isNumber = new(r.Float64()), true
		}
	}
	switch {
	case isNumber && isDate:
		r.NoVariant("RangeInterface")
		return nil, nil
	case isDate:
		return nil, dates
	default:
		return numbers, nil
	}
}

// datetimeLayouts are the accepted spellings; without a zone UTC is meant.
var datetimeLayouts = [...]string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02 15:04Z07:00", "2006-01-02 15:04", time.DateOnly,
}

// datetime reads a datetime, to the microsecond.
func datetime(r *jsonx.Reader, union string) *timestamppb.Timestamp {
	s := r.Text()
	for _, layout := range datetimeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return timestamppb.New(t.Truncate(time.Microsecond))
		}
	}
	r.NoVariant(union)
	return nil
}

func valuesCount(r *jsonx.Reader) *pb.ValuesCount {
	c := &pb.ValuesCount{}
	for key := range r.Fields() {
		switch key {
		case "lt":
			c.Lt = new(r.Uint64())
		case "gt":
			c.Gt = new(r.Uint64())
		case "gte":
			c.Gte = new(r.Uint64())
		case "lte":
			c.Lte = new(r.Uint64())
		default:
			r.Skip()
		}
	}
	return c
}

func geoPoint(r *jsonx.Reader) *pb.GeoPoint {
	p := &pb.GeoPoint{}
	var lon, lat bool
	for key := range r.Fields() {
		switch key {
		case "lon":
			p.Lon, lon = r.Float64(), true
		case "lat":
			p.Lat, lat = r.Float64(), true
		default:
			r.Skip()
		}
	}
	r.Missing(!lon, "lon")
	r.Missing(!lat, "lat")
	return p
}

func geoBox(r *jsonx.Reader) *pb.GeoBoundingBox {
	b := &pb.GeoBoundingBox{}
	for key := range r.Fields() {
		switch key {
		case "top_left":
			b.TopLeft = geoPoint(r)
		case "bottom_right":
			b.BottomRight = geoPoint(r)
		default:
			r.Skip()
		}
	}
	r.Missing(b.TopLeft == nil, "top_left")
	r.Missing(b.BottomRight == nil, "bottom_right")
	return b
}

func geoRadius(r *jsonx.Reader) *pb.GeoRadius {
	g := &pb.GeoRadius{}
	has := false
	for key := range r.Fields() {
		switch key {
		case "center":
			g.Center = geoPoint(r)
		case "radius":
			g.Radius, has = r.Float32(), true
		default:
			r.Skip()
		}
	}
	r.Missing(g.Center == nil, "center")
	r.Missing(!has, "radius")
	return g
}

func geoPolygon(r *jsonx.Reader) *pb.GeoPolygon {
	g := &pb.GeoPolygon{}
	for key := range r.Fields() {
		switch key {
		case "exterior":
			g.Exterior = geoLine(r)
		case "interiors":
			g.Interiors = list(r, geoLine)
		default:
			r.Skip()
		}
	}
	r.Missing(g.Exterior == nil, "exterior")
	return g
}

func geoLine(r *jsonx.Reader) *pb.GeoLineString {
	var l *pb.GeoLineString
	for key := range r.Fields() {
		if key == "points" {
			l = &pb.GeoLineString{Points: list(r, geoPoint)}
		} else {
			r.Skip()
		}
	}
	r.Missing(l == nil, "points")
	return l
}
