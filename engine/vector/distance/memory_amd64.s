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

// func prefetchRowsAMD64(base unsafe.Pointer, stride int, ids *uint32, count, lines int)
//
// count and lines are at least 1.
TEXT ·prefetchRowsAMD64(SB), NOSPLIT, $0-40
	MOVQ base+0(FP), DI
	MOVQ stride+8(FP), R12
	MOVQ ids+16(FP), SI
	MOVQ count+24(FP), DX
	MOVQ lines+32(FP), CX

	CMPQ  CX, $2
	JE    two

row:
	MOVL  (SI), AX
	IMULQ R12, AX
	ADDQ  DI, AX
	MOVQ  CX, BX

rowLine:
	PREFETCHT0 (AX)
	ADDQ       $64, AX
	DECQ       BX
	JNZ        rowLine
	ADDQ       $4, SI
	DECQ       DX
	JNZ        row
	RET

two:
	MOVL       (SI), AX
	IMULQ      R12, AX
	PREFETCHT0 (DI)(AX*1)
	PREFETCHT0 64(DI)(AX*1)
	ADDQ       $4, SI
	DECQ       DX
	JNZ        two
	RET
