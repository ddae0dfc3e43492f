// Package gtpp reads and writes the messages of GTP′ (3GPP TS 32.295), by which
// network elements hand charging records to a charging gateway: Node Alive,
// Redirection, Echo, and Data Record Transfer with its commands for packets that
// may be duplicates (section 6.2.4).
//
// Versions 0, 1 and 2 are read, with headers of 6 octets and, of version 0, of 20
// (section 6.1.1); the answer to a version that is not known is written by
// Unsupported. Information elements that are not known are passed over when their
// length is told; the fields of a message that is taken alias its bytes.
//
// The package is pure.
package gtpp

import (
	"encoding/binary"
	"net/netip"

	"github.com/ringwall/ringwall"
)

// Port is where a charging gateway listens, on UDP and TCP (section 6.1).
const Port = 3386

// MaxMessage bounds a message: its length has 16 bits.
const MaxMessage = 20 + 1<<16 - 1

// Types of messages (section 6.2.1).
const (
	EchoRequest          = 1
	EchoResponse         = 2
	VersionNotSupported  = 3
	NodeAliveRequest     = 4
	NodeAliveResponse    = 5
	RedirectionRequest   = 6
	RedirectionResponse  = 7
	DataTransferRequest  = 240
	DataTransferResponse = 241
)

// Packet transfer commands (section 6.2.4.5.2).
const (
	Send                   = 1
	SendPossibleDuplicates = 2
	Cancel                 = 3
	Release                = 4
)

// Causes (section 6.2.5 and TS 29.060 section 7.7.1).
const (
	ThisNodeGoesDown      = 63
	AnotherNodeGoesDown   = 62
	SystemFailure         = 59
	Accepted              = 128
	NoResources           = 199
	ServiceNotSupported   = 200
	InvalidFormat         = 193
	MandatoryIncorrect    = 201
	MandatoryMissing      = 202
	DecodingError         = 177
	DuplicatesFulfilled   = 252 // "Request related to possibly duplicated packets already fulfilled"
	AlreadyFulfilled      = 253
	SequenceListIncorrect = 254
	NotFulfilled          = 255
)

// Information elements (section 6.2.5).
const (
	ieCause      = 1
	ieRecovery   = 14
	ieCommand    = 126
	ieReleased   = 249
	ieCancelled  = 250
	ieGateway    = 251
	ieRecords    = 252
	ieResponded  = 253
	ieRecommends = 254
)

// Message is a message.
type Message struct {
	Version  uint8
	Long     bool // the header has 20 octets
	Type     uint8
	Sequence uint16

	Cause     uint8        // 0 = not there
	Recovery  uint8        // restart counter, when HasRecovery
	Command   uint8        // of a transfer; 0 = not there
	Packet    *Packet      // records
	Released  []uint16     // sequence numbers
	Cancelled []uint16     // sequence numbers
	Responded []uint16     // sequence numbers
	Node      netip.Addr   // of Node Alive: who is alive
	Use       []netip.Addr // of Redirection: who is to be used instead

	HasRecovery bool
}

// Packet is a data record packet (section 6.2.4.5.3).
type Packet struct {
	Format  uint8 // 1 = BER
	Version uint16
	Records [][]byte
}

// BER is the format of records in BER.
const BER = 1

// Size tells from the first octets of a message how long it is in all; 0 = it
// takes more octets to tell. The error has code Invalid: it is no GTP′.
func Size(b []byte) (int, error) {
	if len(b) < 4 {
		if len(b) > 0 && b[0]&0x10 != 0 {
			return 0, ringwall.Errorf(ringwall.Invalid, "gtpp: the first octet %#x is that of GTP and not of GTP prime", b[0])
		}
		return 0, nil
	}
	if b[0]&0x10 != 0 {
		return 0, ringwall.Errorf(ringwall.Invalid, "gtpp: the first octet %#x is that of GTP and not of GTP prime", b[0])
	}
	return header(b[0]) + int(binary.BigEndian.Uint16(b[2:])), nil
}

// header is the length of the header: 20 octets in version 0 unless its lowest bit
// says 6.
func header(first byte) int {
	if first>>5 == 0 && first&1 == 0 {
		return 20
	}
	return 6
}

// Decode reads a message, which is all of b. The error has code Invalid; what was
// read of the header is in m, for an answer.
func Decode(b []byte) (m Message, err error) {
	size, err := Size(b)
	if err != nil {
		return m, err
	}
	if len(b) < 6 || size != len(b) {
		return m, ringwall.Errorf(ringwall.Invalid, "gtpp: %d octets, the header says %d", len(b), size)
	}
	h := header(b[0])
	if len(b) < h {
		return m, ringwall.Errorf(ringwall.Invalid, "gtpp: %d octets end inside of the header", len(b))
	}
	m.Version, m.Long, m.Type, m.Sequence = b[0]>>5, h == 20, b[1], binary.BigEndian.Uint16(b[4:])
	if m.Version > 2 {
		return m, nil // what follows is of a form that is not known
	}
	for p := h; p < len(b); {
		t := b[p]
		p++
		if t < 128 {
			// Elements of a fixed length, of which only these are in GTP prime.
			if t != ieCause && t != ieRecovery && t != ieCommand || p >= len(b) {
				return m, ringwall.Errorf(ringwall.Invalid, "gtpp: octet %d: element %d is not known or cut", p-1, t)
			}
			switch t {
			case ieCause:
				m.Cause = b[p]
			case ieRecovery:
				m.Recovery, m.HasRecovery = b[p], true
			case ieCommand:
				m.Command = b[p]
			}
			p++
			continue
		}
		if len(b)-p < 2 || len(b)-p-2 < int(binary.BigEndian.Uint16(b[p:])) {
			return m, ringwall.Errorf(ringwall.Invalid, "gtpp: octet %d: element %d ends behind the message", p-1, t)
		}
		n := int(binary.BigEndian.Uint16(b[p:]))
		v := b[p+2 : p+2+n]
		p += 2 + n
		if err := m.element(t, v); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (m *Message) element(t uint8, v []byte) (err error) {
	switch t {
	case ieReleased:
		m.Released, err = numbers(t, v)
	case ieCancelled:
		m.Cancelled, err = numbers(t, v)
	case ieResponded:
		m.Responded, err = numbers(t, v)
	case ieGateway, ieRecommends:
		a, ok := netip.AddrFromSlice(v)
		if !ok {
			return ringwall.Errorf(ringwall.Invalid, "gtpp: an address of %d octets", len(v))
		}
		if t == ieGateway {
			m.Node = a
		} else {
			m.Use = append(m.Use, a)
		}
	case ieRecords:
		m.Packet, err = packet(v)
	}
	return err
}

func numbers(t uint8, v []byte) ([]uint16, error) {
	if len(v)%2 != 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "gtpp: element %d of %d octets is no list of sequence numbers", t, len(v))
	}
	s := make([]uint16, 0, len(v)/2)
	for ; len(v) > 0; v = v[2:] {
		s = append(s, binary.BigEndian.Uint16(v))
	}
	return s, nil
}

