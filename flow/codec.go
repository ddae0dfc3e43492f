package flow

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

const (
	version1 = 1
	version2 = 2
	// MaxText bounds each text of a record: a DNS name has at most 253 bytes.
	MaxText = 255
	// MaxWord bounds the names of limits, protocols and methods.
	MaxWord = 32
	// MaxEncoded bounds the encoding of any record.
	MaxEncoded = 6*(MaxText+1) + 3*(MaxWord+1) + 2*19 + 8*10 + 16
)

// maxMicros is the year 2500: later times are a broken clock.
const maxMicros = 530 * 366 * 24 * 3600 * 1e6

// Bits of the byte of flags.
const (
	flagToDevice = 1 << 0
	flagVerdict  = 3 << 1
	flagFirst    = 1 << 3 // since version 2
)

// plain reports whether r has nothing that only version 2 can say.
func (r *Record) plain() bool {
	return r.Generation == 0 && r.Limit == "" && r.Inside == Inside{} && r.More == 0 && !r.First
}

// AppendBinary appends the encoding of r to b: the version, a byte of flags,
// then the fields in the order of Record; numbers are varints, End is the
// distance from Start, texts carry their length. It is version 1 when that can
// say all of r.
func (r Record) AppendBinary(b []byte) ([]byte, error) {
	start, end := r.Start.UnixMicro(), r.End.UnixMicro()
	if start < 0 || start > maxMicros || end < start || end > maxMicros {
		return b, ringwall.Errorf(ringwall.Invalid, "flow: times %s to %s are out of order or out of range", r.Start, r.End)
	}
	if r.Verdict > WouldRefuse {
		return b, ringwall.Errorf(ringwall.Invalid, "flow: verdict %d is not known", r.Verdict)
	}
	version, flags := byte(version2), byte(r.Verdict)<<1
	switch r.Direction {
	case FromDevice:
	case ToDevice:
		flags |= flagToDevice
	default:
		return b, ringwall.Errorf(ringwall.Invalid, "flow: direction %q is not known", r.Direction)
	}
	if r.First {
		flags |= flagFirst
	}
	if r.plain() {
		version = version1
	}
	b = append(b, version, flags, r.Proto)
	b = binary.AppendUvarint(b, uint64(start))
	b = binary.AppendUvarint(b, uint64(end-start))
	b = appendText(b, string(r.Device), MaxText)
	b = appendAddr(b, r.Local)
	b = appendAddr(b, r.Remote)
	b = appendText(b, r.Name, MaxText)
	b = appendText(b, r.Reason, MaxText)
	b = appendText(b, r.Term, MaxText)
	for _, n := range [...]uint64{r.PacketsUp, r.PacketsDown, r.BytesUp, r.BytesDown} {
		b = binary.AppendUvarint(b, n)
	}
	if version == version1 {
		return b, nil
	}
	b = binary.AppendUvarint(b, r.Generation)
	b = appendText(b, r.Limit, MaxWord)
	b = appendText(b, r.Inside.Proto, MaxWord)
	b = appendText(b, r.Inside.Host, MaxText)
	b = appendText(b, r.Inside.Method, MaxWord)
	b = appendText(b, r.Inside.Path, MaxText)
	return binary.AppendUvarint(b, r.More), nil
}

// MarshalBinary returns the encoding of r.
func (r Record) MarshalBinary() ([]byte, error) { return r.AppendBinary(nil) }

