package resolved

import (
	"encoding/binary"
	"hash/crc32"
	"hash/maphash"
	"net/netip"
	"os"
	"strings"
	"time"
)

// The file: a header; one head of a chain for each slot, by the hash of device
// and address; the slots. Numbers are little endian. Index 0 means none: the
// first slot is number 1.
const (
	magic      = "rw-names"
	version    = 1
	headerSize = 64
	slotSize   = 320
	maxName    = 253

	offBoot  = 16
	offSlots = 32
	offCRC   = 36
	offSeed  = 40
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	boot  [16]byte
	slots uint32
	seed  uint64
}

func (h header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	copy(b[offBoot:], h.boot[:])
	binary.LittleEndian.PutUint32(b[offSlots:], h.slots)
	binary.LittleEndian.PutUint64(b[offSeed:], h.seed)
	binary.LittleEndian.PutUint32(b[offCRC:], headerSum(b))
	return b
}

func headerSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:offCRC], castagnoli), castagnoli, b[offCRC+4:headerSize])
}

func decodeHeader(b []byte) (h header, ok bool) {
	if len(b) != headerSize || string(b[:8]) != magic || binary.LittleEndian.Uint32(b[8:]) != version || binary.LittleEndian.Uint32(b[offCRC:]) != headerSum(b) {
		return h, false
	}
	copy(h.boot[:], b[offBoot:])
	h.slots = binary.LittleEndian.Uint32(b[offSlots:])
	h.seed = binary.LittleEndian.Uint64(b[offSeed:])
	return h, h.slots > 0 && h.slots <= MaxSlots
}

func (h header) headAt(bucket uint32) int64 { return headerSize + 4*int64(bucket) }
func (h header) slotAt(slot uint32) int64 {
	return headerSize + 4*int64(h.slots) + slotSize*(int64(slot)-1)
}

// bucket mixes with a secret seed: a device chooses its addresses by its names.
func (h header) bucket(key uint64, a netip.Addr) uint32 {
	v := a.As16()
	x := h.seed ^ key
	for _, w := range [2]uint64{binary.LittleEndian.Uint64(v[:8]), binary.LittleEndian.Uint64(v[8:])} {
		x = (x ^ w) * 0x9e3779b97f4a7c15
		x ^= x >> 29
		x *= 0xbf58476d1ce4e5b9
		x ^= x >> 32
	}
	return uint32(x % uint64(h.slots))
}

// slot is an entry as it stands in the file. next is not part of the checksum:
// it is written by itself.
func encodeSlot(b []byte, next uint32, e *Entry) {
	clear(b)
	le := binary.LittleEndian
	le.PutUint32(b, next)
	le.PutUint32(b[8:], e.Mark)
	le.PutUint64(b[12:], e.Key)
	a := e.Addr.As16()
	copy(b[20:], a[:])
	le.PutUint64(b[36:], uint64(e.Until))
	le.PutUint64(b[44:], uint64(e.Life))
	le.PutUint64(b[52:], uint64(e.Asked))
	le.PutUint64(b[60:], uint64(e.Seen-e.Asked))
	b[68] = 1
	if e.Remedy {
		b[68] |= 2
	}
	b[69] = byte(len(e.Name))
	copy(b[70:], e.Name)
	le.PutUint32(b[4:], crc32.Checksum(b[8:slotSize], castagnoli))
}

// raw is a slot that was read; its parts are looked at where they stand.
type raw []byte

func (r raw) next() uint32 { return binary.LittleEndian.Uint32(r) }
func (r raw) whole() bool {
	return binary.LittleEndian.Uint32(r[4:]) == crc32.Checksum(r[8:slotSize], castagnoli) && int(r[69]) <= maxName
}
func (r raw) used() bool           { return r[68]&1 != 0 }
func (r raw) key() uint64          { return binary.LittleEndian.Uint64(r[12:]) }
func (r raw) mark() uint32         { return binary.LittleEndian.Uint32(r[8:]) }
func (r raw) addr() netip.Addr     { return netip.AddrFrom16([16]byte(r[20:36])).Unmap() }
func (r raw) until() time.Duration { return time.Duration(binary.LittleEndian.Uint64(r[36:])) }
func (r raw) name() []byte         { return r[70 : 70+int(r[69])] }
func (r raw) is(key uint64, a netip.Addr) bool {
	return r.used() && r.key() == key && r.addr() == a
}

func (r raw) entry() Entry {
	le := binary.LittleEndian
	e := Entry{Key: r.key(), Mark: r.mark(), Addr: r.addr(), Name: string(r.name()), Until: r.until(),
		Life: time.Duration(le.Uint64(r[44:])), Asked: time.Duration(le.Uint64(r[52:])), Remedy: r[68]&2 != 0}
	e.Seen = e.Asked + time.Duration(le.Uint64(r[60:]))
	return e
}

// bootID tells this boot of the machine from others.
func bootID() (id [16]byte, err error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id, err
	}
	n := 0
	for _, c := range strings.TrimSpace(string(b)) {
		v := strings.IndexRune("0123456789abcdef", c)
		if v < 0 || n >= 32 {
			continue
		}
		id[n/2] |= byte(v) << (4 * (1 - n%2))
		n++
	}
	return id, nil
}

// seed draws the secret of the buckets; it need be unknown to devices, no more.
func seed() uint64 { return maphash.Bytes(maphash.MakeSeed(), []byte(magic)) }
