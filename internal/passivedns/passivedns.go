// Package passivedns remembers, from the DNS answers that pass by, by which
// names an address was found. Detectors and the meter tell by it a peer that
// was looked up from one that was not.
//
// Parse reads one DNS message; Table holds what was read, in a fixed number of
// entries that are allocated when it is made. Both are bounded: a message
// gives at most MaxAnswers addresses, an address keeps its last two names, and
// a flood of answers replaces old entries only (the table is cut into buckets
// by a keyed hash, so that nobody can aim at one).
//
// It believes what it sees: whoever can answer a device's questions can name
// an address. Callers pass answers only that a device had asked for.
//
// A Table belongs to one goroutine. Standards: RFC 1035 section 4, RFC 3596
// section 2.
package passivedns

import (
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

const (
	// MaxAnswers bounds the records that are read of one message.
	MaxAnswers = 64
	maxName    = 253
	ways       = 8
)

// Parse calls f for each address in the answer section of a DNS response, with
// the name that was asked for: lower case, no dot at its end, in a buffer that
// is reused. It reports nothing for queries and for answers that say no.
func Parse(msg []byte, f func(name []byte, addr netip.Addr)) error {
	if len(msg) < 12 {
		return bad(0, "header is cut short")
	}
	flags := binary.BigEndian.Uint16(msg[2:])
	questions, answers := binary.BigEndian.Uint16(msg[4:]), binary.BigEndian.Uint16(msg[6:])
	if flags&0xf80f != 0x8000 || questions != 1 || answers == 0 { // response, standard query, no error
		return nil
	}
	var buf [maxName + 1]byte
	name, at, ok := readName(msg, 12, buf[:0])
	if !ok || at+4 > len(msg) {
		return bad(12, "question does not fit")
	}
	at += 4
	for range min(int(answers), MaxAnswers) {
		start := at
		if at, ok = skipName(msg, at); !ok || at+10 > len(msg) {
			return bad(start, "answer does not fit")
		}
		kind, class := binary.BigEndian.Uint16(msg[at:]), binary.BigEndian.Uint16(msg[at+2:])
		n := int(binary.BigEndian.Uint16(msg[at+8:]))
		at += 10
		if at+n > len(msg) {
			return bad(start, "answer does not fit")
		}
		switch {
		case class == 1 && kind == 1 && n == 4:
			f(name, netip.AddrFrom4([4]byte(msg[at:at+4])))
		case class == 1 && kind == 28 && n == 16:
			f(name, netip.AddrFrom16([16]byte(msg[at:at+16])))
		}
		at += n
	}
	return nil
}

func bad(at int, what string) error {
	return ringwall.Errorf(ringwall.Invalid, "passivedns: at byte %d: %s", at, what)
}

// readName appends the name at byte at to buf and returns where it ends. Each
// compression pointer must lead backwards, so that none can loop.
func readName(msg []byte, at int, buf []byte) (name []byte, end int, ok bool) {
	end = -1
	limit := at
	for at < len(msg) {
		n := int(msg[at])
		switch {
		case n == 0:
			if end < 0 {
				end = at + 1
			}
			return buf, end, true
		case n&0xc0 == 0xc0:
			if at+1 >= len(msg) {
				return nil, 0, false
			}
			if end < 0 {
				end = at + 2
			}
			to := n&0x3f<<8 | int(msg[at+1])
			if to >= limit {
				return nil, 0, false
			}
			at, limit = to, to
			continue
		case n&0xc0 != 0 || at+1+n > len(msg) || len(buf)+n+1 > maxName:
			return nil, 0, false
		}
		if len(buf) > 0 {
			buf = append(buf, '.')
		}
		for _, c := range msg[at+1 : at+1+n] {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c <= ' ' || c >= 0x7f || c == '.' {
				c = '?' // names that nobody can register; kept printable
			}
			buf = append(buf, c)
		}
		at += 1 + n
	}
	return nil, 0, false
}

func skipName(msg []byte, at int) (int, bool) {
	for at < len(msg) {
		n := int(msg[at])
		switch {
		case n == 0:
			return at + 1, true
		case n&0xc0 == 0xc0:
			return at + 2, true
		case n&0xc0 != 0:
			return 0, false
		}
		at += 1 + n
	}
	return 0, false
}

// Table remembers names of addresses.
type Table struct {
	seed    uint64
	entries []entry
	buckets uint64
	life    int64
}

type entry struct {
	addr  netip.Addr
	at    int64 // nanoseconds; of the last answer
	names [2]string
}

// NewTable makes a table of about size addresses, which are forgotten life
// after their last answer. seed is the secret of its buckets; 0 draws one.
func NewTable(size int, life time.Duration, seed uint64) *Table {
	buckets := uint64(1)
	for buckets*ways < uint64(size) {
		buckets *= 2
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	return &Table{seed: seed | 1, entries: make([]entry, buckets*ways), buckets: buckets, life: int64(life)}
}

// Bytes returns the most memory that the table can take.
func (t *Table) Bytes() int { return len(t.entries) * (64 + 2*(maxName+3)) }

func (t *Table) bucket(a netip.Addr) []entry {
	v := a.As16()
	hi, lo := bits.Mul64(binary.BigEndian.Uint64(v[:8])^t.seed, binary.BigEndian.Uint64(v[8:])^0x9e3779b97f4a7c15)
	hi, lo = bits.Mul64(hi^lo^t.seed, 0xd6e8feb86659fd93)
	b := (hi ^ lo) & (t.buckets - 1)
	return t.entries[b*ways : b*ways+ways]
}

// Note remembers that name led to addr.
func (t *Table) Note(name []byte, addr netip.Addr, at time.Time) {
	now := at.UnixNano()
	b := t.bucket(addr)
	victim := &b[0]
	for i := range b {
		e := &b[i]
		if e.addr == addr {
			e.at = now
			e.add(name)
			return
		}
		if !e.addr.IsValid() || victim.addr.IsValid() && age(e.at, now) > age(victim.at, now) {
			victim = e
		}
	}
	*victim = entry{addr: addr, at: now}
	victim.add(name)
}

// age is how long ago something was; what lies ahead, from before the clock was
// set back, is older than anything.
func age(at, now int64) int64 {
	if at > now+int64(time.Minute) {
		return math.MaxInt64
	}
	return now - at
}

func (e *entry) add(name []byte) {
	switch string(name) { // compares without copying
	case e.names[0]:
	case e.names[1]:
		e.names[0], e.names[1] = e.names[1], e.names[0]
	default:
		e.names[0], e.names[1] = string(name), e.names[0]
	}
}

// Names returns the last names of addr, the newest first, "" for none.
func (t *Table) Names(addr netip.Addr, at time.Time) (names [2]string) {
	if e := t.find(addr, at.UnixNano()); e != nil {
		return e.names
	}
	return names
}

// Known reports whether addr was in an answer; now is in nanoseconds.
func (t *Table) Known(addr netip.Addr, now int64) bool { return t.find(addr, now) != nil }

func (t *Table) find(addr netip.Addr, now int64) *entry {
	b := t.bucket(addr)
	for i := range b {
		if e := &b[i]; e.addr == addr {
			if now-e.at > t.life {
				return nil
			}
			return e
		}
	}
	return nil
}
