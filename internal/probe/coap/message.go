package coap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/ringwall/ringwall/internal/probe/fetch"
)

// Options that matter here (RFC 7252 section 5.10, RFC 7959 section 2.1).
const (
	optPath   = 11
	optFormat = 12
	optBlock2 = 23
)

// Codes of answers, class and detail in one byte (section 12.1.2).
const (
	codeContent      = 0x45
	codeUnauthorised = 0x81
	codeForbidden    = 0x83
)

// message is one CoAP message (section 3).
type message struct {
	kind    byte // 0 confirmable, 1 not, 2 acknowledgement, 3 reset
	code    byte
	id      uint16
	token   []byte
	options []option
	payload []byte
}

type option struct {
	number int
	value  []byte
}

var errNotCoAP = errors.New("the answer is not CoAP")

// maxOptions bounds what one message may carry.
const maxOptions = 64

// get writes a confirmable GET; block is the number of the block wanted.
func get(path string, id uint16, token []byte, block uint32) []byte {
	b := []byte{0x40 | byte(len(token)), 1}
	b = binary.BigEndian.AppendUint16(b, id)
	b = append(b, token...)
	last := 0
	put := func(number int, value []byte) {
		b = appendOption(b, number-last, value)
		last = number
	}
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if part != "" {
			put(optPath, []byte(part))
		}
	}
	if block > 0 {
		var v [4]byte
		binary.BigEndian.PutUint32(v[:], block<<4|6) // blocks of 1024 bytes
		put(optBlock2, v[1:])
	}
	return b
}

func appendOption(b []byte, delta int, value []byte) []byte {
	split := func(n int) (byte, []byte) {
		switch {
		case n < 13:
			return byte(n), nil
		case n < 269:
			return 13, []byte{byte(n - 13)}
		}
		return 14, binary.BigEndian.AppendUint16(nil, uint16(n-269))
	}
	d, dx := split(delta)
	l, lx := split(len(value))
	b = append(b, d<<4|l)
	return append(append(append(b, dx...), lx...), value...)
}

// parse reads one message.
func parse(b []byte) (m message, err error) {
	if len(b) < 4 || b[0]>>6 != 1 || b[0]&15 > 8 {
		return m, errNotCoAP
	}
	m = message{kind: b[0] >> 4 & 3, code: b[1], id: binary.BigEndian.Uint16(b[2:])}
	n := int(b[0] & 15)
	if b = b[4:]; len(b) < n {
		return m, errNotCoAP
	}
	m.token, b = b[:n], b[n:]
	number := 0
	for len(b) > 0 {
		if b[0] == 0xff {
			if len(b) == 1 {
				return m, fmt.Errorf("a marker without a payload: %w", errNotCoAP)
			}
			m.payload = b[1:]
			return m, nil
		}
		d, l := int(b[0]>>4), int(b[0]&15)
		b = b[1:]
		for _, v := range []*int{&d, &l} {
			switch {
			case *v == 13 && len(b) >= 1:
				*v, b = 13+int(b[0]), b[1:]
			case *v == 14 && len(b) >= 2:
				*v, b = 269+int(binary.BigEndian.Uint16(b)), b[2:]
			case *v >= 13:
				return m, errNotCoAP
			}
		}
		if number += d; len(b) < l || len(m.options) == maxOptions || number > 0xffff {
			return m, errNotCoAP
		}
		m.options = append(m.options, option{number, b[:l]})
		b = b[l:]
	}
	return m, nil
}

// more reports whether further blocks follow this one (RFC 7959 section 2.2).
func (m message) more() bool {
	for _, o := range m.options {
		if o.number == optBlock2 && len(o.value) > 0 && len(o.value) <= 3 {
			return o.value[len(o.value)-1]&8 != 0
		}
	}
	return false
}

// Bounds of a list of resources.
const (
	maxLinks = 128
	maxPath  = 120
)

// links returns the paths in a list of resources (RFC 6690 section 2): what
// stands between angle brackets at the beginning of each link.
func links(s string) []string {
	var out []string
	for len(out) < maxLinks {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			break
		}
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			break
		}
		if p := fetch.Clean(s[i+1:i+j], maxPath); strings.HasPrefix(p, "/") {
			out = append(out, p)
		}
		s = s[i+j+1:]
		// Up to the next link: commas inside quotes are not its end.
		quoted := false
		end := len(s)
		for k := range len(s) {
			if s[k] == '"' {
				quoted = !quoted
			}
			if s[k] == ',' && !quoted {
				end = k
				break
			}
		}
		s = s[end:]
	}
	return out
}
