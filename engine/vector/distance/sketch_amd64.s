#include "textflag.h"

// Bits that are set in the numbers 0 to 15.
DATA nibble<>+0x00(SB)/8, $0x0302020102010100
DATA nibble<>+0x08(SB)/8, $0x0403030203020201
GLOBL nibble<>(SB), RODATA, $16

// Positions of the four sketches of a step, in the order of their sums.
DATA order<>+0x00(SB)/8, $0
DATA order<>+0x08(SB)/8, $2
DATA order<>+0x10(SB)/8, $1
DATA order<>+0x18(SB)/8, $3
GLOBL order<>(SB), RODATA, $32

// The same of the eight of a step of 512 bits.
DATA order8<>+0x00(SB)/8, $0
DATA order8<>+0x08(SB)/8, $4
DATA order8<>+0x10(SB)/8, $1
DATA order8<>+0x18(SB)/8, $5
DATA order8<>+0x20(SB)/8, $2
DATA order8<>+0x28(SB)/8, $6
DATA order8<>+0x30(SB)/8, $3
DATA order8<>+0x38(SB)/8, $7
GLOBL order8<>(SB), RODATA, $64

// COUNT turns the bytes of X into the numbers of their set bits.
#define COUNT(X, T) \
	VPAND   Y1, X, T;  \
	VPSRLW  $4, X, X;  \
	VPAND   Y1, X, X;  \
	VPSHUFB T, Y2, T;  \
	VPSHUFB X, Y2, X;  \
	VPADDB  T, X, X

// FIRST puts the position of the least key in Y5 into AX.
#define FIRST \
	VEXTRACTI128 $1, Y5, X6;     \
	VPMINUD      X6, X5, X5;     \
	VPSHUFD      $0x4e, X5, X6;  \
	VPMINUD      X6, X5, X5;     \
	VMOVD        X5, AX;         \
	ANDL         $0xffffff, AX

// func nearestSketchAVX2(q, all *Sketch, n int) (at int)
//
// A key is the number of bits that differ, and in its lower 24 bits the position, so
// the least key is the first of the nearest. Four sketches at a time; at last the four
// that end the list, some of them for the second time. n is at least 4 and below 1<<24.
TEXT ·nearestSketchAVX2(SB), NOSPLIT, $0-32
	MOVQ           q+0(FP), AX
	MOVQ           all+8(FP), SI
	MOVQ           n+16(FP), CX
	VBROADCASTI128 (AX), Y0
	MOVL           $0x0f0f0f0f, AX
	VMOVD          AX, X1
	VPBROADCASTD   X1, Y1
	VBROADCASTI128 nibble<>(SB), Y2
	VPXOR          Y3, Y3, Y3
	VMOVDQU        order<>(SB), Y4
	VPCMPEQD       Y5, Y5, Y5 // least keys
	MOVL           $4, AX
	VMOVD          AX, X6
	VPBROADCASTQ   X6, Y6
	SUBQ           $4, CX
	MOVQ           CX, DX
	SHLQ           $4, DX // offset of the last four
	XORQ           AX, AX

four:
	VPXOR       (SI)(AX*1), Y0, Y8
	VPXOR       32(SI)(AX*1), Y0, Y9
	COUNT(Y8, Y10)
	COUNT(Y9, Y11)
	VPUNPCKLQDQ Y9, Y8, Y10
	VPUNPCKHQDQ Y9, Y8, Y11
	VPADDB      Y11, Y10, Y10
	VPSADBW     Y3, Y10, Y10
	VPSLLD      $24, Y10, Y10
	VPADDD      Y4, Y10, Y10
	VPMINUD     Y10, Y5, Y5
	VPADDD      Y6, Y4, Y4
	ADDQ        $64, AX
	CMPQ        AX, DX
	JLE         four

	SUBQ         $64, AX
	CMPQ         AX, DX
	JEQ          done
	MOVQ         DX, AX
	VMOVQ        CX, X4
	VPBROADCASTQ X4, Y4
	VPADDD       order<>(SB), Y4, Y4
	JMP          four

done:
	FIRST
	MOVQ AX, at+24(FP)
	VZEROUPPER
	RET

// func nearestSketchAVX512(q, all *Sketch, n int) (at int)
//
// As nearestSketchAVX2, eight sketches at a time; n is at least 8 and below 1<<24.
TEXT ·nearestSketchAVX512(SB), NOSPLIT, $0-32
	MOVQ            q+0(FP), AX
	MOVQ            all+8(FP), SI
	MOVQ            n+16(FP), CX
	VBROADCASTI64X2 (AX), Z0
	VMOVDQU64       order8<>(SB), Z4
	VPTERNLOGD      $0xff, Z5, Z5, Z5 // least keys
	MOVL            $8, AX
	VPBROADCASTQ    AX, Z6
	SUBQ            $8, CX
	MOVQ            CX, DX
	SHLQ            $4, DX            // offset of the last eight
	XORQ            AX, AX

eight:
	VPXORQ      (SI)(AX*1), Z0, Z8
	VPXORQ      64(SI)(AX*1), Z0, Z9
	VPOPCNTQ    Z8, Z8
	VPOPCNTQ    Z9, Z9
	VPUNPCKLQDQ Z9, Z8, Z10
	VPUNPCKHQDQ Z9, Z8, Z11
	VPADDD      Z11, Z10, Z10
	VPSLLD      $24, Z10, Z10
	VPADDD      Z4, Z10, Z10
	VPMINUD     Z10, Z5, Z5
	VPADDD      Z6, Z4, Z4
	ADDQ        $128, AX
	CMPQ        AX, DX
	JLE         eight

	SUBQ         $128, AX
	CMPQ         AX, DX
	JEQ          done
	MOVQ         DX, AX
	VPBROADCASTQ CX, Z4
	VPADDD       order8<>(SB), Z4, Z4
	JMP          eight

done:
	VEXTRACTI64X4 $1, Z5, Y6
	VPMINUD       Y6, Y5, Y5
	FIRST
	MOVQ          AX, at+24(FP)
	VZEROUPPER
	RET
