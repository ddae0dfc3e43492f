package peek

import "encoding/binary"

const (
	recordHandshake = 22
	helloType       = 1
	maxRecord       = 1 << 14

	extServerName = 0
	extALPN       = 16
	extVersions   = 43
	extECH        = 0xfe0d
)

// TLS versions as they stand on the wire.
const (
	TLS10 = 0x0301
	TLS11 = 0x0302
	TLS12 = 0x0303
	TLS13 = 0x0304
)

// Hello is what a ClientHello shows.
type Hello struct {
	// Name is the host name of the SNI, in lower case; "" when there is none.
	Name string
	// Version is the best version that is offered.
	Version uint16
	// ECH says that the hello is encrypted to somebody, or pretends to be: Name then
	// says nothing about where the client goes (RFC 9849; GREASE looks the same).
	ECH bool
	// alpn is the list of protocols as it stands in the hello.
	alpn []byte
}

// Protocols calls f for each protocol that the client offers by ALPN (RFC 7301).
func (h *Hello) Protocols(f func(string) bool) {
	for b := h.alpn; len(b) > 0 && len(b) > int(b[0]); b = b[1+int(b[0]):] {
		if !f(string(b[1 : 1+int(b[0])])) {
			return
		}
	}
}

// VersionName returns "1.0" to "1.3", or "" for what is none of them.
func (h *Hello) VersionName() string {
	switch h.Version {
	case TLS10:
		return "1.0"
	case TLS11:
		return "1.1"
	case TLS12:
		return "1.2"
	case TLS13:
		return "1.3"
	}
	return ""
}

// HelloReader puts a ClientHello together that comes in any number of records
// and segments. Its memory is bounded by MaxHello. The zero value is ready.
type HelloReader struct {
	head  [5]byte // of a record that is not whole yet
	nhead int
	left  int    // bytes of the present record that are still to come
	msg   []byte // the handshake message so far
	total int    // bytes fed
}

// Feed takes the next bytes. It answers ErrShort until the hello is whole. What
// follows the hello is not looked at.
func (r *HelloReader) Feed(p []byte) (Hello, error) {
	if r.total == 0 && len(p) > 9 {
		// The usual case: all of it in one record, in one piece.
		if n, err := recordLength(p[:5]); err != nil {
			return Hello{}, err
		} else if 5+n <= len(p) && p[5] == helloType && int(p[6])<<16|int(p[7])<<8|int(p[8]) <= n-4 {
			r.total = len(p)
			return parseHello(p[9 : 9+(int(p[6])<<16|int(p[7])<<8|int(p[8]))])
		}
	}
	if r.total += len(p); r.total > MaxHello {
		return Hello{}, bad("a ClientHello of more than %d bytes", MaxHello)
	}
	for len(p) > 0 {
		if r.left == 0 {
			n := copy(r.head[r.nhead:], p)
			r.nhead += n
			p = p[n:]
			if r.nhead < len(r.head) {
				break
			}
			var err error
			if r.left, err = recordLength(r.head[:]); err != nil {
				return Hello{}, err
			}
			r.nhead = 0
			continue
		}
		n := min(r.left, len(p))
		r.msg = append(r.msg, p[:n]...)
		r.left -= n
		p = p[n:]
		if len(r.msg) < 4 {
			continue
		}
		if r.msg[0] != helloType {
			return Hello{}, bad("TLS handshake begins with message %d", r.msg[0])
		}
		want := int(r.msg[1])<<16 | int(r.msg[2])<<8 | int(r.msg[3])
		if want > MaxHello {
			return Hello{}, bad("a ClientHello of %d bytes", want)
		}
		if len(r.msg)-4 >= want {
			return parseHello(r.msg[4 : 4+want])
		}
	}
	return Hello{}, ErrShort
}

// recordLength reads the header of a record. Versions in it mean nothing (RFC
// 8446 section 5.1), but all that ever were begin with 3; empty records of a
// handshake are forbidden there.
func recordLength(h []byte) (int, error) {
	if h[0] != recordHandshake || h[1] != 3 {
		return 0, bad("TLS record of type %d, version %d", h[0], h[1])
	}
	n := int(binary.BigEndian.Uint16(h[3:]))
	if n == 0 || n > maxRecord {
		return 0, bad("TLS record of %d bytes", n)
	}
	return n, nil
}

