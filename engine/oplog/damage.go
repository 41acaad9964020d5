package oplog

import (
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// What can be said of a batch with a sound header and a body that isn't what was
// written. A record proves itself by its chain value, which depends on all that it
// has but its stream's number, and that only fits in one stream. A record that
// doesn't is damaged; which stream it is of is believed when everything else about
// it fits. The index then counts it as there, and reading meets the damage.

// verified says whether a data record is the one that follows p.
func (p Position) verified(r record) bool {
	return p.follow(r.pos.Epoch, p.Seq+1, xxhash.Sum64(r.data)) == r.pos
}

// confinable tells whether it is certain which streams a damaged body is damage to:
// when it consists of as many data records as its header says, to the last byte,
// each with the number that comes next in its stream. Records that begin or end
// streams prove nothing, so there may be none.
func (x *index) confinable(body []byte, count uint32) bool {
	at := map[uint32]Position{}
	position := func(number uint32) (Position, bool) {
		if p, ok := at[number]; ok {
			return p, true
		}
		s := x.byNumber[number]
		if s == nil || !s.known {
			return Position{}, false
		}
		return s.durable, true
	}
	for ; len(body) > 0; count-- {
		r, rest, ok := decodeRecord(body)
		if !ok || r.kind != recordData || count == 0 {
			return false
		}
		body = rest
		p, ok := position(r.stream)
		if !ok || r.pos.Seq != p.Seq+1 || r.pos.Epoch < p.Epoch {
			return false
		}
		if !p.verified(r) {
			for other := range x.byNumber {
				if q, ok := position(other); ok && other != r.stream && q.verified(r) {
					return false // its stream's number is what is damaged
				}
			}
		}
		at[r.stream] = r.pos
	}
	return count == 0
}

// applyDamaged brings the index up to date with a body that is confinable.
func (x *index) applyDamaged(f *logFile, off int64, body []byte) error {
	for len(body) > 0 {
		r, rest, ok := decodeRecord(body)
		s := x.byNumber[r.stream]
		if !ok || s == nil {
			return f.corrupted(off, fmt.Sprintf("record of stream %d", r.stream))
		}
		s.doubtful = s.doubtful || !s.durable.verified(r)
		x.one(s, f, off, r, len(body)-len(rest))
		body = rest
	}
	return nil
}
