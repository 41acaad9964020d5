package quantization_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vector/distance"
)

func kernels(tb testing.TB) *distance.Kernels {
	tb.Helper()
	k, err := distance.FromEnv(os.Getenv)
	require.NoError(tb, err)
	return k
}

// data is a set of generated vectors: rows, and queries like them.
type data struct {
	name          string
	dim           int
	rows, queries [][]float32
}

// The shapes that taught something: see the names.
func clustered(dim, n, q int) data { return generate("clustered", dim, n, q, 1, false, 0) }

func heavyTailed(dim, n, q int) data {
	return generate("heavy tailed", dim, n, q, 1, true, 0)
}

func duplicated(dim, n, q int) data { return generate("duplicated", dim, n, q, 20, false, 0) }

func lowRank(dim, n, q int) data { return generate("low rank", dim, n, q, 1, false, 24) }

// generate draws vectors around centres. repeat: how often each row occurs;
// heavy: lengths are log-normal; rank: the number of directions there are, with
// strengths that fall off as those of latent semantic analysis, and a large mean.
func generate(name string, dim, n, q, repeat int, heavy bool, rank int) data {
	r := rand.New(rand.NewPCG(uint64(dim), uint64(n+rank)))
	inner := dim
	if rank > 0 {
		inner = rank
	}
	draw := func() []float32 {
		v := make([]float32, inner)
		for j := range v {
			v[j] = float32(r.NormFloat64())
		}
		return v
	}
	basis, centres := make([][]float32, rank), make([][]float32, 32)
	for i := range basis {
		basis[i] = make([]float32, dim)
		for j := range basis[i] {
			// Sparse directions: few components carry everything.
			if r.IntN(8) == 0 {
				basis[i][j] = float32(r.NormFloat64()) * float32(4/math.Sqrt(float64(i+1)))
			}
		}
	}
	for i := range centres {
		centres[i] = draw()
	}
	one := func() []float32 {
		v, c := draw(), centres[r.IntN(len(centres))]
		length := float32(1)
		if heavy {
			length = float32(math.Exp(1.2 * r.NormFloat64()))
		}
		for j := range v {
			v[j] = length * (c[j] + 0.6*v[j])
		}
		if rank == 0 {
			return v
		}
		w := make([]float32, dim)
		for i, x := range v {
			for j, b := range basis[i] {
				w[j] += (x + 2) * b
			}
		}
		return w
	}
	d := data{name: name, dim: dim}
	for len(d.rows) < n {
		v := one()
		for range repeat {
			d.rows = append(d.rows, v)
		}
	}
	for range q {
		d.queries = append(d.queries, one())
	}
	return d
}

func (d data) normalized() data {
	unit := func(all [][]float32) [][]float32 {
		var out [][]float32
		for _, v := range all {
			v = slices.Clone(v)
			distance.Normalize(v)
			out = append(out, v)
		}
		return out
	}
	d.rows, d.queries = unit(d.rows), unit(d.queries)
	return d
}

func (d data) sample() []float32 {
	var s []float32
	for i := range min(len(d.rows), 1000) {
		s = append(s, d.rows[i*len(d.rows)/min(len(d.rows), 1000)]...)
	}
	return s
}

// exact returns the distance that codes estimate, up to a constant per query.
func exact(metric vector.Distance, a, b []float32) float64 {
	var s float64
	for i, x := range a {
		if metric == vector.Euclid {
			s += (float64(x) - float64(b[i])) * (float64(x) - float64(b[i]))
		} else {
			s -= float64(x) * float64(b[i])
		}
	}
	return s
}

type encoded struct {
	codec *quantization.Codec
	store *quantization.Store
	fit   quantization.Fit
}

func encode(tb testing.TB, d data, metric vector.Distance, config quantization.Config) encoded {
	tb.Helper()
	c, err := quantization.Train(d.sample(), quantization.Options{
		Kernels: kernels(tb), Dim: d.dim, Distance: metric, Config: config, Seed: 5,
	})
	require.NoError(tb, err)
	s, err := c.NewStore(len(d.rows), nil)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	fit := c.EncodeRange(s.Rows(), 0, uint32(len(d.rows)), 2, func(id uint32, _ []float32) []float32 { return d.rows[id] })
	return encoded{c, s, fit}
}

func nearest(scores []float64, n int) []uint32 {
	ids := make([]uint32, len(scores))
	for i := range ids {
		ids[i] = uint32(i)
	}
	slices.SortFunc(ids, func(a, b uint32) int { return cmp.Compare(scores[a], scores[b]) })
	return ids[:min(n, len(ids))]
}

