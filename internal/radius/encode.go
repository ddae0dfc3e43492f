package radius

import (
	"encoding/binary"
	"net/netip"
)

// Encode writes an Accounting-Request, with its authenticators. Code Invalid when
// it does not fit.
func Encode(r Request, secret []byte) ([]byte, error) {
	b := make([]byte, headerLen, 256)
	b[0], b[1] = codeRequest, r.ID
	add := func(kind byte, v []byte) { b = append(append(b, kind, byte(len(v)+2)), v...) }
	text := func(kind byte, s string) {
		if s != "" {
			add(kind, []byte(s[:min(len(s), 253)]))
		}
	}
	number := func(kind byte, n uint32) { add(kind, binary.BigEndian.AppendUint32(nil, n)) }
	mac := len(b)
	add(attrAuthenticator, make([]byte, 16))
	number(attrStatusType, uint32(r.Status))
	text(attrSessionID, r.Session)
	if r.Delay > 0 {
		number(attrDelayTime, uint32(r.Delay.Seconds()))
	}
	if !r.Event.IsZero() {
		number(attrEventTime, uint32(r.Event.Unix()))
	}
	counter := func(low, high byte, n uint64) {
		if n > 0 {
			number(low, uint32(n))
		}
		if n>>32 > 0 {
			number(high, uint32(n>>32))
		}
	}
	counter(attrInput, attrInputGiga, r.Up)
	counter(attrOutput, attrOutputGiga, r.Down)
	if r.Duration > 0 {
		number(attrSessionTime, uint32(r.Duration.Seconds()))
	}
	text(attrNASIdentifier, r.NASName)
	text(attrCalled, r.APN)
	address := func(a netip.Addr, kind4, kind6 byte) {
		switch {
		case a.Is4() && kind4 != 0:
			add(kind4, a.AsSlice())
		case a.Is6():
			add(kind6, a.AsSlice())
		}
	}
	address(r.NAS, attrNASIP, attrNASIPv6)
	if r.Address.Is4() {
		add(attrFramedIP, r.Address.AsSlice())
	}
	address(r.Address6, 0, attrFramedIPv6)
	if r.Prefix6.IsValid() {
		a := r.Prefix6.Addr().As16()
		add(attrFramedPrefix, append([]byte{0, byte(r.Prefix6.Bits())}, a[:(r.Prefix6.Bits()+7)/8]...))
	}
	gpp := func(kind byte, v []byte) {
		if len(v) > 0 {
			add(attrVendor, append(append(binary.BigEndian.AppendUint32(nil, vendor3GPP), kind, byte(len(v)+2)), v[:min(len(v), maxVendorSub)]...))
		}
	}
	gpp(gppIMSI, []byte(r.IMSI))
	gpp(gppIMEISV, []byte(r.IMEISV))
	if r.Radio != 0 {
		gpp(gppRAT, []byte{r.Radio})
	}
	gpp(gppLocation, r.Location.encode())
	if len(b) > MaxPacket {
		return nil, invalid("RADIUS packet of %d bytes is over %d", len(b), MaxPacket)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[mac+2:], messageAuth(b, mac, secret))
	auth := authenticator(b, make([]byte, 16), secret)
	copy(b[4:20], auth[:])
	return b, nil
}

// Answer writes the Accounting-Response to r (RFC 2866 section 4.2).
func Answer(r Request, secret []byte) []byte {
	b := make([]byte, headerLen)
	b[0], b[1], b[3] = codeResponse, r.ID, headerLen
	auth := authenticator(b, r.Authenticator[:], secret)
	copy(b[4:], auth[:])
	return b
}

// Answers reports whether data is the answer to a request that was sent with this
// id and authenticator.
func Answers(data []byte, id byte, auth [16]byte, secret []byte) bool {
	if len(data) < headerLen || data[0] != codeResponse || data[1] != id || int(binary.BigEndian.Uint16(data[2:])) != len(data) {
		return false
	}
	want := authenticator(data, auth[:], secret)
	return want == [16]byte(data[4:20])
}
