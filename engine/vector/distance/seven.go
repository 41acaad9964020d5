package distance

// ToU7 writes src·scale as codes 0…127 around 64, rounded, and returns how many were
// clipped; what is not a number becomes 0. dst must be at least as long as src. The
// result is the same on every tier.
func (k *Kernels) ToU7(dst []byte, src []float32, scale float32) (clipped int) {
	dst = dst[:len(src)]
	n, clipped := k.sevenNative(dst, src, scale)
	for j, x := range src[n:] {
		u := float32(x*scale) + 64.5 // converted, so that no processor does both at once
		if !(u >= 0) {
			u = 0
			clipped++
		} else if u >= 128 {
			u = 127
			clipped++
		}
		dst[n+j] = byte(int32(u))
	}
	return clipped
}

// Subtract replaces each x by x − y. ys must be at least as long as xs.
func (k *Kernels) Subtract(xs, ys []float32) {
	ys = ys[:len(xs)]
	n := k.subtractNative(xs, ys)
	for i := n; i < len(xs); i++ {
		xs[i] -= ys[i]
	}
}
