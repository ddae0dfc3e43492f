#include "textflag.h"

// func matchAVX2(b *byte, n, p int, w *window, groups int, at *bases) int
//
// DX is where the group begins and AX where it ends; Y15 gathers what is wrong.
TEXT ·matchAVX2(SB), NOSPLIT, $0-56
	MOVQ b+0(FP), SI
	MOVQ n+8(FP), R8
	MOVQ p+16(FP), DX
	MOVQ w+24(FP), DI
	MOVQ groups+32(FP), R9
	MOVQ at+40(FP), R10
	VPXOR Y15, Y15, Y15

group:
	MOVQ DX, (R10)
	ADDQ $8, R10
	MOVQ DX, AX
	ADDQ 88(DI), AX
	CMPQ AX, R8
	JHI  none
	MOVQ DX, AX
	ADDQ 64(DI), AX

window:
	MOVQ 72(DI), CX
	ADDQ DX, CX
	VMOVDQU (SI)(CX*1), Y0
	VPXOR (DI), Y0, Y0
	VPAND 32(DI), Y0, Y0
	VPOR Y0, Y15, Y15
	MOVQ 80(DI), CX
	ADDQ $96, DI
	TESTQ CX, CX
	JNZ  window

	DECQ R9
	JZ   last
	MOVBLZX -1(SI)(AX*1), CX
	LEAQ (AX)(CX*1), DX
	JMP  group

last:
	VPTEST Y15, Y15
	JNZ  none
	VZEROUPPER
	MOVQ AX, ret+48(FP)
	RET

none:
	VZEROUPPER
	MOVQ $-1, ret+48(FP)
	RET
