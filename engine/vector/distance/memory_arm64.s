#include "textflag.h"

// Instructions that Go's assembler doesn't know are written as words.

// func narrowNEON(dst *uint16, src *float32, n int)
//
// Eight numbers at a time; n is a multiple of 8.
TEXT ·narrowNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2

narrow:
	VLD1.P 32(R1), [V0.S4, V1.S4]
	WORD   $0x0e216802              // FCVTN V2.4H, V0.4S
	WORD   $0x4e216822              // FCVTN2 V2.8H, V1.4S
	VST1.P [V2.H8], 16(R0)
	SUBS   $8, R2
	BGT    narrow
	RET

// func widenNEON(dst *float32, src *uint16, n int)
TEXT ·widenNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2

widen:
	VLD1.P 16(R1), [V0.H8]
	WORD   $0x0e217801              // FCVTL V1.4S, V0.4H
	WORD   $0x4e217802              // FCVTL2 V2.4S, V0.8H
	VST1.P [V1.S4, V2.S4], 32(R0)
	SUBS   $8, R2
	BGT    widen
	RET

// func prefetchNEON(p unsafe.Pointer, lines int)
TEXT ·prefetchNEON(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD lines+8(FP), R1

line:
	SUBS $1, R1
	BLT  end
	PRFM (R0), PLDL1KEEP
	ADD  $64, R0
	B    line

end:
	RET

// func butterfliesNEON(a, b *float32, n int)
//
// Replaces a, b by a+b, a−b, eight elements at a time; n is a multiple of 8.
TEXT ·butterfliesNEON(SB), NOSPLIT, $0-24
	MOVD a+0(FP), R0
	MOVD b+8(FP), R1
	MOVD n+16(FP), R2

pairs:
	VLD1   (R0), [V0.S4, V1.S4]
	VLD1   (R1), [V2.S4, V3.S4]
	WORD   $0x4e22d404              // FADD V4.4S, V0.4S, V2.4S
	WORD   $0x4e23d425              // FADD V5.4S, V1.4S, V3.4S
	WORD   $0x4ea2d406              // FSUB V6.4S, V0.4S, V2.4S
	WORD   $0x4ea3d427              // FSUB V7.4S, V1.4S, V3.4S
	VST1.P [V4.S4, V5.S4], 32(R0)
	VST1.P [V6.S4, V7.S4], 32(R1)
	SUBS   $8, R2
	BGT    pairs
	RET

// func prefetchRowsNEON(base unsafe.Pointer, stride int, ids *uint32, count, lines int)
//
// count and lines are at least 1.
TEXT ·prefetchRowsNEON(SB), NOSPLIT, $0-40
	MOVD base+0(FP), R0
	MOVD stride+8(FP), R1
	MOVD ids+16(FP), R2
	MOVD count+24(FP), R3
	MOVD lines+32(FP), R4

row:
	MOVWU.P 4(R2), R5
	MADD    R1, R0, R5, R5
	MOVD    R4, R6

rowLine:
	PRFM (R5), PLDL1KEEP
	ADD  $64, R5
	SUBS $1, R6
	BNE  rowLine
	SUBS $1, R3
	BNE  row
	RET
