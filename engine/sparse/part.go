package sparse

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant/engine/segment"
)

// blockSize is the number of postings under one entry of the block table. Lists
// that fit into one block have no entry.
const blockSize = 128

// part is a sealed, immutable set of rows, in memory or in a mapped file; only
// deaths change. A posting is (row, weight).
type part struct {
	// Forward index.
	docs    []uint32 // of each row, ascending
	offsets []uint32 // of the first element of each row; one more at the end
	indices []uint32 // elements; not verified in a file, use vector
	values  []float32

	// Inverted index, not verified in a file: call load first.
	terms    []uint32  // ascending
	starts   []uint32  // of the first posting of each term; one more at the end
	maxima   []float32 // largest weight of each term
	minima   []float32 // smallest weight of each term
	blocks   []uint32  // first block of each term; one more at the end
	blockEnd []uint16  // last row of each block
	blockMax []float32
	blockMin []float32
	postings []uint16  // rows, ascending within a term
	weights  []float32 // of the postings; or, in half precision:
	halves   []uint16

	// deaths is nil until the first row dies.
	deaths atomic.Pointer[[]atomic.Uint64]
	nDead  atomic.Int64

	// oldDead are the rows that were dead when the part was opened, nil if none;
	// oldDF caches their number by term (uint32 → uint32).
	oldDead []uint64 // bit set
	oldDF   sync.Map
	// killed counts the rows that died since, by term. It belongs to the index's mu.
	killed map[uint32]uint32

	// file is set when the part is in a file of the last committed or of the open
	// checkpoint. It belongs to build, as fileIsNew does.
	file      segment.FileInfo
	fileIsNew bool // written by the checkpoint that is open

	// reader is nil for a part in memory.
	reader   *segment.Reader
	forward  forwardSections
	loadOnce sync.Once
	loadErr  error

	// refs counts the views and checkpoints that have the part; reader is closed
	// with the last.
	refs atomic.Int64
}

// forwardSections are the sections of which only the read ranges are verified.
type forwardSections struct{ indices, values *segment.Section }

func (p *part) rows() int { return len(p.docs) }

func (p *part) elements() int { return int(p.offsets[len(p.docs)]) }

// half tells whether the weights are in half precision.
func (p *part) half() bool { return p.halves != nil }

// dead returns the number of rows that died.
func (p *part) dead() int { return int(p.nDead.Load()) }

func (p *part) release() {
	if p.refs.Add(-1) == 0 && p.reader != nil {
		// The mapping is read-only: there is nothing to lose in a failed unmap.
		_ = p.reader.Close()
	}
}

// rowOf returns the row of a document, alive or dead.
func (p *part) rowOf(doc uint32) (int, bool) {
	n := len(p.docs)
	if n == 0 || doc < p.docs[0] || doc > p.docs[n-1] {
		return 0, false
	}
	// Documents are often numbered without gaps.
	if guess := int(doc - p.docs[0]); guess < n && p.docs[guess] == doc {
		return guess, true
	}
	return slices.BinarySearch(p.docs, doc)
}

func (p *part) find(doc uint32) (int, bool) {
	row, ok := p.rowOf(doc)
	if !ok {
		return 0, false
	}
	d := p.deaths.Load()
	return row, d == nil || (*d)[row].Load() == 0
}

// alive tells whether a row lives in a version.
func (p *part) alive(row int, version uint64) bool {
	d := p.deaths.Load()
	if d == nil {
		return true
	}
	death := (*d)[row].Load()
	return death == 0 || death > version
}

func (p *part) vector(row int) ([]uint32, []float32, error) {
	a, b := p.offsets[row], p.offsets[row+1]
	if p.reader != nil {
		off, n := int64(a)*4, int64(b-a)*4
		if err := errors.Join(p.forward.indices.Check(off, n), p.forward.values.Check(off, n)); err != nil {
			return nil, nil, err
		}
	}
	return p.indices[a:b], p.values[a:b], nil
}

func (p *part) kill(row int, version uint64, indices []uint32) {
	p.setDeath(row, version)
	if p.killed == nil {
		p.killed = make(map[uint32]uint32)
	}
	for _, t := range indices {
		p.killed[t]++
	}
}

