// Package resolved keeps which device found which address by which name, in a
// file that the DNS guard writes and others read: the inspector, which lets a
// name pass only on the way to an address that it led to, and whoever wants to
// know the names of an address.
//
// A Book is the writer's side; there is one a file. A Reader asks without a lock
// and never waits for the writer: each entry carries a checksum, and one that is
// being written is read again. What cannot be read is not known, which closes.
//
// The file belongs to one boot of the machine, as the bindings in the kernel do:
// times in it are those of the boot clock, which no one sets, and a file of
// another boot is empty. It survives its writer's death: the next one takes it
// over. It needs no disk, a tmpfs such as /run is the place for it. It grows by
// what it holds, up to its bound, by plain writes: a full disk is an error, not a
// fault.
//
// A Book belongs to one goroutine at a time; a Reader may be used from several.
package resolved

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// Entry is one address of one name of one device.
type Entry struct {
	Device ringwall.DeviceID // only its key is kept: 0 in what is read back
	Key    uint64            // KeyOf(Device)
	Mark   uint32
	Addr   netip.Addr
	Name   string // lower case, no final dot
	// Life is how long it was bound for, Until the end of that on the boot clock.
	Life, Until time.Duration
	// Asked and Seen are when the device last asked for the name, and when an answer
	// last had the address.
	Asked, Seen time.Duration
	// Remedy says that it holds in quarantine.
	Remedy bool
}

// KeyOf returns what stands for a device in the file.
func KeyOf(id ringwall.DeviceID) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.LittleEndian.Uint64(sum[:8])
}
