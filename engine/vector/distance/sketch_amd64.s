#include "textflag.h"

// func nearestSketchPOPCNT(q0, q1 uint64, all *Sketch, n int) (at int)
//
// A key is the number of bits that differ, and below it the position, so the least key
// is the first of the nearest. Two sketches at a time, each with a least key of its
// own; n is at least 1.
TEXT ·nearestSketchPOPCNT(SB), NOSPLIT, $0-40
	MOVQ q0+0(FP), R8
	MOVQ q1+8(FP), R9
	MOVQ all+16(FP), SI
	MOVQ n+24(FP), CX
	MOVQ $-1, DX
	MOVQ $-1, R12
	XORQ BX, BX
	SUBQ $1, CX
	JLE  last

pair:
	MOVQ    0(SI), AX
	MOVQ    8(SI), DI
	MOVQ    16(SI), R10
	MOVQ    24(SI), R11
	XORQ    R8, AX
	XORQ    R9, DI
	XORQ    R8, R10
	XORQ    R9, R11
	POPCNTQ AX, AX
	POPCNTQ DI, DI
	POPCNTQ R10, R10
	POPCNTQ R11, R11
	ADDQ    DI, AX
	ADDQ    R11, R10
	SHLQ    $32, AX
	SHLQ    $32, R10
	ORQ     BX, AX
	LEAQ    1(R10)(BX*1), R10
	CMPQ    AX, DX
	CMOVQCS AX, DX
	CMPQ    R10, R12
	CMOVQCS R10, R12
	ADDQ    $32, SI
	ADDQ    $2, BX
	CMPQ    BX, CX
	JLT     pair

last:
	CMPQ    BX, CX
	JGT     done
	MOVQ    0(SI), AX
	MOVQ    8(SI), DI
	XORQ    R8, AX
	XORQ    R9, DI
	POPCNTQ AX, AX
	POPCNTQ DI, DI
	ADDQ    DI, AX
	SHLQ    $32, AX
	ORQ     BX, AX
	CMPQ    AX, DX
	CMOVQCS AX, DX

done:
	CMPQ    R12, DX
	CMOVQCS R12, DX
	MOVL    DX, AX
	MOVQ    AX, at+32(FP)
	RET
