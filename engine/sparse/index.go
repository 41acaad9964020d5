package sparse

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Config are the settings of a sparse vector name. The zero value is the
// default.
type Config struct {
	// IDF multiplies the weights of a query by the inverse document frequency of
	// their terms, as of the time of the search.
	IDF bool
	// FullScanThreshold is accepted for the sake of the public API. Search is exact
	// and chooses its plan by estimated cost.
	FullScanThreshold int
	// Datatype is the precision of weights in searches: Float32, or Float16 for
	// anything smaller. Vectors are returned as they were given.
	Datatype vector.Datatype
}

// Budget is what background work asks for permission to go on.
type Budget interface {
	// Yield waits as long as queries need the processor.
	Yield()
}

// Options are what an Index is opened with.
type Options struct {
	// Dir is where Files are; not needed without files.
	Dir *segment.Dir
	// Files are those that the last checkpoint returned, in its order; empty for a
	// new index.
	Files []segment.FileInfo
	// Config may differ from the one the files were written with.
	Config Config
	// Budget may be nil.
	Budget Budget
}

// Index is the inverted index of one sparse vector name. See the package comment
// for who may call what.
type Index struct {
	budget Budget
	limits limits

	// build is held by whoever seals, merges or writes parts: one at a time.
	build chan struct{}

	// scratch holds *scratch, the working memory of searches.
	scratch sync.Pool

	// mu guards everything below, the content of the active growing part, and the
	// killed counts of all parts. It is held for microseconds only.
	mu      sync.RWMutex
	cfg     Config
	version uint64 // of the last applied operation; the first is 1
	live    int    // rows alive now
	view    *view
	open    *checkpoint // the checkpoint between Freeze and Commit or Abort
	closed  bool
}

// Open opens an index from its files, or a new one.
func Open(o Options) (*Index, error) {
	ix := &Index{
		budget:  o.Budget,
		limits:  defaultLimits,
		build:   make(chan struct{}, 1),
		cfg:     o.Config,
		version: 1,
	}
	ix.scratch.New = func() any { return new(scratch) }
	parts, err := openFiles(o.Dir, o.Files)
	if err != nil {
		return nil, fmt.Errorf("open sparse index: %w", err)
	}
	for _, p := range parts {
		ix.live += p.rows() - p.dead()
	}
	ix.view = newView(parts, nil, newGrowing(ix.f16()))
	return ix, nil
}

// f16 tells whether weights are rounded to half precision.
func (ix *Index) f16() bool { return ix.cfg.Datatype != vector.Float32 }

// Validate tells whether a vector may be stored or searched for: as many values
// as indices, no index twice, finite values. Order doesn't matter. Errors have
// kind Validation.
func Validate(indices []uint32, values []float32) error {
	if len(indices) != len(values) {
		return apierror.New(apierror.Validation,
			"sparse vector has %d indices and %d values, they must be as many", len(indices), len(values))
	}
	for i, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return apierror.New(apierror.Validation, "sparse vector value %d is not a finite number", i)
		}
	}
	if !slices.IsSorted(indices) {
		indices = slices.Sorted(slices.Values(indices))
	}
	for i := 1; i < len(indices); i++ {
		if indices[i] == indices[i-1] {
			return apierror.New(apierror.Validation, "sparse vector has the index %d more than once", indices[i])
		}
	}
	return nil
}

// sortVector returns the vector ordered by index, in new slices unless it is so
// already.
func sortVector(indices []uint32, values []float32) ([]uint32, []float32) {
	if slices.IsSorted(indices) {
		return indices, values
	}
	order := make([]int, len(indices))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compare(indices[a], indices[b]) })
	sortedIndices, sortedValues := make([]uint32, len(indices)), make([]float32, len(indices))
	for i, o := range order {
		sortedIndices[i], sortedValues[i] = indices[o], values[o]
	}
	return sortedIndices, sortedValues
}

// Upsert gives a document its vector, in place of the one it had. It copies the
// slices. A vector without elements counts as one and is found by no query.
// Applier only.
func (ix *Index) Upsert(doc uint32, indices []uint32, values []float32) error {
	if err := Validate(indices, values); err != nil {
		return err
	}
	indices, values = sortVector(indices, values)
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.view.active.full(len(indices), ix.limits) {
		ix.rotate()
	}
	version := ix.version + 1
	if err := ix.kill(doc, version); err != nil {
		return err
	}
	ix.view.active.add(doc, indices, values)
	ix.live++
	ix.version = version
	return nil
}

// Delete takes a document's vector away; a document without one is no error.
// Applier only.
func (ix *Index) Delete(doc uint32) error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if err := ix.kill(doc, ix.version+1); err != nil {
		return err
	}
	ix.version++
	return nil
}

// kill ends the life of a document's row, if it has one. The caller holds mu.
func (ix *Index) kill(doc uint32, version uint64) error {
	s, row := ix.view.find(doc)
	if s == nil {
		return nil
	}
	indices, _, err := s.vector(row)
	if err != nil {
		return fmt.Errorf("remove sparse vector: %w", err)
	}
	s.kill(row, version, indices)
	ix.live--
	return nil
}

// rotate starts a new growing part; the old one waits to be sealed. The caller
// holds mu.
func (ix *Index) rotate() {
	old := ix.view
	if len(old.active.docs) == 0 {
		return
	}
	ix.setView(newView(old.parts, append(slices.Clone(old.sealing), old.active), newGrowing(ix.f16())))
}

// setView replaces the view. The caller holds mu.
func (ix *Index) setView(v *view) {
	old := ix.view
	ix.view = v
	old.release()
}

// Has tells whether a document has a vector.
func (ix *Index) Has(doc uint32) bool {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	s, _ := ix.view.find(doc)
	return s != nil
}

// Vector returns a copy of a document's vector, ordered by index; ok is false
// when it has none.
func (ix *Index) Vector(doc uint32) (indices []uint32, values []float32, ok bool, err error) {
	ix.mu.RLock()
	v := ix.view.acquire()
	s, row := v.find(doc)
	if s == nil {
		ix.mu.RUnlock()
		v.release()
		return nil, nil, false, nil
	}
	if g, growing := s.(*growing); growing { // its slices may be appended to meanwhile
		s = g.freeze()
	}
	ix.mu.RUnlock()
	defer v.release()
	indices, values, err = s.vector(row)
	if err != nil {
		return nil, nil, false, fmt.Errorf("read sparse vector: %w", err)
	}
	return slices.Clone(indices), slices.Clone(values), true, nil
}

// Len returns the number of documents with a vector.
func (ix *Index) Len() int {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.live
}

// SetConfig changes the settings. Another datatype is applied to the stored
// parts by Step.
func (ix *Index) SetConfig(cfg Config) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.cfg = cfg
	if ix.view.active.f16 != ix.f16() {
		ix.rotate()
		ix.view.active.f16 = ix.f16()
	}
}

// Close lets the files go. The index must not be used afterwards; searches under
// way end normally.
func (ix *Index) Close() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if !ix.closed {
		ix.closed = true
		ix.setView(newView(nil, nil, newGrowing(false)))
		ix.live = 0
	}
	return nil
}
