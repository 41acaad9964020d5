package vectorindex

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant/engine/budget"
	"github.com/sextantdb/sextant/engine/hnsw"
	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vector/distance"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/arena"
)

// MaxDim is the largest dimension.
const MaxDim = 65536

// Config is what a user can configure of a dense index. Except for Dim, Distance
// and Datatype all of it may change during the index's life.
type Config struct {
	Dim      int
	Distance vector.Distance
	Datatype vector.Datatype
	// M and EfConstruct are the graph's parameters; 0 is the default of package
	// hnsw. M < 0 means: no graph.
	M, EfConstruct int
	// FullScanThresholdKB is the size of raw vectors up to which a scan is
	// preferred to the graph; 0 is DefaultFullScanThresholdKB, negative never.
	FullScanThresholdKB int
	// IndexingThresholdKB is the size of raw vectors from which the graph is built;
	// 0 is DefaultIndexingThresholdKB, negative never.
	IndexingThresholdKB int
	// OnDisk leaves raw vectors to the page cache. Sealed rows are mapped files in
	// any case; without OnDisk they are read ahead when the index is opened.
	OnDisk bool
	// HNSWOnDisk searches the graph in its mapped file once it is written.
	HNSWOnDisk bool
	// Quantization is what the user asked for; zero leaves it to the engine.
	Quantization quantization.Config
	// MaxIndexingThreads bounds the workers of an insertion; 0 is the budget's
	// number of slots.
	MaxIndexingThreads int
	// DeletedThreshold is the share of dead rows from which they are removed; 0 is
	// DefaultDeletedThreshold. VacuumMin is the number of rows below which they
	// are left alone; 0 is DefaultVacuumMin.
	DeletedThreshold float64
	VacuumMin        int
}

// Defaults of Config.
const (
	DefaultFullScanThresholdKB = 10_000
	DefaultIndexingThresholdKB = 10_000
	DefaultDeletedThreshold    = 0.2
	DefaultVacuumMin           = 1000
)

func (c Config) withDefaults() Config {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&c.M, hnsw.DefaultM)
	def(&c.EfConstruct, hnsw.DefaultEfConstruct)
	def(&c.FullScanThresholdKB, DefaultFullScanThresholdKB)
	def(&c.IndexingThresholdKB, DefaultIndexingThresholdKB)
	def(&c.VacuumMin, DefaultVacuumMin)
	if c.DeletedThreshold <= 0 {
		c.DeletedThreshold = DefaultDeletedThreshold
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Dim < 1 || c.Dim > MaxDim:
		return apierror.New(apierror.Validation, "vector size %d is not between 1 and %d", c.Dim, MaxDim)
	case c.Distance < vector.Cosine || c.Distance > vector.Manhattan:
		return apierror.New(apierror.Validation, "unknown distance %d", c.Distance)
	case c.Datatype > vector.Uint8:
		return apierror.New(apierror.Validation, "unknown datatype %d", c.Datatype)
	}
	return nil
}

// Options say where and how an index is opened.
type Options struct {
	// Dir is where the index's files are.
	Dir *segment.Dir
	// Files is what the last committed checkpoint returned; empty for a new index.
	Files []segment.FileInfo
	// Config is the configuration. Dim, Distance and Datatype must be those with
	// which the files were written.
	Config Config
	// Kernels compare vectors; nil detects the machine's.
	Kernels *distance.Kernels
	// Budget is the processor time of background work; nil is unlimited.
	Budget *budget.Budget
	// Account counts the memory; nil counts nothing.
	Account *arena.Account
	// Seed decides the levels of the graph and the rotation of codes.
	Seed uint64

	// tuning is for tests: sizes at which the index changes its ways.
	tuning tuning
}

// tuning holds sizes at which an index changes its ways. Zero is the default.
type tuning struct {
	// chunkBytes is the size that a chunk of rows has at most (and at least 128
	// rows). A checkpoint rewrites the last, partial chunk: it bounds what that
	// costs, and the memory that rows take before they are mapped files.
	chunkBytes int
	// codesFrom is the number of documents from which codes are worth having; fewer
	// are scanned as fast as they are, and are too few to train a codec on.
	codesFrom int
	// exactBytes is the size of raw vectors up to which a scan doesn't bother with
	// codes: the answer is exact, in some tens of microseconds.
	exactBytes int
	// scanLimit is the number of passing documents up to which they are scored one
	// by one; 0 chooses by what a walk would cost.
	scanLimit int
	// capacity is the number of rows for which memory is reserved first.
	capacity int
	// noCodes searches and builds by raw vectors.
	noCodes bool
}

func (t tuning) withDefaults() tuning {
	t.chunkBytes = cmp.Or(t.chunkBytes, 32<<20)
	t.codesFrom = cmp.Or(t.codesFrom, 2000)
	t.exactBytes = cmp.Or(t.exactBytes, 1<<20)
	t.capacity = cmp.Or(t.capacity, 1<<16)
	return t
}

