//go:build !amd64 && !arm64

package distance

import "unsafe"

func nativeTiers() []Tier { return nil }

func (k *Kernels) run(o op, a *args) { generic(o, a) }

func (k *Kernels) narrowNative(dst []uint16, src []float32) int { return 0 }

func (k *Kernels) widenNative(dst []float32, src []uint16) int { return 0 }

func (k *Kernels) prefetchNative(unsafe.Pointer, int) {}

func (k *Kernels) prefetchRowsNative(unsafe.Pointer, int, []uint32, int) {}

func (k *Kernels) hadamardNative(x, signs []float32) bool { return false }

func (k *Kernels) nearestSketchNative(*Sketch, []Sketch) (at int, ok bool) { return 0, false }

func (k *Kernels) sevenNative([]byte, []float32, float32) (n, clipped int) { return 0, 0 }

func (k *Kernels) subtractNative(xs, ys []float32) int { return 0 }

func (k *Kernels) insertNearNative([]Near, int, int, []uint32, []float32) (longer, low int, ok bool) {
	return 0, 0, false
}
