// Package docstore is the primary store of a shard: it knows for each point its
// document number, its payload and its version (the sequence of the last
// operation that changed it), and lists points in the order of their IDs.
//
// Caller: engine/shard. One goroutine (the shard's applier) changes a Store;
// any number read it meanwhile, and one checkpoint at a time writes it.
//
// Invariants:
//
//   - D1: document numbers are given in the order of insertions and never again.
//     A document has one ID for ever; an ID that is deleted and inserted again is
//     a new document.
//   - D2: at most one live document has a given ID.
//   - D3: a row never changes. A document that changes gets a new row, and its
//     location moves to it; the row with the highest version is the current one.
//
// Rows live in parts: one growing part in memory, frozen ones that a checkpoint
// is writing, and sealed ones in mapped files (docs/format/docstore.md). Opening
// reads the columns but not the payloads.
package docstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/segment"
)

// ErrFull says that a shard has used up its document numbers.
var ErrFull = errors.New("document numbers are used up")

// Options says where a Store is.
type Options struct {
	// Dir is the shard's directory, Files the store's files as the last
	// checkpoint returned them; none for a new store.
	Dir   *segment.Dir
	Files []segment.FileInfo
	// Damaged is told when a payload can't be read; nil ignores it.
	Damaged func(error)
	// Numbers is how many document numbers there are; 0 is all 2³². For tests.
	Numbers uint64
}

// part is a set of rows: growing or sealed.
type part interface {
	place() int // its slot
	len() int   // number of rows
	doc(row uint32) uint32
	id(row uint32) point.ID
	version(row uint32) uint64
	payload(row uint32) (payload.Object, error)
	superseded() // hears that one of its rows is no longer current
}

// parts is what there is at one moment. Immutable.
type parts struct {
	// slots resolves locations. A replaced part stays in its slot until no reader
	// can hold a location in it.
	slots  []part
	active *growing
	frozen []*growing // older first
	sealed []*sealed  // larger first
}

// Store is an open document store.
type Store struct {
	dir     *segment.Dir
	damaged func(error)
	columns columns
	pins    *pins
	next    uint64 // next document number; the applier's
	numbers uint64 // how many there are

	parts atomic.Pointer[parts]
	// mu guards the ids of the active part.
	mu sync.RWMutex
	// partsMu guards changes of parts, and live.
	partsMu sync.Mutex
	// live is the file with the live documents of the last checkpoint.
	live segment.FileInfo
}

// Open opens a store.
func Open(o Options) (*Store, error) {
	s := &Store{dir: o.Dir, damaged: o.Damaged, pins: newPins(), numbers: cmp.Or(o.Numbers, math.MaxUint32+1)}
	if s.damaged == nil {
		s.damaged = func(error) {}
	}
	s.parts.Store(&parts{})
	if err := s.load(o.Files); err != nil {
		_ = s.Close()
		return nil, err
	}
	s.change(func(p *parts) { p.active = newGrowing(p.free()); p.put(p.active.slot, p.active) })
	return s, nil
}

// load opens the files of a checkpoint: the live documents first, then the
// parts.
func (s *Store) load(files []segment.FileInfo) error {
	if len(files) == 0 {
		return nil
	}
	live, next, err := readLive(s.dir, files[0])
	if err != nil {
		return err
	}
	s.live, s.next = files[0], next
	s.columns.grow(next)
	for _, info := range files[1:] {
		p, err := openSealed(s.dir, info)
		if err != nil {
			return err
		}
		s.change(func(q *parts) { p.slot = q.free(); q.put(p.slot, p); q.addSealed(p) })
		if n := len(p.docs); n > 0 && uint64(p.docs[n-1]) >= next {
			return &segment.CorruptedError{File: info.Name, Why: "document above the next number"}
		}
		s.locate(p)
	}
	var missing error
	live.each(func(doc uint32) bool {
		if uint64(doc) >= next || s.columns.location(doc) == 0 {
			missing = &segment.CorruptedError{File: s.live.Name, Why: fmt.Sprintf("live document %d has no row", doc)}
			return false
		}
		s.columns.setLive(doc, true)
		return true
	})
	if missing != nil {
		return missing
	}
	for _, p := range s.parts.Load().sealed {
		s.countGarbage(p)
	}
	return nil
}

// locate points the documents of p to it, unless a part opened before has a
// later row.
func (s *Store) locate(p *sealed) {
	for row, doc := range p.docs {
		if old := s.columns.location(doc); old == 0 ||
			s.parts.Load().slots[old.slot()].version(old.row()) < p.versions[row] {
			s.columns.setLocation(doc, at(p.slot, uint32(row)))
		}
	}
}

