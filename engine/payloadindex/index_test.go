package payloadindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/text"
	"github.com/sextantdb/sextant/internal/fsx"
)

func newDir(t require.TestingT, fs fsx.FS) *segment.Dir {
	require.NoError(t, fs.MkdirAll("/shard"))
	return &segment.Dir{FS: fs, Path: "/shard"}
}

func config(t require.TestingT, kind Kind, growing int) Config {
	path, err := payload.ParsePath("f")
	require.NoError(t, err)
	c := Config{Path: path, Kind: kind, GrowingDocs: growing}
	if kind == FullText {
		c.Tokenizer, err = text.New(text.Options{})
		require.NoError(t, err)
	}
	return c
}

func object(t require.TestingT, format string, args ...any) payload.Object {
	o, err := payload.FromJSON(fmt.Appendf(nil, format, args...))
	require.NoError(t, err)
	return o
}

// fixture is an index with the payloads that it should know.
type fixture struct {
	t    require.TestingT
	ix   *Index
	docs map[uint32]payload.Object
	dir  *segment.Dir
}

func newFixture(t require.TestingT, kind Kind, growing int) *fixture {
	f := &fixture{t: t, docs: map[uint32]payload.Object{}, dir: newDir(t, fsx.NewMem())}
	var err error
	f.ix, err = Open(Options{Config: config(t, kind, growing)})
	require.NoError(t, err)
	return f
}

func (f *fixture) set(doc uint32, o payload.Object) {
	f.ix.Update(doc, f.docs[doc], o)
	f.docs[doc] = o
}

func (f *fixture) checkpoint() []segment.FileInfo {
	c := f.ix.Freeze()
	files, err := c.Write(context.Background(), f.dir)
	require.NoError(f.t, err)
	require.NoError(f.t, c.Commit())
	return files
}

// step does the background work.
func (f *fixture) step() {
	for more := true; more; {
		var err error
		more, err = f.ix.Step(context.Background())
		require.NoError(f.t, err)
	}
	require.False(f.t, f.ix.Pending())
}

func (f *fixture) reopen() {
	files := f.checkpoint()
	require.NoError(f.t, f.ix.Close())
	var err error
	f.ix, err = Open(Options{Config: f.ix.Config(), Dir: f.dir, Files: files})
	require.NoError(f.t, err)
}

// change applies random updates, removals, checkpoints and reopenings.
func (f *fixture) change(t *rapid.T, values []string) {
	for range rapid.IntRange(0, 30).Draw(t, "changes") {
		doc := rapid.Uint32Range(0, 20).Draw(t, "doc")
		switch rapid.IntRange(0, 9).Draw(t, "change") {
		case 0:
			f.checkpoint()
		case 1:
			f.reopen()
		case 2:
			f.ix.Remove(doc, f.docs[doc])
			delete(f.docs, doc)
		case 3:
			f.step()
		case 4: // a checkpoint between whose steps layers would be merged
			c := f.ix.Freeze()
			f.set(doc, object(t, `{"f":[%s]}`, values[0]))
			f.step()
			_, err := c.Write(context.Background(), f.dir)
			require.NoError(t, err)
			f.step()
			require.NoError(t, c.Commit())
		default:
			list := rapid.SliceOfN(rapid.SampledFrom(values), 0, 3).Draw(t, "values")
			f.set(doc, object(t, `{"f":[%s]}`, strings.Join(list, ",")))
		}
	}
}

// naiveValues returns the values of a document, sorted, each once.
func (f *fixture) naiveValues(doc uint32) (values []Value) {
	f.ix.cfg.Path.EachScalar(f.docs[doc], func(v payload.Value) bool {
		if k, ok := keyOf(f.ix.cfg.Kind, v); ok {
			values = append(values, f.ix.value(k))
		}
		return true
	})
	slices.SortFunc(values, Value.Compare)
	return slices.Compact(values)
}

var valuesOfKind = map[Kind][]string{
	Keyword:  {`"a"`, `"b"`, `""`, `"zz"`, `1`, `null`},
	Integer:  {"-5", "0", "3", "9223372036854775807", "-9223372036854775808", "1.5", `"x"`},
	Float:    {"-5", "0", "-0.0", "0.25", "1e300", "-1e300", `"x"`},
	Bool:     {"true", "false", "1"},
	Datetime: {`"2024-01-01"`, `"1950-06-01T00:00:00Z"`, `"2024-01-01T00:00:00.000001Z"`, `"x"`},
	UUID:     {`"550e8400-e29b-41d4-a716-446655440000"`, `"550E8400E29B41D4A716446655440000"`, `"00000000-0000-0000-0000-000000000001"`, `"x"`},
}

