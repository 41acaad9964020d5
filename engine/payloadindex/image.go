package payloadindex

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/sextantdb/sextant/engine/segment"
)

// image is an immutable layer made of flat arrays, which lie in memory or in a
// mapped file (docs/format/payloadindex.md). Keys are sorted; a key is known by
// its ordinal; the entries of ordinal i are starts[i] … starts[i+1] of docs.
type image struct {
	numeric bool
	nums    []uint64 // numeric keys
	ends    []uint64 // string key i is text[ends[i-1]:ends[i]]
	text    []byte
	starts  []uint32 // one more than keys
	docs    []uint32 // sorted within a key

	// The way back: document fwdDocs[i] has the ordinals
	// fwdOrds[fwdStarts[i]:fwdStarts[i+1]].
	fwdDocs, fwdStarts, fwdOrds []uint32

	// The numbers of values of documents where it isn't 1, sorted by document.
	countDocs, counts []uint32

	// blocks holds sets of documents ready to be united; block i is
	// blocks[blockEnds[i-1]:blockEnds[i]]. First come those of entries: on level l
	// the i-th is the set of docs[i*width:(i+1)*width] for a width of
	// blockWidth·blockFanout^l. Then those of the keys heavy, all their documents.
	blocks    []uint64
	blockEnds []uint64
	levels    []int    // first block of each level
	heavy     []uint32 // ordinals, sorted
	chunks    int      // of documents, for sets as arrays of bits

	all   *roaring.Bitmap
	flags [numFlags]*roaring.Bitmap

	generation uint64
	file       *segment.Reader // nil in memory
	info       segment.FileInfo
	users      atomic.Int32 // lists of layers that contain it
}

const (
	blockWidth  = 1024
	blockFanout = 8
	// heavyFrom is the number of documents from which a key has its own block.
	heavyFrom = 4096
)

// blockLevels returns the number of the first block of each level, and the
// number of blocks, for n entries. Only full blocks exist.
func blockLevels(n int) (first []int, total int) {
	for width := blockWidth; width <= n; width *= blockFanout {
		first = append(first, total)
		total += n / width
	}
	return first, total
}

func (m *image) numKeys() int { return len(m.starts) - 1 }

// key returns a key; a string shares memory with the image.
func (m *image) key(ord int) key {
	if m.numeric {
		return key{n: m.nums[ord]}
	}
	b := m.keyBytes(ord)
	return key{s: unsafe.String(unsafe.SliceData(b), len(b))}
}

func (m *image) keyBytes(ord int) []byte {
	from := uint64(0)
	if ord > 0 {
		from = m.ends[ord-1]
	}
	return m.text[from:m.ends[ord]]
}

