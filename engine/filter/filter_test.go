package filter

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/payloadindex"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/text"
	"github.com/sextantdb/sextant/internal/fsx"
)

// shard is a Source over maps, with real indexes.
type shard struct {
	t       require.TestingT
	docs    map[uint32]payload.Object
	indexes map[string]*payloadindex.Index
	dir     segment.Dir

	// The last checkpoint: the documents then, and the files.
	saved map[uint32]payload.Object
	files map[string][]segment.FileInfo
}

func (s *shard) Index(field string) *payloadindex.Index { return s.indexes[field] }
func (s *shard) Payload(doc uint32) payload.Object      { return s.docs[doc] }
func (s *shard) Count() int                             { return len(s.docs) }
func (s *shard) Live() *roaring.Bitmap {
	return roaring.BitmapOf(slices.Collect(maps.Keys(s.docs))...)
}

// Documents with an odd number have a UUID.
func (s *shard) ID(doc uint32) point.ID {
	if doc%2 == 1 {
		return point.UUID(uuid.NewSHA1(uuid.NameSpaceOID, []byte(strconv.Itoa(int(doc)))))
	}
	return point.Num(uint64(doc))
}

func (s *shard) Lookup(id point.ID) (uint32, bool) {
	for doc := range s.docs {
		if s.ID(doc) == id {
			return doc, true
		}
	}
	return 0, false
}

func (s *shard) HasVector(name string, doc uint32) (has, known bool) {
	return name == "v" && doc%3 == 0, name == "v"
}

func (s *shard) set(doc uint32, o payload.Object) {
	for _, ix := range s.indexes {
		ix.Update(doc, s.docs[doc], o)
	}
	s.docs[doc] = o
}

func (s *shard) remove(doc uint32) {
	for _, ix := range s.indexes {
		ix.Remove(doc, s.docs[doc])
	}
	delete(s.docs, doc)
}

func (s *shard) config(field string, kind payloadindex.Kind) payloadindex.Config {
	path, err := payload.ParsePath(field)
	require.NoError(s.t, err)
	c := payloadindex.Config{Path: path, Kind: kind, GrowingDocs: 6}
	if kind == payloadindex.FullText {
		c.Tokenizer, err = text.New(text.Options{Tokenizer: text.Whitespace})
		require.NoError(s.t, err)
	}
	return c
}

func (s *shard) open(field string, kind payloadindex.Kind) {
	ix, err := payloadindex.Open(payloadindex.Options{Config: s.config(field, kind), Dir: &s.dir, Files: s.files[field]})
	require.NoError(s.t, err)
	s.indexes[field] = ix
}

// checkpoint freezes everything, does what happens meanwhile, and commits or
// fails.
func (s *shard) checkpoint(meanwhile func(), commit bool) {
	frozen := map[string]segment.Checkpoint{}
	for field, ix := range s.indexes {
		frozen[field] = ix.Freeze()
	}
	saved := maps.Clone(s.docs)
	meanwhile()
	files := map[string][]segment.FileInfo{}
	for field, c := range frozen {
		var err error
		files[field], err = c.Write(context.Background(), &s.dir)
		require.NoError(s.t, err)
	}
	meanwhile()
	for _, c := range frozen {
		if commit {
			require.NoError(s.t, c.Commit())
		} else {
			c.Abort()
		}
	}
	if commit {
		s.saved, s.files = saved, files
	}
}

// reopen opens the files of the last checkpoint and replays what came after.
func (s *shard) reopen() {
	for field, ix := range s.indexes {
		kind := ix.Config().Kind
		require.NoError(s.t, ix.Close())
		s.open(field, kind)
		for doc, before := range s.saved {
			s.indexes[field].Update(doc, before, s.docs[doc])
		}
		for doc, o := range s.docs {
			if _, ok := s.saved[doc]; !ok {
				s.indexes[field].Update(doc, nil, o)
			}
		}
	}
}

