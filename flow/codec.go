package flow

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

const (
	version = 1
	// MaxText bounds each text of a record: a DNS name has at most 253 bytes.
	MaxText = 255
	// MaxEncoded bounds the encoding of any record.
	MaxEncoded = 4*(MaxText+2) + 2*19 + 6*10 + 16
)

// maxMicros is the year 2500: later times are a broken clock.
const maxMicros = 530 * 366 * 24 * 3600 * 1e6

// AppendBinary appends the encoding of r to b: the version, a byte of flags,
// then the fields in the order of Record; numbers are varints, End is the
// distance from Start, texts carry their length.
func (r Record) AppendBinary(b []byte) ([]byte, error) {
	start, end := r.Start.UnixMicro(), r.End.UnixMicro()
	if start < 0 || start > maxMicros || end < start || end > maxMicros {
		return b, ringwall.Errorf(ringwall.Invalid, "flow: times %s to %s are out of order or out of range", r.Start, r.End)
	}
	if r.Verdict > WouldRefuse {
		return b, ringwall.Errorf(ringwall.Invalid, "flow: verdict %d is not known", r.Verdict)
	}
	var flags byte
	switch r.Direction {
	case FromDevice:
	case ToDevice:
		flags |= 1
	default:
		return b, ringwall.Errorf(ringwall.Invalid, "flow: direction %q is not known", r.Direction)
	}
	flags |= byte(r.Verdict) << 1
	b = append(b, version, flags, r.Proto)
	b = binary.AppendUvarint(b, uint64(start))
	b = binary.AppendUvarint(b, uint64(end-start))
	b = appendText(b, string(r.Device))
	b = appendAddr(b, r.Local)
	b = appendAddr(b, r.Remote)
	b = appendText(b, r.Name)
	b = appendText(b, r.Reason)
	b = appendText(b, r.Term)
	for _, n := range [...]uint64{r.PacketsUp, r.PacketsDown, r.BytesUp, r.BytesDown} {
		b = binary.AppendUvarint(b, n)
	}
	return b, nil
}

// MarshalBinary returns the encoding of r.
func (r Record) MarshalBinary() ([]byte, error) { return r.AppendBinary(nil) }

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), MaxText)]
	return append(append(b, byte(len(s))), s...)
}

// appendAddr writes the length of the address (0, 4 or 16), the address
// without its zone, and the port. An invalid address has no port.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().WithZone("")
	if !ip.IsValid() {
		return append(b, 0)
	}
	raw := ip.AsSlice()
	b = append(append(b, byte(len(raw))), raw...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}

// UnmarshalBinary reads what AppendBinary wrote, and nothing else. The error
// has code Invalid and says where.
func (r *Record) UnmarshalBinary(data []byte) error {
	d := decoder{b: data}
	if v := d.byte("version"); d.err == nil && v != version {
		return ringwall.Errorf(ringwall.Invalid, "flow: version %d is not known, want %d", v, version)
	}
	flags := d.byte("flags")
	out := Record{Direction: FromDevice, Verdict: Verdict(flags >> 1)}
	if flags&1 != 0 {
		out.Direction = ToDevice
	}
	if out.Verdict > WouldRefuse {
		d.fail("flags")
	}
	out.Proto = d.byte("protocol")
	start, length := d.uvarint("start"), d.uvarint("duration")
	if start > maxMicros || length > maxMicros || start+length > maxMicros {
		d.fail("times")
	}
	out.Start = time.UnixMicro(int64(start)).UTC()
	out.End = time.UnixMicro(int64(start + length)).UTC()
	out.Device = ringwall.DeviceID(d.text("device"))
	out.Local, out.Remote = d.addr("local"), d.addr("remote")
	out.Name, out.Reason, out.Term = d.text("name"), d.text("reason"), d.text("term")
	out.PacketsUp, out.PacketsDown = d.uvarint("packets"), d.uvarint("packets")
	out.BytesUp, out.BytesDown = d.uvarint("bytes"), d.uvarint("bytes")
	if d.err == nil && d.at != len(data) {
		return ringwall.Errorf(ringwall.Invalid, "flow: %d bytes too many", len(data)-d.at)
	}
	if d.err == nil {
		*r = out
	}
	return d.err
}

// decoder reads fields one after the other and keeps the first error.
type decoder struct {
	b   []byte
	at  int
	err error
}

func (d *decoder) fail(field string) {
	if d.err == nil {
		d.err = ringwall.Errorf(ringwall.Invalid, "flow: %s at byte %d is cut short or out of range", field, d.at)
	}
}

func (d *decoder) take(n int, field string) []byte {
	if d.err != nil || n > len(d.b)-d.at {
		d.fail(field)
		return nil
	}
	d.at += n
	return d.b[d.at-n : d.at]
}

func (d *decoder) byte(field string) byte {
	if b := d.take(1, field); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint(field string) uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b[d.at:])
	if n <= 0 || n > 1 && d.b[d.at+n-1] == 0 { // the second: not the shortest form
		d.fail(field)
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) text(field string) string {
	return string(d.take(int(d.byte(field)), field))
}

func (d *decoder) addr(field string) netip.AddrPort {
	n := int(d.byte(field))
	if n == 0 || d.err != nil {
		return netip.AddrPort{}
	}
	if n != 4 && n != 16 {
		d.fail(field)
		return netip.AddrPort{}
	}
	raw := d.take(n, field)
	port := d.take(2, field)
	if port == nil {
		return netip.AddrPort{}
	}
	ip, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(port))
}
