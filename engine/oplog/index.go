package oplog

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// markEvery is how many bytes of a stream may lie between two marks of an extent:
// what a read that starts anywhere skips at most, of its own bytes.
const markEvery = 512 << 10

// extent is a run of a stream's records in one file, without gap. Reading the file
// from the first mark on and taking the stream's records from first to last
// gives exactly them.
type extent struct {
	file *logFile
	// base is the position before the first record.
	base        Position
	first, last uint64
	// marks are ascending; the first one is of the record first.
	marks []mark
	// unmarked counts the bytes since the last mark.
	unmarked int
}

// mark says that the stream's records from seq on are in or after the batch at off.
type mark struct {
	seq uint64
	off int64
}

// from returns where to begin to read for a record of the extent.
func (e *extent) from(seq uint64) int64 {
	i, exact := slices.BinarySearchFunc(e.marks, seq, func(m mark, seq uint64) int {
		switch {
		case m.seq < seq:
			return -1
		case m.seq > seq:
			return 1
		}
		return 0
	})
	if !exact {
		i--
	}
	return e.marks[i].off
}

// clip forgets what is above seq, in all extents.
func clip(extents []extent, seq uint64) []extent {
	for i := range extents {
		e := &extents[i]
		if e.first > seq {
			return extents[:i]
		}
		if e.last > seq {
			e.last = seq
			n := slices.IndexFunc(e.marks, func(m mark) bool { return m.seq > seq })
			if n > 0 {
				// The capacity goes too: a reader may hold the longer list.
				e.marks = e.marks[:n:n]
			}
			return extents[:i+1]
		}
	}
	return extents
}

// index has the durable state of every stream: what a scan of all files would
// give. The same code brings it up to date after a commit and at Open.
type index struct {
	// byNumber has the streams whose bind record is durable, and those whose bind
	// record is on its way (known == false).
	byNumber map[uint32]*Stream
	// nextStream is the number of the next new stream, durableNext the one after the
	// last whose bind record is durable.
	nextStream, durableNext uint32
	// doubt are the streams that may have lost records; nil when nothing is lost, and after Open.
	doubt map[*Stream]bool
}

// apply brings the index up to date with a batch of records. verify asks to check
// that each record follows the one before, which needs its data: at Open. newStream
// makes the streams that aren't there, nil means that all must be.
func (x *index) apply(f *logFile, off int64, body []byte, verify bool, newStream func(id string) *Stream) error {
	bad := func(why string, args ...any) error { return f.corrupted(off, fmt.Sprintf(why, args...)) }
	for len(body) > 0 {
		r, rest, ok := decodeRecord(body)
		if !ok {
			return bad("record in a sound batch doesn't decode")
		}
		size := len(body) - len(rest)
		body = rest
		s := x.byNumber[r.stream]
		if r.kind == recordBind && s == nil && newStream != nil {
			s = newStream(string(r.data))
			if s == nil || r.stream < x.durableNext {
				return bad("stream %q, number %d, is bound twice", r.data, r.stream)
			}
			s.number, s.bound = r.stream, true
			x.byNumber[r.stream], x.nextStream = s, r.stream+1
		}
		if s == nil || s.known == (r.kind == recordBind) {
			return bad("record of kind %d for unknown stream %d", r.kind, r.stream)
		}
		if verify {
			if why := s.breaks(r); why != "" {
				return bad("stream %q: %s", s.id, why)
			}
		}
		x.one(s, f, off, r, size)
	}
	return nil
}

// one applies one record to its stream.
func (x *index) one(s *Stream, f *logFile, off int64, r record, size int) {
	switch r.kind {
	case recordBind:
		s.known, s.durable = true, r.pos
		x.durableNext = s.number + 1
	case recordData:
		s.extend(f, off, r.pos.Seq, size)
		s.durable = r.pos
	case recordTruncate:
		s.durable = r.pos
		s.extents = clip(s.extents, r.pos.Seq)
		// What follows begins an extent of its own: between the two lie the records
		// that were cut.
		s.cut = true
	case recordDrop:
		s.extents, s.known = nil, false
		delete(x.byNumber, s.number)
		if s.log.streams[s.id] == s {
			delete(s.log.streams, s.id)
		}
	case recordState, recordLast:
	}
}

// breaks says why a record can't come next in its stream; empty when it can.
func (s *Stream) breaks(r record) string {
	switch r.kind {
	case recordData:
		if !s.durable.verified(r) {
			return fmt.Sprintf("record %d of epoch %d doesn't follow %d by its number or chain value", r.pos.Seq, r.pos.Epoch, s.durable.Seq)
		}
		if r.pos.Epoch < s.durable.Epoch {
			return "epoch falls"
		}
	case recordTruncate:
		if r.pos.Seq > s.durable.Seq {
			return "truncation above the last record"
		}
	case recordBind, recordDrop:
	case recordState, recordLast:
		return "record that is for snapshots or directories"
	}
	return ""
}

