package vectorindex

import (
	"fmt"
	"math"

	"github.com/sextantdb/sextant/engine/hnsw"
	"github.com/sextantdb/sextant/engine/vector"
)

const (
	// block is the number of rows that a scan scores at a time.
	block = 256
	// stopEvery is the number of blocks after which a scan asks whether the caller
	// is still there.
	stopEvery = 16
	// hopRows and hopRowsRaw are what following a candidate of a filtered walk costs,
	// in passing documents scored one by one; measured at 128 dimensions, 300k rows.
	hopRows    = 32
	hopRowsRaw = 16
	// minGraphShare is the share of passing documents below which a walk meets hardly
	// any, and is stopped by its bounds.
	minGraphShare = 0.005
)

// scanLimit is the number of passing documents up to which scoring them one by one
// is faster than a walk. To find so many of them as filteredWidth says, a walk follows about as many
// candidates as that divided by the share, each of which costs as much as hopRows documents.
func (s *search) scanLimit(live, passing int) int {
	if n := s.ix.opts.tuning.scanLimit; n > 0 {
		return n
	}
	hop := hopRows
	if s.code == nil {
		hop = hopRowsRaw
	}
	width, _ := s.filteredWidth(live, passing)
	return max(int(math.Sqrt(float64(hop)*float64(width)*float64(live))), minScan)
}

// minScan is the number of documents below which the choice isn't worth a thought.
const minScan = 2000

// execute runs the plan and returns the first row that it didn't look at.
func (s *search) execute(live int) (tail uint32, err error) {
	v, q, cfg := s.v, s.q, s.ix.config.Load()
	passing := passing(&q.Filter, live)
	s.profile.Passing = passing
	// The graph goes on growing, also by rows in chunks that this view doesn't have;
	// they are scanned as tail, with a newer view.
	indexed := min(uint32(v.graphRows()), v.rows())
	rawBytes := int64(live) * int64(s.ix.format.stride)
	small := cfg.FullScanThresholdKB >= 0 && rawBytes <= int64(cfg.FullScanThresholdKB)<<10
	switch {
	case q.Exact:
		s.profile.Plan = PlanExact
		return 0, nil // everything is tail
	case q.Filter.Docs != nil && (passing <= s.scanLimit(live, passing) || float64(passing) < minGraphShare*float64(live)):
		s.profile.Plan = PlanScanPassing
		// Documents are looked up by their newest row: no tail is left.
		return math.MaxUint32, s.scanPassing()
	case indexed == 0 || small || s.k > live/4 ||
		s.match != nil && (passing <= s.k || float64(passing) < minGraphShare*float64(live)):
		s.profile.Plan = PlanScan
		return 0, nil
	}
	return s.searchGraph(indexed, live, passing)
}

// scanTail scans the rows from a number on, until it has seen all that were
// published when it ended: a document that moved from a row which was already
// passed is met again at its new row.
func (s *search) scanTail(from uint32) error {
	if from == math.MaxUint32 || from > 0 && s.q.IndexedOnly {
		s.stale = s.stale || !s.refresh()
		return nil
	}
	const rounds = 100 // the scan is faster than the applier: it ends soon
	for range rounds {
		fresh := s.refresh()
		s.stale = s.stale || !fresh // the last try answers from the rows it has
		to := s.v.rows()
		if from >= to {
			break
		}
		if from > 0 {
			s.profile.Tail += int(to - from)
		}
		if err := s.scanRows(from, to); err != nil {
			return err
		}
		from = to
		if !fresh {
			break
		}
	}
	return s.raw.err
}

// scanRows scores the rows from..to-1: by codes where there are any, unless the
// rows are so few that raw vectors are as good.
func (s *search) scanRows(from, to uint32) error {
	coded := from
	if s.code != nil && int64(to-from)*int64(s.ix.format.stride) > int64(s.ix.opts.tuning.exactBytes) {
		coded = max(from, min(to, s.codeRows()))
	}
	if err := s.scanRun(from, coded, &s.approx, s.scoreCodes); err != nil {
		return err
	}
	return s.scanRun(coded, to, &s.exact, s.scoreRaw)
}

func (s *search) scoreCodes(first uint32, out []float32) {
	s.profile.Scored += len(out)
	s.code.ScoreRange(first, out)
}

func (s *search) scoreRaw(first uint32, out []float32) {
	s.profile.Exact += len(out)
	s.raw.scoreRange(first, out)
}

