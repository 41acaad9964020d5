package vectorindex

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vector/distance"
	"github.com/sextantdb/sextant/internal/fsx"
)

// oracle is the naive index: a map of documents to the vectors that were given,
// converted to what the datatype keeps.
type oracle struct {
	cfg  Config
	docs map[uint32][]float32
}

func newOracle(cfg Config) *oracle { return &oracle{cfg, map[uint32][]float32{}} }

// stored converts a vector to what the index keeps of it.
func (o *oracle) stored(v []float32) []float32 {
	out := slices.Clone(v)
	if o.cfg.Distance == vector.Cosine && o.cfg.Datatype != vector.Uint8 {
		distance.Normalize(out)
	}
	k := distance.Detect()
	switch o.cfg.Datatype {
	case vector.Float16:
		half := make([]uint16, len(out))
		k.ToF16(half, out)
		k.FromF16(out, half)
	case vector.Uint8:
		b := make([]byte, len(out))
		toBytes(b, out)
		for i, x := range b {
			out[i] = float32(x)
		}
	case vector.Float32:
	}
	return out
}

func (o *oracle) upsert(doc uint32, v []float32) { o.docs[doc] = o.stored(v) }

// score is the score by the definition of the distance, in float64.
func (o *oracle) score(q, x []float32) float64 {
	var dot, l2, l1, qq, xx float64
	for i := range q {
		a, b := float64(q[i]), float64(x[i])
		dot, l2, l1 = dot+a*b, l2+(a-b)*(a-b), l1+math.Abs(a-b)
		qq, xx = qq+a*a, xx+b*b
	}
	switch o.cfg.Distance {
	case vector.Euclid:
		return -l2
	case vector.Manhattan:
		return -l1
	case vector.Dot:
		return dot
	default:
		if qq == 0 || xx == 0 {
			return 0
		}
		if o.cfg.Datatype != vector.Uint8 { // rows are normalised, and so is the query
			if !distance.Normalize(slices.Clone(q)) {
				return dot // it is too short to have a direction, or has length 1
			}
			return dot / math.Sqrt(qq)
		}
		return dot / math.Sqrt(qq*xx)
	}
}

// scores returns the scores of all passing documents, best first.
func (o *oracle) scores(q []float32, match func(uint32) bool) []float64 {
	if o.cfg.Datatype == vector.Uint8 {
		q = o.stored(q)
	}
	out := []float64{}
	for doc, x := range o.docs {
		if match == nil || match(doc) {
			out = append(out, o.score(q, x))
		}
	}
	slices.SortFunc(out, func(a, b float64) int { return cmp.Compare(b, a) })
	return out
}

// close tells whether two scores are equal up to rounding.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-3*max(1, math.Abs(a), math.Abs(b)) }

// check compares hits with the oracle: right scores, live documents, once, and as
// many as there are.
func (o *oracle) check(t require.TestingT, hits []vector.Hit, q []float32, k int, match func(uint32) bool) {
	want := o.scores(q, match)
	require.Len(t, hits, min(k, len(want)))
	if o.cfg.Datatype == vector.Uint8 {
		q = o.stored(q)
	}
	seen := map[uint32]bool{}
	for i, h := range hits {
		x, ok := o.docs[h.Doc]
		require.True(t, ok, "document %d is gone", h.Doc)
		require.False(t, seen[h.Doc], "document %d twice", h.Doc)
		seen[h.Doc] = true
		require.True(t, match == nil || match(h.Doc))
		require.True(t, near(float64(h.Score), o.score(q, x)), "score of %d: %v, want %v", h.Doc, h.Score, o.score(q, x))
		require.True(t, near(float64(h.Score), want[i]), "hit %d: %v, want %v", i, h.Score, want[i])
	}
}

// fixture is an index under test with its directory.
type fixture struct {
	t   require.TestingT
	o   Options
	ix  *Index
	ref *oracle
}

func newFixture(t require.TestingT, cfg Config) *fixture {
	fs := fsx.NewMem()
	require.NoError(t, fs.MkdirAll("/shard"))
	f := &fixture{t: t, ref: newOracle(cfg), o: Options{
		Dir: &segment.Dir{FS: fs, Path: "/shard"}, Config: cfg, Seed: 5,
		tuning: tuning{chunkBytes: 1, codesFrom: 64, exactBytes: 1, scanLimit: 50, capacity: 64},
	}}
	f.open()
	return f
}

func (f *fixture) open() {
	ix, err := Open(f.o)
	require.NoError(f.t, err)
	f.ix = ix
}

func (f *fixture) upsert(doc uint32, v []float32) {
	require.NoError(f.t, f.ix.Upsert(doc, v))
	f.ref.upsert(doc, v)
}

func (f *fixture) delete(doc uint32) {
	f.ix.Delete(doc)
	delete(f.ref.docs, doc)
}

// settle does all background work.
func (f *fixture) settle() {
	for range 10_000 {
		more, err := f.ix.Step(context.Background())
		require.NoError(f.t, err)
		if !more {
			require.False(f.t, f.ix.Pending())
			return
		}
	}
	require.FailNow(f.t, "background work doesn't end")
}

func (f *fixture) search(q Query) ([]vector.Hit, Profile) {
	hits, profile, err := f.ix.Search(context.Background(), q)
	require.NoError(f.t, err)
	return hits, profile
}

func randomVector(rng *rand.Rand, cfg Config) []float32 {
	v := make([]float32, cfg.Dim)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
		if cfg.Datatype == vector.Uint8 {
			v[i] = float32(rng.IntN(260) - 2)
		}
	}
	return v
}

var distances = []vector.Distance{vector.Cosine, vector.Euclid, vector.Dot, vector.Manhattan}

