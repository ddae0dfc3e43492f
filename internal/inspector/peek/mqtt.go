package peek

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// Types of MQTT packets.
const (
	mqttConnect     = 1
	MQTTConnect     = mqttConnect
	MQTTConnack     = 2
	MQTTPublish     = 3
	MQTTPuback      = 4
	MQTTPubrec      = 5
	MQTTSubscribe   = 8
	MQTTSuback      = 9
	MQTTUnsubscribe = 10
	MQTTDisconnect  = 14
	MQTTAuth        = 15
)

// Bounds of what one connection may make us keep.
const (
	maxAliases    = 256 // topic aliases; who promises more is refused
	maxAliasBytes = 64 << 10
	maxFilters    = 64 // of one SUBSCRIBE
)

// Packet is what one MQTT packet shows.
type Packet struct {
	Type uint8
	// QoS of a PUBLISH.
	QoS uint8
	// ID of a PUBLISH with QoS or of a SUBSCRIBE.
	ID uint16
	// Topic of a PUBLISH, its alias resolved; of a CONNECT, that of its will, "" when
	// it has none.
	Topic string
	// Filters of a SUBSCRIBE, without "$share/GROUP/".
	Filters []string
	// Head is how many bytes have been looked at, Rest how many of the packet follow.
	Head int
	Rest int64
}

// MQTTReader reads the packets of one direction of one connection. The one that
// reads what a client sends learns the version from its CONNECT; the one that
// reads what the server sends is told by SetVersion. The zero value is ready.
type MQTTReader struct {
	version uint8
	aliases map[uint16]string
	bytes   int
}

// Version returns 3 (MQIsdp), 4 (3.1.1) or 5; 0 before the CONNECT.
func (r *MQTTReader) Version() uint8     { return r.version }
func (r *MQTTReader) SetVersion(v uint8) { r.version = v }

// Next reads the packet that begins b. Packets but PUBLISH must fit MaxHead
// when they are looked into.
func (r *MQTTReader) Next(b []byte) (Packet, error) {
	if len(b) == 0 {
		return Packet{}, ErrShort
	}
	p := Packet{Type: b[0] >> 4}
	flags := b[0] & 15
	remaining, n, err := varint(b[1:])
	if err != nil {
		return Packet{}, err
	}
	at := 1 + n
	switch p.Type {
	case 0:
		return Packet{}, bad("MQTT packet of type 0")
	case MQTTPublish:
		if p.QoS = flags >> 1 & 3; p.QoS == 3 {
			return Packet{}, bad("QoS 3")
		}
		return r.publish(p, b, at, remaining)
	case mqttConnect, MQTTSubscribe:
		if want := uint8(0); p.Type == MQTTSubscribe {
			if want = 2; flags != want {
				return Packet{}, bad("flags %#x of SUBSCRIBE", flags)
			}
		} else if flags != want {
			return Packet{}, bad("flags %#x of CONNECT", flags)
		}
		if at+remaining > MaxHead {
			return Packet{}, bad("MQTT packet of %d bytes", remaining)
		}
		if len(b) < at+remaining {
			return Packet{}, ErrShort
		}
		p.Head = at + remaining
		body := bytesOf{b[at : at+remaining], true}
		if p.Type == mqttConnect {
			return r.connect(p, body)
		}
		return r.subscribe(p, body)
	}
	// Nothing in the others is judged.
	p.Head, p.Rest = at, int64(remaining)
	return p, nil
}

// varint reads a variable byte integer (MQTT 5.0 section 1.5.5).
func varint(b []byte) (v, n int, err error) {
	for shift := 0; shift < 28; shift += 7 {
		if n == len(b) {
			return 0, 0, ErrShort
		}
		c := b[n]
		n++
		v |= int(c&0x7f) << shift
		if c&0x80 == 0 {
			if c == 0 && n > 1 {
				return 0, 0, bad("a length that is written longer than need be")
			}
			return v, n, nil
		}
	}
	return 0, 0, bad("a length of five bytes")
}