func (s *Store) countGarbage(p *sealed) {
	for row, doc := range p.docs {
		if s.columns.location(doc) != at(p.slot, uint32(row)) || !s.columns.isLive(doc) {
			p.garbage.Add(1)
		}
	}
}

// change replaces parts by a changed copy.
func (s *Store) change(f func(*parts)) {
	s.partsMu.Lock()
	defer s.partsMu.Unlock()
	p := *s.parts.Load()
	p.slots, p.frozen, p.sealed = slices.Clone(p.slots), slices.Clone(p.frozen), slices.Clone(p.sealed)
	f(&p)
	s.parts.Store(&p)
}

// free returns a slot without a part.
func (p *parts) free() int {
	if i := slices.Index(p.slots, nil); i >= 0 {
		return i
	}
	return len(p.slots)
}

func (p *parts) put(slot int, q part) {
	if slot == len(p.slots) {
		p.slots = append(p.slots, nil)
	}
	p.slots[slot] = q
}

// addSealed keeps larger parts first: they are likelier to have an ID.
func (p *parts) addSealed(q *sealed) {
	p.sealed = append(p.sealed, q)
	slices.SortStableFunc(p.sealed, func(a, b *sealed) int { return len(b.docs) - len(a.docs) })
}

// Pin keeps alive what the Store hands out (payloads), and lets the locations of
// hits be resolved after they were found, until it is released.
func (s *Store) Pin() Pin { return s.pins.pin() }

// Retire calls f when all pins that have been taken so far are released, perhaps
// at once: the owner of the store hangs the end of what its readers use on their
// pins. f must neither pin nor block.
func (s *Store) Retire(f func()) { s.pins.retire(f) }

// Insert makes a new live document. The ID must not belong to a live one.
func (s *Store) Insert(id point.ID, version uint64, o payload.Object) (uint32, error) {
	if s.Room() == 0 {
		return 0, ErrFull
	}
	doc := uint32(s.next)
	s.next++
	s.columns.grow(s.next)
	g := s.parts.Load().active
	row := g.add(doc, id, version, o)
	s.columns.setLocation(doc, at(g.slot, row))
	s.columns.setLive(doc, true)
	s.mu.Lock()
	g.ids.Set(entry{id, doc})
	s.mu.Unlock()
	return doc, nil
}

// Update replaces payload and version of a live document. o may share memory
// with the store while the caller holds a pin.
func (s *Store) Update(doc uint32, version uint64, o payload.Object) {
	defer s.Pin().Release()
	before, row := s.row(doc)
	g := s.parts.Load().active
	s.columns.setLocation(doc, at(g.slot, g.add(doc, before.id(row), version, o)))
	before.superseded()
}

// Touch replaces the version of a live document.
func (s *Store) Touch(doc uint32, version uint64) {
	defer s.Pin().Release()
	s.Update(doc, version, s.Payload(doc))
}

// Delete makes a live document dead for ever.
func (s *Store) Delete(doc uint32) {
	defer s.Pin().Release()
	p, row := s.row(doc)
	s.columns.setLive(doc, false)
	p.superseded()
	// An active part forgets the ID at once, so that it can be given again; in
	// other parts the live bit decides.
	e, g := entry{id: p.id(row)}, s.parts.Load().active
	s.mu.Lock()
	defer s.mu.Unlock()
	if cur, ok := g.ids.Get(e); ok && cur.doc == doc {
		g.ids.Delete(e)
	}
}

// row finds the current row of a document, live or not.
func (s *Store) row(doc uint32) (part, uint32) {
	// The location first: the part was in its slot before the location was set.
	l := s.columns.location(doc)
	if l == 0 {
		return nil, 0
	}
	ps := s.parts.Load()
	if l.slot() >= len(ps.slots) {
		return nil, 0
	}
	return ps.slots[l.slot()], l.row()
}

// Lookup returns the live document with an ID.
func (s *Store) Lookup(id point.ID) (uint32, bool) {
	pin := s.Pin()
	defer pin.Release()
	return s.LookupPinned(id)
}

