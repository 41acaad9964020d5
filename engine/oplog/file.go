package oplog

import (
	"bufio"
	"errors"
	"io"
)

// readBuffer is how much of a file is read at once.
const readBuffer = 256 << 10

// logFile is one file of the log. number, path and the log's id never change; the
// rest is guarded by Log.mu.
type logFile struct {
	number uint64
	path   string
	logID  uint64
	// size is the length up to the last durable batch.
	size int64
	// readers counts the reads that go through the file.
	readers int
}

func (f *logFile) place(off int64) place { return place{logID: f.logID, file: f.number, off: off} }

func (f *logFile) corrupted(off int64, why string) error {
	return &CorruptedError{File: f.path, Offset: off, Why: why}
}

// errNoBatch is where no sound batch begins: the end of what was written, a torn
// tail, or damage. The reader of batches can't tell, its caller must.
var errNoBatch = errors.New("no batch")

// batch is one batch read from a file, valid until the next one is read.
type batch struct {
	batchHeader
	off int64
	// body is the body without directory, size its length with it.
	body []byte
	size int64
	// directory is nil when the batch has none, or none that is sound.
	directory []byte
	// healed is the header as it was written, when it isn't what the file has.
	healed []byte
}

// end is the offset after the batch.
func (b *batch) end() int64 { return b.off + batchHeaderSize + b.size }

// batchReader reads the batches of a file in order. Nothing that it returns is
// unverified: header and body have sound checksums, and each batch is the one
// that was written after the one before.
type batchReader struct {
	file *logFile
	at   io.ReaderAt
	src  *bufio.Reader
	// off is where the next batch begins, end the length of the file.
	off, end int64
	// prev is the batch before; nil at the start, when any batch will do.
	prev *batchHeader
	cur  batch
	buf  []byte
	why  string
	// bad is the batch that is next, when it is known where it ends, but it isn't what
	// was written.
	bad *batch
}

func newBatchReader(f *logFile, src io.ReaderAt, off, end int64) *batchReader {
	section := io.NewSectionReader(src, off, end-off)
	size := int(min(readBuffer, max(end-off, 2*batchHeaderSize)))
	return &batchReader{file: f, at: src, src: bufio.NewReaderSize(section, size), off: off, end: end}
}

// next returns the next batch, io.EOF exactly at the end, errNoBatch (with the
// reason in r.why) where none begins, or a failure of the disk.
func (r *batchReader) next() (*batch, error) {
	if r.off == r.end {
		return nil, io.EOF
	}
	if r.end-r.off < batchHeaderSize {
		return r.none("batch header is cut off")
	}
	var head [batchHeaderSize]byte
	if _, err := io.ReadFull(r.src, head[:]); err != nil {
		return nil, err
	}
	h, ok := decodeBatchHeader(head[:], r.file.place(r.off))
	switch {
	case !ok:
		return r.unsound()
	case r.prev != nil && (h.number != r.prev.number+1 || h.prevSum != r.prev.sum):
		return r.none("batch doesn't follow the one before")
	case int64(h.bodyLen) > r.end-r.off-batchHeaderSize:
		return r.none("batch is cut off")
	}
	if cap(r.buf) < int(h.bodyLen) {
		r.buf = make([]byte, h.bodyLen)
	}
	body := r.buf[:h.bodyLen]
	if _, err := io.ReadFull(r.src, body); err != nil {
		return nil, err
	}
	b := &batch{batchHeader: h, off: r.off, body: body, size: int64(len(body))}
	if h.kind.hasDirectory() {
		var whole bool
		if b.body, b.directory, whole = cutDirectory(body, r.file.place(r.off)); !whole {
			// Then the header's count says where the records end.
			if b.body, ok = firstRecords(body, h.count); !ok {
				b.body = body
			}
		}
	}
	if checksum(b.body) != h.bodySum {
		r.bad = b
		return r.none("batch checksum")
	}
	return r.accept(b), nil
}

// unsound is next for bytes that aren't a batch header.
func (r *batchReader) unsound() (*batch, error) {
	if mark, ok := r.lostMark(); ok {
		return r.accept(mark), nil
	}
	b, healed, err := r.lostHeader()
	if err != nil {
		return nil, err
	}
	if b != nil {
		if _, err := r.src.Discard(int(b.size)); err != nil {
			return nil, err
		}
		if healed {
			return r.accept(b), nil
		}
		r.bad = b
	}
	return r.none("not a batch header")
}

// damaged returns the batch at which next has failed, and goes behind it, if it is
// known where it ends. Its body must be looked at with suspicion.
func (r *batchReader) damaged() (b *batch, ok bool) {
	if r.bad == nil {
		return nil, false
	}
	b, r.bad = r.bad, nil
	return r.accept(b), true
}

// followed tells whether a sound batch continues the one at which next has failed:
// then that one was synced once, and its bytes have changed since.
func (r *batchReader) followed() bool {
	if r.bad == nil {
		return false
	}
	b, err := r.src.Peek(batchHeaderSize)
	if err != nil {
		return false
	}
	h, ok := decodeBatchHeader(b, r.file.place(r.bad.end()))
	return ok && h.number == r.bad.number+1 && h.prevSum == r.bad.sum
}

func (r *batchReader) accept(b *batch) *batch {
	r.cur = *b
	r.off = r.cur.end()
	r.prev = &r.cur.batchHeader
	return &r.cur
}

// lostMark tells whether the bytes just read were a mark. A mark isn't synced, so a
// power cut may take it and leave the batch behind it; and as everything in a mark
// is known beforehand, that batch, which has the mark's checksum, proves it.
func (r *batchReader) lostMark() (*batch, bool) {
	if r.prev == nil {
		return nil, false
	}
	head, mark := markAfter(*r.prev, r.file.place(r.off))
	b, err := r.src.Peek(batchHeaderSize)
	if err != nil {
		return nil, false
	}
	behind, ok := decodeBatchHeader(b, r.file.place(r.off+int64(len(head))))
	if !ok || behind.number != mark.number+1 || behind.prevSum != mark.sum {
		return nil, false
	}
	return &batch{batchHeader: mark, off: r.off, healed: head}, true
}

// markAfter returns the mark that follows a batch, as bytes and decoded.
func markAfter(prev batchHeader, at place) ([]byte, batchHeader) {
	h := batchHeader{kind: batchMark, number: prev.number + 1, prevSum: prev.sum, bodySum: checksum(nil)}
	b := make([]byte, batchHeaderSize)
	h.sum = h.put(b, at)
	return b, h
}

func (r *batchReader) none(why string) (*batch, error) {
	r.why = why
	return nil, errNoBatch
}

// nextBatch looks for the first header of a batch of this file after an offset.
func nextBatch(f *logFile, src io.ReaderAt, off, end int64) (h batchHeader, at int64, found bool, err error) {
	const overlap = batchHeaderSize - 1
	buf := make([]byte, readBuffer)
	for at := off + 1; at+batchHeaderSize <= end; at += readBuffer - overlap {
		n, err := src.ReadAt(buf[:min(readBuffer, end-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return h, 0, false, err
		}
		for i := range max(0, n-overlap) {
			if buf[i] != batchMagic&0xff {
				continue
			}
			if h, ok := decodeBatchHeader(buf[i:n], f.place(at+int64(i))); ok {
				return h, at + int64(i), true, nil
			}
		}
		if n < readBuffer {
			break
		}
	}
	return h, 0, false, nil
}