// extend adds the record that follows s.durable to the last extent or begins a
// new one.
func (s *Stream) extend(f *logFile, off int64, seq uint64, size int) {
	n := len(s.extents)
	if n == 0 || s.cut || s.extents[n-1].file != f {
		s.cut = false
		s.extents = append(s.extents, extent{
			file: f, base: s.durable, first: seq, last: seq, marks: []mark{{seq, off}}, unmarked: size,
		})
		return
	}
	e := &s.extents[n-1]
	e.last = seq
	if e.unmarked >= markEvery && e.marks[len(e.marks)-1].off != off {
		// A batch has records of one stream in one run, so this is the first in it.
		e.marks = append(e.marks, mark{seq, off})
		e.unmarked = 0
	}
	e.unmarked += size
}

// snapshot returns the records that begin a new file: the durable state of each
// stream.
func (x *index) snapshot(b []byte) (body []byte, count uint32) {
	for _, number := range slices.Sorted(maps.Keys(x.byNumber)) {
		s := x.byNumber[number]
		if !s.known {
			continue
		}
		payload := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+len(s.id)), s.released)
		b = appendRecord(b, recordState, number, s.durable, append(payload, s.id...))
		count++
	}
	return b, count
}

// restore is the other direction: it makes the streams of a snapshot.
func (x *index) restore(f *logFile, off int64, body []byte, newStream func(id string) *Stream) error {
	for len(body) > 0 {
		r, rest, ok := decodeRecord(body)
		if !ok || r.kind != recordState || len(r.data) < 8 || r.stream >= x.durableNext || x.byNumber[r.stream] != nil {
			return f.corrupted(off, "snapshot doesn't decode")
		}
		s := newStream(string(r.data[8:]))
		if s == nil {
			return f.corrupted(off, fmt.Sprintf("stream %q is in a snapshot twice", r.data[8:]))
		}
		s.number, s.bound, s.known, s.durable = r.stream, true, true, r.pos
		s.released = binary.LittleEndian.Uint64(r.data)
		x.byNumber[r.stream] = s
		body = rest
	}
	return nil
}

// encodeSeal returns the index of one file: the extents of each stream in it.
func (x *index) encodeSeal(f *logFile) (body []byte, count uint32) {
	for _, number := range slices.Sorted(maps.Keys(x.byNumber)) {
		var mine []extent
		for _, e := range x.byNumber[number].extents {
			if e.file == f {
				mine = append(mine, e)
			}
		}
		if len(mine) == 0 {
			continue
		}
		count++
		body = binary.AppendUvarint(body, uint64(number))
		body = binary.AppendUvarint(body, uint64(len(mine)))
		for _, e := range mine {
			body = binary.AppendUvarint(body, e.base.Epoch)
			body = binary.AppendUvarint(body, e.base.Chain)
			body = binary.AppendUvarint(body, e.first)
			body = binary.AppendUvarint(body, e.last)
			body = binary.AppendUvarint(body, uint64(len(e.marks)))
			for _, m := range e.marks {
				body = binary.AppendUvarint(body, m.seq)
				body = binary.AppendUvarint(body, uint64(m.off))
			}
		}
	}
	return body, count
}

// decodeSeal adds the extents of a file to those of older files. The seal's
// checksum holds, but nothing is taken for granted.
func decodeSeal(f *logFile, b *batch, into map[uint32][]extent) error {
	bad := f.corrupted(b.off, "index of the file doesn't decode")
	r := varints{rest: b.body}
	for range b.count {
		number := uint32(r.next())
		for range r.count() {
			e := extent{file: f, base: Position{Epoch: r.next(), Chain: r.next()}, first: r.next(), last: r.next()}
			e.base.Seq = e.first - 1
			for range r.count() {
				e.marks = append(e.marks, mark{r.next(), int64(r.next())})
			}
			if r.failed || !e.sound(b.off) {
				return bad
			}
			into[number] = append(clip(into[number], e.first-1), e)
		}
		if r.failed {
			return bad
		}
	}
	if len(r.rest) != 0 {
		return bad
	}
	return nil
}

// sound says whether the numbers of an extent make sense in a file of which the
// records end at an offset.
func (e *extent) sound(end int64) bool {
	if e.first > e.last || e.first == 0 || len(e.marks) == 0 || e.marks[0].seq != e.first {
		return false
	}
	for i, m := range e.marks {
		if m.off < fileHeaderSize || m.off >= end || m.seq > e.last || i > 0 && m.seq <= e.marks[i-1].seq {
			return false
		}
	}
	return true
}

// varints takes numbers off a body; after the first one that isn't there it gives
// zeros.
type varints struct {
	rest   []byte
	failed bool
}

func (r *varints) next() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.failed || n <= 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count is a number of things of at least two bytes each.
func (r *varints) count() uint64 {
	n := r.next()
	if n > uint64(len(r.rest))/2 {
		r.failed = true
		return 0
	}
	return n
}
