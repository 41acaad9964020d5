package payload

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func mustPath(t require.TestingT, text string) Path {
	p, err := ParsePath(text)
	require.NoError(t, err, text)
	return p
}

var somePaths = []string{
	"a", "b", "c", "a.b", "a.b.c", "a[0]", "a[1]", "a[]", "a[].b", "a[].b[]", "a[0].b", "a[][]", "b[].a", `"x.y".a`, `"x.y"[]`,
	"ü.a", `a.""`, "a[7]", "a.b[].c",
}

func TestParsePath(t *testing.T) {
	for _, good := range append(somePaths, "a-b_c.d e", `"quo.ted".x`, `a."b c"[3]`, "0") {
		require.Equal(t, good, mustPath(t, good).String())
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "[0]", "a[", "a[x]", "a[-1]", "a[+1]", "a]b", `"a`, `"a"b`, `a"b"`, "a[0]b", "a[99999999999]"} {
		_, err := ParsePath(bad)
		require.ErrorContains(t, err, "Wrong input: Invalid JSON path: '"+bad+"'")
	}
}

func naiveGet(steps []step, v any) []any {
	if len(steps) == 0 {
		return []any{v}
	}
	s := steps[0]
	switch v := v.(type) {
	case ordered:
		if child, ok := v.m[s.key]; ok && s.kind == stepKey {
			return naiveGet(steps[1:], child)
		}
	case []any:
		var all []any
		for i, e := range v {
			if s.kind == stepWildcard || s.kind == stepIndex && s.index == i {
				all = append(all, naiveGet(steps[1:], e)...)
			}
		}
		return all
	}
	return nil
}

func TestVisit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := genOrdered(3).Draw(t, "object")
		p := mustPath(t, rapid.SampledFrom(somePaths).Draw(t, "path"))
		var got []any
		p.Visit(fromOracle(t, o), func(v Value) bool {
			got = append(got, decode(v))
			return true
		})
		require.Equal(t, naiveGet(p.steps, o), got)
	})
}

// begins tells whether a pattern's first steps are the first of a way that was taken, as far as both go.
func begins(p Path, taken []step) bool {
	for i := range min(len(p.steps), len(taken)) {
		s := p.steps[i]
		if s != taken[i] && (s.kind != stepWildcard || taken[i].kind != stepIndex) {
			return false
		}
	}
	return true
}

// naiveProject walks with the way taken so far and asks each pattern: included is what lies on a pattern's way or behind
// it, excluded what lies behind.
func naiveProject(v any, taken []step, paths []Path, include bool) any {
	stays := func(s step) bool {
		way := append(slices.Clip(taken), s)
		return include == slices.ContainsFunc(paths, func(p Path) bool { return begins(p, way) && (include || len(p.steps) <= len(way)) })
	}
	switch x := v.(type) {
	case ordered:
		out := newOrdered()
		for _, k := range x.keys {
			if s := (step{kind: stepKey, key: k}); stays(s) {
				out = out.set(k, naiveProject(x.m[k], append(slices.Clip(taken), s), paths, include))
			}
		}
		return out
	case []any:
		out := []any{}
		for i, e := range x {
			if s := (step{kind: stepIndex, index: i}); stays(s) {
				out = append(out, naiveProject(e, append(slices.Clip(taken), s), paths, include))
			}
		}
		return out
	}
	return v
}

func TestProject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := genOrdered(3).Draw(t, "object")
		var paths []Path
		for _, s := range rapid.SliceOfN(rapid.SampledFrom(somePaths), 0, 3).Draw(t, "paths") {
			paths = append(paths, mustPath(t, s))
		}
		obj := fromOracle(t, o)
		require.Equal(t, naiveProject(o, nil, paths, true), decodeObject(Include(obj, paths)))
		require.Equal(t, naiveProject(o, nil, paths, false), decodeObject(Exclude(obj, paths)))
	})
}

func TestIncludeKeepsWhatIsOnTheWay(t *testing.T) {
	const doc = `{"a":{"b":1,"c":[{"d":1},2,{"e":3}]},"s":5,"l":[1,2]}`
	for path, want := range map[string]string{
		"a.b":     `{"a":{"b":1}}`,
		"a.x":     `{"a":{}}`,
		"a.c[].d": `{"a":{"c":[{"d":1},2,{}]}}`,
		"a.c.d":   `{"a":{"c":[]}}`,
		"s.x":     `{"s":5}`,
		"l[1]":    `{"l":[2]}`,
		"x.y":     `{}`,
	} {
		require.Equal(t, want, string(AppendJSON(nil, Include(object(t, doc), []Path{mustPath(t, path)}))), path)
	}
}

func object(t require.TestingT, text string) Object {
	o, err := FromJSON([]byte(text))
	require.NoError(t, err)
	return o
}

