package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
)

// The container format; docs/format/segment.md has the table of bytes.
const (
	// blockSize is the unit of verification: small enough that a random read of a
	// cold row pays little, large enough that the checksums stay below 0.01 %.
	blockSize  = 64 << 10
	blockShift = 16
	// alignment of section starts: a cache line, so that 64-byte rows don't
	// straddle two.
	alignment = 64

	headerMagic      = "SXTSEGM\n"
	footerMagic      = "\nSEGMEND"
	containerVersion = 1
	headerSize       = 64
	kindSize         = 8
	tocHeadSize      = 16
	tocEntrySize     = 24
	footerSize       = 32
	// minFileSize is a file without sections.
	minFileSize = headerSize + tocHeadSize + footerSize
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli()) }

// extent is where a section lies in the file.
type extent struct {
	id       uint16
	off, len int64
	// firstBlock is the index of the section's first checksum.
	firstBlock int64
}

func (e extent) blocks() int64 { return (e.len + blockSize - 1) / blockSize }

func alignUp(n int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }

// encodeHeader returns the first 64 bytes of a file.
func encodeHeader(kind Kind, version uint16) ([]byte, error) {
	if len(kind) == 0 || len(kind) > kindSize || strings.ContainsFunc(string(kind), notWord) {
		return nil, fmt.Errorf("kind %q is not 1 to %d letters, digits or dashes", kind, kindSize)
	}
	h := make([]byte, headerSize)
	copy(h, headerMagic)
	binary.LittleEndian.PutUint16(h[8:], containerVersion)
	binary.LittleEndian.PutUint16(h[10:], version)
	copy(h[12:], kind)
	binary.LittleEndian.PutUint32(h[20:], blockSize)
	binary.LittleEndian.PutUint32(h[60:], checksum(h[:60]))
	return h, nil
}

// notWord is true for what neither a kind nor a file name may contain.
func notWord(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
}

// header is the decoded beginning of a file.
type header struct {
	kind    Kind
	version uint16
	sum     uint32
}

// decodeHeader reads the first 64 bytes. Offsets in its errors are from the file's
// start.
func decodeHeader(h []byte, file string) (header, error) {
	if string(h[:8]) != headerMagic {
		return header{}, &CorruptedError{File: file, Why: "header without the magic bytes"}
	}
	sum := binary.LittleEndian.Uint32(h[60:])
	if checksum(h[:60]) != sum {
		return header{}, &CorruptedError{File: file, Why: "header checksum"}
	}
	if v := binary.LittleEndian.Uint16(h[8:]); v != containerVersion {
		return header{}, fmt.Errorf("open %s: %w: container version %d, newest known is %d", file, ErrNewer, v, containerVersion)
	}
	if size := binary.LittleEndian.Uint32(h[20:]); size != blockSize {
		return header{}, &CorruptedError{File: file, Offset: 20, Why: fmt.Sprintf("block size %d", size)}
	}
	kind := strings.TrimRight(string(h[12:12+kindSize]), "\x00")
	return header{kind: Kind(kind), version: binary.LittleEndian.Uint16(h[10:]), sum: sum}, nil
}

// encodeTOC returns the table of contents: what the header's checksum is, where
// the sections are, and the checksum of each block.
func encodeTOC(headerSum uint32, sections []extent, sums []uint32) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, tocHeadSize+tocEntrySize*len(sections)+4*len(sums))
	b = le.AppendUint32(b, headerSum)
	b = le.AppendUint32(b, uint32(len(sections)))
	b = le.AppendUint64(b, uint64(len(sums)))
	for _, s := range sections {
		b = le.AppendUint64(b, uint64(s.off))
		b = le.AppendUint64(b, uint64(s.len))
		b = le.AppendUint64(b, uint64(s.id))
	}
	for _, s := range sums {
		b = le.AppendUint32(b, s)
	}
	return b
}

// encodeFooter returns the last 32 bytes of a file.
func encodeFooter(tocOff int64, toc []byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, footerSize)
	b = le.AppendUint64(b, uint64(tocOff))
	b = le.AppendUint64(b, uint64(len(toc)))
	b = le.AppendUint32(b, checksum(toc))
	b = le.AppendUint32(b, checksum(b))
	return append(b, footerMagic...)
}

// decodeFooter finds the table of contents of a file and verifies both.
func decodeFooter(file []byte, name string) (toc []byte, sum uint32, err error) {
	le := binary.LittleEndian
	size := int64(len(file))
	f := file[size-footerSize:]
	bad := func(why string) error {
		return &CorruptedError{File: name, Offset: size - footerSize, Why: why}
	}
	if string(f[24:]) != footerMagic {
		return nil, 0, bad("footer without the magic bytes: cut off or never finished")
	}
	if checksum(f[:20]) != le.Uint32(f[20:]) {
		return nil, 0, bad("footer checksum")
	}
	off, n := le.Uint64(f), le.Uint64(f[8:])
	if off < headerSize || off > uint64(size) || n < tocHeadSize || n != uint64(size)-footerSize-off {
		return nil, 0, bad("table of contents isn't inside the file")
	}
	toc, sum = file[off:off+n], le.Uint32(f[16:])
	if checksum(toc) != sum {
		return nil, 0, &CorruptedError{File: name, Offset: int64(off), Why: "checksum of the table of contents"}
	}
	return toc, sum, nil
}

// decodeTOC reads a verified table of contents. Its checksum holds, but nothing
// is taken for granted: every number is checked against the file's length.
func decodeTOC(toc []byte, headerSum uint32, tocOff int64, file string) ([]extent, []byte, error) {
	le := binary.LittleEndian
	bad := func(why string) error { return &CorruptedError{File: file, Offset: tocOff, Why: why} }
	if le.Uint32(toc) != headerSum {
		return nil, nil, bad("header and table of contents of different files")
	}
	count, blocks := uint64(le.Uint32(toc[4:])), le.Uint64(toc[8:])
	rest := uint64(len(toc) - tocHeadSize)
	if count > math.MaxUint16+1 || count*tocEntrySize > rest || blocks > rest/4 || count*tocEntrySize+blocks*4 != rest {
		return nil, nil, bad("table of contents of a wrong length")
	}
	sections := make([]extent, count)
	seen := make(map[uint16]bool, count)
	end, block := int64(headerSize), int64(0)
	for i := range sections {
		e := toc[tocHeadSize+i*tocEntrySize:]
		off, n, id := le.Uint64(e), le.Uint64(e[8:]), le.Uint64(e[16:])
		if id > math.MaxUint16 || seen[uint16(id)] {
			return nil, nil, bad(fmt.Sprintf("section id %d is too large or not unique", id))
		}
		if off != uint64(alignUp(end)) || off > uint64(tocOff) || n > uint64(tocOff)-off {
			return nil, nil, bad(fmt.Sprintf("section %d isn't where it must be", id))
		}
		seen[uint16(id)] = true
		sections[i] = extent{id: uint16(id), off: int64(off), len: int64(n), firstBlock: block}
		end, block = int64(off+n), block+sections[i].blocks()
	}
	if uint64(block) != blocks || alignUp(end) != tocOff {
		return nil, nil, bad("sections don't fill the file")
	}
	return sections, toc[tocHeadSize+count*tocEntrySize:], nil
}