// scanRun offers the live passing rows of a run. Whether a row lives and passes is
// asked only when it is near enough.
func (s *search) scanRun(from, to uint32, into *nearest, score func(first uint32, out []float32)) error {
	chunk := uint32(1) << s.ix.format.shift
	for blocks := 1; from < to; blocks++ {
		n := min(to-from, block, chunk-from%chunk)
		out := s.out[:n]
		score(from, out)
		bound := into.bound()
		for i, d := range out {
			if d > bound {
				continue
			}
			row := from + uint32(i)
			if s.v.isDead(row) || s.match != nil && !s.match(s.v.doc(row)) {
				continue
			}
			into.offer(candidate{d, row})
			bound = into.bound()
		}
		from += n
		if blocks%stopEvery == 0 {
			if err := s.ctx.Err(); err != nil {
				return fmt.Errorf("scan: %w", err)
			}
		}
	}
	return s.raw.err
}

// scanPassing scores the documents of the filter's bitmap.
func (s *search) scanPassing() error {
	codes := uint32(0)
	if s.code != nil && int64(s.profile.Passing)*int64(s.ix.format.stride) > int64(s.ix.opts.tuning.exactBytes/4) {
		codes = s.codeRows()
	}
	it := s.q.Filter.Docs.ManyIterator()
	var docs, rows [block]uint32
	raw := make([]uint32, 0, block)
	for blocks := 1; ; blocks++ {
		n := it.NextMany(docs[:])
		if n == 0 {
			return s.raw.err
		}
		coded, others := s.divide(s.v.rowsOf(docs[:n], rows[:]), codes, raw[:0])
		s.offerList(coded, &s.approx, true)
		s.offerList(others, &s.exact, false)
		if blocks%stopEvery == 0 {
			if err := s.ctx.Err(); err != nil {
				return fmt.Errorf("scan passing documents: %w", err)
			}
		}
	}
}

// divide leaves the rows below a number, which have codes, and appends to raw the others that
// the view has.
func (s *search) divide(rows []uint32, codes uint32, raw []uint32) (coded, others []uint32) {
	left := 0
	for _, row := range rows {
		switch {
		case row < codes:
			rows[left] = row
			left++
		case row < s.v.rows():
			raw = append(raw, row)
		default:
			s.stale = true
		}
	}
	return rows[:left], raw
}

// offerList scores rows and offers them.
func (s *search) offerList(rows []uint32, into *nearest, coded bool) {
	if len(rows) == 0 {
		return
	}
	out := s.out[:len(rows)]
	if coded {
		scoreList(s.code, rows, out)
		s.profile.Scored += len(rows)
	} else {
		scoreList(&s.raw, rows, out)
		s.profile.Exact += len(rows)
	}
	bound := into.bound()
	for i, d := range out {
		if d <= bound {
			into.offer(candidate{d, rows[i]})
			bound = into.bound()
		}
	}
}

// scoreList measures many rows, each piece of which is under way while the one before
// is scored. A piece of 16 rows took 0.93 to 0.96 of the time of one of 32, and of one of 8 as well.
func scoreList(sc hnsw.Scorer, rows []uint32, out []float32) {
	const piece = 16
	next := rows[:min(piece, len(rows))]
	sc.Ask(next)
	for len(rows) > 0 {
		now := next
		rows = rows[len(now):]
		next = rows[:min(piece, len(rows))]
		sc.Ask(next)
		sc.Score(now, out[:len(now)])
		out = out[len(now):]
	}
}

// searchGraph searches the graph and puts what it finds below row `indexed` among
// the candidates. It returns the first row that wasn't looked at.
func (s *search) searchGraph(indexed uint32, live, passing int) (tail uint32, err error) {
	v := s.v
	coded := s.codeRows() >= indexed
	p := hnsw.Params{Ef: s.ef(), Keep: s.kept(coded), Stop: func() bool { return s.ctx.Err() != nil }}
	alive := func(row uint32) bool { return row < indexed && !v.isDead(row) }
	accept := alive
	s.profile.Plan = PlanGraph
	if s.match != nil {
		accept = s.accepting(indexed)
		p.Accept, p.Keep = accept, 0
		p.Ef, p.Wanted = s.filteredWidth(live, passing)
		if s.q.Filter.Docs != nil { // an estimate may be many times wrong
			p.Expected = int(float64(p.Ef) * float64(live) / float64(max(passing, 1)))
		}
		s.profile.Plan = PlanGraphFiltered
	} else if dead := v.gen.deadRows.Load(); dead > 0 {
		// Dead rows are dropped from the result, so it is asked for more of them.
		share := float64(dead) / float64(live)
		p.Ef += int(float64(p.Ef) * share)
		p.Keep += int(float64(p.Keep) * share)
	}
	if err := s.walkGraph(p, coded, accept); err != nil {
		return 0, err
	}
	into := s.target(coded)
	if s.match == nil && len(into.items) < min(s.k, live) {
		// Around the query nearly all is dead: collect live rows only.
		p.Accept = accept
		into.reset(into.k)
		if err := s.walkGraph(p, coded, accept); err != nil {
			return 0, err
		}
	}
	if len(into.items) >= min(s.k, passing) {
		return indexed, nil
	}
	// Passing rows may be islands in the graph: what passes is scanned instead.
	into.reset(into.k)
	if s.q.Filter.Docs != nil {
		s.profile.Plan = PlanScanPassing
		return math.MaxUint32, s.scanPassing()
	}
	s.profile.Plan = PlanScan
	return 0, nil
}

