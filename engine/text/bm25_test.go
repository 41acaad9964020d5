package text_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/text"
	"github.com/sextantdb/sextant/internal/apierror"
)

func newBM25(t *testing.T, options map[string]any) *text.BM25 {
	t.Helper()
	cfg, err := text.ParseBM25(options)
	require.NoError(t, err)
	m, err := text.NewBM25(cfg)
	require.NoError(t, err)
	return m
}

func TestTokenID(t *testing.T) {
	// Published test values of murmur3_32 with seed 0.
	require.Equal(t, uint32(0), text.TokenID(""))
	require.Equal(t, uint32(0x248bfa47), text.TokenID("hello"))
	require.Equal(t, uint32(0x149bbb7f), text.TokenID("hello, world"))
	require.Equal(t, uint32(0x2e4ff723), text.TokenID("The quick brown fox jumps over the lazy dog"))
}

func TestIsBM25(t *testing.T) {
	for _, name := range []string{"qdrant/bm25", "Qdrant/BM25", "bm25", "Bm25"} {
		require.True(t, text.IsBM25(name), name)
	}
	for _, name := range []string{"", "qdrant/bm42", "bm25 "} {
		require.False(t, text.IsBM25(name), name)
	}
}

func TestEmbedDocument(t *testing.T) {
	m := newBM25(t, nil)
	indices, values := m.EmbedDocument("The dogs and the dog; a running Dog sleeps")
	require.True(t, slices.IsSorted(indices))
	require.Len(t, indices, 3)
	got := map[uint32]float32{}
	for i, id := range indices {
		got[id] = values[i]
	}
	// Five tokens: dog, dog, run, dog, sleep.
	norm := 1.2 * (1 - 0.75 + 0.75*5/256)
	require.InDelta(t, 3*2.2/(3+norm), got[text.TokenID("dog")], 1e-6)
	require.InDelta(t, 1*2.2/(1+norm), got[text.TokenID("run")], 1e-6)
	require.InDelta(t, 1*2.2/(1+norm), got[text.TokenID("sleep")], 1e-6)
}

func TestEmbedQuery(t *testing.T) {
	m := newBM25(t, nil)
	indices, values := m.EmbedQuery("the running dogs of a dog")
	want := []uint32{text.TokenID("run"), text.TokenID("dog")}
	slices.Sort(want)
	require.Equal(t, want, indices)
	require.Equal(t, []float32{1, 1}, values)

	indices, values = m.EmbedQuery("the of and")
	require.Empty(t, indices)
	require.Empty(t, values)
}

func TestBM25Options(t *testing.T) {
	f := func(options map[string]any, in string, want ...string) {
		t.Helper()
		var ids []uint32
		for _, w := range want {
			ids = append(ids, text.TokenID(w))
		}
		slices.Sort(ids)
		got, _ := newBM25(t, options).EmbedQuery(in)
		require.Equal(t, ids, got)
	}
	f(map[string]any{"language": "none"}, "The Dogs", "the", "dogs")
	f(map[string]any{"language": "german"}, "Die Häuser", "haus")
	f(map[string]any{"language": "de", "stemmer": map[string]any{"type": "none"}}, "Die Häuser", "häuser")
	f(map[string]any{"language": "greek"}, "και ΟΔΟΣ", "οδος")
	f(map[string]any{"tokenizer": "whitespace", "language": "none"}, "io.Reader x", "io.reader", "x")
	f(map[string]any{"lowercase": false, "language": "none"}, "Dogs", "Dogs")
	f(map[string]any{"ascii_folding": true, "language": "none"}, "Ação", "acao")
	f(map[string]any{"stopwords": map[string]any{"languages": []any{"fr"}, "custom": []any{"dogs"}}}, "The le Dogs cats", "the", "cat")
	f(map[string]any{"stopwords": "none"}, "The dogs", "the", "dog")
	f(map[string]any{"stemmer": map[string]any{"type": "snowball", "language": "en"}, "language": "none"}, "The dogs", "the", "dog")
	f(map[string]any{"min_token_len": int64(3), "max_token_len": 4.0, "language": "none"}, "ab abc abcd abcde", "abc", "abcd")
	f(map[string]any{"unknown_option": "x", "k": nil}, "dog", "dog")
}

func TestBM25Parameters(t *testing.T) {
	m := newBM25(t, map[string]any{"k": 0.0, "avg_len": int64(10), "b": uint64(1)})
	_, values := m.EmbedDocument("dog dog dog")
	require.Equal(t, []float32{1}, values) // k = 0: present or not
	m = newBM25(t, map[string]any{"avg_len": 1.0, "b": 1.0})
	_, values = m.EmbedDocument("dog cat")
	require.InDeltaSlice(t, []float32{2.2 / (1 + 1.2*2), 2.2 / (1 + 1.2*2)}, values, 1e-6)
}

func TestBadBM25Options(t *testing.T) {
	for want, options := range map[string]map[string]any{
		"language":        {"language": "klingon"},
		"language must":   {"language": 1.0},
		"tokenizer":       {"tokenizer": "words"},
		"lowercase":       {"lowercase": "yes"},
		"min_token_len":   {"min_token_len": -1.0},
		"max_token_len":   {"max_token_len": 1.5},
		"larger than":     {"min_token_len": 5.0, "max_token_len": 4.0},
		"stopwords":       {"stopwords": 3.0},
		"custom":          {"stopwords": map[string]any{"custom": []any{1.0}}},
		"stemmer must":    {"stemmer": "english"},
		"of type":         {"stemmer": map[string]any{"type": "porter"}},
		"no stemmer":      {"stemmer": map[string]any{"type": "snowball", "language": "greek"}},
		"k must":          {"k": "x"},
		"k must be at":    {"k": -1.0},
		"b must":          {"b": 1.5},
		"avg_len must":    {"avg_len": 0.0},
		"avg_len must be": {"avg_len": math.NaN()},
	} {
		cfg, err := text.ParseBM25(options)
		if err == nil {
			_, err = text.NewBM25(cfg)
		}
		require.ErrorContains(t, err, want)
		require.Equal(t, apierror.Inference, apierror.KindOf(err))
	}
}

// Weights grow with the frequency of a term, shrink with the length of the
// document, and stay within (0, k+1).
func TestWeightsBehave(t *testing.T) {
	m := newBM25(t, map[string]any{"language": "none"})
	weight := func(tf, other int) float32 {
		doc := strings.Repeat("term ", tf) + strings.Repeat("other ", other)
		indices, values := m.EmbedDocument(doc)
		i := slices.Index(indices, text.TokenID("term"))
		return values[i]
	}
	rapid.Check(t, func(t *rapid.T) {
		tf := rapid.IntRange(1, 50).Draw(t, "tf")
		other := rapid.IntRange(0, 500).Draw(t, "other")
		w := weight(tf, other)
		require.Greater(t, w, float32(0))
		require.Less(t, w, float32(2.2))
		require.Greater(t, weight(tf+1, other), w)
		require.Less(t, weight(tf, other+1), w)
	})
}
