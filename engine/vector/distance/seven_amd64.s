#include "textflag.h"

DATA sevens<>+0x00(SB)/4, $64.5
DATA sevens<>+0x04(SB)/4, $128.0
DATA sevens<>+0x08(SB)/4, $127.5
GLOBL sevens<>(SB), RODATA, $12

// Double words in their order again after two packings within halves.
DATA packed<>+0x00(SB)/8, $0x0000000400000000
DATA packed<>+0x08(SB)/8, $0x0000000500000001
DATA packed<>+0x10(SB)/8, $0x0000000600000002
DATA packed<>+0x18(SB)/8, $0x0000000700000003
GLOBL packed<>(SB), RODATA, $32

// CODE makes whole numbers of eight components, and subtracts 1 from the counts in Y6
// where none had to be clipped.
#define CODE(AT, U, T, T2) \
	VMULPS     AT(SI), Y0, U;   \
	VADDPS     Y1, U, U;        \
	VCMPPS     $13, Y2, U, T;   \ // u ≥ 0
	VCMPPS     $1, Y3, U, T2;   \ // u < 128
	VPAND      T2, T, T;        \
	VPADDD     T, Y6, Y6;       \
	VMAXPS     Y2, U, U;        \ // the second operand where u is not a number: 0
	VMINPS     Y4, U, U;        \
	VCVTTPS2DQ U, U

// func sevenAVX2(dst *byte, src *float32, n int, scale float32) (fitting int)
//
// n is a multiple of 32.
TEXT ·sevenAVX2(SB), NOSPLIT, $0-40
	MOVQ         dst+0(FP), DI
	MOVQ         src+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSS scale+24(FP), Y0
	VBROADCASTSS sevens<>+0(SB), Y1
	VXORPS       Y2, Y2, Y2
	VBROADCASTSS sevens<>+4(SB), Y3
	VBROADCASTSS sevens<>+8(SB), Y4
	VMOVDQU      packed<>(SB), Y5
	VPXOR        Y6, Y6, Y6

next:
	CODE(0, Y8, Y12, Y13)
	CODE(32, Y9, Y12, Y13)
	CODE(64, Y10, Y12, Y13)
	CODE(96, Y11, Y12, Y13)
	VPACKSSDW Y9, Y8, Y8
	VPACKSSDW Y11, Y10, Y10
	VPACKUSWB Y10, Y8, Y8
	VPERMD    Y8, Y5, Y8
	VMOVDQU   Y8, (DI)
	ADDQ      $128, SI
	ADDQ      $32, DI
	SUBQ      $32, CX
	JNE       next

	VEXTRACTI128 $1, Y6, X7
	VPADDD       X7, X6, X6
	VPSHUFD      $0x4e, X6, X7
	VPADDD       X7, X6, X6
	VPSHUFD      $0xb1, X6, X7
	VPADDD       X7, X6, X6
	VMOVD        X6, AX
	NEGL         AX
	MOVQ         AX, fitting+32(FP)
	VZEROUPPER
	RET

// func subtractAVX2(xs, ys *float32, n int)
//
// n is a multiple of 8, and not 0.
TEXT ·subtractAVX2(SB), NOSPLIT, $0-24
	MOVQ xs+0(FP), DI
	MOVQ ys+8(FP), SI
	MOVQ n+16(FP), CX

eight:
	VMOVUPS (DI), Y0
	VSUBPS  (SI), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	SUBQ    $8, CX
	JNE     eight
	VZEROUPPER
	RET