// setDeath marks a row dead. One goroutine at a time.
func (p *part) setDeath(row int, version uint64) {
	d := p.deaths.Load()
	if d == nil {
		table := make([]atomic.Uint64, len(p.docs))
		d = &table
		p.deaths.Store(d)
	}
	(*d)[row].Store(version)
	p.nDead.Add(1)
}

// load verifies the inverted index of a part in a file, the first time.
func (p *part) load() error {
	p.loadOnce.Do(func() {
		if p.reader != nil {
			p.loadErr = p.verifyInverted()
		}
	})
	return p.loadErr
}

// term returns the number of a term in the part.
func (p *part) term(t uint32) (int, bool) { return slices.BinarySearch(p.terms, t) }

// oldCount returns how many rows with a term were dead when the part was opened.
// load must have succeeded.
func (p *part) oldCount(term int) uint32 {
	if p.oldDead == nil {
		return 0
	}
	if n, ok := p.oldDF.Load(p.terms[term]); ok {
		return n.(uint32)
	}
	var n uint32
	for _, row := range p.postings[p.starts[term]:p.starts[term+1]] {
		n += uint32(p.oldDead[row>>6] >> (row & 63) & 1)
	}
	p.oldDF.Store(p.terms[term], n)
	return n
}

// errShape is a file whose checksums are right and whose content makes no sense.
func errShape(p *part, why string) error {
	return &segment.CorruptedError{File: p.file.Name, Why: why}
}

// checkForward tests what vector and find rely on.
func (p *part) checkForward() error {
	n := len(p.docs)
	switch {
	case n > maxRows || len(p.offsets) != n+1 || p.offsets[0] != 0:
		return errShape(p, "bad row table")
	case len(p.indices) != len(p.values) || uint64(len(p.indices)) != uint64(p.offsets[n]):
		return errShape(p, "bad number of elements")
	}
	for i := range n {
		if p.offsets[i] > p.offsets[i+1] || i > 0 && p.docs[i] <= p.docs[i-1] {
			return errShape(p, fmt.Sprintf("bad row %d", i))
		}
	}
	return nil
}

// checkInverted tests what searches rely on, so that no file makes them read out
// of bounds.
func (p *part) checkInverted() error {
	n := len(p.terms)
	weights := max(len(p.weights), len(p.halves))
	if len(p.starts) != n+1 || len(p.maxima) != n || len(p.minima) != n || len(p.blocks) != n+1 ||
		len(p.postings) != weights || len(p.blockMax) != len(p.blockEnd) || len(p.blockMin) != len(p.blockEnd) ||
		p.starts[0] != 0 || int64(p.starts[n]) != int64(weights) ||
		p.blocks[0] != 0 || int64(p.blocks[n]) != int64(len(p.blockEnd)) {
		return errShape(p, "inverted index of unequal lengths")
	}
	for i := range n {
		if p.starts[i] >= p.starts[i+1] || i > 0 && p.terms[i] <= p.terms[i-1] ||
			uint64(p.blocks[i])+uint64(blockCount(int(p.starts[i+1]-p.starts[i]))) != uint64(p.blocks[i+1]) {
			return errShape(p, fmt.Sprintf("bad term %d", i))
		}
	}
	for i := range n { // the bounds of all lists are right
		if !p.checkList(i) {
			return errShape(p, fmt.Sprintf("bad postings of term %d", i))
		}
	}
	return nil
}

func (p *part) checkList(term int) bool {
	list := p.postings[p.starts[term]:p.starts[term+1]]
	ends := p.blockEnd[p.blocks[term]:p.blocks[term+1]]
	for i, row := range list {
		if int(row) >= len(p.docs) || i > 0 && row <= list[i-1] {
			return false
		}
	}
	for b, end := range ends {
		if list[min((b+1)*blockSize, len(list))-1] != end {
			return false
		}
	}
	return true
}

// blockCount returns the number of block entries of a list.
func blockCount(postings int) int {
	if postings <= blockSize {
		return 0
	}
	return (postings + blockSize - 1) / blockSize
}