func appendText(b []byte, s string, most int) []byte {
	s = s[:min(len(s), most)]
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

// UnmarshalBinary reads what AppendBinary wrote, in either version, and nothing
// else. The error has code Invalid and says where.
func (r *Record) UnmarshalBinary(data []byte) error {
	var v View
	if err := v.Read(data); err != nil {
		return err
	}
	*r = v.Record()
	return nil
}

// View is a record in place: its texts are part of the encoding it was read
// from, and good as long as that is not changed.
type View struct {
	Version            uint8
	Proto              uint8
	Direction          Direction
	Verdict            Verdict
	First              bool
	Start, End         int64 // microseconds since 1970
	Device             []byte
	Local, Remote      netip.AddrPort
	Name, Reason, Term []byte

	PacketsUp, PacketsDown, BytesUp, BytesDown uint64

	Generation                 uint64
	Limit                      []byte
	Inside, Host, Method, Path []byte // Inside.Proto and so on
	More                       uint64
}

// Read reads an encoding; see UnmarshalBinary. After an error the view holds
// nothing of use.
func (v *View) Read(data []byte) error {
	d := decoder{b: data}
	v.Version = d.byte("version")
	if d.err == nil && v.Version != version1 && v.Version != version2 {
		return ringwall.Errorf(ringwall.Invalid, "flow: version %d is not known, want 1 or 2", v.Version)
	}
	flags := d.byte("flags")
	known := byte(flagToDevice | flagVerdict)
	if v.Version == version2 {
		known |= flagFirst
	}
	v.Direction, v.Verdict, v.First = FromDevice, Verdict(flags&flagVerdict>>1), flags&flagFirst != 0
	if flags&flagToDevice != 0 {
		v.Direction = ToDevice
	}
	if flags&^known != 0 || v.Verdict > WouldRefuse {
		d.fail("flags")
	}
	v.Proto = d.byte("protocol")
	start, length := d.uvarint("start"), d.uvarint("duration")
	if start > maxMicros || length > maxMicros || start+length > maxMicros {
		d.fail("times")
	}
	v.Start, v.End = int64(start), int64(start+length)
	v.Device = d.text("device", MaxText)
	v.Local, v.Remote = d.addr("local"), d.addr("remote")
	v.Name, v.Reason, v.Term = d.text("name", MaxText), d.text("reason", MaxText), d.text("term", MaxText)
	v.PacketsUp, v.PacketsDown = d.uvarint("packets"), d.uvarint("packets")
	v.BytesUp, v.BytesDown = d.uvarint("bytes"), d.uvarint("bytes")
	v.Generation, v.More = 0, 0
	v.Limit, v.Inside, v.Host, v.Method, v.Path = nil, nil, nil, nil, nil
	if v.Version == version2 {
		v.Generation = d.uvarint("generation")
		v.Limit, v.Inside = d.text("limit", MaxWord), d.text("inside", MaxWord)
		v.Host, v.Method, v.Path = d.text("host", MaxText), d.text("method", MaxWord), d.text("path", MaxText)
		v.More = d.uvarint("folded flows")
		if !v.First && v.Generation == 0 && v.More == 0 && len(v.Limit)+len(v.Inside)+len(v.Host)+len(v.Method)+len(v.Path) == 0 {
			d.fail("version 2") // it says nothing that version 1 cannot: not the one encoding
		}
	}
	if d.err == nil && d.at != len(data) {
		return ringwall.Errorf(ringwall.Invalid, "flow: %d bytes too many", len(data)-d.at)
	}
	return d.err
}

// Record returns the record on its own.
func (v *View) Record() Record {
	return Record{
		Start: time.UnixMicro(v.Start).UTC(), End: time.UnixMicro(v.End).UTC(), Device: ringwall.DeviceID(v.Device), Direction: v.Direction,
		Proto: v.Proto, Local: v.Local, Remote: v.Remote, Name: string(v.Name), Verdict: v.Verdict, Reason: string(v.Reason), Term: string(v.Term),
		PacketsUp: v.PacketsUp, PacketsDown: v.PacketsDown, BytesUp: v.BytesUp, BytesDown: v.BytesDown,
		Generation: v.Generation, Limit: string(v.Limit), More: v.More, First: v.First,
		Inside: Inside{Proto: string(v.Inside), Host: string(v.Host), Method: string(v.Method), Path: string(v.Path)},
	}
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
	return d.b[d.at-n : d.at : d.at]
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

func (d *decoder) text(field string, most int) []byte {
	n := int(d.byte(field))
	if n > most {
		d.fail(field)
		return nil
	}
	return d.take(n, field)
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