var (
	someStrings = []string{
		"", "x", "xy", "y", "Hello World", "hello there world", "world", "2024-01-02", "2024-01-02T00:00:00Z", "2024-01-02 03:04",
		"2024-01-02T03:04:05.123456789+02:00", "2023-02-29", "550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000",
	}
	someValues = []string{
		"null", "true", "false", "0", "1", "2", "-1", "1.0", "1.5", "-0.0", "9007199254740993", "18446744073709551615", "-9223372036854775808",
		`{"lon":13.4,"lat":52.5}`, `{"lon":179.9,"lat":-10}`, `{"lon":-179.9,"lat":-10.5}`, `{"lon":200,"lat":1}`, `{"lon":0.5,"lat":89.9}`,
		`{"x":1}`, `{"x":"xy"}`, `{"x":null}`, `{}`, `{"lon":1}`,
	}
	someFields = []string{"a", "b", "o.x", "l[].x", "a[0]"}
)

func genValue(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		switch k := rapid.IntRange(0, 9).Draw(t, "kind"); {
		case k < 4:
			return strconv.Quote(rapid.SampledFrom(someStrings).Draw(t, "string"))
		case k < 8 || depth == 0:
			return rapid.SampledFrom(someValues).Draw(t, "value")
		default:
			return "[" + strings.Join(rapid.SliceOfN(genValue(depth-1), 0, 3).Draw(t, "list"), ",") + "]"
		}
	})
}

func genPayload(t *rapid.T) payload.Object {
	doc := "{"
	add := func(key, value string) {
		if len(doc) > 1 {
			doc += ","
		}
		doc += strconv.Quote(key) + ":" + value
	}
	for _, key := range []string{"a", "b"} {
		if rapid.Bool().Draw(t, key) {
			add(key, genValue(2).Draw(t, "value"))
		}
	}
	if rapid.Bool().Draw(t, "o") {
		add("o", `{"x":`+genValue(1).Draw(t, "x")+`}`)
	}
	if rapid.Bool().Draw(t, "l") {
		var list []string
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			list = append(list, rapid.SampledFrom([]string{`{"x":` + genValue(1).Draw(t, "x") + `,"y":1}`, `{"y":2}`, "7"}).Draw(t, "element"))
		}
		add("l", "["+strings.Join(list, ",")+"]")
	}
	o, err := payload.FromJSON([]byte(doc + "}"))
	require.NoError(t, err)
	return o
}

func genFloatRange(t *rapid.T) *pb.Range {
	bound := func(name string) *float64 {
		if !rapid.Bool().Draw(t, name) {
			return nil
		}
		return new(rapid.SampledFrom([]float64{-1e19, -1, -0.5, 0, 1, 1.5, 2, 9007199254740992, 1e19}).Draw(t, name))
	}
	return &pb.Range{Lt: bound("lt"), Gt: bound("gt"), Gte: bound("gte"), Lte: bound("lte")}
}

func genDateRange(t *rapid.T) *pb.DatetimeRange {
	bound := func(name string) *timestamppb.Timestamp {
		if !rapid.Bool().Draw(t, name) {
			return nil
		}
		when, _ := naiveDate(rapid.SampledFrom([]string{"2024-01-02", "2024-01-02T03:04", "2024-01-02T01:04:05.123456Z", "2025-01-01"}).Draw(t, name))
		return timestamppb.New(when)
	}
	return &pb.DatetimeRange{Lt: bound("lt"), Gt: bound("gt"), Gte: bound("gte"), Lte: bound("lte")}
}