// bytesOf is a cursor over a message; what does not fit leaves it broken.
type bytesOf struct {
	b  []byte
	ok bool
}

func (s *bytesOf) take(n int) []byte {
	if !s.ok || n > len(s.b) {
		s.ok = false
		return nil
	}
	out := s.b[:n]
	s.b = s.b[n:]
	return out
}

func (s *bytesOf) num8() int {
	if b := s.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (s *bytesOf) num16() int {
	if b := s.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

// maxExtensions bounds the extensions of one hello; browsers send about 18.
const maxExtensions = 64

func parseHello(b []byte) (Hello, error) {
	s := bytesOf{b, true}
	h := Hello{Version: uint16(s.num16())}
	s.take(32) // random
	if n := s.num8(); n > 32 {
		return Hello{}, bad("session id of %d bytes", n)
	} else {
		s.take(n)
	}
	if n := s.num16(); n < 2 || n%2 != 0 {
		return Hello{}, bad("cipher suites of %d bytes", n)
	} else {
		s.take(n)
	}
	if n := s.num8(); n < 1 {
		return Hello{}, bad("no compression methods")
	} else {
		s.take(n)
	}
	if !s.ok {
		return Hello{}, bad("ClientHello is cut short")
	}
	if h.Version < TLS10 || h.Version > TLS12 {
		if h.Version < 0x0300 || h.Version>>8 != 3 {
			return Hello{}, bad("ClientHello of version %#04x", h.Version)
		}
		h.Version = min(h.Version, TLS12) // 1.3 and later are named by an extension only
	}
	if len(s.b) == 0 {
		return h, nil
	}
	if n := s.num16(); n != len(s.b) {
		return Hello{}, bad("extensions of %d bytes in a place for %d", n, len(s.b))
	}
	var seen [maxExtensions]uint16
	for i := 0; len(s.b) > 0; i++ {
		kind := uint16(s.num16())
		x := bytesOf{s.take(s.num16()), true}
		if !s.ok {
			return Hello{}, bad("extension %d does not fit", kind)
		}
		if i == maxExtensions {
			return Hello{}, bad("more than %d extensions", maxExtensions)
		}
		for _, k := range seen[:i] {
			if k == kind {
				return Hello{}, bad("extension %d twice", kind)
			}
		}
		seen[i] = kind
		switch kind {
		case extServerName:
			name, err := serverName(x)
			if err != nil {
				return Hello{}, err
			}
			h.Name = name
		case extVersions:
			v, err := bestVersion(x)
			if err != nil {
				return Hello{}, err
			}
			h.Version = v
		case extALPN:
			h.alpn = x.take(x.num16())
			if !x.ok || len(x.b) > 0 || !wholeList(h.alpn) {
				return Hello{}, bad("list of protocols does not fit")
			}
		case extECH:
			h.ECH = true
		}
	}
	return h, nil
}

// serverName reads the one host name that there may be.
func serverName(x bytesOf) (string, error) {
	list := bytesOf{x.take(x.num16()), true}
	kind, raw := list.num8(), list.take(list.num16())
	if !x.ok || !list.ok || len(x.b) > 0 || len(list.b) > 0 || kind != 0 {
		return "", bad("server name does not fit")
	}
	name, ok := Name(raw)
	if !ok || raw[len(raw)-1] == '.' { // RFC 6066 section 3: without a trailing dot, and no addresses
		return "", bad("server name %q is no name", shorten(raw))
	}
	return name, nil
}

func bestVersion(x bytesOf) (best uint16, err error) {
	list := bytesOf{x.take(x.num8()), true}
	if !x.ok || len(x.b) > 0 || len(list.b) == 0 || len(list.b)%2 != 0 {
		return 0, bad("list of versions does not fit")
	}
	for len(list.b) > 0 {
		v := uint16(list.num16())
		if v >= TLS10 && v <= TLS13 { // the rest is GREASE, drafts and DTLS
			best = max(best, v)
		}
	}
	return best, nil
}

func wholeList(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 || n >= len(b) {
			return false
		}
		b = b[1+n:]
	}
	return true
}

func shorten(b []byte) []byte {
	if len(b) > 64 {
		return b[:64]
	}
	return b
}
