package oplog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// The format; docs/format/oplog.md has the table of bytes.
const (
	formatVersion = 2

	fileMagic = "SXTOPLG\n"
	// fileHeaderSize is the length of the two copies of a file's header.
	fileHeaderSize = 2 * headerCopySize
	headerCopySize = 64
	fileSuffix     = ".log"

	batchMagic      = 0x54425853 // "SXBT"
	batchHeaderSize = 36
	recordHeadSize  = 33
	trailerMagic    = "OPLG"
	trailerSize     = 16

	// directoryTail ends a directory: its length and checksum.
	directoryTail = 8

	// emptyFileSize is a file header with a snapshot of no streams: the length of
	// the first file of a log when its creation is complete.
	emptyFileSize = fileHeaderSize + batchHeaderSize + directoryTail

	// MaxRecord is the length of the largest record.
	MaxRecord = 1 << 30
	// maxID is the length of the longest stream id.
	maxID = 1 << 10
)

// batchKind says what a batch is for.
type batchKind uint32

const (
	// batchRecords has records that were committed together.
	batchRecords batchKind = iota + 1
	// batchSnapshot is the first of a file: the state of every stream.
	batchSnapshot
	// batchSeal is the last of a file: the index of its records.
	batchSeal
	// batchMark is empty. It is written without sync when nothing waits, and proves
	// that the batch before it was synced.
	batchMark
)

// recordKind says what a record does.
type recordKind uint8

const (
	// recordData is an operation.
	recordData recordKind = iota + 1
	// recordBind makes a stream: its payload is the id, its position is the one
	// before the first record.
	recordBind
	// recordTruncate makes its position the last of the stream.
	recordTruncate
	// recordDrop ends the stream.
	recordDrop
	// recordState, in snapshots alone, has a stream's position, and in its payload
	// up to where it was released, and the id.
	recordState
	// recordLast, in directories alone, has the position of the last data record
	// that the batch has of the stream.
	recordLast
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli()) }

// Sum is the hash of a record's data that chain values are made of.
func Sum(data []byte) uint64 { return xxhash.Sum64(data) }

// Follow returns the position of a record that follows p and whose data has the
// given Sum. The chain is a hash of the chain before, so it depends on every
// record from the first one on.
func (p Position) Follow(epoch, seq, sum uint64) Position {
	var b [32]byte
	le := binary.LittleEndian
	le.PutUint64(b[0:], p.Chain)
	le.PutUint64(b[8:], epoch)
	le.PutUint64(b[16:], seq)
	le.PutUint64(b[24:], sum)
	return Position{Epoch: epoch, Seq: seq, Chain: xxhash.Sum64(b[:])}
}

// fileHeader begins a file and ties it to the log and to the file before.
type fileHeader struct {
	logID  uint64
	number uint64
	// firstBatch is the number of the file's snapshot batch, prevSum the header
	// checksum of the batch before it.
	firstBatch uint64
	prevSum    uint32
	// nextStream is the number of the next new stream.
	nextStream uint32
}

func (h fileHeader) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, headerCopySize, fileHeaderSize)
	copy(b, fileMagic)
	le.PutUint16(b[8:], formatVersion)
	le.PutUint64(b[16:], h.logID)
	le.PutUint64(b[24:], h.number)
	le.PutUint64(b[32:], h.firstBatch)
	le.PutUint32(b[40:], h.prevSum)
	le.PutUint32(b[44:], h.nextStream)
	le.PutUint32(b[60:], checksum(b[:60]))
	return append(b, b...)
}

// decodeFileHeader reads the first bytes of a file: the first copy of the header, or
// when that is unsound the second. An unsound header is a *CorruptedError.
func decodeFileHeader(b []byte, name string) (fileHeader, error) {
	h, err := decodeHeaderCopy(b, name)
	if err != nil && len(b) >= fileHeaderSize {
		if second, err := decodeHeaderCopy(b[headerCopySize:], name); err == nil {
			return second, nil
		}
	}
	return h, err
}

func decodeHeaderCopy(b []byte, name string) (fileHeader, error) {
	le := binary.LittleEndian
	bad := func(why string) (fileHeader, error) { return fileHeader{}, &CorruptedError{File: name, Why: why} }
	if len(b) < headerCopySize {
		return bad("file header is cut off")
	}
	if string(b[:8]) != fileMagic {
		return bad("file header without the magic bytes")
	}
	if checksum(b[:60]) != le.Uint32(b[60:]) {
		return bad("file header checksum")
	}
	if v := le.Uint16(b[8:]); v < formatVersion {
		return fileHeader{}, fmt.Errorf("open log file %s: version %d was never released and can't be read", name, v)
	} else if v > formatVersion {
		return fileHeader{}, fmt.Errorf("open log file %s: %w: version %d, newest known is %d", name, ErrNewer, v, formatVersion)
	}
	return fileHeader{
		logID: le.Uint64(b[16:]), number: le.Uint64(b[24:]), firstBatch: le.Uint64(b[32:]),
		prevSum: le.Uint32(b[40:]), nextStream: le.Uint32(b[44:]),
	}, nil
}

