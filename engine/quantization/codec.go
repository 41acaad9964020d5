package quantization

import (
	"unsafe"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// metric is what the scores of a codec estimate.
type metric uint8

const (
	metricL2  metric = iota + 1 // Σ (q−x)²
	metricDot                   // −Σ q·x
)

// Codec encodes vectors and prepares queries. See [Train].
type Codec struct {
	kernels *distance.Kernels
	kind    Kind
	metric  metric
	dim     int
	seed    uint64
	// step is the width of a level of Uniform7.
	step float32
	// unit is the squared length that all rows have, where the codec relies on it;
	// otherwise 0.
	unit float64
	// planes is the number of bits of a query's component, for the Bits kinds.
	planes int
	// expected is what the sample of the training drifted from its own codec.
	expected Fit
	// mean is the rotated mean of the sample.
	mean []float32
	// meanNorm is Σ mean².
	meanNorm float32

	rotation *rotation
	segments []segment
}

// Kind returns the form of the codes.
func (c *Codec) Kind() Kind { return c.kind }

// Dim returns the dimension of the vectors.
func (c *Codec) Dim() int { return c.dim }

// RowSize returns the bytes of a row of codes: rows lie at multiples of it. For 7
// and 4 bits it is a multiple of 64, for fewer of 8.
func (c *Codec) RowSize() int {
	switch c.kind {
	case Scaled4:
		return pad(c.dim, 2*distance.CodeAlign) / 2
	case Bits1, Bits15, Bits2:
		n := 0
		for _, s := range c.segments {
			n = max(n, s.offset+s.bytes)
		}
		return n
	case Uniform7, Scaled7:
	}
	return pad(c.dim, distance.CodeAlign)
}

// FactorSize returns the bytes of factors that are kept per row beside its code:
// 8, or 0 for Uniform7.
func (c *Codec) FactorSize() int {
	if c.kind == Uniform7 {
		return 0
	}
	return int(unsafe.Sizeof(factors{}))
}

// factors of a row turn the integer sum over its code into a distance:
// a constant + bias + scale·(integer sum in the query's units). They are kept in an
// array of their own: beside the code they would take a cache line more for the
// sizes that matter (128 components of 7 bits, 768 of 4), and in the array eight
// rows share a line.
type factors struct {
	// bias is Σ w² for L2, −Σ mean·w for Dot, where w is the rotated row less the mean.
	bias float32
	// scale s makes s·code the estimate of w that has the right inner product with
	// w itself: s = Σ w² / Σ w·code. That removes the shrinkage which rounding to
	// few levels brings (Gao and Long, "RaBitQ", 2024).
	scale float32
}

// Rows is where codes and factors of rows are: row i has its code at
// Codes + i·RowSize and its factors at Factors + i·FactorSize. It is the caller's
// memory: that of a [Store], or mapped.
type Rows struct {
	Codes   unsafe.Pointer
	Factors unsafe.Pointer
}

func (c *Codec) row(r Rows, id uint32) []byte {
	n := c.RowSize()
	return unsafe.Slice((*byte)(unsafe.Add(r.Codes, int(id)*n)), n)
}

func factorsOf(r Rows, id uint32) *factors {
	return (*factors)(unsafe.Add(r.Factors, int(id)*int(unsafe.Sizeof(factors{}))))
}

// middle is the code of zero: a code u stands for u − middle.
func (c *Codec) middle() float32 {
	if c.kind == Scaled4 {
		return 7.5
	}
	return 64
}

// segment is a run of bits of a row of a Bits kind that is scored by one call.
type segment struct {
	offset int // in the row, bytes
	bytes  int
	from   int // first component
	count  int // components
	start  int // bytes of a plane of the query before this run of components
	plane  int // 1 = the sign, 0 = the finer bit
	// weight is what a set bit is worth in units of the code, where a clear bit is
	// worth nothing; level is what is subtracted for every component, counted in
	// the sign's segment only.
	weight, level float32
}

// The levels of 2-bit codes are ±1 and ±3 half steps. The step that loses least
// for normally distributed components is 0.9957 σ, and a sign alone stands for
// ±0.7979 σ (Max, "Quantizing for minimum distortion", 1960).
const (
	halfStep2  = 0.9957 / 2
	signLevel  = 0.7979
	signInHalf = signLevel / halfStep2
)

// layout makes the segments of the Bits kinds.
func layout(kind Kind, dim int) []segment {
	switch kind {
	case Bits1:
		return []segment{{bytes: bitBytes(dim), count: dim, plane: 1, weight: 2, level: 1}}
	case Bits2:
		b := bitBytes(dim)
		return []segment{
			{bytes: b, count: dim, plane: 1, weight: 4, level: 3},
			{offset: b, bytes: b, count: dim, plane: 0, weight: 2},
		}
	case Bits15:
		fine := min(dim, pad((dim+1)/2, 8*distance.BitAlign))
		b, rest := bitBytes(fine), bitBytes(dim-fine)
		s := []segment{
			{bytes: b, count: fine, plane: 1, weight: 4, level: 3},
			{offset: b, bytes: b, count: fine, plane: 0, weight: 2},
		}
		if rest > 0 {
			s = append(s, segment{
				offset: 2 * b, bytes: rest, from: fine, count: dim - fine, start: b, plane: 1,
				weight: 2 * signInHalf, level: signInHalf,
			})
		}
		return s
	case Uniform7, Scaled7, Scaled4:
	}
	return nil
}

// shrinkage is the squared cosine between a row and its code, for normally
// distributed components: how much of a row its code explains. A row that serves
// as query is the projection of the row on its code.
func (c *Codec) shrinkage() float32 {
	switch c.kind {
	case Bits1:
		return 0.6366
	case Bits15:
		return 0.7589
	case Bits2:
		return 0.8812
	case Scaled4:
		return 0.9885
	case Uniform7, Scaled7:
	}
	return 1
}

func pad(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }
