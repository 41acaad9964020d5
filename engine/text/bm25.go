package text

import (
	"math"
	"slices"
	"strings"

	"github.com/twmb/murmur3"

	"github.com/sextantdb/sextant/internal/apierror"
)

// BM25Config are the settings of the model qdrant/bm25 that need no text: the
// zero value isn't useful, see DefaultBM25.
type BM25Config struct {
	// Options cut the text.
	Options
	// K is the saturation of repeated terms, ≥ 0.
	K float64
	// B is how much long documents are marked down, 0 to 1.
	B float64
	// AvgLen is the expected length of a document in tokens, > 0.
	AvgLen float64
}

// DefaultBM25 returns the settings of a document that gives no options: English
// words, k = 1.2, b = 0.75, 256 tokens.
func DefaultBM25() BM25Config {
	return BM25Config{
		Options: Options{StopLanguages: []Language{English}, Stemmer: English},
		K:       1.2, B: 0.75, AvgLen: 256,
	}
}

// IsBM25 tells whether a model name means the built-in model.
func IsBM25(model string) bool {
	return strings.EqualFold(model, "qdrant/bm25") || strings.EqualFold(model, "bm25")
}

// BM25 embeds text as sparse vectors whose dot product, with the idf modifier of
// the index, is the BM25 score (Robertson & Zaragoza, 2009) with a fixed average
// length. It is immutable: any number of goroutines may use one.
type BM25 struct {
	cfg      BM25Config
	analyzer *Analyzer
}

// NewBM25 makes an embedder. Errors have kind Inference.
func NewBM25(cfg BM25Config) (*BM25, error) {
	switch {
	case !(cfg.K >= 0) || math.IsInf(cfg.K, 0):
		return nil, apierror.New(apierror.Inference, "bm25 option k must be at least 0, got %v", cfg.K)
	case !(cfg.B >= 0 && cfg.B <= 1):
		return nil, apierror.New(apierror.Inference, "bm25 option b must be between 0 and 1, got %v", cfg.B)
	case !(cfg.AvgLen > 0) || math.IsInf(cfg.AvgLen, 0):
		return nil, apierror.New(apierror.Inference, "bm25 option avg_len must be greater than 0, got %v", cfg.AvgLen)
	}
	analyzer, err := New(cfg.Options)
	if err != nil {
		return nil, apierror.New(apierror.Inference, "bm25 options: %w", err)
	}
	return &BM25{cfg: cfg, analyzer: analyzer}, nil
}

// EmbedDocument returns the vector of a stored text: for every term its
// saturated, length-normalised frequency. Indices ascend and are unique; a text
// without terms gives an empty vector.
func (m *BM25) EmbedDocument(text string) (indices []uint32, values []float32) {
	counts := make(map[uint32]uint32)
	length := 0
	for token := range m.analyzer.Document(text) {
		counts[TokenID(token)]++
		length++
	}
	indices = make([]uint32, 0, len(counts))
	for id := range counts {
		indices = append(indices, id)
	}
	slices.Sort(indices)
	values = make([]float32, len(indices))
	norm := m.cfg.K * (1 - m.cfg.B + m.cfg.B*float64(length)/m.cfg.AvgLen)
	for i, id := range indices {
		tf := float64(counts[id])
		values[i] = float32(tf * (m.cfg.K + 1) / (tf + norm))
	}
	return indices, values
}

// EmbedQuery returns the vector of a query: weight 1 for every distinct term.
func (m *BM25) EmbedQuery(text string) (indices []uint32, values []float32) {
	for token := range m.analyzer.Query(text) {
		indices = append(indices, TokenID(token))
	}
	slices.Sort(indices)
	indices = slices.Compact(indices)
	values = make([]float32, len(indices))
	for i := range values {
		values[i] = 1
	}
	return indices, values
}

// TokenID is the dimension of a token: the magnitude of its 32-bit murmur3 hash
// with seed 0, read as a signed number.
func TokenID(token string) uint32 {
	h := murmur3.StringSum32(token)
	if h > math.MaxInt32 {
		return -h
	}
	return h
}
