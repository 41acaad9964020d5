package payload

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// The oracle's form of a value: nil, bool, int64, uint64 (above 2^63−1 only),
// float64, string, []any, ordered.
type ordered struct {
	keys []string
	m    map[string]any
}

func (o ordered) set(k string, v any) ordered {
	if _, ok := o.m[k]; !ok {
		o.keys = append(slices.Clone(o.keys), k)
	}
	o.m = maps.Clone(o.m)
	o.m[k] = v
	return o
}

func (o ordered) without(k string) ordered {
	o.keys = slices.DeleteFunc(slices.Clone(o.keys), func(x string) bool { return x == k })
	o.m = maps.Clone(o.m)
	delete(o.m, k)
	return o
}

func newOrdered() ordered { return ordered{m: map[string]any{}} }

func genAny(depth int) *rapid.Generator[any] {
	scalars := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.Int64().AsAny(),
		rapid.Int64Range(-3, 3).AsAny(),
		rapid.Uint64Range(1<<63, math.MaxUint64).AsAny(),
		rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }).AsAny(),
		rapid.SampledFrom([]float64{0, 1, -1, 1e15, 1e16, 1e-5, 1e-6, 0.1, math.MaxFloat64, 5e-324}).AsAny(),
		rapid.Map(rapid.String(), func(s string) any { return strings.ToValidUTF8(s, "?") }),
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	return rapid.OneOf(append(scalars,
		rapid.SliceOfN(genAny(depth-1), 0, 4).AsAny(),
		genOrdered(depth-1).AsAny())...)
}

func genOrdered(depth int) *rapid.Generator[ordered] {
	return rapid.Custom(func(t *rapid.T) ordered {
		o := newOrdered()
		for range rapid.IntRange(0, 5).Draw(t, "keys") {
			key := rapid.SampledFrom([]string{"a", "b", "c", "x.y", "", "ü", "q\"uote\n"}).Draw(t, "key")
			o = o.set(key, genAny(depth).Draw(t, "value"))
		}
		return o
	})
}

// text writes the oracle's form as JSON, independent of the code under test.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return s
	case string:
		return quote(v)
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, text(e))
		}
		return "[" + strings.Join(parts, " , ") + "]"
	case ordered:
		var parts []string
		for _, k := range v.keys {
			parts = append(parts, quote(k)+" : "+text(v.m[k]))
		}
		return "{ " + strings.Join(parts, ",") + "}"
	default:
		panic("unknown type")
	}
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString("\\" + string(r))
		case r < 0x20 || r > 0xffff:
			for _, u := range utf16(r) {
				h := strconv.FormatUint(uint64(u), 16)
				b.WriteString(`\u` + strings.Repeat("0", 4-len(h)) + h)
			}
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func utf16(r rune) []uint16 {
	if r < 0x10000 {
		return []uint16{uint16(r)}
	}
	r -= 0x10000
	return []uint16{uint16(0xd800 + r>>10), uint16(0xdc00 + r&0x3ff)}
}

// decode turns a Value into the oracle's form.
func decode(v Value) any {
	switch v.Kind() {
	case Bool:
		b, _ := v.Bool()
		return b
	case Int:
		if n, ok := v.Int(); ok {
			return n
		}
		n, _ := v.Uint()
		return n
	case Float:
		f, _ := v.Float()
		return f
	case String:
		s, _ := v.Text()
		return string(s)
	case Array:
		all := []any{}
		for e := range v.Elements() {
			all = append(all, decode(e))
		}
		return all
	case Map:
		o, _ := v.Object()
		return decodeObject(o)
	default:
		return nil
	}
}

func decodeObject(o Object) ordered {
	out := newOrdered()
	for k, v := range o.All() {
		out = out.set(string(k), decode(v))
	}
	return out
}

func fromOracle(t require.TestingT, o ordered) Object {
	obj, err := FromJSON([]byte(text(o)))
	require.NoError(t, err)
	require.NoError(t, Check(obj))
	return obj
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genOrdered(3).Draw(t, "object")
		obj := fromOracle(t, want)
		require.Equal(t, want, decodeObject(obj))
		again, err := FromJSON(AppendJSON(nil, obj))
		require.NoError(t, err)
		require.Equal(t, obj, again)
	})
}

func TestProtoRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genOrdered(3).Draw(t, "object")
		obj := fromOracle(t, want)
		m := ToProto(obj)
		back, err := FromProto(m)
		require.NoError(t, err)
		require.NoError(t, Check(back))
		require.True(t, proto.Equal(&pb.Struct{Fields: m}, &pb.Struct{Fields: ToProto(back)}))
	})
}

