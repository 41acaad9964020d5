// Package distance has the kernels that compare vectors: assembly for the
// machine's best instruction set, and plain Go as the reference and fallback.
//
// Callers: engine/vectorindex scores raw rows, engine/quantization scores codes,
// engine/hnsw prefetches lists and keeps candidates in order, engine/vector converts element types.
// A [Kernels] value is made once at the composition root and handed down.
//
// # Shapes
//
// A kernel scores one query against many rows in one call. Row i starts at
// base + i·stride bytes. The …IDs methods take a list of row numbers, the …Range
// methods consecutive rows. The call overhead is paid once per batch, four rows
// share each load of the query, and rows are prefetched before they are needed.
//
// # Invariants
//
//   - Rows of float32, float16 and uint8 are read for exactly len(query)
//     elements: neither rows nor queries need padding or alignment (64-byte
//     aligned rows are fastest).
//   - Rows of codes (7, 4 and 1 bit) are read for exactly as many bytes as the
//     method says, which is a multiple of 64 (1 bit: 8); the caller pads with zeros.
//   - Every row number must lie inside the memory behind base: kernels read raw
//     memory and can't check. Nothing is ever written but out.
//   - Memory behind base must be outside the Go heap, or be kept alive and
//     unmoved by the caller for the time of the call.
//   - out must be at least as long as ids; it may not overlap the inputs.
//   - Sums of floats are added in a different order by every tier, so results
//     differ in the last bits. What must be the same on every machine (stored
//     bytes) therefore never depends on a tier: see [Normalize] and float16
//     conversion, which are exact by definition.
package distance

import (
	"fmt"
	"slices"
	"unsafe"
)

// Tier is a family of kernels written for one instruction set.
type Tier uint8

// The tiers. Which of them a machine has is told by [Available].
const (
	Generic Tier = iota // plain Go
	NEON                // arm64 with the dot product extension
	AVX2                // amd64: AVX2, FMA, F16C, POPCNT
	AVX512              // amd64: AVX-512 F, BW, DQ, VL, VNNI, VPOPCNTDQ
)

// TierVariable is the environment variable that forces a tier; see [FromEnv].
const TierVariable = "SEXTANT_CPU_TIER"

// String returns the name by which a tier can be forced.
func (t Tier) String() string {
	switch t {
	case Generic:
		return "generic"
	case NEON:
		return "neon"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	}
	return fmt.Sprintf("tier(%d)", uint8(t))
}

// ParseTier is the inverse of [Tier.String].
func ParseTier(name string) (Tier, error) {
	for t := Generic; t <= AVX512; t++ {
		if t.String() == name {
			return t, nil
		}
	}
	return Generic, fmt.Errorf("parse cpu tier %q: want generic, neon, avx2 or avx512", name)
}

// chunk is the number of rows given to assembly in one call, as long as they are
// short. The prefetched lines (at most 4 each, 16 KiB together) have to fit the
// smallest L1 cache with room to spare, and a call must stay short because the
// scheduler can't preempt assembly.
//
// Long rows take longer to score than to fetch: fewer at a time are enough, and
// while they are scored, the next ones are on their way.
const (
	chunk     = 64
	longRow   = 1024 // bytes
	longChunk = 8
)

// maxLines is the number of cache lines of a row that are prefetched. Beyond
// that the hardware prefetcher has recognised the stream.
const maxLines = 4

// Kernels are the kernels of one tier. The value is immutable and may be used
// from any goroutine.
type Kernels struct {
	tier Tier
	// asked says that callers ask for rows themselves; see Asked.
	asked bool
	// sequence is 0, 1, 2…: ranges of rows are scored as this list of row
	// numbers relative to the first row, so ranges need no kernels of their own.
	sequence [chunk]uint32
}

// New returns the kernels of a tier, or an error when this machine lacks it.
func New(t Tier) (*Kernels, error) {
	if !slices.Contains(Available(), t) {
		return nil, fmt.Errorf("use cpu tier %s: this machine has %v", t, Available())
	}
	k := &Kernels{tier: t}
	for i := range k.sequence {
		k.sequence[i] = uint32(i)
	}
	return k, nil
}

// Detect returns the kernels of the best tier of this machine.
func Detect() *Kernels {
	all := Available()
	k, err := New(all[len(all)-1])
	if err != nil { // not possible: the tier is one of those available
		k = &Kernels{}
	}
	return k
}

