#include "textflag.h"

DATA infinity<>+0x00(SB)/4, $0x7f800000
GLOBL infinity<>(SB), RODATA, $4

// Masks of the first of eight distances: all of them, then less with each one skipped.
DATA firsts<>+0x00(SB)/8, $0xffffffffffffffff
DATA firsts<>+0x08(SB)/8, $0xffffffffffffffff
DATA firsts<>+0x10(SB)/8, $0xffffffffffffffff
DATA firsts<>+0x18(SB)/8, $0xffffffffffffffff
DATA firsts<>+0x20(SB)/8, $0
DATA firsts<>+0x28(SB)/8, $0
DATA firsts<>+0x30(SB)/8, $0
DATA firsts<>+0x38(SB)/8, $0
GLOBL firsts<>(SB), RODATA, $64

// Both kernels keep the list in R8, its length in R9, limit in R10, the lowest position in R12, rows in SI,
// distances in DI, and in AX a bit for each row that has to be looked at. A full list leaves
// out at once what isn't nearer than its last. From the end of the list on, what is farther than a row moves by one, eight
// or four entries at a time, until some of them are not: entries are pairs of 32 bits, of which the first are compared.

#define BEGIN \
	MOVQ list+0(FP), R8;        \
	MOVQ n+8(FP), R9;           \
	MOVQ limit+16(FP), R10;     \
	MOVQ rows+24(FP), SI;       \
	MOVQ distances+32(FP), DI;  \
	MOVQ count+40(FP), CX;      \
	MOVQ R9, R12;               \
	MOVL $-1, AX;               \
	SHLL CX, AX;                \
	NOTL AX

// NEXT takes the next row into BX, its distance into V, and how many entries are left to look at into CX, and falls through to
// the label MOVE; without a next row it goes to done.
#define NEXT(V, MOVE) \
next:                                 \
	TESTL        AX, AX;              \
	JEQ          done;                \
	TZCNTL       AX, BX;              \
	LEAL         -1(AX), DX;          \
	ANDL         DX, AX;              \
	VBROADCASTSS (DI)(BX*4), V;       \
	CMPQ         R9, R10;             \
	JNE          room;                \
	VMOVSS       -8(R8)(R9*8), X3;    \
	VUCOMISS     X2, X3;              \
	JLS          next;                \ // the last isn't farther any more
	LEAQ         -1(R9), CX;          \
	JMP          MOVE;                \
room:                                 \
	VUCOMISS     X2, X2;              \
	JPC          number;              \
	VBROADCASTSS infinity<>(SB), V;   \
number:                               \
	MOVQ         R9, CX;              \
	INCQ         R9

// PLACE puts row BX, whose distance is in X2, into position CX.
#define PLACE \
	MOVL    (SI)(BX*4), R11;   \
	VMOVSS  X2, (R8)(CX*8);    \
	MOVL    R11, 4(R8)(CX*8);  \
	CMPQ    CX, R12;           \
	CMOVQLT CX, R12

#define END \
	MOVQ R9, longer+48(FP); \
	MOVQ R12, low+56(FP);   \
	VZEROUPPER

// func insertNearAVX512(list *Near, n, limit int, rows *uint32, distances *float32, count int) (longer, low int)
//
// count is 1 to 8, limit at least 1.
TEXT ·insertNearAVX512(SB), NOSPLIT, $0-64
	BEGIN
	CMPQ         R9, R10
	JNE          next
	KMOVW        AX, K1
	VMOVUPS.Z    (DI), K1, Y1
	VBROADCASTSS -8(R8)(R9*8), Y2
	VCMPPS       $0x11, Y2, Y1, K1, K1 // less
	KMOVW        K1, AX

	NEXT(Z2, eight)

eight: // CX entries are left
	CMPQ    CX, $8
	JLT     rest
	VMOVUPS -64(R8)(CX*8), Z3
	VCMPPS  $0x1e, Z2, Z3, K3 // farther
	KMOVW   K3, DX
	ANDL    $0x5555, DX
	CMPL    DX, $0x5555
	JNE     some
	VMOVUPS Z3, -56(R8)(CX*8)
	SUBQ    $8, CX
	JMP     eight

some:
	LEAL    (DX)(DX*2), R11
	KMOVW   R11, K3
	VMOVUPS Z3, K3, -56(R8)(CX*8)
	POPCNTL DX, DX
	SUBQ    DX, CX
	JMP     place

rest:
	MOVL      $-1, DX
	ADDQ      CX, CX
	SHLL      CX, DX
	NOTL      DX
	SHRQ      $1, CX
	KMOVW     DX, K3
	VMOVUPS.Z (R8), K3, Z3
	VCMPPS    $0x1e, Z2, Z3, K3, K3
	KMOVW     K3, DX
	ANDL      $0x5555, DX
	LEAL      (DX)(DX*2), R11
	KMOVW     R11, K3
	VMOVUPS   Z3, K3, 8(R8)
	POPCNTL   DX, DX
	SUBQ      DX, CX

place:
	PLACE
	JMP next

done:
	END
	RET

// func insertNearAVX2(list *Near, n, limit int, rows *uint32, distances *float32, count int) (longer, low int)
//
// count is 1 to 8, limit at least 1.
TEXT ·insertNearAVX2(SB), NOSPLIT, $0-64
	BEGIN
	CMPQ         R9, R10
	JNE          next
	LEAQ         firsts<>+32(SB), DX
	SHLQ         $2, CX
	SUBQ         CX, DX
	VMOVDQU      (DX), Y1
	VMASKMOVPS   (DI), Y1, Y1
	VBROADCASTSS -8(R8)(R9*8), Y2
	VCMPPS       $0x11, Y2, Y1, Y1 // less
	VMOVMSKPS    Y1, DX
	ANDL         DX, AX

	NEXT(Y2, four)

four: // CX entries are left
	CMPQ      CX, $4
	JLT       rest
	VMOVUPS   -32(R8)(CX*8), Y3
	VCMPPS    $0x1e, Y2, Y3, Y4 // farther
	VMOVMSKPS Y4, DX
	ANDL      $0x55, DX
	CMPL      DX, $0x55
	JNE       some
	VMOVUPS   Y3, -24(R8)(CX*8)
	SUBQ      $4, CX
	JMP       four

some:
	VPSHUFD    $0xa0, Y4, Y4
	VPMASKMOVQ Y3, Y4, -24(R8)(CX*8)
	POPCNTL    DX, DX
	SUBQ       DX, CX
	JMP        place

rest:
	TESTQ    CX, CX
	JEQ      place
	VMOVSS   -8(R8)(CX*8), X3
	VUCOMISS X2, X3
	JLS      place
	MOVQ     -8(R8)(CX*8), DX
	MOVQ     DX, (R8)(CX*8)
	DECQ     CX
	JMP      rest

place:
	PLACE
	JMP next

done:
	END
	RET
