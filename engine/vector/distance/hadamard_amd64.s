#include "textflag.h"

// Signs of the partner: negative where an element is the second of its pair, for
// pairs 1, 2, 4 and 8 apart.
DATA second<>+0x00(SB)/4, $0x00000000
DATA second<>+0x04(SB)/4, $0x80000000
DATA second<>+0x08(SB)/4, $0x00000000
DATA second<>+0x0c(SB)/4, $0x80000000
DATA second<>+0x10(SB)/4, $0x00000000
DATA second<>+0x14(SB)/4, $0x80000000
DATA second<>+0x18(SB)/4, $0x00000000
DATA second<>+0x1c(SB)/4, $0x80000000
DATA second<>+0x20(SB)/4, $0x00000000
DATA second<>+0x24(SB)/4, $0x80000000
DATA second<>+0x28(SB)/4, $0x00000000
DATA second<>+0x2c(SB)/4, $0x80000000
DATA second<>+0x30(SB)/4, $0x00000000
DATA second<>+0x34(SB)/4, $0x80000000
DATA second<>+0x38(SB)/4, $0x00000000
DATA second<>+0x3c(SB)/4, $0x80000000
GLOBL second<>(SB), RODATA, $64

DATA pairs2<>+0x00(SB)/8, $0x0000000000000000
DATA pairs2<>+0x08(SB)/8, $0x8000000080000000
DATA pairs2<>+0x10(SB)/8, $0x0000000000000000
DATA pairs2<>+0x18(SB)/8, $0x8000000080000000
DATA pairs2<>+0x20(SB)/8, $0x0000000000000000
DATA pairs2<>+0x28(SB)/8, $0x8000000080000000
DATA pairs2<>+0x30(SB)/8, $0x0000000000000000
DATA pairs2<>+0x38(SB)/8, $0x8000000080000000
GLOBL pairs2<>(SB), RODATA, $64

DATA pairs4<>+0x00(SB)/8, $0x0000000000000000
DATA pairs4<>+0x08(SB)/8, $0x0000000000000000
DATA pairs4<>+0x10(SB)/8, $0x8000000080000000
DATA pairs4<>+0x18(SB)/8, $0x8000000080000000
DATA pairs4<>+0x20(SB)/8, $0x0000000000000000
DATA pairs4<>+0x28(SB)/8, $0x0000000000000000
DATA pairs4<>+0x30(SB)/8, $0x8000000080000000
DATA pairs4<>+0x38(SB)/8, $0x8000000080000000
GLOBL pairs4<>(SB), RODATA, $64

DATA pairs8<>+0x00(SB)/8, $0x0000000000000000
DATA pairs8<>+0x08(SB)/8, $0x0000000000000000
DATA pairs8<>+0x10(SB)/8, $0x0000000000000000
DATA pairs8<>+0x18(SB)/8, $0x0000000000000000
DATA pairs8<>+0x20(SB)/8, $0x8000000080000000
DATA pairs8<>+0x28(SB)/8, $0x8000000080000000
DATA pairs8<>+0x30(SB)/8, $0x8000000080000000
DATA pairs8<>+0x38(SB)/8, $0x8000000080000000
GLOBL pairs8<>(SB), RODATA, $64

// BUTTERFLY replaces A, B by A+B, A−B.
#define BUTTERFLY(A, B, T) \
	VSUBPS B, A, T; \
	VADDPS B, A, A; \
	VMOVAPS T, B

// func hadamardAVX512(x, signs *float32, n int)
//
// n is a power of two, 16 at least. Levels of pairs inside a register come first: an
// element becomes its partner plus itself, with its own sign flipped if it is the
// second of the pair. Then levels of whole registers, two levels in one pass over the
// memory where two are left.
TEXT ·hadamardAVX512(SB), NOSPLIT, $0-24
	MOVQ    x+0(FP), SI
	MOVQ    signs+8(FP), DI
	MOVQ    n+16(FP), CX
	SHLQ    $2, CX
	VMOVUPS second<>(SB), Z16
	VMOVUPS pairs2<>(SB), Z17
	VMOVUPS pairs4<>(SB), Z18
	VMOVUPS pairs8<>(SB), Z19
	XORQ    AX, AX

inside:
	VMOVUPS    (SI)(AX*1), Z0
	VMULPS     (DI)(AX*1), Z0, Z0
	VPERMILPS  $0xB1, Z0, Z1
	VXORPS     Z16, Z0, Z0
	VADDPS     Z1, Z0, Z0
	VPERMILPS  $0x4E, Z0, Z1
	VXORPS     Z17, Z0, Z0
	VADDPS     Z1, Z0, Z0
	VSHUFF32X4 $0xB1, Z0, Z0, Z1
	VXORPS     Z18, Z0, Z0
	VADDPS     Z1, Z0, Z0
	VSHUFF32X4 $0x4E, Z0, Z0, Z1
	VXORPS     Z19, Z0, Z0
	VADDPS     Z1, Z0, Z0
	VMOVUPS    Z0, (SI)(AX*1)
	ADDQ       $64, AX
	CMPQ       AX, CX
	JLT        inside
	ADDQ       SI, CX              // CX = end
	MOVQ       $64, DX             // DX = distance of a pair, bytes

