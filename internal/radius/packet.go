package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// Codes of packets.
const (
	codeRequest  = 4
	codeResponse = 5
)

// Sizes (RFC 2866 section 3).
const (
	headerLen = 20
	// MaxPacket is the longest packet.
	MaxPacket = 4096
)

// Types of attributes.
const (
	attrUserName      = 1
	attrNASIP         = 4
	attrFramedIP      = 8
	attrVendor        = 26
	attrCalled        = 30
	attrCalling       = 31
	attrNASIdentifier = 32
	attrStatusType    = 40
	attrDelayTime     = 41
	attrInput         = 42
	attrOutput        = 43
	attrSessionID     = 44
	attrSessionTime   = 46
	attrInputGiga     = 52
	attrOutputGiga    = 53
	attrEventTime     = 55
	attrAuthenticator = 80
	attrNASIPv6       = 95
	attrFramedPrefix  = 97
	attrFramedIPv6    = 168

	vendor3GPP   = 10415
	gppIMSI      = 1
	gppIMEISV    = 20
	gppRAT       = 21
	gppLocation  = 22
	maxVendorSub = 247
)

// Status is what an Accounting-Request tells (RFC 2866 section 5.1).
type Status uint32

// Values of Status.
const (
	Start   Status = 1
	Stop    Status = 2
	Interim Status = 3
	On      Status = 7
	Off     Status = 8
)

func (s Status) String() string {
	switch s {
	case Start:
		return "start"
	case Stop:
		return "stop"
	case Interim:
		return "interim"
	case On:
		return "accounting-on"
	case Off:
		return "accounting-off"
	}
	return "unknown"
}

// Request is an Accounting-Request.
type Request struct {
	ID            byte
	Authenticator [16]byte

	Status   Status
	Session  string        // Acct-Session-Id
	Delay    time.Duration // Acct-Delay-Time
	Event    time.Time     // Event-Timestamp; zero = not told
	NAS      netip.Addr    // NAS-IP-Address or NAS-IPv6-Address
	NASName  string        // NAS-Identifier
	APN      string        // Called-Station-Id
	Address  netip.Addr    // Framed-IP-Address
	Address6 netip.Addr    // Framed-IPv6-Address
	Prefix6  netip.Prefix  // Framed-IPv6-Prefix
	IMSI     string
	IMEISV   string
	Radio    byte // 3GPP-RAT-Type: 1 UTRAN, 2 GERAN, 6 EUTRAN, 8 NB-IoT, 9 LTE-M, 51 NR ...
	Location Location

	// What the session has used until now: bytes from and to the card
	// (Acct-Input-Octets and -Gigawords, Acct-Output-Octets and -Gigawords), and how
	// long it has lasted (Acct-Session-Time).
	Up, Down uint64
	Duration time.Duration
}

func invalid(format string, args ...any) error {
	return ringwall.Errorf(ringwall.Invalid, format, args...)
}

// Decode reads an Accounting-Request that secret authenticates. Codes: Unverified
// when its authenticator does not hold, Invalid when it is no such request.
func Decode(data, secret []byte) (Request, error) {
	var r Request
	if len(data) < headerLen {
		return r, invalid("RADIUS packet of %d bytes is shorter than its header", len(data))
	}
	length := int(binary.BigEndian.Uint16(data[2:]))
	if length < headerLen || length > MaxPacket || length > len(data) {
		return r, invalid("RADIUS packet of %d bytes says that it has %d", len(data), length)
	}
	data = data[:length] // what follows is padding (RFC 2866 section 3)
	if data[0] != codeRequest {
		return r, invalid("RADIUS packet has code %d, want %d", data[0], codeRequest)
	}
	if len(secret) == 0 {
		return r, invalid("there is no secret")
	}
	want := authenticator(data, make([]byte, 16), secret)
	if subtle.ConstantTimeCompare(want[:], data[4:20]) != 1 {
		return r, ringwall.Errorf(ringwall.Unverified, "authenticator of the RADIUS packet does not hold")
	}
	r.ID = data[1]
	copy(r.Authenticator[:], data[4:20])
	for at := headerLen; at < length; {
		if length-at < 2 || int(data[at+1]) < 2 || at+int(data[at+1]) > length {
			return r, invalid("RADIUS attribute at byte %d has a wrong length", at)
		}
		value := data[at+2 : at+int(data[at+1])]
		if data[at] == attrAuthenticator {
			if err := verifyMessage(data, at, value, secret); err != nil {
				return r, err
			}
		} else if err := r.attribute(data[at], value); err != nil {
			return r, invalid("RADIUS attribute %d at byte %d: %w", data[at], at, err)
		}
		at += int(data[at+1])
	}
	return r, r.check()
}

// check says what is missing.
func (r *Request) check() error {
	switch r.Status {
	case On, Off:
		return nil
	case Start, Stop, Interim:
		if r.Session == "" {
			return invalid("RADIUS packet of status %s names no session", r.Status)
		}
		return nil
	}
	return invalid("RADIUS packet has status %d", uint32(r.Status))
}

// authenticator is MD5 over the packet with auth in place of its authenticator,
// and the secret.
func authenticator(data, auth, secret []byte) [16]byte {
	h := md5.New()
	h.Write(data[:4])
	h.Write(auth)
	h.Write(data[headerLen:])
	h.Write(secret)
	var out [16]byte
	h.Sum(out[:0])
	return out
}

