package filter

import (
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dchest/siphash"
	"github.com/google/uuid"
	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geo"
	"github.com/paulmach/orb/planar"
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/payloadindex"
	"github.com/sextantdb/sextant/engine/point"
)

// naive evaluates filters on JSON values decoded by the standard library. It
// shares nothing with the code under test but the messages, and knows of
// indexes only what they change about the meaning of a condition.
type naive struct {
	kinds map[string]payloadindex.Kind
}

type naiveDoc struct {
	id      point.ID
	value   map[string]any
	vectors map[string]bool
}

func decodeNaive(o payload.Object) map[string]any {
	dec := json.NewDecoder(strings.NewReader(string(payload.AppendJSON(nil, o))))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		panic(err)
	}
	return m
}

var pathPart = regexp.MustCompile(`^([a-z]+)((?:\[\d*\])*)$`)

// naiveGet follows a path of plain keys.
func naiveGet(m any, path string) []any {
	at := []any{m}
	for part := range strings.SplitSeq(path, ".") {
		match := pathPart.FindStringSubmatch(part)
		var next []any
		for _, v := range at {
			if o, ok := v.(map[string]any); ok {
				if c, ok := o[match[1]]; ok {
					next = append(next, c)
				}
			}
		}
		for _, ix := range regexp.MustCompile(`\[(\d*)\]`).FindAllStringSubmatch(match[2], -1) {
			var inner []any
			for _, v := range next {
				list, _ := v.([]any)
				if ix[1] == "" {
					inner = append(inner, list...)
				} else if i, _ := strconv.Atoi(ix[1]); i < len(list) {
					inner = append(inner, list[i])
				}
			}
			next = inner
		}
		at = next
	}
	return at
}

func flat(values []any) (out []any) {
	for _, v := range values {
		if list, ok := v.([]any); ok {
			out = append(out, list...)
		} else {
			out = append(out, v)
		}
	}
	return out
}

func (n naive) filter(f *pb.Filter, d naiveDoc, prefix string) bool {
	is := func(c *pb.Condition) bool { return n.condition(c, d, prefix) }
	for _, c := range f.GetMust() {
		if !is(c) {
			return false
		}
	}
	if len(f.GetShould()) > 0 && !slices.ContainsFunc(f.GetShould(), is) {
		return false
	}
	if slices.ContainsFunc(f.GetMustNot(), is) {
		return false
	}
	if m := f.GetMinShould(); m != nil {
		count := uint64(0)
		for _, c := range m.GetConditions() {
			if is(c) {
				count++
			}
		}
		return count >= m.GetMinCount()
	}
	return true
}

func (n naive) condition(c *pb.Condition, d naiveDoc, prefix string) bool {
	switch x := c.GetConditionOneOf().(type) {
	case *pb.Condition_Field:
		return n.field(x.Field, d, prefix)
	case *pb.Condition_IsEmpty:
		return naiveEmpty(naiveGet(d.value, x.IsEmpty.Key))
	case *pb.Condition_IsNull:
		return slices.Contains(flat(naiveGet(d.value, x.IsNull.Key)), nil)
	case *pb.Condition_HasId:
		return slices.ContainsFunc(x.HasId.HasId, func(p *pb.PointId) bool {
			id, err := point.FromProto(p)
			return err == nil && id == d.id
		})
	case *pb.Condition_HasVector:
		return d.vectors[x.HasVector.HasVector]
	case *pb.Condition_Slice:
		return siphash.Hash(0, 0, d.id.Hashed())%uint64(x.Slice.Total) == uint64(x.Slice.Index)
	case *pb.Condition_Filter:
		return n.filter(x.Filter, d, prefix)
	case *pb.Condition_Nested:
		elements := strings.TrimSuffix(x.Nested.Key, "[]") + "[]"
		for _, e := range naiveGet(d.value, elements) {
			o, ok := e.(map[string]any)
			if ok && n.filter(x.Nested.Filter, naiveDoc{value: o}, prefix+elements+".") {
				return true
			}
		}
		return false
	}
	panic("unknown condition")
}

