package docstore

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/segment"
)

// mergeRatio is how many times larger than what is being written a sealed part
// may be to be merged into it. It keeps the number of parts logarithmic, and
// writes each row about log(rows/checkpoint)/log(mergeRatio) times.
const mergeRatio = 3

// checkpoint is a frozen state of a Store.
type checkpoint struct {
	s    *Store
	live liveSet
	next uint64

	// What Write has made.
	frozen   []*growing       // the parts in memory that it has written
	merged   []*sealed        // the parts in files that it has written again
	written  *sealed          // nil when there was nothing to write
	from     []location       // of each of its rows: where the row was before
	liveFile segment.FileInfo // the documents that were live at the freeze
	files    segment.Batch
}

// Freeze switches to an empty growing part. The applier calls it between two
// operations. It copies a bit for each document and nothing else; rows don't change,
// so a frozen part stays what it was.
func (s *Store) Freeze() segment.Checkpoint {
	s.change(func(p *parts) {
		if p.active.n > 0 {
			p.frozen = append(p.frozen, p.active)
			p.active = newGrowing(p.free())
			p.put(p.active.slot, p.active)
		}
	})
	return &checkpoint{s: s, live: s.columns.liveWords(s.next), next: s.next}
}

// rowRef is a row that goes into a new part.
type rowRef struct {
	doc  uint32
	from location
}

// Write writes the frozen rows, merged with sealed parts that are small or full
// of garbage, into one new part, and the live documents. The live documents come
// first in the list of files: load depends on it.
func (c *checkpoint) Write(ctx context.Context, dir *segment.Dir) ([]segment.FileInfo, error) {
	defer c.s.Pin().Release()
	c.files.Dir = dir
	ps := c.s.parts.Load()
	c.frozen = slices.Clone(ps.frozen)
	rows := c.frozenRows(ps)
	c.merged = chooseMerges(ps.sealed, len(rows))
	rows = c.addSealed(ps, rows)

	if len(rows) > 0 {
		if err := c.writePart(ctx, ps, rows); err != nil {
			return nil, fmt.Errorf("write document part: %w", err)
		}
	}
	var err error
	if c.liveFile, err = writeLive(&c.files, c.live, c.next); err != nil {
		return nil, fmt.Errorf("write live documents: %w", err)
	}
	files := []segment.FileInfo{c.liveFile}
	for _, p := range ps.sealed {
		if !slices.Contains(c.merged, p) {
			files = append(files, p.info)
		}
	}
	if c.written != nil {
		files = append(files, c.written.info)
	}
	return files, nil
}

// frozenRows returns the last frozen row of each document that was live at the
// freeze, in the order of documents.
func (c *checkpoint) frozenRows(ps *parts) []rowRef {
	var rows []rowRef
	for _, g := range ps.frozen {
		for r := range g.n {
			if doc := g.doc(r); c.live.has(doc) {
				rows = append(rows, rowRef{doc, at(g.slot, r)})
			}
		}
	}
	// Later rows of a document stay behind earlier ones; keep the last.
	slices.SortStableFunc(rows, func(a, b rowRef) int { return cmp.Compare(a.doc, b.doc) })
	out := rows[:0]
	for i, r := range rows {
		if i+1 == len(rows) || rows[i+1].doc != r.doc {
			out = append(out, r)
		}
	}
	return out
}

// chooseMerges returns the parts to be merged with n new rows. Each one taken makes
// what is written larger, and so may draw in the next larger one. A part of which
// more than half is garbage is written again even when nothing is new.
func chooseMerges(sealedParts []*sealed, n int) (merged []*sealed) {
	for _, p := range slices.Backward(sealedParts) { // smaller first
		rows := len(p.docs)
		useful := rows - min(int(p.garbage.Load()), rows)
		if n > 0 && rows <= mergeRatio*n || useful < rows/2 {
			merged = append(merged, p)
			n += useful
		}
	}
	return merged
}

// addSealed adds the rows of merged parts that the frozen state needs: of documents
// that were live then, without a frozen row, which would be newer, and the newest
// where several parts have one.
func (c *checkpoint) addSealed(ps *parts, rows []rowRef) []rowRef {
	if len(c.merged) == 0 {
		return rows
	}
	isFrozen := func(doc uint32) bool {
		_, ok := slices.BinarySearchFunc(rows, doc, func(r rowRef, doc uint32) int { return cmp.Compare(r.doc, doc) })
		return ok
	}
	var add []rowRef
	for _, p := range c.merged {
		for r, doc := range p.docs {
			here := at(p.slot, uint32(r))
			if c.live.has(doc) && !isFrozen(doc) && c.newestSealed(ps, doc, here) == here {
				add = append(add, rowRef{doc, here})
			}
		}
	}
	rows = append(rows, add...)
	slices.SortFunc(rows, func(a, b rowRef) int { return cmp.Compare(a.doc, b.doc) })
	return rows
}

