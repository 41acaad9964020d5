package payloadindex

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/sextantdb/sextant/engine/segment"
)

// The file of an image: docs/format/payloadindex.md.
const (
	fileKind    segment.Kind = "payload"
	fileVersion uint16       = 1
)

const (
	sectionHeader uint16 = iota + 1
	sectionNums
	sectionEnds
	sectionText
	sectionStarts
	sectionDocs
	sectionForwardDocs
	sectionForwardStarts
	sectionForwardOrds
	sectionCountDocs
	sectionCounts
	sectionHeavy
	sectionBlockEnds
	sectionBlocks
	sectionSets
)

const headerSize = 16

// errMalformed is the reason for which an image with right checksums is refused.
var errMalformed = errors.New("malformed payload index")

// write writes the image to a new file.
func (m *image) write(ctx context.Context, b *segment.Batch, kind Kind) (segment.FileInfo, error) {
	sections := sectionsOf(m, kind)
	return b.Write("payloadindex", fileKind, fileVersion, func(w *segment.Writer) error {
		for id := sectionHeader; id <= sectionSets; id++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := w.Section(id).Write(sections[id]); err != nil {
				return err
			}
		}
		return nil
	})
}

// sectionsOf returns the sections of the image's file. They share its memory.
func sectionsOf(m *image, kind Kind) map[uint16][]byte {
	header := binary.LittleEndian.AppendUint64(nil, m.generation)
	return map[uint16][]byte{
		sectionHeader:        binary.LittleEndian.AppendUint64(header, uint64(kind)),
		sectionNums:          segment.Raw(m.nums),
		sectionEnds:          segment.Raw(m.ends),
		sectionText:          m.text,
		sectionStarts:        segment.Raw(m.starts),
		sectionDocs:          segment.Raw(m.docs),
		sectionForwardDocs:   segment.Raw(m.fwdDocs),
		sectionForwardStarts: segment.Raw(m.fwdStarts),
		sectionForwardOrds:   segment.Raw(m.fwdOrds),
		sectionCountDocs:     segment.Raw(m.countDocs),
		sectionCounts:        segment.Raw(m.counts),
		sectionHeavy:         segment.Raw(m.heavy),
		sectionBlockEnds:     segment.Raw(m.blockEnds),
		sectionBlocks:        segment.Raw(m.blocks),
		sectionSets:          m.setBytes(),
	}
}

// setBytes returns touched and the flagged sets, each after its length.
func (m *image) setBytes() []byte {
	var out bytes.Buffer
	for _, s := range append([]*roaring.Bitmap{m.all}, m.flags[:]...) {
		var one bytes.Buffer
		writeSet(&one, s)
		out.Write(binary.LittleEndian.AppendUint64(nil, uint64(one.Len())))
		out.Write(one.Bytes())
	}
	return out.Bytes()
}

// openImage opens and checks a file.
func openImage(dir *segment.Dir, info segment.FileInfo, kind Kind) (*image, error) {
	r, err := dir.Open(info, fileKind, fileVersion)
	if err != nil {
		return nil, fmt.Errorf("open payload index: %w", err)
	}
	sections := map[uint16][]byte{}
	for id := sectionHeader; id <= sectionSets; id++ {
		s, err := r.Section(id)
		if err == nil {
			sections[id], err = s.All()
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open payload index: %w", err), r.Close())
		}
	}
	m, err := readImage(sections, kind)
	if err != nil {
		err = &segment.CorruptedError{File: info.Name, Why: err.Error()}
		return nil, errors.Join(fmt.Errorf("open payload index: %w", err), r.Close())
	}
	m.file, m.info = r, info
	return m, nil
}

// readImage makes an image of sections, whose memory it shares, and checks that
// nothing in them points outside.
func readImage(sections map[uint16][]byte, kind Kind) (*image, error) {
	header := sections[sectionHeader]
	if len(header) != headerSize || binary.LittleEndian.Uint64(header[8:]) != uint64(kind) {
		return nil, fmt.Errorf("%w: header", errMalformed)
	}
	m := &image{
		numeric:    kind.numeric(),
		generation: binary.LittleEndian.Uint64(header),
		text:       sections[sectionText],
	}
	err := errors.Join(
		view(&m.nums, sections[sectionNums]),
		view(&m.ends, sections[sectionEnds]),
		view(&m.starts, sections[sectionStarts]),
		view(&m.docs, sections[sectionDocs]),
		view(&m.fwdDocs, sections[sectionForwardDocs]),
		view(&m.fwdStarts, sections[sectionForwardStarts]),
		view(&m.fwdOrds, sections[sectionForwardOrds]),
		view(&m.countDocs, sections[sectionCountDocs]),
		view(&m.counts, sections[sectionCounts]),
		view(&m.heavy, sections[sectionHeavy]),
		view(&m.blocks, sections[sectionBlocks]),
		view(&m.blockEnds, sections[sectionBlockEnds]),
	)
	if err != nil {
		return nil, err
	}
	if !m.keysValid() || !m.forwardValid() || !m.blocksValid() {
		return nil, fmt.Errorf("%w: offsets", errMalformed)
	}
	if err := m.readSets(sections[sectionSets]); err != nil {
		return nil, err
	}
	return m, nil
}