func TestJSONDetails(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:                                          `{}`,
		`{"a":1,"b":2,"a":3}`:                         `{"a":3,"b":2}`,
		`{"n":18446744073709551615}`:                  `{"n":18446744073709551615}`,
		`{"n":18446744073709551616}`:                  `{"n":1.8446744073709552e19}`,
		`{"n":-9223372036854775808}`:                  `{"n":-9223372036854775808}`,
		`{"n":-9223372036854775809}`:                  `{"n":-9.223372036854776e18}`,
		`{"n":1.0,"m":1}`:                             `{"n":1.0,"m":1}`,
		`{"n":1e15,"m":1e16}`:                         `{"n":1000000000000000.0,"m":1e16}`,
		`{"n":0.00001,"m":0.000001}`:                  `{"n":0.00001,"m":1e-6}`,
		`{"n":-0,"m":-0.0}`:                           `{"n":-0.0,"m":-0.0}`,
		`{"s":"\u00e9\ud83d\ude00\n\/","t":"/"}`:      `{"s":"é😀\n/","t":"/"}`,
		"{\t\"a\" : [ ] ,\n\"b\" : [ [ 1 , { } ] ] }": `{"a":[],"b":[[1,{}]]}`,
	} {
		o, err := FromJSON([]byte(in))
		require.NoError(t, err, in)
		require.NoError(t, Check(o), in)
		require.Equal(t, want, string(AppendJSON(nil, o)), in)
	}
	o, err := FromJSON([]byte("null"))
	require.NoError(t, err)
	require.Nil(t, o)
	for _, in := range []string{
		``, `[]`, `1`, `{`, `{"a"}`, `{"a":1}}`, `{"a":1e999}`, `{"a":"\ud800"}`, `{"a":01}`,
		`{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`,
	} {
		_, err := FromJSON([]byte(in))
		require.ErrorContains(t, err, "Format error in JSON body: ", in)
	}
	deepest := `{"a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `}`
	o, err = FromJSON([]byte(deepest))
	require.NoError(t, err)
	require.NoError(t, Check(o))
	require.Equal(t, deepest, string(AppendJSON(nil, o)))
	_, err = FromProto(ToProto(o))
	require.NoError(t, err)
}

func TestManyKeysKeepTheLast(t *testing.T) {
	var b strings.Builder
	want := newOrdered()
	for i := range 100 {
		key := "k" + strconv.Itoa(i*7%60)
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(key) + ":" + strconv.Itoa(i))
		want = want.set(key, int64(i))
	}
	o, err := FromJSON([]byte("{" + b.String() + "}"))
	require.NoError(t, err)
	require.NoError(t, Check(o))
	require.Equal(t, want, decodeObject(o))
}

func TestAttached(t *testing.T) {
	o, err := FromJSON([]byte(`{"z":1,"a":18446744073709551615}`))
	require.NoError(t, err)
	p := &pb.PointStruct{Payload: map[string]*pb.Value{"x": nil}}
	Attach(p, o)
	wire, err := proto.Marshal(p)
	require.NoError(t, err)
	var q pb.PointStruct
	require.NoError(t, proto.Unmarshal(wire, &q))
	got, err := Of(&q)
	require.NoError(t, err)
	require.Equal(t, o, got)

	Attach(&q, nil)
	got, err = Of(&q)
	require.NoError(t, err)
	require.NotNil(t, got)
	require.Empty(t, got)

	got, err = Of(&pb.PointStruct{Payload: map[string]*pb.Value{"x": nil}})
	require.NoError(t, err)
	require.Equal(t, `{"x":null}`, string(AppendJSON(nil, got)))
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"a":[1,2.5,"x\u0041",null,true,{"b":{}}],"a":-0}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		o, err := FromJSON(in)
		if err != nil {
			return
		}
		require.NoError(t, Check(o))
		out := AppendJSON(nil, o)
		again, err := FromJSON(out)
		require.NoError(t, err)
		require.Equal(t, string(o), string(again))
	})
}

func FuzzObject(f *testing.F) {
	o, err := FromJSON([]byte(`{"a":[1,2.5,"xA",null,true,{"b":{"c":-7}}],"b":18446744073709551615}`))
	require.NoError(f, err)
	f.Add([]byte(o), "a[].b.c")
	f.Fuzz(func(t *testing.T, in []byte, path string) {
		o := Object(in)
		valid := Check(o) == nil
		decodeObject(o)
		ToProto(o)
		if _, err := FromJSON(AppendJSON(nil, o)); valid {
			require.NoError(t, err)
		}
		p, err := ParsePath(path)
		if err != nil {
			return
		}
		p.EachScalar(o, func(v Value) bool { v.Len(); return true })
		results := []Object{Include(o, []Path{p}), Exclude(o, []Path{p}), DeleteAt(o, p), Merge(o, o)}
		set, err := SetAt(o, p, o)
		if err == nil {
			results = append(results, set)
		}
		for _, r := range results {
			if valid {
				require.NoError(t, Check(r))
			}
		}
	})
}