// newestSealed returns the newest sealed row of a document that has no frozen
// one; one of them is at here.
func (c *checkpoint) newestSealed(ps *parts, doc uint32, here location) location {
	l := c.s.columns.location(doc)
	if l.slot() < len(ps.slots) {
		if _, ok := ps.slots[l.slot()].(*sealed); ok {
			return l
		}
	}
	// The document has changed since the freeze. What it changed from is the row
	// with the highest version.
	var version uint64
	best := here
	for _, p := range ps.sealed {
		if r, ok := p.find(doc); ok && p.versions[r] > version {
			best, version = at(p.slot, r), p.versions[r]
		}
	}
	return best
}

// writePart writes rows as a new part and opens it. Opening validates it, so a part
// that couldn't be read back never gets into a manifest.
func (c *checkpoint) writePart(ctx context.Context, ps *parts, rows []rowRef) error {
	info, err := c.files.Write("docs", partKind, partVersion, func(w *segment.Writer) error {
		pw := partWriter{w: w, rows: rows, slots: ps.slots}
		pw.columns()
		return pw.payloads(ctx)
	})
	if err != nil {
		return err
	}
	if c.written, err = openSealed(c.files.Dir, info); err != nil {
		return err
	}
	c.from = make([]location, len(rows))
	for i, r := range rows {
		c.from[i] = r.from
	}
	return nil
}

// partWriter writes the sections of a part. Errors of the writer stick to it.
type partWriter struct {
	w     *segment.Writer
	rows  []rowRef
	slots []part
}

func (pw *partWriter) part(r rowRef) (part, uint32) { return pw.slots[r.from.slot()], r.from.row() }

// columns writes everything but the payload bytes. Rows are in the order of
// documents; order lists them by ID, rank is its inverse. IDs are written once, in
// their order, numbers before UUIDs.
func (pw *partWriter) columns() {
	n := len(pw.rows)
	ids, order := make([]point.ID, n), make([]uint32, n)
	docs, versions := make([]uint32, n), make([]uint64, n)
	for i, r := range pw.rows {
		p, row := pw.part(r)
		ids[i], docs[i], versions[i], order[i] = p.id(row), r.doc, p.version(row), uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return ids[a].Compare(ids[b]) })
	rank := make([]uint32, n)
	var numbers, uuids []uint64
	for i, row := range order {
		rank[row] = uint32(i)
		if isUUID, hi, lo := ids[row].Parts(); isUUID {
			uuids = append(uuids, hi, lo)
		} else {
			numbers = append(numbers, lo)
		}
	}
	put(pw.w, secMeta, []uint64{uint64(n), uint64(len(numbers))})
	put(pw.w, secDocs, docs)
	put(pw.w, secVersions, versions)
	put(pw.w, secRank, rank)
	put(pw.w, secNumbers, numbers)
	put(pw.w, secUUIDs, uuids)
	put(pw.w, secOrder, order)
}

func put[T segment.Number](w *segment.Writer, id uint16, v []T) {
	_, _ = w.Section(id).Write(segment.Raw(v)) // Finish returns the error
}

// payloads writes the payload bytes and where each begins. It asks for each payload
// twice, which costs no copy: all of them together may not fit into memory.
func (pw *partWriter) payloads(ctx context.Context) error {
	offsets := make([]uint64, 1, len(pw.rows)+1)
	for _, r := range pw.rows {
		o, err := pw.payload(r)
		if err != nil {
			return err
		}
		offsets = append(offsets, offsets[len(offsets)-1]+uint64(len(o)))
	}
	put(pw.w, secOffsets, offsets)
	out := bufio.NewWriterSize(pw.w.Section(secPayload), 256<<10)
	for i, r := range pw.rows {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		o, err := pw.payload(r)
		if err != nil {
			return err
		}
		_, _ = out.Write(o)
	}
	_ = out.Flush()
	return nil
}

func (pw *partWriter) payload(r rowRef) (payload.Object, error) {
	p, row := pw.part(r)
	return p.payload(row)
}