// recall is that of a scan over codes with the best `rescore` rescored exactly.
// Rows at the same distance as the tenth count as found.
func recall(tb testing.TB, d data, metric vector.Distance, config quantization.Config, rescore int) float64 {
	tb.Helper()
	e := encode(tb, d, metric, config)
	q := e.codec.NewQuery(e.store.Rows())
	found, wanted := 0, 0
	out, scores, truth := make([]float32, len(d.rows)), make([]float64, len(d.rows)), make([]float64, len(d.rows))
	for _, v := range d.queries {
		q.Prepare(v)
		q.ScoreRange(0, out)
		for i, row := range d.rows {
			scores[i], truth[i] = float64(out[i]), exact(metric, v, row)
		}
		want := truth[nearest(truth, 10)[9]]
		candidates := nearest(scores, rescore)
		slices.SortFunc(candidates, func(a, b uint32) int { return cmp.Compare(truth[a], truth[b]) })
		for _, id := range candidates[:10] {
			wanted++
			if truth[id] <= want {
				found++
			}
		}
	}
	return float64(found) / float64(wanted)
}

func TestRecallOfScanAndRescore(t *testing.T) {
	dims, n, queries := []int{96}, 1000, 20
	if os.Getenv("SEXTANT_TEST_LARGE") != "" {
		dims, n, queries = []int{96, 200, 768}, 20000, 200
	}
	shapes := []func(int, int, int) data{clustered, heavyTailed, duplicated, lowRank}
	floors := []struct {
		config  quantization.Config
		floor   float64
		rescore int
	}{
		{quantization.Config{}, 0.99, 40},
		{quantization.Config{Method: quantization.Scalar, Quantile: 0.9}, 0.99, 40},
		{quantization.Config{Method: quantization.Turbo}, 0.97, 40},
		{quantization.Config{Method: quantization.Binary, Encoding: quantization.TwoBits}, 0.85, 100},
		{quantization.Config{Method: quantization.Binary, Encoding: quantization.OneAndHalfBits}, 0.75, 100},
		{quantization.Config{Method: quantization.Binary, QueryEncoding: quantization.QueryScalar8Bits}, 0.6, 100},
		{quantization.Config{Method: quantization.Binary, QueryEncoding: quantization.QueryBinary}, 0.5, 100},
	}
	for _, shape := range shapes {
		for _, dim := range dims {
			raw := shape(dim, n, queries)
			for _, metric := range []vector.Distance{vector.Euclid, vector.Cosine, vector.Dot} {
				d := raw
				if metric == vector.Cosine {
					d = raw.normalized()
				}
				for _, f := range floors {
					name := fmt.Sprintf("%s/%d/%d/%v", d.name, dim, metric, f.config)
					t.Run(name, func(t *testing.T) {
						got := recall(t, d, metric, f.config, f.rescore)
						t.Logf("recall %.4f", got)
						require.GreaterOrEqual(t, got, f.floor)
					})
				}
			}
		}
	}
}

func TestKindFollowsData(t *testing.T) {
	kind := func(d data, metric vector.Distance, c quantization.Config) quantization.Kind {
		return encode(t, d, metric, c).codec.Kind()
	}
	auto := quantization.Config{}
	require.Equal(t, quantization.Uniform7, kind(clustered(32, 500, 1), vector.Euclid, auto))
	require.Equal(t, quantization.Scaled7, kind(heavyTailed(32, 500, 1), vector.Euclid, auto))
	require.Equal(t, quantization.Scaled7, kind(clustered(32, 500, 1), vector.Dot, auto))
	require.Equal(t, quantization.Uniform7, kind(clustered(32, 500, 1).normalized(), vector.Dot, auto))
	require.Equal(t, quantization.Uniform7, kind(heavyTailed(32, 500, 1).normalized(), vector.Cosine, auto))
	for c, want := range map[quantization.Config]quantization.Kind{
		{Method: quantization.Product, Compression: 4}:                                 quantization.Uniform7,
		{Method: quantization.Product, Compression: 8}:                                 quantization.Scaled4,
		{Method: quantization.Product, Compression: 16}:                                quantization.Bits2,
		{Method: quantization.Product, Compression: 64}:                                quantization.Bits1,
		{Method: quantization.Binary}:                                                  quantization.Bits1,
		{Method: quantization.Binary, Encoding: quantization.OneAndHalfBits}:           quantization.Bits15,
		{Method: quantization.Turbo, Bits: quantization.TwoBits}:                       quantization.Bits2,
		{Method: quantization.Turbo}:                                                   quantization.Scaled4,
		{Method: quantization.Scalar, Quantile: 0.5}:                                   quantization.Uniform7,
		{Method: quantization.Binary, QueryEncoding: quantization.QueryScalar8Bits}:    quantization.Bits1,
		{Method: quantization.Binary, Encoding: quantization.TwoBits, AlwaysRAM: true}: quantization.Bits2,
	} {
		require.Equal(t, want, kind(clustered(32, 100, 1), vector.Euclid, c), "%+v", c)
	}
}