// place is where a batch stands. It goes into the checksum of the batch's header,
// so that bytes of another log, file or offset never pass for a batch: also not
// those of a log that a client stored as payload.
type place struct {
	logID, file uint64
	off         int64
}

func (p place) sum(head []byte) uint32 {
	var b [24]byte
	le := binary.LittleEndian
	le.PutUint64(b[0:], p.logID)
	le.PutUint64(b[8:], p.file)
	le.PutUint64(b[16:], uint64(p.off))
	return crc32.Update(checksum(b[:]), castagnoli(), head)
}

// batchHeader precedes the body of a batch.
type batchHeader struct {
	kind   batchKind
	number uint64
	// bodyLen is the length of the body, bodySum the checksum of its records, or of
	// all of it where there is no directory.
	bodyLen, bodySum uint32
	// prevSum is the header checksum of the batch before.
	prevSum uint32
	// count is the number of records.
	count uint32
	// sum is the header's own checksum.
	sum uint32
}

// put writes the header into b and returns its checksum.
func (h batchHeader) put(b []byte, at place) uint32 {
	le := binary.LittleEndian
	le.PutUint32(b[0:], batchMagic)
	le.PutUint32(b[4:], uint32(h.kind))
	le.PutUint64(b[8:], h.number)
	le.PutUint32(b[16:], h.bodyLen)
	le.PutUint32(b[20:], h.bodySum)
	le.PutUint32(b[24:], h.prevSum)
	le.PutUint32(b[28:], h.count)
	sum := at.sum(b[:32])
	le.PutUint32(b[32:], sum)
	return sum
}

// decodeBatchHeader returns false for bytes that aren't the header of a batch at
// this place.
func decodeBatchHeader(b []byte, at place) (batchHeader, bool) {
	le := binary.LittleEndian
	if len(b) < batchHeaderSize || le.Uint32(b) != batchMagic || at.sum(b[:32]) != le.Uint32(b[32:]) {
		return batchHeader{}, false
	}
	h := batchHeader{
		kind: batchKind(le.Uint32(b[4:])), number: le.Uint64(b[8:]), bodyLen: le.Uint32(b[16:]), bodySum: le.Uint32(b[20:]),
		prevSum: le.Uint32(b[24:]), count: le.Uint32(b[28:]), sum: le.Uint32(b[32:]),
	}
	return h, h.kind >= batchRecords && h.kind <= batchMark
}

// record is a decoded record; data points into the batch.
type record struct {
	kind   recordKind
	stream uint32
	pos    Position
	data   []byte
}

// appendRecord adds a record to a body.
func appendRecord(b []byte, kind recordKind, stream uint32, pos Position, data []byte) []byte {
	le := binary.LittleEndian
	b = append(b, byte(kind))
	b = le.AppendUint32(b, stream)
	b = le.AppendUint32(b, uint32(len(data)))
	b = le.AppendUint64(b, pos.Epoch)
	b = le.AppendUint64(b, pos.Seq)
	b = le.AppendUint64(b, pos.Chain)
	return append(b, data...)
}

// decodeRecord takes one record off a body.
func decodeRecord(b []byte) (r record, rest []byte, ok bool) {
	if len(b) < recordHeadSize {
		return record{}, nil, false
	}
	le := binary.LittleEndian
	n := uint64(le.Uint32(b[5:]))
	if n > uint64(len(b)-recordHeadSize) {
		return record{}, nil, false
	}
	end := recordHeadSize + int(n)
	r = record{
		kind: recordKind(b[0]), stream: le.Uint32(b[1:]),
		pos:  Position{Epoch: le.Uint64(b[9:]), Seq: le.Uint64(b[17:]), Chain: le.Uint64(b[25:])},
		data: b[recordHeadSize:end:end],
	}
	return r, b[end:], r.kind >= recordData && r.kind <= recordLast
}

// encodeTrailer returns the last bytes of a sealed file, which say where its seal
// batch begins.
func encodeTrailer(seal place) []byte {
	b := make([]byte, 0, trailerSize)
	b = binary.LittleEndian.AppendUint64(b, uint64(seal.off))
	b = binary.LittleEndian.AppendUint32(b, seal.sum(b))
	return append(b, trailerMagic...)
}

// decodeTrailer returns the offset of the seal batch. size is the file's length.
func decodeTrailer(b []byte, logID, file uint64, size int64) (int64, bool) {
	le := binary.LittleEndian
	if len(b) != trailerSize || string(b[12:]) != trailerMagic {
		return 0, false
	}
	off := int64(le.Uint64(b))
	if (place{logID, file, off}).sum(b[:8]) != le.Uint32(b[8:]) {
		return 0, false
	}
	return off, off >= fileHeaderSize && off <= size-trailerSize-batchHeaderSize
}

func fileName(number uint64) string { return fmt.Sprintf("%016x%s", number, fileSuffix) }

// parseFileName returns false for a name that isn't one of a log file.
func parseFileName(name string) (uint64, bool) {
	word, ok := strings.CutSuffix(name, fileSuffix)
	if !ok || len(word) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(word, 16, 64)
	return n, err == nil && fileName(n) == name
}
