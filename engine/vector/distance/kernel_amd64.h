// Macros that all kernels for amd64 share. Registers: see the head of any
// generated file.

// LOADARGS takes apart the struct args at AX. R15 = lines to prefetch.
#define LOADARGS \
	MOVQ args_q(AX), SI; \
	MOVQ args_base(AX), DI; \
	MOVQ args_n(AX), CX; \
	MOVQ args_stride(AX), R12; \
	MOVQ args_ids(AX), BX; \
	MOVQ args_count(AX), DX; \
	MOVQ args_out(AX), R13; \
	MOVQ args_lines(AX), R15

// ROWS4 computes the addresses of the next four rows; STORE4 writes their results.
#define ROWS4 \
	MOVL (BX), R8; \
	MOVL 4(BX), R9; \
	MOVL 8(BX), R10; \
	MOVL 12(BX), R11; \
	IMULQ R12, R8; \
	IMULQ R12, R9; \
	IMULQ R12, R10; \
	IMULQ R12, R11; \
	ADDQ DI, R8; \
	ADDQ DI, R9; \
	ADDQ DI, R10; \
	ADDQ DI, R11

#define STORE4 \
	VMOVUPS X0, (R13); \
	ADDQ $16, R13; \
	ADDQ $16, BX

// ROW1 and STORE1 are the same for one row.
#define ROW1 \
	MOVL (BX), R8; \
	IMULQ R12, R8; \
	ADDQ DI, R8

#define STORE1 \
	VMOVSS X0, (R13); \
	ADDQ $4, R13; \
	ADDQ $4, BX

// REDUCE4… turn the registers of four rows into one X0 of four sums: horizontal
// additions of pairs of rows transpose as they add.
#define REDUCE4F_AVX2 \
	VHADDPS Y1, Y0, Y0; \
	VHADDPS Y3, Y2, Y2; \
	VHADDPS Y2, Y0, Y0; \
	VEXTRACTF128 $1, Y0, X1; \
	VADDPS X1, X0, X0

#define REDUCE4F_AVX512 \
	VEXTRACTF64X4 $1, Z0, Y4; \
	VEXTRACTF64X4 $1, Z1, Y5; \
	VEXTRACTF64X4 $1, Z2, Y6; \
	VEXTRACTF64X4 $1, Z3, Y7; \
	VADDPS Y4, Y0, Y0; \
	VADDPS Y5, Y1, Y1; \
	VADDPS Y6, Y2, Y2; \
	VADDPS Y7, Y3, Y3; \
	REDUCE4F_AVX2

#define REDUCE4I_AVX2 \
	VPHADDD Y1, Y0, Y0; \
	VPHADDD Y3, Y2, Y2; \
	VPHADDD Y2, Y0, Y0; \
	VEXTRACTI128 $1, Y0, X1; \
	VPADDD X1, X0, X0

#define REDUCE4I_AVX512 \
	VEXTRACTI64X4 $1, Z0, Y4; \
	VEXTRACTI64X4 $1, Z1, Y5; \
	VEXTRACTI64X4 $1, Z2, Y6; \
	VEXTRACTI64X4 $1, Z3, Y7; \
	VPADDD Y4, Y0, Y0; \
	VPADDD Y5, Y1, Y1; \
	VPADDD Y6, Y2, Y2; \
	VPADDD Y7, Y3, Y3; \
	REDUCE4I_AVX2

// REDUCE4Q is for 64-bit sums, which may be negative: the shift leaves the lower
// halves alone, whose sum modulo 2³² is the result.
#define REDUCE4Q \
	VPSLLQ $32, Z0, Z0; \
	VPSLLQ $32, Z1, Z1; \
	VPSLLQ $32, Z2, Z2; \
	VPSLLQ $32, Z3, Z3; \
	REDUCE4I_AVX512

// REDUCE1… are the same for one row.
#define REDUCE1F_AVX2 \
	VEXTRACTF128 $1, Y0, X1; \
	VADDPS X1, X0, X0; \
	VMOVHLPS X0, X0, X1; \
	VADDPS X1, X0, X0; \
	VMOVSHDUP X0, X1; \
	VADDSS X1, X0, X0

#define REDUCE1F_AVX512 \
	VEXTRACTF64X4 $1, Z0, Y1; \
	VADDPS Y1, Y0, Y0; \
	REDUCE1F_AVX2

#define REDUCE1I_AVX2 \
	VEXTRACTI128 $1, Y0, X1; \
	VPADDD X1, X0, X0; \
	VPSHUFD $0x4E, X0, X1; \
	VPADDD X1, X0, X0; \
	VPSHUFD $0xB1, X0, X1; \
	VPADDD X1, X0, X0

#define REDUCE1I_AVX512 \
	VEXTRACTI64X4 $1, Z0, Y1; \
	VPADDD Y1, Y0, Y0; \
	REDUCE1I_AVX2

#define REDUCE1Q \
	VPSLLQ $32, Z0, Z0; \
	REDUCE1I_AVX512

// SCALE… make float results of signed sums: sum·scale + bias.
#define SCALE4 \
	MOVQ a+0(FP), AX; \
	VBROADCASTSS args_scale(AX), X4; \
	VBROADCASTSS args_bias(AX), X5; \
	VCVTDQ2PS X0, X0; \
	VFMADD213PS X5, X4, X0

#define SCALE1 SCALE4

// UNSIGNED… make float results of unsigned sums. AVX2 converts signed numbers only:
// the halves are converted apart, and joined with a single rounding.
#define UNSIGNED4_AVX512 VCVTUDQ2PS X0, X0
#define UNSIGNED1_AVX512 VCVTUDQ2PS X0, X0

#define UNSIGNED4_AVX2 \
	VPSRLD $16, X0, X1; \
	VPSLLD $16, X0, X0; \
	VPSRLD $16, X0, X0; \
	VCVTDQ2PS X0, X0; \
	VCVTDQ2PS X1, X1; \
	MOVL $0x47800000, AX; \
	VMOVD AX, X2; \
	VBROADCASTSS X2, X2; \
	VFMADD231PS X2, X1, X0

#define UNSIGNED1_AVX2 UNSIGNED4_AVX2
