package payloadindex

import (
	"context"
	"errors"
	"iter"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/segment"
)

// Config says what an Index indexes. It doesn't change during the index's life,
// and must be the same each time its files are opened.
type Config struct {
	// Path is the field.
	Path payload.Path
	// Kind is the type of its values.
	Kind Kind
	// Tokenizer is needed for FullText and unused for other kinds.
	Tokenizer Tokenizer
	// GrowingDocs bounds the documents of the growing layer, and their keys; 0 is
	// 16,384.
	GrowingDocs int
}

// Options says where an Index is.
type Options struct {
	Config
	// Dir and Files are the files of the last checkpoint; no files for a new
	// index.
	Dir   *segment.Dir
	Files []segment.FileInfo
}

// Index is the index of one field. See the package for who may call what.
type Index struct {
	cfg  Config
	live atomic.Int64 // documents with a key, for Len

	// mu guards the contents of the growing layer, and the change of state.
	mu    sync.RWMutex
	state *state

	// mutate is held by whoever changes anything; it comes before mu and guards
	// the fields below. Readers don't wait for it.
	mutate     sync.Mutex
	generation uint64 // of the newest image
	frozen     int    // layers of state that a checkpoint is writing
	merging    int    // where the run ends that Step is merging; 0 when it isn't
	closed     bool
}

// state is a list of layers. The list and all layers but growing are immutable.
type state struct {
	layers  []layer // oldest first: images from files, then images and mems in memory
	growing *mem
	users   atomic.Int32
	closed  bool
	cache   cache
}

func newState(layers []layer, growing *mem) *state {
	s := &state{layers: layers, growing: growing}
	s.users.Store(1)
	for _, l := range layers {
		if m, ok := l.(*image); ok {
			m.retain()
		}
	}
	return s
}

func (s *state) release() error {
	if s.users.Add(-1) > 0 {
		return nil
	}
	var errs []error
	for _, l := range s.layers {
		if m, ok := l.(*image); ok {
			errs = append(errs, m.release())
		}
	}
	return errors.Join(errs...)
}

// acquire returns the current state, to be released.
func (ix *Index) acquire() *state {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	ix.state.users.Add(1)
	return ix.state
}

// swap replaces the state. The caller holds mutate.
func (ix *Index) swap(layers []layer, growing *mem) error {
	next := newState(layers, growing)
	next.closed = ix.closed
	ix.mu.Lock()
	old := ix.state
	ix.state = next
	ix.mu.Unlock()
	return old.release()
}

// Open opens an index from the files of its last checkpoint, or makes an empty
// one. Files are read once and verified completely: a damaged one is
// segment.ErrCorrupted.
func Open(opts Options) (*Index, error) {
	if opts.GrowingDocs <= 0 {
		opts.GrowingDocs = 1 << 14
	}
	ix := &Index{cfg: opts.Config}
	var layers []layer
	for _, info := range opts.Files {
		m, err := openImage(opts.Dir, info, opts.Kind)
		if err != nil {
			for _, l := range layers {
				err = errors.Join(err, l.(*image).file.Close())
			}
			return nil, err
		}
		layers = append(layers, m)
		ix.generation = max(ix.generation, m.generation)
	}
	slices.SortFunc(layers, func(a, b layer) int {
		return int(a.(*image).generation) - int(b.(*image).generation)
	})
	ix.state = newState(layers, newMem())
	keyed := stack(layers, func(l layer) *roaring.Bitmap { return roaring.BitmapOf(l.(*image).fwdDocs...) })
	ix.live.Store(int64(keyed.GetCardinality()))
	return ix, nil
}

// Config returns what the index indexes.
func (ix *Index) Config() Config { return ix.cfg }

// Semantics returns what the index changes about predicates on its field.
func (ix *Index) Semantics() Semantics {
	return Semantics{Tokenizer: ix.cfg.Tokenizer, UUID: ix.cfg.Kind == UUID}
}

// Len returns the number of documents that have a value of the index's kind in
// the field.
func (ix *Index) Len() int { return int(ix.live.Load()) }

// Update says that a document's payload changed from before (nil for a new
// document) to after.
func (ix *Index) Update(doc uint32, before, after payload.Object) {
	if ix.cfg.unchanged(before, after) {
		return
	}
	r := ix.cfg.extract(after)
	ix.mutate.Lock()
	defer ix.mutate.Unlock()
	ix.put(doc, r)
	ix.account(ix.cfg.indexes(before), len(r.keys) > 0)
}

// Remove says that a document with this payload is gone.
func (ix *Index) Remove(doc uint32, before payload.Object) {
	ix.Update(doc, before, nil)
}

func (ix *Index) account(had, has bool) {
	if had != has {
		if has {
			ix.live.Add(1)
		} else {
			ix.live.Add(-1)
		}
	}
}

// maxGrowingBytes bounds the growing layer where documents have many keys.
const maxGrowingBytes = 8 << 20

func (ix *Index) put(doc uint32, r row) {
	growing := ix.state.growing
	ix.mu.Lock()
	growing.put(doc, r)
	ix.mu.Unlock()
	// An image takes its time by entry, not by document.
	if max(len(growing.rows), growing.tree.Len()) >= ix.cfg.GrowingDocs || growing.bytes >= maxGrowingBytes {
		ix.spill()
	}
}

