package distance

import "unsafe"

// CodeAlign is the multiple of bytes to which rows of 7-bit and 4-bit codes, and
// the queries for them, are padded with zeros.
const CodeAlign = 64

// BitAlign is the multiple of bytes to which rows of 1-bit codes, and the planes
// of queries for them, are padded with zeros.
const BitAlign = 8

// L2U7IDs scores rows of 7-bit codes (0…127, a byte each) against a query of
// such codes: out[i] = Σ (q−row)² · scale. The sum is an exact integer. len(q)
// is a multiple of CodeAlign.
func (k *Kernels) L2U7IDs(q []uint8, base unsafe.Pointer, stride int, ids []uint32, scale float32, out []float32) {
	k.list(l2U7, codes(data(q), len(q), base, stride, scale, 0), ids, out)
}

// L2U7Range is [Kernels.L2U7IDs] for the rows first, first+1, ….
func (k *Kernels) L2U7Range(q []uint8, base unsafe.Pointer, stride int, first uint32, scale float32, out []float32) {
	k.span(l2U7, codes(data(q), len(q), base, stride, scale, 0), first, out)
}

// DotU7IDs scores rows of 7-bit codes against a signed 8-bit query:
// out[i] = Σ q·row · scale + bias. The sum is an exact integer. len(q) is a
// multiple of CodeAlign; −128 isn't allowed in q.
func (k *Kernels) DotU7IDs(q []int8, base unsafe.Pointer, stride int, ids []uint32, scale, bias float32, out []float32) {
	k.list(dotU7, codes(data(q), len(q), base, stride, scale, bias), ids, out)
}

// DotU7Range is [Kernels.DotU7IDs] for the rows first, first+1, ….
func (k *Kernels) DotU7Range(q []int8, base unsafe.Pointer, stride int, first uint32, scale, bias float32, out []float32) {
	k.span(dotU7, codes(data(q), len(q), base, stride, scale, bias), first, out)
}

// DotU4IDs scores rows of 4-bit codes (0…15) against a signed 8-bit query:
// out[i] = Σ q·row · scale + bias. A 64-byte block of a row holds 128
// components: the low nibbles are components 0…63, the high nibbles 64…127.
// len(q) is a multiple of 2·CodeAlign, and a row has len(q)/2 bytes.
func (k *Kernels) DotU4IDs(q []int8, base unsafe.Pointer, stride int, ids []uint32, scale, bias float32, out []float32) {
	k.list(dotU4, codes(data(q), len(q)/2, base, stride, scale, bias), ids, out)
}

// DotU4Range is [Kernels.DotU4IDs] for the rows first, first+1, ….
func (k *Kernels) DotU4Range(q []int8, base unsafe.Pointer, stride int, first uint32, scale, bias float32, out []float32) {
	k.span(dotU4, codes(data(q), len(q)/2, base, stride, scale, bias), first, out)
}

// HammingIDs scores rows of bits: out[i] = (number of differing bits) · scale +
// bias. len(q) is a multiple of BitAlign and the number of bytes of a row.
func (k *Kernels) HammingIDs(q []byte, base unsafe.Pointer, stride int, ids []uint32, scale, bias float32, out []float32) {
	b := codes(data(q), len(q), base, stride, scale, bias)
	b.planes = 1
	k.list(hamming, b, ids, out)
}

// HammingRange is [Kernels.HammingIDs] for the rows first, first+1, ….
func (k *Kernels) HammingRange(q []byte, base unsafe.Pointer, stride int, first uint32, scale, bias float32, out []float32) {
	b := codes(data(q), len(q), base, stride, scale, bias)
	b.planes = 1
	k.span(hamming, b, first, out)
}

// DotBitsIDs scores rows of bits against a query of signed integers of `planes`
// bits each: out[i] = Σ over the set bits j of the row of q[j], · scale + bias. q
// holds the query in two's complement as bit planes of equal size, the highest (the
// sign, worth −2^(planes−1)) first, so that an AND and a population count weigh 512
// components at once. A row has len(q)/planes bytes, a multiple of BitAlign; planes
// is 1…8.
func (k *Kernels) DotBitsIDs(q []byte, planes int, base unsafe.Pointer, stride int, ids []uint32, scale, bias float32, out []float32) {
	b := codes(data(q), len(q)/planes, base, stride, scale, bias)
	b.planes = planes
	k.list(dotB1, b, ids, out)
}

// DotBitsRange is [Kernels.DotBitsIDs] for the rows first, first+1, ….
func (k *Kernels) DotBitsRange(q []byte, planes int, base unsafe.Pointer, stride int, first uint32, scale, bias float32, out []float32) {
	b := codes(data(q), len(q)/planes, base, stride, scale, bias)
	b.planes = planes
	k.span(dotB1, b, first, out)
}

func codes(q unsafe.Pointer, bytes int, base unsafe.Pointer, stride int, scale, bias float32) batch {
	return batch{q: q, base: base, n: bytes, stride: stride, rowBytes: bytes, scale: scale, bias: bias}
}
