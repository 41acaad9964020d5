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
	// GrowingDocs bounds the documents of the growing layer; 0 is 16,384.
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
	if len(growing.rows) >= ix.cfg.GrowingDocs || growing.bytes >= maxGrowingBytes {
		ix.spill()
	}
}

// spill turns the growing layer into an image, and merges images of like size,
// so that there are few of them. Images that a checkpoint is writing stay.
func (ix *Index) spill() {
	layers := append(slices.Clone(ix.state.layers), ix.merge([]layer{ix.state.growing}, false))
	const likes = 4
	for {
		mine := layers[max(ix.frozen, ix.onDisk()):]
		if len(mine) < likes || sizeClass(mine[len(mine)-likes]) > sizeClass(mine[len(mine)-1]) {
			break
		}
		from := len(layers) - likes
		layers = append(layers[:from:from], ix.merge(layers[from:], from == 0))
	}
	// Nothing can fail: images in memory have no file to close.
	_ = ix.swap(layers, newMem())
}

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
