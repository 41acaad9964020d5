package quantization

import (
	"math"
	"math/bits"
	"math/rand/v2"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// rotation is a random orthogonal transformation of vectors of any dimension, in
// O(d log d).
//
// It is made of Hadamard transforms with random signs (Ailon and Chazelle, "The
// fast Johnson–Lindenstrauss transform", 2009). A Hadamard transform needs a power
// of two; rather than pad (768 to 1024: a third more code), one transform covers
// the first P components and one the last P, where P is the largest power of two
// not above the dimension. They overlap, since P > d/2, so in two rounds every
// component reaches every other.
type rotation struct {
	kernels *distance.Kernels
	dim     int
	block   int         // P
	signs   [][]float32 // of each transform, ±1/√P
	from    []int       // where each transform starts
}

const rotationRounds = 2

func newRotation(k *distance.Kernels, dim int, seed uint64) *rotation {
	r := &rotation{kernels: k, dim: dim, block: 1 << (bits.Len(uint(dim)) - 1)}
	random := rand.New(rand.NewPCG(seed, uint64(dim)))
	for range rotationRounds {
		r.add(random, 0)
		if r.block < dim {
			r.add(random, dim-r.block)
		}
	}
	return r
}

func (r *rotation) add(random *rand.Rand, from int) {
	signs := make([]float32, r.block)
	length := float32(1 / math.Sqrt(float64(r.block)))
	var word uint64
	for i := range signs {
		if i%64 == 0 {
			word = random.Uint64()
		}
		signs[i] = length
		if word>>(i%64)&1 != 0 {
			signs[i] = -length
		}
	}
	r.signs = append(r.signs, signs)
	r.from = append(r.from, from)
}

// apply rotates v in place.
func (r *rotation) apply(v []float32) {
	for i, signs := range r.signs {
		r.kernels.Hadamard(v[r.from[i]:r.from[i]+r.block], signs)
	}
}
