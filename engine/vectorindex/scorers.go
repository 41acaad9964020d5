package vectorindex

import (
	"bytes"
	"math"
	"unsafe"

	"github.com/sextantdb/sextant/engine/quantization"
)

// rawScorer measures the distances of rows by their raw vectors. The rows of a
// batch may lie in several chunks: each run within one chunk is a call of the
// kernel. After a read of a damaged file err is set, and distances mean nothing.
type rawScorer struct {
	v     *view
	query rawQuery
	local []uint32
	err   error
}

// Score is the method of hnsw.Scorer.
func (s *rawScorer) Score(rows []uint32, out []float32) {
	f := s.v.gen.f
	mask := uint32(1)<<f.shift - 1
	for len(rows) > 0 {
		at := rows[0] >> f.shift
		if at >= uint32(len(s.v.chunks)) {
			// The graph got the row after this view was taken. No need to go there: it
			// belongs to the tail, which is scanned.
			out[0] = float32(math.Inf(1))
			rows, out = rows[1:], out[1:]
			continue
		}
		c := s.v.chunks[at]
		s.local = s.local[:0]
		for _, row := range rows {
			if row>>f.shift != at {
				break
			}
			if err := c.check(f, row&mask); err != nil {
				s.err = err
			}
			s.local = append(s.local, row&mask)
		}
		n := len(s.local)
		s.query.distances(c.base, s.local, out[:n])
		rows, out = rows[n:], out[n:]
	}
}

// Ask is the method of hnsw.Scorer.
func (s *rawScorer) Ask(rows []uint32) {
	f := s.v.gen.f
	lines := (f.stride + 63) / 64
	if lines > 2*prefetched {
		lines = streamed
	}
	lines = min(lines, prefetched)
	for _, row := range rows {
		if row>>f.shift < uint32(len(s.v.chunks)) {
			f.kernels.Prefetch(s.v.address(row), lines)
		}
	}
}

const (
	// prefetched is the most cache lines of a raw row that are asked for early: in rows of
	// 8 or 16 lines the hardware sees no stream in time. Asked for 4 or 6 of 8, a narrow
	// search took 8 per cent longer.
	prefetched = 16
	// streamed is how many are asked for of rows so long that it does: of 48 more than 8
	// took a little longer.
	streamed = 4
)

// scoreRange measures a run of rows within one chunk.
func (s *rawScorer) scoreRange(first uint32, out []float32) {
	f := s.v.gen.f
	c, at := s.v.chunks[first>>f.shift], first&(1<<f.shift-1)
	if err := c.checkRange(f, at, uint32(len(out))); err != nil {
		s.err = err
	}
	s.query.distancesRange(c.base, at, out)
}

// equalRows tells whether two rows hold the same bytes.
func (v *view) equalRows(a, b uint32) bool {
	n := v.gen.f.stride
	return bytes.Equal(unsafe.Slice((*byte)(v.address(a)), n), unsafe.Slice((*byte)(v.address(b)), n))
}

// rawBuilder scores rows against rows by raw vectors, for building a graph.
type rawBuilder struct{ rawScorer }

// SetRow is the method of hnsw.BuildScorer.
func (b *rawBuilder) SetRow(row uint32) { b.query.prepareRow(b.v.gen.f, b.v.address(row)) }

// Equal is the method of hnsw.BuildScorer.
func (b *rawBuilder) Equal(x, y uint32) bool { return b.v.equalRows(x, y) }

// codeBuilder does the same by codes.
type codeBuilder struct {
	*quantization.Query
	v *view
}

// SetRow is the method of hnsw.BuildScorer.
func (b codeBuilder) SetRow(row uint32) { b.PrepareRow(row) }

// Equal is the method of hnsw.BuildScorer.
func (b codeBuilder) Equal(x, y uint32) bool { return b.v.equalRows(x, y) }