// verifyMessage verifies a Message-Authenticator: HMAC-MD5 over the packet with
// the authenticator and itself as zeros.
func verifyMessage(data []byte, at int, value, secret []byte) error {
	if len(value) != 16 {
		return invalid("Message-Authenticator at byte %d has %d bytes", at, len(value))
	}
	if !hmac.Equal(messageAuth(data, at, secret), value) {
		return ringwall.Errorf(ringwall.Unverified, "Message-Authenticator of the RADIUS packet does not hold")
	}
	return nil
}

func messageAuth(data []byte, at int, secret []byte) []byte {
	zero := make([]byte, 16)
	h := hmac.New(md5.New, secret)
	h.Write(data[:4])
	h.Write(zero)
	h.Write(data[headerLen : at+2])
	h.Write(zero)
	h.Write(data[at+18:])
	return h.Sum(nil)
}

func (r *Request) attribute(kind byte, v []byte) (err error) {
	number := func(to *uint32) error {
		if len(v) != 4 {
			return invalid("%d bytes, want 4", len(v))
		}
		*to = binary.BigEndian.Uint32(v)
		return nil
	}
	var n uint32
	switch kind {
	case attrStatusType:
		err = number(&n)
		r.Status = Status(n)
	case attrDelayTime:
		err = number(&n)
		r.Delay = time.Duration(n) * time.Second
	case attrEventTime:
		if err = number(&n); err == nil {
			r.Event = time.Unix(int64(n), 0).UTC()
		}
	case attrInput, attrInputGiga, attrOutput, attrOutputGiga:
		err = number(&n)
		r.count(kind, uint64(n))
	case attrSessionTime:
		err = number(&n)
		r.Duration = time.Duration(n) * time.Second
	case attrSessionID:
		r.Session = string(v)
	case attrNASIdentifier:
		r.NASName = string(v)
	case attrCalled:
		r.APN = string(v)
	case attrNASIP, attrFramedIP:
		if len(v) != 4 {
			return invalid("%d bytes, want 4", len(v))
		}
		a := netip.AddrFrom4([4]byte(v))
		if kind == attrNASIP {
			r.NAS = a
		} else if a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && a != netip.AddrFrom4([4]byte{255, 255, 255, 254}) {
			r.Address = a // the two others say "choose one" (RFC 2865 section 5.8)
		}
	case attrNASIPv6, attrFramedIPv6:
		if len(v) != 16 {
			return invalid("%d bytes, want 16", len(v))
		}
		a := netip.AddrFrom16([16]byte(v))
		if kind == attrFramedIPv6 {
			r.Address6 = a
		} else if !r.NAS.IsValid() {
			r.NAS = a
		}
	case attrFramedPrefix:
		r.Prefix6, err = prefix6(v)
	case attrVendor:
		err = r.vendor(v)
	}
	return err
}

// count takes one half of a counter (RFC 2866 section 5.3, RFC 2869 section 5.1).
func (r *Request) count(kind byte, n uint64) {
	switch kind {
	case attrInput:
		r.Up = r.Up&^(1<<32-1) | n
	case attrInputGiga:
		r.Up = r.Up&(1<<32-1) | n<<32
	case attrOutput:
		r.Down = r.Down&^(1<<32-1) | n
	case attrOutputGiga:
		r.Down = r.Down&(1<<32-1) | n<<32
	}
}

// prefix6 reads a Framed-IPv6-Prefix (RFC 3162 section 2.3).
func prefix6(v []byte) (netip.Prefix, error) {
	if len(v) < 2 || len(v) > 18 || v[1] > 128 {
		return netip.Prefix{}, invalid("it is no prefix")
	}
	var b [16]byte
	copy(b[:], v[2:])
	return netip.PrefixFrom(netip.AddrFrom16(b), int(v[1])).Masked(), nil
}

// vendor reads the attributes of 3GPP; those of others are passed over.
func (r *Request) vendor(v []byte) error {
	if len(v) < 4 {
		return invalid("%d bytes, want 4 and more", len(v))
	}
	if binary.BigEndian.Uint32(v) != vendor3GPP {
		return nil
	}
	for v = v[4:]; len(v) > 0; v = v[v[1]:] {
		if len(v) < 2 || v[1] < 2 || int(v[1]) > len(v) {
			return invalid("an attribute of 3GPP has a wrong length")
		}
		value := v[2:v[1]]
		switch v[0] {
		case gppIMSI:
			imsi, ok := digits(value, 6, 15)
			if !ok {
				return invalid("the IMSI is not 6 to 15 digits")
			}
			r.IMSI = imsi
		case gppIMEISV:
			imei, ok := digits(value, 14, 16)
			if !ok {
				return invalid("the IMEISV is not 14 to 16 digits")
			}
			r.IMEISV = imei
		case gppRAT:
			if len(value) != 1 {
				return invalid("the type of radio access has %d bytes, want 1", len(value))
			}
			r.Radio = value[0]
		case gppLocation:
			r.Location = location(value)
		}
	}
	return nil
}

func digits(v []byte, least, most int) (string, bool) {
	for len(v) > 0 && v[len(v)-1] == 0 { // some end it like a text of C
		v = v[:len(v)-1]
	}
	if len(v) < least || len(v) > most {
		return "", false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	return string(v), true
}
