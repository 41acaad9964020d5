package distance

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// tiers returns the kernels of every tier of the machine.
func tiers(t *testing.T) []*Kernels {
	t.Helper()
	var all []*Kernels
	for _, tier := range Available() {
		k, err := New(tier)
		require.NoError(t, err)
		all = append(all, k)
	}
	return all
}

// dims are the edges: around every step and its multiples, odd, and the largest.
func dims() []int {
	d := []int{31, 32, 33, 47, 63, 64, 65, 100, 128, 257, 768, 65536}
	for n := range 20 {
		d = append(d, n)
	}
	return d
}

// counts are numbers of rows around groups of four and chunks.
var counts = []int{0, 1, 2, 3, 4, 5, 65}

// fixture is random memory for rows with odd strides and an unaligned query.
type fixture struct {
	random *rand.Rand
	memory []byte
	ids    []uint32
}

func newFixture(seed uint64, rows, stride int) *fixture {
	f := &fixture{random: rand.New(rand.NewPCG(seed, 3)), memory: aligned(rows*stride + 64)}
	for range 131 {
		f.ids = append(f.ids, uint32(f.random.IntN(rows)))
	}
	return f
}

// aligned returns memory that starts at a cache line.
func aligned(n int) []byte {
	b := make([]byte, n+64)
	return b[-uintptr(unsafe.Pointer(&b[0]))&63:][:n]
}

func (f *fixture) base() unsafe.Pointer { return unsafe.Pointer(&f.memory[0]) }

func (f *fixture) fillFloats() {
	for i := range view[float32](f.base(), len(f.memory)/4) {
		view[float32](f.base(), len(f.memory)/4)[i] = float32(f.random.NormFloat64())
	}
}

func (f *fixture) fillHalves() {
	for i := range view[uint16](f.base(), len(f.memory)/2) {
		view[uint16](f.base(), len(f.memory)/2)[i] = narrow(float32(f.random.NormFloat64()))
	}
}

func (f *fixture) fillBytes(below int) {
	for i := range f.memory {
		f.memory[i] = byte(f.random.IntN(below))
	}
}

// rowsAt is the number of rows for a dimension: few when they are large.
func rowsAt(bytes int) int { return max(3, min(10, 1<<17/max(1, bytes))) }

type method[Q any] func(q []Q, base unsafe.Pointer, stride int, ids []uint32, out []float32)

type ranged[Q any] func(q []Q, base unsafe.Pointer, stride int, first uint32, out []float32)

// check compares a batch method and its range form with the definition.
func check[Q any](t *testing.T, f *fixture, q []Q, stride, rows int, list method[Q], span ranged[Q], define func(row unsafe.Pointer) (value, scale float64)) {
	t.Helper()
	agree := func(id uint32, got float32, what string) {
		want, scale := define(unsafe.Add(f.base(), int(id)*stride))
		// Plain Go adds one after the other, so its error grows with the dimension.
		if math.Abs(want-float64(got)) > 2e-6*(1+float64(len(q))/4000)*scale+1e-6 {
			t.Fatalf("%s: %d elements, row %d: got %v, want %v", what, len(q), id, got, want)
		}
	}
	cases := counts
	if len(q) > 2000 {
		cases = []int{0, 1, 2, 4, 7}
	}
	for _, n := range cases {
		out := make([]float32, n+1)
		out[n] = 42
		list(q, f.base(), stride, f.ids[:n], out)
		for i, id := range f.ids[:n] {
			agree(id, out[i], "list")
		}
		require.InDelta(t, 42, out[n], 0, "wrote beyond the results")
	}
	for first := range uint32(min(3, rows)) {
		out := make([]float32, rows-int(first))
		span(q, f.base(), stride, first, out)
		for i, got := range out {
			agree(first+uint32(i), got, "range")
		}
	}
}

func sum(n int, term func(i int) float64) (value, scale float64) {
	for i := range n {
		x := term(i)
		value += x
		scale += math.Abs(x)
	}
	return value, scale
}

