package main

import (
	"fmt"
	"strings"
)

// Go's assembler knows few vector instructions of arm64; the others are written as
// words, with the instruction as a comment.

// three encodes an instruction of three registers.
func three(name string, code uint32, d, n, m int, arrangement string) string {
	return fmt.Sprintf("WORD $%#08x // %s V%d.%s, V%d.%s, V%d.%s", code|uint32(m)<<16|uint32(n)<<5|uint32(d),
		name, d, arrangement, n, arrangement, m, arrangement)
}

// two encodes an instruction of two registers.
func two(name string, code uint32, d, n int) string {
	return fmt.Sprintf("WORD $%#08x // %s V%d, V%d", code|uint32(n)<<5|uint32(d), name, d, n)
}

func fsub(d, n, m int) string  { return three("FSUB", 0x4EA0D400, d, n, m, "4S") }
func fadd(d, n, m int) string  { return three("FADD", 0x4E20D400, d, n, m, "4S") }
func fmul(d, n, m int) string  { return three("FMUL", 0x6E20DC00, d, n, m, "4S") }
func fabd(d, n, m int) string  { return three("FABD", 0x6EA0D400, d, n, m, "4S") }
func faddp(d, n, m int) string { return three("FADDP", 0x6E20D400, d, n, m, "4S") }
func uabd(d, n, m int) string  { return three("UABD", 0x6E207400, d, n, m, "16B") }
func udot(d, n, m int) string  { return three("UDOT", 0x6E809400, d, n, m, "16B") }
func sdot(d, n, m int) string  { return three("SDOT", 0x4E809400, d, n, m, "16B") }
func fmla(d, n, m int) string  { return fmt.Sprintf("VFMLA V%d.S4, V%d.S4, V%d.S4", m, n, d) }

// neonKernel is one kernel.
type neonKernel struct {
	op, doc string
	element int // bytes of an element of a row
	step    int // bytes of a row that a step takes
	setup   []string
	query   []string             // loads a step of the query from R12
	row     func(r int) []string // adds a step of the row at R8+r to V(r) and V(r+4)
	floats  bool                 // sums are floats
	finish  []string
}

func neonFile(kernels []string) string {
	return header + "#include \"textflag.h\"\n#include \"go_asm.h\"\n\n" +
		"// Four rows are scored at a time: they share each load of the query, and their\n" +
		"// sums are independent, which hides the latency of an addition. Registers:\n//\n" +
		"//	R1 query   R2 row 0   R3 bytes of a row   R4 stride   R5 row numbers   R6 rows left   R7 results\n" +
		"//	R8–R11 rows   R12 query   R13 bytes left   V0–V7 sums   V8–V15 query   then temporaries\n//\n" +
		"// When fewer than four rows are left, the first of them takes the place of those\n" +
		"// missing. Whole steps only: the caller adds the rest of rows in Go.\n\n" +
		strings.Join(kernels, "\n")
}