func TestEdits(t *testing.T) {
	const doc = `{"a":{"b":1,"c":[{"d":1},2]},"s":5,"l":[1,2]}`
	for _, c := range []struct{ path, src, want string }{
		{"a", `{"b":2,"z":0}`, `{"a":{"b":2,"c":[{"d":1},2],"z":0},"s":5,"l":[1,2]}`},
		{"a.b", `{"x":1}`, `{"a":{"b":{"x":1},"c":[{"d":1},2]},"s":5,"l":[1,2]}`},
		{"a.c[0]", `{"e":1}`, `{"a":{"b":1,"c":[{"d":1,"e":1},2]},"s":5,"l":[1,2]}`},
		{"a.c[]", `{"e":1}`, `{"a":{"b":1,"c":[{"d":1,"e":1},{"e":1}]},"s":5,"l":[1,2]}`},
		{"a.c[9]", `{"e":1}`, doc},
		{"s[]", `{"e":1}`, `{"a":{"b":1,"c":[{"d":1},2]},"s":[],"l":[1,2]}`},
		{"n[0].m", `{"e":1}`, `{"a":{"b":1,"c":[{"d":1},2]},"s":5,"l":[1,2],"n":[]}`},
		{"a", `{"b":null,"z":null}`, `{"a":{"c":[{"d":1},2]},"s":5,"l":[1,2]}`},
		{"n.m", `{"e":1}`, `{"a":{"b":1,"c":[{"d":1},2]},"s":5,"l":[1,2],"n":{"m":{"e":1}}}`},
		{"s", `{}`, `{"a":{"b":1,"c":[{"d":1},2]},"s":{},"l":[1,2]}`},
	} {
		o, err := SetAt(object(t, doc), mustPath(t, c.path), object(t, c.src))
		require.NoError(t, err)
		require.Equal(t, c.want, string(AppendJSON(nil, o)), c.path)
		require.NoError(t, Check(o))
	}
	for _, c := range []struct{ path, want string }{
		{"a", `{"s":5,"l":[1,2]}`},
		{"a.b", `{"a":{"c":[{"d":1},2]},"s":5,"l":[1,2]}`},
		{"a.c[].d", `{"a":{"b":1,"c":[{},2]},"s":5,"l":[1,2]}`},
		{"a.c[0].d", `{"a":{"b":1,"c":[{},2]},"s":5,"l":[1,2]}`},
		{"a.c[1].d", doc},
		{"l[0]", doc},
		{"l[]", `{"a":{"b":1,"c":[{"d":1},2]},"s":5,"l":[]}`},
		{"x.y", doc},
		{"s.y", doc},
	} {
		o := DeleteAt(object(t, doc), mustPath(t, c.path))
		require.Equal(t, c.want, string(AppendJSON(nil, o)), c.path)
	}
	merged := Merge(object(t, doc), object(t, `{"s":null,"q":1,"n":null}`))
	want := `{"a":{"b":1,"c":[{"d":1},2]},"l":[1,2],"q":1}`
	require.Equal(t, want, string(AppendJSON(nil, merged)))
}

func TestDeleteAtAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := genOrdered(3).Draw(t, "object")
		p := mustPath(t, rapid.SampledFrom([]string{"a", "a.b", "a.b.c", "a[].b", "a[0].b", "b[].a", `"x.y".a`}).Draw(t, "path"))
		want := naiveProject(o, nil, []Path{p}, false)
		require.Equal(t, want, decodeObject(DeleteAt(fromOracle(t, o), p)))
	})
}

func TestSetThenGet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := fromOracle(t, genOrdered(3).Draw(t, "object"))
		src := fromOracle(t, genOrdered(1).Draw(t, "src"))
		p := mustPath(t, rapid.SampledFrom([]string{"a", "a.b", "a.b.c", `"x.y".a`}).Draw(t, "path"))
		before, _ := p.First(o).Object()
		set, err := SetAt(o, p, src)
		require.NoError(t, err)
		after, ok := p.First(set).Object()
		require.True(t, ok)
		require.Equal(t, decodeObject(Merge(before, src)), decodeObject(after))
		require.Equal(t, text(decodeObject(Exclude(o, []Path{p}))), text(dropMade(decodeObject(o), decodeObject(Exclude(set, []Path{p})), p.steps)))
	})
}

// dropMade undoes, outside the path's end, what setting at it made on the way.
func dropMade(before, after ordered, steps []step) ordered {
	key := steps[0].key
	if len(steps) == 1 {
		return after
	}
	was, existed := before.m[key]
	if !existed {
		return after.without(key)
	}
	wasObject, ok := was.(ordered)
	if !ok {
		return after.set(key, was)
	}
	return after.set(key, dropMade(wasObject, after.m[key].(ordered), steps[1:]))
}

func FuzzPath(f *testing.F) {
	for _, p := range somePaths {
		f.Add(p)
	}
	o := object(f, `{"a":[{"b":[1,2]},{"b":{"c":3}}],"x.y":{"a":1}}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			return
		}
		require.True(t, p.Covers(p))
		n := 0
		p.Visit(o, func(Value) bool { n++; return true })
		if n > 0 {
			require.NotEmpty(t, Include(o, []Path{p}))
		}
		require.NoError(t, Check(DeleteAt(o, p)))
	})
}