func TestFloatKernels(t *testing.T) {
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			for _, n := range dims() {
				stride := 4*n + 4*(n%3) // also rows without padding
				rows := rowsAt(stride)
				f := newFixture(uint64(n), rows, stride)
				f.fillFloats()
				raw := make([]float32, n+1)
				for i := range raw {
					raw[i] = float32(f.random.NormFloat64())
				}
				q := raw[1:] // not aligned
				at := func(row unsafe.Pointer, i int) (float64, float64) {
					return float64(q[i]), float64(view[float32](row, n)[i])
				}
				check(t, f, q, stride, rows, k.DotIDs, k.DotRange, func(row unsafe.Pointer) (float64, float64) {
					return sum(n, func(i int) float64 { a, b := at(row, i); return a * b })
				})
				check(t, f, q, stride, rows, k.L2IDs, k.L2Range, func(row unsafe.Pointer) (float64, float64) {
					return sum(n, func(i int) float64 { a, b := at(row, i); return (a - b) * (a - b) })
				})
				check(t, f, q, stride, rows, k.L1IDs, k.L1Range, func(row unsafe.Pointer) (float64, float64) {
					return sum(n, func(i int) float64 { a, b := at(row, i); return math.Abs(a - b) })
				})
				row := view[float32](f.base(), n)
				var out [1]float32
				for _, c := range []struct {
					pair func(a, b []float32) float32
					list method[float32]
				}{{k.Dot, k.DotIDs}, {k.L2, k.L2IDs}, {k.L1, k.L1IDs}} {
					c.list(q, f.base(), stride, []uint32{0}, out[:])
					require.InDelta(t, out[0], c.pair(q, row), 0)
				}
			}
		})
	}
}

func TestHalfKernels(t *testing.T) {
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			for _, n := range dims() {
				stride := 2*n + 2*(n%3)
				rows := rowsAt(stride)
				f := newFixture(uint64(n), rows, stride)
				f.fillHalves()
				q := make([]float32, n+1)[1:]
				for i := range q {
					q[i] = float32(f.random.NormFloat64())
				}
				at := func(row unsafe.Pointer, i int) (float64, float64) {
					return float64(q[i]), float64(widen(view[uint16](row, n)[i]))
				}
				check(t, f, q, stride, rows, k.DotF16IDs, k.DotF16Range, func(row unsafe.Pointer) (float64, float64) {
					return sum(n, func(i int) float64 { a, b := at(row, i); return a * b })
				})
				check(t, f, q, stride, rows, k.L2F16IDs, k.L2F16Range, func(row unsafe.Pointer) (float64, float64) {
					return sum(n, func(i int) float64 { a, b := at(row, i); return (a - b) * (a - b) })
				})
				check(t, f, q, stride, rows, k.L1F16IDs, k.L1F16Range, func(row unsafe.Pointer) (float64, float64) {
					return sum(n, func(i int) float64 { a, b := at(row, i); return math.Abs(a - b) })
				})
			}
		})
	}
}

func TestByteKernels(t *testing.T) {
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			for _, n := range dims() {
				for _, extreme := range []bool{false, true} {
					stride := n + n%5
					rows := rowsAt(stride)
					f := newFixture(uint64(n), rows, stride)
					f.fillBytes(256)
					q := make([]uint8, n+1)[1:]
					for i := range q {
						q[i] = byte(f.random.IntN(256))
						if extreme {
							q[i] = 255
						}
					}
					if extreme { // the largest sums
						for i := range f.memory {
							f.memory[i] = byte(255 * (i / max(1, stride) % 2))
						}
					}
					at := func(row unsafe.Pointer, i int) (float64, float64) {
						return float64(q[i]), float64(view[uint8](row, n)[i])
					}
					dot := func(row unsafe.Pointer) (float64, float64) {
						return sum(n, func(i int) float64 { a, b := at(row, i); return a * b })
					}
					check(t, f, q, stride, rows, k.DotU8IDs, k.DotU8Range, dot)
					check(t, f, q, stride, rows, k.L2U8IDs, k.L2U8Range, func(row unsafe.Pointer) (float64, float64) {
						return sum(n, func(i int) float64 { a, b := at(row, i); return (a - b) * (a - b) })
					})
					check(t, f, q, stride, rows, k.L1U8IDs, k.L1U8Range, func(row unsafe.Pointer) (float64, float64) {
						return sum(n, func(i int) float64 { a, b := at(row, i); return math.Abs(a - b) })
					})
					check(t, f, q, stride, rows, k.CosineU8IDs, k.CosineU8Range, func(row unsafe.Pointer) (float64, float64) {
						d, _ := dot(row)
						qq, _ := sum(n, func(i int) float64 { a, _ := at(row, i); return a * a })
						bb, _ := sum(n, func(i int) float64 { _, b := at(row, i); return b * b })
						if qq*bb == 0 {
							return 0, 1
						}
						return d / math.Sqrt(qq*bb), 1
					})
				}
			}
		})
	}
}