func TestTrainRefuses(t *testing.T) {
	train := func(n int, o quantization.Options) error {
		o.Kernels = kernels(t)
		_, err := quantization.Train(make([]float32, n), o)
		return err
	}
	require.ErrorIs(t, train(4, quantization.Options{Dim: 4, Distance: vector.Manhattan}), quantization.ErrNoCodec)
	require.ErrorIs(t, train(4, quantization.Options{Dim: 4}), quantization.ErrNoCodec)
	require.ErrorIs(t, train(0, quantization.Options{Dim: 4, Distance: vector.Dot}), quantization.ErrSample)
	require.ErrorIs(t, train(5, quantization.Options{Dim: 4, Distance: vector.Dot}), quantization.ErrSample)
	for _, c := range []quantization.Config{
		{Method: quantization.Binary, Encoding: quantization.FourBits},
		{Method: quantization.Turbo, Bits: quantization.SevenBits},
		{Method: quantization.Product, Compression: 5},
		{Method: 99},
	} {
		require.ErrorIs(t, train(4, quantization.Options{Dim: 4, Distance: vector.Dot, Config: c}), quantization.ErrConfig)
	}
}

// configs are one for every kind and query encoding.
func configs() []quantization.Config {
	all := []quantization.Config{{}, {Method: quantization.Turbo}}
	for bits := quantization.OneBit; bits <= quantization.TwoBits; bits++ {
		for e := quantization.QueryDefault; e <= quantization.QueryScalar8Bits; e++ {
			all = append(all, quantization.Config{Method: quantization.Binary, Encoding: bits, QueryEncoding: e})
		}
	}
	return all
}

// relativeError bounds the error of a distance relative to the product of the
// lengths of the two centred vectors.
func relativeError(k quantization.Kind) float64 {
	switch k {
	case quantization.Uniform7, quantization.Scaled7:
		return 0.03
	case quantization.Scaled4:
		return 0.1
	case quantization.Bits2:
		return 0.5
	default:
		return 0.8
	}
}

func TestDistancesAreClose(t *testing.T) {
	for _, config := range configs() {
		for _, metric := range []vector.Distance{vector.Euclid, vector.Dot} {
			for _, dim := range []int{64, 100} {
				d := clustered(dim, 200, 5)
				e := encode(t, d, metric, config)
				q := e.codec.NewQuery(e.store.Rows())
				out := make([]float32, len(d.rows))
				bound := func(a, b []float32) float64 {
					return -relativeError(e.codec.Kind()) * (exact(vector.Dot, a, a) + exact(vector.Dot, b, b))
				}
				for _, v := range d.queries {
					q.Prepare(v)
					q.ScoreRange(0, out)
					for i, row := range d.rows {
						require.InDelta(t, exact(metric, v, row), out[i], bound(v, row), "%v metric %d dim %d", config, metric, dim)
					}
				}
				for a := range uint32(5) {
					q.PrepareRow(a)
					q.ScoreRange(0, out)
					for i, row := range d.rows {
						require.InDelta(t, exact(metric, d.rows[a], row), out[i], bound(d.rows[a], row), "row %d as query: %v metric %d dim %d", a, config, metric, dim)
					}
				}
			}
		}
	}
}

func TestRowDistancesAreSymmetric(t *testing.T) {
	for _, config := range configs() {
		for _, metric := range []vector.Distance{vector.Euclid, vector.Dot} {
			d := heavyTailed(70, 40, 0)
			e := encode(t, d, metric, config)
			q := e.codec.NewQuery(e.store.Rows())
			all := make([][]float32, len(d.rows))
			for a := range all {
				all[a] = make([]float32, len(d.rows))
				q.PrepareRow(uint32(a))
				q.ScoreRange(0, all[a])
			}
			for a := range all {
				for b := range all {
					scale := math.Abs(float64(all[a][a])) + math.Abs(float64(all[b][b])) + math.Abs(float64(all[a][b])) +
						math.Abs(exact(vector.Dot, d.rows[a], d.rows[a])) + math.Abs(exact(vector.Dot, d.rows[b], d.rows[b]))
					require.InDelta(t, all[a][b], all[b][a], 1e-4*scale, "%v %d", config, metric)
				}
			}
		}
	}
}

