package vectorindex

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/sextantdb/sextant/engine/hnsw"
	"github.com/sextantdb/sextant/engine/quantization"
)

// How much one Step does at most: some tens of milliseconds of one worker.
const (
	encodeStep = 8192
	insertStep = 1024
)

const (
	// retrainGrowth is the factor of growth after which the codec is trained anew,
	// until it was trained on an index of retrainUntil rows: by then a sample says
	// all there is to know, short of a drift.
	retrainGrowth = 8
	retrainUntil  = 200_000
)

// Pending tells whether Step has something to do.
func (ix *Index) Pending() bool {
	v := ix.acquire()
	if v == nil {
		return false
	}
	defer v.release()
	cfg := ix.config.Load()
	return ix.wantsCodes(v) || ix.wantsEncoding(v) || ix.wantsGraph(v, cfg) || ix.wantsVacuum(v, cfg) ||
		ix.wantsRetraining(v)
}

// Step does a bounded piece of background work and tells whether there is more to
// do now. It yields to queries through the budget. Only one goroutine may call it.
func (ix *Index) Step(ctx context.Context) (more bool, err error) {
	ix.stepMu.Lock()
	defer ix.stepMu.Unlock()
	v := ix.acquire()
	if v == nil {
		return false, ErrClosed
	}
	defer v.release()
	cfg := ix.config.Load()
	switch {
	case ix.wantsCodes(v):
		err = ix.firstCodes(v)
	case ix.wantsEncoding(v):
		err = ix.encodeTail(v)
	case ix.wantsInsertion(v, cfg):
		err = ix.insertTail(ctx, v, cfg)
	case ix.wantsRetraining(v):
		err = ix.stepRetraining(v)
	case ix.wantsVacuum(v, cfg):
		err = ix.stepVacuum(ctx, v, cfg)
	default:
		ix.dropRetraining() // not wanted any more, if there are any
		if ix.frozen.Load() == noCheckpoint {
			ix.dropVacuum()
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now := ix.acquire()
	if now == nil {
		return false, nil
	}
	defer now.release()
	return ix.wantsCodes(now) || ix.wantsEncoding(now) || ix.wantsInsertion(now, cfg) ||
		ix.wantsRetraining(now) || ix.wantsVacuum(now, cfg), nil
}

func (ix *Index) wantsCodes(v *view) bool {
	return v.codes == nil && !ix.noCodec && v.gen.live() >= ix.opts.tuning.codesFrom
}

func (ix *Index) wantsEncoding(v *view) bool {
	return v.codes != nil && v.codeRows() < int(v.rows())
}

// wantsGraph tells whether rows wait for the graph, now or behind a checkpoint.
func (ix *Index) wantsGraph(v *view, cfg *Config) bool {
	if cfg.M < 0 || cfg.IndexingThresholdKB < 0 || v.graphRows() >= int(v.rows()) {
		return false
	}
	if v.graph != nil {
		// A graph in a mapped file is copied to memory for the first new row: it
		// waits for a few of them.
		waiting := int(v.rows()) - v.graphRows()
		return !v.graph.g.ReadOnly() || waiting*mappedTail > v.graphRows()
	}
	return int64(v.gen.live())*int64(ix.format.stride) >= int64(cfg.IndexingThresholdKB)<<10
}

// mappedTail is the inverse of the share of new rows for which a mapped graph is
// copied into memory.
const mappedTail = 20

// wantsInsertion tells whether rows can be inserted now.
func (ix *Index) wantsInsertion(v *view, cfg *Config) bool {
	return ix.wantsGraph(v, cfg) && v.graphRows() < ix.insertable(v)
}

// insertable returns the number of rows that may be in the graph now: those with
// codes, if there are codes, and those that an open checkpoint holds.
func (ix *Index) insertable(v *view) int {
	n := int(min(int64(v.rows()), ix.frozen.Load()))
	if v.codes != nil {
		n = min(n, v.codeRows())
	}
	return n
}

// wantsRetraining tells whether the codec no longer suits the rows or the
// configuration.
func (ix *Index) wantsRetraining(v *view) bool {
	if v.codes == nil {
		return false
	}
	suits := int(v.codes.suits.Load())
	grown := suits < retrainUntil && v.gen.live() >= retrainGrowth*suits
	return grown || ix.mustRetrain(v)
}

// mustRetrain tells whether the codec is known not to suit the rows, or the configuration.
func (ix *Index) mustRetrain(v *view) bool {
	return ix.drifted.Load() || v.codes.config != ix.config.Load().Quantization
}

// capacityFor returns the rows for which memory is reserved.
func (ix *Index) capacityFor(rows int) int {
	c := ix.opts.tuning.capacity
	for c < rows+rows/2 && c < maxRows/2 {
		c *= 2
	}
	return max(c, rows)
}

// train trains a codec on a random sample of the live rows.
func (ix *Index) train(v *view) (*codes, error) {
	f, cfg := ix.format, ix.config.Load()
	n := int(v.rows())
	rng := rand.New(rand.NewPCG(ix.opts.Seed, uint64(n)))
	want := min(quantization.SampleSize, max(quantization.SampleSize*64/f.dim, 256))
	want = min(want, v.gen.live())
	sample := make([]float32, 0, want*f.dim)
	var norm float64
	for tries := 0; len(sample) < want*f.dim && tries < 20*want; tries++ {
		row := uint32(rng.IntN(n))
		if v.isDead(row) {
			continue
		}
		if err := v.chunks[row>>f.shift].check(f, row&(1<<f.shift-1)); err != nil {
			return nil, err
		}
		at := len(sample)
		sample = sample[:at+f.dim]
		f.decodeForCodes(sample[at:], v.address(row))
		norm += float64(f.kernels.Dot(sample[at:], sample[at:]))
	}
	if len(sample) == 0 {
		return nil, nil
	}
	codec, err := quantization.Train(sample, quantization.Options{
		Kernels: ix.kernels, Dim: f.dim, Distance: f.distance, Config: cfg.Quantization, Seed: ix.opts.Seed,
	})
	if errors.Is(err, quantization.ErrNoCodec) || errors.Is(err, quantization.ErrSample) {
		ix.noCodec = true // searched on raw vectors
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("train codec: %w", err)
	}
	ix.codecGen++
	return newCodes(codec, training{
		id: ix.codecGen, trained: v.gen.live(), config: cfg.Quantization,
		norm: float32(norm * float64(f.dim) / float64(len(sample))),
	}, ix.capacityFor(n), ix.opts.Account)
}

// firstCodes trains the first codec.
func (ix *Index) firstCodes(v *view) error {
	c, err := ix.train(v)
	if err != nil || c == nil {
		return err
	}
	ix.publish(func(v *view) *view { v.setCodes(c); return v })
	return nil
}

// encodeTail encodes the next rows.
func (ix *Index) encodeTail(v *view) error {
	c := v.codes
	from := c.rows.Load()
	to := min(v.rows(), from+encodeStep)
	if int(to) > c.capacity {
		bigger, err := c.grow(ix.capacityFor(int(to)), ix.opts.Account)
		if err != nil {
			return err
		}
		ix.publish(func(v *view) *view { v.setCodes(bigger); return v })
		return nil
	}
	fit, err := ix.encode(v, c, from, to)
	if err != nil {
		return err
	}
	c.rows.Store(to)
	ix.fit.Add(fit)
	ix.drifted.Store(c.codec.Drifted(ix.fit) && v.gen.live() > c.trained+c.trained/2)
	return nil
}

// encode writes the codes of the rows from..to-1.
func (ix *Index) encode(v *view, c *codes, from, to uint32) (quantization.Fit, error) {
	f := ix.format
	for row := from; row < to; row++ {
		if err := v.chunks[row>>f.shift].check(f, row&(1<<f.shift-1)); err != nil {
			return quantization.Fit{}, err
		}
	}
	var fit quantization.Fit
	const piece = 512
	for ; from < to; from += piece {
		fit.Add(c.codec.EncodeRange(c.at, from, min(from+piece, to), ix.workers(), func(row uint32, dst []float32) []float32 {
			f.decodeForCodes(dst, v.address(row))
			return dst
		}))
		ix.opts.Budget.Yield()
	}
	return fit, nil
}

// workers returns the number of workers of one piece of background work.
func (ix *Index) workers() int {
	n := ix.opts.Budget.Slots()
	if limit := ix.config.Load().MaxIndexingThreads; limit > 0 {
		n = min(n, limit)
	}
	return max(n, 1)
}

// insertTail inserts the next rows into the graph, after making it or its room.
func (ix *Index) insertTail(ctx context.Context, v *view, cfg *Config) error {
	from := uint32(v.graphRows())
	to := min(uint32(ix.insertable(v)), from+insertStep)
	g, err := ix.roomyGraph(v, cfg, int(to))
	if err != nil || g != v.graph {
		return err
	}
	return ix.insert(ctx, v, g, from, to)
}

// roomyGraph returns the view's graph when it has room for rows, and else
// publishes one that has.
func (ix *Index) roomyGraph(v *view, cfg *Config, rows int) (*graph, error) {
	if v.graph != nil && !v.graph.g.ReadOnly() && rows <= v.graph.g.Cap() {
		return v.graph, nil
	}
	var (
		g   *hnsw.Graph
		err error
	)
	if v.graph == nil {
		g, err = hnsw.New(hnsw.Options{
			M: cfg.M, EfConstruct: cfg.EfConstruct, Capacity: ix.capacityFor(rows), Seed: ix.opts.Seed,
			Kernels: ix.kernels, Account: ix.opts.Account,
		})
	} else {
		g, err = v.graph.g.Grow(ix.capacityFor(rows))
	}
	if err != nil {
		return nil, fmt.Errorf("make room in the graph: %w", err)
	}
	id := ix.nextGraph()
	if v.graph != nil {
		id = v.graph.id
	}
	w := newGraph(g, id)
	w.rows.Store(uint32(v.graphRows()))
	ix.publish(func(v *view) *view { v.setGraph(w); return v })
	return w, nil
}

// insert inserts the rows from..to-1. It isn't interrupted by ctx: a piece is
// short, and a half inserted one couldn't be inserted again.
func (ix *Index) insert(ctx context.Context, v *view, g *graph, from, to uint32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := g.g.Insert(context.WithoutCancel(ctx), hnsw.Batch{
		First: from, End: to, Skip: v.isDead, Workers: ix.workers(), Yield: ix.opts.Budget.Yield,
		Scorers: func() hnsw.BuildScorer {
			if v.codes != nil && v.codes.goodForGraph() {
				return codeBuilder{v.codes.query(), v}
			}
			return &rawBuilder{rawScorer{v: v}}
		},
	})
	if err != nil {
		return fmt.Errorf("insert rows %d to %d: %w", from, to, err)
	}
	g.rows.Store(to)
	g.freshen(v.codes)
	return nil
}
