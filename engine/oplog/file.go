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

// batch is one batch read from a file; body is valid until the next one is read.
type batch struct {
	batchHeader
	off  int64
	body []byte
	// healed says that the batch is a mark that isn't sound in the file.
	healed bool
}

// end is the offset after the batch.
func (b *batch) end() int64 { return b.off + batchHeaderSize + int64(len(b.body)) }

// batchReader reads the batches of a file in order. Nothing that it returns is
// unverified: header and body have sound checksums, and each batch is the one
// that was written after the one before.
type batchReader struct {
	file *logFile
	src  *bufio.Reader
	// off is where the next batch begins, end the length of the file.
	off, end int64
	// prev is the batch before; nil at the start, when any batch will do.
	prev *batchHeader
	cur  batch
	why  string
	// bad is the header of the batch that is next, when it is sound and belongs there
	// but its body, in cur.body, isn't what was written.
	bad *batchHeader
}

func newBatchReader(f *logFile, src io.ReaderAt, off, end int64) *batchReader {
	section := io.NewSectionReader(src, off, end-off)
	size := int(min(readBuffer, max(end-off, 2*batchHeaderSize)))
	return &batchReader{file: f, src: bufio.NewReaderSize(section, size), off: off, end: end}
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
		if mark, ok := r.lostMark(); ok {
			return mark, nil
		}
		return r.none("not a batch header")
	case r.prev != nil && (h.number != r.prev.number+1 || h.prevSum != r.prev.sum):
		return r.none("batch doesn't follow the one before")
	case int64(h.bodyLen) > r.end-r.off-batchHeaderSize:
		return r.none("batch is cut off")
	}
	if cap(r.cur.body) < int(h.bodyLen) {
		r.cur.body = make([]byte, h.bodyLen)
	}
	r.cur.body = r.cur.body[:h.bodyLen]
	if _, err := io.ReadFull(r.src, r.cur.body); err != nil {
		return nil, err
	}
	if checksum(r.cur.body) != h.bodySum {
		r.bad = &h
		return r.none("batch checksum")
	}
	return r.accept(h, false), nil
}

// damaged returns the batch at which next has failed, and goes behind it, if its
// header is sound. Its body must be looked at with suspicion.
func (r *batchReader) damaged() (b *batch, ok bool) {
	if r.bad == nil {
		return nil, false
	}
	h := *r.bad
	r.bad = nil
	return r.accept(h, false), true
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
	h, ok := decodeBatchHeader(b, r.file.place(r.off+batchHeaderSize+int64(r.bad.bodyLen)))
	return ok && h.number == r.bad.number+1 && h.prevSum == r.bad.sum
}

func (r *batchReader) accept(h batchHeader, healed bool) *batch {
	r.cur.batchHeader, r.cur.off, r.cur.healed = h, r.off, healed
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
	r.cur.body = r.cur.body[:0]
	return r.accept(mark, true), true
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

// batchBeyond looks for the header of any batch of this file after an offset.
func batchBeyond(f *logFile, src io.ReaderAt, off, end int64) (bool, error) {
	const overlap = batchHeaderSize - 1
	buf := make([]byte, readBuffer)
	for at := off + 1; at+batchHeaderSize <= end; at += readBuffer - overlap {
		n, err := src.ReadAt(buf[:min(readBuffer, end-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		for i := range max(0, n-overlap) {
			if buf[i] != batchMagic&0xff {
				continue
			}
			if _, ok := decodeBatchHeader(buf[i:n], f.place(at+int64(i))); ok {
				return true, nil
			}
		}
		if n < readBuffer {
			break
		}
	}
	return false, nil
}
