package simulation

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/sextantdb/sextant/cluster/replication"
)

// pointIDs is how many points a shard may have.
const pointIDs = 6

// value is what a point has: b is the field that updates change.
type value struct {
	there bool
	a, b  uint32
}

// points is the state of a shard: a function of the log up to an entry.
type points [pointIDs]value

// verb is what a write does to a point.
type verb uint8

const (
	put    verb = iota // a = v, b = 0
	set                // b = v, if it is there
	remove             //
	setOdd             // b = v, if it is there and a is odd: what depends on state
	verbs
)

// change is a write as clients ask for it.
type change struct {
	verb verb
	ids  []uint8
	v    uint32
}

func (c *change) encode() []byte {
	b := append([]byte{byte(c.verb)}, binary.LittleEndian.AppendUint32(nil, c.v)...)
	return append(b, c.ids...)
}

func decodeChange(b []byte) change {
	return change{verb: verb(b[0]), v: binary.LittleEndian.Uint32(b[1:]), ids: b[5:]}
}

// after returns what a point is after a change.
func (c *change) after(old value) value {
	switch c.verb {
	case put:
		return value{there: true, a: c.v}
	case remove:
		return value{}
	case set, setOdd:
		if old.there && (c.verb == set || old.a%2 == 1) {
			old.b = c.v
		}
	default:
	}
	return old
}

// apply applies an entry of the log.
func (p *points) apply(e *replication.Entry) {
	if e.Kind != replication.Data {
		return
	}
	c := decodeChange(e.Body)
	for _, id := range c.ids {
		p[id] = c.after(p[id])
	}
}

// found is what a search answers.
type found struct {
	id uint8
	value
}

// search returns the points with b of a parity that are nearest to a place, as an index
// would find them: it keeps the best while it looks.
func (p *points) search(near uint32, odd bool, limit int) (best []found) {
	for id, v := range p {
		if !v.there || v.b%2 == 1 != odd {
			continue
		}
		at := len(best)
		for at > 0 && distance(v.a, near) < distance(best[at-1].a, near) {
			at--
		}
		if best = slices.Insert(best, at, found{uint8(id), v}); len(best) > limit {
			best = best[:limit]
		}
	}
	return best
}

// oracle is search by brute force.
func (p *points) oracle(near uint32, odd bool, limit int) (all []found) {
	for id, v := range p {
		all = append(all, found{uint8(id), v})
	}
	all = slices.DeleteFunc(all, func(f found) bool { return !f.there || f.b%2 == 1 != odd })
	slices.SortStableFunc(all, func(x, y found) int { return cmp.Compare(distance(x.a, near), distance(y.a, near)) })
	return all[:min(limit, len(all))]
}

func distance(a, b uint32) uint32 { return max(a, b) - min(a, b) }

// mix hashes numbers on top of a hash.
func mix(h uint64, vs ...uint64) uint64 {
	for _, v := range vs {
		h = (h ^ v) * 0x9E3779B97F4A7C15
		h ^= h >> 29
	}
	return h
}

// follow returns the chain value of an entry behind a position.
func follow(prev replication.Position, e *replication.Entry) uint64 {
	h := mix(prev.Chain, e.Epoch, e.Seq, uint64(e.Kind), uint64(e.Op.Peer), e.Op.Incarnation, e.Op.Counter)
	for _, b := range e.Body {
		h = mix(h, uint64(b))
	}
	return h | 1
}
