#include "textflag.h"

// func cpuid(leaf, sub uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL sub+4(FP), CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
	RET

// func narrowF16C(dst *uint16, src *float32, n int)
//
// Eight numbers at a time; n is a multiple of 8. The immediate 0 is rounding to
// nearest even, whatever the rounding mode of the thread.
TEXT ·narrowF16C(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

narrow:
	VMOVUPS   (SI), Y0
	VCVTPS2PH $0, Y0, X0
	VMOVUPS   X0, (DI)
	ADDQ      $32, SI
	ADDQ      $16, DI
	SUBQ      $8, CX
	JNZ       narrow
	VZEROUPPER
	RET

// func widenF16C(dst *float32, src *uint16, n int)
TEXT ·widenF16C(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

widen:
	VCVTPH2PS (SI), Y0
	VMOVUPS   Y0, (DI)
	ADDQ      $16, SI
	ADDQ      $32, DI
	SUBQ      $8, CX
	JNZ       widen
	VZEROUPPER
	RET

// func prefetchAMD64(p unsafe.Pointer, lines int)
TEXT ·prefetchAMD64(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ lines+8(FP), CX

line:
	SUBQ       $1, CX
	JLT        end
	PREFETCHT0 (AX)
	ADDQ       $64, AX
	JMP        line

end:
	RET

// func gatherAMD64(links *uint32, n int, visited *uint16, limit int, epoch uint16, out *uint32) int
//
// Two passes. The first finds the end of the list and asks for the stamps, which lie
// scattered: their misses then overlap. The second has no branch that depends on a
// stamp, which would be mispredicted half of the time: it always writes the link, and
// moves on only if it was new. Vector gathers and scatters don't help: they are as slow
// as these loads, and the time goes into misses.
TEXT ·gatherAMD64(SB), NOSPLIT, $0-56
	MOVQ    links+0(FP), SI
	MOVQ    n+8(FP), CX
	MOVQ    visited+16(FP), DI
	MOVQ    limit+24(FP), R11
	MOVWLZX epoch+32(FP), DX
	MOVQ    out+40(FP), BX
	XORQ    AX, AX
	XORQ    R9, R9

ask:
	MOVL       (SI)(R9*4), R8
	CMPL       R8, $-1
	JEQ        asked
	PREFETCHT0 (DI)(R8*2)
	INCQ       R9
	CMPQ       R9, CX
	JLT        ask

asked:
	MOVQ  R9, CX
	XORQ  R9, R9
	TESTQ CX, CX
	JZ    end

link:
	MOVL  (SI)(R9*4), R8
	INCQ  R9
	CMPQ  R8, R11
	JCC   skip           // beyond the rows there are
	MOVL  R8, (BX)(AX*4)
	XORL  R10, R10
	CMPW  (DI)(R8*2), DX
	SETNE R10
	MOVW  DX, (DI)(R8*2)
	ADDQ  R10, AX

skip:
	CMPQ R9, CX
	JLT  link

end:
	MOVQ AX, ret+48(FP)
	RET
