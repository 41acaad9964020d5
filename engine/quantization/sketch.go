package quantization

import (
	"encoding/binary"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// sketched is the number of components whose signs make a sketch: the first ones, as
// after the rotation all are alike.
const sketched = 128

// Sketches tells whether codes have sketches that say something: codes of seven or four
// bits, of enough components.
func (c *Codec) Sketches() bool { return c.dim >= sketched/2 && len(c.segments) == 0 }

// Sketch returns the signs of the components of the query, less the mean.
func (q *Query) Sketch() distance.Sketch {
	if q.codec.kind == Uniform7 {
		return q.codec.signs(q.own, 6, 0)
	}
	return q.codec.signs(q.own, 7, ^uint64(0)) // whole numbers, negative if the bit is set
}

// Sketch returns the signs of the components of a row, less the mean.
func (c *Codec) Sketch(rows Rows, id uint32) distance.Sketch {
	row := c.row(rows, id)
	if c.kind != Scaled4 {
		return c.signs(row, 6, 0)
	}
	var signed [sketched]byte
	unpackSigned4(signed[:], row[:sketched/2])
	return c.signs(signed[:], 7, ^uint64(0))
}

// signs gathers one bit of the byte of each component, turned around by invert.
func (c *Codec) signs(code []byte, bit uint, invert uint64) (s distance.Sketch) {
	for i := 0; i < min(c.dim, sketched); i += 8 {
		x := binary.LittleEndian.Uint64(code[i:]) >> bit & 0x0101010101010101
		s[i/64] |= x * 0x0102040810204080 >> 56 << (i % 64)
	}
	for i := range s {
		used := min(max(c.dim-64*i, 0), 64)
		s[i] = (s[i] ^ invert) & (1<<used - 1)
	}
	return s
}
