package resolved

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
)

// Bounds of a file: 262,144 entries are 84 MB when all are used.
const (
	MaxSlots     = 1 << 18
	DefaultSlots = MaxSlots
)

// Uptime returns the boot clock: it counts on while the machine sleeps, and
// nobody sets it.
func Uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("resolved: the kernel has no boot clock: " + err.Error())
	}
	return time.Duration(ts.Nano())
}

// Book is the writer's side of a file.
type Book struct {
	f    *os.File
	h    header
	used uint32   // slots up to this number have been used
	free []uint32 // of those, the ones that are free
	buf  [slotSize]byte
}

// Open opens the file at path, or makes it for up to slots entries (0 =
// DefaultSlots). It answers with what the file holds of this boot, by slot. A
// file of another boot, or that makes no sense, is replaced by an empty one.
func Open(path string, slots uint32) (*Book, map[uint32]Entry, error) {
	if slots == 0 {
		slots = DefaultSlots
	}
	if slots > MaxSlots {
		return nil, nil, ringwall.Errorf(ringwall.Invalid, "%d names are more than %d", slots, MaxSlots)
	}
	boot, err := bootID()
	if err != nil {
		return nil, nil, fmt.Errorf("telling this boot from others: %w", err)
	}
	if f, err := os.OpenFile(path, os.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		b := &Book{f: f}
		if have, ok := b.adopt(boot, slots); ok {
			return b, have, nil
		}
		f.Close()
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("opening the book of names: %w", err)
	}
	b := &Book{h: header{boot: boot, slots: slots, seed: seed()}}
	if b.f, err = create(path, b.h); err != nil {
		return nil, nil, fmt.Errorf("making the book of names: %w", err)
	}
	return b, nil, nil
}

// create makes an empty file and renames it to path. It is not synced: after a
// power cut it is of another boot.
func create(path string, h header) (*os.File, error) {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(h.encode(), 0)
	if err == nil {
		err = f.Truncate(h.slotAt(1)) // all heads are 0: a hole
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		f.Close()
		return nil, errors.Join(err, os.Remove(tmp))
	}
	return f, nil
}

// adopt reads what a former writer left, and puts the chains in order again: it
// may have died between two writes.
func (b *Book) adopt(boot [16]byte, slots uint32) (map[uint32]Entry, bool) {
	head := make([]byte, headerSize)
	if _, err := b.f.ReadAt(head, 0); err != nil {
		return nil, false
	}
	var ok bool
	if b.h, ok = decodeHeader(head); !ok || b.h.boot != boot || b.h.slots != slots {
		return nil, false
	}
	st, err := b.f.Stat()
	if err != nil || st.Size() < b.h.slotAt(1) {
		return nil, false
	}
	b.used = uint32(min(int64(b.h.slots), (st.Size()-b.h.slotAt(1))/slotSize))
	have := map[uint32]Entry{}
	heads := map[uint32]uint32{}
	for s := uint32(1); s <= b.used; s++ {
		if _, err := b.f.ReadAt(b.buf[:], b.h.slotAt(s)); err != nil {
			return nil, false
		}
		r := raw(b.buf[:])
		if !r.whole() || !r.used() {
			b.free = append(b.free, s)
			continue
		}
		e := r.entry()
		bucket := b.h.bucket(e.Key, e.Addr)
		if r.next() != heads[bucket] {
			if b.writeNext(s, heads[bucket]) != nil {
				return nil, false
			}
		}
		heads[bucket] = s
		have[s] = e
	}
	const chunk = 1 << 14
	was := make([]byte, 4*chunk)
	for first := uint32(0); first < b.h.slots; first += chunk {
		n := min(chunk, b.h.slots-first)
		if _, err := b.f.ReadAt(was[:4*n], b.h.headAt(first)); err != nil {
			return nil, false
		}
		for i := range n {
			if binary.LittleEndian.Uint32(was[4*i:]) != heads[first+i] && b.writeHead(first+i, heads[first+i]) != nil {
				return nil, false
			}
		}
	}
	return have, true
}

func (b *Book) writeNext(slot, next uint32) error {
	var v [4]byte
	binary.LittleEndian.PutUint32(v[:], next)
	_, err := b.f.WriteAt(v[:], b.h.slotAt(slot))
	return err
}

func (b *Book) writeHead(bucket, slot uint32) error {
	var v [4]byte
	binary.LittleEndian.PutUint32(v[:], slot)
	_, err := b.f.WriteAt(v[:], b.h.headAt(bucket))
	return err
}

func (b *Book) readHead(bucket uint32) (uint32, error) {
	var v [4]byte
	if _, err := b.f.ReadAt(v[:], b.h.headAt(bucket)); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(v[:]), nil
}

// Add writes an entry and answers with its slot. When it returns, readers know
// it. The error has code Unavailable when there is no room.
func (b *Book) Add(e Entry) (slot uint32, err error) {
	if len(e.Name) > maxName || e.Name == "" || !e.Addr.IsValid() {
		return 0, ringwall.Errorf(ringwall.Invalid, "name %.64q of %s cannot be kept", e.Name, e.Addr)
	}
	fresh := len(b.free) == 0
	switch {
	case !fresh:
		slot = b.free[len(b.free)-1]
	case b.used < b.h.slots:
		slot = b.used + 1
	default:
		return 0, ringwall.Errorf(ringwall.Unavailable, "the book of names is full")
	}
	bucket := b.h.bucket(e.Key, e.Addr)
	head, err := b.readHead(bucket)
	if err == nil {
		encodeSlot(b.buf[:], head, &e)
		_, err = b.f.WriteAt(b.buf[:], b.h.slotAt(slot))
	}
	if err == nil {
		err = b.writeHead(bucket, slot)
	}
	if err != nil {
		return 0, &ringwall.Error{Code: ringwall.Unavailable, Text: "a name cannot be kept", Err: fmt.Errorf("writing the book of names: %w", err)}
	}
	if fresh {
		b.used = slot
	} else {
		b.free = b.free[:len(b.free)-1]
	}
	return slot, nil
}

// Set replaces an entry by one of the same device and address.
func (b *Book) Set(slot uint32, e Entry) error {
	encodeSlot(b.buf[:], 0, &e)
	_, err := b.f.WriteAt(b.buf[4:], b.h.slotAt(slot)+4)
	return err
}

// Remove forgets an entry.
func (b *Book) Remove(slot uint32, e Entry) error {
	bucket := b.h.bucket(e.Key, e.Addr)
	if _, err := b.f.ReadAt(b.buf[:], b.h.slotAt(slot)); err != nil {
		return err
	}
	next := raw(b.buf[:]).next()
	at, err := b.readHead(bucket)
	if err != nil {
		return err
	}
	if at == slot {
		err = b.writeHead(bucket, next)
	} else {
		for range b.h.slots {
			if at == 0 || at > b.used {
				break
			}
			if _, err := b.f.ReadAt(b.buf[:4], b.h.slotAt(at)); err != nil {
				return err
			}
			after := binary.LittleEndian.Uint32(b.buf[:4])
			if after == slot {
				err = b.writeNext(at, next)
				break
			}
			at = after
		}
	}
	// Whoever stands on it still finds the way on: next stays.
	clear(b.buf[4:])
	if _, err2 := b.f.WriteAt(b.buf[4:], b.h.slotAt(slot)+4); err == nil {
		err = err2
	}
	if err == nil {
		b.free = append(b.free, slot)
	}
	return err
}

// Len returns how many entries there are.
func (b *Book) Len() int { return int(b.used) - len(b.free) }

// Close closes the file. What it holds stays.
func (b *Book) Close() error { return b.f.Close() }
