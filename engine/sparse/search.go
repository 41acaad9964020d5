package sparse

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sextantdb/sextant/engine/vector"
)

// Query is a search.
type Query struct {
	// Indices and Values are the query's vector, in any order, valid by Validate.
	Indices []uint32
	Values  []float32
	// K is the number of hits wanted at most.
	K int
	// Filter restricts the documents.
	Filter vector.Filter
	// Corpus restricts the documents whose number and whose frequencies make the
	// idf; the index that has no idf ignores it.
	Corpus vector.Filter
	// ScoreThreshold is the least score of a hit, nil for none.
	ScoreThreshold *float32
}

// Profile tells how a search was done.
type Profile struct {
	// Plan is "postings" or "documents" (few pass the filter: each was scored).
	Plan string
	// Postings is the number of postings that were read.
	Postings int
	// Scored is the number of documents whose score was computed in full.
	Scored int
}

// Search returns the K documents with the largest dot product to the query among
// those that pass the filter and share at least one index with it: best first,
// equal scores by ascending document number.
func (ix *Index) Search(ctx context.Context, q Query) ([]vector.Hit, Profile, error) {
	if err := Validate(q.Indices, q.Values); err != nil {
		return nil, Profile{}, err
	}
	if q.K <= 0 || len(q.Indices) == 0 {
		return nil, Profile{}, nil
	}
	terms, values := sortVector(q.Indices, q.Values)
	snap := ix.snapshot(terms)
	defer snap.view.release()
	weights, err := snap.weights(ctx, terms, values, q.Corpus)
	if err != nil {
		return nil, Profile{}, fmt.Errorf("search sparse index: %w", err)
	}
	s := ix.scratch.Get().(*scratch)
	defer ix.scratch.Put(s)
	s.begin(snap, terms, weights, q)
	if err := s.run(ctx); err != nil {
		return nil, Profile{}, fmt.Errorf("search sparse index: %w", err)
	}
	return s.top.take(), s.profile, nil
}

// Score writes the scores of documents for a query to out: NaN for those without
// a vector or without a common index. out is as long as docs.
func (ix *Index) Score(indices []uint32, values []float32, docs []uint32, out []float32) error {
	if err := Validate(indices, values); err != nil {
		return err
	}
	terms, values := sortVector(indices, values)
	snap := ix.snapshot(terms)
	defer snap.view.release()
	weights, err := snap.weights(context.Background(), terms, values, vector.Filter{})
	if err != nil {
		return fmt.Errorf("score sparse vectors: %w", err)
	}
	growing := snap.rowsOfGrowing()
	for i, doc := range docs {
		score, ok, err := snap.score(doc, growing, terms, weights)
		if err != nil {
			return fmt.Errorf("score sparse vectors: %w", err)
		}
		if out[i] = float32(score); !ok {
			out[i] = float32(math.NaN())
		}
	}
	return nil
}

// snapshot is one version of the index, as a search sees it.
type snapshot struct {
	view    *view
	growing []*growing // frozen, oldest first
	version uint64
	idf     bool
	f16     bool
	live    int
	// growingDF and killed have a number for each term of the query: living rows
	// of the growing parts, and rows of the sealed parts that died since those
	// were opened or built.
	growingDF, killed []uint32
}

func (ix *Index) snapshot(terms []uint32) *snapshot {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	v := ix.view.acquire()
	snap := &snapshot{
		view:    v,
		growing: append(slices.Clone(v.sealing), v.active.freeze()),
		version: ix.version,
		idf:     ix.cfg.IDF,
		f16:     ix.f16(),
		live:    ix.live,
	}
	if snap.idf {
		snap.growingDF, snap.killed = make([]uint32, len(terms)), make([]uint32, len(terms))
		for i, t := range terms {
			snap.growingDF[i] = v.active.df[t]
			for _, g := range v.sealing {
				snap.growingDF[i] += g.df[t]
			}
			for _, p := range v.parts {
				snap.killed[i] += p.killed[t]
			}
		}
	}
	return snap
}

// weights returns the query's weights, with the idf of their terms if so
// configured: ln((N − df + ½)/(df + ½) + 1), with N and df those of the corpus.
func (s *snapshot) weights(ctx context.Context, terms []uint32, values []float32, corpus vector.Filter) ([]float64, error) {
	for _, p := range s.view.parts {
		if err := p.load(); err != nil {
			return nil, err
		}
	}
	weights := make([]float64, len(terms))
	for i, v := range values {
		weights[i] = float64(v)
	}
	if !s.idf {
		return weights, nil
	}
	n, frequency := s.live, func(i int) uint32 { return s.frequency(i, terms[i]) }
	if !corpus.All() {
		counts := make([]uint32, len(terms))
		var err error
		if n, err = s.count(ctx, terms, corpus, counts); err != nil {
			return nil, err
		}
		frequency = func(i int) uint32 { return counts[i] }
	}
	for i := range weights {
		df := float64(frequency(i))
		weights[i] *= math.Log((float64(n)-df+0.5)/(df+0.5) + 1)
	}
	return weights, nil
}

