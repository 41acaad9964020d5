package segment

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/sextantdb/sextant/internal/fsx"
)

// Reader is an open, mapped file. It is safe for concurrent use.
type Reader struct {
	path     string
	info     FileInfo
	head     header
	mapping  fsx.Mapping
	bytes    []byte
	toc      []byte
	sections []*Section
	// users counts Retain and the opener; the mapping ends at zero.
	users  atomic.Int64
	closed atomic.Bool
}

// newReader takes over a mapping, unless it fails.
func newReader(name string, info FileInfo, m fsx.Mapping) (*Reader, error) {
	b := m.Bytes()
	if int64(len(b)) != info.Size || len(b) < minFileSize {
		return nil, &CorruptedError{File: name, Offset: int64(len(b)), Why: fmt.Sprintf("length %d instead of %d", len(b), info.Size)}
	}
	r := &Reader{path: name, info: info, mapping: m, bytes: b}
	if err := guardFault(name, r.decode); err != nil {
		return nil, err
	}
	r.users.Store(1)
	return r, nil
}

// decode reads everything but the sections' bytes.
func (r *Reader) decode() error {
	head, err := decodeHeader(r.bytes[:headerSize], r.path)
	if err != nil {
		return err
	}
	toc, sum, err := decodeFooter(r.bytes, r.path)
	if err != nil {
		return err
	}
	if sum != r.info.Sum {
		return &CorruptedError{
			File: r.path, Offset: r.info.Size - footerSize,
			Why: fmt.Sprintf("another file under this name: sum %08x instead of %08x", sum, r.info.Sum),
		}
	}
	tocOff := r.info.Size - footerSize - int64(len(toc))
	extents, sums, err := decodeTOC(toc, head.sum, tocOff, r.path)
	if err != nil {
		return err
	}
	r.head, r.toc = head, toc
	for _, e := range extents {
		r.sections = append(r.sections, newSection(r, e, sums))
	}
	return nil
}

// Info returns what identifies the file.
func (r *Reader) Info() FileInfo { return r.info }

// Kind returns what the file holds.
func (r *Reader) Kind() Kind { return r.head.kind }

// Version returns the format version of the file's kind.
func (r *Reader) Version() uint16 { return r.head.version }

// Has says whether the file has a section.
func (r *Reader) Has(id uint16) bool { return r.find(id) != nil }

func (r *Reader) find(id uint16) *Section {
	i := slices.IndexFunc(r.sections, func(s *Section) bool { return s.where.id == id })
	if i < 0 {
		return nil
	}
	return r.sections[i]
}

// Section returns a section; a missing one is ErrCorrupted, because whoever asks
// for it knows from kind and version that it must be there.
func (r *Reader) Section(id uint16) (*Section, error) {
	if s := r.find(id); s != nil {
		return s, nil
	}
	return nil, &CorruptedError{File: r.path, Why: fmt.Sprintf("section %d is missing", id)}
}

// Sections returns all sections in file order.
func (r *Reader) Sections() []*Section { return slices.Clone(r.sections) }

// VerifyAll reads and verifies every byte of the file, whether it was verified
// before or not.
func (r *Reader) VerifyAll(ctx context.Context) error {
	if err := guardFault(r.path, (&Reader{path: r.path, info: r.info, bytes: r.bytes}).decode); err != nil {
		return err
	}
	end := int64(headerSize)
	for _, s := range r.sections {
		if err := r.checkPadding(end, s.where.off); err != nil {
			return err
		}
		for b := range s.where.blocks() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.verify(b); err != nil {
				return err
			}
		}
		end = s.where.off + s.where.len
	}
	return r.checkPadding(end, alignUp(end))
}

func (r *Reader) checkPadding(from, to int64) error {
	return guardFault(r.path, func() error {
		for i, b := range r.bytes[from:to] {
			if b != 0 {
				return &CorruptedError{File: r.path, Offset: from + int64(i), Why: "padding isn't zero"}
			}
		}
		return nil
	})
}

// Advise tells how the mapped bytes will be read.
func (r *Reader) Advise(a fsx.Advice) { r.mapping.Advise(a) }