func TestCodeKernels(t *testing.T) {
	const scale, bias = 0.25, -3
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			for _, n := range []int{64, 128, 192, 320, 65536} {
				for _, extreme := range []bool{false, true} {
					rows := rowsAt(n)
					f := newFixture(uint64(n), rows, n)
					f.fillBytes(128)
					code := make([]uint8, n+1)[1:]
					signed := make([]int8, 2*n+1)[1:]
					for i := range code {
						code[i] = byte(f.random.IntN(128))
					}
					for i := range signed {
						signed[i] = int8(f.random.IntN(255) - 127)
					}
					if extreme {
						for i := range f.memory {
							f.memory[i] = 127
						}
						clear(code)
						for i := range signed {
							signed[i] = -127
						}
					}
					l2 := func(row unsafe.Pointer) (float64, float64) {
						v, s := sum(n, func(i int) float64 { d := float64(code[i]) - float64(view[uint8](row, n)[i]); return d * d })
						return v * scale, s * scale
					}
					check(t, f, code, n, rows,
						func(q []uint8, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
							k.L2U7IDs(q, base, stride, ids, scale, out)
						},
						func(q []uint8, base unsafe.Pointer, stride int, first uint32, out []float32) {
							k.L2U7Range(q, base, stride, first, scale, out)
						}, l2)
					dot := func(row unsafe.Pointer) (float64, float64) {
						v, s := sum(n, func(i int) float64 { return float64(signed[i]) * float64(view[uint8](row, n)[i]) })
						return v*scale + bias, s*scale - bias
					}
					check(t, f, signed[:n], n, rows,
						func(q []int8, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
							k.DotU7IDs(q, base, stride, ids, scale, bias, out)
						},
						func(q []int8, base unsafe.Pointer, stride int, first uint32, out []float32) {
							k.DotU7Range(q, base, stride, first, scale, bias, out)
						}, dot)
					if extreme {
						for i := range f.memory {
							f.memory[i] = 255
						}
					} else {
						f.fillBytes(256)
					}
					nibbles := func(row unsafe.Pointer) (float64, float64) {
						v, s := sum(2*n, func(i int) float64 {
							block, at := i/128, i%128
							c := view[uint8](row, n)[block*64+at%64]
							if at >= 64 {
								c >>= 4
							}
							return float64(signed[i]) * float64(c&15)
						})
						return v*scale + bias, s*scale - bias
					}
					check(t, f, signed, n, rows,
						func(q []int8, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
							k.DotU4IDs(q, base, stride, ids, scale, bias, out)
						},
						func(q []int8, base unsafe.Pointer, stride int, first uint32, out []float32) {
							k.DotU4Range(q, base, stride, first, scale, bias, out)
						}, nibbles)
				}
			}
		})
	}
}

