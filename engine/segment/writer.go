package segment

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/sextantdb/sextant/internal/fsx"
)

// writeBuffer is how much is gathered before the file is written to.
const writeBuffer = 256 << 10

// Writer writes one file, section after section, holding a buffer, no longer than the
// file, and four bytes per block in memory. It belongs to one goroutine.
type Writer struct {
	dir  *Dir
	name string
	file fsx.File
	buf  []byte
	// off is the file's length, with what is still buffered.
	off       int64
	headerSum uint32
	sections  []extent
	seen      map[uint16]bool
	// sums has the checksums of finished blocks; sum is the one of the block being
	// filled, which has inBlock bytes.
	sums    []uint32
	sum     uint32
	inBlock int
	// err is the first failure; after it nothing is written.
	err  error
	done bool
}

func newWriter(d *Dir, name string, f fsx.File, head []byte) *Writer {
	w := &Writer{
		dir: d, name: name, file: f,
		headerSum: checksum(head[:60]), seen: map[uint16]bool{},
	}
	w.raw(head)
	return w
}

// raw writes bytes that belong to no section.
func (w *Writer) raw(b []byte) {
	if w.err != nil {
		return
	}
	w.off += int64(len(b))
	for {
		n := min(len(b), writeBuffer-len(w.buf))
		w.buf = append(w.buf, b[:n]...)
		if b = b[n:]; len(b) == 0 {
			return
		}
		if w.flush(); w.err != nil {
			return
		}
	}
}

// flush writes what has been gathered.
func (w *Writer) flush() {
	if w.err != nil {
		return
	}
	if _, err := w.file.Write(w.buf); err != nil {
		w.err = fmt.Errorf("write segment file: %w", err)
	}
	w.buf = w.buf[:0]
}

// Section ends the section before it and begins the one with this id, which must
// be new in the file. Bytes given to the returned writer land at a 64-byte
// aligned start, contiguous. Errors stick: Finish returns the first one.
func (w *Writer) Section(id uint16) io.Writer {
	w.endSection()
	if w.err == nil && (w.seen[id] || w.done) {
		w.err = fmt.Errorf("write segment file %s: section %d begun twice or after the end", w.name, id)
	}
	w.seen[id] = true
	w.sections = append(w.sections, extent{id: id, off: w.off})
	return &sectionWriter{w: w, number: len(w.sections)}
}

// endSection closes the last block and pads to where the next section starts.
func (w *Writer) endSection() {
	if w.inBlock > 0 {
		w.sums = append(w.sums, w.sum)
		w.sum, w.inBlock = 0, 0
	}
	if n := len(w.sections); n > 0 {
		s := &w.sections[n-1]
		s.len = w.off - s.off
	}
	w.raw(make([]byte, alignUp(w.off)-w.off))
}

// sectionWriter is the writer of the number-th section; it refuses when another
// has begun.
type sectionWriter struct {
	w      *Writer
	number int
}

func (s *sectionWriter) Write(p []byte) (int, error) {
	w := s.w
	if w.err == nil && (s.number != len(w.sections) || w.done) {
		w.err = fmt.Errorf("write segment file %s: write to a section that has ended", w.name)
	}
	if w.err != nil {
		return 0, w.err
	}
	for rest := p; len(rest) > 0; {
		n := min(len(rest), blockSize-w.inBlock)
		w.sum = crc32.Update(w.sum, castagnoli(), rest[:n])
		w.inBlock += n
		if w.inBlock == blockSize {
			w.sums = append(w.sums, w.sum)
			w.sum, w.inBlock = 0, 0
		}
		rest = rest[n:]
	}
	w.raw(p)
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Finish ends the file, makes it and its name durable and closes it. After an
// error the file is gone.
func (w *Writer) Finish() (FileInfo, error) {
	if w.done {
		return FileInfo{}, fmt.Errorf("finish segment file %s: it was finished or aborted", w.name)
	}
	w.endSection()
	toc := encodeTOC(w.headerSum, w.sections, w.sums)
	footer := encodeFooter(w.off, toc)
	w.raw(toc)
	w.raw(footer)
	if w.err == nil {
		w.err = w.makeDurable()
	}
	if w.err != nil {
		w.Abort()
		return FileInfo{}, w.err
	}
	w.done = true
	return FileInfo{Name: w.name, Size: w.off, Sum: checksum(toc)}, nil
}

func (w *Writer) makeDurable() error {
	if w.flush(); w.err != nil {
		return w.err
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync segment file %s: %w", w.name, err)
	}
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return fmt.Errorf("close segment file: %w", err)
	}
	if err := w.dir.FS.SyncDir(w.dir.Path); err != nil {
		return fmt.Errorf("sync directory of segment file %s: %w", w.name, err)
	}
	return nil
}

// Abort gives the file up and removes it. After Finish it does nothing.
func (w *Writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	var err error
	if w.file != nil {
		err = w.file.Close()
		w.file = nil
	}
	// What can't be removed now is removed by the next Load; the first failure is
	// what the caller needs to know.
	err = errors.Join(err, w.dir.remove(w.name))
	if w.err == nil {
		w.err = err
	}
}
