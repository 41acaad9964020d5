// Package lsa computes dense vectors of texts by latent semantic analysis
// (Deerwester et al. 1990): the rows of a TF-IDF matrix projected on its leading
// right singular vectors, found by randomized subspace iteration (Halko,
// Martinsson & Tropp 2011). Texts that use different words of the same topic come
// near each other, without any model to download.
//
// Caller: cmd/sextant/demo.
//
// A fitted Model is immutable and deterministic: the same texts, options and seed
// give the same vectors on the same architecture, whatever the number of CPUs.
package lsa

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/sextantdb/sextant/engine/text"
)

// Options say how to fit. The zero value is the default.
type Options struct {
	// Dim is the number of dimensions; 0 means 256. Fewer come out when the texts
	// have fewer distinct terms.
	Dim int
	// MinDocs is the least number of texts a term must be in; 0 means 2.
	MinDocs int
	// MaxShare is the largest share of the texts a term may be in; 0 means 0.2.
	MaxShare float64
	// Iterations is the number of subspace iterations; 0 means 2. More separate the
	// smaller singular values better.
	Iterations int
	// Power is the exponent of the singular values in the dimensions' scale. 1 is
	// the plain projection; 0 gives all dimensions the same weight. Its zero value
	// means 0.5.
	Power float64
	// Seed chooses the random start.
	Seed uint64
	// Progress is called after each of total steps; may be nil.
	Progress func(done, total int)
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Dim, 256)
	def(&o.MinDocs, 2)
	def(&o.Iterations, 2)
	if o.MaxShare == 0 {
		o.MaxShare = 0.2
	}
	if o.Power == 0 {
		o.Power = 0.5
	}
	return o
}

// Model embeds texts in the space of those it was fitted to.
type Model struct {
	analyzer *text.Analyzer
	terms    map[string]int32
	idf      []float32
	// basis has a row a term: its coordinates, scaled.
	basis []float32
	dim   int
}

// ErrTooLittle says that there is nothing to learn from the texts.
var ErrTooLittle = errors.New("too few texts with common terms to fit a model")

// Fit learns a model from texts.
func Fit(ctx context.Context, texts []string, o Options) (*Model, error) {
	o = o.withDefaults()
	analyzer, err := text.New(text.Options{
		StopLanguages: []text.Language{text.English}, Stemmer: text.English, ASCIIFolding: true, MinLen: 2, MaxLen: 40,
	})
	if err != nil {
		return nil, fmt.Errorf("make tokenizer: %w", err)
	}
	m := &Model{analyzer: analyzer}
	counts := countTerms(analyzer, texts)
	m.chooseTerms(counts, len(texts), o)
	if len(m.idf) < 2 {
		return nil, ErrTooLittle
	}
	matrix := m.weigh(counts)
	if err := m.decompose(ctx, matrix, o); err != nil {
		return nil, err
	}
	return m, nil
}

// Dim returns the length of vectors.
func (m *Model) Dim() int { return m.dim }

// Terms returns the number of terms the model knows.
func (m *Model) Terms() int { return len(m.idf) }

// Embed returns the vector of a text, of length 1; of zeros when the model knows
// none of its terms.
func (m *Model) Embed(s string) []float32 {
	counts := make(map[string]int32)
	for token := range m.analyzer.Document(s) {
		counts[token]++
	}
	return m.project(m.row(counts))
}

// EmbedAll embeds many texts with all CPUs.
func (m *Model) EmbedAll(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	err := parallel(ctx, len(texts), func(i int) { out[i] = m.Embed(texts[i]) })
	return out, err
}

// row weighs the terms of a text: (1 + ln tf) · idf, of length 1, ordered by term.
func (m *Model) row(counts map[string]int32) []entry {
	row := make([]entry, 0, len(counts))
	sum := 0.0
	for token, n := range counts {
		if t, ok := m.terms[token]; ok {
			w := float32(1+math.Log(float64(n))) * m.idf[t]
			row = append(row, entry{t, w})
		}
	}
	slices.SortFunc(row, func(a, b entry) int { return int(a.term - b.term) })
	for _, e := range row {
		sum += float64(e.weight) * float64(e.weight)
	}
	if sum > 0 {
		scale := float32(1 / math.Sqrt(sum))
		for i := range row {
			row[i].weight *= scale
		}
	}
	return row
}

