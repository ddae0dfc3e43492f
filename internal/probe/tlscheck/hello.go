package tlscheck

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

// hello is what a ClientHello offers (RFC 5246 section 7.4.1.2, RFC 8446
// section 4.1.2).
type hello struct {
	version uint16 // the highest
	suites  []uint16
	also13  bool // besides what version says
}

// bytes writes the record.
func (h hello) bytes() []byte {
	var random [32 + 32 + 32]byte
	_, _ = rand.Read(random[:]) // it never fails (crypto/rand)
	legacy := min(h.version, tls12)
	var b cryptobyte.Builder
	b.AddUint8(22)
	b.AddUint16(min(max(legacy, ssl3), tls10)) // what every server of any age reads
	if legacy == ssl3 {
		b = cryptobyte.Builder{}
		b.AddUint8(22)
		b.AddUint16(ssl3)
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(1)
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint16(legacy)
			b.AddBytes(random[:32])
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
				if h.version == tls13 || h.also13 {
					b.AddBytes(random[32:64]) // middlebox compatibility (RFC 8446 appendix D.4)
				}
			})
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, s := range h.suites {
					b.AddUint16(s)
				}
			})
			b.AddBytes([]byte{1, 0}) // no compression
			if legacy > ssl3 {
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { h.extensions(b, random[64:]) })
			}
		})
	})
	return b.BytesOrPanic() // lengths are ours and fit
}

func (h hello) extensions(b *cryptobyte.Builder, keyShare []byte) {
	ext := func(id uint16, f cryptobyte.BuilderContinuation) {
		b.AddUint16(id)
		b.AddUint16LengthPrefixed(f)
	}
	list16 := func(vs ...uint16) cryptobyte.BuilderContinuation {
		return func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, v := range vs {
					b.AddUint16(v)
				}
			})
		}
	}
	ext(10, list16(29, 23, 24, 25, 30, 22, 14, 13, 21, 19, 256, 257)) // groups, old curves too
	ext(11, func(b *cryptobyte.Builder) { b.AddBytes([]byte{1, 0}) }) // uncompressed points
	if h.version >= tls12 || h.also13 {
		ext(13, list16(0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0401, 0x0501, 0x0601, 0x0303, 0x0301, 0x0201, 0x0203, 0x0202, 0x0101))
	}
	if h.version == tls13 || h.also13 {
		ext(43, func(b *cryptobyte.Builder) {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint16(tls13)
				if h.also13 {
					for v := h.version; v >= tls10 && v < tls13; v-- {
						b.AddUint16(v)
					}
				}
			})
		})
		ext(51, func(b *cryptobyte.Builder) { // any 32 bytes are a key of X25519
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint16(29)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(keyShare) })
			})
		})
	}
}

// hello2 is a ClientHello of SSL 2 with its seven ciphers, and none that a newer
// version would know.
func hello2() []byte {
	var challenge [16]byte
	_, _ = rand.Read(challenge[:])
	ciphers := []byte{1, 0, 0x80, 2, 0, 0x80, 3, 0, 0x80, 4, 0, 0x80, 5, 0, 0x80, 6, 0, 0x40, 7, 0, 0xc0}
	body := []byte{1, 0, 2}
	body = binary.BigEndian.AppendUint16(body, uint16(len(ciphers)))
	body = append(body, 0, 0, 0, byte(len(challenge)))
	body = append(append(body, ciphers...), challenge[:]...)
	return append([]byte{0x80, byte(len(body))}, body...)
}

// Anything returns a ClientHello that every TLS server of any age understands.
func Anything() []byte {
	return hello{version: tls12, suites: append([]uint16{0x1301, 0x1302, 0x1303}, classic()...), also13: true}.bytes()
}

// IsTLS reports whether b begins like a TLS server's answer: a handshake record
// with a ServerHello, or an alert.
func IsTLS(b []byte) bool {
	if len(b) < 7 || b[1] != 3 || b[2] > 4 {
		return false
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	switch b[0] {
	case 22:
		return n >= 4 && n <= maxRecord && b[5] == 2
	case 21:
		return n == 2 && (b[5] == 1 || b[5] == 2)
	}
	return false
}

// Client returns a configuration that completes a handshake with nearly any
// peer: it is for looking at devices, never for trusting them.
func Client() *tls.Config {
	var suites []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, s.ID)
	}
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, CipherSuites: suites}
}