// FromEnv returns the kernels of the tier named by [TierVariable], or those of
// [Detect] when the variable is empty. Give it os.Getenv.
func FromEnv(getenv func(string) string) (*Kernels, error) {
	name := getenv(TierVariable)
	if name == "" {
		return Detect(), nil
	}
	t, err := ParseTier(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", TierVariable, err)
	}
	return New(t)
}

// Available lists the tiers of this machine, slowest first; the first is Generic.
func Available() []Tier { return append([]Tier{Generic}, nativeTiers()...) }

// Tier returns the tier of the kernels.
func (k *Kernels) Tier() Tier { return k.tier }

// args is what a kernel of any kind gets. One struct for all keeps the assembly's
// frames trivial and lets one skeleton serve every element type.
type args struct {
	q      unsafe.Pointer // the query
	base   unsafe.Pointer // row 0
	n      int            // elements, or bytes for codes, of a row
	stride int            // bytes from row to row
	ids    unsafe.Pointer // *uint32, row numbers
	count  int            // how many rows
	out    unsafe.Pointer // *float32, count results
	ask    unsafe.Pointer // *uint32, row numbers to prefetch
	asked  int            // how many those are
	lines  int            // cache lines to prefetch of each, 1…maxLines
	planes int            // 1-bit codes: bit planes of the query
	scale  float32        // integer kernels: result = sum·scale + bias
	bias   float32
}

// batch is one call of a kernel over any number of rows, before it is cut into
// chunks.
type batch struct {
	q, base   unsafe.Pointer
	n, stride int
	rowBytes  int
	planes    int
	scale     float32
	bias      float32
}

// list calls the kernel for a list of row numbers, chunk by chunk, each asking for
// the rows of the next.
//
// The arguments are set one by one, here as in span: a composite literal is copied, by loads
// wider than the stores just before, which a processor can't forward, and a search
// would wait for that dozens of times. Set by a function, they would be taken to escape.
func (k *Kernels) list(o op, b batch, ids []uint32, out []float32) {
	out = out[:len(ids)]
	size := chunk
	if b.rowBytes >= longRow {
		size = longChunk
	}
	ahead := 2 * size
	if k.asked {
		ahead = 0
	}
	var a args
	a.q, a.base, a.n, a.stride = b.q, b.base, b.n, b.stride
	a.planes, a.scale, a.bias = b.planes, b.scale, b.bias
	a.lines = linesOf(b.rowBytes)
	for ask := ids[:min(ahead, len(ids))]; len(ids) > 0; {
		n := min(len(ids), size)
		a.ids, a.count, a.out = data(ids), n, data(out)
		a.ask, a.asked = data(ask), len(ask)
		k.run(o, &a)
		ids, out = ids[n:], out[n:]
		ask = ids[min(ahead/2, len(ids)):min(ahead, len(ids))]
	}
}

// linesOf returns the number of cache lines of a row that are prefetched.
func linesOf(rowBytes int) int { return max(1, min((rowBytes+63)/64, maxLines)) }

// span calls the kernel for the rows first, first+1, …, one for each element of
// out. The hardware prefetches sequential reads by itself.
func (k *Kernels) span(o op, b batch, first uint32, out []float32) {
	var a args
	a.q, a.base, a.n, a.stride = b.q, b.base, b.n, b.stride
	a.planes, a.scale, a.bias = b.planes, b.scale, b.bias
	a.ids = data(k.sequence[:])
	for at := int(first); len(out) > 0; {
		n := min(len(out), chunk)
		a.count, a.out = n, data(out)
		a.base = unsafe.Add(b.base, at*b.stride) // never past the last row
		k.run(o, &a)
		at, out = at+n, out[n:]
	}
}

// one calls the kernel for a single row at b.base.
func (k *Kernels) one(o op, b batch) float32 {
	var out [1]float32
	k.span(o, b, 0, out[:])
	return out[0]
}

// op names a kernel.
type op uint8

const (
	dotF32 op = iota
	l2F32
	l1F32
	dotF16
	l2F16
	l1F16
	dotU8
	l2U8
	l1U8
	l2U7
	dotU7
	dotU4
	hamming
	dotB1
	opCount // keep last
)
