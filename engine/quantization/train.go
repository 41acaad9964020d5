package quantization

import (
	"fmt"
	"math"
	"slices"

	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vector/distance"
)

// Options say for which vectors a codec is made.
type Options struct {
	Kernels  *distance.Kernels
	Dim      int
	Distance vector.Distance
	Config   Config
	// Seed makes the rotation. Any value will do; the codec remembers it.
	Seed uint64
}

// SampleSize is the number of rows from which a codec is trained well; more don't
// help.
const SampleSize = 4096

// How much the lengths of centred rows may differ for one step to fit all: the
// long ones set the step, and short ones keep log2 of this fewer bits.
const homogeneousRatio = 3

// How far the lengths of raw rows may be from equal for an inner product to be
// ordered by the distance: squared lengths, relative.
const equalLengths = 1e-3

// maxClipped is the share of components beyond the outermost levels of Uniform7.
// Fewer would widen all levels for the sake of some; the error that clipping adds
// to a distance grows faster than what finer levels save.
const maxClipped = 1.0 / 10000

// Train chooses the codec for a configuration and a sample and trains it. sample
// holds rows of Dim components one after the other, as they are stored
// (normalised for Cosine), best SampleSize of them taken at random; rows with
// NaN or infinities are ignored.
//
// It returns ErrNoCodec for Manhattan, ErrConfig or ErrSample when those are not
// valid.
func Train(sample []float32, o Options) (*Codec, error) {
	bits, err := o.Config.bits(o.Dim)
	if err != nil {
		return nil, err
	}
	if o.Dim <= 0 || len(sample) == 0 || len(sample)%o.Dim != 0 {
		return nil, fmt.Errorf("train codec on %d numbers of dimension %d: %w", len(sample), o.Dim, ErrSample)
	}
	c := &Codec{kernels: o.Kernels.Asked(), dim: o.Dim, seed: o.Seed, planes: o.Config.QueryEncoding.planes()}
	switch o.Distance {
	case vector.Euclid:
		c.metric = metricL2
	case vector.Cosine, vector.Dot:
		c.metric = metricDot
	case vector.Manhattan:
		return nil, fmt.Errorf("train codec: %w", ErrNoCodec)
	default:
		return nil, fmt.Errorf("train codec for distance %d: %w", o.Distance, ErrNoCodec)
	}
	c.kind = map[Bits]Kind{
		OneBit: Bits1, OneAndHalfBits: Bits15, TwoBits: Bits2, FourBits: Scaled4, SevenBits: Scaled7,
	}[bits]
	c.init()
	s := c.center(sample)
	if bits == SevenBits {
		c.tryUniform(s, o.Config.Quantile)
	}
	c.measure(s)
	return c, nil
}

// init makes what follows from the parameters.
func (c *Codec) init() {
	c.rotation = newRotation(c.kernels, c.dim, c.seed)
	c.segments = layout(c.kind, c.dim)
}

// centred is a sample, rotated, less its mean.
type centred struct {
	rows    []float32
	raw     []float64 // squared lengths of the rows as they came
	lengths []float64 // squared lengths of the centred rows
}

// center rotates the finite rows of a sample, and takes and subtracts the mean.
func (c *Codec) center(sample []float32) centred {
	var s centred
	sum := make([]float64, c.dim)
	for i := 0; i < len(sample); i += c.dim {
		n := norm(sample[i : i+c.dim])
		if math.IsNaN(n) || n > maxNorm {
			continue
		}
		at := len(s.rows)
		s.rows = append(s.rows, sample[i:i+c.dim]...)
		row := s.rows[at:]
		c.rotation.apply(row)
		for j, x := range row {
			sum[j] += float64(x)
		}
		s.raw = append(s.raw, n)
	}
	c.mean = make([]float32, c.dim)
	for j, x := range sum {
		c.mean[j] = float32(x / float64(max(1, len(s.raw))))
	}
	c.meanNorm = float32(norm(c.mean))
	for i := 0; i < len(s.rows); i += c.dim {
		row := s.rows[i : i+c.dim]
		for j := range row {
			row[j] -= c.mean[j]
		}
		s.lengths = append(s.lengths, norm(row))
	}
	return s
}