func genMatch(t *rapid.T) *pb.Match {
	str := func() string { return rapid.SampledFrom(someStrings).Draw(t, "string") }
	strs := func() *pb.RepeatedStrings {
		return &pb.RepeatedStrings{Strings: rapid.SliceOfN(rapid.SampledFrom(someStrings), 0, 3).Draw(t, "strings")}
	}
	ints := func() *pb.RepeatedIntegers {
		return &pb.RepeatedIntegers{Integers: rapid.SliceOfN(rapid.SampledFrom([]int64{-1, 0, 1, 2, 9007199254740993}), 0, 3).Draw(t, "ints")}
	}
	query := rapid.SampledFrom([]string{"", " ", "x", "world", "World hello", "hello there", "lo W", "2024", "there hello"}).Draw(t, "query")
	switch rapid.IntRange(0, 10).Draw(t, "match") {
	case 0:
		return &pb.Match{MatchValue: &pb.Match_Keyword{Keyword: str()}}
	case 1:
		return &pb.Match{MatchValue: &pb.Match_Keywords{Keywords: strs()}}
	case 2:
		return &pb.Match{MatchValue: &pb.Match_ExceptKeywords{ExceptKeywords: strs()}}
	case 3:
		return &pb.Match{MatchValue: &pb.Match_Integer{Integer: rapid.Int64Range(-1, 2).Draw(t, "int")}}
	case 4:
		return &pb.Match{MatchValue: &pb.Match_Integers{Integers: ints()}}
	case 5:
		return &pb.Match{MatchValue: &pb.Match_ExceptIntegers{ExceptIntegers: ints()}}
	case 6:
		return &pb.Match{MatchValue: &pb.Match_Boolean{Boolean: rapid.Bool().Draw(t, "bool")}}
	case 7:
		return &pb.Match{MatchValue: &pb.Match_Text{Text: query}}
	case 8:
		return &pb.Match{MatchValue: &pb.Match_TextAny{TextAny: query}}
	case 9:
		return &pb.Match{MatchValue: &pb.Match_Phrase{Phrase: query}}
	default:
		return &pb.Match{MatchValue: &pb.Match_Prefix{Prefix: rapid.SampledFrom([]string{"", "x", "Hello", "550", "2024-", "\xf4\x8f\xbf\xbf"}).Draw(t, "prefix")}}
	}
}

func genGeo(t *rapid.T, f *pb.FieldCondition) {
	gp := func(lon, lat float64) *pb.GeoPoint { return &pb.GeoPoint{Lon: lon, Lat: lat} }
	switch rapid.IntRange(0, 2).Draw(t, "geo") {
	case 0:
		f.GeoBoundingBox = rapid.SampledFrom([]*pb.GeoBoundingBox{
			{TopLeft: gp(13, 53), BottomRight: gp(14, 52)},
			{TopLeft: gp(13.4, 53), BottomRight: gp(14, 52)}, // on the edge
			{TopLeft: gp(179, 0), BottomRight: gp(-179, -20)},
			{TopLeft: gp(-180, 90), BottomRight: gp(180, -90)},
			{TopLeft: gp(-180, 0), BottomRight: gp(-179, -20)},
		}).Draw(t, "box")
	case 1:
		f.GeoRadius = &pb.GeoRadius{
			Center: rapid.SampledFrom([]*pb.GeoPoint{gp(13, 52), gp(180, -10), gp(-180, -10), gp(0, 90), gp(-90, 89)}).Draw(t, "center"),
			Radius: rapid.SampledFrom([]float32{0, 1000, 20_000, 100_000, 1e6, 3e7, -1}).Draw(t, "radius"),
		}
	default:
		line := func(p ...*pb.GeoPoint) *pb.GeoLineString { return &pb.GeoLineString{Points: p} }
		f.GeoPolygon = rapid.SampledFrom([]*pb.GeoPolygon{
			{Exterior: line(gp(10, 50), gp(20, 50), gp(15, 60), gp(10, 50))},
			{Exterior: line(gp(-180, -90), gp(180, -90), gp(180, 90), gp(-180, 90), gp(-180, -90)), Interiors: []*pb.GeoLineString{line(gp(13, 52), gp(14, 52), gp(14, 53), gp(13, 53), gp(13, 52))}},
		}).Draw(t, "polygon")
	}
}

func genField(t *rapid.T, key string) *pb.FieldCondition {
	f := &pb.FieldCondition{Key: key}
	for range rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "predicates") {
		switch k := rapid.IntRange(0, 11).Draw(t, "predicate"); {
		case k < 5:
			f.Match = genMatch(t)
		case k < 7:
			f.Range = genFloatRange(t)
		case k < 8:
			f.DatetimeRange = genDateRange(t)
		case k < 9:
			genGeo(t, f)
		case k < 10:
			n := rapid.Uint64Range(0, 3).Draw(t, "count")
			f.ValuesCount = rapid.SampledFrom([]*pb.ValuesCount{{Lt: &n}, {Gt: &n}, {Gte: &n}, {Lte: &n}, {Gte: &n, Lte: &n}, {}}).Draw(t, "bounds")
		case k < 11:
			f.IsEmpty = new(rapid.Bool().Draw(t, "empty"))
		default:
			f.IsNull = new(rapid.Bool().Draw(t, "null"))
		}
	}
	return f
}

