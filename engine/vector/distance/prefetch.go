package distance

import "unsafe"

// Prefetch asks the CPU to load `lines` cache lines starting at p. p may be any
// address: prefetching never faults.
func (k *Kernels) Prefetch(p unsafe.Pointer, lines int) { k.prefetchNative(p, lines) }

// Ask asks the CPU to load the beginnings of rows that will be scored, row i at
// base + i·stride. Loads of rows that lie anywhere take as long as scoring them several
// times: who asks early and does something else meanwhile doesn't wait. At most 64
// rows at a time, or the first are gone from the cache before they are scored.
func (k *Kernels) Ask(base unsafe.Pointer, stride, rowBytes int, ids []uint32) {
	if len(ids) > 0 {
		k.prefetchRowsNative(base, stride, ids, linesOf(rowBytes))
	}
}

// Asked returns kernels whose …IDs methods don't prefetch, for rows that the caller
// asks for by Ask.
func (k *Kernels) Asked() *Kernels {
	quiet := *k
	quiet.asked = true
	return &quiet
}