func TestBitKernels(t *testing.T) {
	const scale, bias = 0.5, 7
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			for _, n := range []int{8, 16, 24, 56, 64, 72, 192} {
				rows := rowsAt(n)
				f := newFixture(uint64(n), rows, n)
				f.fillBytes(256)
				for _, planes := range []int{1, 2, 5, 8} {
					q := aligned(n * planes)
					for i := range q {
						q[i] = byte(f.random.IntN(256))
					}
					component := func(j int) float64 {
						v := 0
						for p := range planes {
							bit := int(q[p*n+j/8]>>(j%8)) & 1
							if p == 0 {
								bit = -bit
							}
							v = 2*v + bit
						}
						return float64(v)
					}
					check(t, f, q, n, rows,
						func(q []uint8, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
							k.DotBitsIDs(q, planes, base, stride, ids, scale, bias, out)
						},
						func(q []uint8, base unsafe.Pointer, stride int, first uint32, out []float32) {
							k.DotBitsRange(q, planes, base, stride, first, scale, bias, out)
						},
						func(row unsafe.Pointer) (float64, float64) {
							v, s := sum(8*n, func(j int) float64 {
								return component(j) * float64(view[uint8](row, n)[j/8]>>(j%8)&1)
							})
							return v*scale + bias, s*scale + bias
						})
					if planes > 1 {
						continue
					}
					check(t, f, q, n, rows,
						func(q []uint8, base unsafe.Pointer, stride int, ids []uint32, out []float32) {
							k.HammingIDs(q, base, stride, ids, scale, bias, out)
						},
						func(q []uint8, base unsafe.Pointer, stride int, first uint32, out []float32) {
							k.HammingRange(q, base, stride, first, scale, bias, out)
						},
						func(row unsafe.Pointer) (float64, float64) {
							v, s := sum(n, func(i int) float64 { return float64(bits.OnesCount8(q[i] ^ view[uint8](row, n)[i])) })
							return v*scale + bias, s*scale + bias
						})
				}
			}
		})
	}
}

// Values that aren't numbers may give any result, but must not crash, nor spoil
// the results of other rows.
func TestNotANumberStaysInItsRow(t *testing.T) {
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			for _, n := range []int{1, 17, 64, 100} {
				memory := make([]float32, 8*n)
				memory[2*n] = float32(math.NaN())
				memory[5*n+n-1] = float32(math.Inf(-1))
				q := make([]float32, n)
				for i := range q {
					q[i] = 1
				}
				ids, out := []uint32{0, 1, 2, 3, 4, 5, 6, 7}, make([]float32, 8)
				for _, f := range []method[float32]{k.DotIDs, k.L2IDs, k.L1IDs} {
					f(q, unsafe.Pointer(&memory[0]), 4*n, ids, out)
					for i, x := range out {
						finite := !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0)
						require.Equal(t, i != 2 && i != 5, finite, "row %d", i)
					}
				}
			}
		})
	}
}

// Reading beyond a row would fault at the end of a mapping; here it would take
// part in the sum, so the memory behind is poisoned.
func TestNothingBeyondTheRowCounts(t *testing.T) {
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			for n := 1; n < 70; n++ {
				memory := make([]float32, n+64)
				for i := n; i < len(memory); i++ {
					memory[i] = float32(math.NaN())
				}
				query := make([]float32, n+64)
				copy(query[n:], memory[n:])
				require.Zero(t, k.L2(query[:n], memory[:n]))
				require.Zero(t, k.Dot(query[:n], memory[:n]))
				require.Zero(t, k.L1(query[:n], memory[:n]))
			}
		})
	}
}

func TestHalfConversion(t *testing.T) {
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			var halves []uint16
			for h := range 1 << 16 {
				halves = append(halves, uint16(h))
			}
			wide, back := make([]float32, len(halves)), make([]uint16, len(halves))
			k.FromF16(wide, halves)
			k.ToF16(back, wide)
			for i, h := range halves {
				require.Equal(t, math.Float32bits(widen(h)), math.Float32bits(wide[i]), "%#x", h)
				if nan := h&0x7c00 == 0x7c00 && h&0x3ff != 0; nan {
					require.Equal(t, h|0x200, back[i], "%#x", h)
				} else {
					require.Equal(t, h, back[i], "%#x", h)
				}
			}
			random := rand.New(rand.NewPCG(1, 2))
			src := make([]float32, 4099)
			for range 20 {
				for i := range src {
					switch i % 3 {
					case 0:
						src[i] = math.Float32frombits(random.Uint32())
					case 1: // halfway between two halves, and its neighbours
						src[i] = math.Float32frombits(uint32(random.IntN(1<<14)+0x33000)<<12 + uint32(random.IntN(3)) - 1)
					default:
						src[i] = float32(random.NormFloat64())
					}
				}
				dst := make([]uint16, len(src))
				k.ToF16(dst, src)
				for i, x := range src {
					require.Equal(t, narrow(x), dst[i], "%x", math.Float32bits(x))
					if y := float64(widen(dst[i])); math.Abs(float64(x)) < 65504 {
						require.LessOrEqual(t, math.Abs(y-float64(x)), math.Max(math.Abs(float64(x))/2048, 0x1p-25))
					}
				}
			}
		})
	}
}