func (k neonKernel) emit() string {
	var f text
	k.begin(&f)
	for i := range 8 {
		f.line("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	f.lines("MOVD R1, R12", "MOVD R3, R13")
	f.label("step")
	f.lines(k.query...)
	for r := range 4 {
		f.lines(k.row(r)...)
	}
	f.line("SUBS $%d, R13", k.step)
	f.line("BGT  step")
	k.end(&f)
	return f.String()
}

// begin writes everything up to the sums of four rows.
func (k neonKernel) begin(f *text) {
	f.function(k.op+"NEON", k.doc)
	f.lines("MOVD a+0(FP), R0", "MOVD args_q(R0), R1", "MOVD args_base(R0), R2", "MOVD args_n(R0), R3",
		"MOVD args_stride(R0), R4", "MOVD args_ids(R0), R5", "MOVD args_count(R0), R6", "MOVD args_out(R0), R7")
	if shift := map[int]int{2: 1, 4: 2}[k.element]; shift > 0 {
		f.line("LSL  $%d, R3", shift)
	}
	f.note("Ask for the first lines of the rows at args.ask.")
	f.lines("MOVD args_ask(R0), R9", "MOVD args_asked(R0), R10", "MOVD args_lines(R0), R11")
	f.label("ask")
	f.lines("CBZ  R10, ready", "MOVWU.P 4(R9), R8", "MADD R4, R2, R8, R8", "MOVD R11, R12")
	f.label("line")
	f.lines("PRFM (R8), PLDL1KEEP", "ADD  $64, R8", "SUBS $1, R12", "BGT  line", "SUB  $1, R10", "B    ask")
	f.label("ready")
	f.lines(k.setup...)
	f.label("rows4")
	f.lines("CMP  $4, R6", "BLT  fewer",
		"MOVWU (R5), R8", "MOVWU 4(R5), R9", "MOVWU 8(R5), R10", "MOVWU 12(R5), R11", "B    addresses")
	f.label("fewer")
	f.lines("CBZ  R6, done", "MOVWU (R5), R8", "MOVD R8, R9", "MOVD R8, R10", "MOVD R8, R11",
		"CMP  $2, R6", "BLT  addresses", "MOVWU 4(R5), R9", "BEQ  addresses", "MOVWU 8(R5), R10")
	f.label("addresses")
	for r := range 4 {
		f.line("MADD R4, R2, R%d, R%d", 8+r, 8+r)
	}
}

// end reduces the sums to V0 and stores the results.
func (k neonKernel) end(f *text) {
	if k.floats {
		for r := range 4 {
			f.line("%s", fadd(r, r, r+4))
		}
		f.lines(faddp(0, 0, 1), faddp(2, 2, 3), faddp(0, 0, 2))
	} else {
		for r := range 4 {
			f.line("VADD V%d.S4, V%d.S4, V%d.S4", r+4, r, r)
		}
		f.lines("VADDP V1.S4, V0.S4, V0.S4", "VADDP V3.S4, V2.S4, V2.S4", "VADDP V2.S4, V0.S4, V0.S4")
	}
	f.lines(k.finish...)
	f.lines("CMP  $4, R6", "BLT  last", "VST1.P [V0.S4], 16(R7)", "ADD  $16, R5", "SUB  $4, R6", "B    rows4")
	f.label("last")
	f.lines("FMOVS F0, (R7)", "CMP  $2, R6", "BLT  done", "VMOV V0.S[1], R13", "MOVW R13, 4(R7)", "BEQ  done",
		"VMOV V0.S[2], R13", "MOVW R13, 8(R7)")
	f.label("done")
	f.line("RET")
}

func neonGroups() map[string][]string {
	g := map[string][]string{}
	for _, m := range []string{"dot", "l2", "l1"} {
		g["f32"] = append(g["f32"], neonFloats(m, 4).emit())
		g["f16"] = append(g["f16"], neonFloats(m, 2).emit())
		g["u8"] = append(g["u8"], neonBytes(m).emit())
	}
	g["codes"] = []string{neonSevenL2().emit(), neonSevenDot().emit(), neonFourDot().emit()}
	g["bits"] = []string{neonBits("hamming"), neonBits("dotB1")}
	return g
}

// temporaries of row r.
func temporaries(r int) (int, int) { return 16 + 2*r, 17 + 2*r }

func neonFloats(metric string, element int) neonKernel {
	k := neonKernel{
		op: fmt.Sprintf("%sF%d", metric, 8*element), element: element, step: 8 * element, floats: true,
		doc:   map[string]string{"dot": "The inner product.", "l2": "The squared Euclidean distance.", "l1": "The Manhattan distance."}[metric],
		query: []string{"VLD1.P 32(R12), [V8.S4, V9.S4]"},
	}
	k.row = func(r int) []string {
		t, u := temporaries(r)
		s := []string{fmt.Sprintf("VLD1.P 32(R%d), [V%d.S4, V%d.S4]", 8+r, t, u)}
		if element == 2 {
			s = []string{
				fmt.Sprintf("VLD1.P 16(R%d), [V%d.B16]", 8+r, t),
				two("FCVTL2", 0x4E217800, u, t), two("FCVTL", 0x0E217800, t, t),
			}
		}
		switch metric {
		case "dot":
			return append(s, fmla(r, 8, t), fmla(r+4, 9, u))
		case "l2":
			return append(s, fsub(t, 8, t), fsub(u, 9, u), fmla(r, t, t), fmla(r+4, u, u))
		default:
			return append(s, fabd(t, 8, t), fabd(u, 9, u), fadd(r, r, t), fadd(r+4, r+4, u))
		}
	}
	return k
}

var (
	neonUnsigned = []string{two("UCVTF", 0x6E21D800, 0, 0)}
	neonScale    = []string{
		"FMOVS args_scale(R0), F30", "VDUP V30.S[0], V30.S4", "FMOVS args_bias(R0), F29", "VDUP V29.S[0], V29.S4",
		two("SCVTF", 0x4E21D800, 0, 0), fmul(0, 0, 30), fadd(0, 0, 29),
	}
	neonOnes = []string{"VMOVI $1, V31.B16"}
)

// neonIntegers is what kernels of bytes share: 32 of them a step.
func neonIntegers(op, doc string, row func(t, q, acc int) []string) neonKernel {
	k := neonKernel{
		op: op, doc: doc, element: 1, step: 32, finish: neonScale,
		query: []string{"VLD1.P 32(R12), [V8.B16, V9.B16]"},
	}
	k.row = func(r int) []string {
		t, u := temporaries(r)
		s := []string{fmt.Sprintf("VLD1.P 32(R%d), [V%d.B16, V%d.B16]", 8+r, t, u)}
		return append(append(s, row(t, 8, r)...), row(u, 9, r+4)...)
	}
	return k
}

func neonBytes(metric string) neonKernel {
	k := neonIntegers(metric+"U8", "Unsigned bytes, exactly: sums wrap as unsigned 32-bit numbers, which hold 65,536·255².",
		func(t, q, acc int) []string {
			switch metric {
			case "dot":
				return []string{udot(acc, q, t)}
			case "l2":
				return []string{uabd(t, q, t), udot(acc, t, t)}
			default:
				return []string{uabd(t, q, t), udot(acc, t, 31)}
			}
		})
	k.finish = neonUnsigned
	if metric == "l1" {
		k.setup = neonOnes
	}
	return k
}

func neonSevenL2() neonKernel {
	return neonIntegers("l2U7", "The squared distance of 7-bit codes.", func(t, q, acc int) []string {
		return []string{uabd(t, q, t), udot(acc, t, t)}
	})
}

func neonSevenDot() neonKernel {
	return neonIntegers("dotU7", "The inner product of a signed query and 7-bit codes, which are positive signed bytes.",
		func(t, q, acc int) []string { return []string{sdot(acc, q, t)} })
}

func neonFourDot() neonKernel {
	k := neonKernel{
		op: "dotU4", element: 1, step: 64, finish: neonScale,
		doc:   "The inner product of a signed query and 4-bit codes: the low nibbles of a block of\n// 64 bytes go with the first 64 components of the query, the high ones with the next.",
		setup: []string{"VMOVI $15, V31.B16"},
		query: []string{
			"VLD1.P 64(R12), [V8.B16, V9.B16, V10.B16, V11.B16]",
			"VLD1.P 64(R12), [V12.B16, V13.B16, V14.B16, V15.B16]",
		},
	}
	k.row = func(r int) []string {
		s := []string{fmt.Sprintf("VLD1.P 64(R%d), [V16.B16, V17.B16, V18.B16, V19.B16]", 8+r)}
		for i := range 4 {
			s = append(s, fmt.Sprintf("VAND V%d.B16, V31.B16, V%d.B16", 16+i, 20+i), fmt.Sprintf("VUSHR $4, V%d.B16, V%d.B16", 16+i, 24+i),
				sdot(r, 8+i, 20+i), sdot(r+4, 12+i, 24+i))
		}
		return s
	}
	return k
}

// neonBits is a kernel of bits: counts of bits per byte, added up by UDOT with ones.
func neonBits(op string) string {
	doc, combine := "The number of bits that differ.", "VEOR"
	if op == "dotB1" {
		doc, combine = "The sum of the query's components whose bit is set in the row, plane by plane; the\n// first plane is the sign and counts negative.", "VAND"
	}
	k := neonKernel{op: op, doc: doc, element: 1, setup: neonOnes, finish: neonScale}
	var f text
	k.begin(&f)
	for i := range 8 {
		f.line("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	f.lines("MOVD R1, R12", "MOVD args_planes(R0), R14")
	f.label("plane")
	for r := range 4 {
		f.line("VADD V%d.S4, V%d.S4, V%d.S4", r, r, r)
	}
	f.line("MOVD R3, R13")
	f.label("words")
	f.lines("CMP  $16, R13", "BLT  half", "VLD1.P 16(R12), [V8.B16]")
	body := func(load string) {
		for r := range 4 {
			f.line(load, 8+r, 16+r)
			f.line("%s V%d.B16, V8.B16, V%d.B16", combine, 16+r, 16+r)
			f.line("VCNT V%d.B16, V%d.B16", 16+r, 16+r)
			f.line("%s", udot(r, 16+r, 31))
		}
	}
	body("VLD1.P 16(R%d), [V%d.B16]")
	f.lines("SUB  $16, R13", "B    words")
	f.label("half")
	f.note("Eight bytes may be left; loading them clears the upper half of the register.")
	f.lines("CBZ  R13, next", "FMOVD.P 8(R12), F8")
	body("FMOVD.P 8(R%d), F%d")
	f.label("next")
	for r := range 4 {
		f.line("SUB  R3, R%d", 8+r)
	}
	if op == "dotB1" {
		f.lines("MOVD args_planes(R0), R13", "CMP  R13, R14", "BNE  weighed")
		for r := range 4 {
			f.line("%s", two("NEG", 0x6EA0B800, r, r))
		}
		f.label("weighed")
	}
	f.lines("SUBS $1, R14", "BGT  plane")
	k.end(&f)
	return f.String()
}