func genCondition(t *rapid.T, depth int, inNested bool) *pb.Condition {
	fields := someFields
	if inNested {
		fields = []string{"x", "y", "z"}
	}
	key := rapid.SampledFrom(fields).Draw(t, "field")
	k := rapid.IntRange(0, 15).Draw(t, "condition")
	switch {
	case k == 0:
		return &pb.Condition{ConditionOneOf: &pb.Condition_IsEmpty{IsEmpty: &pb.IsEmptyCondition{Key: key}}}
	case k == 1:
		return &pb.Condition{ConditionOneOf: &pb.Condition_IsNull{IsNull: &pb.IsNullCondition{Key: key}}}
	case k == 2 && depth > 0:
		return &pb.Condition{ConditionOneOf: &pb.Condition_Filter{Filter: genFilter(t, depth-1, inNested)}}
	case k == 3 && depth > 0 && !inNested:
		return &pb.Condition{ConditionOneOf: &pb.Condition_Nested{Nested: &pb.NestedCondition{
			Key: rapid.SampledFrom([]string{"l", "l[]", "o", "a"}).Draw(t, "nested"), Filter: genFilter(t, depth-1, true),
		}}}
	case k == 4 && !inNested:
		ids := &pb.HasIdCondition{}
		for _, doc := range rapid.SliceOfN(rapid.Uint32Range(0, 12), 0, 4).Draw(t, "ids") {
			ids.HasId = append(ids.HasId, (&shard{}).ID(doc).Proto())
		}
		return &pb.Condition{ConditionOneOf: &pb.Condition_HasId{HasId: ids}}
	case k == 5 && !inNested:
		return &pb.Condition{ConditionOneOf: &pb.Condition_HasVector{HasVector: &pb.HasVectorCondition{HasVector: rapid.SampledFrom([]string{"v", "w"}).Draw(t, "vector")}}}
	case k == 6 && !inNested:
		total := rapid.Uint32Range(1, 3).Draw(t, "total")
		return &pb.Condition{ConditionOneOf: &pb.Condition_Slice{Slice: &pb.SliceCondition{Total: total, Index: rapid.Uint32Range(0, total-1).Draw(t, "index")}}}
	default:
		return &pb.Condition{ConditionOneOf: &pb.Condition_Field{Field: genField(t, key)}}
	}
}

func genFilter(t *rapid.T, depth int, inNested bool) *pb.Filter {
	list := func(name string) (out []*pb.Condition) {
		for range rapid.SampledFrom([]int{0, 0, 1, 1, 2, 3}).Draw(t, name) {
			out = append(out, genCondition(t, depth, inNested))
		}
		return out
	}
	f := &pb.Filter{Must: list("must"), Should: list("should"), MustNot: list("must_not")}
	if rapid.IntRange(0, 3).Draw(t, "min_should") == 0 {
		f.MinShould = &pb.MinShould{Conditions: list("conditions"), MinCount: rapid.Uint64Range(1, 3).Draw(t, "min_count")}
	}
	return f
}

func newShard(t *rapid.T) (*shard, naive) {
	s := &shard{
		t: t, docs: map[uint32]payload.Object{}, indexes: map[string]*payloadindex.Index{},
		dir: segment.Dir{FS: fsx.NewMem(), Path: "/shard"},
	}
	require.NoError(t, s.dir.FS.MkdirAll(s.dir.Path))
	kinds := map[string]payloadindex.Kind{}
	for _, field := range someFields {
		if kind := payloadindex.Kind(rapid.IntRange(0, int(payloadindex.FullText)).Draw(t, "index "+field)); kind != 0 {
			kinds[field] = kind
			s.open(field, kind)
		}
	}
	return s, naive{kinds}
}

