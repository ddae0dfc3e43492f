package ts32298

import (
	"encoding/binary"
	"unsafe"
)

// octets8 gives the eight octets at b[at:at+8], the first the lowest. It does not
// ask whether they are there: whoever calls has seen that 0 <= at and at+8 <= len(b).
// It is for records of a shape, each place in which is held against the record's
// length before anything is read from it.
func octets8(b []byte, at int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), at))[:])
}

// octet1 is octets8 for one octet.
func octet1(b []byte, at int) byte {
	return *(*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), at))
}