func TestNormalize(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		v := rapid.SliceOfN(rapid.Float32Range(-1e6, 1e6), 1, 50).Draw(r, "v")
		before := append([]float32(nil), v...)
		changed := Normalize(v)
		length, _ := sum(len(v), func(i int) float64 { return float64(v[i]) * float64(v[i]) })
		if !changed {
			require.True(r, slices.Equal(before, v))
			require.True(r, length < 1e-6 || math.Abs(length-1) <= 1e-6)
			return
		}
		require.InDelta(r, 1, length, 1e-6)
		again := append([]float32(nil), v...)
		require.False(r, Normalize(again), "a unit vector stays bit-identical")
		require.Equal(r, v, again)
	})
	for _, v := range [][]float32{{}, {0, 0}, {1, 0}, {float32(math.NaN()), 1}, {float32(math.Inf(1)), 1}} {
		require.False(t, Normalize(v))
	}
	huge := []float32{math.MaxFloat32, math.MaxFloat32}
	require.True(t, Normalize(huge))
	require.InDelta(t, math.Sqrt(0.5), huge[0], 1e-6)
}

func TestPrefetchOfAnything(t *testing.T) {
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			x := make([]byte, 64)
			for _, lines := range []int{-1, 0, 1, 100} {
				k.Prefetch(nil, lines)
				k.Prefetch(unsafe.Pointer(&x[0]), lines)
			}
		})
	}
}

// TestAskedRows: kernels for rows that were asked for score as the others do, over
// several chunks, and asking for rows of any length leaves them as they are.
func TestAskedRows(t *testing.T) {
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			for _, dim := range []int{8, 128, 384} {
				f := newFixture(uint64(dim), 200, 4*dim)
				f.fillFloats()
				ids := make([]uint32, 150)
				for i := range ids {
					ids[i] = uint32(i*7) % 200
				}
				q := make([]float32, dim)
				q[0] = 1
				want, got := make([]float32, len(ids)), make([]float32, len(ids))
				k.L2IDs(q, f.base(), 4*dim, ids, want)
				for _, rowBytes := range []int{0, 1, 64, 65, 128, 4 * dim} {
					k.Ask(f.base(), 4*dim, rowBytes, ids)
				}
				k.Ask(f.base(), 4*dim, 4*dim, nil)
				k.Asked().L2IDs(q, f.base(), 4*dim, ids, got)
				require.Equal(t, want, got)
			}
		})
	}
}

func TestHadamard(t *testing.T) {
	generic, err := New(Generic)
	require.NoError(t, err)
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			random := rand.New(rand.NewPCG(4, 4))
			for n := 1; n <= 4096; n *= 2 {
				x, signs := make([]float32, n), make([]float32, n)
				for i := range x {
					x[i], signs[i] = float32(random.NormFloat64()), float32(random.IntN(2)*2-1)
				}
				y := append([]float32(nil), x...)
				k.Hadamard(x, signs)
				generic.Hadamard(y, signs)
				require.Equal(t, y, x, "length %d", n)
				k.Hadamard(x, signs) // twice: not the identity because of the signs, but the length is known
				length, _ := sum(n, func(i int) float64 { return float64(x[i]) * float64(x[i]) })
				once, _ := sum(n, func(i int) float64 { return float64(y[i]) * float64(y[i]) })
				require.InEpsilon(t, once*float64(n), length, 1e-4)
			}
		})
	}
}