func view[T segment.Number](dst *[]T, b []byte) error {
	v, err := segment.View[T](b)
	*dst = v
	return err
}

// keysValid checks keys and their documents.
func (m *image) keysValid() bool {
	n := len(m.ends)
	if m.numeric {
		n = len(m.nums)
	}
	if len(m.starts) != n+1 || !offsets(m.starts, len(m.docs)) {
		return false
	}
	end := uint64(0)
	for _, e := range m.ends {
		if e < end || e > uint64(len(m.text)) {
			return false
		}
		end = e
	}
	for i := 1; i < n; i++ {
		if m.key(i-1).compare(m.key(i)) >= 0 {
			return false
		}
	}
	return true
}

func (m *image) forwardValid() bool {
	if len(m.fwdStarts) != len(m.fwdDocs)+1 || !offsets(m.fwdStarts, len(m.fwdOrds)) ||
		len(m.counts) != len(m.countDocs) {
		return false
	}
	for i := 1; i < len(m.fwdDocs); i++ {
		if m.fwdDocs[i] <= m.fwdDocs[i-1] {
			return false
		}
	}
	for _, ord := range m.fwdOrds {
		if int(ord) >= m.numKeys() {
			return false
		}
	}
	return true
}

// offsets reports whether o rises from 0 to total.
func offsets(o []uint32, total int) bool {
	if len(o) == 0 || o[0] != 0 || int(o[len(o)-1]) != total {
		return false
	}
	for i := 1; i < len(o); i++ {
		if o[i] < o[i-1] {
			return false
		}
	}
	return true
}

// readSets reads touched and the flagged sets into memory of their own.
func (m *image) readSets(b []byte) error {
	for i := range 1 + len(m.flags) {
		if len(b) < 8 {
			return fmt.Errorf("%w: sets", errMalformed)
		}
		n := binary.LittleEndian.Uint64(b)
		if b = b[8:]; n > uint64(len(b)) {
			return fmt.Errorf("%w: sets", errMalformed)
		}
		s, err := validSet(b[:n])
		if err != nil {
			return err
		}
		s.CloneCopyOnWriteContainers()
		if b = b[n:]; i == 0 {
			m.all = s
		} else {
			m.flags[i-1] = s
		}
	}
	return nil
}

// blocksValid checks the blocks, and that all documents have a place in the bits
// that they are united in. It comes after forwardValid.
func (m *image) blocksValid() bool {
	var total int
	m.levels, total = blockLevels(len(m.docs))
	m.chunks = chunksOf(m.fwdDocs)
	if len(m.blockEnds) != total+len(m.heavy) {
		return false
	}
	for _, d := range m.docs {
		if int(d/chunkDocs) >= m.chunks {
			return false
		}
	}
	for i, ord := range m.heavy {
		if int(ord) >= m.numKeys() || i > 0 && ord <= m.heavy[i-1] {
			return false
		}
	}
	end := uint64(0)
	for _, e := range m.blockEnds {
		if e < end || e > uint64(len(m.blocks)) || !blockValid(m.blocks[end:e], m.chunks) {
			return false
		}
		end = e
	}
	return true
}

// validSet reads a set and checks its insides. The library's reader may panic on
// bytes that were never a set; that too says that they aren't one.
func validSet(b []byte) (s *roaring.Bitmap, err error) {
	defer func() {
		if recover() != nil {
			s, err = nil, fmt.Errorf("%w: set", errMalformed)
		}
	}()
	if s, err = readSet(b); err != nil {
		return nil, fmt.Errorf("%w: set: %w", errMalformed, err)
	}
	if err := s.Validate(); err != nil && !s.IsEmpty() {
		return nil, fmt.Errorf("%w: set: %w", errMalformed, err)
	}
	return s, nil
}

// writeSet writes a set in roaring's portable form, padded to 8 bytes.
func writeSet(buf *bytes.Buffer, s *roaring.Bitmap) {
	_, _ = s.WriteTo(buf) // a buffer takes everything
	for buf.Len()%8 != 0 {
		buf.WriteByte(0)
	}
}

// readSet reads a set that was written by writeSet; it shares b's memory.
func readSet(b []byte) (*roaring.Bitmap, error) {
	s := roaring.New()
	_, err := s.FromBuffer(b)
	return s, err
}
