package sparse

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/sextantdb/sextant/engine/segment"
)

// The format of docs/format/sparse.md.
const (
	kindPart  segment.Kind = "sparse"
	kindState segment.Kind = "sparsedd"
	version1               = 1
)

// Sections of a part.
const (
	secMeta uint16 = iota + 1
	secDocs
	secOffsets
	secIndices
	secValues
	secTerms
	secStarts
	secMaxima
	secMinima
	secBlocks
	secBlockEnd
	secBlockMax
	secBlockMin
	secPostings
	secWeights
	secHalves
)

// Sections of the state.
const (
	secCounts uint16 = iota + 1
	secDead
)

// metaLen is the length of the meta section: number of rows, elements, terms
// and blocks, flags, and three reserved numbers.
const metaLen = 8 * 4

// flagHalf says that weights are in half precision.
const flagHalf = 1

// writePart writes a part in memory.
func writePart(b *segment.Batch, p *part, yield func()) (segment.FileInfo, error) {
	meta := make([]byte, metaLen)
	flags := 0
	if p.half() {
		flags |= flagHalf
	}
	for i, n := range []int{p.rows(), p.elements(), len(p.terms), len(p.blockEnd), flags} {
		binary.LittleEndian.PutUint32(meta[4*i:], uint32(n))
	}
	sections := []struct {
		id   uint16
		data []byte
	}{
		{secMeta, meta},
		{secDocs, segment.Raw(p.docs)},
		{secOffsets, segment.Raw(p.offsets)},
		{secIndices, segment.Raw(p.indices)},
		{secValues, segment.Raw(p.values)},
		{secTerms, segment.Raw(p.terms)},
		{secStarts, segment.Raw(p.starts)},
		{secMaxima, segment.Raw(p.maxima)},
		{secMinima, segment.Raw(p.minima)},
		{secBlocks, segment.Raw(p.blocks)},
		{secBlockEnd, segment.Raw(p.blockEnd)},
		{secBlockMax, segment.Raw(p.blockMax)},
		{secBlockMin, segment.Raw(p.blockMin)},
		{secPostings, segment.Raw(p.postings)},
		{secWeights, segment.Raw(p.weights)},
		{secHalves, segment.Raw(p.halves)},
	}
	return b.Write("sparse", kindPart, version1, func(w *segment.Writer) error {
		for _, s := range sections {
			if err := writeChunks(w.Section(s.id), s.data, yield); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeChunks writes data with pauses.
func writeChunks(w io.Writer, data []byte, yield func()) error {
	const chunk = 1 << 20
	for len(data) > 0 {
		n := min(chunk, len(data))
		if _, err := w.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
		yield()
	}
	return nil
}

// writeState writes which rows of the parts were dead in a version.
func writeState(b *segment.Batch, parts []*part, version uint64) (segment.FileInfo, error) {
	counts := make([]uint32, len(parts))
	var dead []uint16
	for i, p := range parts {
		before := len(dead)
		for row := range p.rows() {
			if !p.alive(row, version) {
				dead = append(dead, uint16(row))
			}
		}
		counts[i] = uint32(len(dead) - before)
	}
	return b.Write("sparse-dead", kindState, version1, func(w *segment.Writer) error {
		if _, err := w.Section(secCounts).Write(segment.Raw(counts)); err != nil {
			return err
		}
		_, err := w.Section(secDead).Write(segment.Raw(dead))
		return err
	})
}

// openFiles opens the files of a checkpoint.
func openFiles(dir *segment.Dir, files []segment.FileInfo) (parts []*part, err error) {
	if len(files) == 0 {
		return nil, nil
	}
	defer func() {
		if err != nil {
			for _, p := range parts {
				_ = p.reader.Close() // the error that led here counts
			}
			parts = nil
		}
	}()
	for _, info := range files[1:] {
		p, err := openPart(dir, info)
		if err != nil {
			return parts, err
		}
		parts = append(parts, p)
	}
	return parts, readState(dir, files[0], parts)
}

// readState marks the dead rows of parts.
func readState(dir *segment.Dir, info segment.FileInfo, parts []*part) error {
	r, err := dir.Open(info, kindState, version1)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read from
	counts, err := read[uint32](r, secCounts)
	if err != nil {
		return err
	}
	dead, err := read[uint16](r, secDead)
	if err != nil {
		return err
	}
	bad := &segment.CorruptedError{File: info.Name, Why: "list of dead rows doesn't fit the parts"}
	if len(counts) != len(parts) {
		return bad
	}
	for i, p := range parts {
		n := uint64(counts[i])
		if n > uint64(len(dead)) || !p.bury(dead[:n]) {
			return bad
		}
		dead = dead[n:]
	}
	if len(dead) != 0 {
		return bad
	}
	return nil
}

// bury marks rows dead since always; false when there is no such row.
func (p *part) bury(rows []uint16) bool {
	if len(rows) == 0 {
		return true
	}
	p.oldDead = make([]uint64, (p.rows()+63)/64)
	table := make([]atomic.Uint64, p.rows())
	for i, row := range rows {
		if int(row) >= p.rows() || i > 0 && row <= rows[i-1] {
			return false
		}
		p.oldDead[row>>6] |= 1 << (row & 63)
		table[row].Store(1)
	}
	p.deaths.Store(&table)
	p.nDead.Store(int64(len(rows)))
	return true
}

// openPart maps a part. Its row table is verified now, the rest when it is read.
func openPart(dir *segment.Dir, info segment.FileInfo) (*part, error) {
	r, err := dir.Open(info, kindPart, version1)
	if err != nil {
		return nil, err
	}
	p := &part{file: info, reader: r}
	if err := p.mapSections(); err != nil {
		_ = r.Close() // the error that led here counts
		return nil, err
	}
	return p, nil
}

func (p *part) mapSections() (err error) {
	r := p.reader
	meta, err := read[uint32](r, secMeta)
	if err != nil {
		return err
	}
	if len(meta) != metaLen/4 {
		return errShape(p, "bad meta section")
	}
	if p.docs, err = read[uint32](r, secDocs); err != nil {
		return err
	}
	if p.offsets, err = read[uint32](r, secOffsets); err != nil {
		return err
	}
	if p.indices, p.forward.indices, err = peek[uint32](r, secIndices); err != nil {
		return err
	}
	if p.values, p.forward.values, err = peek[float32](r, secValues); err != nil {
		return err
	}
	if uint64(meta[0]) != uint64(len(p.docs)) || uint64(meta[1]) != uint64(len(p.indices)) {
		return errShape(p, "meta section and row table differ")
	}
	if err := p.checkForward(); err != nil {
		return err
	}
	return p.mapInverted(meta[4]&flagHalf != 0)
}

// mapInverted maps the sections of the inverted index without verifying them.
func (p *part) mapInverted(half bool) (err error) {
	r := p.reader
	u32 := func(id uint16, to *[]uint32) {
		if err == nil {
			*to, _, err = peek[uint32](r, id)
		}
	}
	f32 := func(id uint16, to *[]float32) {
		if err == nil {
			*to, _, err = peek[float32](r, id)
		}
	}
	u16 := func(id uint16, to *[]uint16) {
		if err == nil {
			*to, _, err = peek[uint16](r, id)
		}
	}
	u32(secTerms, &p.terms)
	u32(secStarts, &p.starts)
	f32(secMaxima, &p.maxima)
	f32(secMinima, &p.minima)
	u32(secBlocks, &p.blocks)
	u16(secBlockEnd, &p.blockEnd)
	f32(secBlockMax, &p.blockMax)
	f32(secBlockMin, &p.blockMin)
	u16(secPostings, &p.postings)
	if half {
		u16(secHalves, &p.halves)
		if p.halves == nil {
			p.halves = []uint16{}
		}
	} else {
		f32(secWeights, &p.weights)
	}
	return err
}

// verifyInverted verifies the checksums and the structure of the inverted index.
func (p *part) verifyInverted() error {
	for id := secTerms; id <= secHalves; id++ {
		s, err := p.reader.Section(id)
		if err != nil {
			return err
		}
		if err := s.Check(0, s.Len()); err != nil {
			return fmt.Errorf("read sparse part: %w", err)
		}
	}
	return p.checkInverted()
}

// read returns a section as verified elements.
func read[T segment.Number](r *segment.Reader, id uint16) ([]T, error) {
	s, err := r.Section(id)
	if err != nil {
		return nil, err
	}
	b, err := s.All()
	if err != nil {
		return nil, err
	}
	return segment.View[T](b)
}

// peek returns a section as elements that are not verified yet.
func peek[T segment.Number](r *segment.Reader, id uint16) ([]T, *segment.Section, error) {
	s, err := r.Section(id)
	if err != nil {
		return nil, nil, err
	}
	v, err := segment.View[T](s.Bytes())
	return v, s, err
}
