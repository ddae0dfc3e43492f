// Package flow holds the flow report: the record of what enforcement decided
// on one flow of one device and how much went through it.
//
// A Record is written in a compact binary form, version 1, in which most
// records take 50 to 100 bytes. The form is canonical: one record has one
// encoding, and UnmarshalBinary refuses every other, so that a digest over
// encodings is a digest over records. Text longer than MaxText is cut when it
// is written and refused when it is read. Times are kept to the microsecond
// (and must lie between the years 1970 and 2500), in UTC.
//
// The package is pure; values may be used concurrently. Both sides of the wire
// use it: the gateway's log and the platform's segments hold the same bytes.
package flow

import (
	"net/netip"
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
