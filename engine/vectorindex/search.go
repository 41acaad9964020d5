package vectorindex

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sextantdb/sextant/engine/hnsw"
	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Query is one search. The zero values of its options are the defaults.
type Query struct {
	// Vector has Dim components.
	Vector []float32
	// K is the number of hits wanted. Any size is answered, with what there is.
	K int
	// Ef is the number of candidates in the graph; 0 is the graph's EfConstruct.
	Ef int
	// Exact compares with every raw vector.
	Exact bool
	// IndexedOnly leaves out rows that wait for the graph.
	IndexedOnly bool
	// Rescore says whether candidates by codes are compared again by raw vectors;
	// nil is true.
	Rescore *bool
	// Oversampling is the factor of K by which candidates are taken from codes; 0
	// chooses by the codec.
	Oversampling float64
	// IgnoreQuantization searches by raw vectors.
	IgnoreQuantization bool
	// Filter restricts the documents.
	Filter Filter
	// ScoreThreshold leaves out hits with a lower score.
	ScoreThreshold *float32
}

// Filter restricts the documents of a search. Match is ignored when Docs is given.
type Filter = vector.Filter

// matchOf returns the test of one document; nil lets all pass.
func matchOf(f *Filter) func(doc uint32) bool {
	if f.Docs != nil {
		return f.Docs.Contains
	}
	return f.Match
}

// passing returns how many of the live documents are expected to pass.
func passing(f *Filter, live int) int {
	switch {
	case f.Docs != nil:
		return min(int(f.Docs.GetCardinality()), live)
	case f.Match != nil:
		return min(max(f.Estimate, 0), live)
	}
	return live
}

// Plan is a way to answer a query.
type Plan string

// The plans.
const (
	PlanEmpty         Plan = "empty"          // nothing to search
	PlanExact         Plan = "exact"          // every raw vector
	PlanScan          Plan = "scan"           // every code, or raw vector where they are few
	PlanScanPassing   Plan = "scan_passing"   // the passing documents one by one
	PlanGraph         Plan = "graph"          // the graph
	PlanGraphFiltered Plan = "graph_filtered" // the graph, collecting what passes
)

// Profile says how a query was answered.
type Profile struct {
	Plan Plan
	// Codec is the form of codes that was used; empty: raw vectors.
	Codec string
	// Scored is the number of distances by codes or in the graph; Exact the number
	// by raw vectors outside of it; Hops the number of lists followed.
	Scored, Exact, Hops int
	// Tail is the number of rows that were scanned because they wait for the graph.
	Tail int
	// Passing is the number of documents that were expected to pass the filter.
	Passing int
}

// search is the state of one search, pooled.
type search struct {
	ix      *Index
	ctx     context.Context
	v       *view
	q       *Query
	k       int
	raw     rawScorer
	held    []*view             // all views in use; v is the last one
	codes   *codes              // the codes that are used; nil: raw vectors
	code    *quantization.Query // over codes
	lengths float32             // |q|² + the rows' mean |x|²: see estimate
	match   func(doc uint32) bool
	exact   nearest // by raw vectors
	approx  nearest // by codes, to be rescored
	found   []hnsw.Candidate
	ids     []uint32
	out     []float32
	bits    []uint64 // of the documents that pass the filter, when it brings none
	profile Profile
	stale   bool // a document's row lies beyond the view
	moved   bool // a candidate's document may have another row
	lost    int  // candidates that were given up: deleted, or a document's second
	margin  int  // how many more candidates than k are kept, to make up for lost ones
}

// maxRetries bounds how often a search begins again because rows moved under it:
// out of its view, as when a vacuum swapped the generation, or so many that the
// candidates don't suffice.
const maxRetries = 3

