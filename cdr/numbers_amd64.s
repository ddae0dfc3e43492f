#include "textflag.h"

// Weights of digits, of pairs of digits and of fours, and a row of masks: sixteen
// bytes from byte n on keep the last n.
DATA tenOne<>+0(SB)/8, $0x010a010a010a010a
DATA tenOne<>+8(SB)/8, $0x010a010a010a010a
GLOBL tenOne<>(SB), RODATA|NOPTR, $16
DATA hundredOne<>+0(SB)/8, $0x0001006400010064
DATA hundredOne<>+8(SB)/8, $0x0001006400010064
GLOBL hundredOne<>(SB), RODATA|NOPTR, $16
DATA myriadOne<>+0(SB)/8, $0x0001271000012710
DATA myriadOne<>+8(SB)/8, $0x0001271000012710
GLOBL myriadOne<>(SB), RODATA|NOPTR, $16
DATA zeros<>+0(SB)/8, $0x3030303030303030
DATA zeros<>+8(SB)/8, $0x3030303030303030
GLOBL zeros<>(SB), RODATA|NOPTR, $16
DATA nines<>+0(SB)/8, $0x0909090909090909
DATA nines<>+8(SB)/8, $0x0909090909090909
GLOBL nines<>(SB), RODATA|NOPTR, $16
DATA masks<>+0(SB)/8, $0
DATA masks<>+8(SB)/8, $0
DATA masks<>+16(SB)/8, $0xffffffffffffffff
DATA masks<>+24(SB)/8, $0xffffffffffffffff
GLOBL masks<>(SB), RODATA|NOPTR, $32

// func numbersAVX2(b *byte, p *places, list *pick, n uint64, out *number)
TEXT ·numbersAVX2(SB), NOSPLIT, $0-40
	MOVQ b+0(FP), SI
	MOVQ p+8(FP), DX
	MOVQ list+16(FP), R8
	MOVQ n+24(FP), CX
	MOVQ out+32(FP), DI
	TESTQ CX, CX
	JZ   done
	VMOVDQU zeros<>(SB), X8
	VMOVDQU nines<>(SB), X9
	VMOVDQU tenOne<>(SB), X10
	VMOVDQU hundredOne<>(SB), X11
	VMOVDQU myriadOne<>(SB), X12
	LEAQ masks<>(SB), R13
	MOVL $100000000, R12

next:
	MOVBLZX (R8), AX
	MOVL (DX)(AX*4), R9
	MOVL 4(DX)(AX*4), R10
	NOTL R9
	LEAL (R10)(R9*1), R11 // how many characters
	MOVL $16, BX
	CMPL R11, $16
	CMOVLCS R11, BX
	VMOVDQU -16(SI)(R10*1), X0
	VPSUBB X8, X0, X0
	VPAND (R13)(BX*1), X0, X0
	VPSUBUSB X9, X0, X1
	VPTEST X1, X1
	JNZ  none

value:
	VPMADDUBSW X10, X0, X0
	VPMADDWD X11, X0, X0
	VPACKUSDW X0, X0, X0
	VPMADDWD X12, X0, X0
	VMOVQ X0, AX
	MOVL AX, BX
	SHRQ $32, AX
	IMULQ R12, BX
	ADDQ BX, AX
	MOVBLZX 1(R8), BX
	SHLL $4, BX
	MOVQ AX, (DI)(BX*1)
	MOVQ R11, 8(DI)(BX*1)
	ADDQ $2, R8
	DECQ CX
	JNZ  next

done:
	RET

none:
	BTSQ $40, R11
	JMP  value
