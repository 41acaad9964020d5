package lsa

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cmd/sextant/demo/corpus"
)

// topics are texts of n topics with words of their own and some common ones.
func topics(n, texts int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]string, texts)
	for i := range out {
		var words []string
		for range 6 {
			words = append(words, fmt.Sprintf("topic%cword%c", 'a'+i%n, 'a'+r.IntN(12)))
		}
		for range 2 {
			words = append(words, fmt.Sprintf("filler%c", 'a'+r.IntN(20)))
		}
		out[i] = strings.Join(words, " ")
	}
	return out
}

func fit(t *testing.T, texts []string, o Options) *Model {
	t.Helper()
	m, err := Fit(t.Context(), texts, o)
	require.NoError(t, err)
	return m
}

func cosine(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// Texts of one topic without a common word are near; those of two are not.
func TestTopicsMeet(t *testing.T) {
	m := fit(t, topics(5, 300), Options{Dim: 5, MaxShare: 1})
	same := cosine(m.Embed("topicaworda topicawordb"), m.Embed("topicawordc topicawordd"))
	other := cosine(m.Embed("topicaworda topicawordb"), m.Embed("topicbworda topicbwordb"))
	require.Greater(t, same, 0.9)
	require.Less(t, math.Abs(other), 0.3)
}

func TestVectorsHaveLengthOne(t *testing.T) {
	m := fit(t, topics(4, 100), Options{Dim: 16})
	require.Equal(t, 16, m.Dim())
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"fillera", "topicaworda", "topicbwordc", "unknown", "The"}), 0, 9).Draw(t, "words"), " ")
		v := m.Embed(text)
		require.Len(t, v, 16)
		want := 1.0
		if !strings.Contains(text, "filler") && !strings.Contains(text, "topic") {
			want = 0
		}
		require.InDelta(t, want, cosine(v, v), 1e-5)
	})
}

func TestFitIsDeterministic(t *testing.T) {
	texts := topics(4, 200)
	a, b := fit(t, texts, Options{Dim: 20, Seed: 7}), fit(t, texts, Options{Dim: 20, Seed: 7})
	va, err := a.EmbedAll(t.Context(), texts)
	require.NoError(t, err)
	vb, err := b.EmbedAll(t.Context(), texts)
	require.NoError(t, err)
	require.Equal(t, va, vb)
	require.Equal(t, va[3], a.Embed(texts[3]))
}

// Without a power the vectors are those of the exact decomposition: equal
// similarities, since the sign and rotation of dimensions are free.
func TestAgreesWithExactDecomposition(t *testing.T) {
	texts := topics(6, 120)
	const dim = 6
	m := fit(t, texts, Options{Dim: dim, Power: 1, Iterations: 6, MaxShare: 1})
	dense := mat.NewDense(len(texts), m.Terms(), nil)
	for i, c := range countTerms(m.analyzer, texts) {
		for _, e := range m.row(c) {
			dense.Set(i, int(e.term), float64(e.weight))
		}
	}
	var svd mat.SVD
	require.True(t, svd.Factorize(dense, mat.SVDThin))
	var v, exact mat.Dense
	svd.VTo(&v)
	exact.Mul(dense, v.Slice(0, m.Terms(), 0, dim))
	for i := range texts {
		for j := range i {
			a, b := exact.RowView(i), exact.RowView(j)
			want := mat.Dot(a, b) / (mat.Norm(a, 2) * mat.Norm(b, 2))
			require.InDelta(t, want, cosine(m.Embed(texts[i]), m.Embed(texts[j])), 1e-3)
		}
	}
}

func TestOrthonormalize(t *testing.T) {
	q := gaussian(50, 7, 3)
	for i := range 50 { // a column that says nothing new
		q.Set(i, 6, q.At(i, 0)+q.At(i, 1))
	}
	require.NoError(t, orthonormalize(q, 2))
	var gram mat.Dense
	gram.Mul(q.T(), q)
	rank := 0
	for i := range 7 {
		for j := range 7 {
			want := 0.0
			if i == j && gram.At(i, i) > 0.5 {
				want, rank = 1, rank+1
			}
			require.InDelta(t, want, gram.At(i, j), 1e-6)
		}
	}
	require.Equal(t, 6, rank)
}

func TestTooLittle(t *testing.T) {
	for _, texts := range [][]string{nil, {"one"}, {"alpha beta", "gamma delta"}} {
		_, err := Fit(t.Context(), texts, Options{})
		require.ErrorIs(t, err, ErrTooLittle)
	}
}

func TestCancelledFit(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Fit(ctx, topics(3, 50), Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestProgress(t *testing.T) {
	var seen []int
	fit(t, topics(3, 50), Options{Dim: 4, Progress: func(done, total int) {
		seen = append(seen, done)
		require.Equal(t, 6, total)
	}})
	require.Equal(t, []int{1, 2, 3, 4, 5, 6}, seen)
}

// On real documentation, the nearest neighbours of an entry are of its package
// far more often than chance.
func TestNeighboursOfRealText(t *testing.T) {
	root, err := corpus.FindRoot(t.Context())
	require.NoError(t, err)
	entries, err := corpus.Read(t.Context(), root, corpus.Options{Only: []string{
		"compress/gzip", "encoding/csv", "flag", "html/template", "math/big", "net/url", "path/filepath", "regexp", "sync", "time",
	}})
	require.NoError(t, err)
	entries = slices.DeleteFunc(entries, func(e corpus.Entry) bool { return !e.Exported })
	texts := make([]string, len(entries))
	for i, e := range entries {
		texts[i] = e.Text // without the name of the package
	}
	m := fit(t, texts, Options{Dim: 64})
	vectors, err := m.EmbedAll(t.Context(), texts)
	require.NoError(t, err)
	same, chance := 0, 0
	r := rand.New(rand.NewPCG(5, 6))
	for i, v := range vectors {
		best := -1
		for j, w := range vectors {
			if j != i && (best < 0 || cosine(v, w) > cosine(v, vectors[best])) {
				best = j
			}
		}
		if entries[best].Package == entries[i].Package {
			same++
		}
		if entries[r.IntN(len(entries))].Package == entries[i].Package {
			chance++
		}
	}
	require.Greater(t, same, 3*chance)
	require.Greater(t, float64(same)/float64(len(entries)), 0.7)
}
