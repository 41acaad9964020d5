// Package dataset makes and reads the vectors that benchmarks run on, with the
// exact answers to compare against.
//
// Callers: `sextant bench`, `sextant demo` and bench/peers.
package dataset

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// Matrix is rows of float32 without gaps.
type Matrix struct {
	Dim  int
	Data []float32
}

// Rows returns the number of rows.
func (m Matrix) Rows() int {
	if m.Dim == 0 {
		return 0
	}
	return len(m.Data) / m.Dim
}

// Row returns row i, which shares m's memory.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.Dim : (i+1)*m.Dim : (i+1)*m.Dim] }

// Set is a benchmark's data.
type Set struct {
	// Name says what it is, for tables and pictures.
	Name string
	// Base are the vectors to find, Queries those to ask with.
	Base, Queries Matrix
	// Truth has the true nearest rows of Base for each query, nearest first.
	Truth [][]uint32
}

// Metric is what "near" means.
type Metric uint8

// The metrics of the benchmarks.
const (
	L2  Metric = iota // Euclidean
	Dot               // inner product; cosine on normalised rows
)

// Shape describes a generated set. Vectors come from a low-dimensional latent
// space with clusters of different weight and width, bent by tanh and with a
// little noise: like learned embeddings they have a low local dimension in a
// high-dimensional space. Uniform random vectors would be unlike any real data.
type Shape struct {
	Rows, Queries, Dim int
	// Latent is the dimension of the space that is embedded, Local that of a
	// cluster.
	Latent, Local int
	// Clusters is their number.
	Clusters int
	// Normalize scales rows to length 1.
	Normalize bool
	// HeavyTail scales rows by a log-normal factor with this sigma; 0 is off.
	HeavyTail float64
	// Duplicates makes this many rows identical.
	Duplicates int
	// Seed makes another set of the same shape.
	Seed uint64
}

// Clustered is the shape used for the published figures: rows × dim, mildly
// clustered.
func Clustered(rows, queries, dim int) Shape {
	latent, local, clusters := 64, 24, max(1, rows/300)
	if dim >= 512 {
		latent, local, clusters = 96, 32, max(1, rows/250)
	}
	return Shape{Rows: rows, Queries: queries, Dim: dim, Latent: latent, Local: local, Clusters: clusters, Normalize: dim >= 512}
}

// Generate makes the vectors of a shape; Truth stays empty.
func Generate(s Shape) Set {
	m := newModel(s)
	set := Set{Base: m.sample(s.Rows, 1), Queries: m.sample(s.Queries, 2)}
	if s.Duplicates > 0 {
		rng := rand.New(rand.NewPCG(s.Seed, 3))
		for range s.Duplicates {
			copy(set.Base.Row(rng.IntN(s.Rows)), set.Base.Row(0))
		}
	}
	return set
}

// model is the distribution of a Shape.
type model struct {
	Shape
	embed   []float32 // Dim × Latent
	centers []float32 // Clusters × Latent
	spread  []float32 // Clusters × Latent × Local
	weights []float64 // cumulated
}

func newModel(s Shape) *model {
	rng := rand.New(rand.NewPCG(s.Seed, 0))
	m := &model{Shape: s, weights: make([]float64, s.Clusters)}
	m.embed = make([]float32, s.Dim*s.Latent)
	for i := range m.embed {
		// Later latent dimensions matter less, as singular values fall.
		fall := math.Sqrt(1 + float64(i%s.Latent)/8)
		m.embed[i] = float32(rng.NormFloat64() / math.Sqrt(float64(s.Latent)) / fall)
	}
	m.centers = normal(rng, s.Clusters*s.Latent, 1)
	m.spread = normal(rng, s.Clusters*s.Latent*s.Local, 1/math.Sqrt(float64(s.Local)))
	sum := 0.0
	for i := range m.weights {
		sum += math.Exp(rng.NormFloat64() * 0.8)
		m.weights[i] = sum
	}
	return m
}

func normal(rng *rand.Rand, n int, sigma float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64() * sigma)
	}
	return out
}

