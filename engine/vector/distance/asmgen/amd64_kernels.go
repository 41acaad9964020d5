package main

import "fmt"

// half is the register of half the width with the same number.
func (t amd64Tier) half(r string) string {
	if t.reg == "Z" {
		return "Y" + r[1:]
	}
	return "X" + r[1:]
}

// floats is a kernel of float32 queries against rows of float32 (element 4) or
// float16 (element 2), which are widened as they are loaded.
func (t amd64Tier) floats(metric string, element int) amd64Kernel {
	k := amd64Kernel{
		op: fmt.Sprintf("%sF%d", metric, 8*element), element: element, step: t.width * element / 4,
		queryScale: 4 / element, unroll: 2,
		reduce: "REDUCE4F_" + t.name, reduce1: "REDUCE1F_" + t.name, join: "VADDPS",
	}
	k.query = func(u int, mask bool) []string {
		if mask {
			return []string{fmt.Sprintf("VMOVUPS.Z %s, K1, %s", at(0, k.queryScale), t.q(0))}
		}
		return []string{fmt.Sprintf("VMOVUPS %s, %s", at(u*t.width, k.queryScale), t.q(u))}
	}
	k.load = func(addr, tmp string) (string, string) {
		return fmt.Sprintf("VMOVUPS.Z %s, K1, %s", addr, tmp), tmp
	}
	if element == 2 {
		k.load = func(addr, tmp string) (string, string) {
			return fmt.Sprintf("VMOVDQU16.Z %s, K1, %s", addr, t.half(tmp)), t.half(tmp)
		}
	}
	k.row = func(u int, src, tmp, acc string) []string {
		var s []string
		if element == 2 {
			s = append(s, fmt.Sprintf("VCVTPH2PS %s, %s", src, tmp))
			src = tmp
		}
		return append(s, t.floatMetric(metric, t.q(u), src, tmp, acc)...)
	}
	switch metric {
	case "dot":
		k.doc = "The inner product: one fused multiply-add a step."
	case "l2":
		k.doc = "The squared Euclidean distance."
	case "l1":
		k.doc = "The Manhattan distance: the sign bit of differences is cleared by a mask."
		k.setup = []string{"MOVL $0x7fffffff, AX", "VMOVD AX, X15", fmt.Sprintf("VPBROADCASTD X15, %s15", t.reg)}
	}
	return k
}

func (t amd64Tier) floatMetric(metric, q, src, tmp, acc string) []string {
	fma := func(a, b string) string { return fmt.Sprintf("VFMADD231PS %s, %s, %s", a, b, acc) }
	sub := fmt.Sprintf("VSUBPS %s, %s, %s", src, q, tmp)
	switch metric {
	case "dot":
		return []string{fma(src, q)}
	case "l2":
		return []string{sub, fma(tmp, tmp)}
	default:
		return []string{
			sub, fmt.Sprintf("VANDPS %s15, %s, %s", t.reg, tmp, tmp),
			fmt.Sprintf("VADDPS %s, %s, %s", tmp, acc, acc),
		}
	}
}

// integers is what kernels of integers share. vector is the step in bytes.
func (t amd64Tier) integers(op, doc string, step int) amd64Kernel {
	k := amd64Kernel{
		op: op, doc: doc, element: 1, step: step, queryScale: 1, unroll: 1,
		reduce: "REDUCE4I_" + t.name, reduce1: "REDUCE1I_" + t.name, join: "VPADDD",
		finish: []string{"SCALE4"}, finish1: []string{"SCALE1"},
	}
	k.query = func(u int, mask bool) []string {
		if mask {
			return []string{fmt.Sprintf("VMOVDQU8.Z %s, K1, %s", at(0, 1), t.q(0))}
		}
		return []string{fmt.Sprintf("VMOVDQU%s %s, %s", t.wide(), at(u*step, 1), t.q(u))}
	}
	k.load = func(addr, tmp string) (string, string) {
		return fmt.Sprintf("VMOVDQU8.Z %s, K1, %s", addr, tmp), tmp
	}
	return k
}