func TestValuesScanAndFacet(t *testing.T) {
	for kind, values := range valuesOfKind {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				f := newFixture(t, kind, 4)
				f.change(t, values)
				within := roaring.BitmapOf(rapid.SliceOf(rapid.Uint32Range(0, 20)).Draw(t, "within")...)
				f.checkValues(t)
				f.checkFacet(t, nil)
				f.checkFacet(t, within)
				f.checkScan(t, nil, rapid.Bool().Draw(t, "descending"))
				if kind.Ordered() {
					from := From{Int: rapid.SampledFrom([]int64{-6, 0, 1, 3, math.MaxInt64, math.MinInt64, 1704067200000000}).Draw(t, "from")}
					if rapid.Bool().Draw(t, "float") {
						from = From{IsFloat: true, Float: rapid.SampledFrom([]float64{-5.5, 0, 0.25, 1e19, -1e19, math.Inf(1), math.NaN()}).Draw(t, "from")}
					}
					f.checkScan(t, &from, rapid.Bool().Draw(t, "descending"))
				}
			})
		})
	}
}

func (f *fixture) checkValues(t *rapid.T) {
	indexed := 0
	for doc := range uint32(21) {
		values := f.naiveValues(doc)
		require.Equal(t, values, f.ix.Values(doc))
		if len(values) > 0 {
			indexed++
		}
	}
	require.Equal(t, indexed, f.ix.Len())
}

func (f *fixture) checkFacet(t *rapid.T, within *roaring.Bitmap) {
	want, got := map[Value]int{}, map[Value]int{}
	f.ix.Facet(within, func(v Value, n int) { got[v] = n })
	if !f.ix.cfg.Kind.Facetable() {
		require.Empty(t, got)
		return
	}
	for doc := range f.docs {
		for _, v := range f.naiveValues(doc) {
			if within == nil || within.Contains(doc) {
				want[v]++
			}
		}
	}
	require.Equal(t, want, got)
}

type hit struct {
	v   Value
	doc uint32
}

func (f *fixture) checkScan(t *rapid.T, from *From, descending bool) {
	var want, got []hit
	f.ix.Scan(from, descending, func(v Value, doc uint32) bool {
		got = append(got, hit{v, doc})
		return true
	})
	if f.ix.cfg.Kind.Ordered() {
		for doc := range f.docs {
			for _, v := range f.naiveValues(doc) {
				if started(v, from, descending) {
					want = append(want, hit{v, doc})
				}
			}
		}
	}
	slices.SortFunc(want, func(a, b hit) int {
		c := a.v.Compare(b.v)
		if descending {
			c = -c
		}
		if c == 0 {
			return int(a.doc) - int(b.doc)
		}
		return c
	})
	require.Equal(t, want, got)
	n := 0
	f.ix.Scan(from, descending, func(Value, uint32) bool { n++; return n < 2 })
	require.Equal(t, min(2, len(want)), n)
}

func started(v Value, from *From, descending bool) bool {
	if from == nil {
		return true
	}
	var c float64
	switch {
	case v.Kind != Float && !from.IsFloat:
		return v.Int == from.Int || (v.Int < from.Int) == descending
	case v.Kind == Float:
		c = v.Float
	default:
		c = float64(v.Int)
	}
	start := from.Float
	if !from.IsFloat {
		start = float64(from.Int)
	}
	if descending {
		return c <= start
	}
	return c >= start
}

