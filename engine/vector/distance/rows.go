package distance

import (
	"math"
	"unsafe"
)

// Dot returns Σ a·b. b must be at least as long as a.
func (k *Kernels) Dot(a, b []float32) float32 { return k.pair(dotF32, a, b) }

// L2 returns Σ (a−b)². b must be at least as long as a.
func (k *Kernels) L2(a, b []float32) float32 { return k.pair(l2F32, a, b) }

// L1 returns Σ |a−b|. b must be at least as long as a.
func (k *Kernels) L1(a, b []float32) float32 { return k.pair(l1F32, a, b) }

func (k *Kernels) pair(o op, a, b []float32) float32 {
	b = b[:len(a)]
	return k.one(o, batch{q: data(a), base: data(b), n: len(a)})
}

// DotIDs writes Σ q·row to out[i] for each row ids[i] of float32.
func (k *Kernels) DotIDs(q []float32, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k.list(dotF32, rowsF32(q, base, stride), ids, out)
}

// L2IDs writes Σ (q−row)² to out[i] for each row ids[i] of float32.
func (k *Kernels) L2IDs(q []float32, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k.list(l2F32, rowsF32(q, base, stride), ids, out)
}

// L1IDs writes Σ |q−row| to out[i] for each row ids[i] of float32.
func (k *Kernels) L1IDs(q []float32, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k.list(l1F32, rowsF32(q, base, stride), ids, out)
}

// DotRange writes Σ q·row to out[i] for row first+i of float32.
func (k *Kernels) DotRange(q []float32, base unsafe.Pointer, stride int, first uint32, out []float32) {
	k.span(dotF32, rowsF32(q, base, stride), first, out)
}

// L2Range writes Σ (q−row)² to out[i] for row first+i of float32.
func (k *Kernels) L2Range(q []float32, base unsafe.Pointer, stride int, first uint32, out []float32) {
	k.span(l2F32, rowsF32(q, base, stride), first, out)
}

// L1Range writes Σ |q−row| to out[i] for row first+i of float32.
func (k *Kernels) L1Range(q []float32, base unsafe.Pointer, stride int, first uint32, out []float32) {
	k.span(l1F32, rowsF32(q, base, stride), first, out)
}

// DotF16IDs is [Kernels.DotIDs] for rows of float16.
func (k *Kernels) DotF16IDs(q []float32, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k.list(dotF16, rowsF16(q, base, stride), ids, out)
}

// L2F16IDs is [Kernels.L2IDs] for rows of float16.
func (k *Kernels) L2F16IDs(q []float32, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k.list(l2F16, rowsF16(q, base, stride), ids, out)
}

// L1F16IDs is [Kernels.L1IDs] for rows of float16.
func (k *Kernels) L1F16IDs(q []float32, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k.list(l1F16, rowsF16(q, base, stride), ids, out)
}

// DotF16Range is [Kernels.DotRange] for rows of float16.
func (k *Kernels) DotF16Range(q []float32, base unsafe.Pointer, stride int, first uint32, out []float32) {
	k.span(dotF16, rowsF16(q, base, stride), first, out)
}

// L2F16Range is [Kernels.L2Range] for rows of float16.
func (k *Kernels) L2F16Range(q []float32, base unsafe.Pointer, stride int, first uint32, out []float32) {
	k.span(l2F16, rowsF16(q, base, stride), first, out)
}

// L1F16Range is [Kernels.L1Range] for rows of float16.
func (k *Kernels) L1F16Range(q []float32, base unsafe.Pointer, stride int, first uint32, out []float32) {
	k.span(l1F16, rowsF16(q, base, stride), first, out)
}

// DotU8IDs is [Kernels.DotIDs] for rows of uint8. The sum is an exact integer
// (up to 65,536 elements), rounded once to float32.
func (k *Kernels) DotU8IDs(q []uint8, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k.list(dotU8, rowsU8(q, base, stride), ids, out)
}

// L2U8IDs is [Kernels.L2IDs] for rows of uint8, exact as [Kernels.DotU8IDs].
func (k *Kernels) L2U8IDs(q []uint8, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k.list(l2U8, rowsU8(q, base, stride), ids, out)
}

// L1U8IDs is [Kernels.L1IDs] for rows of uint8, exact as [Kernels.DotU8IDs].
func (k *Kernels) L1U8IDs(q []uint8, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k.list(l1U8, rowsU8(q, base, stride), ids, out)
}

// DotU8Range is [Kernels.DotRange] for rows of uint8.
func (k *Kernels) DotU8Range(q []uint8, base unsafe.Pointer, stride int, first uint32, out []float32) {
	k.span(dotU8, rowsU8(q, base, stride), first, out)
}

// L2U8Range is [Kernels.L2Range] for rows of uint8.
func (k *Kernels) L2U8Range(q []uint8, base unsafe.Pointer, stride int, first uint32, out []float32) {
	k.span(l2U8, rowsU8(q, base, stride), first, out)
}

// L1U8Range is [Kernels.L1Range] for rows of uint8.
func (k *Kernels) L1U8Range(q []uint8, base unsafe.Pointer, stride int, first uint32, out []float32) {
	k.span(l1U8, rowsU8(q, base, stride), first, out)
}

// CosineU8IDs writes the cosine of q and row to out[i] for each row ids[i] of
// uint8; the cosine with a zero vector is 0. Bytes can't be normalised when they
// are stored (unit vectors would truncate to zero), so the norms are taken here.
func (k *Kernels) CosineU8IDs(q []uint8, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
	k.DotU8IDs(q, base, stride, ids, out)
	qq := k.normU8(q)
	for i, id := range ids {
		row := unsafe.Slice((*uint8)(unsafe.Add(base, int(id)*stride)), len(q))
		out[i] = cosine(out[i], qq, k.normU8(row))
	}
}

// CosineU8Range is [Kernels.CosineU8IDs] for the rows first, first+1, ….
func (k *Kernels) CosineU8Range(q []uint8, base unsafe.Pointer, stride int, first uint32, out []float32) {
	k.DotU8Range(q, base, stride, first, out)
	qq := k.normU8(q)
	for i := range out {
		row := unsafe.Slice((*uint8)(unsafe.Add(base, (int(first)+i)*stride)), len(q))
		out[i] = cosine(out[i], qq, k.normU8(row))
	}
}

// normU8 returns Σ v².
func (k *Kernels) normU8(v []uint8) float32 {
	return k.one(dotU8, rowsU8(v, data(v), 0))
}

func cosine(dot, aa, bb float32) float32 {
	if aa == 0 || bb == 0 {
		return 0
	}
	return float32(float64(dot) / math.Sqrt(float64(aa)*float64(bb)))
}

func rowsF32(q []float32, base unsafe.Pointer, stride int) batch {
	return batch{q: data(q), base: base, n: len(q), stride: stride, rowBytes: 4 * len(q)}
}

func rowsF16(q []float32, base unsafe.Pointer, stride int) batch {
	return batch{q: data(q), base: base, n: len(q), stride: stride, rowBytes: 2 * len(q)}
}

func rowsU8(q []uint8, base unsafe.Pointer, stride int) batch {
	return batch{q: data(q), base: base, n: len(q), stride: stride, rowBytes: len(q), scale: 1}
}

func data[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