// check compares all ways of evaluation with the naive one.
func (s *shard) check(t require.TestingT, n naive, f *pb.Filter) {
	p, err := Compile(f, s)
	require.NoError(t, err)
	want := roaring.New()
	for doc, o := range s.docs {
		has, _ := s.HasVector("v", doc)
		d := naiveDoc{id: s.ID(doc), value: decodeNaive(o), vectors: map[string]bool{"v": has}}
		passes := n.filter(f, d, "")
		require.Equal(t, passes, p.Match(doc), "document %d: %s, filter %v", doc, payload.AppendJSON(nil, o), f)
		if passes {
			want.Add(doc)
		}
	}
	got, err := p.Bitmap(context.Background())
	require.NoError(t, err)
	require.Equal(t, want.ToArray(), got.ToArray(), "filter %v", f)
	least, expected, most := p.Estimate()
	count := int(want.GetCardinality())
	require.True(t, least <= count && count <= most && least <= expected && expected <= most,
		"%d is not within the estimate %d ≤ %d ≤ %d, filter %v", count, least, expected, most, f)
}

func TestSameAnswerHoweverEvaluated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, n := newShard(t)
		change := func() {
			for range rapid.IntRange(0, 12).Draw(t, "changes") {
				doc := rapid.Uint32Range(0, 30).Draw(t, "doc")
				if _, live := s.docs[doc]; live && rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
					s.remove(doc)
				} else {
					s.set(doc, genPayload(t))
				}
			}
		}
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				s.checkpoint(change, rapid.IntRange(0, 3).Draw(t, "commit") > 0)
			case 1:
				s.reopen()
			default:
				change()
			}
			for range 4 {
				s.check(t, n, genFilter(t, 2, false))
			}
			// Conditions by themselves, which no other can hide.
			for _, field := range slices.Sorted(maps.Keys(n.kinds)) {
				for range 10 {
					s.check(t, n, &pb.Filter{Must: []*pb.Condition{{ConditionOneOf: &pb.Condition_Field{Field: genField(t, field)}}}})
				}
			}
			for field, ix := range s.indexes {
				want := 0
				for doc := range s.docs {
					if len(ix.Values(doc)) > 0 {
						want++
					}
				}
				require.Equal(t, want, ix.Len(), field)
			}
		}
	})
}

func TestMalformedFilters(t *testing.T) {
	field := func(f *pb.FieldCondition) *pb.Condition {
		return &pb.Condition{ConditionOneOf: &pb.Condition_Field{Field: f}}
	}
	slice := func(total, index uint32) *pb.Condition {
		return &pb.Condition{ConditionOneOf: &pb.Condition_Slice{Slice: &pb.SliceCondition{Total: total, Index: index}}}
	}
	ids := &pb.Condition{ConditionOneOf: &pb.Condition_HasId{HasId: &pb.HasIdCondition{HasId: []*pb.PointId{{}}}}}
	deep := &pb.Filter{}
	for range maxDepth + 1 {
		deep = &pb.Filter{Must: []*pb.Condition{{ConditionOneOf: &pb.Condition_Filter{Filter: deep}}}}
	}
	must := func(c *pb.Condition) *pb.Filter { return &pb.Filter{Must: []*pb.Condition{c}} }
	ring := func(n int) *pb.GeoLineString {
		l := &pb.GeoLineString{}
		for i := range n {
			l.Points = append(l.Points, &pb.GeoPoint{Lon: float64(i)})
		}
		return l
	}
	for _, c := range []struct {
		f    *pb.Filter
		want string
	}{
		{must(field(&pb.FieldCondition{Key: "a"})), "Validation error in JSON body: [filter.must[0]: At least one field condition must be specified]"},
		{must(field(&pb.FieldCondition{Key: "a..b", IsNull: new(bool)})), "Wrong input: Invalid JSON path: 'a..b'"},
		{must(field(&pb.FieldCondition{Key: "a", Match: &pb.Match{}})), "Wrong input: Malformed match condition"},
		{must(&pb.Condition{}), "Wrong input: Malformed condition type"},
		{must(ids), "Wrong input: Empty point id"},
		{must(slice(0, 0)), "Validation error in JSON body: [filter.must[0].slice.total: value 0 invalid, must be 1 or larger]"},
		{must(slice(2, 2)), "Validation error in JSON body: [filter.must[0].slice.index: value 2 invalid, must be less than total 2]"},
		{&pb.Filter{MinShould: &pb.MinShould{}}, "Validation error in JSON body: [filter.min_should.min_count: value 0 invalid, must be 1 or larger]"},
		{must(&pb.Condition{ConditionOneOf: &pb.Condition_Nested{Nested: &pb.NestedCondition{Key: "a", Filter: must(ids)}}}), "can't be used in a nested filter"},
		{must(&pb.Condition{ConditionOneOf: &pb.Condition_Nested{Nested: &pb.NestedCondition{Key: "a"}}}), "Malformed nested condition"},
		{deep, "filters can be nested 64 deep at most"},
		{must(field(&pb.FieldCondition{Key: "a", GeoRadius: &pb.GeoRadius{}})), "Malformed geo condition"},
		{must(field(&pb.FieldCondition{Key: "a", GeoRadius: &pb.GeoRadius{Center: &pb.GeoPoint{Lon: 181}}})), "longitude must be in -180..180"},
		{must(field(&pb.FieldCondition{Key: "a", GeoPolygon: &pb.GeoPolygon{Exterior: ring(3)}})), "the size must be at least 4, got 3"},
		{must(field(&pb.FieldCondition{Key: "a", GeoPolygon: &pb.GeoPolygon{Exterior: ring(4)}})), "the first and the last points should be the same"},
		{&pb.Filter{Should: make([]*pb.Condition, maxConditions+1)}, "a filter can have 65536 conditions at most"},
	} {
		require.ErrorContains(t, Validate(c.f), c.want)
	}
	require.NoError(t, Validate(nil))
	require.NoError(t, Validate(&pb.Filter{Should: []*pb.Condition{}}))
}

