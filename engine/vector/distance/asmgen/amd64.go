package main

import (
	"fmt"
	"math/bits"
	"strings"
)

// amd64Tier is an instruction set of amd64: what differs between AVX-512 and AVX2.
type amd64Tier struct {
	suffix string // of files
	name   string // of functions
	reg    string // vector registers: Z or Y
	width  int    // bytes of a vector register
	zero   string // instruction that clears a register by xor
	masked bool   // the rest of a row is read under mask K1
	about  string
}

func avx512() amd64Tier {
	return amd64Tier{
		suffix: "avx512", name: "AVX512", reg: "Z", width: 64, zero: "VPXORD", masked: true,
		about: "A rest of a row shorter than a step is read under mask K1, which never touches\n// memory beyond it.",
	}
}

func avx2() amd64Tier {
	return amd64Tier{
		suffix: "avx2", name: "AVX2", reg: "Y", width: 32, zero: "VPXOR",
		about: "Whole steps only: the caller adds the rest of rows in Go, because AVX2 has no\n// masks for elements below 32 bits.",
	}
}

// amd64Kernel is one kernel for one tier.
type amd64Kernel struct {
	op, doc string
	// step is the bytes of a row that one step takes, element the bytes of an element;
	// queryScale·offset in the row is the offset in the query.
	step, element, queryScale int
	// unroll is the number of steps of four rows in flight, each with its own sums.
	unroll int
	setup  []string
	// query loads step u of the query at displacement d into the registers q(u).
	query func(u int, mask bool) []string
	// row adds step u of the row at address src to sum acc; src may be a register.
	row func(u int, src, tmp, acc string) []string
	// load reads a masked rest of a row into a register and returns that (AVX-512).
	load func(addr, tmp string) (string, string)
	// reduce is the macro for four rows, and reduce1 that for one; join adds two sums.
	reduce, reduce1, join string
	finish, finish1       []string
}

func (t amd64Tier) file(kernels []string) string {
	return header + "#include \"textflag.h\"\n#include \"go_asm.h\"\n#include \"kernel_amd64.h\"\n\n" +
		"// Four rows are scored at a time: they share each load of the query, and their\n" +
		"// sums are independent, which hides the latency of an addition. Registers:\n//\n" +
		"//	SI query   DI row 0   R12 stride   BX row numbers   DX rows left   R13 results\n" +
		"//	R8–R11 rows   AX offset in the row   CX bytes of whole steps   R15 end of unrolled loop\n" +
		"//	" + t.reg + "0–" + t.reg + "7 sums   " + t.reg + "8, " + t.reg + "9 query   then temporaries\n//\n// " + t.about + "\n\n" +
		strings.Join(kernels, "\n")
}

// emit writes the function.
func (t amd64Tier) emit(k amd64Kernel) string {
	var f text
	f.function(k.op+t.name, k.doc)
	f.line("MOVQ a+0(FP), AX")
	f.line("LOADARGS")
	t.prefetch(&f)
	f.lines(k.setup...)
	t.limits(&f, k)
	f.line("SUBQ $4, DX")
	f.line("JL   last")
	f.label("rows4")
	f.line("ROWS4")
	t.sums(&f, k, 4, k.unroll)
	f.line("STORE4")
	f.line("SUBQ $4, DX")
	f.line("JGE  rows4")
	f.label("last")
	f.line("ADDQ $4, DX")
	f.line("JZ   done")
	ahead := 4
	if k.queryRegs() > 1 {
		ahead = 2
	}
	f.note("One to three rows are left: one at a time, with %d sums each.", ahead)
	f.line("LEAQ -%d(CX), R15", (ahead-1)*k.step)
	f.label("row1")
	f.line("ROW1")
	t.sums(&f, k, 1, ahead)
	f.line("STORE1")
	f.line("DECQ DX")
	f.line("JNZ  row1")
	f.label("done")
	f.line("VZEROUPPER")
	f.line("RET")
	return f.String()
}

// prefetch writes the loop that asks for the first lines of rows to come.
func (t amd64Tier) prefetch(f *text) {
	f.note("Ask for the first lines of the rows at args.ask. Four is the usual number.")
	f.lines("MOVQ  args_ask(AX), R9", "MOVQ  args_asked(AX), R10", "TESTQ R10, R10", "JZ    ready", "CMPQ  R15, $4", "JNE   few")
	row := []string{"MOVL  (R9), R8", "IMULQ R12, R8", "ADDQ  DI, R8"}
	f.label("four")
	f.lines(row...)
	f.lines("PREFETCHT0 (R8)", "PREFETCHT0 64(R8)", "PREFETCHT0 128(R8)", "PREFETCHT0 192(R8)", "ADDQ  $4, R9", "DECQ  R10", "JNZ   four", "JMP   ready")
	f.label("few")
	f.lines(row...)
	f.line("MOVQ  R15, R11")
	f.label("line")
	f.lines("PREFETCHT0 (R8)", "ADDQ  $64, R8", "DECQ  R11", "JNZ   line", "ADDQ  $4, R9", "DECQ  R10", "JNZ   few")
	f.label("ready")
}