// wide is the suffix of unmasked integer moves: AVX-512 names an element size.
func (t amd64Tier) wide() string {
	if t.masked {
		return "64"
	}
	return ""
}

// bytes is a kernel of unsigned bytes, widened to 16 bits as they are loaded.
func (t amd64Tier) bytes(op, doc string, sub bool) amd64Kernel {
	k := t.integers(op, doc, t.width/2)
	k.finish, k.finish1 = []string{"UNSIGNED4_" + t.name}, []string{"UNSIGNED1_" + t.name}
	k.query = func(u int, mask bool) []string {
		if mask {
			h := t.half(t.q(0))
			return []string{fmt.Sprintf("VMOVDQU8.Z %s, K1, %s", at(0, 1), h), fmt.Sprintf("VPMOVZXBW %s, %s", h, t.q(0))}
		}
		return []string{fmt.Sprintf("VPMOVZXBW %s, %s", at(u*k.step, 1), t.q(u))}
	}
	k.load = func(addr, tmp string) (string, string) {
		return fmt.Sprintf("VMOVDQU8.Z %s, K1, %s", addr, t.half(tmp)), t.half(tmp)
	}
	k.row = func(u int, src, tmp, acc string) []string {
		s := []string{fmt.Sprintf("VPMOVZXBW %s, %s", src, tmp)}
		other := t.q(u)
		if sub {
			s = append(s, fmt.Sprintf("VPSUBW %s, %s, %s", tmp, other, tmp))
			other = tmp
		}
		if t.masked {
			return append(s, fmt.Sprintf("VPDPWSSD %s, %s, %s", tmp, other, acc))
		}
		return append(s, fmt.Sprintf("VPMADDWD %s, %s, %s", tmp, other, tmp), fmt.Sprintf("VPADDD %s, %s, %s", tmp, acc, acc))
	}
	return k
}

func (t amd64Tier) bytesDot() amd64Kernel {
	return t.bytes("dotU8", "The inner product of unsigned bytes. Sums wrap as unsigned 32-bit numbers, which\n// hold 65,536·255².", false)
}

func (t amd64Tier) bytesL2() amd64Kernel {
	return t.bytes("l2U8", "The squared Euclidean distance of unsigned bytes, exact as their inner product.", true)
}

func (t amd64Tier) bytesL1() amd64Kernel {
	k := t.integers("l1U8", "The Manhattan distance of bytes: VPSADBW sums eight differences into 64 bits, of\n// which the upper halves stay zero.", t.width)
	k.finish, k.finish1 = []string{"UNSIGNED4_" + t.name}, []string{"UNSIGNED1_" + t.name}
	k.row = func(u int, src, tmp, acc string) []string {
		return []string{fmt.Sprintf("VPSADBW %s, %s, %s", src, t.q(u), tmp), fmt.Sprintf("VPADDD %s, %s, %s", tmp, acc, acc)}
	}
	return k
}

// onesWords makes 16-bit ones in register 15, with which VPMADDWD adds pairs.
func (t amd64Tier) onesWords() []string {
	if t.masked {
		return nil
	}
	return []string{"VPCMPEQW Y15, Y15, Y15", "VPSRLW $15, Y15, Y15"}
}

// dotBytes adds u·s to acc, for unsigned u and signed s; tmp may be u.
func (t amd64Tier) dotBytes(u, s, tmp, acc string) []string {
	if t.masked {
		return []string{fmt.Sprintf("VPDPBUSD %s, %s, %s", s, u, acc)}
	}
	return []string{
		fmt.Sprintf("VPMADDUBSW %s, %s, %s", s, u, tmp),
		fmt.Sprintf("VPMADDWD Y15, %s, %s", tmp, tmp),
		fmt.Sprintf("VPADDD %s, %s, %s", tmp, acc, acc),
	}
}

func (t amd64Tier) sevenL2() amd64Kernel {
	k := t.integers("l2U7", "The squared distance of 7-bit codes. Differences fit a signed byte and their\n// magnitude 7 bits, so it serves as both the unsigned and the signed factor; the sum\n// of two products, 32,258 at most, doesn't saturate 16 bits.", t.width)
	k.setup = t.onesWords()
	k.row = func(u int, src, tmp, acc string) []string {
		return append([]string{
			fmt.Sprintf("VPSUBB %s, %s, %s", src, t.q(u), tmp), fmt.Sprintf("VPABSB %s, %s", tmp, tmp),
		}, t.dotBytes(tmp, tmp, tmp, acc)...)
	}
	return k
}

