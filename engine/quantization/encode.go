package quantization

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// Fit counts how well encoded rows fit the codec.
type Fit struct {
	// Rows is how many rows were encoded.
	Rows uint64
	// Components is how many components they have, Clipped how many of those lie
	// beyond the outermost level of Uniform7.
	Components, Clipped uint64
	// Misfits is how many rows the codec can't serve: not finite, or of another
	// length than a codec that relies on equal lengths was trained for.
	Misfits uint64
}

// Add adds another count.
func (f *Fit) Add(g Fit) {
	f.Rows += g.Rows
	f.Components += g.Components
	f.Clipped += g.Clipped
	f.Misfits += g.Misfits
}

// minFitRows is the number of rows from which a misfit is believed.
const minFitRows = 1000

// Drifted tells whether rows encoded since the training no longer fit, so that the
// codec should be trained again: clipping four times as often as in the sample and
// for one component in 200, or one row in 100 is a misfit.
func (c *Codec) Drifted(f Fit) bool {
	if f.Rows < minFitRows {
		return false
	}
	share := float64(f.Clipped) / float64(max(1, f.Components))
	trained := float64(c.expected.Clipped) / float64(max(1, c.expected.Components))
	return share > max(1.0/200, 4*trained) || f.Misfits*100 > f.Rows
}

// Encoder encodes rows. It has buffers of its own: one for each goroutine.
type Encoder struct {
	codec  *Codec
	buffer []float32
	// Fit counts the rows encoded so far.
	Fit Fit
}

// NewEncoder returns an encoder.
func (c *Codec) NewEncoder() *Encoder {
	return &Encoder{codec: c, buffer: make([]float32, c.dim)}
}

// Encode writes the code and factors of v as row id. len(v) is the codec's
// dimension. The row's memory must not be read by others meanwhile.
func (e *Encoder) Encode(v []float32, rows Rows, id uint32) {
	row := e.codec.row(rows, id)
	clear(row)
	var unused factors
	f := &unused
	if e.codec.kind != Uniform7 {
		f = factorsOf(rows, id)
	}
	raw := e.codec.rotate(e.buffer, v)
	e.encodeCentred(raw, row, f)
}

// rotate writes v, rotated and less the mean, to w, and returns Σ v². A vector
// which isn't finite becomes the mean, with NaN returned.
func (c *Codec) rotate(w, v []float32) float64 {
	raw := norm(v)
	if math.IsNaN(raw) || raw > maxNorm {
		clear(w)
		return math.NaN()
	}
	copy(w, v)
	c.rotation.apply(w)
	c.kernels.Subtract(w, c.mean)
	return raw
}

// encodeCentred encodes e.buffer, the rotated row less the mean.
func (e *Encoder) encodeCentred(raw float64, row []byte, f *factors) {
	c, w := e.codec, e.buffer
	e.Fit.Rows++
	e.Fit.Components += uint64(c.dim)
	if c.misfit(raw) {
		e.Fit.Misfits++
	}
	if c.kind == Uniform7 {
		e.Fit.Clipped += uint64(c.kernels.ToU7(row, w, 1/c.step))
		return
	}
	length := norm(w)
	*f = factors{bias: float32(length)}
	if c.metric == metricDot {
		f.bias = -c.kernels.Dot(c.mean, w)
	}
	if math.IsNaN(raw) {
		*f = factors{bias: farBias(c.metric)}
	}
	var product float64 // Σ w·code
	switch c.kind {
	case Scaled7:
		product = encodeScaled7(c.kernels, row, w)
	case Scaled4:
		product = encodeScaled4(row, w)
	default:
		product = c.encodeBits(row, w, math.Sqrt(length/float64(c.dim)))
	}
	if product > 0 {
		f.scale = finite(length / product)
	}
}

// farBias puts a row which isn't finite behind all others.
func farBias(m metric) float32 {
	if m == metricL2 {
		return maxNorm
	}
	return math.MaxFloat32 / 4
}

func finite(x float64) float32 {
	if x > maxNorm || math.IsNaN(x) {
		return 0
	}
	return float32(x)
}