// Search returns the nearest live documents, best first, and how it was done.
//
// A document that has a vector during the whole search is not missed because it is
// being updated: rows of the graph are looked at first, and rows appended
// meanwhile after that (R2 of generation). Each document is returned once.
func (ix *Index) Search(ctx context.Context, q Query) ([]vector.Hit, Profile, error) {
	if len(q.Vector) != ix.format.dim {
		return nil, Profile{}, apierror.New(apierror.BadInput,
			"Vector dimension error: expected dim: %d, got %d", ix.format.dim, len(q.Vector))
	}
	s := ix.getSearch()
	defer ix.putSearch(s)
	s.ctx, s.q = ctx, &q
	s.match = matchOf(&q.Filter)
	s.raw.query.prepare(ix.format, q.Vector)
	s.margin = 0
	for try := 0; ; try++ {
		hits, err := s.run(try == maxRetries)
		if err != nil || hits != nil {
			return hits, s.profile, err
		}
	}
}

func (ix *Index) getSearch() *search {
	if s, ok := ix.pool.Get().(*search); ok {
		return s
	}
	return &search{ix: ix, ids: make([]uint32, 0, block), out: make([]float32, block)}
}

func (ix *Index) putSearch(s *search) {
	s.ctx, s.q, s.v, s.match, s.raw.v = nil, nil, nil, nil, nil
	ix.pool.Put(s)
}

// run searches once. A nil result without error means: begin again.
func (s *search) run(last bool) ([]vector.Hit, error) {
	v := s.ix.acquire()
	if v == nil {
		return nil, ErrClosed
	}
	s.held = append(s.held[:0], v)
	defer s.releaseAll()
	s.use(v)
	s.profile = Profile{Plan: PlanEmpty}
	s.raw.err, s.stale, s.moved, s.lost = nil, false, false, 0
	live := v.gen.live()
	s.k = min(max(s.q.K, 0), live)
	s.exact.reset(s.k + s.margin)
	s.approx.reset(0)
	if s.k == 0 {
		return []vector.Hit{}, nil
	}
	defer s.useCodes()()
	tail, err := s.execute(live)
	if err != nil {
		return nil, err
	}
	if err := s.scanTail(tail); err != nil {
		return nil, err
	}
	hits, err := s.finish()
	if err == nil && !last && (s.stale || s.lost > 0 && len(hits) < s.k) {
		s.margin = max(16, 2*s.lost, 4*s.margin)
		return nil, nil
	}
	return hits[:min(len(hits), s.k)], err
}

func (s *search) use(v *view) { s.v, s.raw.v = v, v }

func (s *search) releaseAll() {
	for _, v := range s.held {
		v.release()
	}
	clear(s.held)
}

// refresh goes on with the newest view, in which are the rows that were appended
// meanwhile. Earlier ones stay held: their codes are in use. It returns false
// when rows have other numbers now.
func (s *search) refresh() bool {
	now := s.ix.acquire()
	if now == nil {
		return false
	}
	s.held = append(s.held, now)
	if now.gen != s.v.gen {
		return false
	}
	s.use(now)
	return true
}

// useCodes prepares the query over the codes when they are to be used. What it
// returns gives them back.
func (s *search) useCodes() (done func()) {
	if s.v.codes == nil || s.q.IgnoreQuantization || s.q.Exact || s.v.codeRows() == 0 {
		return func() {}
	}
	s.codes = s.v.codes
	s.code = s.codes.query()
	q := s.raw.query.float
	s.code.Prepare(q)
	s.lengths = s.ix.format.kernels.Dot(q, q) + s.codes.norm
	s.approx.reset(s.candidates())
	s.profile.Codec = s.codes.codec.Kind().String()
	return func() {
		s.codes.putQuery(s.code)
		s.codes, s.code = nil, nil
	}
}

// codeRows returns the number of rows with codes that are used.
func (s *search) codeRows() uint32 {
	if s.codes == nil {
		return 0
	}
	return s.codes.rows.Load()
}

// rescoring tells whether candidates by codes are compared by raw vectors.
func (s *search) rescoring() bool { return s.q.Rescore == nil || *s.q.Rescore }

