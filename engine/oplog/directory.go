package oplog

import "encoding/binary"

// A directory says, at the end of a batch and under a checksum of its own, what the
// batch means for the streams. So damage to the records leaves no doubt about which
// streams it concerns, and damage to the directory concerns none.

// hasDirectory tells whether batches of a kind end with one.
func (k batchKind) hasDirectory() bool { return k == batchRecords || k == batchSnapshot }

// appendDirectory adds to a batch that will be at a place the directory of its
// records: a copy of all but data records, and the last position of each stream that
// has data records.
func appendDirectory(b []byte, at place) []byte {
	begin := len(b)
	var order []uint32
	last := map[uint32]Position{}
	flush := func(stream uint32) {
		if pos, ok := last[stream]; ok {
			b = appendRecord(b, recordLast, stream, pos, nil)
			delete(last, stream)
		}
	}
	for body := b[batchHeaderSize:begin]; len(body) > 0; {
		r, rest, ok := decodeRecord(body)
		if !ok {
			break // never: the log has encoded it
		}
		body = rest
		if r.kind != recordData {
			flush(r.stream) // a drop ends what was written before it
			b = appendRecord(b, r.kind, r.stream, r.pos, r.data)
			continue
		}
		if _, ok := last[r.stream]; !ok {
			order = append(order, r.stream)
		}
		last[r.stream] = r.pos
	}
	for _, stream := range order {
		flush(stream)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(b)-begin+directoryTail))
	return binary.LittleEndian.AppendUint32(b, at.sum(b[begin:]))
}

// cutDirectory divides the body of the batch at a place into records and directory;
// false when the directory isn't sound.
func cutDirectory(body []byte, at place) (records, directory []byte, ok bool) {
	if len(body) < directoryTail {
		return nil, nil, false
	}
	tail := body[len(body)-directoryTail:]
	n := binary.LittleEndian.Uint32(tail)
	if n < directoryTail || int64(n) > int64(len(body)) {
		return nil, nil, false
	}
	records, directory = body[:len(body)-int(n)], body[len(body)-int(n):]
	if at.sum(directory[:n-4]) != binary.LittleEndian.Uint32(tail[4:]) {
		return nil, nil, false
	}
	return records, directory[:n-directoryTail], true
}

// firstRecords returns the first records of a body, as many as count; false when they
// don't decode.
func firstRecords(body []byte, count uint32) ([]byte, bool) {
	rest := body
	for ; count > 0; count-- {
		var ok bool
		if _, rest, ok = decodeRecord(rest); !ok {
			return nil, false
		}
	}
	return body[:len(body)-len(rest)], true
}

// countRecords returns how many records a body is; false when they don't decode.
func countRecords(body []byte) (n uint32, ok bool) {
	for len(body) > 0 {
		if _, body, ok = decodeRecord(body); !ok {
			return 0, false
		}
		n++
	}
	return n, true
}
