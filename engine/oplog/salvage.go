package oplog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// What is done when a stretch of a file is lost with everything that says which streams it had records
// of (Options.Salvage). What lies behind is read; a stream whose next record there follows the last one
// from before, by its chain value, has lost nothing. All others may have: they have a hole, which is never
// read across.
//
// A hole is records that the index has no extent for, below the stream's last position. It is in the
// snapshot of the next file, so it is known for as long as the stream isn't dropped, reset or
// released behind it. Where only the end of a stream is in doubt, the hole is one record that nobody
// may ever have written.

// Lost returns what of the log was found to be lost when it was opened: the first damage that isn't
// confined to streams that it certainly hit. nil is nothing.
func (l *Log) Lost() error { return l.lost }

// skip goes over a stretch that is no batch, to the next one. It returns nil where there is none: a
// torn end.
func (s *scan) skip(off, size int64, why string) (*batchReader, error) {
	_, at, found, err := nextBatch(s.file, s.src, off, size)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	if !found {
		return nil, nil
	}
	lost := s.file.corrupted(off, why)
	if !s.log.opts.Salvage || s.batches == 0 {
		return nil, lost
	}
	if s.log.lost == nil {
		s.log.lost = lost
	}
	s.log.index.doubtAll()
	return newBatchReader(s.file, s.src, at, size), nil
}

// doubtAll says that any stream may have lost records.
func (x *index) doubtAll() {
	if x.doubt == nil {
		x.doubt = map[*Stream]bool{}
	}
	for _, s := range x.byNumber {
		x.doubt[s] = true
	}
}

// applyBehind is apply for a batch behind a lost stretch.
func (x *index) applyBehind(f *logFile, b *batch, l *Log) error {
	for body := b.body; len(body) > 0; {
		r, rest, ok := decodeRecord(body)
		if !ok || r.kind == recordState || r.kind == recordLast {
			return f.corrupted(b.off, "record in a sound batch doesn't decode")
		}
		size := len(body) - len(rest)
		body = rest
		s := x.byNumber[r.stream]
		switch {
		case r.kind == recordBind && s != nil:
			return f.corrupted(b.off, fmt.Sprintf("stream %q, number %d, is bound twice", r.data, r.stream))
		case r.kind == recordBind:
			s = x.bindBehind(r, l)
		case s == nil:
			// It was bound in what is lost, so nobody knows its name.
			x.nextStream, x.durableNext = max(x.nextStream, r.stream+1), max(x.durableNext, r.stream+1)
			continue
		case s.breaks(r) != "":
			s.breakOff(r)
		}
		x.one(s, f, b.off, r, size)
		delete(x.doubt, s)
	}
	return nil
}

// bindBehind makes a stream. One of the same id was dropped in what is lost.
func (x *index) bindBehind(r record, l *Log) *Stream {
	id := string(r.data)
	if old := l.streams[id]; old != nil {
		delete(x.byNumber, old.number)
		delete(x.doubt, old)
		delete(l.streams, id)
	}
	s := l.newStream(id)
	s.number, s.bound = r.stream, true
	x.byNumber[r.stream], x.nextStream = s, max(x.nextStream, r.stream+1)
	return s
}

// breakOff ends what is known of a stream before a record that doesn't follow it. What does follow has a
// base without a chain value: no record verifies behind that.
func (s *Stream) breakOff(r record) {
	if r.kind != recordData {
		return
	}
	s.extents = clip(s.extents, r.pos.Seq-1)
	s.durable = Position{Epoch: r.pos.Epoch, Seq: r.pos.Seq - 1}
	s.cut = true
}

// endDoubts gives every stream a hole that is still in doubt at the end of the newest file, and those
// that were expected and aren't there.
func (l *Log) endDoubts() {
	x := &l.index
	if x.doubt == nil {
		return
	}
	for s := range x.doubt {
		s.durable = Position{Epoch: s.durable.Epoch, Seq: s.durable.Seq + 1}
		s.cut = true
	}
	for _, id := range slices.Sorted(slices.Values(l.opts.Expect)) {
		s := l.newStream(id)
		if s == nil {
			continue
		}
		s.number, s.bound, s.known, s.durable = x.nextStream, true, true, Position{Seq: 1}
		x.byNumber[s.number] = s
		x.nextStream++
		x.durableNext = x.nextStream
	}
	x.doubt = nil
}

// readUnsealed is readSealed for a file whose index is lost, or that never got one because it
// was damaged when it was the newest: it is read whole. The next file's snapshot says what it should
// have had.
func (l *Log) readUnsealed(f, next *logFile, src *openLog, extents map[uint32][]extent) error {
	beside := &Log{opts: l.opts, streams: map[string]*Stream{}, index: index{byNumber: map[uint32]*Stream{}}}
	s := scan{log: beside, file: f, src: src, healed: map[int64][]byte{}, older: true}
	if err := s.all(src.head, src.size, map[uint32][]extent{}); err != nil {
		return err
	}
	lost, err := l.lostEnd(&s, next)
	if err != nil || lost != nil && !l.opts.Salvage {
		return errors.Join(err, lost)
	}
	f.size = s.end
	l.lost = cmp.Or(l.lost, beside.lost, lost)
	for _, number := range slices.Sorted(maps.Keys(beside.index.byNumber)) {
		found := beside.index.byNumber[number]
		// What was cut here must not be taken for what fills a hole.
		extents[number] = clip(extents[number], found.durable.Seq)
		for _, e := range found.extents {
			extents[number] = append(clip(extents[number], e.first-1), e)
		}
	}
	return nil
}

// lostEnd tells what a file has lost at its end: the next file says which batch came before it. One
// that is missing is the index.
func (l *Log) lostEnd(s *scan, next *logFile) (lost, err error) {
	src, err := l.open(next)
	if err != nil {
		return nil, err
	}
	missing := src.head.firstBatch - 1 - s.last.number
	if src.headErr == nil && missing > 1 {
		lost = s.file.corrupted(s.end, fmt.Sprintf("%d batches are lost", missing))
	}
	return lost, src.Close()
}

// isDamage tells damage from a failure of the moment.
func isDamage(err error) bool { return errors.Is(err, ErrCorrupted) }