func TestScoreEqualsScoreRange(t *testing.T) {
	for _, config := range configs() {
		d := clustered(130, 300, 2)
		e := encode(t, d, vector.Dot, config)
		q := e.codec.NewQuery(e.store.Rows())
		ids := make([]uint32, 150)
		for i := range ids {
			ids[i] = uint32((i * 7) % 300)
		}
		all, some := make([]float32, 300), make([]float32, 150)
		check := func() {
			q.ScoreRange(0, all)
			q.Score(ids, some)
			for i, id := range ids {
				require.InDelta(t, all[id], some[i], 0)
			}
			q.ScoreRange(201, some[:99])
			require.Equal(t, all[201:], some[:99])
			q.Score(nil, nil)
			q.ScoreRange(7, nil)
			q.Ask(ids)
			q.Ask(nil)
		}
		q.Prepare(d.queries[0])
		check()
		q.PrepareRow(17)
		check()
		q.Prepare(d.queries[1])
		check()
	}
}

func TestQueryAllocatesNothing(t *testing.T) {
	for _, config := range configs() {
		d := clustered(64, 100, 1)
		e := encode(t, d, vector.Euclid, config)
		q := e.codec.NewQuery(e.store.Rows())
		ids, out := []uint32{1, 2, 3, 4, 5}, make([]float32, 100)
		require.Zero(t, testing.AllocsPerRun(10, func() {
			q.Prepare(d.queries[0])
			q.Score(ids, out)
			q.ScoreRange(0, out)
			q.PrepareRow(3)
			q.Score(ids, out)
		}), "%v", config)
	}
}

func TestOddVectorsDoNotBreakScores(t *testing.T) {
	const dim = 48
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	fill := func(x float32) []float32 {
		v := make([]float32, dim)
		for j := range v {
			v[j] = x
		}
		return v
	}
	mixed := fill(1)
	mixed[3], mixed[7] = nan, -inf
	odd := [][]float32{fill(0), fill(1), fill(-3), fill(nan), fill(inf), fill(math.MaxFloat32), fill(math.SmallestNonzeroFloat32), mixed}
	for _, base := range []data{clustered(dim, 300, 1), {dim: dim, rows: [][]float32{fill(0)}}, {dim: dim, rows: [][]float32{fill(2)}}, {dim: dim, rows: odd}} {
		for _, metric := range []vector.Distance{vector.Euclid, vector.Dot, vector.Cosine} {
			for _, config := range configs() {
				d := base
				c, err := quantization.Train(d.sample(), quantization.Options{Kernels: kernels(t), Dim: dim, Distance: metric, Config: config})
				require.NoError(t, err)
				s, err := c.NewStore(len(odd), nil)
				require.NoError(t, err)
				e := c.NewEncoder()
				for i, v := range odd {
					e.Encode(v, s.Rows(), uint32(i))
				}
				q := c.NewQuery(s.Rows())
				out := make([]float32, len(odd))
				check := func() {
					q.ScoreRange(0, out)
					for i, x := range out {
						require.False(t, math.IsNaN(float64(x)), "row %d has score NaN: %v metric %d", i, config, metric)
					}
				}
				for i, v := range odd {
					q.Prepare(v)
					check()
					q.PrepareRow(uint32(i))
					check()
				}
				require.NoError(t, s.Close())
			}
		}
	}
}