func TestEmptyFilterPassesAll(t *testing.T) {
	s := &shard{docs: map[uint32]payload.Object{1: nil, 5: nil}}
	for _, f := range []*pb.Filter{nil, {}} {
		p, err := Compile(f, s)
		require.NoError(t, err)
		require.True(t, p.All())
		require.True(t, p.Match(5))
		got, err := p.Bitmap(t.Context())
		require.NoError(t, err)
		require.Equal(t, []uint32{1, 5}, got.ToArray())
	}
}

func TestBitmapEndsWithItsContext(t *testing.T) {
	s := &shard{docs: map[uint32]payload.Object{}}
	for doc := range uint32(1000) {
		s.docs[doc] = nil
	}
	p, err := Compile(&pb.Filter{Must: []*pb.Condition{{ConditionOneOf: &pb.Condition_IsEmpty{IsEmpty: &pb.IsEmptyCondition{Key: "a"}}}}}, s)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Bitmap(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func FuzzFilter(f *testing.F) {
	s := &shard{t: f, docs: map[uint32]payload.Object{}, indexes: map[string]*payloadindex.Index{}}
	for i, kind := range []payloadindex.Kind{
		payloadindex.Keyword, payloadindex.Integer, payloadindex.Float, payloadindex.Bool, payloadindex.Datetime,
		payloadindex.UUID, payloadindex.Geo, payloadindex.FullText,
	} {
		s.open(string(rune('a'+i)), kind)
	}
	for doc := range uint32(20) {
		text := []byte("{")
		for i := range 8 {
			text = fmt.Appendf(text, "%q:[%s,%q],", string(rune('a'+i)), someValues[(int(doc)+i)%len(someValues)], someStrings[(int(doc)*3+i)%len(someStrings)])
		}
		o, err := payload.FromJSON(append(text, `"z":null}`...))
		require.NoError(f, err)
		s.set(doc, o)
	}
	for seed := range 30 {
		b, err := proto.Marshal(rapid.Custom(func(t *rapid.T) *pb.Filter { return genFilter(t, 2, false) }).Example(seed))
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m pb.Filter
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		p, err := Compile(&m, s)
		require.Equal(t, err == nil, Validate(&m) == nil)
		if err != nil {
			return
		}
		got, err := p.Bitmap(t.Context())
		require.NoError(t, err)
		for doc := range s.docs {
			require.Equal(t, p.Match(doc), got.Contains(doc))
		}
		least, expected, most := p.Estimate()
		count := int(got.GetCardinality())
		require.True(t, least <= count && count <= most && least <= expected && expected <= most)
	})
}