// project brings a row into the space and to length 1.
func (m *Model) project(row []entry) []float32 {
	v := make([]float32, m.dim)
	for _, e := range row {
		for i, b := range m.basis[int(e.term)*m.dim : (int(e.term)+1)*m.dim] {
			v[i] += e.weight * b
		}
	}
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum > 0 {
		scale := float32(1 / math.Sqrt(sum))
		for i := range v {
			v[i] *= scale
		}
	}
	return v
}

// countTerms counts the tokens of each text.
func countTerms(analyzer *text.Analyzer, texts []string) []map[string]int32 {
	counts := make([]map[string]int32, len(texts))
	// The context is not the caller's: counting takes a second or two.
	_ = parallel(context.Background(), len(texts), func(i int) {
		counts[i] = make(map[string]int32)
		for token := range analyzer.Document(texts[i]) {
			counts[i][token]++
		}
	})
	return counts
}

// chooseTerms numbers the terms that are neither too rare nor too common, in
// alphabetical order, and computes their idf.
func (m *Model) chooseTerms(counts []map[string]int32, texts int, o Options) {
	df := make(map[string]int)
	for _, c := range counts {
		for token := range c {
			df[token]++
		}
	}
	var terms []string
	for token, n := range df {
		if n >= o.MinDocs && float64(n) <= max(o.MaxShare*float64(texts), float64(o.MinDocs)) {
			terms = append(terms, token)
		}
	}
	slices.Sort(terms)
	m.terms = make(map[string]int32, len(terms))
	m.idf = make([]float32, len(terms))
	for i, token := range terms {
		m.terms[token] = int32(i)
		m.idf[i] = float32(math.Log(float64(texts) / float64(df[token])))
	}
}

// weigh makes the matrix with a row a text; texts without known terms are left
// out.
func (m *Model) weigh(counts []map[string]int32) *sparseMatrix {
	s := &sparseMatrix{offsets: []int{0}, columns: len(m.idf)}
	for _, c := range counts {
		if row := m.row(c); len(row) > 0 {
			s.entries = append(s.entries, row...)
			s.offsets = append(s.offsets, len(s.entries))
		}
	}
	return s
}

// decompose finds the leading right singular vectors and makes the basis.
func (m *Model) decompose(ctx context.Context, a *sparseMatrix, o Options) error {
	steps := 2*o.Iterations + 2
	done := 0
	step := func() error {
		if done++; o.Progress != nil {
			o.Progress(done, steps)
		}
		return ctx.Err()
	}
	const oversample = 16
	width := min(o.Dim+oversample, a.columns, len(a.offsets)-1)
	q := gaussian(a.columns, width, o.Seed)
	for i := range o.Iterations {
		y := a.times(q)
		if err := step(); err != nil {
			return err
		}
		q = a.transposedTimes(y)
		passes := 1
		if i+1 == o.Iterations {
			passes = 2
		}
		if err := orthonormalize(q, passes); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	values, rotation, err := leading(a.times(q))
	if err != nil {
		return err
	}
	if err := step(); err != nil {
		return err
	}
	m.dim = min(o.Dim, width)
	m.makeBasis(q, values, rotation, o.Power)
	return step()
}

// makeBasis turns q into singular vectors, of which it keeps the first dim,
// scaled so that a projected dimension weighs σ^power.
func (m *Model) makeBasis(q *mat.Dense, values []float64, rotation *mat.Dense, power float64) {
	rows, _ := q.Dims()
	var v mat.Dense
	v.Mul(q, rotation)
	m.basis = make([]float32, rows*m.dim)
	for j := range m.dim {
		scale := 0.0
		if values[j] > 1e-9*values[0] {
			scale = math.Pow(values[j]/values[0], power-1)
		}
		for i := range rows {
			m.basis[i*m.dim+j] = float32(v.At(i, j) * scale)
		}
	}
}

// workers is how many goroutines share a loop.
func workers() int { return runtime.GOMAXPROCS(0) }
