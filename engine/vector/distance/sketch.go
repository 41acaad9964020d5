package distance

import "math/bits"

// Sketch is 128 bits of a vector, such that near vectors differ in few of them.
type Sketch [2]uint64

// NearestSketch returns the position of the first sketch that differs from q in the
// fewest bits, and −1 when there are none.
func (k *Kernels) NearestSketch(q Sketch, all []Sketch) int {
	if len(all) == 0 {
		return -1
	}
	if at, ok := k.nearestSketchNative(&q, all); ok {
		return at
	}
	best, least := 0, 129
	for i := range all {
		n := bits.OnesCount64(all[i][0]^q[0]) + bits.OnesCount64(all[i][1]^q[1])
		if n < least {
			best, least = i, n
		}
	}
	return best
}