// candidates returns how many candidates are taken by codes.
func (s *search) candidates() int {
	rows := int(s.v.rows())
	if !s.rescoring() {
		return min(s.k, rows) + s.margin
	}
	if o := s.q.Oversampling; o >= 1 {
		return int(min(float64(s.k)*o, float64(rows))) + s.margin
	}
	n := s.codes.candidates(s.k)
	if !s.codes.goodForGraph() {
		n = max(n, s.q.Ef) // coarse codes give recall by more candidates only
	}
	return min(n, rows) + s.margin
}

// finish rescores the candidates and makes hits of them: live documents, each
// once, best first.
func (s *search) finish() ([]vector.Hit, error) {
	if s.rescoring() {
		if err := s.rescore(); err != nil {
			return nil, err
		}
	} else {
		for _, c := range s.approx.items {
			s.exact.offer(candidate{s.estimate(c.distance), c.row})
		}
	}
	if s.raw.err != nil {
		return nil, s.raw.err
	}
	hits := make([]vector.Hit, 0, len(s.exact.items))
	for _, c := range s.exact.items {
		if hit, ok := s.hit(c); ok {
			hits = append(hits, hit)
		}
	}
	if s.raw.err != nil {
		return nil, s.raw.err
	}
	if !falling(hits) {
		slices.SortFunc(hits, func(a, b vector.Hit) int {
			if c := cmp.Compare(b.Score, a.Score); c != 0 {
				return c
			}
			return cmp.Compare(a.Doc, b.Doc)
		})
	}
	if s.moved {
		n := len(hits)
		hits = unique(hits)
		s.lost += n - len(hits)
	}
	return hits, nil
}

// falling tells whether each hit has a lower score than the one before.
func falling(hits []vector.Hit) bool {
	for i := 1; i < len(hits); i++ {
		if !(hits[i].Score < hits[i-1].Score) {
			return false
		}
	}
	return true
}

// hit makes a hit of a candidate. A document that got another vector meanwhile is
// scored by that.
func (s *search) hit(c candidate) (vector.Hit, bool) {
	doc := s.v.doc(c.row)
	row, ok := s.v.row(doc)
	if !ok {
		s.lost++
		return vector.Hit{}, false
	}
	// What was written again lies behind the rows in order: only there the old row and the
	// new one may both have been found.
	s.moved = s.moved || row != c.row || c.row >= s.v.gen.inOrder.Load()
	if row != c.row {
		if row >= s.v.rows() {
			s.stale = true
			return vector.Hit{}, false
		}
		s.ids = append(s.ids[:0], row)
		s.raw.Score(s.ids, s.out[:1])
		c.distance = s.out[0]
	}
	score := toScore(c.distance)
	return vector.Hit{Doc: doc, Score: score}, s.q.ScoreThreshold == nil || score >= *s.q.ScoreThreshold
}

// unique removes the second hit of a document: its old and its new row may both
// have been found.
func unique(hits []vector.Hit) []vector.Hit {
	if len(hits) <= fewHits {
		kept := hits[:0]
		for _, h := range hits {
			if !slices.ContainsFunc(kept, func(k vector.Hit) bool { return k.Doc == h.Doc }) {
				kept = append(kept, h)
			}
		}
		return kept
	}
	seen := make(map[uint32]struct{}, len(hits))
	return slices.DeleteFunc(hits, func(h vector.Hit) bool {
		_, again := seen[h.Doc]
		seen[h.Doc] = struct{}{}
		return again
	})
}

// fewHits is the number of hits up to which comparing each with all is faster than a map.
const fewHits = 32

// minSample is the number of candidates that are rescored in any case: fewer tell too
// little about the error of codes.
const minSample = 8

// deviation is what is known about the differences between exact distances and
// those by codes: running mean and squared deviation (Welford, 1962).
type deviation struct {
	n, mean, square float32
}

func (d *deviation) add(x float32) {
	d.n++
	delta := x - d.mean
	d.mean += delta / d.n
	d.square += delta * (x - d.mean)
}

// least returns a difference that hardly any candidate falls below.
func (d *deviation) least() float32 {
	return d.mean - 4*float32(math.Sqrt(float64(d.square/max(d.n-1, 1))))
}

