// Package flow holds the flow report: the record of what enforcement decided
// on one flow of one device and how much went through it.
//
// A Record is written in a compact binary form in which most records take 50
// to 120 bytes. There are two versions of it: 2 has the policy generation, what
// stood inside the flow, the limit that was exceeded and how many flows were
// folded into one record; 1 has none of these, and is what a record is written
// in that has none of these. Both are read. The form is canonical: one record has one
// encoding, and UnmarshalBinary refuses every other, so that a digest over
// encodings is a digest over records. Text longer than its bound is cut when it
// is written and refused when it is read. Times are kept to the microsecond
// (and must lie between the years 1970 and 2500), in UTC.
//
// A View reads an encoding in place and allocates nothing: it is for whoever
// reads hundreds of thousands a second.
//
// The package is pure; values may be used concurrently, a View by one goroutine.
// Both sides of the wire use it: the gateway's log and the platform's segments
// hold the same bytes.
package flow

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
)

// Direction says who opened the flow; the values are those of api.Direction.
type Direction string

const (
	FromDevice Direction = "from" // the device
	ToDevice   Direction = "to"   // the other end
)

// Verdict is what enforcement decided on a flow.
type Verdict uint8

const (
	Allowed Verdict = iota
	Refused
	WouldRefuse // passed, in mode learn or shadow, and would be refused in mode enforce
)

func (v Verdict) String() string {
	switch v {
	case Allowed:
		return "allowed"
	case Refused:
		return "refused"
	case WouldRefuse:
		return "would-refuse"
	}
	return "verdict(?)"
}

// Record is one flow report.
type Record struct {
	Start, End  time.Time
	Device      ringwall.DeviceID // "" = none that is known
	Direction   Direction
	Proto       uint8          // IP protocol number
	Local       netip.AddrPort // the device's side; of ICMP, the port is the type
	Remote      netip.AddrPort
	Name        string // the name by which the device found Remote, if any
	Verdict     Verdict
	Reason      string // why, such as "no term"
	Term        string // id of the deciding term
	PacketsUp   uint64 // sent by the device
	PacketsDown uint64
	BytesUp     uint64 // on the wire, from the IP header up
	BytesDown   uint64

	// Since version 2:

	Generation uint64 // of the policy that decided; 0 = not known
	// Limit is the bound that was exceeded, by its name in api.Limit, such as
	// "quota", when that is why; Term is then whose it is, "" for the whole device.
	Limit  string
	Inside Inside
	// More counts further flows that were folded into this record; its counters
	// are those of all of them.
	More uint64
	// First marks the first report of this device, other end and reason: it is
	// what a gateway keeps when it cannot keep all.
	First bool
}

// Inside is what stood in clear inside a flow, as far as somebody could see.
type Inside struct {
	Proto  string // "tls", "http", "rtsp", "mqtt", "coap", ...; "" = nobody looked
	Host   string // SNI, Host header, host of the URI
	Method string
	Path   string // or topic
}

// ProtoName returns the name of an IP protocol as policies write it.
func ProtoName(proto uint8) string {
	switch proto {
	case 1, 58:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	}
	return "any"
}

// ParseVerdict reads what Verdict.String writes.
func ParseVerdict(s string) (Verdict, bool) {
	for v := Allowed; v <= WouldRefuse; v++ {
		if v.String() == s {
			return v, true
		}
	}
	return 0, false
}

// ParseProto reads what ProtoName writes of one protocol, and the numbers. Of
// ICMP it is that of IPv4.
func ParseProto(s string) (uint8, bool) {
	switch s {
	case "icmp":
		return 1, true
	case "tcp":
		return 6, true
	case "udp":
		return 17, true
	}
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err == nil
}