// search returns the first ordinal whose key isn't less than k.
func (m *image) search(k key) int {
	if m.numeric {
		i, _ := slices.BinarySearch(m.nums, k.n)
		return i
	}
	lo, hi := 0, len(m.ends)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if b := m.keyBytes(mid); strings.Compare(unsafe.String(unsafe.SliceData(b), len(b)), k.s) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// ordinals returns the ordinals within sp.
func (m *image) ordinals(sp span) (from, to int) {
	from, to = m.search(sp.lo), m.numKeys()
	if !sp.open {
		to = max(from, m.search(sp.hi))
	}
	return from, to
}

func (m *image) touched() *roaring.Bitmap { return m.all }

func (m *image) flagged(f flags) *roaring.Bitmap {
	for i, b := range m.flags {
		if f == 1<<i {
			return b
		}
	}
	return nil
}

func (m *image) collect(sp span, check func(key) bool, c *collector) {
	from, to := m.ordinals(sp)
	if check == nil {
		m.collectKeys(from, to, c)
		return
	}
	// Neighbours that pass are collected together.
	for ord := from; ord < to; ord++ {
		run := ord
		for ord < to && check(m.key(ord)) {
			ord++
		}
		m.collectKeys(run, min(ord, to), c)
	}
}

// collectKeys collects the documents of the keys from … to−1.
func (m *image) collectKeys(from, to int, c *collector) {
	if to == from+1 {
		n := int(m.starts[to] - m.starts[from])
		if i, found := slices.BinarySearch(m.heavy, uint32(from)); found && c.bits(m.chunks, n) {
			uniteBlock(c.words, m.block(len(m.blockEnds)-len(m.heavy)+i))
			return
		}
	}
	m.collectEntries(int(m.starts[from]), int(m.starts[to]), c)
}

// collectEntries collects docs[from:to], whole blocks at once.
func (m *image) collectEntries(from, to int, c *collector) {
	if to-from < blockWidth || !c.bits(m.chunks, to-from) {
		c.docs = append(c.docs, m.docs[from:to]...)
		return
	}
	for pos := from; pos < to; {
		level, width := -1, 1
		for l, w := 0, blockWidth; l < len(m.levels) && pos%w == 0 && pos+w <= to; l, w = l+1, w*blockFanout {
			level, width = l, w
		}
		if level >= 0 {
			uniteBlock(c.words, m.block(m.levels[level]+pos/width))
			pos += width
			continue
		}
		stop := min(to, (pos/blockWidth+1)*blockWidth)
		for _, d := range m.docs[pos:stop] {
			c.words[d/64] |= 1 << (d % 64)
		}
		pos = stop
	}
}

func (m *image) block(i int) []uint64 {
	from := uint64(0)
	if i > 0 {
		from = m.blockEnds[i-1]
	}
	return m.blocks[from:m.blockEnds[i]]
}

func (m *image) entries(sp span) int {
	from, to := m.ordinals(sp)
	return int(m.starts[to] - m.starts[from])
}

func (m *image) counted(fn func(doc, count uint32)) {
	for i, doc := range m.countDocs {
		fn(doc, m.counts[i])
	}
}

func (m *image) keys(doc uint32, fn func(key)) {
	i, found := slices.BinarySearch(m.fwdDocs, doc)
	if !found {
		return
	}
	for _, ord := range m.fwdOrds[m.fwdStarts[i]:m.fwdStarts[i+1]] {
		fn(m.key(int(ord)))
	}
}

func (m *image) next(sp span, descending bool, docs []uint32) (key, []uint32, bool) {
	from, to := m.ordinals(sp)
	if from >= to {
		return key{}, docs, false
	}
	ord := from
	if descending {
		ord = to - 1
	}
	return m.key(ord), append(docs, m.docs[m.starts[ord]:m.starts[ord+1]]...), true
}

func (m *image) size() int {
	return 8*(len(m.nums)+len(m.ends)+len(m.blocks)+len(m.blockEnds)) + len(m.text) +
		4*(len(m.starts)+len(m.docs)+len(m.fwdDocs)+len(m.fwdStarts)+len(m.fwdOrds)+2*len(m.counts))
}

// retain and release count the lists of layers that contain the image; the last
// one to let go closes the file.
func (m *image) retain() { m.users.Add(1) }

func (m *image) release() error {
	if m.users.Add(-1) == 0 && m.file != nil {
		return m.file.Close()
	}
	return nil
}

// imageBuilder makes an image from rows in the order of keys.
type imageBuilder struct {
	img     *image
	forward []entryOrd
}

type entryOrd struct{ doc, ord uint32 }

func newImageBuilder(numeric bool) *imageBuilder {
	return &imageBuilder{img: &image{numeric: numeric, starts: []uint32{0}}}
}

// add appends a key, greater than all before, with its documents, sorted.
func (b *imageBuilder) add(k key, docs []uint32) {
	if len(docs) == 0 {
		return
	}
	m := b.img
	ord := uint32(m.numKeys())
	if m.numeric {
		m.nums = append(m.nums, k.n)
	} else {
		m.text = append(m.text, k.s...)
		m.ends = append(m.ends, uint64(len(m.text)))
	}
	m.docs = append(m.docs, docs...)
	m.starts = append(m.starts, uint32(len(m.docs)))
	for _, d := range docs {
		b.forward = append(b.forward, entryOrd{d, ord})
	}
}

// count appends a number of values; finish sorts them.
func (b *imageBuilder) count(doc, n uint32) {
	b.img.countDocs = append(b.img.countDocs, doc)
	b.img.counts = append(b.img.counts, n)
}

// finish completes the image. The sets must not be changed afterwards.
func (b *imageBuilder) finish(touched *roaring.Bitmap, flagged [numFlags]*roaring.Bitmap) *image {
	m := b.img
	m.all, m.flags = touched, flagged
	slices.SortFunc(b.forward, func(x, y entryOrd) int {
		return cmp.Or(cmp.Compare(x.doc, y.doc), cmp.Compare(x.ord, y.ord))
	})
	m.fwdOrds = make([]uint32, 0, len(b.forward))
	for i, f := range b.forward {
		if i == 0 || f.doc != b.forward[i-1].doc {
			m.fwdDocs = append(m.fwdDocs, f.doc)
			m.fwdStarts = append(m.fwdStarts, uint32(i))
		}
		m.fwdOrds = append(m.fwdOrds, f.ord)
	}
	m.fwdStarts = append(m.fwdStarts, uint32(len(b.forward)))
	b.sortCounts()
	b.buildBlocks()
	return m
}

func (b *imageBuilder) sortCounts() {
	m := b.img
	pairs := make([]uint64, len(m.counts))
	for i, d := range m.countDocs {
		pairs[i] = uint64(d)<<32 | uint64(m.counts[i])
	}
	slices.Sort(pairs)
	for i, p := range pairs {
		m.countDocs[i], m.counts[i] = uint32(p>>32), uint32(p)
	}
}

func (b *imageBuilder) buildBlocks() {
	m := b.img
	m.levels, _ = blockLevels(len(m.docs))
	m.chunks = chunksOf(m.fwdDocs)
	var sorted []uint32
	width := blockWidth
	for range m.levels {
		for i := range len(m.docs) / width {
			sorted = append(sorted[:0], m.docs[i*width:(i+1)*width]...)
			slices.Sort(sorted)
			b.block(slices.Compact(sorted))
		}
		width *= blockFanout
	}
	for ord := range m.numKeys() {
		if docs := m.docs[m.starts[ord]:m.starts[ord+1]]; len(docs) >= heavyFrom {
			m.heavy = append(m.heavy, uint32(ord))
			b.block(docs)
		}
	}
}

func (b *imageBuilder) block(docs []uint32) {
	b.img.blocks = appendBlock(b.img.blocks, docs)
	b.img.blockEnds = append(b.img.blockEnds, uint64(len(b.img.blocks)))
}

// chunksOf returns how many chunks sorted documents reach into.
func chunksOf(docs []uint32) int {
	if len(docs) == 0 {
		return 0
	}
	return int(docs[len(docs)-1]/chunkDocs) + 1
}
