#include "textflag.h"

// func prefetch(base unsafe.Pointer, at *uint32, n, shift uint64)
TEXT ·prefetch(SB), NOSPLIT, $0-32
	MOVQ base+0(FP), AX
	MOVQ at+8(FP), SI
	MOVQ n+16(FP), DX
	MOVQ shift+24(FP), CX
	TESTQ DX, DX
	JZ   done

next:
	MOVL (SI), BX
	SHLQ CX, BX
	PREFETCHT0 (AX)(BX*1)
	ADDQ $4, SI
	DECQ DX
	JNZ  next

done:
	RET