// TestManyDocuments has enough documents for every level of blocks, and for
// images that are merged in memory.
func TestManyDocuments(t *testing.T) {
	const n = 60_000
	f := newFixture(t, Integer, 1000)
	value := func(doc uint32) int { return int(doc*2654435761>>8) % 5000 }
	for doc := range uint32(n) {
		// A tenth of the documents has the value 7 as well.
		if doc%10 == 0 {
			f.set(doc, object(t, `{"f":[%d,7]}`, value(doc)))
		} else {
			f.set(doc, object(t, `{"f":%d}`, value(doc)))
		}
		if doc == n/2 {
			f.checkpoint()
		}
	}
	require.LessOrEqual(t, len(f.ix.state.layers), 2*maxLayers, "without Step the mutator merges")
	require.True(t, f.ix.Pending())
	check := func() {
		t.Helper()
		for _, p := range []Predicate{
			NewIntegers(7),
			NewIntegers(8),
			NewIntegers(7, 8, 4999),
			ExceptIntegers{NewIntegers(7)},
			bounds(0, 4999),
			bounds(100, 150),
			bounds(2500, 4998),
			ValuesCount{Bounds[uint64]{Gte: new(uint64(2))}},
			IsEmpty{},
		} {
			want := roaring.New()
			for doc, o := range f.docs {
				if Matcher(p, f.ix.cfg.Path, Semantics{})(o) {
					want.Add(doc)
				}
			}
			a, ok := f.ix.Query(p)
			require.True(t, ok)
			require.True(t, a.Maybe.IsEmpty())
			if a.Negated {
				all := roaring.New()
				all.AddRange(0, n)
				a.Sure = roaring.AndNot(all, a.Sure)
			}
			require.True(t, want.Equals(a.Sure), "%#v", p)
		}
	}
	check()
	f.step()
	require.Less(t, len(f.ix.state.layers), 10, "images of like size are merged")
	check()
	check() // again, from the cache
	f.reopen()
	require.Equal(t, n, f.ix.Len())
	check()
	for doc := uint32(0); doc < n; doc += 7 {
		f.set(doc, object(t, `{"f":7}`))
	}
	check()
}

func bounds(lo, hi float64) Range { return Range{Bounds[float64]{Gte: &lo, Lte: &hi}} }

func TestFilesStayFewAndSmallChangesWriteLittle(t *testing.T) {
	f := newFixture(t, Keyword, 1000)
	for doc := range uint32(20_000) {
		f.set(doc, object(t, `{"f":"value %d"}`, doc))
	}
	first := f.checkpoint()
	require.Len(t, first, 1)
	require.Equal(t, first, f.checkpoint(), "nothing changed")
	for i := range uint32(200) {
		f.set(i*50, object(t, `{"f":"other"}`))
		files := f.checkpoint()
		require.Equal(t, first[0], files[0], "the large file isn't written again for a small change")
		require.LessOrEqual(t, len(files), 12)
	}
}

func TestUnchangedFieldsCostNothing(t *testing.T) {
	f := newFixture(t, Keyword, 1000)
	f.set(1, object(t, `{"f":["a"],"g":1}`))
	f.reopen()
	f.set(1, object(t, `{"g":2,"f":["a"]}`))
	f.set(2, object(t, `{"g":2}`))
	require.Empty(t, f.ix.state.growing.rows)
}

func TestDamagedFilesAreRefused(t *testing.T) {
	f := newFixture(t, Keyword, 1000)
	for doc := range uint32(3000) {
		f.set(doc, object(t, `{"f":["v%d","x",null]}`, doc%50))
	}
	files := f.checkpoint()
	require.NoError(t, f.ix.Close())
	name := f.dir.Path + "/" + files[0].Name
	m, err := f.dir.FS.Map(name)
	require.NoError(t, err)
	whole := slices.Clone(m.Bytes())
	require.NoError(t, m.Close())
	write := func(b []byte) {
		file, err := f.dir.FS.Create(name)
		require.NoError(t, err)
		_, err = file.Write(b)
		require.NoError(t, err)
		require.NoError(t, file.Close())
	}
	open := func() (map[uint16][]byte, error) {
		ix, err := Open(Options{Config: f.ix.Config(), Dir: f.dir, Files: files})
		if err != nil {
			return nil, err
		}
		sections := sectionsOf(ix.state.layers[0].(*image), Keyword)
		for id, b := range sections {
			sections[id] = slices.Clone(b)
		}
		return sections, ix.Close()
	}
	good, err := open()
	require.NoError(t, err)
	for at := 0; at < len(whole); at += 97 {
		b := slices.Clone(whole)
		b[at] ^= 0x10
		write(b)
		if got, err := open(); err != nil {
			require.True(t, errors.Is(err, segment.ErrCorrupted) || errors.Is(err, segment.ErrForeign) || errors.Is(err, segment.ErrNewer), "byte %d: %v", at, err)
		} else {
			require.Equal(t, good, got, "byte %d is no padding", at)
		}
	}
	write(whole)
	require.ErrorIs(t, func() error {
		_, err := Open(Options{Config: config(t, Integer, 0), Dir: f.dir, Files: files})
		return err
	}(), segment.ErrCorrupted, "another kind")
}

func TestAFailedCheckpointLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture(t, Integer, 4)
		countdown := -1
		fault := fsx.NewFault(f.dir.FS, func(fsx.Op) error {
			if countdown--; countdown == 0 {
				return errors.New("disk on fire")
			}
			return nil
		})
		f.dir = newDir(t, fault)
		for range 5 {
			f.change(t, valuesOfKind[Integer])
			c := f.ix.Freeze()
			doc := rapid.Uint32Range(0, 20).Draw(t, "doc")
			f.set(doc, object(t, `{"f":1}`))
			countdown = rapid.IntRange(0, 60).Draw(t, "countdown")
			if _, err := c.Write(context.Background(), f.dir); err != nil {
				c.Abort()
			} else {
				require.NoError(t, c.Commit())
			}
			countdown = -1
			f.checkValues(t)
		}
	})
}

func TestReadersBesideTheWriter(t *testing.T) {
	f := newFixture(t, Integer, 50)
	for doc := range uint32(200) {
		f.set(doc, object(t, `{"f":%d}`, doc%10))
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				// Each document has one of the values at any moment.
				a, ok := f.ix.Query(bounds(0, 9))
				if !ok || a.Sure.GetCardinality() != 200 {
					t.Errorf("%d documents instead of 200", a.Sure.GetCardinality())
					return
				}
				f.ix.Scan(nil, true, func(Value, uint32) bool { return true })
				f.ix.Estimate(bounds(2, 3), 200)
				f.ix.Values(5)
				f.ix.Query(IsEmpty{})
			}
		})
	}
	for i := range uint32(3000) {
		f.set(i*7%200, object(t, `{"f":%d}`, i%10))
		if i%500 == 0 {
			f.checkpoint()
		}
	}
	close(done)
	wg.Wait()
	require.NoError(t, f.ix.Close())
	require.NoError(t, f.ix.Close())
	_, ok := f.ix.Query(bounds(0, 9))
	require.False(t, ok, "a closed index knows nothing")
}

func TestReadersOfOneFile(t *testing.T) {
	f := newFixture(t, Integer, 50)
	for doc := range uint32(200) {
		f.set(doc, object(t, `{"f":[%d,null]}`, doc%10))
	}
	f.reopen()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, p := range []Predicate{IsEmpty{}, IsNull{}, ValuesCount{}, bounds(0, 5), Is{true}} {
				if _, ok := f.ix.Query(p); !ok {
					t.Errorf("no answer to %#v", p)
				}
			}
		})
	}
	wg.Wait()
}

func TestBuild(t *testing.T) {
	f := newFixture(t, Integer, 10)
	all := func(yield func(uint32, payload.Object) bool) {
		for doc := range uint32(5000) {
			if !yield(doc, object(t, `{"f":%d}`, doc)) {
				return
			}
		}
	}
	require.NoError(t, f.ix.Build(t.Context(), all))
	require.Equal(t, 5000, f.ix.Len())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, f.ix.Build(ctx, all), context.Canceled)
}

func TestTextsWithoutTokensAreNotCounted(t *testing.T) {
	f := newFixture(t, FullText, 10)
	for doc, value := range []string{`"word"`, `"..."`, `5`, `["", "word"]`, `null`, `[["word"]]`} {
		f.set(uint32(doc), object(t, `{"f":%s}`, value))
	}
	require.Equal(t, 2, f.ix.Len())
	f.reopen()
	require.Equal(t, 2, f.ix.Len())
	f.set(0, object(t, `{"f":7}`))
	require.Equal(t, 1, f.ix.Len())
}

func TestBoundSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := []float64{-1e300, -1e19, -9.3e18, -2, -0.5, 0, 0.5, 2, 9.2e18, 9223372036854775807, 1e19, 1e300, math.Inf(1), math.Inf(-1), math.NaN()}
		bound := func(name string) *float64 {
			if rapid.Bool().Draw(t, name) {
				return nil
			}
			return new(rapid.SampledFrom(some).Draw(t, name))
		}
		b := Bounds[float64]{Lt: bound("lt"), Gt: bound("gt"), Gte: bound("gte"), Lte: bound("lte")}
		n := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-3, 3)).Draw(t, "n")
		ints := boundSpan(func(u uint64) float64 { return float64(keyInt(u)) }, b, 0, math.MaxUint64)
		require.Equal(t, b.Hold(float64(n)), inSpans(ints, key{n: intKey(n)}))
		x := rapid.OneOf(rapid.Float64(), rapid.SampledFrom(some[:14])).Draw(t, "x")
		floats := boundSpan(keyFloat, b, floatKey(math.Inf(-1)), floatKey(math.Inf(1)))
		require.Equal(t, b.Hold(x), inSpans(floats, key{n: floatKey(x)}))
	})
}