// text reads a UTF-8 string without NUL (MQTT 5.0 section 1.5.4).
func (s *bytesOf) text() []byte {
	b := s.take(s.num16())
	if s.ok && (!utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0) {
		s.ok = false
	}
	return b
}

// properties takes the properties of a packet of MQTT 5.
func (s *bytesOf) properties() bytesOf {
	if !s.ok {
		return bytesOf{}
	}
	v, n, err := varint(s.b)
	if err != nil {
		s.ok = false
		return bytesOf{}
	}
	s.take(n)
	return bytesOf{s.take(v), s.ok}
}

// Properties of MQTT 5.0 (section 2.2.2.2) by how they are written.
func propertySize(id byte) (fixed int, texts int, ok bool) {
	switch id {
	case 0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2a:
		return 1, 0, true
	case 0x13, 0x21, 0x22, 0x23:
		return 2, 0, true
	case 0x02, 0x11, 0x18, 0x27:
		return 4, 0, true
	case 0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1a, 0x1c, 0x1f:
		return 0, 1, true
	case 0x26:
		return 0, 2, true
	case 0x0b:
		return -1, 0, true
	}
	return 0, 0, false
}

const topicAlias = 0x23

// alias returns the topic alias among properties, 0 when there is none.
func (s *bytesOf) alias() (uint16, error) {
	var found uint16
	for s.ok && len(s.b) > 0 {
		id := s.num8()
		fixed, texts, ok := propertySize(byte(id))
		if !ok {
			return 0, bad("property %#x", id)
		}
		if fixed < 0 {
			_, n, err := varint(s.b)
			if err != nil {
				return 0, bad("properties do not fit")
			}
			fixed = n
		}
		v := s.take(fixed)
		for range texts {
			s.take(s.num16())
		}
		if id == topicAlias && s.ok {
			if found != 0 {
				return 0, bad("two topic aliases")
			}
			if found = binary.BigEndian.Uint16(v); found == 0 {
				return 0, bad("topic alias 0")
			}
		}
	}
	if !s.ok {
		return 0, bad("properties do not fit")
	}
	return found, nil
}

func (r *MQTTReader) publish(p Packet, b []byte, at, remaining int) (Packet, error) {
	if r.version == 0 {
		return Packet{}, bad("PUBLISH before CONNECT")
	}
	// Only what stands before the payload is needed.
	part := b[at:min(len(b), at+remaining)]
	whole := len(part) == remaining
	s := bytesOf{part, true}
	short := func() (Packet, error) {
		if whole || len(b) >= MaxHead {
			return Packet{}, bad("PUBLISH does not fit")
		}
		return Packet{}, ErrShort
	}
	if len(part) < 2 {
		return short()
	}
	n := s.num16()
	if n > MaxHead/2 {
		return Packet{}, bad("a topic of %d bytes", n)
	}
	topic := s.take(n)
	if p.QoS > 0 {
		p.ID = uint16(s.num16())
	}
	if !s.ok {
		return short()
	}
	if !utf8.Valid(topic) || bytes.ContainsAny(topic, "\x00+#") {
		return Packet{}, bad("topic %q", shorten(topic))
	}
	p.Topic = string(topic)
	if r.version >= 5 {
		if v, n, err := varint(s.b); err == nil && v+n > MaxHead/2 {
			return Packet{}, bad("properties of %d bytes", v)
		} else if err == nil && v+n > len(s.b) || err == ErrShort {
			return short()
		}
		props := s.properties()
		if !s.ok {
			return Packet{}, bad("PUBLISH does not fit")
		}
		a, err := props.alias()
		if err != nil {
			return Packet{}, err
		}
		if err := r.resolve(a, &p.Topic); err != nil {
			return Packet{}, err
		}
	} else if p.Topic == "" {
		return Packet{}, bad("PUBLISH without a topic")
	}
	p.Head = at + len(part) - len(s.b)
	p.Rest = int64(remaining - (p.Head - at))
	return p, nil
}

