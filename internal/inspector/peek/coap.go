package peek

import (
	"encoding/binary"
	"unicode/utf8"
)

// Types of CoAP messages.
const (
	CoAPConfirmable = 0
	CoAPNon         = 1
	CoAPAck         = 2
	CoAPReset       = 3
)

// Message is what one CoAP datagram shows.
type Message struct {
	Type  uint8
	Code  uint8 // class<<5 | detail; 0 = empty
	ID    uint16
	Token []byte
	// Method of a request; "" of an answer and of an empty message.
	Method string
	// Host of Uri-Host, in lower case; "" when there is none, or an address.
	Host string
	// Path is the segments of Uri-Path, each after a "/" and with octets that have no
	// place in a path percent-encoded (RFC 7252 section 6.5); "/" when there are none.
	Path string
	// Proxied says that it asks its server to ask another one.
	Proxied bool
}

// Request reports whether the message asks for something.
func (m *Message) Request() bool { return m.Code>>5 == 0 && m.Code != 0 }

// Bounds of a message.
const (
	maxCoAPPath    = 1024
	maxCoAPOptions = 64
)

// Numbers of options (RFC 7252 section 12.2).
const (
	optUriHost     = 3
	optUriPath     = 11
	optProxyUri    = 35
	optProxyScheme = 39
)

// ParseCoAP reads one datagram (RFC 7252 section 3).
func ParseCoAP(b []byte) (Message, error) {
	if len(b) < 4 || b[0]>>6 != 1 {
		return Message{}, bad("no CoAP message of version 1")
	}
	m := Message{Type: b[0] >> 4 & 3, Code: b[1], ID: binary.BigEndian.Uint16(b[2:])}
	n := int(b[0] & 15)
	if n > 8 || len(b) < 4+n {
		return Message{}, bad("a token of %d bytes", n)
	}
	m.Token = b[4 : 4+n]
	switch class := m.Code >> 5; {
	case m.Code == 0:
		if len(b) != 4 {
			return Message{}, bad("an empty message that is not empty")
		}
		return m, nil
	case class == 1 || class == 6 || class == 7:
		return Message{}, bad("code %d.%02d", class, m.Code&31)
	}
	if m.Request() {
		if m.Type > CoAPNon {
			return Message{}, bad("a request in a message of type %d", m.Type)
		}
		if m.Method = coapMethod(m.Code); m.Method == "" {
			return Message{}, bad("method %d", m.Code)
		}
	}
	err := m.options(b[4+n:])
	return m, err
}

func coapMethod(code uint8) string {
	switch code {
	case 1:
		return "GET"
	case 2:
		return "POST"
	case 3:
		return "PUT"
	case 4:
		return "DELETE"
	case 5: // RFC 8132
		return "FETCH"
	case 6:
		return "PATCH"
	case 7:
		return "IPATCH"
	}
	return ""
}

func (m *Message) options(b []byte) error {
	var path [maxCoAPPath]byte
	used := 0
	number, hosts, count := 0, 0, 0
	for len(b) > 0 {
		if b[0] == 0xff {
			if len(b) == 1 {
				return bad("a marker without a payload")
			}
			break
		}
		if count++; count > maxCoAPOptions {
			return bad("more than %d options", maxCoAPOptions)
		}
		delta, size := int(b[0]>>4), int(b[0]&15)
		b = b[1:]
		var ok bool
		if delta, b, ok = extended(delta, b); !ok {
			return bad("an option does not fit")
		}
		if size, b, ok = extended(size, b); !ok || size > len(b) {
			return bad("an option does not fit")
		}
		number += delta
		v := b[:size]
		b = b[size:]
		switch number {
		case optUriHost:
			if hosts++; hosts > 1 {
				return bad("two hosts")
			}
			if len(v) == 0 {
				return bad("an empty host")
			}
			name, _, err := authority(v)
			if err != nil {
				return err
			}
			m.Host = name
		case optUriPath:
			if !utf8.Valid(v) || string(v) == "." || string(v) == ".." { // RFC 7252 section 5.10.1
				return bad("path segment %q", shorten(v))
			}
			if used+1+3*len(v) > len(path) {
				return bad("a path of more than %d octets", len(path))
			}
			path[used] = '/'
			used++
			for _, c := range v {
				switch {
				case c == '/' || c < ' ' || c == 0x7f:
					return bad("octet %q in a path segment", c)
				case c == '%' || c > 0x7f || !isPathOctet(c):
					const digits = "0123456789ABCDEF"
					used += copy(path[used:], []byte{'%', digits[c>>4], digits[c&15]})
				default:
					path[used] = c
					used++
				}
			}
		case optProxyUri, optProxyScheme:
			m.Proxied = true
		}
	}
	if m.Request() {
		if m.Path = "/"; used > 0 {
			m.Path = string(path[:used])
		}
	}
	return nil
}

// isPathOctet says which octets stand in a path as they are (RFC 3986 section
// 3.3).
func isPathOctet(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '.', '_', '~', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '@':
		return true
	}
	return false
}

// extended reads the longer forms of a delta or length (RFC 7252 section 3.1).
func extended(v int, b []byte) (int, []byte, bool) {
	switch {
	case v < 13:
		return v, b, true
	case v == 13 && len(b) >= 1:
		return int(b[0]) + 13, b[1:], true
	case v == 14 && len(b) >= 2:
		return int(binary.BigEndian.Uint16(b)) + 269, b[2:], true
	}
	return 0, nil, false // 15 is kept for the marker
}

// Forbid returns the answer 4.03 to a request.
func (m *Message) Forbid() []byte {
	const forbidden = 4<<5 | 3
	kind, id := uint8(CoAPAck), m.ID
	if m.Type == CoAPNon {
		kind = CoAPNon
	}
	out := append(make([]byte, 0, 12), 1<<6|kind<<4|uint8(len(m.Token)), forbidden)
	out = binary.BigEndian.AppendUint16(out, id)
	return append(out, m.Token...)
}