// LookupPinned is Lookup for a caller that holds a pin.
func (s *Store) LookupPinned(id point.ID) (uint32, bool) {
	ps := s.parts.Load()
	s.mu.RLock()
	e, ok := ps.active.ids.Get(entry{id: id})
	s.mu.RUnlock()
	if ok && s.columns.isLive(e.doc) {
		return e.doc, true
	}
	for _, g := range slices.Backward(ps.frozen) {
		if e, ok := g.ids.Get(entry{id: id}); ok && s.columns.isLive(e.doc) {
			return e.doc, true
		}
	}
	for _, p := range ps.sealed {
		if i, ok := p.search(id); ok {
			if doc := p.docs[p.order[i]]; s.columns.isLive(doc) {
				return doc, true
			}
		}
	}
	return 0, false
}

// ID returns the ID of a document. After a Delete it is known for as long as a
// pin from before is held.
func (s *Store) ID(doc uint32) (point.ID, bool) {
	p, row := s.row(doc)
	if p == nil {
		return point.ID{}, false
	}
	return p.id(row), true
}

// Head returns the ID and the version of a live document. It looks for the row once,
// which matters for the hits of a search: their rows are in no cache.
func (s *Store) Head(doc uint32) (id point.ID, version uint64, ok bool) {
	p, row := s.row(doc)
	if p == nil || !s.columns.isLive(doc) {
		return point.ID{}, 0, false
	}
	return p.id(row), p.version(row), true
}

// Version returns the sequence of the last operation that changed the document,
// 0 for an unknown one.
func (s *Store) Version(doc uint32) uint64 {
	p, row := s.row(doc)
	if p == nil {
		return 0
	}
	return p.version(row)
}

// Payload returns the payload of a document, without copying: it is valid while
// a pin is held that was taken before. A damaged one is reported and empty.
func (s *Store) Payload(doc uint32) payload.Object {
	p, row := s.row(doc)
	if p == nil {
		return nil
	}
	o, err := p.payload(row)
	if err != nil {
		s.damaged(fmt.Errorf("read payload of document %d: %w", doc, err))
		return nil
	}
	return o
}

// Live says whether a document exists.
func (s *Store) Live(doc uint32) bool { return s.columns.isLive(doc) }

// Len returns the number of live documents.
func (s *Store) Len() int { return int(s.columns.count.Load()) }

// Next returns the next document number. Only the applier may call it.
func (s *Store) Next() uint64 { return s.next }

// Room returns how many documents can still be inserted. Only the applier may call
// it.
func (s *Store) Room() uint64 { return s.numbers - min(s.next, s.numbers) }

// Parts returns the number of parts that a lookup visits.
func (s *Store) Parts() int {
	ps := s.parts.Load()
	return 1 + len(ps.frozen) + len(ps.sealed)
}

// EachLive calls f for each live document in ascending order until it returns
// false. Documents inserted or deleted meanwhile may or may not be seen.
func (s *Store) EachLive(f func(doc uint32) bool) {
	p := s.columns.chunks.Load()
	if p == nil {
		return
	}
	for i, c := range *p {
		for w := range c.live {
			word := liveSet{c.live[w].Load()}
			more := true
			word.each(func(bit uint32) bool {
				more = f(uint32(i*chunkDocs+w*64) + bit)
				return more
			})
			if !more {
				return
			}
		}
	}
}

// Sample calls f for at most n live documents, spread evenly over all numbers, and
// without a rhythm that the documents may have too.
func (s *Store) Sample(n int, f func(doc uint32)) {
	const golden = 0x9e3779b9 // 2³² divided by the golden ratio
	p := s.columns.chunks.Load()
	if p == nil {
		return
	}
	total := uint64(len(*p)) * chunkDocs
	for i := range uint32(n) {
		if doc := uint32(uint64(i*golden) * total >> 32); s.columns.isLive(doc) {
			f(doc)
		}
	}
}

// LiveBitmap returns the set of live documents. It belongs to the caller.
func (s *Store) LiveBitmap() *roaring.Bitmap {
	var n uint64
	if p := s.columns.chunks.Load(); p != nil {
		n = uint64(len(*p)) * chunkDocs
	}
	return roaring.FromDense(s.columns.liveWords(n), false)
}

// VerifyAll reads every byte of the store's files.
func (s *Store) VerifyAll(ctx context.Context) error {
	defer s.Pin().Release()
	for _, p := range s.parts.Load().sealed {
		if err := p.reader.VerifyAll(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close unmaps the files. Nobody may use the store, or memory from it,
// afterwards. It is idempotent.
func (s *Store) Close() error {
	var open []*sealed
	s.change(func(p *parts) { open, p.sealed = p.sealed, nil })
	for _, p := range open {
		p.close()
	}
	return nil
}
