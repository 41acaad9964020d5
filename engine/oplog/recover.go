package oplog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/sextantdb/sextant/internal/fsx"
)

// recover finds out what the log holds: of each sealed file it reads the index,
// of the newest file everything. A torn end of the newest file is cut off; all
// other damage is ErrCorrupted.
func (l *Log) recover() error {
	files, err := l.listFiles()
	if err != nil {
		return err
	}
	if files, err = l.dropUnfinished(files); err != nil || len(files) == 0 {
		return err
	}
	older, newest := files[:len(files)-1], files[len(files)-1]
	extents := map[uint32][]extent{}
	var link *batchHeader
	for i, f := range older {
		if link, err = l.readOlder(f, files[i+1], link, extents); err != nil {
			return err
		}
	}
	if err := l.scanNewest(newest, link, extents); err != nil {
		return err
	}
	lost := l.index.doubt != nil
	l.endDoubts()
	for _, s := range l.streams {
		s.last = s.durable
	}
	l.files = files
	if lost {
		// The holes are in the next file's snapshot. A disk that has no room for one gets it with the
		// next record: until then the same is found again.
		_ = l.tail.create()
	}
	return nil
}

// listFiles returns the log's files in order; there may be no gap between them.
func (l *Log) listFiles() ([]*logFile, error) {
	entries, err := l.opts.FS.ReadDir(l.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	var files []*logFile
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), copySuffix) {
			// A copy that never took the place of its file.
			if err := removeIfThere(l.opts.FS, path.Join(l.opts.Dir, e.Name())); err != nil {
				return nil, err
			}
			continue
		}
		n, ok := parseFileName(e.Name())
		if !ok {
			continue
		}
		f := &logFile{number: n, path: path.Join(l.opts.Dir, e.Name())}
		if k := len(files); k > 0 && n != files[k-1].number+1 {
			return nil, f.corrupted(0, fmt.Sprintf("the files before it are missing, down to number %d", files[k-1].number))
		}
		files = append(files, f)
	}
	return files, nil
}

// openLog is a log file open for reading. headErr says what is wrong with its
// header, nil when head is sound; oneCopy that only one copy of it is.
type openLog struct {
	fsx.File
	size    int64
	head    fileHeader
	headErr error
	oneCopy bool
}

// open opens a file for reading and reads its header.
func (l *Log) open(f *logFile) (*openLog, error) {
	src, err := l.opts.FS.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	o := &openLog{File: src}
	if o.size, err = src.Size(); err == nil {
		b := make([]byte, min(o.size, fileHeaderSize))
		if _, err = src.ReadAt(b, 0); errors.Is(err, io.EOF) {
			err = nil
		}
		o.head, o.headErr = decodeFileHeader(b, f.path)
		o.oneCopy = o.headErr == nil && !bytes.Equal(b, o.head.encode())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %w", err), src.Close())
	}
	if o.headErr == nil && o.head.number != f.number {
		o.headErr = f.corrupted(24, fmt.Sprintf("file says that it is number %d", o.head.number))
	}
	f.logID = o.head.logID
	return o, nil
}

// dropUnfinished removes the newest file when its creation was interrupted: it
// can't have held a record, since records follow a synced snapshot.
func (l *Log) dropUnfinished(files []*logFile) ([]*logFile, error) {
	if len(files) == 0 {
		return nil, nil
	}
	newest := files[len(files)-1]
	src, err := l.open(newest)
	if err != nil {
		return nil, err
	}
	unfinished, err := l.unfinished(files, src)
	if err = errors.Join(err, src.Close()); err != nil || !unfinished {
		return files, err
	}
	if err := removeIfThere(l.opts.FS, newest.path); err != nil {
		return nil, err
	}
	if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
		return nil, fmt.Errorf("remove unfinished log file: %w", err)
	}
	return files[:len(files)-1], nil
}

// unfinished tells an interrupted creation of the newest file (true) from a sound
// file (false) and from damage (an error).
func (l *Log) unfinished(files []*logFile, src *openLog) (bool, error) {
	newest := files[len(files)-1]
	damage := src.headErr
	if damage == nil {
		r := newBatchReader(newest, src, fileHeaderSize, src.size)
		switch _, err := r.next(); {
		case err == nil:
			return false, nil
		case !errors.Is(err, errNoBatch) && !errors.Is(err, io.EOF):
			return false, fmt.Errorf("read log: %w", err)
		}
		damage = newest.corrupted(fileHeaderSize, "snapshot is damaged")
	}
	switch {
	case !errors.Is(damage, ErrCorrupted):
		return false, damage
	case len(files) == 1 && src.headErr != nil:
		// The log's id isn't known, but the length that a creation comes to is.
		if newest.number > 1 || src.size > emptyFileSize {
			return false, damage
		}
		return true, nil
	}
	from := int64(fileHeaderSize)
	if src.headErr != nil {
		older, err := l.open(files[len(files)-2])
		if err == nil {
			err = errors.Join(older.headErr, older.Close())
		}
		if err != nil {
			return false, err
		}
		newest.logID = older.head.logID
		from-- // a sound snapshot behind a bad header is no torn write either
	}
	_, _, found, err := nextBatch(newest, src, from, src.size)
	if err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	if !found && len(files) == 1 && newest.number > 1 {
		// The files before it were removed, so it was complete once.
		return false, damage
	}
	// Reading will tell what of a file that was complete is damaged.
	return !found, nil
}

// checkHead makes sure that a file continues the one before, of which link is the
// last batch; nil for the oldest file.
func (f *logFile) checkHead(src *openLog, link *batchHeader) error {
	if src.headErr != nil {
		return src.headErr
	}
	if link != nil && (src.head.firstBatch != link.number+1 || src.head.prevSum != link.sum) {
		return f.corrupted(0, "file doesn't continue the one before")
	}
	return nil
}

// readOlder adds what a file has that isn't the newest to extents, and returns its last batch, nil
// when that isn't certain.
func (l *Log) readOlder(f, next *logFile, link *batchHeader, extents map[uint32][]extent) (last *batchHeader, err error) {
	src, err := l.open(f)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if err := f.checkHead(src, link); err != nil {
		return nil, err
	}
	if last, err = l.readSealed(f, src, extents); isDamage(err) {
		return nil, l.readUnsealed(f, next, src, extents)
	}
	return last, err
}

// readSealed adds the index of a sealed file to extents and returns its last batch.
func (l *Log) readSealed(f *logFile, src *openLog, extents map[uint32][]extent) (seal *batchHeader, err error) {
	size := src.size
	var b [trailerSize]byte
	if size < emptyFileSize+trailerSize {
		return nil, f.corrupted(size, "file is cut off, but not the newest")
	}
	if _, err := src.ReadAt(b[:], size-trailerSize); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read log: %w", err)
	}
	off, ok := decodeTrailer(b[:], f.logID, f.number, size)
	if !ok {
		return nil, f.corrupted(size-trailerSize, "end of a file that isn't the newest")
	}
	r := newBatchReader(f, src, off, size-trailerSize)
	batch, err := r.next()
	switch {
	case errors.Is(err, errNoBatch) || err == nil && (batch.kind != batchSeal || r.off != r.end):
		return nil, f.corrupted(off, "index of the file: "+r.why)
	case err != nil:
		return nil, fmt.Errorf("read log: %w", err)
	}
	f.size = size
	if err := decodeSeal(f, batch, extents); err != nil {
		return nil, err
	}
	last := batch.batchHeader
	return &last, nil
}

// scanNewest reads the whole newest file, cuts off a torn end, and leaves the tail
// ready to write.
func (l *Log) scanNewest(f *logFile, link *batchHeader, extents map[uint32][]extent) error {
	src, err := l.open(f)
	if err != nil {
		return err
	}
	s := scan{log: l, file: f, src: src, healed: map[int64][]byte{}}
	if src.oneCopy {
		s.healed[0] = src.head.encode()
	}
	err = f.checkHead(src, link)
	if err == nil {
		err = s.all(src.head, src.size, extents)
	}
	if err = errors.Join(err, src.Close()); err != nil {
		return err
	}
	return l.continueAfter(&s, src.size)
}

// scan is the reading of the newest file.
type scan struct {
	log  *Log
	file *logFile
	src  io.ReaderAt
	// last is the last sound batch, lastOff where it begins, end where it ends.
	last         batchHeader
	lastOff, end int64
	// batches counts the sound batches, sealed says that the last one is a seal.
	batches int
	sealed  bool
	// older says that the file isn't the newest.
	older bool
	// healed has the headers that must be written again, by offset.
	healed map[int64][]byte
}