// tryUniform makes the codec Uniform7 where that fits the sample.
func (c *Codec) tryUniform(s centred, quantile float32) {
	if c.metric == metricDot && spread(s.raw, 0, 1) > 1+equalLengths {
		return
	}
	if spread(s.lengths, 0.1, 0.999) > homogeneousRatio*homogeneousRatio {
		return
	}
	c.step = c.fallbackStep()
	if n := len(s.rows); n > 0 {
		keep := max(1-maxClipped, float64(quantile))
		if limit := magnitude(s.rows, min(n-1, int(keep*float64(n)))); limit > 0 {
			c.step = limit / 63
		}
	}
	if c.metric == metricDot {
		c.unit = 1 // of no rows
		if len(s.raw) > 0 {
			c.unit = s.raw[0]
		}
	}
	c.kind, c.metric = Uniform7, metricL2
}

// magnitude returns the magnitude that as many finite numbers as at don't exceed, in any order: what sorting them
// by it would put at that position. It sorts only those that share the upper half of its bits.
func magnitude(numbers []float32, at int) float32 {
	const sign, half = 1 << 31, 16
	counts := make([]uint32, sign>>half)
	for _, x := range numbers {
		counts[math.Float32bits(x)&^sign>>half]++
	}
	upper := 0
	for ; at >= int(counts[upper]); upper++ {
		at -= int(counts[upper])
	}
	among := make([]uint32, 0, counts[upper])
	for _, x := range numbers {
		if b := math.Float32bits(x) &^ sign; int(b>>half) == upper {
			among = append(among, b)
		}
	}
	slices.Sort(among)
	return math.Float32frombits(among[at])
}

// fallbackStep is the step for a sample of equal rows: small against the mean, so
// that rows which do differ are told apart until they ask for a new training.
func (c *Codec) fallbackStep() float32 {
	if s := float32(math.Sqrt(float64(c.meanNorm)/float64(c.dim))) / 256; s > 0 {
		return s
	}
	return 1.0 / 64
}

// measure remembers how well the codec fits the sample it was trained on.
func (c *Codec) measure(s centred) {
	e := c.NewEncoder()
	row, f := make([]byte, c.RowSize()), factors{}
	for i := 0; i < len(s.rows); i += c.dim {
		copy(e.buffer, s.rows[i:i+c.dim])
		clear(row)
		e.encodeCentred(s.raw[i/c.dim], row, &f)
	}
	c.expected = e.Fit
}

// Alike tells whether codes by another codec for the same configuration would hardly differ, so that rows needn't
// be encoded again: steps differ by a twentieth at most, which is about the noise of a sample, and the means by less than a
// step. Only for Uniform7 is that known.
func (c *Codec) Alike(other *Codec) bool {
	if c.kind != Uniform7 || other.kind != Uniform7 || c.dim != other.dim || c.seed != other.seed ||
		math.Abs(c.unit-other.unit) > equalLengths*c.unit {
		return false
	}
	var moved float64
	for i, x := range c.mean {
		d := float64(x - other.mean[i])
		moved += d * d
	}
	step := float64(c.step)
	return math.Abs(step-float64(other.step)) <= step/20 && moved <= float64(c.dim)*step*step
}

// spread returns the ratio between two quantiles of positive numbers; it is
// infinite when the lower is zero and the higher is not.
func spread(numbers []float64, low, high float64) float64 {
	if len(numbers) == 0 {
		return 1
	}
	sorted := slices.Sorted(slices.Values(numbers))
	at := func(q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }
	if at(high) == 0 {
		return 1
	}
	return at(high) / at(low)
}

// maxNorm is the largest squared length that is encoded; beyond it float32
// arithmetic overflows.
const maxNorm = 1e37

// norm returns Σ v². Four sums, so that additions don't wait for each other.
func norm(v []float32) float64 {
	var s0, s1, s2, s3 float64
	for len(v) >= 4 {
		s0 += float64(v[0]) * float64(v[0])
		s1 += float64(v[1]) * float64(v[1])
		s2 += float64(v[2]) * float64(v[2])
		s3 += float64(v[3]) * float64(v[3])
		v = v[4:]
	}
	for _, x := range v {
		s0 += float64(x) * float64(x)
	}
	return (s0 + s1) + (s2 + s3)
}