func (t amd64Tier) sevenDot() amd64Kernel {
	k := t.integers("dotU7", "The inner product of a signed query and 7-bit codes.", t.width)
	k.setup = t.onesWords()
	k.row = func(u int, src, tmp, acc string) []string {
		s := []string{fmt.Sprintf("VMOVDQU%s %s, %s", t.wide(), src, tmp)}
		if src == tmp {
			s = nil
		}
		return append(s, t.dotBytes(tmp, t.q(u), tmp, acc)...)
	}
	return k
}

// fourDot takes a block of 64 bytes a step, for which AVX2 needs two halves.
func (t amd64Tier) fourDot() amd64Kernel {
	k := t.integers("dotU4", "The inner product of a signed query and 4-bit codes: the low nibbles of a block of\n// 64 bytes go with the first 64 components of the query, the high ones with the next.", 64)
	k.queryScale = 2
	mask := t.reg + "14"
	k.setup = append(t.onesWords(), "MOVL $0x0f0f0f0f, AX", "VMOVD AX, X14", "VPBROADCASTD X14, "+mask)
	k.query = func(u int, masked bool) []string {
		if masked || !t.masked {
			return nil // rows are whole blocks; AVX2 reads the query from memory
		}
		return []string{fmt.Sprintf("VMOVDQU64 %s, Z8", at(u*128, 2)), fmt.Sprintf("VMOVDQU64 %s, Z9", at(u*128+64, 2))}
	}
	k.load = func(string, string) (string, string) { return "// rows are whole blocks: there is no rest", "" }
	k.row = func(u int, src, tmp, acc string) []string {
		if src == "" {
			return nil
		}
		if t.masked {
			high := fmt.Sprintf("Z%d", 20+int(tmp[2]-'6')) // Z16 → Z20, …
			return []string{
				fmt.Sprintf("VMOVDQU64 %s, %s", src, tmp),
				fmt.Sprintf("VPSRLW $4, %s, %s", tmp, high),
				fmt.Sprintf("VPANDD %s, %s, %s", mask, tmp, tmp),
				fmt.Sprintf("VPANDD %s, %s, %s", mask, high, high),
				fmt.Sprintf("VPDPBUSD Z8, %s, %s", tmp, acc),
				fmt.Sprintf("VPDPBUSD Z9, %s, %s", high, acc),
			}
		}
		return fourDotAVX2(u, src, tmp, acc)
	}
	return k
}

// fourDotAVX2 takes the halves of a block one after the other. Four products of a
// nibble and a byte sum to 7,620 at most, so the two 16-bit results of low and high
// nibbles are added before they are widened.
func fourDotAVX2(u int, src, tmp, acc string) []string {
	var s []string
	row := src[indexOf(src, '('):]
	for half := range 2 {
		address := row
		if d := u*64 + half*32; d > 0 {
			address = fmt.Sprintf("%d%s", d, row)
		}
		s = append(s,
			fmt.Sprintf("VMOVDQU %s, %s", address, tmp),
			fmt.Sprintf("VPSRLW $4, %s, Y9", tmp),
			fmt.Sprintf("VPAND Y14, %s, %s", tmp, tmp),
			"VPAND Y14, Y9, Y9",
			fmt.Sprintf("VPMADDUBSW %s, %s, %s", at(u*128+half*32, 2), tmp, tmp),
			fmt.Sprintf("VPMADDUBSW %s, Y9, Y9", at(u*128+half*32+64, 2)),
			fmt.Sprintf("VPADDW Y9, %s, %s", tmp, tmp),
			fmt.Sprintf("VPMADDWD Y15, %s, %s", tmp, tmp),
			fmt.Sprintf("VPADDD %s, %s, %s", tmp, acc, acc))
	}
	return s
}

func indexOf(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return 0
}
