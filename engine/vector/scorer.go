package vector

import (
	"unsafe"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// Scorer scores raw rows of one datatype against one query, larger is better. It
// is made once per search (or kept in a pool and given a new query by Reset) and is
// for one goroutine at a time.
type Scorer struct {
	kernels  *distance.Kernels
	distance Distance
	datatype Datatype
	query    []float32
	bytes    []uint8
}

// NewScorer returns a scorer without a query.
func NewScorer(k *distance.Kernels, d Distance, t Datatype) *Scorer {
	return &Scorer{kernels: k, distance: d, datatype: t}
}

// Reset sets the query, which must stay unchanged while it is used, and must be
// normalised already where [Normalizes] says so. Queries against float16 rows stay
// in float32; against uint8 rows they become bytes as the rows did.
func (s *Scorer) Reset(query []float32) {
	s.query = query
	if s.datatype != Uint8 {
		return
	}
	if cap(s.bytes) < len(query) {
		s.bytes = make([]uint8, len(query))
	}
	s.bytes = s.bytes[:len(query)]
	ToBytes(s.bytes, query)
}

// Score writes the score of row ids[i], at base + ids[i]·stride bytes, to out[i].
func (s *Scorer) Score(base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k, q, b := s.kernels, s.query, s.bytes
	switch s.datatype {
	case Float16:
		switch s.distance {
		case Euclid:
			k.L2F16IDs(q, base, stride, ids, out)
		case Manhattan:
			k.L1F16IDs(q, base, stride, ids, out)
		default:
			k.DotF16IDs(q, base, stride, ids, out)
		}
	case Uint8:
		switch s.distance {
		case Euclid:
			k.L2U8IDs(b, base, stride, ids, out)
		case Manhattan:
			k.L1U8IDs(b, base, stride, ids, out)
		case Cosine:
			k.CosineU8IDs(b, base, stride, ids, out)
		default:
			k.DotU8IDs(b, base, stride, ids, out)
		}
	default:
		switch s.distance {
		case Euclid:
			k.L2IDs(q, base, stride, ids, out)
		case Manhattan:
			k.L1IDs(q, base, stride, ids, out)
		default:
			k.DotIDs(q, base, stride, ids, out)
		}
	}
	s.larger(out[:len(ids)])
}

// ScoreRange writes the score of row first+i to out[i].
func (s *Scorer) ScoreRange(base unsafe.Pointer, stride int, first uint32, out []float32) {
	k, q, b := s.kernels, s.query, s.bytes
	switch s.datatype {
	case Float16:
		switch s.distance {
		case Euclid:
			k.L2F16Range(q, base, stride, first, out)
		case Manhattan:
			k.L1F16Range(q, base, stride, first, out)
		default:
			k.DotF16Range(q, base, stride, first, out)
		}
	case Uint8:
		switch s.distance {
		case Euclid:
			k.L2U8Range(b, base, stride, first, out)
		case Manhattan:
			k.L1U8Range(b, base, stride, first, out)
		case Cosine:
			k.CosineU8Range(b, base, stride, first, out)
		default:
			k.DotU8Range(b, base, stride, first, out)
		}
	default:
		switch s.distance {
		case Euclid:
			k.L2Range(q, base, stride, first, out)
		case Manhattan:
			k.L1Range(q, base, stride, first, out)
		default:
			k.DotRange(q, base, stride, first, out)
		}
	}
	s.larger(out)
}

// larger turns distances into scores.
func (s *Scorer) larger(out []float32) {
	if s.distance != Euclid && s.distance != Manhattan {
		return
	}
	for i, x := range out {
		out[i] = -x
	}
}