// Retain keeps the mapping usable until Release, even when Close comes first. It
// returns false when the mapping is gone already.
func (r *Reader) Retain() bool {
	for {
		n := r.users.Load()
		if n <= 0 {
			return false
		}
		if r.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release takes back one Retain.
func (r *Reader) Release() error {
	if r.users.Add(-1) != 0 {
		return nil
	}
	if err := r.mapping.Close(); err != nil {
		return fmt.Errorf("unmap %s: %w", r.path, err)
	}
	return nil
}

// Close ends the opener's use. The mapping goes with the last Release: no slice of
// its bytes may be used afterwards. Idempotent.
func (r *Reader) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	return r.Release()
}

// Section is one contiguous part of a file. It is safe for concurrent use.
type Section struct {
	reader *Reader
	where  extent
	bytes  []byte
	// sums has the little-endian checksums of the section's blocks.
	sums []byte
	// verified has a bit per block; left counts those without.
	verified []atomic.Uint64
	left     atomic.Int64
}

// newSection takes the section's part of all checksums of the file.
func newSection(r *Reader, e extent, sums []byte) *Section {
	n := e.blocks()
	s := &Section{
		reader: r, where: e,
		bytes:    r.bytes[e.off : e.off+e.len : e.off+e.len],
		sums:     sums[4*e.firstBlock : 4*(e.firstBlock+n)],
		verified: make([]atomic.Uint64, (n+63)/64),
	}
	s.left.Store(n)
	return s
}

// ID returns the section's id.
func (s *Section) ID() uint16 { return s.where.id }

// Len returns the section's length in bytes.
func (s *Section) Len() int64 { return s.where.len }

// Bytes returns the mapped bytes, 64-byte aligned, NOT verified: call Check on a
// range before its first use.
func (s *Section) Bytes() []byte { return s.bytes }

// Check verifies the 64-KiB blocks under the range that weren't verified before.
// A range outside the section is ErrCorrupted too, since offsets come from files.
// When the whole section was verified it costs one atomic load, and otherwise one
// for each block.
func (s *Section) Check(off, n int64) error {
	if off < 0 || n < 0 || off > s.where.len || n > s.where.len-off {
		return s.corrupted(0, fmt.Sprintf("bytes %d+%d of section %d, which has %d", off, n, s.where.id, s.where.len))
	}
	if s.left.Load() == 0 || n == 0 {
		return nil
	}
	for b := off >> blockShift; b <= (off+n-1)>>blockShift; b++ {
		if s.verified[b/64].Load()&(1<<(b%64)) != 0 {
			continue
		}
		if err := s.verify(b); err != nil {
			return err
		}
	}
	return nil
}

// verify computes the checksum of a block and remembers success.
func (s *Section) verify(b int64) error {
	start := b << blockShift
	block := s.bytes[start:min(start+blockSize, s.where.len)]
	err := guardFault(s.reader.path, func() error {
		if checksum(block) != binary.LittleEndian.Uint32(s.sums[4*b:]) {
			return s.corrupted(start, fmt.Sprintf("checksum of block %d of section %d", b, s.where.id))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if bit := uint64(1) << (b % 64); s.verified[b/64].Or(bit)&bit == 0 {
		s.left.Add(-1)
	}
	return nil
}

func (s *Section) corrupted(off int64, why string) error {
	return &CorruptedError{File: s.reader.path, Offset: s.where.off + off, Why: why}
}

// At is Check followed by the bytes of the range.
func (s *Section) At(off, n int64) ([]byte, error) {
	if err := s.Check(off, n); err != nil {
		return nil, err
	}
	return s.bytes[off : off+n : off+n], nil
}

// All is Check of the whole section followed by its bytes.
func (s *Section) All() ([]byte, error) { return s.At(0, s.where.len) }

// Number is an element of which a section can be made up.
type Number interface {
	~uint8 | ~int8 | ~uint16 | ~int16 | ~uint32 | ~int32 | ~uint64 | ~int64 | ~float32 | ~float64
}

// View returns bytes as elements without copying. It fails with ErrCorrupted when
// the length isn't a multiple of the element or the start isn't aligned to it.
// Files are little-endian, as is every processor this runs on.
func View[T Number](b []byte) ([]T, error) {
	var zero T
	size := int(unsafe.Sizeof(zero))
	if len(b) == 0 {
		return nil, nil
	}
	p := unsafe.Pointer(unsafe.SliceData(b))
	if len(b)%size != 0 || uintptr(p)%uintptr(size) != 0 {
		return nil, fmt.Errorf("view %d bytes as elements of %d: %w", len(b), size, ErrCorrupted)
	}
	return unsafe.Slice((*T)(p), len(b)/size), nil
}

// Raw returns the bytes of elements without copying, to be written to a section.
func Raw[T Number](v []T) []byte {
	if len(v) == 0 {
		return nil
	}
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(zero)))
}