// Commit replaces the frozen and merged parts by the written one. Readers and the
// applier go on meanwhile; the order of the steps is what keeps them right:
//
//  1. the new part gets a slot, so that locations in it can be resolved;
//  2. locations move, each unless the applier has moved it since;
//  3. locations that stayed behind belong to the dead, and are cleared;
//  4. lookups by ID go to the new part instead of the old ones;
//  5. when no reader from before is left, the old parts leave their slots.
func (c *checkpoint) Commit() error {
	s := c.s
	if c.written != nil {
		s.change(func(p *parts) {
			c.written.slot = p.free()
			p.put(c.written.slot, c.written)
		})
		for row, doc := range c.written.docs {
			if !s.columns.move(doc, c.from[row], at(c.written.slot, uint32(row))) || !s.columns.isLive(doc) {
				c.written.garbage.Add(1)
			}
		}
	}
	// What is still located in the replaced parts is dead. Its slot will be given
	// to another part, so it must be nowhere.
	for _, p := range c.replaced() {
		for row := range uint32(p.len()) {
			s.columns.move(p.doc(row), at(p.place(), row), 0)
		}
	}
	s.change(func(p *parts) {
		s.live = c.liveFile
		if c.written != nil {
			p.addSealed(c.written)
		}
		p.frozen = slices.DeleteFunc(p.frozen, func(g *growing) bool { return slices.Contains(c.frozen, g) })
		p.sealed = slices.DeleteFunc(p.sealed, func(q *sealed) bool { return slices.Contains(c.merged, q) })
	})
	s.pins.retire(c.release)
	return nil
}

// replaced returns the parts that the commit replaces.
func (c *checkpoint) replaced() (out []part) {
	for _, g := range c.frozen {
		out = append(out, g)
	}
	for _, p := range c.merged {
		out = append(out, p)
	}
	return out
}

// release gives back what the commit has replaced, when nobody reads it.
func (c *checkpoint) release() {
	c.s.change(func(p *parts) {
		for _, q := range c.replaced() {
			p.slots[q.place()] = nil
		}
	})
	for _, q := range c.merged {
		q.close()
	}
}

// Abort leaves the frozen parts to the next checkpoint.
func (c *checkpoint) Abort() {
	if c.written != nil {
		c.written.close()
	}
	c.files.Discard()
}

// The sections of a live file.
const (
	secNext    uint16 = iota + 1 // the next document number, uint64
	secLiveSet                   // roaring bitmap in its portable form
)

// writeLive writes the set of live documents and the next document number, which
// can't be told from the live ones: the newest may be dead.
func writeLive(b *segment.Batch, live liveSet, next uint64) (segment.FileInfo, error) {
	bm := roaring.FromDense(live, false)
	bm.RunOptimize()
	var buf bytes.Buffer
	if _, err := bm.WriteTo(&buf); err != nil {
		return segment.FileInfo{}, err
	}
	return b.Write("live", liveKind, liveVersion, func(w *segment.Writer) error {
		put(w, secNext, []uint64{next})
		put(w, secLiveSet, buf.Bytes())
		return nil
	})
}

// readLive reads a live file. It verifies all of it: it is small, and everything
// that is opened after it relies on its numbers.
func readLive(dir *segment.Dir, info segment.FileInfo) (liveSet, uint64, error) {
	r, err := dir.Open(info, liveKind, liveVersion)
	if err != nil {
		return nil, 0, fmt.Errorf("open live documents %s: %w", info.Name, err)
	}
	defer r.Close() //nolint:errcheck // only read
	bad := func(why string) error { return &segment.CorruptedError{File: info.Name, Why: why} }
	if err := r.VerifyAll(context.Background()); err != nil {
		return nil, 0, err
	}
	var sections [2][]byte
	for i, id := range []uint16{secNext, secLiveSet} {
		s, err := r.Section(id)
		if err != nil {
			return nil, 0, err
		}
		if sections[i], err = s.All(); err != nil {
			return nil, 0, err
		}
	}
	if len(sections[0]) != 8 {
		return nil, 0, bad("next document number")
	}
	next := binary.LittleEndian.Uint64(sections[0])
	bm := roaring.New()
	if _, err := bm.ReadFrom(bytes.NewReader(sections[1])); err != nil {
		return nil, 0, bad("live documents: " + err.Error())
	}
	if !bm.IsEmpty() && uint64(bm.Maximum()) >= next || next > 1<<32 {
		return nil, 0, bad("document above the next number")
	}
	return bm.ToDense(), next, nil
}