// rescore moves the candidates by codes to the exact ones, nearest first. It stops
// where codes, whose error the first candidates have shown, leave no doubt that the
// rest is too far.
func (s *search) rescore() error {
	items := s.approx.drain()
	var errs deviation
	for n := s.sample(len(items)); n > 0; n = s.doubtful(items, &errs) {
		s.ids = s.ids[:0]
		for _, c := range items[:n] {
			s.ids = append(s.ids, c.row)
		}
		scoreList(&s.raw, s.ids, s.out[:n])
		s.profile.Exact += n
		for i, row := range s.ids {
			s.exact.offer(candidate{s.out[i], row})
		}
		if n < len(items) { // else nobody asks
			for i, c := range items[:n] {
				errs.add(s.out[i] - s.estimate(c.distance))
			}
		}
		items = items[n:]
		if err := s.ctx.Err(); err != nil {
			return fmt.Errorf("rescore: %w", err)
		}
	}
	return s.raw.err
}

// sample returns how many of the candidates are rescored first, untested: as many as
// there are hits, or all when a test would spare hardly any.
func (s *search) sample(n int) int {
	if n <= s.exact.k+max(s.k/spareShare, minSpare) {
		return min(n, block)
	}
	return min(n, block, max(s.exact.k, minSample))
}

// doubtful returns how many of the candidates, nearest first, are rescored next: at
// most a block of those that may yet be among the best.
func (s *search) doubtful(items []candidate, errs *deviation) int {
	bound, least := s.exact.bound(), errs.least()
	n := 0
	// What isn't a number, as with lengths near the largest float, is doubtful, too.
	for n < min(len(items), block) && !(s.estimate(items[n].distance)+least >= bound) {
		n++
	}
	return n
}

// estimate turns a distance by codes into the distance that raw vectors would
// have. Codecs without factors measure squared distances even where the index
// wants inner products, which they may since all rows are of about equal length:
// |q−x|² = |q|² + |x|² − 2 q·x.
func (s *search) estimate(d float32) float32 {
	f := s.ix.format
	if f.distance == vector.Euclid || s.codes.codec.Kind() != quantization.Uniform7 {
		return d
	}
	return (d - s.lengths) / 2
}

// Score writes the exact scores of documents against a vector; −Inf marks
// documents without one.
func (ix *Index) Score(q []float32, docs []uint32, out []float32) error {
	if len(q) != ix.format.dim {
		return apierror.New(apierror.BadInput, "Vector dimension error: expected dim: %d, got %d", ix.format.dim, len(q))
	}
	v := ix.acquire()
	if v == nil {
		return ErrClosed
	}
	defer v.release()
	s := ix.getSearch()
	defer ix.putSearch(s)
	s.use(v)
	s.raw.err = nil
	s.raw.query.prepare(ix.format, q)
	out = out[:len(docs)]
	for i, doc := range docs {
		row, ok := v.gen.locations.get(doc)
		if !ok || row >= v.rows() {
			out[i] = float32(math.Inf(-1))
			continue
		}
		s.ids = append(s.ids[:0], row)
		s.raw.Score(s.ids, s.out[:1])
		out[i] = toScore(s.out[0])
	}
	return s.raw.err
}

// Vector appends a document's vector, as stored, to dst[:0], and tells whether it
// has one.
func (ix *Index) Vector(doc uint32, dst []float32) ([]float32, bool, error) {
	v := ix.acquire()
	if v == nil {
		return nil, false, ErrClosed
	}
	defer v.release()
	row, ok := v.gen.locations.get(doc)
	if !ok || row >= v.rows() {
		return nil, false, nil
	}
	f := ix.format
	if err := v.chunks[row>>f.shift].check(f, row&(1<<f.shift-1)); err != nil {
		return nil, false, err
	}
	dst = slices.Grow(dst[:0], f.dim)[:f.dim]
	f.decode(dst, v.address(row))
	return dst, true, nil
}
