#include "textflag.h"

// Weights of digits, of pairs of digits and of fours.
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
DATA tens8<>+0(SB)/8, $100000000
GLOBL tens8<>(SB), RODATA|NOPTR, $8

// func numbersAVX2(b *byte, p *places, list *pick, pairs uint64, out *numbersRead, masks *byte)
//
// Two numbers at once, one in each half of a register: R9 and R11 are how many
// characters they have.
TEXT ·numbersAVX2(SB), NOSPLIT, $0-48
	MOVQ b+0(FP), SI
	MOVQ p+8(FP), DX
	MOVQ list+16(FP), R8
	MOVQ pairs+24(FP), CX
	MOVQ out+32(FP), DI
	VBROADCASTI128 zeros<>(SB), Y8
	VBROADCASTI128 nines<>(SB), Y9
	VBROADCASTI128 tenOne<>(SB), Y10
	VBROADCASTI128 hundredOne<>(SB), Y11
	VBROADCASTI128 myriadOne<>(SB), Y12
	VPBROADCASTQ tens8<>(SB), Y13
	MOVQ masks+40(FP), R13

next:
	MOVBLZX (R8), AX
	MOVBLZX 2(R8), BX
	MOVL (DX)(AX*4), R9
	MOVL 4(DX)(AX*4), AX
	MOVL (DX)(BX*4), R11
	MOVL 4(DX)(BX*4), BX
	VMOVDQU -16(SI)(AX*1), X0
	VINSERTI128 $1, -16(SI)(BX*1), Y0, Y0
	NOTL R9
	ADDL AX, R9
	NOTL R11
	ADDL BX, R11
	VMOVDQU (R13)(R9*1), X1
	VINSERTI128 $1, (R13)(R11*1), Y1, Y1
	VPSUBB Y8, Y0, Y0
	VPAND Y1, Y0, Y0
	VPSUBUSB Y9, Y0, Y2
	VPTEST Y2, Y2
	JNZ  none

value:
	VPMADDUBSW Y10, Y0, Y0
	VPMADDWD Y11, Y0, Y0
	VPACKUSDW Y0, Y0, Y0
	VPMADDWD Y12, Y0, Y0
	VPMULUDQ Y13, Y0, Y1
	VPSRLQ $32, Y0, Y0
	VPADDQ Y1, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	MOVBLZX 1(R8), AX
	MOVBLZX 3(R8), BX
	VMOVQ X0, (DI)(AX*8)
	VMOVQ X1, (DI)(BX*8)
	MOVQ R9, 72(DI)(AX*8)
	MOVQ R11, 72(DI)(BX*8)
	ADDQ $4, R8
	DECQ CX
	JNZ  next
	VZEROUPPER
	RET

none:
	VEXTRACTI128 $1, Y2, X3
	VPTEST X2, X2
	JZ   second
	BTSQ $40, R9

second:
	VPTEST X3, X3
	JZ   value
	BTSQ $40, R11
	JMP  value