func (s *scan) all(h fileHeader, size int64, extents map[uint32][]extent) error {
	r := newBatchReader(s.file, s.src, fileHeaderSize, size)
	r.prev = &batchHeader{number: h.firstBatch - 1, sum: h.prevSum}
	x := &s.log.index
	x.nextStream, x.durableNext = h.nextStream, h.nextStream
	for {
		begin := r.off
		b, err := r.next()
		damaged := false
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errNoBatch):
			// Behind a lost stretch nothing is certain that isn't sound.
			if b, damaged = confined(r); !damaged || x.doubt != nil {
				if r, err = s.skip(begin, size, r.why); r == nil {
					return err
				}
				continue
			}
		case err != nil:
			return fmt.Errorf("read log: %w", err)
		}
		switch {
		case (s.batches == 0) != (b.kind == batchSnapshot):
			err = s.file.corrupted(b.off, "snapshot isn't the first batch, or not the only one")
		case b.kind == batchSnapshot:
			body := b.body
			if damaged {
				body = b.directory // a copy
			}
			if err = x.restore(s.file, b.off, body, s.log.newStream); err == nil {
				err = x.adopt(s.file, extents)
			}
		case damaged:
			err = x.applyDirectory(s.file, b, s.log.newStream)
		case b.kind == batchRecords && x.doubt != nil:
			err = x.applyBehind(s.file, b, s.log)
		case b.kind == batchRecords:
			err = x.apply(s.file, b.off, b.body, true, s.log.newStream)
		case b.kind == batchSeal && s.older:
			return nil // it is of no use
		case b.kind == batchSeal && x.doubt != nil:
			// A file with an index isn't read whole again, so what was cut in it would come back.
			return s.log.lost
		case b.kind == batchSeal:
			return s.seal(b, size)
		}
		if err != nil {
			return err
		}
		s.sound(b)
	}
}

// confined returns a damaged batch of which it is certain that it was synced once, and
// what it means for the streams: those that suffered can't be read across it, the
// others don't notice.
func confined(r *batchReader) (*batch, bool) {
	if !r.followed() || r.bad.directory == nil {
		return nil, false
	}
	return r.damaged()
}

func (s *scan) sound(b *batch) {
	if b.healed != nil {
		s.healed[b.off] = b.healed
	}
	s.last, s.lastOff, s.end = b.batchHeader, b.off, b.end()
	s.batches++
}

// damageUnlessTorn decides what the first bytes are that aren't a batch. A batch is
// only begun after the one before was synced (marks aside, which the reader heals).
// So when any batch lies beyond, this was synced once, and is damaged now;
// otherwise it is a write that was never acknowledged.
func (s *scan) damageUnlessTorn(off, size int64, why string) error {
	_, _, found, err := nextBatch(s.file, s.src, off, size)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if found {
		return s.file.corrupted(off, why)
	}
	return nil
}

// seal accepts a seal batch if the trailer behind it is whole. A torn seal is cut
// off as any torn batch; it holds nothing that can't be made again.
func (s *scan) seal(b *batch, size int64) error {
	trailer := make([]byte, min(size-b.end(), trailerSize+1))
	if _, err := s.src.ReadAt(trailer, b.end()); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read log: %w", err)
	}
	if off, ok := decodeTrailer(trailer, s.file.logID, s.file.number, size); ok && off == b.off {
		s.sound(b)
		s.end, s.sealed = size, true
		return nil
	}
	return s.damageUnlessTorn(b.off, size, "trailer of the file")
}

// adopt gives the streams of the snapshot their records in older files. What was
// cut or dropped since is left out; a gap is damage.
func (x *index) adopt(f *logFile, extents map[uint32][]extent) error {
	for number, s := range x.byNumber {
		s.extents = clip(extents[number], s.durable.Seq)
		for i, e := range s.extents {
			next := s.durable.Seq + 1
			if i+1 < len(s.extents) {
				next = s.extents[i+1].first
			}
			if e.last+1 != next && !s.log.opts.Salvage {
				return f.corrupted(fileHeaderSize, fmt.Sprintf("records %d to %d of stream %q are missing", e.last+1, next-1, s.id))
			}
		}
	}
	return nil
}

// continueAfter cuts the newest file to its sound part and makes that durable. The
// last batch is written once more, in place: after a failed sync the operating
// system may show bytes that never reached the disk and hold them for clean.
func (l *Log) continueAfter(s *scan, size int64) (err error) {
	w, err := l.opts.FS.OpenWrite(s.file.path)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	t := &l.tail
	t.file, t.w, t.logID = s.file, w, s.file.logID
	t.end = end{size: s.end, records: s.batches > 1, next: s.last.number + 1, prevSum: s.last.sum}
	s.file.size = s.end
	if s.end < size {
		if err := w.Truncate(s.end); err != nil {
			return fmt.Errorf("cut torn end of log: %w", err)
		}
	}
	if err := s.rewrite(w); err != nil {
		return err
	}
	if err := w.Sync(); err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	t.synced = t.end
	if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
		return fmt.Errorf("sync log directory: %w", err)
	}
	if s.sealed || l.index.doubt != nil {
		return t.close() // nothing is written behind a seal, nor behind damage
	}
	return nil
}

// rewrite writes the last batch and all healed headers.
func (s *scan) rewrite(w fsx.File) error {
	from := s.lastOff
	if s.batches == 1 {
		from = 0
	}
	b := make([]byte, s.end-from)
	if _, err := w.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read log: %w", err)
	}
	if _, err := w.WriteAt(b, from); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	for off, head := range s.healed {
		if _, err := w.WriteAt(head, off); err != nil {
			return fmt.Errorf("write log: %w", err)
		}
	}
	return nil
}