func TestTiersCanBeForced(t *testing.T) {
	for _, tier := range Available() {
		k, err := FromEnv(func(name string) string {
			require.Equal(t, TierVariable, name)
			return tier.String()
		})
		require.NoError(t, err)
		require.Equal(t, tier, k.Tier())
	}
	none := func(string) string { return "" }
	k, err := FromEnv(none)
	require.NoError(t, err)
	require.Equal(t, Detect().Tier(), k.Tier())
	_, err = FromEnv(func(string) string { return "mmx" })
	require.ErrorContains(t, err, "mmx")
	_, err = New(Tier(77))
	require.Error(t, err)
}

func TestLongRanges(t *testing.T) {
	for _, k := range tiers(t) {
		const n, rows = 20, 3*chunk + 5
		f := newFixture(1, rows, 4*n)
		f.fillFloats()
		q, all := view[float32](f.base(), n), make([]float32, rows)
		k.L2Range(q, f.base(), 4*n, 0, all)
		k.L2Range(q, f.base(), 4*n, rows, nil)
		for i, got := range all {
			require.InDelta(t, k.L2(q, view[float32](unsafe.Add(f.base(), 4*n*i), n)), got, 1e-4)
		}
	}
}

// Long rows go in small chunks, each asking for the next.
func TestLongRowsInManyChunks(t *testing.T) {
	for _, k := range tiers(t) {
		const n, rows = 300, 5*longChunk + 3
		f := newFixture(2, rows, 4*n)
		f.fillFloats()
		q, out := view[float32](f.base(), n), make([]float32, len(f.ids))
		for _, count := range []int{1, longChunk, longChunk + 1, 2 * longChunk, 2*longChunk + 1, len(f.ids)} {
			k.L2IDs(q, f.base(), 4*n, f.ids[:count], out)
			for i, id := range f.ids[:count] {
				require.InDelta(t, k.L2(q, view[float32](unsafe.Add(f.base(), 4*n*int(id)), n)), out[i], 1e-3)
			}
		}
	}
}

func TestKernelsAllocateNothing(t *testing.T) {
	for _, k := range tiers(t) {
		t.Run(k.Tier().String(), func(t *testing.T) {
			q, memory := make([]float32, 100), make([]float32, 1000)
			ids, out := []uint32{1, 2, 3}, make([]float32, 3)
			require.Zero(t, testing.AllocsPerRun(10, func() {
				k.DotIDs(q, unsafe.Pointer(&memory[0]), 400, ids, out)
				k.L2Range(q, unsafe.Pointer(&memory[0]), 400, 0, out)
				out[0] = k.Dot(q, memory[:100])
			}))
		})
	}
}

func BenchmarkKernels(b *testing.B) {
	for _, tier := range Available() {
		k, err := New(tier)
		require.NoError(b, err)
		for _, n := range []int{128, 768, 1536} {
			const rows = 256
			memory := aligned(rows * n * 4)
			q, code, signed, out := make([]float32, n), make([]uint8, n), make([]int8, n), make([]float32, 32)
			ids := make([]uint32, 32)
			for i := range ids {
				ids[i] = uint32(i * 7 % rows)
			}
			base := unsafe.Pointer(&memory[0])
			for name, f := range map[string]func(){
				"dot_f32":  func() { k.DotIDs(q, base, 4*n, ids, out) },
				"l2_f32":   func() { k.L2IDs(q, base, 4*n, ids, out) },
				"pair_f32": func() { out[0] = k.Dot(q, view[float32](base, n)) },
				"dot_f16":  func() { k.DotF16IDs(q, base, 2*n, ids, out) },
				"l2_u8":    func() { k.L2U8IDs(code, base, n, ids, out) },
				"l2_u7":    func() { k.L2U7IDs(code, base, n, ids, 1, out) },
				"dot_u4":   func() { k.DotU4IDs(signed, base, n/2, ids, 1, 0, out) },
				"hamming":  func() { k.HammingIDs(code[:n/8], base, n/8, ids, 1, 0, out) },
				"bits4":    func() { k.DotBitsIDs(code[:n/2], 4, base, n/8, ids, 1, 0, out) },
			} {
				b.Run(fmt.Sprintf("%s/%s/%d", tier, name, n), func(b *testing.B) {
					for b.Loop() {
						f()
					}
				})
			}
		}
	}
}