// accepting returns the test of rows for a walk: below `indexed`, alive, passing. A
// walk asks for many times more rows than it scores, so that the passing documents are
// spread out as plain bits first: a look-up in a roaring bitmap is a binary search.
func (s *search) accepting(indexed uint32) func(row uint32) bool {
	v, words := s.v, s.q.Filter.Bits
	if docs := s.q.Filter.Docs; words == nil && docs != nil {
		if bits, few := vector.Bits(docs, s.bits); few {
			s.bits, words = bits, bits
		}
	}
	if words == nil {
		return func(row uint32) bool { return row < indexed && !v.isDead(row) && s.match(v.doc(row)) }
	}
	return func(row uint32) bool {
		if row >= indexed {
			return false
		}
		doc := v.doc(row)
		at := int(doc / 64)
		return at < len(words) && words[at]>>(doc%64)&1 != 0 && !v.isDead(row)
	}
}

// ef returns the width of the search in the graph: the one that is named, but at least
// half of the hits, or else at least the usual number of candidates.
func (s *search) ef() int {
	least := (s.k + s.margin + 1) / 2
	ef := s.q.Ef
	if ef <= 0 {
		least = s.k + s.margin
		ef = max(s.v.graph.g.EfConstruct(), s.approx.k)
	}
	return max(ef, least, s.demanded())
}

// kept returns how many candidates of a narrow walk are kept: enough for all hits, and
// a few more where codes, which may take the last of them for the next ones, are
// corrected by raw vectors. They cost the walk nothing.
func (s *search) kept(coded bool) int {
	n := s.k + s.margin
	if coded && s.rescoring() {
		n += max(s.k/spareShare, minSpare)
	}
	return n
}

const (
	spareShare = 8
	minSpare   = 2
)

// filteredWidth returns how many passing candidates a walk looks for: as many as there
// are among the `ef` nearest of all, so that it goes as far as a search without a
// filter would, but a few more than the hits that are wanted. The fewer pass, the farther
// the last of them is from the others, and the more likely to be missed. The nearest of them, as many as there
// are hits and those few, are wanted: what is farther needn't be complete.
func (s *search) filteredWidth(live, passing int) (width, wanted int) {
	if s.v.graph == nil {
		return s.k, s.k
	}
	share := float64(max(passing, 1)) / float64(max(live, 1))
	more := int(math.Ceil(min(spareHits/share, float64(s.k))))
	wanted = max(s.k+more+s.margin, s.demanded())
	return max(wanted, int(math.Ceil(share*float64(s.ef())))), wanted
}

// spareHits is how many more passing candidates than hits a filtered walk looks for,
// times the share of passing documents: 5 where a tenth passes.
const spareHits = 0.5

// demanded returns how many candidates there must be, whatever width is named: those
// that coarse codes need, or that the user asks to rescore.
func (s *search) demanded() int {
	if s.codes == nil || s.codes.goodForGraph() && s.q.Oversampling < 1 {
		return 0
	}
	return s.approx.k
}

// target returns where the graph's candidates go.
func (s *search) target(coded bool) *nearest {
	if coded {
		return &s.approx
	}
	return &s.exact
}

// walkGraph runs one search of the graph.
func (s *search) walkGraph(p hnsw.Params, coded bool, accept func(uint32) bool) error {
	var scorer hnsw.Scorer = &s.raw
	if coded {
		scorer = s.code
		if p.Entries = s.v.graph.entriesFor(s.codes); p.Entries != nil {
			p.Sketch = s.code.Sketch()
		}
	}
	g := s.v.graph.g
	found, stats := g.Search(s.found[:0], scorer, p)
	s.found = found
	s.profile.Scored += stats.Scored
	s.profile.Hops += stats.Hops
	if err := s.ctx.Err(); err != nil {
		return fmt.Errorf("search graph: %w", err)
	}
	into := s.target(coded)
	chains := g.Chained() > 0
	for _, c := range found {
		if c.Distance > into.bound() {
			break
		}
		if !chains {
			if accept(c.Row) {
				into.offer(candidate{c.Distance, c.Row})
			}
			continue
		}
		g.EachEqual(c.Row, func(row uint32) bool {
			if accept(row) {
				into.offer(candidate{c.Distance, row})
			}
			return c.Distance < into.bound() // of equal ones no more than k
		})
	}
	return s.raw.err
}