// sample draws rows in blocks with a generator each, so that the result does not
// depend on the number of processors.
func (m *model) sample(rows int, stream uint64) Matrix {
	out := Matrix{Dim: m.Dim, Data: make([]float32, rows*m.Dim)}
	const block = 1024
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for start := 0; start < rows; start += block {
		g.Go(func() error {
			rng := rand.New(rand.NewPCG(m.Seed<<8|stream, uint64(start)))
			latent, local := make([]float32, m.Latent), make([]float32, m.Local)
			for i := start; i < min(start+block, rows); i++ {
				m.draw(rng, latent, local, out.Row(i))
			}
			return nil
		})
	}
	_ = g.Wait() // nothing in it fails
	return out
}

func (m *model) draw(rng *rand.Rand, latent, local, row []float32) {
	c, _ := slices.BinarySearch(m.weights, rng.Float64()*m.weights[len(m.weights)-1])
	for j := range local {
		local[j] = float32(rng.NormFloat64())
	}
	width := float32(0.5+0.5*rng.Float64()) * 0.7
	for l := range latent {
		at := (c*m.Latent + l) * m.Local
		latent[l] = m.centers[c*m.Latent+l]*0.7 + dot(m.spread[at:at+m.Local], local)*width
	}
	length := 0.0
	for k := range row {
		x := math.Tanh(float64(dot(m.embed[k*m.Latent:(k+1)*m.Latent], latent))) + rng.NormFloat64()*0.03
		row[k] = float32(x)
		length += x * x
	}
	scale := 1.0
	if m.Normalize {
		scale = 1 / math.Sqrt(length)
	}
	if m.HeavyTail > 0 {
		scale *= math.Exp(rng.NormFloat64() * m.HeavyTail)
	}
	if scale != 1 {
		for k := range row {
			row[k] *= float32(scale)
		}
	}
}

func dot(a, b []float32) (sum float32) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// Truth computes the k nearest rows of base for each query by comparing all of
// them. keep, when not nil, says which rows count.
func Truth(ctx context.Context, base, queries Matrix, metric Metric, k int, keep func(row int) bool) ([][]uint32, error) {
	kernels := distance.Detect()
	out := make([][]uint32, queries.Rows())
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for q := range out {
		g.Go(func() error {
			out[q] = nearest(kernels, base, queries.Row(q), metric, k, keep)
			return ctx.Err()
		})
	}
	return out, g.Wait()
}

type neighbour struct {
	far float32
	row uint32
}

func nearest(kernels *distance.Kernels, base Matrix, q []float32, metric Metric, k int, keep func(int) bool) []uint32 {
	const block = 4096
	scores := make([]float32, block)
	best := make([]neighbour, 0, 2*k+block)
	bound := float32(math.Inf(1))
	for first := 0; first < base.Rows(); first += block {
		out := scores[:min(block, base.Rows()-first)]
		start := unsafe.Pointer(unsafe.SliceData(base.Data))
		if metric == L2 {
			kernels.L2Range(q, start, base.Dim*4, uint32(first), out)
		} else {
			kernels.DotRange(q, start, base.Dim*4, uint32(first), out)
		}
		for i, far := range out {
			if metric == Dot {
				far = -far
			}
			if far < bound && (keep == nil || keep(first+i)) {
				best = append(best, neighbour{far, uint32(first + i)})
			}
		}
		if best = trim(best, k); len(best) == k {
			bound = best[k-1].far
		}
	}
	rows := make([]uint32, len(best))
	for i, n := range best {
		rows[i] = n.row
	}
	return rows
}

func trim(best []neighbour, k int) []neighbour {
	slices.SortFunc(best, func(a, b neighbour) int { return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.row, b.row)) })
	return best[:min(k, len(best))]
}

// Recall returns which share of the first k true rows was found, over all
// queries. A query with fewer true rows counts those.
func Recall(truth, found [][]uint32, k int) float64 {
	hit, all := 0, 0
	for q, rows := range truth {
		rows = rows[:min(k, len(rows))]
		all += len(rows)
		for _, r := range found[q][:min(k, len(found[q]))] {
			if slices.Contains(rows, r) {
				hit++
			}
		}
	}
	if all == 0 {
		return 1
	}
	return float64(hit) / float64(all)
}