func naiveEmpty(values []any) bool {
	for _, v := range values {
		if list, ok := v.([]any); v != nil && (!ok || len(list) > 0) {
			return false
		}
	}
	return true
}

func (n naive) field(f *pb.FieldCondition, d naiveDoc, prefix string) bool {
	values := naiveGet(d.value, f.Key)
	kind := n.kinds[prefix+f.Key]
	any1 := func(is func(v any) bool) bool { return slices.ContainsFunc(flat(values), is) }
	if f.IsEmpty != nil && naiveEmpty(values) == *f.IsEmpty {
		return true
	}
	if f.IsNull != nil && slices.Contains(flat(values), nil) == *f.IsNull {
		return true
	}
	if m := f.Match; m != nil && naiveMatch(m, flat(values), kind) {
		return true
	}
	if r := f.Range; r != nil && any1(func(v any) bool {
		num, ok := v.(json.Number)
		x, _ := num.Float64()
		return ok && (r.Lt == nil || x < *r.Lt) && (r.Lte == nil || x <= *r.Lte) && (r.Gt == nil || x > *r.Gt) && (r.Gte == nil || x >= *r.Gte)
	}) {
		return true
	}
	if r := f.DatetimeRange; r != nil && any1(func(v any) bool {
		t, ok := naiveDate(v)
		return ok && (r.Lt == nil || t.Before(r.Lt.AsTime())) && (r.Lte == nil || !t.After(r.Lte.AsTime())) &&
			(r.Gt == nil || t.After(r.Gt.AsTime())) && (r.Gte == nil || !t.Before(r.Gte.AsTime()))
	}) {
		return true
	}
	if r := f.ValuesCount; r != nil {
		counts := []uint64{}
		for _, v := range values {
			list, isList := v.([]any)
			switch {
			case isList:
				counts = append(counts, uint64(len(list)))
			case v == nil:
				counts = append(counts, 0)
			default:
				counts = append(counts, 1)
			}
		}
		if len(values) == 0 {
			counts = []uint64{0}
		}
		for _, x := range counts {
			if (r.Lt == nil || x < *r.Lt) && (r.Lte == nil || x <= *r.Lte) && (r.Gt == nil || x > *r.Gt) && (r.Gte == nil || x >= *r.Gte) {
				return true
			}
		}
	}
	return any1(func(v any) bool { return naiveGeo(f, v) })
}

func naiveGeo(f *pb.FieldCondition, v any) bool {
	o, ok := v.(map[string]any)
	if !ok {
		return false
	}
	lonN, ok1 := o["lon"].(json.Number)
	latN, ok2 := o["lat"].(json.Number)
	lon, _ := lonN.Float64()
	lat, _ := latN.Float64()
	if !ok1 || !ok2 || math.Abs(lon) > 180 || math.Abs(lat) > 90 {
		return false
	}
	if b := f.GeoBoundingBox; b != nil {
		w, e := b.TopLeft.Lon, b.BottomRight.Lon
		inLon := w < lon && lon < e
		if w > e {
			inLon = lon > w || lon < e
		}
		if inLon && b.BottomRight.Lat < lat && lat < b.TopLeft.Lat {
			return true
		}
	}
	if r := f.GeoRadius; r != nil {
		// orb has another radius of the earth.
		metres := geo.DistanceHaversine(orb.Point{r.Center.Lon, r.Center.Lat}, orb.Point{lon, lat}) / orb.EarthRadius * 6371008.8
		if metres < float64(r.Radius) {
			return true
		}
	}
	if p := f.GeoPolygon; p != nil {
		// Test points don't lie on boundaries, where orb decides otherwise.
		poly := orb.Polygon{naiveRing(p.Exterior)}
		for _, hole := range p.Interiors {
			poly = append(poly, naiveRing(hole))
		}
		return planar.PolygonContains(poly, orb.Point{lon, lat})
	}
	return false
}

