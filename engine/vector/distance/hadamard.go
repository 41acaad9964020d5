package distance

// Hadamard multiplies x by signs, element by element, and applies the Walsh–Hadamard
// transform (not normalised: put 1/√len into signs). len(x) is a power of two, and
// signs at least as long. Additions are the same in every tier, so results are too.
func (k *Kernels) Hadamard(x, signs []float32) {
	signs = signs[:len(x)]
	if k.hadamardNative(x, signs) {
		return
	}
	for i, s := range signs {
		x[i] *= s
	}
	for h := 1; h < len(x); h *= 2 {
		for i := 0; i < len(x); i += 2 * h {
			butterflies(x[i:i+h], x[i+h:i+2*h])
		}
	}
}

// butterflies replaces a, b by a+b, a−b.
func butterflies(a, b []float32) {
	b = b[:len(a)]
	for i, x := range a {
		y := b[i]
		a[i], b[i] = x+y, x-y
	}
}
