package distance

import "unsafe"

// Prefetch asks the CPU to load `lines` cache lines starting at p. p may be any
// address: prefetching never faults.
func (k *Kernels) Prefetch(p unsafe.Pointer, lines int) { k.prefetchNative(p, lines) }