func naiveRing(l *pb.GeoLineString) (r orb.Ring) {
	for _, p := range l.Points {
		r = append(r, orb.Point{p.Lon, p.Lat})
	}
	return r
}

func naiveDate(v any) (time.Time, bool) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, false
	}
	for _, layout := range []string{
		"2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05",
		"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.Truncate(time.Microsecond), true
		}
	}
	return time.Time{}, false
}

// naiveWords are the tokens of a text in order: the text indexes of these tests cut at white space.
func naiveWords(s string, kind payloadindex.Kind) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		if kind == payloadindex.FullText {
			return unicode.IsSpace(r)
		}
		return !unicode.IsLetter(r) && !unicode.IsNumber(r)
	})
}

func naiveTokens(s string, kind payloadindex.Kind) map[string]bool {
	set := map[string]bool{}
	for _, w := range naiveWords(s, kind) {
		set[w] = true
	}
	return set
}

func naiveMatch(m *pb.Match, values []any, kind payloadindex.Kind) bool {
	any1 := func(is func(v any) bool) bool { return slices.ContainsFunc(values, is) }
	str := func(is func(s string) bool) bool {
		return any1(func(v any) bool {
			s, ok := v.(string)
			return ok && is(s)
		})
	}
	switch x := m.MatchValue.(type) {
	case *pb.Match_Keyword:
		return any1(func(v any) bool { return naiveEqual(v, x.Keyword, kind) })
	case *pb.Match_Keywords:
		return any1(func(v any) bool {
			return slices.ContainsFunc(x.Keywords.Strings, func(s string) bool { return naiveEqual(v, s, kind) })
		})
	case *pb.Match_ExceptKeywords:
		return any1(func(v any) bool {
			return v != nil && !slices.ContainsFunc(x.ExceptKeywords.Strings, func(s string) bool { return naiveEqual(v, s, kind) })
		})
	case *pb.Match_Integer:
		return any1(func(v any) bool { return naiveInt(v, []int64{x.Integer}) })
	case *pb.Match_Integers:
		return any1(func(v any) bool { return naiveInt(v, x.Integers.Integers) })
	case *pb.Match_ExceptIntegers:
		return any1(func(v any) bool { return v != nil && !naiveInt(v, x.ExceptIntegers.Integers) })
	case *pb.Match_Boolean:
		return any1(func(v any) bool { return v == any(x.Boolean) })
	case *pb.Match_Prefix:
		return str(func(s string) bool { return strings.HasPrefix(s, x.Prefix) })
	case *pb.Match_Text:
		want, has := naiveTokens(x.Text, kind), allTokens(values, kind)
		for t := range want {
			if !has[t] {
				return false
			}
		}
		return len(want) > 0
	case *pb.Match_TextAny:
		has := allTokens(values, kind)
		for t := range naiveTokens(x.TextAny, kind) {
			if has[t] {
				return true
			}
		}
		return false
	case *pb.Match_Phrase:
		want := strings.Join(naiveWords(x.Phrase, kind), " ")
		return want != "" && str(func(s string) bool {
			return strings.Contains(" "+strings.Join(naiveWords(s, kind), " ")+" ", " "+want+" ")
		})
	}
	panic("unknown match")
}

func allTokens(values []any, kind payloadindex.Kind) map[string]bool {
	has := map[string]bool{}
	for _, v := range values {
		if s, ok := v.(string); ok {
			maps.Copy(has, naiveTokens(s, kind))
		}
	}
	return has
}

func naiveEqual(v any, want string, kind payloadindex.Kind) bool {
	s, ok := v.(string)
	if !ok {
		return false
	}
	if kind == payloadindex.UUID {
		a, err1 := uuid.Parse(s)
		b, err2 := uuid.Parse(want)
		if err1 == nil && err2 == nil {
			return a == b
		}
	}
	return s == want
}

func naiveInt(v any, want []int64) bool {
	num, ok := v.(json.Number)
	if !ok {
		return false
	}
	n, err := strconv.ParseInt(num.String(), 10, 64)
	return err == nil && slices.Contains(want, n)
}
