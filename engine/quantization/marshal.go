package quantization

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// The parameters as bytes; docs/format/codes.md has the table.
const (
	marshalMagic   = "SXQC"
	marshalVersion = 1
	marshalHeader  = 80
	maxDim         = 65536
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Marshal returns the codec's parameters, from which [Unmarshal] makes it again.
func (c *Codec) Marshal() []byte {
	b := make([]byte, 0, marshalHeader+4*c.dim+4)
	le := binary.LittleEndian
	b = append(b, marshalMagic...)
	b = le.AppendUint16(b, marshalVersion)
	b = append(b, byte(c.kind), byte(c.metric), byte(c.planes), 0, 0, 0)
	b = le.AppendUint32(b, uint32(c.dim))
	b = le.AppendUint64(b, c.seed)
	b = le.AppendUint32(b, math.Float32bits(c.step))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, math.Float64bits(c.unit))
	for _, x := range []uint64{c.expected.Rows, c.expected.Components, c.expected.Clipped, c.expected.Misfits} {
		b = le.AppendUint64(b, x)
	}
	b = append(b, make([]byte, marshalHeader-len(b))...)
	for _, x := range c.mean {
		b = le.AppendUint32(b, math.Float32bits(x))
	}
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// Unmarshal makes a codec from the result of Marshal. It returns ErrCorrupted when
// b isn't that.
func Unmarshal(b []byte, k *distance.Kernels) (*Codec, error) {
	le := binary.LittleEndian
	if len(b) < marshalHeader+4 || string(b[:4]) != marshalMagic {
		return nil, fmt.Errorf("read codec of %d bytes: %w", len(b), ErrCorrupted)
	}
	body := b[:len(b)-4]
	if crc32.Checksum(body, castagnoli()) != le.Uint32(b[len(b)-4:]) {
		return nil, fmt.Errorf("read codec: checksum differs: %w", ErrCorrupted)
	}
	if v := le.Uint16(b[4:]); v != marshalVersion {
		return nil, fmt.Errorf("read codec of version %d: %w", v, ErrCorrupted)
	}
	c := &Codec{
		kernels: k.Asked(),
		kind:    Kind(b[6]), metric: metric(b[7]), planes: int(b[8]),
		dim: int(le.Uint32(b[12:])), seed: le.Uint64(b[16:]),
		step: math.Float32frombits(le.Uint32(b[24:])),
		unit: math.Float64frombits(le.Uint64(b[32:])),
		expected: Fit{
			Rows: le.Uint64(b[40:]), Components: le.Uint64(b[48:]),
			Clipped: le.Uint64(b[56:]), Misfits: le.Uint64(b[64:]),
		},
	}
	if err := c.validate(len(body)); err != nil {
		return nil, err
	}
	c.mean = make([]float32, c.dim)
	for j := range c.mean {
		c.mean[j] = math.Float32frombits(le.Uint32(body[marshalHeader+4*j:]))
	}
	c.meanNorm = float32(norm(c.mean))
	c.init()
	return c, nil
}

// validate checks what a file said.
func (c *Codec) validate(size int) error {
	switch {
	case c.dim < 1 || c.dim > maxDim || size != marshalHeader+4*c.dim:
		return fmt.Errorf("read codec of dimension %d in %d bytes: %w", c.dim, size, ErrCorrupted)
	case c.kind < Uniform7 || c.kind > Bits2:
		return fmt.Errorf("read codec of %s: %w", c.kind, ErrCorrupted)
	case c.metric != metricL2 && c.metric != metricDot, c.kind == Uniform7 && c.metric != metricL2:
		return fmt.Errorf("read codec of metric %d: %w", c.metric, ErrCorrupted)
	case c.planes < 1 || c.planes > 8:
		return fmt.Errorf("read codec of %d planes: %w", c.planes, ErrCorrupted)
	case c.kind == Uniform7 && !(c.step > 0 && c.step < maxNorm):
		return fmt.Errorf("read codec of step %g: %w", c.step, ErrCorrupted)
	}
	return nil
}
