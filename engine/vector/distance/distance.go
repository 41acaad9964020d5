// Package distance has the kernels that compare vectors: assembly for the
// machine's best instruction set, and plain Go as the reference and fallback.
package distance
