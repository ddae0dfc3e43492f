//go:build !linux

package dnsguard

// programMark is of no use where there is no packet filter.
func programMark(uint32, int) uint32 { return 0 }
