package oplog

import "fmt"

// What can be said of a batch that isn't what was written. Its directory says which
// streams it has records of; the index counts those as there. A data record proves
// itself by its chain value, so reading finds out which of them are damaged.

// verified says whether a data record is the one that follows p.
func (p Position) verified(r record) bool {
	return p.Follow(r.pos.Epoch, p.Seq+1, Sum(r.data)) == r.pos
}

// applyDirectory brings the index up to date with a damaged batch.
func (x *index) applyDirectory(f *logFile, b *batch, newStream func(id string) *Stream) error {
	for rest := b.directory; len(rest) > 0; {
		r, behind, ok := decodeRecord(rest)
		if !ok {
			return f.corrupted(b.off, "directory of a batch doesn't decode")
		}
		if r.kind != recordLast {
			if err := x.apply(f, b.off, rest[:len(rest)-len(behind)], true, newStream); err != nil {
				return err
			}
		} else if s := x.byNumber[r.stream]; s == nil || !s.known || r.pos.Seq <= s.durable.Seq || r.pos.Epoch < s.durable.Epoch {
			return f.corrupted(b.off, fmt.Sprintf("directory has record %d of stream %d", r.pos.Seq, r.stream))
		} else {
			s.extend(f, b.off, s.durable.Seq+1, len(b.body))
			s.extents[len(s.extents)-1].last = r.pos.Seq
			s.durable = r.pos
		}
		rest = behind
	}
	return nil
}

// lostHeader tells what the batch was whose header isn't sound: the batch behind has
// its checksum and says where it ended. When the header can be made again so that it
// has that checksum, the batch is as it was written; otherwise it is framed, and
// damaged. Nothing was lost when there is no batch behind, or a directory that
// isn't sound.
func (r *batchReader) lostHeader() (b *batch, healed bool, err error) {
	next, off, found, err := nextBatch(r.file, r.at, r.off, r.end)
	if err != nil || !found || r.prev != nil && next.number != r.prev.number+2 || off-r.off < batchHeaderSize {
		return nil, false, err
	}
	body := make([]byte, off-r.off-batchHeaderSize)
	if _, err := r.at.ReadAt(body, r.off+batchHeaderSize); err != nil {
		return nil, false, err
	}
	at := r.file.place(r.off)
	records, directory, ok := cutDirectory(body, at)
	if !ok {
		return nil, false, nil
	}
	h := batchHeader{
		kind: batchRecords, number: next.number - 1, bodyLen: uint32(len(body)), bodySum: checksum(records),
		sum: next.prevSum,
	}
	if r.off == fileHeaderSize {
		h.kind = batchSnapshot
	}
	if r.prev != nil {
		h.prevSum = r.prev.sum
	}
	head := make([]byte, batchHeaderSize)
	if h.count, ok = countRecords(records); ok && r.prev != nil {
		healed = h.put(head, at) == next.prevSum
	}
	b = &batch{batchHeader: h, off: r.off, body: records, directory: directory, size: int64(len(body))}
	if healed {
		b.healed = head
	}
	return b, healed, nil
}