// valid compares hits with the oracle but for their ranks: an approximate search
// may miss a document, but never the number, the scores, or who is alive.
func (o *oracle) valid(t require.TestingT, hits []vector.Hit, q []float32, k int, match func(uint32) bool) {
	want := o.scores(q, match)
	require.Len(t, hits, min(k, len(want)))
	if o.cfg.Datatype == vector.Uint8 {
		q = o.stored(q)
	}
	seen := map[uint32]bool{}
	for i, h := range hits {
		x, ok := o.docs[h.Doc]
		require.True(t, ok, "document %d is gone", h.Doc)
		require.False(t, seen[h.Doc], "document %d twice", h.Doc)
		seen[h.Doc] = true
		require.True(t, match == nil || match(h.Doc))
		require.True(t, near(float64(h.Score), o.score(q, x)), "score of %d: %v, want %v", h.Doc, h.Score, o.score(q, x))
		require.True(t, i == 0 || hits[i-1].Score >= h.Score)
	}
}

// TestSearchEqualsTheOracle runs random operations for every distance and
// datatype, with sizes so small that every way of the index is taken, and compares
// exact search with the oracle, and the others as far as they promise.
func TestSearchEqualsTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			Dim:                 rapid.SampledFrom([]int{1, 3, 16, 67}).Draw(t, "dim"),
			Distance:            rapid.SampledFrom(distances).Draw(t, "distance"),
			Datatype:            rapid.SampledFrom([]vector.Datatype{vector.Float32, vector.Float16, vector.Uint8}).Draw(t, "datatype"),
			IndexingThresholdKB: rapid.SampledFrom([]int{1, -1}).Draw(t, "threshold"),
			FullScanThresholdKB: rapid.SampledFrom([]int{-1, 0}).Draw(t, "full scan"),
			HNSWOnDisk:          rapid.Bool().Draw(t, "graph on disk"),
			M:                   4, EfConstruct: 16, VacuumMin: 20,
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		f := newFixture(t, cfg)
		defer func() { require.NoError(t, f.ix.Close()) }()
		for range rapid.IntRange(1, 25).Draw(t, "rounds") {
			f.operate(rapid.SampledFrom(operations).Draw(t, "op"), rng)
			f.compare(rng)
		}
	})
}

var operations = []string{"upsert", "upsert", "upsert", "same", "delete", "one step", "settle", "checkpoint", "abort", "reopen", "codec", "graph"}

// operate does one random operation.
func (f *fixture) operate(op string, rng *rand.Rand) {
	switch op {
	case "upsert":
		for range rng.IntN(150) {
			f.upsert(uint32(rng.IntN(500)), randomVector(rng, f.o.Config))
		}
	case "same":
		v := randomVector(rng, f.o.Config)
		for doc := range uint32(rng.IntN(20)) {
			f.upsert(doc*7, v)
		}
	case "delete":
		for range rng.IntN(60) {
			f.delete(uint32(rng.IntN(500)))
		}
	case "one step":
		_, err := f.ix.Step(context.Background())
		require.NoError(f.t, err)
	case "settle":
		f.settle()
	case "checkpoint":
		f.checkpoint()
	case "abort":
		cp := f.ix.Freeze()
		if rng.IntN(2) == 0 {
			_, err := cp.Write(context.Background(), f.o.Dir)
			require.NoError(f.t, err)
		}
		cp.Abort()
	case "reopen":
		f.checkpoint()
		f.reopen()
	case "codec":
		f.o.Config.Quantization.Method = []quantization.Method{quantization.Auto, quantization.Scalar, quantization.Binary}[rng.IntN(3)]
		require.NoError(f.t, f.ix.SetConfig(f.o.Config))
	case "graph":
		f.o.Config.M = 4 + rng.IntN(3)
		require.NoError(f.t, f.ix.SetConfig(f.o.Config))
	}
}

// compare searches in all ways.
func (f *fixture) compare(rng *rand.Rand) {
	q, k := randomVector(rng, f.o.Config), rng.IntN(30)
	match := func(doc uint32) bool { return doc%3 == 0 }
	docs := roaring.New()
	for doc := uint32(0); doc < 600; doc += 3 {
		docs.Add(doc)
	}
	bits, few := vector.Bits(docs, nil)
	require.True(f.t, few)
	filters := []struct {
		f     Filter
		match func(uint32) bool
	}{
		{Filter{}, nil},
		{Filter{Match: match, Estimate: rng.IntN(300)}, match},
		{Filter{Docs: docs}, match},
		{Filter{Docs: docs, Bits: bits}, match},
	}
	for _, filter := range filters {
		hits, _ := f.search(Query{Vector: q, K: k, Exact: true, Filter: filter.f})
		f.ref.check(f.t, hits, q, k, filter.match)
		hits, _ = f.search(Query{Vector: q, K: k, Filter: filter.f})
		f.ref.valid(f.t, hits, q, k, filter.match)
		hits, _ = f.search(Query{Vector: q, K: k, Filter: filter.f, Ef: 5, IgnoreQuantization: true, Oversampling: 3})
		f.ref.valid(f.t, hits, q, k, filter.match)
	}
	no := false
	hits, _ := f.search(Query{Vector: q, K: k, Rescore: &no})
	require.Len(f.t, hits, min(k, len(f.ref.docs)))
	require.Equal(f.t, len(f.ref.docs), f.ix.Len())
	doc := uint32(rng.IntN(500))
	v, ok, err := f.ix.Vector(doc, nil)
	require.NoError(f.t, err)
	require.Equal(f.t, ok, f.ix.Has(doc))
	require.Equal(f.t, f.ref.docs[doc], v)
}
