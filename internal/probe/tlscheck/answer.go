package tlscheck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
)

const (
	// maxRecord is the most that a record may hold (RFC 5246 section 6.2.3).
	maxRecord = 1<<14 + 2048
	// maxHandshake bounds one message: a chain of a few certificates.
	maxHandshake = 64 << 10
	// maxRecords bounds how many records are read before the answer is whole.
	maxRecords = 64
)

// answer is what a server said to a ClientHello, as far as it is in clear.
type answer struct {
	version      uint16 // agreed
	suite        uint16
	certificates [][]byte // DER; none in 1.3, where they are encrypted
	dhBits       int      // of a classic Diffie-Hellman prime, 0 when there was none
	alert        byte     // its description, when it refused
	refused      bool
}

// retryRandom marks a ServerHello that asks for another key share (RFC 8446
// section 4.1.3): a server of 1.3 sent it.
const retryRandom = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"

var (
	errNotTLS = errors.New("the answer is not TLS")
	errShort  = errors.New("the message is cut short")
)

// readAnswer reads records until the server has said what is asked of it: the
// hello, and in versions before 1.3 its certificates and parameters. It reads at
// most maxRecords records and one message of maxHandshake.
func readAnswer(r io.Reader) (a answer, err error) {
	var pending []byte
	hello := false
	for range maxRecords {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return a, enough(hello, err)
		}
		n := int(binary.BigEndian.Uint16(head[3:]))
		if head[1] != 3 || n > maxRecord || n == 0 {
			return a, enough(hello, errNotTLS)
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return a, enough(hello, err)
		}
		switch head[0] {
		case 21:
			if len(body) != 2 {
				return a, enough(hello, errNotTLS)
			}
			if body[0] == 1 && body[1] != 0 {
				continue // a warning
			}
			a.alert, a.refused = body[1], !hello
			return a, nil
		case 22:
			pending = append(pending, body...)
		default:
			return a, enough(hello, errNotTLS)
		}
		for len(pending) >= 4 {
			size := int(pending[1])<<16 | int(pending[2])<<8 | int(pending[3])
			if size > maxHandshake {
				return a, enough(hello, fmt.Errorf("a handshake message of %d bytes: %w", size, errNotTLS))
			}
			if len(pending) < 4+size {
				break
			}
			kind, msg := pending[0], pending[4:4+size]
			pending = pending[4+size:]
			switch {
			case kind == 2 && !hello:
				if err := a.serverHello(msg); err != nil {
					return a, err
				}
				hello = true
				if a.version == tls13 {
					return a, nil
				}
			case !hello:
				return a, errNotTLS
			case kind == 11:
				if a.certificates, err = certificates(msg); err != nil {
					return a, err
				}
			case kind == 12:
				a.dhBits = dhBits(a.suite, msg)
			case kind == 14:
				return a, nil
			}
		}
	}
	return a, enough(hello, errNotTLS)
}

// enough forgives an end after the hello: what matters was said.
func enough(hello bool, err error) error {
	if hello {
		return nil
	}
	return err
}

func (a *answer) serverHello(b []byte) error {
	s := cryptobyte.String(b)
	var random []byte
	var session, extensions cryptobyte.String
	var compression uint8
	if !s.ReadUint16(&a.version) || !s.ReadBytes(&random, 32) || !s.ReadUint8LengthPrefixed(&session) || !s.ReadUint16(&a.suite) || !s.ReadUint8(&compression) {
		return errShort
	}
	if bytes.Equal(random, []byte(retryRandom)) {
		a.version = tls13
	}
	if s.Empty() {
		return nil
	}
	if !s.ReadUint16LengthPrefixed(&extensions) {
		return errShort
	}
	for !extensions.Empty() {
		var id, v uint16
		var body cryptobyte.String
		if !extensions.ReadUint16(&id) || !extensions.ReadUint16LengthPrefixed(&body) {
			return errShort
		}
		if id == 43 && body.ReadUint16(&v) {
			a.version = v
		}
	}
	return nil
}

// maxChain bounds the certificates that are kept.
const maxChain = 8

func certificates(b []byte) ([][]byte, error) {
	s := cryptobyte.String(b)
	var list cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&list) {
		return nil, errShort
	}
	var out [][]byte
	for !list.Empty() && len(out) < maxChain {
		var c cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&c) {
			return nil, errShort
		}
		out = append(out, bytes.Clone(c))
	}
	return out, nil
}

// dhBits returns the size of the prime in a ServerKeyExchange of a DHE suite
// (RFC 5246 section 7.4.3).
func dhBits(suite uint16, b []byte) int {
	switch {
	case suite >= 0x0011 && suite <= 0x001b, suite == 0x0033, suite == 0x0039, suite == 0x0034, suite == 0x003a, suite == 0x0032, suite == 0x0038,
		suite >= 0x0062 && suite <= 0x0066, suite == 0x0067, suite == 0x006b, suite == 0x009e, suite == 0x009f, suite == 0xccaa, suite == 0xc09e, suite == 0xc09f:
	default:
		return 0
	}
	s := cryptobyte.String(b)
	var p cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&p) {
		return 0
	}
	p = bytes.TrimLeft(p, "\x00")
	if len(p) == 0 {
		return 0
	}
	bits := len(p) * 8
	for top := p[0]; top&0x80 == 0; top <<= 1 {
		bits--
	}
	return bits
}

// isHello2 reports whether b is a ServerHello of SSL 2 that has a certificate or
// ciphers in common with us.
func isHello2(b []byte) bool {
	if len(b) < 13 || b[0]&0x80 == 0 {
		return false
	}
	n := int(b[0]&0x7f)<<8 | int(b[1])
	if n < 11 || b[2] != 4 || b[5] != 0 || b[6] != 2 {
		return false
	}
	ciphers := int(binary.BigEndian.Uint16(b[9:]))
	return ciphers > 0 && ciphers%3 == 0
}
