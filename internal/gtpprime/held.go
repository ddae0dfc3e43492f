package gtpprime

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
)

// held are packets that may be duplicates, on disk and in memory.
type held struct {
	mu       sync.Mutex
	j        *durable.Journal
	packets  map[key][][]byte
	bytes    int64
	most     int64
	restarts uint8
}

type key struct {
	from netip.Addr
	seq  uint16
}

// Kinds of frames: 1 byte kind, 16 bytes address, 2 bytes sequence number; behind
// a packet its records, each with 2 bytes of length.
const (
	kindHeld   = 1
	kindSolved = 2
	frameHead  = 19
)

func openHeld(dir string, most int64) (*held, error) {
	h := &held{packets: map[key][][]byte{}, most: most}
	fail := func(err error) (*held, error) {
		return nil, ringwall.Errorf(ringwall.Unavailable, "opening the directory of held packets: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "held"), 0o700); err != nil {
		return fail(err)
	}
	// The restart counter tells peers that what was not answered is to be sent again.
	counter := filepath.Join(dir, "restarts")
	if b, err := os.ReadFile(counter); err == nil && len(b) == 1 {
		h.restarts = b[0] + 1
	} else if err != nil && !os.IsNotExist(err) {
		return fail(err)
	}
	if err := durable.WriteFile(counter, []byte{h.restarts}, 0o600); err != nil {
		return fail(err)
	}
	var err error
	if h.j, err = durable.OpenJournal(filepath.Join(dir, "held"), durable.JournalConfig{Frame: h.frame}); err != nil {
		return fail(err)
	}
	return h, nil
}

// frame reads a frame at opening.
func (h *held) frame(_ uint64, b []byte) error {
	if len(b) < frameHead {
		return ringwall.Errorf(ringwall.Invalid, "a frame of %d bytes", len(b))
	}
	k := key{netip.AddrFrom16([16]byte(b[1:17])).Unmap(), binary.BigEndian.Uint16(b[17:])}
	if b[0] == kindSolved {
		h.drop(k)
		return nil
	}
	var records [][]byte
	for rest := b[frameHead:]; len(rest) >= 2; {
		n := int(binary.BigEndian.Uint16(rest))
		if len(rest)-2 < n {
			return ringwall.Errorf(ringwall.Invalid, "a frame that ends inside of a record")
		}
		records = append(records, append([]byte(nil), rest[2:2+n]...))
		rest = rest[2+n:]
	}
	h.drop(k)
	h.packets[k] = records
	h.bytes += size(records)
	return nil
}

func size(records [][]byte) (n int64) {
	for _, r := range records {
		n += int64(len(r)) + 32
	}
	return n + 64
}

func (h *held) drop(k key) {
	if r, ok := h.packets[k]; ok {
		h.bytes -= size(r)
		delete(h.packets, k)
	}
}

func head(kind byte, k key) []byte {
	a := k.from.As16()
	return binary.BigEndian.AppendUint16(append([]byte{kind}, a[:]...), k.seq)
}

func (h *held) add(from netip.Addr, seq uint16, records [][]byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := size(records); h.bytes+n > h.most {
		return ringwall.Errorf(ringwall.Unavailable, "%d bytes of packets are held, %d more are too many", h.bytes, n)
	}
	k := key{from, seq}
	b := head(kindHeld, k)
	for _, r := range records {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(r))), r...)
	}
	if err := h.write(b); err != nil {
		return err
	}
	return h.frame(0, b)
}

func (h *held) write(b []byte) error {
	n, err := h.j.Append(b)
	if err == nil {
		err = h.j.Sync(n)
	}
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "writing held packets: %w", err)
	}
	return nil
}

func (h *held) has(from netip.Addr, seq uint16) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.packets[key{from, seq}]
	return ok
}

func (h *held) get(from netip.Addr, seq uint16) ([][]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.packets[key{from, seq}]
	return r, ok
}

func (h *held) remove(from netip.Addr, seq uint16) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := key{from, seq}
	if err := h.write(head(kindSolved, k)); err != nil {
		return err
	}
	h.drop(k)
	if len(h.packets) == 0 {
		return h.j.Trim(h.j.Last()) // nothing of it is needed any more
	}
	return nil
}

func (h *held) close() error { return h.j.Close() }
