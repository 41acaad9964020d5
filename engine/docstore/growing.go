package docstore

import (
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
)

const (
	growRows = 1 << 10 // rows in a chunk of a growing part
	minBlock = 16 << 10
	maxBlock = 1 << 20
)

// entry is a document in the order of IDs.
type entry struct {
	id  point.ID
	doc uint32
}

func entryLess(a, b entry) bool { return a.id.Compare(b.id) < 0 }

// growing is the part in memory that takes new rows, or has taken them and is
// frozen. A row never changes once it is published through a location, so
// readers need no lock; a document that changes gets a new row.
type growing struct {
	slot   int
	rows   atomic.Pointer[[]*growChunk]
	blocks atomic.Pointer[[][]byte] // payload bytes
	n      uint32
	used   int // bytes of the last block

	// ids holds the documents that were inserted into this part, in the order of
	// their IDs. While the part is active, Store.mu guards it.
	ids *btree.BTreeG[entry]
}

// growRow is a row. Its fields lie together, because naming a hit takes all of them
// from one place that is in no cache.
type growRow struct {
	hi, lo  uint64 // of the ID
	version uint64
	ref     uint64 // of the payload: block in the upper half, offset in the lower
	doc     uint32
	size    uint32 // of the payload; the highest bit says that the ID is a UUID
}

// uuidBit marks the size of a row whose ID is a UUID. Payloads are far smaller:
// a record of the log has at most 1 GiB.
const uuidBit = 1 << 31

func (r *growRow) id() point.ID { return point.FromParts(r.size&uuidBit != 0, r.hi, r.lo) }

// growChunk holds growRows rows without pointers.
type growChunk [growRows]growRow

func newGrowing(slot int) *growing {
	g := &growing{slot: slot, ids: btree.NewBTreeGOptions(entryLess, btree.Options{NoLocks: true, Degree: 64})}
	g.rows.Store(&[]*growChunk{})
	g.blocks.Store(&[][]byte{})
	return g
}

// add appends a row and returns its number.
func (g *growing) add(doc uint32, id point.ID, version uint64, o payload.Object) uint32 {
	rows := *g.rows.Load()
	if int(g.n/growRows) == len(rows) {
		rows = append(rows, new(growChunk))
		g.rows.Store(&rows)
	}
	isUUID, hi, lo := id.Parts()
	r := growRow{hi: hi, lo: lo, version: version, ref: g.store(o), doc: doc, size: uint32(len(o))}
	if isUUID {
		r.size |= uuidBit
	}
	rows[g.n/growRows][g.n%growRows] = r
	g.n++
	return g.n - 1
}

// store copies payload bytes and returns where they are.
func (g *growing) store(o payload.Object) uint64 {
	if len(o) == 0 {
		return 0
	}
	blocks := *g.blocks.Load()
	if len(blocks) == 0 || g.used+len(o) > len(blocks[len(blocks)-1]) {
		size := minBlock
		if len(blocks) > 0 {
			size = min(2*len(blocks[len(blocks)-1]), maxBlock)
		}
		blocks = append(blocks, make([]byte, max(size, len(o))))
		g.blocks.Store(&blocks)
		g.used = 0
	}
	ref := uint64(len(blocks)-1)<<32 | uint64(g.used)
	g.used += copy(blocks[len(blocks)-1][g.used:], o)
	return ref
}

func (g *growing) row(r uint32) *growRow { return &(*g.rows.Load())[r/growRows][r%growRows] }

func (g *growing) doc(r uint32) uint32     { return g.row(r).doc }
func (g *growing) id(r uint32) point.ID    { return g.row(r).id() }
func (g *growing) version(r uint32) uint64 { return g.row(r).version }

func (g *growing) payload(r uint32) (payload.Object, error) {
	row := g.row(r)
	n := row.size &^ uuidBit
	if n == 0 {
		return payload.Object{}, nil
	}
	b := (*g.blocks.Load())[row.ref>>32][uint32(row.ref):]
	return payload.Object(b[:n:n]), nil
}

func (g *growing) place() int  { return g.slot }
func (g *growing) len() int    { return int(g.n) }
func (g *growing) superseded() {}