levels:
	LEAQ (SI)(DX*1), AX
	CMPQ AX, CX
	JGE  end
	LEAQ (SI)(DX*2), AX
	CMPQ AX, CX
	JGE  one

	// Two levels: elements DX, 2·DX and 3·DX apart.
	MOVQ SI, R8

group4:
	LEAQ (R8)(DX*1), R9
	LEAQ (R9)(DX*1), R10
	LEAQ (R10)(DX*1), R11
	XORQ AX, AX

inner4:
	VMOVUPS (R8)(AX*1), Z0
	VMOVUPS (R9)(AX*1), Z1
	VMOVUPS (R10)(AX*1), Z2
	VMOVUPS (R11)(AX*1), Z3
	BUTTERFLY(Z0, Z1, Z4)
	BUTTERFLY(Z2, Z3, Z5)
	BUTTERFLY(Z0, Z2, Z6)
	BUTTERFLY(Z1, Z3, Z7)
	VMOVUPS Z0, (R8)(AX*1)
	VMOVUPS Z1, (R9)(AX*1)
	VMOVUPS Z2, (R10)(AX*1)
	VMOVUPS Z3, (R11)(AX*1)
	ADDQ    $64, AX
	CMPQ    AX, DX
	JLT     inner4
	LEAQ    (R11)(DX*1), R8
	CMPQ    R8, CX
	JLT     group4
	SHLQ    $2, DX
	JMP     levels

one:
	LEAQ (SI)(DX*1), R9
	XORQ AX, AX

inner2:
	VMOVUPS (SI)(AX*1), Z0
	VMOVUPS (R9)(AX*1), Z1
	BUTTERFLY(Z0, Z1, Z4)
	VMOVUPS Z0, (SI)(AX*1)
	VMOVUPS Z1, (R9)(AX*1)
	ADDQ    $64, AX
	CMPQ    AX, DX
	JLT     inner2

end:
	VZEROUPPER
	RET

// func hadamardAVX2(x, signs *float32, n int)
//
// The same with registers of 8; n is 8 at least.
TEXT ·hadamardAVX2(SB), NOSPLIT, $0-24
	MOVQ    x+0(FP), SI
	MOVQ    signs+8(FP), DI
	MOVQ    n+16(FP), CX
	SHLQ    $2, CX
	VMOVUPS second<>(SB), Y8
	VMOVUPS pairs2<>(SB), Y9
	VMOVUPS pairs4<>(SB), Y10
	XORQ    AX, AX

inside:
	VMOVUPS    (SI)(AX*1), Y0
	VMULPS     (DI)(AX*1), Y0, Y0
	VPERMILPS  $0xB1, Y0, Y1
	VXORPS     Y8, Y0, Y0
	VADDPS     Y1, Y0, Y0
	VPERMILPS  $0x4E, Y0, Y1
	VXORPS     Y9, Y0, Y0
	VADDPS     Y1, Y0, Y0
	VPERM2F128 $1, Y0, Y0, Y1
	VXORPS     Y10, Y0, Y0
	VADDPS     Y1, Y0, Y0
	VMOVUPS    Y0, (SI)(AX*1)
	ADDQ       $32, AX
	CMPQ       AX, CX
	JLT        inside
	ADDQ       SI, CX
	MOVQ       $32, DX

levels:
	LEAQ (SI)(DX*1), AX
	CMPQ AX, CX
	JGE  end
	LEAQ (SI)(DX*2), AX
	CMPQ AX, CX
	JGE  one
	MOVQ SI, R8

group4:
	LEAQ (R8)(DX*1), R9
	LEAQ (R9)(DX*1), R10
	LEAQ (R10)(DX*1), R11
	XORQ AX, AX

inner4:
	VMOVUPS (R8)(AX*1), Y0
	VMOVUPS (R9)(AX*1), Y1
	VMOVUPS (R10)(AX*1), Y2
	VMOVUPS (R11)(AX*1), Y3
	BUTTERFLY(Y0, Y1, Y4)
	BUTTERFLY(Y2, Y3, Y5)
	BUTTERFLY(Y0, Y2, Y6)
	BUTTERFLY(Y1, Y3, Y7)
	VMOVUPS Y0, (R8)(AX*1)
	VMOVUPS Y1, (R9)(AX*1)
	VMOVUPS Y2, (R10)(AX*1)
	VMOVUPS Y3, (R11)(AX*1)
	ADDQ    $32, AX
	CMPQ    AX, DX
	JLT     inner4
	LEAQ    (R11)(DX*1), R8
	CMPQ    R8, CX
	JLT     group4
	SHLQ    $2, DX
	JMP     levels

one:
	LEAQ (SI)(DX*1), R9
	XORQ AX, AX

inner2:
	VMOVUPS (SI)(AX*1), Y0
	VMOVUPS (R9)(AX*1), Y1
	BUTTERFLY(Y0, Y1, Y4)
	VMOVUPS Y0, (SI)(AX*1)
	VMOVUPS Y1, (R9)(AX*1)
	ADDQ    $32, AX
	CMPQ    AX, DX
	JLT     inner2

end:
	VZEROUPPER
	RET
