package main

import "fmt"

// bitPlanes is a kernel of bits for AVX-512: per 64 bytes of a row an AND (or XOR)
// with the query and VPOPCNTQ. dotB1 goes over the planes of the query by Horner's
// rule; the first, which is the sign, counts negative.
func (t amd64Tier) bitPlanes(op string) string {
	var f text
	doc := "The number of bits that differ."
	if op == "dotB1" {
		doc = "The sum of the query's components whose bit is set in the row."
	}
	f.function(op+t.name, doc)
	f.lines("MOVQ a+0(FP), AX", "LOADARGS")
	t.prefetch(&f)
	f.note("K1 masks the bytes after the last whole 64; CX = bytes before them.")
	f.lines("MOVQ  CX, R15", "ANDQ  $63, CX", "MOVL  $1, AX", "SHLQ  CX, AX", "DECQ  AX", "KMOVQ AX, K1", "SUBQ  CX, R15", "MOVQ  R15, CX")
	f.line("SUBQ  $4, DX")
	f.line("JL    last")
	f.label("rows4")
	f.line("ROWS4")
	t.planes(&f, op, 4)
	f.lines("REDUCE4Q", "SCALE4", "STORE4", "SUBQ $4, DX", "JGE  rows4")
	f.label("last")
	f.line("ADDQ $4, DX")
	f.line("JZ   done")
	f.label("row1")
	f.line("ROW1")
	t.planes(&f, op, 1)
	f.lines("REDUCE1Q", "SCALE1", "STORE1", "DECQ DX", "JNZ  row1")
	f.label("done")
	f.lines("VZEROUPPER", "RET")
	return f.String()
}

// planes writes the loops over the planes of the query.
func (t amd64Tier) planes(f *text, op string, rows int) {
	for r := range rows {
		f.line("VPXORD Z%d, Z%d, Z%d", r, r, r)
	}
	if op == "hamming" {
		t.plane(f, rows, "first", "VPXORQ", "VPADDQ")
		return
	}
	f.note("Back to the first plane; R15 = planes.")
	f.lines("MOVQ a+0(FP), AX", "MOVQ args_q(AX), SI", "MOVQ args_planes(AX), R15")
	t.plane(f, rows, "first", "VPANDQ", "VPSUBQ")
	f.label(fmt.Sprintf("plane%d", rows))
	f.line("DECQ R15")
	f.line("JZ   sum%d", rows)
	f.note("The next plane starts args.n bytes on; what came before counts twice.")
	f.lines("MOVQ a+0(FP), AX", "ADDQ args_n(AX), SI")
	for r := range rows {
		f.line("VPADDQ Z%d, Z%d, Z%d", r, r, r)
	}
	t.plane(f, rows, "next", "VPANDQ", "VPADDQ")
	f.line("JMP  plane%d", rows)
	f.label(fmt.Sprintf("sum%d", rows))
}

// plane writes the loop over the bytes of the rows for one plane.
func (t amd64Tier) plane(f *text, rows int, name, combine, add string) {
	label := func(s string) string { return fmt.Sprintf("%s%s%d", name, s, rows) }
	body := func(mask bool) {
		q, load := "VMOVDQU64 (SI)(AX*1), Z8", ""
		if mask {
			q, load = "VMOVDQU8.Z (SI)(AX*1), K1, Z8", "VMOVDQU8.Z (R%d)(AX*1), K1, Z%d"
		}
		f.line("%s", q)
		for r := range rows {
			src := fmt.Sprintf("(R%d)(AX*1)", 8+r)
			if mask {
				f.line(load, 8+r, 16+r)
				src = fmt.Sprintf("Z%d", 16+r)
			}
			f.line("%s %s, Z8, Z%d", combine, src, 16+r)
			f.line("VPOPCNTQ Z%d, Z%d", 16+r, 16+r)
			f.line("%s Z%d, Z%d, Z%d", add, 16+r, r, r)
		}
	}
	f.line("XORQ AX, AX")
	f.label(label("steps"))
	f.line("CMPQ AX, CX")
	f.line("JGE  %s", label("rest"))
	body(false)
	f.line("ADDQ $64, AX")
	f.line("JMP  %s", label("steps"))
	f.label(label("rest"))
	f.line("KTESTQ K1, K1")
	f.line("JZ     %s", label("done"))
	body(true)
	f.label(label("done"))
}

// popcount is a kernel of bits without vectors: POPCNT counts 8 bytes a cycle, which
// is as fast as AVX2 can do it. One row at a time; it has no latency to hide.
func popcount(op string) string {
	var f text
	doc, combine := "The number of bits that differ.", "XORQ"
	if op == "dotB1" {
		doc, combine = "The sum of the query's components whose bit is set in the row, plane by plane.", "ANDQ"
	}
	f.function(op+"AVX2", doc)
	f.lines("MOVQ a+0(FP), AX", "LOADARGS")
	amd64Tier{}.prefetch(&f)
	f.line("TESTQ DX, DX")
	f.line("JZ    done")
	f.label("row1")
	f.line("ROW1")
	f.note("R9 = sum, R11 = planes left.")
	f.lines("MOVQ a+0(FP), AX", "MOVQ args_q(AX), SI", "MOVQ args_planes(AX), R11", "XORQ R9, R9")
	f.label("plane")
	f.lines("ADDQ R9, R9", "XORQ R15, R15", "XORQ AX, AX")
	f.label("words")
	f.lines("CMPQ AX, CX", "JGE  next")
	f.lines("MOVQ (SI)(AX*1), R10", combine+" (R8)(AX*1), R10", "POPCNTQ R10, R10", "ADDQ R10, R15", "ADDQ $8, AX", "JMP  words")
	f.label("next")
	if op == "dotB1" {
		f.note("The first plane is the sign and counts negative.")
		f.lines("MOVQ a+0(FP), AX", "CMPQ R11, args_planes(AX)", "JNE  add", "NEGQ R15")
		f.label("add")
	}
	f.lines("ADDQ R15, R9", "ADDQ CX, SI", "DECQ R11", "JNZ  plane", "VMOVD R9, X0", "SCALE1", "STORE1", "DECQ DX", "JNZ  row1")
	f.label("done")
	f.line("RET")
	return f.String()
}