// spill puts a new growing layer on top. What lies in memory below it is merged by
// Step, in the background, because that takes hundreds of milliseconds when there
// is much of it. When Step falls behind, the mutator makes the images; when it falls
// far behind, or nobody calls it, the mutator merges too, the two smallest.
func (ix *Index) spill() {
	full := layer(ix.state.growing)
	if ix.inMemory() >= maxLayers {
		full = ix.merge([]layer{full}, false)
	}
	// Nothing can fail: no file is dropped, here and below.
	_ = ix.swap(append(slices.Clone(ix.state.layers), full), newMem())
	// Twice at most: one layer more, two less; a backlog isn't worked off in one update.
	for range 2 {
		if ix.inMemory() < 2*maxLayers {
			return
		}
		at, ok := ix.smallestPair()
		if !ok {
			return
		}
		_ = ix.replace(at, at+2, ix.merge(ix.state.layers[at:at+2], at == 0))
	}
}

// smallestPair returns the first of the two neighbours in memory that are smallest
// together: as Step is behind with newer layers, these are small, and merging them
// takes the mutator little time. It leaves alone what Step is merging, and what lies
// below, whose places Step counts on.
func (ix *Index) smallestPair() (at int, ok bool) {
	least := 0
	for i := max(ix.frozen, ix.onDisk(), ix.merging); i+1 < len(ix.state.layers); i++ {
		if size := ix.state.layers[i].size() + ix.state.layers[i+1].size(); !ok || size < least {
			at, least, ok = i, size, true
		}
	}
	return at, ok
}

// inMemory returns how many layers there are that Step may merge.
func (ix *Index) inMemory() int { return len(ix.state.layers) - max(ix.frozen, ix.onDisk()) }

// onDisk returns how many layers come from files.
func (ix *Index) onDisk() (n int) {
	for _, l := range ix.state.layers {
		if m, ok := l.(*image); !ok || m.file == nil {
			break
		}
		n++
	}
	return n
}

// maxLayers is from how many layers in memory on the mutator does some of the work of
// Step, and from twice as many on all of it.
const maxLayers = 32

// Pending says whether Step has something to do.
func (ix *Index) Pending() bool {
	ix.mutate.Lock()
	defer ix.mutate.Unlock()
	from, to := ix.mergeable()
	return from < to
}

// Step merges layers in memory, while updates and queries go on, and says whether
// there is more to do: what was spilled becomes images, and then one run of images
// becomes one. One goroutine may call it at a time.
func (ix *Index) Step(ctx context.Context) (more bool, err error) {
	for ctx.Err() == nil {
		n, more, err := ix.mergeOne()
		if n != 1 || !more || err != nil {
			return more, err
		}
	}
	return false, ctx.Err()
}

// mergeOne merges the next run of layers, and returns how many they were.
func (ix *Index) mergeOne() (n int, more bool, err error) {
	ix.mutate.Lock()
	from, to := ix.mergeable()
	layers := ix.state.layers
	ix.merging = to
	ix.mutate.Unlock()
	if from == to {
		return 0, false, nil
	}
	// Layers in memory don't change.
	merged := ix.merge(layers[from:to], from == 0)
	ix.mutate.Lock()
	defer ix.mutate.Unlock()
	ix.merging = 0
	now := ix.state.layers
	if ix.frozen > from || len(now) < to || !slices.Equal(now[from:to], layers[from:to]) {
		return 0, true, nil // a checkpoint, or the mutator, was faster
	}
	if err := ix.replace(from, to, merged); err != nil {
		return 0, false, err
	}
	next, end := ix.mergeable()
	return to - from, next < end, nil
}

// mergeable returns the run of layers that is to be merged next; an empty one when
// there is none. Layers of files, and those that a checkpoint is writing, stay. A
// full growing layer becomes an image, and four images of like size become one:
// so an entry is merged a few times, and there are few layers. The caller holds
// mutate.
func (ix *Index) mergeable() (from, to int) {
	const likes = 4
	layers, first := ix.state.layers, max(ix.frozen, ix.onDisk())
	for i := first; i < len(layers); i++ {
		if n := leadingMems(layers[i:]); n > 0 {
			return i, i + min(n, likes)
		}
		n := i + 1 - first
		if n >= likes && sizeClass(layers[i+1-likes]) <= sizeClass(layers[i]) {
			return i + 1 - likes, i + 1
		}
	}
	return 0, 0
}

// leadingMems returns how many layers at the beginning were spilled.
func leadingMems(layers []layer) (n int) {
	for n < len(layers) {
		if _, ok := layers[n].(*mem); !ok {
			break
		}
		n++
	}
	return n
}

// replace puts one image in the place of a run of layers. The caller holds mutate.
func (ix *Index) replace(from, to int, m *image) error {
	layers := ix.state.layers
	next := append(slices.Clone(layers[:from]), layer(m))
	return ix.swap(append(next, layers[to:]...), ix.state.growing)
}

func sizeClass(l layer) int { return bits.Len(uint(l.size()>>16)) / 2 }

// Build fills an index that was just made with all documents of a shard.
func (ix *Index) Build(ctx context.Context, docs iter.Seq2[uint32, payload.Object]) error {
	n := 0
	for doc, o := range docs {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		ix.Update(doc, nil, o)
	}
	return nil
}

// Close releases the files once the reads that are under way have ended. A
// closed index answers no query; a filter then looks at the documents.
func (ix *Index) Close() error {
	ix.mutate.Lock()
	defer ix.mutate.Unlock()
	if ix.closed {
		return nil
	}
	ix.closed = true
	return ix.swap(nil, newMem())
}