// limits computes CX and R15, and the mask of the rest.
func (t amd64Tier) limits(f *text, k amd64Kernel) {
	per := k.step / k.element
	if t.masked {
		f.note("K1 masks the n mod %d elements after the last whole step; CX = bytes before them.", per)
		f.lines("MOVQ  CX, R15", fmt.Sprintf("ANDQ  $%d, CX", per-1), "MOVL  $1, AX", "SHLQ  CX, AX", "DECQ  AX", "KMOVQ AX, K1", "SUBQ  CX, R15", "MOVQ  R15, CX")
	}
	if k.element > 1 {
		f.line("SHLQ  $%d, CX", bits.TrailingZeros(uint(k.element)))
	}
	f.line("LEAQ  -%d(CX), R15", (k.unroll-1)*k.step)
}

// queryRegs is the number of registers that a step of the query takes.
func (k amd64Kernel) queryRegs() int {
	if k.queryScale == 2 && k.element == 1 {
		return 2
	}
	return 1
}

// sums writes the loops over rows R8… up to the reduction into X0.
func (t amd64Tier) sums(f *text, k amd64Kernel, rows, ahead int) {
	name := func(s string) string { return fmt.Sprintf("%s%d", s, rows) }
	for i := range rows * ahead {
		r := fmt.Sprintf("%s%d", t.reg, i)
		f.line("%s %s, %s, %s", t.zero, r, r, r)
	}
	f.line("XORQ AX, AX")
	if ahead > 1 {
		f.line("CMPQ AX, R15")
		f.line("JGE  %s", name("steps"))
		f.label(name("unrolled"))
		for u := range ahead {
			t.step(f, k, rows, u, false)
		}
		f.line("ADDQ $%d, AX", ahead*k.step)
		f.line("CMPQ AX, R15")
		f.line("JLT  %s", name("unrolled"))
	}
	f.label(name("steps"))
	f.line("CMPQ AX, CX")
	f.line("JGE  %s", name("rest"))
	t.step(f, k, rows, 0, false)
	f.line("ADDQ $%d, AX", k.step)
	f.line("JMP  %s", name("steps"))
	f.label(name("rest"))
	if t.masked {
		f.line("KTESTQ K1, K1")
		f.line("JZ     %s", name("reduce"))
		t.step(f, k, rows, 0, true)
		f.label(name("reduce"))
	}
	// Join the sums of unrolled steps: those of row r are r, r+rows, r+2·rows, ….
	for n := ahead; n > 1; n /= 2 {
		for i := range rows * n / 2 {
			f.line("%s %s%d, %s%d, %s%d", k.join, t.reg, i+rows*n/2, t.reg, i, t.reg, i)
		}
	}
	if rows == 4 {
		f.line("%s", k.reduce)
		f.lines(k.finish...)
	} else {
		f.line("%s", k.reduce1)
		f.lines(k.finish1...)
	}
}

// step writes one step of all rows. u chooses displacement and sums.
func (t amd64Tier) step(f *text, k amd64Kernel, rows, u int, mask bool) {
	for _, s := range k.query(u, mask) {
		f.line("%s", s)
	}
	for r := range rows {
		tmp := fmt.Sprintf("%s%d", t.reg, 10+r)
		if t.masked {
			tmp = fmt.Sprintf("%s%d", t.reg, 16+r)
		}
		src := fmt.Sprintf("%d(R%d)(AX*1)", u*k.step, 8+r)
		if u == 0 {
			src = fmt.Sprintf("(R%d)(AX*1)", 8+r)
		}
		if mask {
			var s string
			s, src = k.load(src, tmp)
			f.line("%s", s)
		}
		f.lines(k.row(u, src, tmp, fmt.Sprintf("%s%d", t.reg, u*rows+r))...)
	}
}

// q is the register of step u of the query: two serve in turn.
func (t amd64Tier) q(u int) string { return fmt.Sprintf("%s%d", t.reg, 8+u%2) }

// at is an address in the query, d bytes after the current offset scaled by s.
func at(d, s int) string {
	if d == 0 {
		return fmt.Sprintf("(SI)(AX*%d)", s)
	}
	return fmt.Sprintf("%d(SI)(AX*%d)", d, s)
}

// groups returns the functions of the tier by the file they belong in.
func (t amd64Tier) groups() map[string][]string {
	g := map[string][]string{"f32": nil, "f16": nil, "u8": nil, "codes": nil, "bits": nil}
	for _, m := range []string{"dot", "l2", "l1"} {
		g["f32"] = append(g["f32"], t.emit(t.floats(m, 4)))
		g["f16"] = append(g["f16"], t.emit(t.floats(m, 2)))
	}
	g["u8"] = []string{t.emit(t.bytesDot()), t.emit(t.bytesL2()), t.emit(t.bytesL1())}
	g["codes"] = []string{t.emit(t.sevenL2()), t.emit(t.sevenDot()), t.emit(t.fourDot())}
	if t.masked {
		g["bits"] = []string{t.bitPlanes("hamming"), t.bitPlanes("dotB1")}
	} else {
		g["bits"] = []string{popcount("hamming"), popcount("dotB1")}
	}
	return g
}
