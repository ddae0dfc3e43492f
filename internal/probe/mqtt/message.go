package mqtt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Control packets (MQTT 3.1.1 section 2.2.1).
const (
	typeConnect    = 1
	typeConnack    = 2
	typePublish    = 3
	typeSubscribe  = 8
	typeSuback     = 9
	typeDisconnect = 14
)

// maxPacket bounds what is read of one packet; the rest of a larger one is a
// reason to hang up.
const maxPacket = 64 << 10

var errNotMQTT = errors.New("the answer is not MQTT")

// packet is one control packet.
type packet struct {
	kind  byte
	flags byte
	body  []byte
}

// bytes writes it (section 2.2.3: length in groups of seven bits).
func (p packet) bytes() []byte {
	b := []byte{p.kind<<4 | p.flags}
	n := len(p.body)
	for {
		x := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			x |= 0x80
		}
		b = append(b, x)
		if n == 0 {
			return append(b, p.body...)
		}
	}
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// connect asks to be let in without a name or password (section 3.1): clean
// session, keep-alive of 30 s.
func connect(id string, level byte) packet {
	b := append(text(nil, "MQTT"), level, 2, 0, 30)
	return packet{typeConnect, 0, text(b, id)}
}

// subscribe asks for topics, at most once each (section 3.8).
func subscribe(id uint16, filters ...string) packet {
	b := binary.BigEndian.AppendUint16(nil, id)
	for _, f := range filters {
		b = append(text(b, f), 0)
	}
	return packet{typeSubscribe, 2, b}
}

// readPacket reads one packet.
func readPacket(r io.ByteReader, full io.Reader) (packet, error) {
	head, err := r.ReadByte()
	if err != nil {
		return packet{}, err
	}
	n, shift := 0, 0
	for {
		x, err := r.ReadByte()
		if err != nil {
			return packet{}, err
		}
		n |= int(x&0x7f) << shift
		if x&0x80 == 0 {
			break
		}
		if shift += 7; shift > 21 {
			return packet{}, fmt.Errorf("a length of more than four bytes: %w", errNotMQTT)
		}
	}
	if n > maxPacket {
		return packet{}, fmt.Errorf("a packet of %d bytes: %w", n, errNotMQTT)
	}
	p := packet{head >> 4, head & 15, make([]byte, n)}
	if _, err := io.ReadFull(full, p.body); err != nil {
		return packet{}, err
	}
	return p, nil
}

// connack returns the code of an answer to connect: 0 let in, 4 and 5 refused for
// want of credentials (section 3.2.2.3).
func connack(p packet) (code byte, err error) {
	if p.kind != typeConnack || p.flags != 0 || len(p.body) != 2 || p.body[0] > 1 {
		return 0, errNotMQTT
	}
	return p.body[1], nil
}

// suback returns which of n filters were granted.
func suback(p packet, id uint16, n int) ([]bool, error) {
	if p.kind != typeSuback || len(p.body) != 2+n || binary.BigEndian.Uint16(p.body) != id {
		return nil, errNotMQTT
	}
	out := make([]bool, n)
	for i, c := range p.body[2:] {
		if c > 2 && c != 0x80 {
			return nil, errNotMQTT
		}
		out[i] = c <= 2
	}
	return out, nil
}

// topic returns the topic of a message that was published, and its length.
func topic(p packet) (name string, size int, err error) {
	if p.kind != typePublish || len(p.body) < 2 {
		return "", 0, errNotMQTT
	}
	n := int(binary.BigEndian.Uint16(p.body))
	if n == 0 || n > len(p.body)-2 {
		return "", 0, errNotMQTT
	}
	name = string(p.body[2 : 2+n])
	if strings.ContainsAny(name, "#+\x00") { // section 3.3.2.1: no wildcards
		return "", 0, errNotMQTT
	}
	return name, len(p.body) - 2 - n, nil
}
