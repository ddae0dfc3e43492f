package dnsguard

import "github.com/ringwall/ringwall/internal/nft"

// programMark is the mark under which the i-th program of a device is bound.
func programMark(mark uint32, i int) uint32 { return nft.ProgramMark(mark, i) }
