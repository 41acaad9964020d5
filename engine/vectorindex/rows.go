package vectorindex

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/arena"
	"github.com/sextantdb/sextant/internal/fsx"
)

// ErrTooManyRows is returned when row numbers are used up; a vacuum frees them.
var ErrTooManyRows = errors.New("vector index has too many rows")

// maxRows is where row numbers end: one bit is the graph's.
const maxRows = 1<<31 - 1

// chunk is a run of rows: in memory while it is the last one, in a mapped file
// after a checkpoint. It is replaced, never changed, except that rows are written
// behind those that are published.
type chunk struct {
	counted
	base unsafe.Pointer
	docs []uint32 // document of each row
	dead *deadBits

	// reader is the mapped file and rows the section in which the rows lie; nil: in
	// memory.
	reader *segment.Reader
	rows   *segment.Section
}

// deadBits has a bit for each row of a chunk whose document has moved on. It is
// shared by the chunk's successive forms.
type deadBits []atomic.Uint64

func newDeadBits(rows int) *deadBits {
	b := make(deadBits, (rows+63)/64)
	return &b
}

func (b deadBits) get(i uint32) bool { return b[i/64].Load()>>(i%64)&1 != 0 }

// set sets a bit and tells whether it was clear.
func (b deadBits) set(i uint32) bool {
	bit := uint64(1) << (i % 64)
	return b[i/64].Or(bit)&bit == 0
}

// newMemoryChunk reserves memory for a full chunk. The first chunk of an index
// takes small pages: thousands of collections hold a few vectors each.
func newMemoryChunk(f *format, account *arena.Account, first bool) (*chunk, error) {
	rows := f.chunkRows()
	a, err := arena.New(arena.Options{
		Reserve: int64(rows)*int64(f.stride) + 4*int64(rows), Account: account, SmallPages: first,
	})
	if err != nil {
		return nil, fmt.Errorf("add rows: %w", err)
	}
	c := &chunk{
		base: a.Base(), docs: arena.View[uint32](a.Bytes()[rows*f.stride:])[:rows:rows],
		dead: newDeadBits(rows),
	}
	c.free = func() { ignoreError(a.Free()) }
	return c, nil
}

// newMappedChunk opens a file of rows. dead is nil, or the bits of the chunk that
// it replaces.
func newMappedChunk(f *format, dir *segment.Dir, info segment.FileInfo, rows int, dead *deadBits) (*chunk, error) {
	r, err := dir.Open(info, kindRows, formatVersion)
	if err != nil {
		return nil, fmt.Errorf("open rows: %w", err)
	}
	c, err := readChunk(f, r, rows)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open rows: %w", err), r.Close())
	}
	if c.dead = dead; dead == nil {
		c.dead = newDeadBits(f.chunkRows())
	}
	c.reader = r
	c.free = func() { ignoreError(r.Close()) }
	return c, nil
}

// advise tells how a mapped chunk will be read: here and there, and, unless the
// user wants memory for other things, soon.
func (c *chunk) advise(onDisk bool) {
	if onDisk {
		c.reader.Advise(fsx.AdviseRandom)
	} else {
		c.reader.Advise(fsx.AdviseWillNeed)
	}
}

// readChunk makes a chunk of the sections of a file; it verifies the documents
// but not yet the rows.
func readChunk(f *format, r *segment.Reader, rows int) (*chunk, error) {
	data, err := r.Section(sectionRows)
	if err != nil {
		return nil, err
	}
	section, err := r.Section(sectionDocs)
	if err != nil {
		return nil, err
	}
	b, err := section.All()
	if err != nil {
		return nil, err
	}
	if data.Len() != int64(rows)*int64(f.stride) || len(b) != 4*rows || rows == 0 {
		return nil, fmt.Errorf("%d bytes of rows and %d of documents for %d rows: %w", data.Len(), len(b), rows, ErrInvalid)
	}
	docs, err := segment.View[uint32](b)
	if err != nil {
		return nil, err
	}
	return &chunk{base: unsafe.Pointer(unsafe.SliceData(data.Bytes())), docs: docs, rows: data}, nil
}

