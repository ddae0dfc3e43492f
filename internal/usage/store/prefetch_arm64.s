#include "textflag.h"

// func prefetch(base unsafe.Pointer, at *uint32, n, shift uint64)
TEXT ·prefetch(SB), NOSPLIT, $0-32
	MOVD base+0(FP), R0
	MOVD at+8(FP), R1
	MOVD n+16(FP), R2
	MOVD shift+24(FP), R3
	CBZ  R2, done

next:
	MOVWU.P 4(R1), R4
	LSL  R3, R4, R4
	ADD  R0, R4, R4
	PRFM (R4), PLDL1KEEP
	SUBS $1, R2, R2
	BNE  next

done:
	RET
