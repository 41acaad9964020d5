package distance

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// nativeTiers asks the CPU, and the operating system whether it keeps the wide
// registers, which golang.org/x/sys/cpu does.
func nativeTiers() []Tier {
	x := &cpu.X86
	if !x.HasAVX2 || !x.HasFMA || !x.HasPOPCNT || !hasF16C() {
		return nil
	}
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VNNI && x.HasAVX512VPOPCNTDQ {
		return []Tier{AVX2, AVX512}
	}
	return []Tier{AVX2}
}

// hasF16C tells whether there are conversions of float16.
func hasF16C() bool {
	_, _, c, _ := cpuid(1, 0)
	return c>>29&1 == 1
}

func (k *Kernels) run(o op, a *args) {
	switch k.tier {
	case AVX512:
		callAVX512(o, a)
	case AVX2:
		if n := rest(a, stepsAVX2(o)); n == 0 {
			callAVX2(o, a)
		} else {
			a.n -= n
			callAVX2(o, a)
			a.n += n
			addRest(o, a, n)
		}
	default:
		generic(o, a)
	}
}

// stepsAVX2 is the number of elements of a row that kernels of AVX2 take at a time.
func stepsAVX2(o op) int {
	switch o {
	case dotF32, l2F32, l1F32, dotF16, l2F16, l1F16:
		return 8
	case dotU8, l2U8:
		return 16
	case l1U8:
		return 32
	default:
		return 1 // codes are padded
	}
}

// cpuid executes CPUID.
//
//go:noescape
func cpuid(leaf, sub uint32) (a, b, c, d uint32)

//go:noescape
func narrowF16C(dst *uint16, src *float32, n int)

//go:noescape
func widenF16C(dst *float32, src *uint16, n int)

//go:noescape
func prefetchAMD64(p unsafe.Pointer, lines int)

//go:noescape
func prefetchRowsAMD64(base unsafe.Pointer, stride int, ids *uint32, count, lines int)

//go:noescape
func hadamardAVX2(x, signs *float32, n int)

//go:noescape
func hadamardAVX512(x, signs *float32, n int)

func (k *Kernels) narrowNative(dst []uint16, src []float32) int {
	n := len(src) &^ 7
	if k.tier == Generic || n == 0 {
		return 0
	}
	narrowF16C(&dst[0], &src[0], n)
	return n
}

func (k *Kernels) widenNative(dst []float32, src []uint16) int {
	n := len(src) &^ 7
	if k.tier == Generic || n == 0 {
		return 0
	}
	widenF16C(&dst[0], &src[0], n)
	return n
}

func (k *Kernels) prefetchNative(p unsafe.Pointer, lines int) {
	if k.tier != Generic {
		prefetchAMD64(p, lines)
	}
}

func (k *Kernels) prefetchRowsNative(base unsafe.Pointer, stride int, ids []uint32, lines int) {
	if k.tier != Generic {
		prefetchRowsAMD64(base, stride, &ids[0], len(ids), lines)
	}
}

func (k *Kernels) hadamardNative(x, signs []float32) bool {
	switch {
	case k.tier == AVX512 && len(x) >= 16:
		hadamardAVX512(&x[0], &signs[0], len(x))
	case k.tier == AVX2 && len(x) >= 8:
		hadamardAVX2(&x[0], &signs[0], len(x))
	default:
		return false
	}
	return true
}

//go:noescape
func sevenAVX2(dst *byte, src *float32, n int, scale float32) (fitting int)

//go:noescape
func subtractAVX2(xs, ys *float32, n int)

func (k *Kernels) sevenNative(dst []byte, src []float32, scale float32) (n, clipped int) {
	n = len(src) &^ 31
	if k.tier == Generic || n == 0 {
		return 0, 0
	}
	return n, n - sevenAVX2(&dst[0], &src[0], n, scale)
}

func (k *Kernels) subtractNative(xs, ys []float32) int {
	n := len(xs) &^ 7
	if k.tier == Generic || n == 0 {
		return 0
	}
	subtractAVX2(&xs[0], &ys[0], n)
	return n
}

//go:noescape
func nearestSketchAVX2(q, all *Sketch, n int) (at int)

//go:noescape
func nearestSketchAVX512(q, all *Sketch, n int) (at int)

func (k *Kernels) nearestSketchNative(q *Sketch, all []Sketch) (at int, ok bool) {
	if k.tier == Generic || len(all) < 4 || len(all) >= 1<<24 {
		return 0, false
	}
	if k.tier == AVX512 && len(all) >= 8 {
		return nearestSketchAVX512(q, &all[0], len(all)), true
	}
	return nearestSketchAVX2(q, &all[0], len(all)), true
}

//go:noescape
func insertNearAVX2(list *Near, n, limit int, rows *uint32, distances *float32, count int) (longer, low int)

//go:noescape
func insertNearAVX512(list *Near, n, limit int, rows *uint32, distances *float32, count int) (longer, low int)

func (k *Kernels) insertNearNative(room []Near, n, limit int, rows []uint32, distances []float32) (longer, low int, ok bool) {
	switch k.tier {
	case AVX512:
		longer, low = insertNearAVX512(&room[0], n, limit, &rows[0], &distances[0], len(rows))
	case AVX2:
		longer, low = insertNearAVX2(&room[0], n, limit, &rows[0], &distances[0], len(rows))
	default:
		return 0, 0, false
	}
	return longer, low, true
}
