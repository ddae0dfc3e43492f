package resolved

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// MaxNames bounds the names that are told of one address.
const MaxNames = 64

// maxChain bounds the entries that are looked at for one question. A chain is as
// long as a device has names for one address, and rarely more.
const maxChain = 4096

// maxTorn is how often an entry that is being written is read again.
const maxTorn = 16

// Reader asks a file that somebody else writes. It opens it when it is asked,
// and anew when there is another one.
type Reader struct {
	path string
	now  func() time.Duration

	mu  sync.Mutex // guards what follows; questions hold it, they take microseconds
	f   *os.File
	ino uint64
	h   header
	buf [slotSize]byte
}

// NewReader returns a reader of the file at path. now is the boot clock; nil is
// the system's.
func NewReader(path string, now func() time.Duration) *Reader {
	if now == nil {
		now = Uptime
	}
	return &Reader{path: path, now: now}
}

// Close lets go of the file.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f = nil
	return err
}

// Names returns the names by which a device found an address and that hold now,
// at most MaxNames; none when it is not known.
func (r *Reader) Names(device uint64, a netip.Addr) []string {
	var out []string
	r.each(device, a, func(s raw) bool {
		if s.until() > r.now() {
			out = append(out, string(s.name()))
		}
		return len(out) < MaxNames
	})
	return out
}

// Knows reports whether the device found the address by this name and that holds
// now.
func (r *Reader) Knows(device uint64, a netip.Addr, name string) (known bool) {
	// An entry may be put elsewhere just while we stand on it, and lead astray:
	// hence a second look.
	for range 2 {
		r.each(device, a, func(s raw) bool {
			known = string(s.name()) == name && s.until() > r.now()
			return !known
		})
		if known {
			break
		}
	}
	return known
}

// Stale returns a name by which the device found the address and that does not
// hold any more, "" when there is none: who still uses the address keeps to no
// TTL.
func (r *Reader) Stale(device uint64, a netip.Addr) (name string) {
	r.each(device, a, func(s raw) bool {
		if s.until() <= r.now() {
			name = string(s.name())
			return true
		}
		name = ""
		return false
	})
	return name
}

func (r *Reader) each(device uint64, a netip.Addr, f func(raw) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.fresh() {
		return
	}
	a = a.Unmap()
	if _, err := r.f.ReadAt(r.buf[:4], r.h.headAt(r.h.bucket(device, a))); err != nil {
		return
	}
	at := binary.LittleEndian.Uint32(r.buf[:4])
	for range maxChain {
		if at == 0 || at > r.h.slots {
			return
		}
		s := raw(r.buf[:])
		whole := false
		for range maxTorn {
			if _, err := r.f.ReadAt(r.buf[:], r.h.slotAt(at)); err != nil {
				return
			}
			if whole = s.whole() || !s.used(); whole {
				break
			}
		}
		if whole && s.is(device, a) && !f(s) {
			return
		}
		at = s.next()
	}
}

// fresh opens the file if it is not open or another has taken its place.
func (r *Reader) fresh() bool {
	var st unix.Stat_t
	if unix.Stat(r.path, &st) != nil {
		return false
	}
	if r.f != nil && st.Ino == r.ino {
		return true
	}
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
	f, err := os.Open(r.path)
	if err != nil {
		return false
	}
	head := make([]byte, headerSize)
	boot, err := bootID()
	if err == nil {
		_, err = f.ReadAt(head, 0)
	}
	var ok bool
	if r.h, ok = decodeHeader(head); err != nil || !ok || r.h.boot != boot || unix.Fstat(int(f.Fd()), &st) != nil {
		f.Close()
		return false
	}
	r.f, r.ino = f, st.Ino
	return true
}