func TestMarshalRoundTrip(t *testing.T) {
	for _, config := range configs() {
		d := heavyTailed(77, 200, 3)
		e := encode(t, d, vector.Dot, config)
		again, err := quantization.Unmarshal(e.codec.Marshal(), kernels(t))
		require.NoError(t, err)
		require.Equal(t, e.codec.Marshal(), again.Marshal())
		codes, factors := e.store.Bytes(len(d.rows))
		rows, n, err := again.MappedRows(codes, factors)
		require.NoError(t, err)
		require.Equal(t, len(d.rows), n)
		a, b := e.codec.NewQuery(e.store.Rows()), again.NewQuery(rows)
		x, y := make([]float32, n), make([]float32, n)
		for _, v := range d.queries {
			a.Prepare(v)
			b.Prepare(v)
			a.ScoreRange(0, x)
			b.ScoreRange(0, y)
			require.Equal(t, x, y)
		}
		_, _, err = again.MappedRows(codes[1:], factors)
		require.Error(t, err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, config := range configs() {
		c, err := quantization.Train([]float32{1, 2, 3, 4, 5, 6}, quantization.Options{
			Kernels: kernels(f), Dim: 3, Distance: vector.Euclid, Config: config,
		})
		require.NoError(f, err)
		f.Add(c.Marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := quantization.Unmarshal(b, kernels(t))
		if err != nil {
			require.ErrorIs(t, err, quantization.ErrCorrupted)
			return
		}
		require.Equal(t, b, c.Marshal())
	})
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	c, err := quantization.Train([]float32{1, 2, 3, 4, 5, 6}, quantization.Options{Kernels: kernels(t), Dim: 3, Distance: vector.Euclid})
	require.NoError(t, err)
	good := c.Marshal()
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		_, err := quantization.Unmarshal(bad, kernels(t))
		require.ErrorIs(t, err, quantization.ErrCorrupted)
		_, err = quantization.Unmarshal(good[:i], kernels(t))
		require.ErrorIs(t, err, quantization.ErrCorrupted)
	}
}

func TestDriftIsNoticed(t *testing.T) {
	d := clustered(32, 2000, 0)
	e := encode(t, d, vector.Euclid, quantization.Config{})
	require.False(t, e.codec.Drifted(e.fit))
	wide := e.codec.NewEncoder()
	for i, v := range d.rows {
		w := slices.Clone(v)
		for j := range w {
			w[j] *= 3
		}
		wide.Encode(w, e.store.Rows(), uint32(i))
	}
	require.True(t, e.codec.Drifted(wide.Fit))
	require.False(t, e.codec.Drifted(quantization.Fit{Rows: 10, Misfits: 10}), "too few to tell")

	// Unit vectors are ordered by distance; rows of other lengths are not.
	unit := encode(t, d.normalized(), vector.Dot, quantization.Config{})
	require.False(t, unit.codec.Drifted(unit.fit))
	raw := unit.codec.NewEncoder()
	for i, v := range d.rows {
		raw.Encode(v, unit.store.Rows(), uint32(i))
	}
	require.True(t, unit.codec.Drifted(raw.Fit))
}

// Another sample of the same rows brings no other codec, other rows do.
func TestAlike(t *testing.T) {
	d := clustered(64, 4000, 0)
	train := func(d data, from, to int, metric vector.Distance) *quantization.Codec {
		d.rows = d.rows[from:to]
		return encode(t, d, metric, quantization.Config{}).codec
	}
	for metric, d := range map[vector.Distance]data{vector.Euclid: d, vector.Cosine: d.normalized()} {
		c := train(d, 0, 2000, metric)
		require.Equal(t, quantization.Uniform7, c.Kind())
		require.True(t, c.Alike(train(d, 2000, 4000, metric)), metric)
	}
	c := train(d, 0, 2000, vector.Euclid)
	for what, change := range map[string]func(float32) float32{
		"wider":     func(x float32) float32 { return x * 1.1 },
		"elsewhere": func(x float32) float32 { return x + 1 },
	} {
		other := d
		other.rows = nil
		for _, row := range d.rows {
			row = slices.Clone(row)
			for i := range row {
				row[i] = change(row[i])
			}
			other.rows = append(other.rows, row)
		}
		require.False(t, c.Alike(train(other, 2000, 4000, vector.Euclid)), what)
	}
	require.False(t, c.Alike(encode(t, heavyTailed(64, 2000, 0), vector.Euclid, quantization.Config{}).codec))
}

func TestEncodeRangeEncodesEachRowOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(0, 1500).Draw(r, "rows")
		from := rapid.IntRange(0, n).Draw(r, "from")
		d := clustered(8, 10, 0)
		c, err := quantization.Train(d.sample(), quantization.Options{Kernels: kernels(t), Dim: 8, Distance: vector.Euclid})
		require.NoError(r, err)
		s, err := c.NewStore(n, nil)
		require.NoError(r, err)
		fit := c.EncodeRange(s.Rows(), uint32(from), uint32(n), 3, func(id uint32, dst []float32) []float32 {
			copy(dst, d.rows[int(id)%len(d.rows)])
			return dst
		})
		require.Equal(r, uint64(n-from), fit.Rows)
		one := c.NewEncoder()
		two, err := c.NewStore(n, nil)
		require.NoError(r, err)
		for id := from; id < n; id++ {
			one.Encode(d.rows[id%len(d.rows)], two.Rows(), uint32(id))
		}
		a, _ := s.Bytes(n)
		b, _ := two.Bytes(n)
		require.Equal(r, b, a)
		require.NoError(r, s.Close())
		require.NoError(r, two.Close())
	})
}
