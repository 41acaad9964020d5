package distance

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// nativeTiers needs the dot product of bytes, which every server and laptop CPU
// since about 2018 has.
func nativeTiers() []Tier {
	if !cpu.ARM64.HasASIMD || !cpu.ARM64.HasASIMDDP {
		return nil
	}
	return []Tier{NEON}
}

func (k *Kernels) run(o op, a *args) {
	if k.tier != NEON {
		generic(o, a)
		return
	}
	switch n := rest(a, stepsNEON(o)); n {
	case a.n: // also when that is 0: kernels take one step at least
		generic(o, a)
	case 0:
		callNEON(o, a)
	default:
		a.n -= n
		callNEON(o, a)
		a.n += n
		addRest(o, a, n)
	}
}

// stepsNEON is the number of elements of a row that kernels take at a time.
func stepsNEON(o op) int {
	switch o {
	case dotF32, l2F32, l1F32, dotF16, l2F16, l1F16:
		return 8
	case dotU8, l2U8, l1U8:
		return 32
	default:
		return 1 // codes are padded
	}
}

//go:noescape
func narrowNEON(dst *uint16, src *float32, n int)

//go:noescape
func widenNEON(dst *float32, src *uint16, n int)

//go:noescape
func prefetchNEON(p unsafe.Pointer, lines int)

//go:noescape
func prefetchRowsNEON(base unsafe.Pointer, stride int, ids *uint32, count, lines int)

//go:noescape
func butterfliesNEON(a, b *float32, n int)

func (k *Kernels) narrowNative(dst []uint16, src []float32) int {
	n := len(src) &^ 7
	if k.tier != NEON || n == 0 {
		return 0
	}
	narrowNEON(&dst[0], &src[0], n)
	return n
}

func (k *Kernels) widenNative(dst []float32, src []uint16) int {
	n := len(src) &^ 7
	if k.tier != NEON || n == 0 {
		return 0
	}
	widenNEON(&dst[0], &src[0], n)
	return n
}

func (k *Kernels) prefetchNative(p unsafe.Pointer, lines int) {
	if k.tier == NEON {
		prefetchNEON(p, lines)
	}
}

func (k *Kernels) prefetchRowsNative(base unsafe.Pointer, stride int, ids []uint32, lines int) {
	if k.tier == NEON {
		prefetchRowsNEON(base, stride, &ids[0], len(ids), lines)
	}
}

// hadamardNative does the levels of pairs at least 8 apart with vectors.
func (k *Kernels) hadamardNative(x, signs []float32) bool {
	if k.tier != NEON || len(x) < 16 {
		return false
	}
	for i, s := range signs {
		x[i] *= s
	}
	for h := 1; h < len(x); h *= 2 {
		for i := 0; i < len(x); i += 2 * h {
			if h < 8 {
				butterflies(x[i:i+h], x[i+h:i+2*h])
			} else {
				butterfliesNEON(&x[i], &x[i+h], h)
			}
		}
	}
	return true
}

func (k *Kernels) nearestSketchNative(*Sketch, []Sketch) (at int, ok bool) { return 0, false }

func (k *Kernels) sevenNative([]byte, []float32, float32) (n, clipped int) { return 0, 0 }

func (k *Kernels) subtractNative(xs, ys []float32) int { return 0 }

func (k *Kernels) insertNearNative([]Near, int, int, []uint32, []float32) (longer, low int, ok bool) {
	return 0, 0, false
}