// resolve notes what an alias stands for, or says what it stood for.
func (r *MQTTReader) resolve(alias uint16, topic *string) error {
	switch {
	case alias == 0 && *topic == "":
		return bad("PUBLISH without a topic")
	case alias == 0:
		return nil
	case *topic == "":
		was, ok := r.aliases[alias]
		if !ok {
			return bad("topic alias %d stands for nothing", alias)
		}
		*topic = was
		return nil
	}
	was, ok := r.aliases[alias]
	if r.bytes += len(*topic) - len(was); !ok && len(r.aliases) == maxAliases || r.bytes > maxAliasBytes {
		return bad("too many topic aliases")
	}
	if r.aliases == nil {
		r.aliases = map[uint16]string{}
	}
	r.aliases[alias] = *topic
	return nil
}

func (r *MQTTReader) connect(p Packet, s bytesOf) (Packet, error) {
	if r.version != 0 {
		return Packet{}, bad("a second CONNECT")
	}
	proto, version, flags := s.text(), s.num8(), s.num8()
	s.num16() // keep alive
	switch {
	case !s.ok:
		return Packet{}, bad("CONNECT does not fit")
	case string(proto) == "MQTT" && (version == 4 || version == 5):
	case string(proto) == "MQIsdp" && version == 3:
	default:
		return Packet{}, bad("MQTT of version %d", version)
	}
	if flags&1 != 0 || flags&4 == 0 && flags&0x38 != 0 || flags&0x18 == 0x18 {
		return Packet{}, bad("flags %#x of CONNECT", flags)
	}
	if version == 5 {
		props := s.properties()
		if _, err := props.alias(); err != nil {
			return Packet{}, err
		}
	}
	s.text() // client id
	if flags&4 != 0 {
		if version == 5 {
			props := s.properties()
			if _, err := props.alias(); err != nil {
				return Packet{}, err
			}
		}
		topic := s.text()
		if s.ok && (len(topic) == 0 || bytes.ContainsAny(topic, "+#")) {
			return Packet{}, bad("topic %q of the will", shorten(topic))
		}
		p.Topic = string(topic)
		s.take(s.num16())
	}
	if flags&0x80 != 0 {
		s.text()
	}
	if flags&0x40 != 0 {
		s.take(s.num16())
	}
	if !s.ok || len(s.b) > 0 {
		return Packet{}, bad("CONNECT does not fit")
	}
	r.version = uint8(version)
	return p, nil
}

func (r *MQTTReader) subscribe(p Packet, s bytesOf) (Packet, error) {
	if r.version == 0 {
		return Packet{}, bad("SUBSCRIBE before CONNECT")
	}
	if p.ID = uint16(s.num16()); p.ID == 0 {
		return Packet{}, bad("SUBSCRIBE without an id")
	}
	if r.version >= 5 {
		props := s.properties()
		if _, err := props.alias(); err != nil {
			return Packet{}, err
		}
	}
	for s.ok && len(s.b) > 0 {
		f := s.text()
		s.num8() // options
		if !s.ok {
			break
		}
		if rest, ok := bytes.CutPrefix(f, []byte("$share/")); ok {
			i := bytes.IndexByte(rest, '/')
			if i <= 0 || bytes.ContainsAny(rest[:i], "+#") {
				return Packet{}, bad("filter %q", shorten(f))
			}
			f = rest[i+1:]
		}
		if !validFilter(f) {
			return Packet{}, bad("filter %q", shorten(f))
		}
		if len(p.Filters) == maxFilters {
			return Packet{}, bad("more than %d filters", maxFilters)
		}
		p.Filters = append(p.Filters, string(f))
	}
	if !s.ok || len(p.Filters) == 0 {
		return Packet{}, bad("SUBSCRIBE does not fit")
	}
	return p, nil
}

// validFilter checks where wildcards stand (MQTT 5.0 section 4.7.1).
func validFilter(f []byte) bool {
	if len(f) == 0 {
		return false
	}
	for i, c := range f {
		switch c {
		case '#':
			if i != len(f)-1 || i > 0 && f[i-1] != '/' {
				return false
			}
		case '+':
			if i > 0 && f[i-1] != '/' || i < len(f)-1 && f[i+1] != '/' {
				return false
			}
		}
	}
	return true
}