// Index is the dense index of one vector name. Upsert, Delete and Freeze belong
// to the shard's applier; Step and the Checkpoint's methods to one background
// goroutine each; everything else may be called from anywhere.
type Index struct {
	opts    Options
	kernels *distance.Kernels
	format  *format
	config  atomic.Pointer[Config]

	// current is the published view. It is replaced under publishMu.
	current   atomic.Pointer[view]
	publishMu sync.Mutex

	// applyMu is held by the applier for each change, and by the vacuum when it
	// swaps generations. It guards the fields below.
	applyMu sync.Mutex
	scratch []byte    // row being made
	vector  []float32 // vector being made

	// stepMu is held by Step, and by Checkpoint.Write while it writes codes and
	// graph. It guards the fields below.
	stepMu   sync.Mutex
	retrain  *retraining
	vacuum   *vacuuming
	fit      quantization.Fit // of the rows encoded with the current codec
	noCodec  bool             // the distance has none
	codecGen uint64           // number of codecs trained so far
	graphGen uint64           // number of graphs begun so far

	// drifted says that the codec no longer fits what is encoded with it.
	drifted atomic.Bool

	// frozen is the number of rows that an open checkpoint holds, and noCheckpoint
	// when none is open. The graph doesn't grow beyond it meanwhile.
	frozen atomic.Int64

	// files is what the last committed checkpoint holds. It belongs to the
	// goroutine that drives checkpoints.
	files savedFiles

	pool   sync.Pool // *search
	closed atomic.Bool
}

const noCheckpoint = math.MaxInt64

// ErrClosed is returned by an index that was closed.
var ErrClosed = errors.New("vector index is closed")

// Open opens an index from the files of its last checkpoint, or makes a new one.
func Open(o Options) (*Index, error) {
	if err := o.Config.validate(); err != nil {
		return nil, err
	}
	if o.Kernels == nil {
		o.Kernels = distance.Detect()
	}
	o.tuning = o.tuning.withDefaults()
	cfg := o.Config.withDefaults()
	ix := &Index{opts: o, kernels: o.Kernels, format: newFormat(o.Kernels, cfg, o.tuning.chunkBytes)}
	ix.config.Store(&cfg)
	ix.frozen.Store(noCheckpoint)
	ix.scratch = make([]byte, ix.format.stride)
	ix.vector = make([]float32, cfg.Dim)
	ix.noCodec = cfg.Distance == vector.Manhattan || o.tuning.noCodes
	v := newView(newGeneration(ix.format))
	if len(o.Files) > 0 {
		var err error
		if v, err = ix.load(v); err != nil {
			return nil, fmt.Errorf("open vector index: %w", err)
		}
	}
	v.graph.freshen(v.codes)
	ix.current.Store(v)
	return ix, nil
}

// Close frees the memory once running searches have ended. Step and a checkpoint
// must not run any more.
func (ix *Index) Close() error {
	if ix.closed.Swap(true) {
		return nil
	}
	ix.stepMu.Lock()
	defer ix.stepMu.Unlock()
	ix.dropRetraining()
	ix.dropVacuum()
	ix.publishMu.Lock()
	defer ix.publishMu.Unlock()
	v := ix.current.Swap(nil)
	v.release()
	return nil
}

// nextGraph returns a number that no graph of the index had.
func (ix *Index) nextGraph() uint64 {
	ix.graphGen++
	return ix.graphGen
}

// SetConfig changes the configuration. What follows from it is done by Step.
func (ix *Index) SetConfig(c Config) error {
	c = c.withDefaults()
	old := ix.config.Load()
	if c.Dim != old.Dim || c.Distance != old.Distance || c.Datatype != old.Datatype {
		return apierror.New(apierror.BadInput, "size, distance and datatype of a vector can't be changed")
	}
	ix.config.Store(&c)
	return nil
}

// Config returns the configuration with defaults filled in.
func (ix *Index) Config() Config { return *ix.config.Load() }

// Len returns the number of documents with a vector.
func (ix *Index) Len() int {
	v := ix.acquire()
	if v == nil {
		return 0
	}
	defer v.release()
	return v.gen.live()
}

// Indexed returns the number of rows that the graph holds, dead ones included.
func (ix *Index) Indexed() int {
	v := ix.acquire()
	if v == nil {
		return 0
	}
	defer v.release()
	return v.graphRows()
}

// Has tells whether a document has a vector.
func (ix *Index) Has(doc uint32) bool {
	v := ix.acquire()
	if v == nil {
		return false
	}
	defer v.release()
	_, ok := v.gen.locations.get(doc)
	return ok
}

// Stats describe the state of an index for the shard's telemetry.
type Stats struct {
	// Live is the number of documents; Rows that of rows, dead ones included.
	Live, Rows int
	// Encoded and Indexed are the rows with codes, and in the graph.
	Encoded, Indexed int
	// Chained is the number of rows behind an equal one in the graph.
	Chained int
	// RawBytes, CodeBytes and GraphBytes are the sizes of rows, codes and graph.
	RawBytes, CodeBytes, GraphBytes int64
	// Codec names the form of the codes; empty when there are none.
	Codec string
}

// Stats returns the state of the index.
func (ix *Index) Stats() Stats {
	v := ix.acquire()
	if v == nil {
		return Stats{}
	}
	defer v.release()
	n := v.gen.rows()
	s := Stats{
		Live: v.gen.live(), Rows: n, Encoded: v.codeRows(), Indexed: v.graphRows(),
		RawBytes: int64(n) * int64(ix.format.stride),
	}
	if v.codes != nil {
		s.CodeBytes = int64(s.Encoded) * int64(v.codes.codec.RowSize()+v.codes.codec.FactorSize())
		s.Codec = v.codes.codec.Kind().String()
	}
	if v.graph != nil {
		s.GraphBytes = v.graph.g.Bytes(s.Indexed)
		s.Chained = v.graph.g.Chained()
	}
	return s
}