// misfit tells whether a row of squared length raw isn't one the codec is for.
func (c *Codec) misfit(raw float64) bool {
	return math.IsNaN(raw) || c.unit > 0 && math.Abs(raw-c.unit) > 2*equalLengths*c.unit
}

// encodeScaled7 writes codes of which the outermost is the largest component, and
// returns Σ w·(code−64).
func encodeScaled7(k *distance.Kernels, row []byte, w []float32) float64 {
	top := largest(w)
	if top == 0 {
		for j := range w {
			row[j] = 64
		}
		return 0
	}
	k.ToU7(row, w, 63/top)
	var product float64
	for j, x := range w {
		product += float64(x) * float64(int(row[j])-64)
	}
	return product
}

// shares of the largest component that are tried as the outermost 4-bit level:
// clipping a few components often pays at so few levels.
var shares = [...]float32{0.5, 0.6, 0.7, 0.8, 0.9, 1}

// encodeScaled4 writes 4-bit codes with the outermost level that keeps the code's
// direction nearest to the row's, and returns Σ w·(code−7.5).
func encodeScaled4(row []byte, w []float32) float64 {
	top := largest(w)
	if top == 0 {
		top = 1
	}
	best, bestInverse, bestProduct := -1.0, float32(0), 0.0
	for _, share := range shares {
		inverse := 7.5 / (top * share)
		var product, length float32
		for _, x := range w {
			u := float32(level4(x*inverse)) - 7.5
			product += x * u
			length += u * u
		}
		if cosine := float64(product) * float64(product) / float64(length); cosine > best {
			best, bestInverse, bestProduct = cosine, inverse, float64(product)
		}
	}
	for j, x := range w {
		u := level4(x * bestInverse)
		block, at := j/(2*distance.CodeAlign), j%(2*distance.CodeAlign)
		if at < distance.CodeAlign {
			row[block*distance.CodeAlign+at] |= u
		} else {
			row[block*distance.CodeAlign+at-distance.CodeAlign] |= u << 4
		}
	}
	return bestProduct
}

// level4 rounds to the 16 levels −7.5 … 7.5, counted from 0.
func level4(x float32) byte {
	x += 8
	if !(x >= 0) {
		return 0
	}
	if x >= 16 {
		return 15
	}
	return byte(int32(x))
}

// encodeBits writes the planes of a Bits kind and returns Σ w·code. sigma is the
// standard deviation of the components.
func (c *Codec) encodeBits(row []byte, w []float32, sigma float64) float64 {
	step := float32(2 * halfStep2 * sigma)
	var product float64
	for _, s := range c.segments {
		bits := row[s.offset:]
		for j, x := range w[s.from : s.from+s.count] {
			set := x >= 0
			if s.plane == 0 {
				// Levels −3, −1, 1, 3: the finer bit of 01 and 11.
				set = x >= step || x < 0 && x >= -step
			}
			value := -s.level
			if set {
				bits[j/8] |= 1 << (j % 8)
				value += s.weight
			}
			product += float64(x) * float64(value)
		}
	}
	return product
}

// largest returns the largest magnitude of finite numbers. Without the sign, their
// bits are ordered as they are.
func largest(w []float32) float32 {
	var top uint32
	for _, x := range w {
		top = max(top, math.Float32bits(x)&^(1<<31))
	}
	return math.Float32frombits(top)
}

// EncodeRange encodes the rows from…to−1 with several workers. source returns row
// id, in dst or elsewhere; it is called from all workers.
func (c *Codec) EncodeRange(rows Rows, from, to uint32, workers int, source func(id uint32, dst []float32) []float32) Fit {
	const batch = 256
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // mu guards total.
		total Fit
		next  atomic.Uint64
	)
	next.Store(uint64(from))
	for range max(1, min(workers, int(to-from)/batch+1)) {
		wg.Go(func() {
			e, dst := c.NewEncoder(), make([]float32, c.dim)
			for {
				lo := next.Add(batch) - batch
				if lo >= uint64(to) {
					break
				}
				for id := lo; id < min(lo+batch, uint64(to)); id++ {
					e.Encode(source(uint32(id), dst), rows, uint32(id))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total.Add(e.Fit)
		})
	}
	wg.Wait()
	return total
}