func packet(v []byte) (*Packet, error) {
	if len(v) == 0 {
		return &Packet{}, nil // a question: was this one received
	}
	p := &Packet{}
	count := int(v[0])
	if count == 0 {
		return p, nil
	}
	if len(v) < 4 {
		return nil, ringwall.Errorf(ringwall.Invalid, "gtpp: a data record packet of %d octets", len(v))
	}
	p.Format, p.Version = v[1], binary.BigEndian.Uint16(v[2:])
	v = v[4:]
	for range count {
		if len(v) < 2 || len(v)-2 < int(binary.BigEndian.Uint16(v)) {
			return nil, ringwall.Errorf(ringwall.Invalid, "gtpp: a data record packet that ends inside of record %d of %d", len(p.Records)+1, count)
		}
		n := int(binary.BigEndian.Uint16(v))
		p.Records, v = append(p.Records, v[2:2+n]), v[2+n:]
	}
	if len(v) != 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "gtpp: %d octets behind the last record of a packet", len(v))
	}
	return p, nil
}

// Append appends a message. The error has code Invalid: it is too long.
func Append(dst []byte, m Message) ([]byte, error) {
	be := binary.BigEndian
	at := len(dst)
	first := m.Version<<5 | 0x0e | 1
	if m.Long {
		first = 0x0e
	}
	dst = append(dst, first, m.Type, 0, 0)
	dst = be.AppendUint16(dst, m.Sequence)
	h := 6
	if m.Long {
		h = 20
		dst = append(dst, make([]byte, 14)...)
	}
	if m.Cause != 0 {
		dst = append(dst, ieCause, m.Cause)
	}
	if m.HasRecovery {
		dst = append(dst, ieRecovery, m.Recovery)
	}
	if m.Command != 0 {
		dst = append(dst, ieCommand, m.Command)
	}
	list := func(t byte, s []uint16) {
		if s != nil {
			dst = be.AppendUint16(append(dst, t), uint16(2*len(s)))
			for _, n := range s {
				dst = be.AppendUint16(dst, n)
			}
		}
	}
	list(ieReleased, m.Released)
	list(ieCancelled, m.Cancelled)
	if m.Node.IsValid() {
		dst = append(be.AppendUint16(append(dst, ieGateway), uint16(m.Node.BitLen()/8)), m.Node.AsSlice()...)
	}
	if m.Packet != nil {
		var err error
		if dst, err = m.Packet.append(dst); err != nil {
			return dst[:at], err
		}
	}
	list(ieResponded, m.Responded)
	for _, a := range m.Use {
		dst = append(be.AppendUint16(append(dst, ieRecommends), uint16(a.BitLen()/8)), a.AsSlice()...)
	}
	n := len(dst) - at - h
	if n > 1<<16-1 {
		return dst[:at], ringwall.Errorf(ringwall.Invalid, "gtpp: a message of %d octets", n)
	}
	be.PutUint16(dst[at+2:], uint16(n))
	return dst, nil
}

func (p *Packet) append(dst []byte) ([]byte, error) {
	be := binary.BigEndian
	size := 0
	if len(p.Records) > 0 {
		size = 4
	}
	for _, r := range p.Records {
		size += 2 + len(r)
	}
	if len(p.Records) > 255 || size > 1<<16-1 {
		return dst, ringwall.Errorf(ringwall.Invalid, "gtpp: a data record packet of %d records and %d octets", len(p.Records), size)
	}
	if len(p.Records) == 0 {
		return append(dst, ieRecords, 0, 1, 0), nil
	}
	dst = be.AppendUint16(append(dst, ieRecords), uint16(size))
	dst = be.AppendUint16(append(dst, byte(len(p.Records)), p.Format), p.Version)
	for _, r := range p.Records {
		dst = append(be.AppendUint16(dst, uint16(len(r))), r...)
	}
	return dst, nil
}

// Unsupported is the answer to a message of a version that is not known.
func Unsupported(m Message) Message {
	return Message{Version: 2, Type: VersionNotSupported, Sequence: m.Sequence}
}

// Answer is the frame of an answer to m.
func Answer(m Message, cause uint8) Message {
	a := Message{Version: m.Version, Long: m.Long, Type: m.Type + 1, Sequence: m.Sequence, Cause: cause}
	if m.Type == DataTransferRequest {
		a.Responded = []uint16{m.Sequence}
	}
	return a
}