// rowSource is what growing and sealed parts have in common.
type rowSource interface {
	rows() int
	doc(row int) uint32
	alive(row int, version uint64) bool
	vector(row int) ([]uint32, []float32, error)
}

// count returns the number of living rows that pass, and adds to counts how
// many of them have each term. It goes over all rows, and reads those that pass.
func (s *snapshot) count(ctx context.Context, terms []uint32, corpus vector.Filter, counts []uint32) (n int, err error) {
	sources := make([]rowSource, 0, len(s.growing)+len(s.view.parts))
	for _, g := range s.growing {
		sources = append(sources, g)
	}
	for _, p := range s.view.parts {
		sources = append(sources, p)
	}
	for _, src := range sources {
		for row := range src.rows() {
			if row&1023 == 0 && ctx.Err() != nil {
				return 0, ctx.Err()
			}
			if !src.alive(row, s.version) || !corpus.Passes(src.doc(row)) {
				continue
			}
			indices, _, err := src.vector(row)
			if err != nil {
				return 0, err
			}
			n++
			for i, t := range terms {
				if _, has := slices.BinarySearch(indices, t); has {
					counts[i]++
				}
			}
		}
	}
	return n, nil
}

// frequency counts the living rows with a term, the i-th of the query.
func (s *snapshot) frequency(i int, term uint32) uint32 {
	n := s.growingDF[i]
	for _, p := range s.view.parts {
		if t, ok := p.term(term); ok {
			n += p.starts[t+1] - p.starts[t] - p.oldCount(t)
		}
	}
	return n - s.killed[i]
}

// growingRow is a row of the growing parts.
type growingRow struct {
	g   *growing
	row int
}

// rowsOfGrowing maps documents to their living growing rows.
func (s *snapshot) rowsOfGrowing() map[uint32]growingRow {
	rows := make(map[uint32]growingRow)
	for _, g := range s.growing {
		for row, doc := range g.docs {
			if g.alive(row, s.version) {
				rows[doc] = growingRow{g, row}
			}
		}
	}
	return rows
}

// score computes one document's score; false when it has no vector or shares no
// index.
func (s *snapshot) score(doc uint32, growing map[uint32]growingRow, terms []uint32, weights []float64) (float64, bool, error) {
	if r, ok := growing[doc]; ok {
		indices, values, err := r.g.vector(r.row)
		score, shares := dot(terms, weights, indices, values, s.f16)
		return score, shares, err
	}
	for _, p := range s.view.parts {
		row, ok := p.rowOf(doc)
		if !ok || !p.alive(row, s.version) {
			continue
		}
		indices, values, err := p.vector(row)
		if err != nil {
			return 0, false, err
		}
		score, shares := dot(terms, weights, indices, values, p.half())
		return score, shares, nil
	}
	return 0, false, nil
}

// dot multiplies a query by a stored vector, both ordered by index; shares tells
// whether they have an index in common.
func dot(terms []uint32, weights []float64, indices []uint32, values []float32, half bool) (sum float64, shares bool) {
	if len(indices) > 16*len(terms) {
		return dotFew(terms, weights, indices, values, half)
	}
	for i, j := 0, 0; i < len(terms) && j < len(indices); {
		switch a, b := terms[i], indices[j]; {
		case a < b:
			i++
		case b < a:
			j++
		default:
			sum += weights[i] * rounded(values[j], half)
			shares = true
			i++
			j++
		}
	}
	return sum, shares
}

// dotFew is dot for a query much shorter than the vector.
func dotFew(terms []uint32, weights []float64, indices []uint32, values []float32, half bool) (sum float64, shares bool) {
	for i, t := range terms {
		at, ok := slices.BinarySearch(indices, t)
		if ok {
			sum += weights[i] * rounded(values[at], half)
			shares = true
		}
		indices, values = indices[at:], values[at:]
	}
	return sum, shares
}

// rounded returns a weight as postings have it.
func rounded(v float32, half bool) float64 {
	if half {
		v = fromHalf(toHalf(v))
	}
	return float64(v)
}
