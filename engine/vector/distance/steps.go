//go:build amd64 || arm64

package distance

import "unsafe"

// rest returns how many elements of a row are left after whole steps.
func rest(a *args, step int) int { return a.n % step }

// addRest adds the last n elements of every row to the results, for kernels that
// take whole steps only. All kernels are sums over elements, so the parts add up.
// Codes never have a rest: they are padded.
func addRest(o op, a *args, n int) {
	query, row := elementSizes(o)
	part := *a
	part.n = n
	part.q = unsafe.Add(a.q, (a.n-n)*query)
	skip := (a.n - n) * row
	out := unsafe.Slice((*float32)(a.out), a.count)
	for i, id := range unsafe.Slice((*uint32)(a.ids), a.count) {
		out[i] += genericRow(o, &part, unsafe.Add(a.base, int(id)*a.stride+skip))
	}
}

// elementSizes returns the bytes of an element of the query and of a row.
func elementSizes(o op) (query, row int) {
	switch o {
	case dotF32, l2F32, l1F32:
		return 4, 4
	case dotF16, l2F16, l1F16:
		return 4, 2
	default:
		return 1, 1
	}
}