// check verifies the bytes of a row in a mapped file.
func (c *chunk) check(f *format, at uint32) error {
	if c.rows == nil {
		return nil
	}
	if err := c.rows.Check(int64(at)*int64(f.stride), int64(f.stride)); err != nil {
		return fmt.Errorf("read row: %w", err)
	}
	return nil
}

// checkRange verifies the bytes of a run of rows in a mapped file.
func (c *chunk) checkRange(f *format, at, n uint32) error {
	if c.rows == nil {
		return nil
	}
	if err := c.rows.Check(int64(at)*int64(f.stride), int64(n)*int64(f.stride)); err != nil {
		return fmt.Errorf("read rows: %w", err)
	}
	return nil
}

// generation is one numbering of rows. A vacuum makes the next one; everything
// else only appends. Invariants:
//
//   - R1: a row below count is written and never changes.
//   - R2: a document's row is live; a row is dead when its document has another
//     row or none. A new row is published, then located, then the old one dies: a
//     reader that finds a row dead finds its successor below a count read later.
//   - R3: rows below inOrder were written first of all for the document of their own
//     number, as when points are uploaded once. There, look-ups between documents and
//     rows, most of which miss the cache, are not needed.
type generation struct {
	f         *format
	count     atomic.Uint32 // published rows
	inOrder   atomic.Uint32
	deadRows  atomic.Int64
	locations locations
}

// keepOrder learns the document of each row, one row after the other.
func (g *generation) keepOrder(doc, row uint32) {
	if doc == row && g.inOrder.Load() == row {
		g.inOrder.Store(row + 1)
	}
}

// row returns the row of a document; while the document is moving, that of before.
func (v *view) row(doc uint32) (row uint32, ok bool) {
	if doc < v.gen.inOrder.Load() && int(doc>>v.gen.f.shift) < len(v.chunks) && !v.isDead(doc) {
		return doc, true
	}
	return v.gen.locations.get(doc)
}

// rowsOf returns the rows of ascending documents, of those that have one: the documents
// themselves where nothing was ever written again, else in dst, which has room for them.
// It does what row does, for many at a time.
func (v *view) rowsOf(docs, dst []uint32) []uint32 {
	g := v.gen
	if len(docs) > 0 && g.deadRows.Load() == 0 {
		if last := docs[len(docs)-1]; last < g.inOrder.Load() && int(last>>g.f.shift) < len(v.chunks) {
			return docs
		}
	}
	n := 0
	for _, doc := range docs {
		if row, ok := v.row(doc); ok {
			dst[n] = row
			n++
		}
	}
	return dst[:n]
}

func newGeneration(f *format) *generation { return &generation{f: f} }

func (g *generation) rows() int { return int(g.count.Load()) }

func (g *generation) live() int { return int(int64(g.count.Load()) - g.deadRows.Load()) }

// address returns where a row lies.
func (v *view) address(row uint32) unsafe.Pointer {
	f := v.gen.f
	return unsafe.Add(v.chunks[row>>f.shift].base, int(row&(1<<f.shift-1))*f.stride)
}

// doc returns the document of a row.
func (v *view) doc(row uint32) uint32 {
	if row < v.gen.inOrder.Load() {
		return row
	}
	s := v.gen.f.shift
	return v.chunks[row>>s].docs[row&(1<<s-1)]
}

// isDead tells whether a row's document has moved on.
func (v *view) isDead(row uint32) bool {
	s := v.gen.f.shift
	return v.chunks[row>>s].dead.get(row & (1<<s - 1))
}

// kill marks a row dead.
func (v *view) kill(row uint32) {
	s := v.gen.f.shift
	if v.chunks[row>>s].dead.set(row & (1<<s - 1)) {
		v.gen.deadRows.Add(1)
	}
}

// rows returns the number of published rows that the view's chunks hold.
func (v *view) rows() uint32 {
	return uint32(min(v.gen.rows(), len(v.chunks)<<v.gen.f.shift))
}

// copyDead returns the dead bits of the rows 0..n-1 as they are now.
func (v *view) copyDead(n int) []uint64 {
	out := make([]uint64, (n+63)/64)
	per := v.gen.f.chunkRows() / 64 // a chunk has at least minChunkRows
	for i := range out {
		out[i] = (*v.chunks[i/per].dead)[i%per].Load()
	}
	return out
}
