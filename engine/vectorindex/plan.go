package vectorindex

import (
	"fmt"
	"math"

	"github.com/sextantdb/sextant/engine/hnsw"
)

const (
	// block is the number of rows that a scan scores at a time.
	block = 256
	// stopEvery is the number of blocks after which a scan asks whether the caller
	// is still there.
	stopEvery = 16
	// minGraphShare is the share of passing documents below which the graph of
	// passing rows falls apart.
	minGraphShare = 0.01
	// minGraphPassing is the number of passing documents below which they are
	// islands in the graph at any share, while a scan by codes is cheap still.
	minGraphPassing = 1000
	// walkAllShare is the share from which following every row is as fast as
	// stepping over refused ones.
	walkAllShare = 0.3
)

// scanLimit is the number of passing documents up to which scoring them one by
// one is faster than the graph.
func (ix *Index) scanLimit(codes bool) int {
	if n := ix.opts.tuning.scanLimit; n > 0 {
		return n
	}
	// A random row costs about as much as its cache lines; a search in the graph
	// costs a few thousand rows, and more overhead for each.
	if !codes {
		return 5000
	}
	return min(max(45_000-35*ix.format.dim, 8000), 40_000)
}

// execute runs the plan and returns the first row that it didn't look at.
func (s *search) execute(live int) (tail uint32, err error) {
	v, q, cfg := s.v, s.q, s.ix.config.Load()
	passing := q.Filter.passing(live)
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
	case q.Filter.Docs != nil && (passing <= s.ix.scanLimit(s.code != nil) || float64(passing) < minGraphShare*float64(live)):
		s.profile.Plan = PlanScanPassing
		// Documents are looked up by their newest row: no tail is left.
		return math.MaxUint32, s.scanPassing()
	case indexed == 0 || small || s.k > live/4 ||
		s.match != nil && (passing < minGraphPassing || float64(passing) < minGraphShare*float64(live)):
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
	var docs [block]uint32
	coded, raw := make([]uint32, 0, block), make([]uint32, 0, block)
	for blocks := 1; ; blocks++ {
		n := it.NextMany(docs[:])
		if n == 0 {
			return s.raw.err
		}
		coded, raw = coded[:0], raw[:0]
		for _, doc := range docs[:n] {
			row, ok := s.v.gen.locations.get(doc)
			switch {
			case !ok:
			case row < codes:
				coded = append(coded, row)
			case row < s.v.rows():
				raw = append(raw, row)
			default:
				s.stale = true
			}
		}
		s.offerList(coded, &s.approx, true)
		s.offerList(raw, &s.exact, false)
		if blocks%stopEvery == 0 {
			if err := s.ctx.Err(); err != nil {
				return fmt.Errorf("scan passing documents: %w", err)
			}
		}
	}
}

// offerList scores rows and offers them.
func (s *search) offerList(rows []uint32, into *nearest, coded bool) {
	if len(rows) == 0 {
		return
	}
	out := s.out[:len(rows)]
	if coded {
		s.code.Score(rows, out)
		s.profile.Scored += len(rows)
	} else {
		s.raw.Score(rows, out)
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

// searchGraph searches the graph and puts what it finds below row `indexed` among
// the candidates. It returns the first row that wasn't looked at.
func (s *search) searchGraph(indexed uint32, live, passing int) (tail uint32, err error) {
	v := s.v
	coded := s.codeRows() >= indexed
	p := hnsw.Params{Ef: s.ef(coded), Stop: func() bool { return s.ctx.Err() != nil }}
	alive := func(row uint32) bool { return row < indexed && !v.isDead(row) }
	accept := alive
	s.profile.Plan = PlanGraph
	if s.match != nil {
		accept = func(row uint32) bool { return alive(row) && s.match(v.doc(row)) }
		p.Accept = accept
		s.profile.Plan = PlanGraphFiltered
		if float64(passing) < walkAllShare*float64(live) {
			p.Walk = hnsw.WalkAccepted
			s.profile.Plan = PlanGraphPassing
		}
	} else if dead := v.gen.deadRows.Load(); dead > 0 {
		// Dead rows are dropped from the result, so it is asked for more of them.
		p.Ef += int(float64(p.Ef) * float64(dead) / float64(live))
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

// ef returns the width of the search in the graph.
func (s *search) ef(coded bool) int {
	ef := s.q.Ef
	if ef <= 0 {
		ef = s.v.graph.g.EfConstruct()
	}
	ef = max(ef, s.k)
	if coded {
		ef = max(ef, s.approx.k)
	}
	return ef
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
