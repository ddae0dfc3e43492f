#include "textflag.h"

// func scanAVX2(b *byte, from, blocks, comma uint64, pos *uint32, n uint64, ends *uint32) (n2, lines, odd uint64)
//
// R8 is where the block begins, R12 how many places there are, R10 where the next
// line's end goes.
TEXT ·scanAVX2(SB), NOSPLIT, $0-80
	MOVQ b+0(FP), SI
	MOVQ from+8(FP), R8
	MOVQ blocks+16(FP), R9
	MOVQ pos+32(FP), DI
	MOVQ n+40(FP), R12
	MOVQ ends+48(FP), R10
	MOVQ R10, R13
	MOVQ comma+24(FP), AX
	VMOVQ AX, X12
	VPBROADCASTB X12, Y12
	MOVQ $0x0a, AX
	VMOVQ AX, X13
	VPBROADCASTB X13, Y13
	MOVQ $0x22, AX
	VMOVQ AX, X14
	VPBROADCASTB X14, Y14
	VPXOR Y15, Y15, Y15
	TESTQ R9, R9
	JZ   done

block:
	VMOVDQU (SI)(R8*1), Y0
	VMOVDQU 32(SI)(R8*1), Y1
	VPCMPEQB Y0, Y13, Y2
	VPCMPEQB Y1, Y13, Y3
	VPCMPEQB Y0, Y12, Y4
	VPCMPEQB Y1, Y12, Y5
	VPCMPEQB Y0, Y14, Y6
	VPCMPEQB Y1, Y14, Y7

	// Quotes, and bytes with their highest bit set.
	VPOR Y0, Y1, Y0
	VPOR Y6, Y7, Y6
	VPOR Y0, Y6, Y0
	VPOR Y0, Y15, Y15

	// AX marks line breaks, CX separators and line breaks.
	VPMOVMSKB Y2, AX
	VPMOVMSKB Y3, BX
	SHLQ $32, BX
	ORQ  BX, AX
	VPMOVMSKB Y4, CX
	VPMOVMSKB Y5, DX
	SHLQ $32, DX
	ORQ  DX, CX
	ORQ  AX, CX

	// The end of a line is written down whether there is one or not.
	BLSMSKQ AX, DX
	ANDQ CX, DX
	POPCNTQ DX, DX
	LEAQ -1(R12)(DX*1), DX
	MOVL DX, (R10)
	POPCNTQ AX, BX
	CMPQ BX, $1
	JHI  lines
	LEAQ (R10)(BX*4), R10

places:
	// So are twelve places.
	LEAQ (DI)(R12*4), R14
	POPCNTQ CX, R11
	ADDQ R11, R12
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, (R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 4(R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 8(R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 12(R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 16(R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 20(R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 24(R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 28(R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 32(R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 36(R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 40(R14)
	BLSRQ CX, CX
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, 44(R14)
	BLSRQ CX, CX
	JNZ  many

next:
	ADDQ $64, R8
	DECQ R9
	JNZ  block

done:
	VPMOVMSKB Y15, AX
	VZEROUPPER
	MOVQ R12, n2+56(FP)
	SUBQ R13, R10
	SHRQ $2, R10
	MOVQ R10, lines+64(FP)
	MOVQ AX, odd+72(FP)
	RET

// A block of more than twelve.
many:
	ADDQ $48, R14

manyNext:
	TZCNTQ CX, DX
	ADDQ R8, DX
	MOVL DX, (R14)
	ADDQ $4, R14
	BLSRQ CX, CX
	JNZ  manyNext
	JMP  next

// A block with more than one end of a line.
lines:
	BLSMSKQ AX, DX
	ANDQ CX, DX
	POPCNTQ DX, DX
	LEAQ -1(R12)(DX*1), DX
	MOVL DX, (R10)
	ADDQ $4, R10
	BLSRQ AX, AX
	JNZ  lines
	JMP  places