func inSpans(spans []span, k key) bool {
	return slices.ContainsFunc(spans, func(sp span) bool {
		return sp.lo.compare(k) <= 0 && (sp.open || k.compare(sp.hi) < 0)
	})
}

func TestKeysKeepTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64().Draw(t, "a"), rapid.Float64().Draw(t, "b")
		require.Equal(t, a < b, floatKey(a) < floatKey(b))
		require.Zero(t, cmp.Compare(a, keyFloat(floatKey(a))))
		i, j := rapid.Int64().Draw(t, "i"), rapid.Int64().Draw(t, "j")
		require.Equal(t, i < j, intKey(i) < intKey(j))
		require.Equal(t, i, keyInt(intKey(i)))
	})
}

func FuzzImage(f *testing.F) {
	fix := newFixture(f, Keyword, 10_000)
	for doc := range uint32(1500) {
		fix.set(doc, object(f, `{"f":["v%d","x",null,7]}`, doc%50))
	}
	good := sectionsOf(fix.ix.merge([]layer{fix.ix.state.growing}, true), Keyword)
	f.Add(sectionStarts, uint32(3), byte(7), false)
	f.Add(sectionSets, uint32(30), byte(1), true)
	f.Add(sectionBlocks, uint32(9), byte(255), false)
	f.Fuzz(func(t *testing.T, id uint16, at uint32, value byte, cut bool) {
		sections := map[uint16][]byte{}
		for i, b := range good {
			sections[i] = slices.Clone(b)
		}
		b := sections[id%(sectionSets+1)]
		if len(b) == 0 {
			return
		}
		at %= uint32(len(b))
		b[at] ^= value
		if cut {
			sections[id%(sectionSets+1)] = b[:at]
		}
		m, err := readImage(sections, Keyword)
		if err != nil {
			return
		}
		// What is accepted can be read, whatever it says.
		ix := &Index{cfg: config(t, Keyword, 10), state: newState([]layer{m}, newMem())}
		for _, p := range []Predicate{NewKeywords("x"), ExceptKeywords{NewKeywords("x")}, Prefix{"v"}, Text{"1"}, IsNull{}, ValuesCount{}, bounds(0, 1)} {
			ix.Query(p)
			ix.Estimate(p, 1500)
		}
		ix.Facet(nil, func(Value, int) {})
		ix.Values(3)
		ix.merge([]layer{m, newMem()}, false)
	})
}

// TestStepBesideEverything merges while updates, checkpoints and queries go on.
func TestStepBesideEverything(t *testing.T) {
	const n = 20_000
	f := newFixture(t, Integer, 64)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := f.ix.Step(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			f.checkpoint()
		}
	})
	wg.Go(func() {
		for last := uint64(0); ctx.Err() == nil; {
			a, _ := f.ix.Query(bounds(0, 9))
			if now := a.Sure.GetCardinality(); now < last {
				t.Errorf("%d documents after %d", now, last)
			} else {
				last = now
			}
		}
	})
	for doc := range uint32(n) {
		f.ix.Update(doc, nil, object(t, `{"f":%d}`, doc%10))
	}
	stop()
	wg.Wait()
	f.step()
	a, _ := f.ix.Query(bounds(0, 9))
	require.EqualValues(t, n, a.Sure.GetCardinality())
	a, _ = f.ix.Query(NewIntegers(3))
	require.EqualValues(t, n/10, a.Sure.GetCardinality())
}

// TestMutatorMergesLittle: when nobody calls Step, an update makes a small image and
// merges a small part of what lies in memory, also where documents have many values.
func TestMutatorMergesLittle(t *testing.T) {
	const docs, values, growing = 20_000, 4, 64
	ix, err := Open(Options{Config: config(t, Integer, growing)})
	require.NoError(t, err)
	known := map[layer]bool{}
	for doc := range uint32(docs) {
		ix.Update(doc, nil, object(t, `{"f":[%d,%d,%d,%d]}`, doc, doc+1, doc+2, doc+3))
		all := int(doc) * values
		for _, l := range ix.state.layers {
			if m, ok := l.(*image); ok && !known[l] {
				require.LessOrEqual(t, len(m.docs), max(all/8, 2*growing), "document %d", doc)
			}
			if m, ok := l.(*mem); ok {
				require.LessOrEqual(t, m.tree.Len(), growing)
			}
			known[l] = true
		}
		require.LessOrEqual(t, len(ix.state.layers), 2*maxLayers)
	}
	require.Equal(t, docs, ix.Len())
	require.NoError(t, ix.Close())
}
